//! A connection that was replaced, and does not know it yet, changes nothing of the session that another one has.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::resource::{Resource, Sending, StreamManagement};
use std::sync::Arc;
use xmpp::stanza::Stanza;

/// Four stanzas were written to its client, and it was lost.
fn four_were_sent() -> Arc<Resource> {
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, Default::default(), Arc::default());
    resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
    for id in 1..5 {
        let stanza = Stanza::parse(b"<message type='headline'/>").unwrap();
        assert_eq!(resource.sent_kept(1, &stanza, id), Sending::Now);
    }
    assert!(resource.detach(1, None));
    resource
}

fn counts(resource: &Resource) -> (u64, u64, usize, bool) {
    resource.with_sm(|sm| {
        let sm = sm.as_ref().unwrap();
        (sm.acked, sm.written, sm.unacked.len(), sm.requested)
    })
}

#[test]
fn of_two_resumptions_that_are_answered_in_reverse_order_the_later_one_counts() {
    let resource = four_were_sent();
    let (first, _) = resource.attach().unwrap();
    let (second, _) = resource.attach().unwrap();
    assert_eq!(resource.resume(second, 3), Ok(Some(true)));
    let (before, received) = (counts(&resource), resource.received());
    // with less, with as much as was sent, and with more
    for h in [1, 4, 5] {
        assert_eq!(resource.resume(first, h), Ok(None));
        assert_eq!((counts(&resource), resource.received()), (before, received.clone()), "{h}");
    }
}

#[test]
fn what_a_client_says_over_the_connection_before_changes_nothing() {
    let resource = four_were_sent();
    let (first, _) = resource.attach().unwrap();
    assert_eq!(resource.resume(first, 1), Ok(Some(true)));
    let (second, _) = resource.attach().unwrap();
    assert_eq!(resource.resume(second, 2), Ok(Some(true)));
    let (before, received) = (counts(&resource), resource.received());
    for h in [3, 4, 5] {
        assert_eq!(resource.acknowledge(first, h), Ok(false));
        assert_eq!((counts(&resource), resource.received()), (before, received.clone()), "{h}");
    }
}

#[test]
fn the_connection_before_does_not_ask_what_the_one_that_serves_has_to_ask() {
    let resource = four_were_sent();
    let (first, _) = resource.attach().unwrap();
    let (second, _) = resource.attach().unwrap();
    assert_eq!(resource.resume(second, 4), Ok(Some(true)));
    let stanza = Stanza::parse(b"<message type='headline'/>").unwrap();
    assert_eq!(resource.sent(second, &stanza), Sending::Now);
    let asked = [first, second].map(|epoch| resource.ask(epoch).ask);
    assert_eq!(asked, [false, true]);
}
