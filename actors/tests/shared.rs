//! One message for several sessions of a user, of which the store keeps it for some: each of them gets it, and nobody twice,
//! in whichever order they go.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    routing,
    testkit::{
        World,
        pace::{DONE_LATE, Pace},
        resumable::{DURABILITIES, message, offline, options, two},
        script::follow,
    },
};
use xmpp::stanza::Stanza;

/// A store that does late whatever it is told of sessions that lose their connections.
const LATE: Pace =
    Pace { put: DONE_LATE, append: DONE_LATE, take: DONE_LATE, full: false, appends: 0, puts: 0 };

/// One session waits to be resumed, in vain; the other one has not acknowledged two messages of that time.
fn one_waits() -> String {
    two() + "J cut\n" + &message(1) + &message(2) + "R S: nothing\n"
}

#[test]
fn what_the_store_kept_for_one_that_ended_does_not_come_again_to_one_that_has_it() {
    for durability in DURABILITIES {
        World::block_on(async {
            let mut world = World::new(offline(), options(durability)).await;
            follow(&one_waits(), &mut world).await.unwrap();
            assert_eq!(world.messages("L").await, ["1", "2"]);
            follow("T: 61s", &mut world).await.unwrap();
            assert!(world.messages("L").await.is_empty(), "{durability:?}");
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
            assert_eq!(world.messages("K").await, ["2"], "{durability:?}");
            world.stop().await;
        });
    }
}

#[test]
fn what_the_store_kept_for_one_that_ended_is_there_once_when_the_other_ends() {
    for durability in DURABILITIES {
        for one in ["J", "L"] {
            World::block_on(async {
                let mut world = World::new(offline(), options(durability)).await;
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
                assert_eq!(world.messages("K").await, ["1", "2"], "{durability:?}, {one} first");
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
    let ids = world.messages("K").await;
    world.stop().await;
    ids
}

#[test]
fn what_two_have_that_lose_their_connections_at_once_is_stored_once() {
    World::block_on(async {
        let (mut world, pace) = Pace::world(offline()).await;
        *pace.lock() = LATE;
        let script = two() + &message(1) + &message(2) + "R S: nothing\nJ cut\nL cut\n";
        follow(&script, &mut world).await.unwrap();
        *pace.lock() = Pace::default();
        assert_eq!(left(world).await, ["1", "2"]);
    });
}

#[test]
fn what_is_stored_for_one_while_another_that_has_it_loses_its_connection_is_stored_once() {
    World::block_on(async {
        let (mut world, pace) = Pace::world(offline()).await;
        follow(&(two() + "J cut"), &mut world).await.unwrap();
        *pace.lock() = LATE;
        let message =
            "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1'/>";
        let later = routing::route(&world.env, Stanza::parse(message.as_bytes()).unwrap());
        follow("L S: <message id='1'/>\nL cut", &mut world).await.unwrap();
        *pace.lock() = Pace::default();
        later.unwrap().await;
        assert_eq!(left(world).await, ["1"]);
    });
}
