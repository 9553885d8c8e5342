//! The store does not take for a while what it is told of sessions (its disk is full, say): what it had taken is delivered, and what it
//! had not is told it again, without another start.

use super::Scene;
use actors::testkit::{
    World,
    resumable::{ASKED, FAILED, has, message, resume, resumed},
};

/// Longer than it takes until something is tried again.
const LATER: &str = "T: 6s\n";

#[test]
fn a_session_for_which_there_was_no_room_is_stored_when_there_is() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        let script = message(1) + "J S: <message id='1'/>\nJ S: <r xmlns='urn:xmpp:sm:3'/>";
        scene.follow(&script).await;
        scene.room(false);
        scene.follow("J cut").await;
        scene.room(true);
        scene.follow(LATER).await;
        let mut scene = scene.killed().await;
        scene.resumes(&resumed(1)).await;
        scene.follow(&("K S: <message id='1'/>\n".to_owned() + ASKED)).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_there_was_no_room_for_comes_before_what_came_when_there_was() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
        scene.room(false);
        scene.follow("J cut").await;
        scene.room(true);
        scene.follow(&(message(2) + "R S: nothing")).await;
        let mut scene = scene.killed().await;
        scene.follow(&("T: 61s\n".to_owned() + &has([1, 2]))).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_a_session_held_whose_end_the_store_did_not_take_comes_when_it_does() {
    for there in [false, true] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene
                .follow(&("J cut\n".to_owned() + &message(1) + &message(2) + "R S: nothing"))
                .await;
            scene.room(false);
            let comes = "password juliet@localhost pencil
                L = juliet@localhost/garden
                L C: <presence/>\n";
            let presence = "L S: <presence/>\n";
            let before = if there { comes.to_owned() + presence } else { String::new() };
            scene.follow(&("T: 61s\n".to_owned() + &before)).await;
            scene.room(true);
            let (first, last) = if there { ("", "") } else { (comes, presence) };
            let messages = "L S: <message id='1'/>\nL S: <message id='2'/>\n";
            let rest = [LATER, first, messages, last, "L S: nothing"].concat();
            scene.follow(&rest).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn what_the_store_has_of_a_session_that_was_resumed_is_not_gone_on_with() {
    // the process is killed before the store was told, and after that
    for told in [false, true] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.follow("J cut").await;
            scene.room(false);
            scene.resumes(&resumed(1)).await;
            let script = message(1)
                + "K S: <message id='1'/>\n"
                + ASKED
                + "K C: <a xmlns='urn:xmpp:sm:3' h='2'/>";
            scene.follow(&script).await;
            scene.room(true);
            if told {
                scene.follow(LATER).await;
                assert_eq!(
                    scene.world.env.stores.sessions.page(storage::Whose::All, "", 9).await,
                    Ok(Vec::new())
                );
            }
            let mut scene = scene.killed().await;
            let rest = resume(&scene.token, 2, FAILED)
                + "K C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                   K S: <iq type='result' id='b'/>
                   K C: <presence/>
                   K S: <presence/>
                   K S: nothing";
            scene.follow(&rest).await;
            scene.world.stop().await;
        });
    }
}
