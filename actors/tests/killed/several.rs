//! Several sessions of one user: each of them gets what waits for it, and nothing comes twice.

use super::Scene;
use actors::{
    modules::offline::{OfflineConfig, OfflineModule},
    resource::Durability,
    testkit::{
        World,
        resumable::{ASKED, PAIR, SECOND, all, closes, got, has, message, resumed},
    },
};

/// Juliet has two sessions of the same priority, and the second can be resumed too: its token.
async fn second_session(scene: &mut Scene) -> String {
    scene.follow(SECOND).await;
    scene.world.token("juliet@localhost/garden").unwrap()
}

#[test]
fn each_of_two_sessions_that_wait_gets_it_and_nobody_twice() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let second = second_session(&mut scene).await;
        // one before they are cut off, one when one of them is, one when both are
        let script = message(1)
            + "J S: <message id='1'/>
               J S: <r xmlns='urn:xmpp:sm:3'/>
               L S: <message id='1'/>
               L S: <r xmlns='urn:xmpp:sm:3'/>
               J cut\n"
            + &message(2)
            + "L S: <message id='2'/>
               L cut\n"
            + &message(3)
            + "R S: nothing";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(1)).await;
        let rest = got("K", 1)
            + ASKED
            + &all(2..4, |n| got("K", n))
            + "K S: <presence from='juliet@localhost/garden'/>
               K C: <a xmlns='urn:xmpp:sm:3' h='6'/>
               K S: nothing
               password juliet@localhost pencil
               M ~ juliet@localhost\n"
            + &format!("M C: <resume xmlns='urn:xmpp:sm:3' previd='{second}' h='3'/>\n")
            + "M S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>\n"
            + &got("M", 2)
            + "M S: <r xmlns='urn:xmpp:sm:3'/>\n"
            + &got("M", 3)
            + "M S: <presence from='juliet@localhost/balcony'/>
               M C: <a xmlns='urn:xmpp:sm:3' h='6'/>\n"
            + &closes("M")
            + "K S: <presence type='unavailable' from='juliet@localhost/garden'/>
               K S: <r xmlns='urn:xmpp:sm:3'/>\n"
            + &closes("K")
            + &has([]);
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_one_of_two_sessions_got_does_not_come_again_when_the_other_ends() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        second_session(&mut scene).await;
        let script = "J cut
            L cut\n"
            .to_owned()
            + &all(1..3, message)
            + "R S: nothing";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(1)).await;
        assert_eq!(scene.world.messages("K").await, ["1", "2"]);
        let rest = "K C: <a xmlns='urn:xmpp:sm:3' h='5'/>\n".to_owned()
            + &closes("K")
            + "T: 61s\n"
            + &has([]);
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

/// What another session had held is older than what this one has and did not acknowledge.
#[test]
fn what_a_session_held_that_ended_goes_to_one_that_has_newer_messages() {
    let script = PAIR.to_owned()
        + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
           J C: <presence><priority>-1</priority></presence>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J cut
           R C: <message to='juliet@localhost/balcony' id='1'><body>1</body></message>
           R C: <message to='juliet@localhost/balcony' id='2'><body>2</body></message>\n"
        + &message(3)
        + "R S: nothing
           L = juliet@localhost/garden
           L C: <enable xmlns='urn:xmpp:sm:3'/>
           L S: <enabled xmlns='urn:xmpp:sm:3'/>
           L C: <presence/>\n"
        + &got("L", 3)
        + "L S: <r xmlns='urn:xmpp:sm:3'/>
           L S: <presence from='juliet@localhost/garden'/>
           L S: <presence from='juliet@localhost/balcony'/>
           L S: nothing
           T: 61s
           L S: <presence type='unavailable' from='juliet@localhost/balcony'/>\n"
        + &all(1..3, |n| got("L", n))
        + "L S: nothing
           L C: <a xmlns='urn:xmpp:sm:3' h='6'/>\n"
        + &closes("L")
        + "K = juliet@localhost/orchard
           K C: <presence/>
           K S: <presence/>
           K S: nothing";
    World::check(&script, |modules| {
        modules.add_with::<OfflineModule>(OfflineConfig::default());
    });
}
