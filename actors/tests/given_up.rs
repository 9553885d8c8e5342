//! One message for several sessions of a user that all end while the store is being told of it: whoever is the last sees to it.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    resource::{Ended, Left, Parked, Parking, QueueLimits, Resource, Share, StreamManagement},
    routing,
    testkit::{
        World,
        pace::Pace,
        resumable::{offline, two},
        script::follow,
    },
};
use std::sync::Arc;
use tokio::time::Instant;
use xmpp::stanza::Stanza;

/// It was sent that, has not acknowledged it, and goes.
const CLOSES: &str = "J S: <message id='1'/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    J C: </stream:stream>
    J S: </stream:stream>
    J S: eof\n";

/// One session lost its connection; the other one has the message, and goes before the store is asked to keep it for the first.
async fn both_go(message: &str, room: bool, then: &str) -> World {
    let (mut world, pace) = Pace::world(offline()).await;
    follow(&two(), &mut world).await.unwrap();
    pace.lock().full = !room;
    follow("L cut\nR S: nothing", &mut world).await.unwrap();
    let later = routing::route(&world.env, Stanza::parse(message.as_bytes()).unwrap());
    follow(&[CLOSES, then].concat(), &mut world).await.unwrap();
    later.unwrap().await;
    world
}

#[test]
fn what_the_store_does_not_take_for_the_last_comes_back() {
    let message = "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1'>\
        <body>1</body></message>";
    World::block_on(async {
        let mut world = both_go(message, false, "").await;
        follow("R S: <message type='error' id='1'/>", &mut world).await.unwrap();
        world.stop().await;
    });
}

#[test]
fn what_is_not_to_be_stored_for_the_last_comes_back_when_that_has_ended() {
    let message = "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1'>\
        <body>1</body><no-store xmlns='urn:xmpp:hints'/></message>";
    World::block_on(async {
        let mut world = both_go(message, true, "T: 61s\n").await;
        follow("R S: <message type='error' id='1'/>", &mut world).await.unwrap();
        world.stop().await;
    });
}

/// A session without a connection that has the only share of a message, of which the store is being told.
fn parking() -> (Arc<Resource>, Parking) {
    let resource = Resource::new(
        "juliet@localhost/balcony".parse().unwrap(),
        1,
        QueueLimits::default(),
        Arc::default(),
    );
    let mut sm = StreamManagement::default();
    sm.token = Some("token".to_owned());
    resource.with_sm(|state| *state = Some(sm));
    let message = Stanza::parse(b"<message type='chat' id='1'/>").unwrap();
    resource.deliver_shared(message, Share::default()).unwrap();
    assert!(resource.detach(1, None));
    let parking = resource.park(Instant::now(), |_| true).unwrap();
    assert!(resource.end(Ended::Closed, 1));
    (resource, parking)
}

#[test]
fn what_was_on_its_way_into_the_store_is_left_when_the_last_session_ends() {
    // the store takes it, in time or not, or does not take it
    let (resource, parking) = parking();
    assert!(matches!(resource.parked(parking, &[7]), Parked::Kept(ids) if ids.is_empty()));
    assert!(matches!(resource.leftover(), Some(Left::Kept(ids)) if ids == [7]));

    let (resource, parking) = self::parking();
    resource.told_store(false);
    assert!(matches!(resource.parked(parking, &[7]), Parked::TooLate));
    assert!(matches!(resource.leftover(), Some(Left::Stanza(left)) if left.kept == 0));

    let (resource, parking) = self::parking();
    drop(parking);
    resource.told_store(false);
    assert!(matches!(resource.leftover(), Some(Left::Stanza(left)) if left.kept == 0));
}
