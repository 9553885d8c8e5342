//! A message that is on its way into the store when its user's account is removed: its sender is told, and the next account of that
//! name does not get it.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    account, routing,
    testkit::{
        World,
        pace::{DONE_LATE, Pace},
        resumable::{PAIR, offline},
        script::follow,
    },
};
use xmpp::stanza::Stanza;

/// Juliet has a session that is attached, waits to be resumed, or is gone.
async fn removed_meanwhile(juliet: &str) {
    let (mut world, pace) = Pace::world(offline()).await;
    let script = PAIR.to_owned() + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>\n" + juliet;
    follow(&script, &mut world).await.unwrap();
    pace.lock().append = DONE_LATE;
    let message = "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1'>\
        <body>1</body></message>";
    let later = routing::route(&world.env, Stanza::parse(message.as_bytes()).unwrap());
    let user = "juliet@localhost".parse().unwrap();
    let ((), removed) = tokio::join!(later.unwrap(), account::remove(&world.env, &user, None));
    assert_eq!((removed, pace.lock().appends), (Ok(true), 1), "the store was asked before");
    let rest = "R S: <message type='error' id='1' from='juliet@localhost'><error type='cancel'>
            <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
        R S: nothing
        account juliet@localhost ink
        K = juliet@localhost/balcony
        K C: <presence/>
        K S: <presence/>
        K S: nothing";
    follow(rest, &mut world).await.unwrap();
    world.stop().await;
}

#[test]
fn a_message_for_who_is_away_comes_back() {
    World::block_on(removed_meanwhile("J C: </stream:stream>\nJ S: </stream:stream>\nJ S: eof"));
}

#[test]
fn a_message_for_who_waits_to_be_resumed_comes_back() {
    World::block_on(removed_meanwhile("J cut\nR S: nothing"));
}
