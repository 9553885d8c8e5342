//! What a resource keeps, refuses and counts.

use super::*;
use std::{
    pin::Pin,
    task::{Context, Waker},
};
use tokio::time::Instant;
use xmpp::jid::Jid;

fn resource() -> Arc<Resource> {
    let limits = QueueLimits { queued: 2, ..QueueLimits::default() };
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, limits, Arc::default());
    resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
    resource
}

fn from(jid: &str) -> Stanza {
    Stanza::parse(format!("<message from='{jid}'><body/></message>").as_bytes()).unwrap()
}

fn unacked(resource: &Resource) -> usize {
    resource.with_sm(|sm| sm.as_ref().map_or(0, |sm| sm.unacked.len()))
}

fn list(jids: &[&str]) -> Arc<Blocklist> {
    Arc::new(jids.iter().map(|j| j.parse().unwrap()).collect())
}

#[test]
fn an_address_is_blocked_as_resource_account_or_domain_but_never_oneself() {
    let user = "juliet@localhost".parse().unwrap();
    for (entry, jid, blocked) in [
        ("a@x/r", "a@x/r", true),
        ("a@x/r", "a@x/s", false),
        ("a@x/r", "a@x", false),
        ("a@x", "a@x/r", true),
        ("a@x", "b@x", false),
        ("x/r", "x/r", true),
        ("x/r", "x", false),
        ("x/r", "a@x/r", false),
        ("x", "x", true),
        ("x", "x/r", true),
        ("x", "a@x/r", true),
        ("x", "a@y", false),
        ("localhost", "juliet@localhost/chamber", false),
        ("juliet@localhost", "juliet@localhost", false),
    ] {
        let found = blocks(&list(&[entry]), &user, &jid.parse().unwrap());
        assert_eq!(found, blocked, "{entry} and {jid}");
    }
}

#[test]
fn a_list_holds_for_what_waits_already_except_what_is_in_hand() {
    let resource = resource();
    resource.deliver(from("a@x/1")).unwrap();
    resource.deliver(from("a@x/2")).unwrap();
    assert!(matches!(resource.deliver(from("b@x/1")), Err(Refused::Full(..))));
    let more = resource.drain(1, 1, |_| {
        let refused = resource.set_blocked(&list(&["a@x"]));
        assert_eq!(refused, [from("a@x/2")]);
        Drained::Sent
    });
    assert_eq!((more, resource.queued(), unacked(&resource)), (Some(false), 0, 1));
    assert!(matches!(resource.deliver(from("a@x/1")), Err(Refused::Blocked(_))));
    resource.deliver(from("b@x/1")).unwrap();
}

#[test]
fn what_the_old_connection_had_begun_counts_for_the_new_one_once() {
    let resource = resource();
    assert!(resource.begin(1, &from("juliet@localhost/balcony")));
    let (epoch, _) = resource.attach().unwrap();
    assert!(!resource.begin(1, &from("juliet@localhost/balcony")), "the client sends it again");
    let handled = || resource.with_sm(|sm| sm.as_ref().map(|s| s.handled));
    assert_eq!(handled(), Some(1), "the client must not send it again");
    resource.finish(1);
    assert_eq!(handled(), Some(1));
    assert_eq!(
        resource.sent(1, &from("a@x")),
        Sending::Elsewhere,
        "the answer is for the new connection to send"
    );
    assert_eq!(resource.sent(epoch, &from("a@x")), Sending::Now);
}

/// What the connection before told it may still be on its way there.
#[test]
fn a_connection_that_takes_over_tells_the_store_anew() {
    let limits = QueueLimits { durability: Durability::Always, ..QueueLimits::default() };
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, limits, Arc::default());
    let sm = StreamManagement { token: Some("k".to_owned()), ..StreamManagement::default() };
    resource.with_sm(|state| *state = Some(sm));
    resource.keep_as(|| "k".to_owned(), None);
    let notes = || resource.to_note().map(|(_, epoch)| epoch);
    assert_eq!(resource.told_as(), None, "it knows nothing yet");
    assert_eq!((notes(), notes()), (Some(1), None));
    assert_eq!(resource.told_as().as_deref(), Some("k"));
    let (epoch, _) = resource.attach().unwrap();
    assert_eq!((notes(), notes()), (Some(2), None));
    assert!(resource.begin(epoch, &from("juliet@localhost/balcony")));
    let with_this = Some(("k".to_owned(), 1));
    assert_eq!(resource.handles_with_this(), with_this);
    assert!(resource.attach().is_some());
    assert_eq!(resource.handles_with_this(), with_this, "it counts already");
}

/// When such a session ends, the store has nothing to forget.
#[test]
fn the_store_knows_of_a_session_once_its_key_was_given_out() {
    let [always, detached] = [Durability::Always, Durability::Detached].map(|durability| {
        let limits = QueueLimits { durability, ..QueueLimits::default() };
        let jid = "juliet@localhost/balcony".parse().unwrap();
        let resource = Resource::new(jid, 1, limits, Arc::default());
        let sm = StreamManagement { token: Some("k".to_owned()), ..StreamManagement::default() };
        resource.with_sm(|state| *state = Some(sm));
        resource
    });
    always.keep_as(|| "k".to_owned(), None);
    assert!(detached.detach(1, None));
    for resource in [&always, &detached] {
        assert!(resource.stored_as().is_some() && resource.told_as().is_none());
    }
    assert!(always.holds_as().is_some());
    assert!(detached.park(Instant::now(), |_| true).is_some());
    for resource in [&always, &detached] {
        assert_eq!(resource.told_as(), resource.stored_as());
    }
}

#[test]
fn what_offline_storage_keeps_is_not_sent_on_its_way_again() {
    let resource = resource();
    let acked = u64::from(u32::MAX);
    let sm = StreamManagement { acked, written: acked, ..StreamManagement::default() };
    resource.with_sm(|state| *state = Some(sm));
    assert_eq!(resource.sent_kept(1, &from("a@x/1"), 11), Sending::Now);
    assert_eq!(resource.sent(1, &from("a@x/2")), Sending::Now);
    assert_eq!(resource.sent_kept(1, &from("a@x/3"), 13), Sending::Now);
    assert_eq!((resource.acknowledge(1, 0), resource.received()), (Ok(true), vec![11]));
    assert_eq!((resource.acknowledge(1, 1), resource.kept_after()), (Ok(false), 13));
    assert_eq!(resource.sent(1, &from("a@x/2")), Sending::Now);
    assert_eq!(resource.sent_kept(1, &from("a@x/5"), 15), Sending::Now);
    assert!(resource.end(Ended::Closed, 1));
    resource.told();
    let left = || resource.leftover().unwrap();
    assert!(matches!(left(), Left::Kept(ids) if ids == [13]));
    resource.passed();
    assert!(
        !resource.has_stored()
            && matches!(left(), Left::Stanza(arrived) if arrived.stanza == from("a@x/2"))
    );
    resource.passed();
    assert!(resource.has_stored());
    assert!(matches!(left(), Left::Kept(ids) if ids == [15]), "it comes after that");
    resource.passed();
    assert!(resource.leftover().is_none() && resource.standing() == Standing::Away);
    assert_eq!(resource.received(), [11]);
    resource.forgotten(&[11]);
    assert!(resource.received().is_empty());
}

#[test]
fn what_is_not_acknowledged_has_a_limit_in_bytes() {
    let limits = QueueLimits { queued_bytes: 1_000, ..QueueLimits::default() };
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, limits, Arc::default());
    resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
    let large = format!("<message><body>{}</body></message>", "x".repeat(900));
    let send =
        || assert_eq!(resource.sent(1, &Stanza::parse(large.as_bytes()).unwrap()), Sending::Now);
    (0..3).for_each(|_| send());
    assert!(!resource.crowded());
    send();
    assert!(resource.crowded() && !resource.ask(1).overdue);
    (0..4).for_each(|_| send());
    assert!(resource.ask(1).overdue);
}

#[test]
fn a_start_tag_counts_as_what_it_is() {
    let limits = QueueLimits { queued_bytes: 1 << 20, ..QueueLimits::default() };
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, limits, Arc::default());
    resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
    let attributes: String = (0..60).map(|n| format!(" a{n}='{}'", "x".repeat(4_000))).collect();
    let attributes = format!("<message{attributes}/>");
    let namespaces: String =
        (0..200).map(|n| format!("<c xmlns='{n}{}'/>", "y".repeat(1 << 10))).collect();
    for xml in [attributes, format!("<message>{namespaces}</message>")] {
        let large = Stanza::parse(xml.as_bytes()).unwrap();
        let taken = (0..1_000).take_while(|_| resource.deliver(large.clone()).is_ok()).count();
        assert!((1..=4).contains(&taken), "{taken} of {} bytes", xml.len());
        assert!(resource.bytes() <= 1 << 20 && resource.bytes() >= taken * xml.len());
        let held = resource.bytes();
        assert_eq!(resource.drain(1, 9, |_| Drained::Sent), Some(false));
        assert_eq!(resource.bytes(), held, "it is not acknowledged");
        let sent = resource.with_sm(|sm| sm.as_ref().unwrap().sent());
        assert_eq!(resource.acknowledge(1, u32::try_from(sent).unwrap()), Ok(false));
        assert_eq!(resource.bytes(), 0);
    }
}

#[test]
fn the_addresses_of_directed_presence_have_a_limit_in_bytes() {
    let limits = QueueLimits { directed: 100, ..QueueLimits::default() };
    let jid = "juliet@localhost/balcony".parse().unwrap();
    let resource = Resource::new(jid, 1, limits, Arc::default());
    let to = |n: usize, resource: &str| format!("{n}@x/{resource}").parse::<Jid>().unwrap();
    assert!((0..200).all(|n| resource.directed_add(&to(n, "r"))));
    assert_eq!(resource.directed().len(), 100);
    let long = "y".repeat(1_000);
    assert!((0..200).all(|n| resource.directed_add(&to(n, &long))));
    let directed = resource.directed();
    assert!(directed.iter().map(Jid::weight).sum::<usize>() <= 100 * directed::ORDINARY);
    assert_eq!(directed.last(), Some(&to(199, &long)), "the last is there");
}

#[test]
fn what_is_kept_does_not_overtake_messages_of_a_lower_number() {
    let resource = resource();
    resource.deliver_as(from("a@x/1"), None, Keeping::Stored(5)).unwrap();
    assert!(!resource.waits_for_queue("offline", 4));
    assert!(resource.waits_for_queue("offline", 6));
    resource.divert("offline", 6);
    assert!(resource.waits_for_queue("offline", 6) && resource.is_diverted());
    let mut order = Vec::new();
    resource.drain(1, 9, |item| {
        order.push(matches!(item, Item::Notice("offline")));
        Drained::Sent
    });
    assert_eq!((order, resource.waits_for_queue("offline", 6)), (vec![false, true], false));
}

#[test]
fn what_may_just_have_been_refused_does_not_overtake_what_waits() {
    let resource = resource();
    for n in ["a@x/1", "a@x/2"] {
        resource.deliver(from(n)).unwrap();
    }
    assert!(!resource.waits_for_queue("offline", 7));
    let refused = resource.deliver(from("a@x/3"));
    assert!(matches!(refused, Err(Refused::Full(..))) && resource.waits_for_queue("offline", 7));
    resource.drain(1, 9, |_| Drained::Sent);
    assert!(!resource.waits_for_queue("offline", 7), "it may go");
}

#[test]
fn messages_do_not_overtake_what_is_kept() {
    let resource = resource();
    resource.deliver(from("a@x/1")).unwrap();
    resource.notice("offline");
    resource.divert("offline", 7);
    assert!(matches!(resource.deliver(from("a@x/2")), Err(Refused::Full(..))));
    resource.rejoin("offline");
    assert!(matches!(resource.deliver(from("a@x/2")), Err(Refused::Full(..))), "it waits");
    assert!(resource.waits_for_queue("offline", 7));
    assert_eq!(resource.drain(1, 1, |_| Drained::Sent), Some(true));
    // an error is not refused: it stands behind the notice, and is newer
    let error = "<message type='error' from='a@x/3'/>";
    resource.deliver(Stanza::parse(error.as_bytes()).unwrap()).unwrap();
    assert!(!resource.waits_for_queue("offline", 7));
    let mut order = Vec::new();
    let more = resource.drain(1, 9, |item| {
        order.push(matches!(item, Item::Notice("offline")));
        Drained::Sent
    });
    assert_eq!((more, order), (Some(false), vec![true, false]));
    resource.rejoin("offline");
    resource.deliver(from("a@x/2")).unwrap();
}

#[test]
fn presence_and_what_a_connection_holds_count() {
    let resource = resource();
    assert_eq!(resource.bytes(), 0);
    resource.holds(0, 100_000);
    resource.holds(100_000, 30_000);
    assert_eq!(resource.bytes(), 30_000);
    resource.holds(30_000, 0);
    let content = "<a/>".repeat(10_000);
    let presence = Stanza::parse(format!("<presence>{content}</presence>").as_bytes()).unwrap();
    resource.set_presence(presence.clone(), 0);
    assert_eq!(resource.bytes(), presence.weight());
    assert!(resource.bytes() > content.len());
    resource.withdraw();
    resource.told();
    assert_eq!(resource.bytes(), 0);
}

/// There is one for each client: one more field can cost an idle connection 128 bytes, as the allocator rounds up.
#[test]
fn a_resource_is_not_larger_than_its_size_class() {
    let counts = 2 * size_of::<usize>();
    assert!(size_of::<Resource>() + counts <= 640, "{}", size_of::<Resource>() + counts);
}

fn is_ready(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// However many connections take a session over in a row, and whatever each does at that moment.
#[test]
fn a_connection_that_was_replaced_hears_it_and_takes_no_bell_of_the_one_that_serves() {
    let resource = resource();
    let mut first = Box::pin(resource.notified(1));
    assert!(!is_ready(first.as_mut()));
    assert!(resource.attach().is_some() && resource.attach().is_some());
    let mut third = Box::pin(resource.notified(3));
    assert!(!is_ready(third.as_mut()));
    // bytes came at the same moment: it looks at these first, and waits again
    drop(first);
    assert!(is_ready(pin!(resource.notified(1))), "the first connection is never told");
    assert!(is_ready(pin!(resource.notified(2))));
    drop(third);
    while is_ready(pin!(resource.notified(3))) {}
    resource.deliver(from("a@x/1")).unwrap();
    assert!(is_ready(pin!(resource.notified(1))));
    assert!(is_ready(pin!(resource.notified(3))), "nobody hears what came");
    assert!(!is_ready(pin!(resource.notified(3))));
}
