//! Users on different nodes are together as on one.

use super::Shared;
use crate::support::{Peer, block_on};
use xmpp::{Element, ns};

/// The id of a message with a body.
fn id(message: &Element) -> Option<String> {
    (message.name() == "message").then(|| message.attr("id").unwrap_or_default().to_owned())
}

/// Sends messages with these ids to an address, and waits until its server has dealt with them.
async fn say(peer: &mut Peer, to: &str, ids: std::ops::Range<usize>) {
    for id in ids {
        let head = format!("<message to='{to}' type='chat' id='{id}'>");
        peer.send(&(head + "<body>x</body></message>")).await;
    }
}

/// The ids of that many messages, in the order in which they come.
async fn heard(peer: &mut Peer, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.extend(id(&peer.element().await));
    }
    ids
}

fn texts(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

fn is_presence(element: &Element, from: &str, kind: Option<&str>) -> bool {
    element.name() == "presence"
        && element.attr("from") == Some(from)
        && element.attr("type") == kind
}

#[test]
fn who_are_on_two_nodes_write_ask_and_conflict_as_on_one() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo", "mercutio"]).await;
        let mut juliet = Peer::login(one.c2s(), "juliet@localhost/balcony").await;
        let mut romeo = Peer::login(two.c2s(), "romeo@localhost/orchard").await;
        juliet.available().await;
        romeo.available().await;

        // both ways, to an account and to a resource, in order
        say(&mut juliet, "romeo@localhost", 0..20).await;
        say(&mut juliet, "romeo@localhost/orchard", 20..40).await;
        say(&mut romeo, "juliet@localhost", 0..20).await;
        say(&mut romeo, "juliet@localhost/balcony", 20..40).await;
        assert_eq!(heard(&mut romeo, 40).await, texts(0..40));
        assert_eq!(heard(&mut juliet, 40).await, texts(0..40));

        // a request to a resource, and its answer
        let ping = format!("<ping xmlns='{}'/>", ns::PING);
        romeo
            .send(&format!("<iq to='juliet@localhost/balcony' type='get' id='q'>{ping}</iq>"))
            .await;
        let asked = juliet.until(|e| e.name() == "iq").await;
        let (from, to) = (asked.attr("id"), asked.attr("from"));
        assert_eq!((from, to), (Some("q"), Some("romeo@localhost/orchard")));
        juliet.send("<iq to='romeo@localhost/orchard' type='result' id='q'/>").await;
        let answer = romeo.until(|e| e.attr("id") == Some("q")).await;
        assert_eq!(answer.attr("type"), Some("result"), "{}", answer.to_xml());
        assert_eq!(answer.attr("from"), Some("juliet@localhost/balcony"));
        // and to one that is not there
        romeo.send(&format!("<iq to='juliet@localhost/tomb' type='get' id='r'>{ping}</iq>")).await;
        let answer = romeo.until(|e| e.attr("id") == Some("r")).await;
        assert_eq!(answer.attr("type"), Some("error"), "{}", answer.to_xml());

        // for somebody who is away: once, whichever node they come to
        say(&mut juliet, "mercutio@localhost", 0..3).await;
        assert_eq!(juliet.ping().await, []);
        let mut mercutio = Peer::login(two.c2s(), "mercutio@localhost/r").await;
        mercutio.send("<presence/>").await;
        assert_eq!(heard(&mut mercutio, 3).await, texts(0..3));
        assert_eq!(mercutio.ping().await.iter().filter_map(id).count(), 0);
        drop(mercutio);
        let mut mercutio = Peer::login(one.c2s(), "mercutio@localhost/s").await;
        mercutio.available().await;
        assert_eq!(mercutio.ping().await.iter().filter_map(id).count(), 0, "they came again");

        // one resource, on the other node
        let mut again = Peer::login(two.c2s(), "juliet@localhost/balcony").await;
        assert_eq!(juliet.refusal().await, "conflict");
        again.available().await;
        say(&mut romeo, "juliet@localhost/balcony", 40..43).await;
        assert_eq!(heard(&mut again, 3).await, texts(40..43));
    });
}

#[test]
fn contacts_on_two_nodes_see_each_other_and_one_roster() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo"]).await;
        let mut juliet = Peer::login(one.c2s(), "juliet@localhost/balcony").await;
        let mut chamber = Peer::login(two.c2s(), "juliet@localhost/chamber").await;
        let mut romeo = Peer::login(two.c2s(), "romeo@localhost/orchard").await;
        let roster = format!("<iq type='get' id='roster'><query xmlns='{}'/></iq>", ns::ROSTER);
        for peer in [&mut juliet, &mut chamber, &mut romeo] {
            peer.send(&roster).await;
            peer.until(|e| e.attr("id") == Some("roster")).await;
        }
        juliet.available().await;
        romeo.available().await;
        // her resources see one another
        chamber.send("<presence/>").await;
        juliet.until(|e| is_presence(e, "juliet@localhost/chamber", None)).await;
        chamber.until(|e| is_presence(e, "juliet@localhost/balcony", None)).await;

        // what one adds, the other is told
        let item = "<item jid='nurse@localhost' name='Nurse'/>";
        let set =
            format!("<iq type='set' id='add'><query xmlns='{}'>{item}</query></iq>", ns::ROSTER);
        juliet.send(&set).await;
        let is_push = |e: &Element, jid: &str, subscription: &str| {
            e.child(ns::ROSTER, "query").is_some_and(|query| {
                query.children().any(|item| {
                    item.attr("jid") == Some(jid) && item.attr("subscription") == Some(subscription)
                })
            }) && e.attr("type") == Some("set")
        };
        chamber.until(|e| is_push(e, "nurse@localhost", "none")).await;

        // he asks, she agrees from the other node; both her resources are told
        romeo.send("<presence to='juliet@localhost' type='subscribe'/>").await;
        for peer in [&mut juliet, &mut chamber] {
            peer.until(|e| is_presence(e, "romeo@localhost", Some("subscribe"))).await;
        }
        juliet.send("<presence to='romeo@localhost' type='subscribed'/>").await;
        for peer in [&mut juliet, &mut chamber] {
            peer.until(|e| is_push(e, "romeo@localhost", "from")).await;
        }
        // all her resources come with it
        let mut left = vec!["juliet@localhost/balcony", "juliet@localhost/chamber"];
        while !left.is_empty() {
            let presence = romeo.until(|e| e.name() == "presence").await;
            left.retain(|from| !is_presence(&presence, from, None));
        }
        // and what becomes of them, on both nodes
        juliet.send("<presence><show>away</show></presence>").await;
        let away = romeo.until(|e| is_presence(e, "juliet@localhost/balcony", None)).await;
        assert!(away.child(ns::CLIENT, "show").is_some(), "{}", away.to_xml());
        chamber.send("</stream:stream>").await;
        romeo.until(|e| is_presence(e, "juliet@localhost/chamber", Some("unavailable"))).await;
        drop(juliet);
        romeo.until(|e| is_presence(e, "juliet@localhost/balcony", Some("unavailable"))).await;
        // who comes later asks every node
        let _juliet = {
            let mut juliet = Peer::login(one.c2s(), "juliet@localhost/balcony").await;
            juliet.available().await;
            juliet
        };
        romeo.until(|e| is_presence(e, "juliet@localhost/balcony", None)).await;
        let mut later = Peer::login(one.c2s(), "romeo@localhost/later").await;
        later.send("<presence/>").await;
        later.until(|e| is_presence(e, "juliet@localhost/balcony", None)).await;
        later.send("<presence/>").await;
    });
}
