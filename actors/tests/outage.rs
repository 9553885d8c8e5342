//! The store does not take for a while what it is told of sessions (its disk is full, say): what it had taken is delivered, and what it
//! had not is told it again, without another start.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    testkit::{World, WorldOptions, script::follow, writes::Writes},
};
use std::sync::Arc;

/// Juliet's session can be resumed for a minute.
const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    R = romeo@localhost/orchard
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
    ";

/// Longer than it takes until something is tried again.
const LATER: &str = "T: 6s\n";

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules
}

fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

struct Scene {
    world: World,
    writes: Arc<Writes>,
}

impl Scene {
    async fn new() -> Self {
        let (mut world, writes) = Writes::world(modules(), true).await;
        follow(PAIR, &mut world).await.unwrap();
        Self { world, writes }
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    /// The key of Juliet's session.
    fn token(&self) -> String {
        let session = self.world.env.table.find(&"juliet@localhost".parse().unwrap(), "balcony");
        session.unwrap().with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap()
    }

    /// The process is killed, and the next one follows the script.
    async fn killed(self, script: &str) {
        let mut world = self.world.killed(modules(), WorldOptions::default()).await;
        follow(script, &mut world).await.unwrap();
        world.stop().await;
    }
}

#[test]
fn what_a_session_held_whose_end_the_store_did_not_take_comes_when_it_does() {
    for there in [false, true] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene
                .follow(&("J cut\n".to_owned() + &message(1) + &message(2) + "R S: nothing"))
                .await;
            scene.writes.room(false);
            let comes = "password juliet@localhost pencil
                L = juliet@localhost/garden
                L C: <presence/>\n";
            let presence = "L S: <presence/>\n";
            let before = if there { comes.to_owned() + presence } else { String::new() };
            scene.follow(&("T: 61s\n".to_owned() + &before)).await;
            scene.writes.room(true);
            let (first, last) = if there { ("", "") } else { (comes, presence) };
            let messages = "L S: <message id='1'/>\nL S: <message id='2'/>\n";
            let rest = [LATER, first, messages, last, "L S: nothing"].concat();
            scene.follow(&rest).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn a_session_that_the_store_did_not_take_is_put_there_when_there_is_room() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        let token = scene.token();
        let script = message(1) + "J S: <message id='1'/>\nJ S: <r xmlns='urn:xmpp:sm:3'/>";
        scene.follow(&script).await;
        scene.writes.room(false);
        scene.follow("J cut").await;
        scene.writes.room(true);
        scene.follow(LATER).await;
        let rest = format!(
            "password juliet@localhost pencil
             K ~ juliet@localhost
             K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
             K S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>
             K S: <message id='1'/>"
        );
        scene.killed(&rest).await;
    });
}

#[test]
fn what_the_store_has_of_a_session_that_was_resumed_is_not_gone_on_with() {
    // the process is killed before the store was told, and after that
    for told in [false, true] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            let token = scene.token();
            scene.follow("J cut").await;
            scene.writes.room(false);
            let script = format!(
                "password juliet@localhost pencil
                 K ~ juliet@localhost
                 K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
                 K S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>
                 {}K S: <message id='1'/>
                 K S: <r xmlns='urn:xmpp:sm:3'/>
                 K C: <a xmlns='urn:xmpp:sm:3' h='2'/>",
                message(1)
            );
            scene.follow(&script).await;
            scene.writes.room(true);
            if told {
                scene.follow(LATER).await;
                assert_eq!(scene.world.env.stores.sessions.page("", 9).await, Ok(Vec::new()));
            }
            let rest = format!(
                "password juliet@localhost pencil
                 L ~ juliet@localhost
                 L C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='2'/>
                 L S: <failed xmlns='urn:xmpp:sm:3'>
                   <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>
                 L C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                 L S: <iq type='result' id='b'/>
                 L C: <presence/>
                 L S: <presence/>
                 L S: nothing"
            );
            scene.killed(&rest).await;
        });
    }
}
