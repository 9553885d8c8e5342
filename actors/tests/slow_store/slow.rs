//! The store is slow while a session loses its connection, is resumed, or ends: what waits for it is there after a kill, once.

use super::Scene;
use actors::{
    resource::QueueLimits,
    sessions,
    testkit::{
        World,
        pace::{DONE_LATE, Pace, SAID_LATE},
        resumable::{ASKED, FAILED, all, has, message, resumed},
    },
};
use std::time::Duration;
use tokio::time::timeout;

#[test]
fn who_resumes_while_the_session_is_stored_can_be_cut_off_again() {
    for (put, kill) in [(DONE_LATE, true), (SAID_LATE, false)] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.set(Pace { put, ..Pace::default() });
            scene.follow("J cut").await;
            scene.resumes(&resumed(1)).await;
            scene.set(Pace::default());
            let script =
                "T: 30s\n".to_owned() + &message(1) + "K S: <message id='1'/>\n" + ASKED + "K cut";
            scene.follow(&script).await;
            let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
            scene.resumes(&resumed(1)).await;
            scene.follow(&("K S: <message id='1'/>\n".to_owned() + ASKED)).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn a_session_that_was_resumed_while_it_was_stored_is_not_there_after_a_kill() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.set(Pace { put: DONE_LATE, ..Pace::default() });
        scene.follow("J cut").await;
        scene.resumes(&resumed(1)).await;
        scene.follow("T: 30s").await;
        let mut scene = scene.killed().await;
        scene.resumes(FAILED).await;
        scene.world.stop().await;
    });
}

#[test]
fn who_is_gone_before_the_session_is_resumed_can_resume_it() {
    for take in [DONE_LATE, SAID_LATE] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.follow("J cut").await;
            scene.set(Pace { take, ..Pace::default() });
            let juliet = "juliet@localhost".parse().unwrap();
            let resume = sessions::resume(&scene.world.env, &juliet, &scene.token);
            assert!(timeout(Duration::from_secs(1), resume).await.is_err());
            scene.set(Pace::default());
            scene.follow("T: 1s").await;
            let mut scene = scene.killed().await;
            scene.resumes(&resumed(1)).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn what_a_session_that_ends_is_storing_comes_once() {
    for append in [DONE_LATE, SAID_LATE] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
            scene.set(Pace { append, ..Pace::default() });
            scene.follow("J cut").await;
            scene.set(Pace::default());
            scene
                .follow("password juliet@localhost pencil\nL = juliet@localhost/balcony\nT: 30s")
                .await;
            let mut scene = scene.killed().await;
            scene.follow(&has([1])).await;
            scene.world.stop().await;
        });
    }
}

/// What does not fit into its queue is kept like any other's, and is newer.
#[test]
fn what_comes_while_a_session_is_stored_comes_after_what_waited() {
    for append in [DONE_LATE, SAID_LATE] {
        for resumes in [false, true] {
            World::block_on(async {
                let queues = QueueLimits { queued: 2, unacked: 4, ..QueueLimits::default() };
                let mut scene = Scene::with(queues).await;
                scene.follow(&(all(1..7, message) + "R S: nothing")).await;
                scene.world.messages("J").await;
                scene.set(Pace { append, ..Pace::default() });
                scene.follow("J cut").await;
                scene.set(Pace::default());
                let script = message(7) + "R S: nothing\nT: 30s\n" + &message(8) + "R S: nothing";
                scene.follow(&script).await;
                let mut scene = scene.killed().await;
                if resumes {
                    scene.resumes(&resumed(1)).await;
                    let ids = scene.world.messages("K").await;
                    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7", "8"]);
                } else {
                    scene.follow(&("T: 61s\n".to_owned() + &has(1..9))).await;
                }
                scene.world.stop().await;
            });
        }
    }
}
