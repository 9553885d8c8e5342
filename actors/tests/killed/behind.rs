//! Write-behind: what a connected client has not acknowledged is in the store 50 ms later, and its session.

use super::{Scene, modules};
use actors::{
    resource::{DELAY, Durability},
    sessions::take_over,
    testkit::{
        World, WorldOptions,
        pace::Pace,
        resumable::{ASKED, FAILED, PAIR, all, got, has, message, options, resume, resumed},
        script::{Wire, follow},
    },
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

const BEHIND: Durability = Durability::Behind;
/// What Juliet acknowledges.
fn acked(h: u32) -> String {
    format!("J C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>\n")
}

/// Juliet is connected, and got these; a moment has passed.
async fn connected(ids: std::ops::Range<u32>) -> Scene {
    let mut scene = Scene::new(BEHIND).await;
    scene.follow(&(all(ids.clone(), message) + &all(ids, |n| got("J", n)))).await;
    scene.world.pass(DELAY).await;
    scene
}

/// A world whose store counts what is written, and what it has counted.
async fn counted() -> (World, Arc<Mutex<Pace>>) {
    let pace: Arc<Mutex<Pace>> = Arc::default();
    let world = World::on(modules(), options(BEHIND), |stores| Pace::of(&pace, stores)).await;
    (world, pace)
}

/// How many sessions, and messages for one, were written.
fn wrote(pace: &Mutex<Pace>) -> (usize, usize) {
    let pace = pace.lock();
    (pace.puts, pace.appends)
}

#[test]
fn what_was_accepted_a_moment_before_is_there_after_a_kill() {
    World::block_on(async {
        let mut scene = connected(1..4).await;
        // she gets one more, and has not got what comes then
        scene.follow(&(message(4) + &got("J", 4))).await;
        scene.world.pass(DELAY).await;
        scene.follow(&message(5)).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(1)).await;
        scene.follow(&(got("K", 2) + &got("K", 3) + &got("K", 4) + ASKED + "K S: nothing")).await;
        // nothing comes again
        let rest = "K C: <a xmlns='urn:xmpp:sm:3' h='5'/>\nK C: </stream:stream>";
        scene.follow(&format!("{rest}\n{}", has([]))).await;
        scene.world.stop().await;
    });
}

#[test]
fn nothing_is_there_of_what_came_just_now() {
    World::block_on(async {
        let mut scene = Scene::new(BEHIND).await;
        scene.follow(&(message(1) + &got("J", 1))).await;
        let mut scene = scene.killed().await;
        scene.resumes(1, FAILED).await;
        scene.follow(&has([])).await;
        scene.world.stop().await;
    });
}

/// Juliet writes to Romeo, and asks how many of her stanzas were handled.
const SAYS: &str =
    "J C: <message to='romeo@localhost/orchard' type='chat' id='said'><body/></message>
    R S: <message id='said'/>
    J C: <r xmlns='urn:xmpp:sm:3'/>\n";

/// A client forgets what it hears to be handled: it hears it when a kill does not take it back.
#[test]
fn a_client_hears_that_something_is_handled_when_the_store_knows() {
    World::block_on(async {
        let mut scene = connected(0..0).await;
        scene.follow(&(SAYS.to_owned() + "J S: nothing")).await;
        scene.world.pass(DELAY).await;
        scene.follow("J S: <a xmlns='urn:xmpp:sm:3' h='2'/>").await;
        // that is known already
        scene
            .follow("J C: <r xmlns='urn:xmpp:sm:3'/>\nJ S: <a xmlns='urn:xmpp:sm:3' h='2'/>")
            .await;
        let mut scene = scene.killed().await;
        scene.resumes(1, &resumed(2)).await;
        // of one that goes on it knows a moment later
        scene.follow("K C: <r xmlns='urn:xmpp:sm:3'/>\nK S: nothing").await;
        scene.world.pass(DELAY).await;
        scene.follow("K S: <a xmlns='urn:xmpp:sm:3' h='2'/>").await;
        scene.world.stop().await;
    });
}

#[test]
fn while_the_store_cannot_be_told_a_client_hears_what_was_handled_all_the_same() {
    World::block_on(async {
        let (mut world, pace) = counted().await;
        follow(PAIR, &mut world).await.unwrap();
        world.pass(DELAY).await;
        pace.lock().full = true;
        follow(&(SAYS.to_owned() + "J S: nothing"), &mut world).await.unwrap();
        world.pass(DELAY).await;
        // and it is not told again by a question
        let answers = "J S: <a xmlns='urn:xmpp:sm:3' h='2'/>
            J C: <r xmlns='urn:xmpp:sm:3'/>
            J S: <a xmlns='urn:xmpp:sm:3' h='2'/>";
        follow(answers, &mut world).await.unwrap();
        world.stop().await;
    });
}

/// One who had more than the store knows of goes on, and misses nothing.
#[test]
fn a_client_that_got_more_than_the_store_knows_goes_on() {
    World::block_on(async {
        let mut scene = connected(1..3).await;
        scene.follow(&(message(3) + &got("J", 3) + &message(4) + &got("J", 4))).await;
        let mut scene = scene.killed().await;
        scene.resumes(5, &resumed(1)).await;
        scene
            .follow(
                &("password romeo@localhost rose\nR = romeo@localhost/orchard\n".to_owned()
                    + &message(5)
                    + &got("K", 5)
                    + "K S: <r xmlns='urn:xmpp:sm:3'/>"),
            )
            .await;
        scene.follow("K C: <a xmlns='urn:xmpp:sm:3' h='6'/>\nK C: </stream:stream>").await;
        scene.follow(&has([])).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_nobody_resumes_is_offline() {
    World::block_on(async {
        let mut scene = connected(1..4).await;
        scene.follow(&acked(2)).await;
        let mut scene = scene.killed().await;
        scene.follow(&("T: 61s\n".to_owned() + &has(2..4))).await;
        scene.world.stop().await;
    });
}

#[test]
fn a_stop_leaves_all_of_it() {
    World::block_on(async {
        let mut scene = Scene::new(BEHIND).await;
        scene.follow(&(message(1) + &got("J", 1) + &message(2) + &got("J", 2))).await;
        let mut scene = scene.stopped().await;
        scene.resumes(2, &resumed(1)).await;
        scene.follow(&(got("K", 2) + ASKED)).await;
        scene.world.stop().await;
    });
}

#[test]
fn another_node_goes_on_with_a_session_that_was_connected() {
    World::block_on(async {
        let node = |name| WorldOptions { node: Some(name), ..options(BEHIND) };
        let mut scene = Scene::with(node("a")).await;
        scene.follow(&(all(1..4, message) + &all(1..4, |n| got("J", n)))).await;
        scene.world.pass(DELAY).await;
        let mut b = scene.world.beside(modules(), node("b")).await;
        assert_eq!(take_over(&b.env, "a").await, 1);
        let rest = got("K", 2) + &got("K", 3) + ASKED;
        follow(&(resume(&scene.token, 2, &resumed(1)) + &rest), &mut b).await.unwrap();
        // and there it is kept as it was here
        b.pass(DELAY).await;
        let mut c = b.beside(modules(), node("c")).await;
        assert_eq!(take_over(&c.env, "b").await, 1);
        follow(&(resume(&scene.token, 3, &resumed(1)) + &got("K", 3)), &mut c).await.unwrap();
        c.stop().await;
    });
}

#[test]
fn what_is_acknowledged_at_once_is_not_written_and_nothing_when_nothing_changes() {
    World::block_on(async {
        let (mut world, pace) = counted().await;
        follow(PAIR, &mut world).await.unwrap();
        world.pass(DELAY).await;
        assert_eq!(wrote(&pace), (1, 0), "her session, with presence, once");
        world.pass(DELAY * 100).await;
        assert_eq!(wrote(&pace), (1, 0));
        // many, each acknowledged at once
        let each =
            |n| message(n) + &got("J", n) + "J S: <r xmlns='urn:xmpp:sm:3'/>\n" + &acked(n + 1);
        follow(&(acked(1) + &all(1..20, each)), &mut world).await.unwrap();
        world.pass(DELAY).await;
        assert_eq!(wrote(&pace), (2, 0));
        world.stop().await;
    });
}

/// What the store does not take is tried again.
#[test]
fn a_store_that_has_no_room_for_a_while_is_told_later() {
    World::block_on(async {
        let (mut world, pace) = counted().await;
        follow(PAIR, &mut world).await.unwrap();
        let token = world.token("juliet@localhost/balcony").unwrap();
        world.pass(DELAY).await;
        pace.lock().full = true;
        follow(&(message(1) + &got("J", 1)), &mut world).await.unwrap();
        world.pass(DELAY).await;
        assert_eq!(wrote(&pace), (1, 1));
        pace.lock().full = false;
        world.pass(Duration::from_secs(5) + DELAY).await;
        let mut world = world.killed(modules(), options(BEHIND)).await;
        follow(&(resume(&token, 1, &resumed(1)) + &got("K", 1)), &mut world).await.unwrap();
        world.stop().await;
    });
}
