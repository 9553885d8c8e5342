//! A session that has grown too large for the store: nobody goes on with what the store had of it before.

use actors::{
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Durability, QueueLimits},
    settings::Settings,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, follow},
    },
};

/// Juliet's session can be resumed.
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
    R C: <message to='juliet@localhost' type='chat' id='a'><body/></message>
    J S: <message id='a'/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    ";

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules
}

fn options() -> WorldOptions {
    let queues = QueueLimits { durability: Durability::Always, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    WorldOptions { settings, ..WorldOptions::default() }
}

#[test]
fn what_the_store_had_of_a_session_that_is_too_large_is_not_gone_on_with() {
    // nobody was connected when the node was killed, or somebody
    for cut in [true, false] {
        World::block_on(async {
            let mut world = World::new(modules(), options()).await;
            follow(PAIR, &mut world).await.unwrap();
            let user = "juliet@localhost".parse().unwrap();
            let juliet = world.env.table.find(&user, "balcony").unwrap();
            let token = juliet.with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap();
            let kept = world.env.stores.sessions.page("", 9).await.unwrap();
            assert_eq!(kept.len(), 1, "the store has it");
            // which it does not acknowledge, and no store keeps elsewhere
            let headline = format!(
                "R C: <message to='juliet@localhost' type='headline'><body>{}</body></message>\n",
                "x".repeat(200_000)
            );
            for _ in 0..22 {
                follow(&headline, &mut world).await.unwrap();
                while let Got::Element(_) = world.next("J", false).await {}
            }
            let last = "R C: <message to='juliet@localhost' type='chat' id='b'><body/></message>
                R S: nothing\n";
            follow(last, &mut world).await.unwrap();
            while let Got::Element(_) = world.next("J", false).await {}
            if cut {
                follow("J cut\nR S: nothing", &mut world).await.unwrap();
            }
            assert_eq!(world.env.stores.sessions.page("", 9).await, Ok(Vec::new()), "{cut}");
            let mut world = world.killed(modules(), options()).await;
            let rest = format!(
                "password juliet@localhost pencil
                 K ~ juliet@localhost
                 K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='2'/>
                 K S: <failed xmlns='urn:xmpp:sm:3'>
                   <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>
                 K C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                 K S: <iq type='result' id='b'/>
                 K C: <presence/>
                 K S: <message id='a'/>
                 K S: <message id='b'/>
                 K S: <presence/>
                 K S: nothing"
            );
            follow(&rest, &mut world).await.unwrap();
            world.stop().await;
        });
    }
}
