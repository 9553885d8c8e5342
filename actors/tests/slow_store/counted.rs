//! A stanza is not counted as handled before the store has what it caused.

use super::Scene;
use actors::{
    resource::{Durability, Ended},
    sessions,
    testkit::{
        World,
        pace::{DONE_LATE, Pace},
        resumable::{has, message, options},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{task::yield_now, time::timeout};

impl Scene {
    /// All that is accepted is kept from now on, and Romeo comes again, with a session that can be resumed: with this.
    async fn keeps_all(&mut self) -> String {
        self.world.env.set_settings(options(Durability::Always).settings);
        let script = "account nurse@localhost angelica
            R C: </stream:stream>
            R S: </stream:stream>
            R S: eof
            password romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            R S: <enabled xmlns='urn:xmpp:sm:3'/>";
        self.follow(script).await;
        self.world.token("romeo@localhost/orchard").unwrap()
    }
}

/// What another session leaves behind is on its way while its sender sends something else.
#[test]
fn a_stanza_counts_with_its_own_message_and_no_other() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
        let romeo = scene.keeps_all().await;
        let env = Arc::clone(&scene.world.env);
        let juliet = scene.world.resource("juliet@localhost/balcony").unwrap();
        scene.set(Pace { append: DONE_LATE, ..Pace::default() });
        let pace = Arc::clone(&scene.pace);
        let ends = async {
            while pace.lock().appends == 0 {
                yield_now().await;
            }
            *pace.lock() = Pace::default();
            sessions::kick(&env, &juliet, Ended::Kicked).await;
        };
        let sends = scene.follow(
            "R C: <message to='nurse@localhost' type='chat' id='2'><body>2</body></message>",
        );
        let both = Box::pin(async { tokio::join!(sends, ends) });
        assert!(timeout(Duration::from_secs(2), both).await.is_err(), "the second is stored");
        drop((env, juliet));
        let mut scene = scene.killed().await;
        let rest = format!(
            "password romeo@localhost rose
             S ~ romeo@localhost
             S C: <resume xmlns='urn:xmpp:sm:3' previd='{romeo}' h='0'/>
             S S: <resumed xmlns='urn:xmpp:sm:3' h='0'/>\n"
        );
        scene.follow(&(rest + &has([1]))).await;
        scene.world.stop().await;
    });
}

/// One that comes back and one that is stored: after a kill it is not known that both were handled without the error for the first.
#[test]
fn a_message_counts_when_its_error_can_be_told() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        let romeo = scene.keeps_all().await;
        scene.set(Pace { put: DONE_LATE, ..Pace::default() });
        let sends = scene.follow(
            "R C: <message to='nobody@localhost' type='chat' id='1'><body>1</body></message>\
               <message to='nurse@localhost' type='chat' id='2'><body>2</body></message>",
        );
        assert!(
            timeout(Duration::from_secs(2), Box::pin(sends)).await.is_err(),
            "its error is stored"
        );
        let mut scene = scene.killed().await;
        let rest = format!(
            "password romeo@localhost rose
             S ~ romeo@localhost
             S C: <resume xmlns='urn:xmpp:sm:3' previd='{romeo}' h='0'/>
             S S: <resumed xmlns='urn:xmpp:sm:3' h='0'/>
             S S: nothing"
        );
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}
