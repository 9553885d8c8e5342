//! One message for several sessions of a user, of which the store keeps it for some: each of them gets it, and nobody twice,
//! in whichever order they go.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Durability, QueueLimits},
    routing,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, follow},
        writes::Writes,
    },
};
use xmpp::stanza::Stanza;

/// Juliet has two sessions that can be resumed, with nothing to acknowledge.
const TWO: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    R = romeo@localhost/orchard
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
    L = juliet@localhost/garden
    L C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    L S: <enabled xmlns='urn:xmpp:sm:3'/>
    L C: <presence/>
    L S: <presence from='juliet@localhost/garden'/>
    L S: <presence from='juliet@localhost/balcony'/>
    L S: <r xmlns='urn:xmpp:sm:3'/>
    L C: <a xmlns='urn:xmpp:sm:3' h='2'/>
    J S: <presence from='juliet@localhost/garden'/>
    J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
    ";

const DURABILITIES: [Durability; 3] =
    [Durability::Memory, Durability::Detached, Durability::Always];

fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules
}

fn options(durability: Durability) -> WorldOptions {
    let queues = QueueLimits { durability, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    WorldOptions { settings, ..WorldOptions::default() }
}

/// The messages that a client is sent after a script, which it does not acknowledge, and those that come to its user's next one after another.
async fn heard(world: &mut World, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match world.next(name, false).await {
            Got::Element(e) if e.name() == "message" => ids.extend(e.attr("id").map(str::to_owned)),
            Got::Element(_) => {}
            _ => return ids,
        }
    }
}

/// One session waits to be resumed, in vain; the other one has not acknowledged two messages of that time.
fn one_waits() -> String {
    TWO.to_owned() + "J cut\n" + &message(1) + &message(2) + "R S: nothing\n"
}

#[test]
fn what_the_store_kept_for_one_that_ended_does_not_come_again_to_one_that_has_it() {
    for durability in DURABILITIES {
        World::block_on(async {
            let mut world = World::new(modules(), options(durability)).await;
            follow(&one_waits(), &mut world).await.unwrap();
            assert_eq!(heard(&mut world, "L").await, ["1", "2"]);
            follow("T: 61s", &mut world).await.unwrap();
            assert!(heard(&mut world, "L").await.is_empty(), "{durability:?}");
            // unless it goes, and has not acknowledged it: two presences and these came
            let rest = "L C: <a xmlns='urn:xmpp:sm:3' h='3'/>
                L S: <r xmlns='urn:xmpp:sm:3'/>
                L C: </stream:stream>
                L S: </stream:stream>
                L S: eof
                password juliet@localhost pencil
                K = juliet@localhost/orchard
                K C: <presence/>";
            follow(rest, &mut world).await.unwrap();
            assert_eq!(heard(&mut world, "K").await, ["2"], "{durability:?}");
            world.stop().await;
        });
    }
}

#[test]
fn what_the_store_kept_for_one_that_ended_is_there_once_when_the_other_ends() {
    for durability in DURABILITIES {
        for one in ["J", "L"] {
            World::block_on(async {
                let mut world = World::new(modules(), options(durability)).await;
                follow(&one_waits(), &mut world).await.unwrap();
                let (first, then) = match one {
                    "J" => ("balcony", "garden"),
                    _ => ("garden", "balcony"),
                };
                // another session without presence takes the place of each
                for (name, resource) in [("A", first), ("B", then)] {
                    let script = format!(
                        "password juliet@localhost pencil
                         {name} = juliet@localhost/{resource}
                         {name} S: nothing"
                    );
                    follow(&script, &mut world).await.unwrap();
                }
                let last = "password juliet@localhost pencil
                    K = juliet@localhost/orchard
                    K C: <presence/>";
                follow(last, &mut world).await.unwrap();
                assert_eq!(heard(&mut world, "K").await, ["1", "2"], "{durability:?}, {one} first");
                world.stop().await;
            });
        }
    }
}

/// What whoever comes gets when both windows are over.
async fn left(mut world: World) -> Vec<String> {
    let last = "R S: nothing
        T: 61s
        password juliet@localhost pencil
        K = juliet@localhost/orchard
        K C: <presence/>";
    follow(last, &mut world).await.unwrap();
    let ids = heard(&mut world, "K").await;
    world.stop().await;
    ids
}

#[test]
fn what_two_have_that_lose_their_connections_at_once_is_stored_once() {
    World::block_on(async {
        let (mut world, writes) = Writes::world(modules(), false).await;
        let script = TWO.to_owned() + &message(1) + &message(2) + "R S: nothing\nJ cut\nL cut\n";
        follow(&script, &mut world).await.unwrap();
        writes.go_on();
        assert_eq!(left(world).await, ["1", "2"]);
    });
}

#[test]
fn what_is_stored_for_one_while_another_that_has_it_loses_its_connection_is_stored_once() {
    World::block_on(async {
        let (mut world, writes) = Writes::world(modules(), false).await;
        follow(&(TWO.to_owned() + "J cut"), &mut world).await.unwrap();
        let message =
            "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1'/>";
        let later = routing::route(&world.env, Stanza::parse(message.as_bytes()).unwrap());
        follow("L S: <message id='1'/>\nL cut", &mut world).await.unwrap();
        writes.go_on();
        later.unwrap().await;
        assert_eq!(left(world).await, ["1"]);
    });
}
