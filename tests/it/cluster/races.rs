//! What clients do at the same moment on two nodes.

use super::Shared;
use crate::support::{Peer, block_on, condition};
use actors::testkit::script::Got;
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;
use xmpp::{Element, ns};

/// So long the end of a session that has lost may take to be known.
const SETTLED: Duration = Duration::from_millis(700);

/// So long nothing has come when nothing more will: longer than the turn of another session.
const QUIET: Duration = Duration::from_millis(2_500);

async fn binds(to: SocketAddr, name: &str) -> Option<Peer> {
    let mut peer = Peer::connect(to).await;
    peer.log_in(name).await;
    peer.try_bind("same").await.ok()?;
    peer.send("<presence/>").await;
    Some(peer)
}

/// Whether its stream goes on.
async fn lives(peer: Option<Peer>) -> bool {
    let Some(mut peer) = peer else { return false };
    while let Ok(got) = timeout(SETTLED, peer.next()).await {
        match got {
            Got::Element(e) if e.is(ns::STREAM, "error") => {
                assert_eq!(condition(&e), "conflict");
                return false;
            }
            Got::Element(_) => {}
            _ => return false,
        }
    }
    true
}

/// RFC 6120 section 7.7.2.2: whoever binds last has it, and somebody is the last.
#[test]
fn of_two_log_ons_of_one_name_at_once_one_stays() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet"]).await;
        for round in 0..25 {
            let (a, b) = tokio::join!(binds(one.c2s(), "juliet"), binds(two.c2s(), "juliet"));
            let (a, b) = tokio::join!(lives(a), lives(b));
            assert!(a != b, "round {round}: {a} {b}");
        }
    });
}

async fn resumes(mut peer: Peer, token: &str) -> (Peer, Element) {
    peer.send(&format!("<resume xmlns='{}' previd='{token}' h='0'/>", ns::SM)).await;
    let answer = peer.element().await;
    (peer, answer)
}

/// XEP-0198 section 5: whom `item-not-found` is told forgets the session, which goes on.
#[test]
fn of_two_that_resume_one_session_at_once_none_is_told_that_there_is_none() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two, three] = shared.nodes(&["juliet"]).await;
        for round in 0..8 {
            let mut first = Peer::login(one.c2s(), &format!("juliet@localhost/round{round}")).await;
            first.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
            let token = first.element().await.attr("id").unwrap().to_owned();
            let mut others = Vec::new();
            for node in [&two, &three] {
                let mut peer = Peer::connect(node.c2s()).await;
                peer.log_in("juliet").await;
                others.push(peer);
            }
            drop(first);
            let [a, b] = <[Peer; 2]>::try_from(others).unwrap_or_else(|_| panic!("two"));
            let (a, b) = tokio::join!(resumes(a, &token), resumes(b, &token));
            let answers = [&a.1, &b.1].map(Element::to_xml);
            assert!([&a.1, &b.1].iter().any(|e| e.name() == "resumed"), "{answers:?}");
            assert!(answers.iter().all(|e| !e.contains("item-not-found")), "{answers:?}");
        }
    });
}

/// Redis tells nobody that it was emptied.
#[test]
fn who_comes_right_after_redis_was_emptied_gets_what_was_sent_meanwhile() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo"]).await;
        let mut romeo = Peer::login(one.c2s(), "romeo@localhost/r").await;
        let say = |id: usize| {
            format!("<message to='juliet@localhost' type='chat' id='{id}'><body>x</body></message>")
        };
        for round in 0..4 {
            // so this node remembers that she is away
            romeo.send(&say(2 * round)).await;
            romeo.ping().await;
            shared.redis.say("FLUSHALL").unwrap();
            let mut juliet = Peer::login(two.c2s(), "juliet@localhost/j").await;
            juliet.send("<presence/>").await;
            juliet.until(|e| e.attr("id") == Some(&(2 * round).to_string())).await;
            romeo.send(&say(2 * round + 1)).await;
            juliet.until(|e| e.attr("id") == Some(&(2 * round + 1).to_string())).await;
            juliet.send("</stream:stream>").await;
            while !matches!(juliet.next().await, Got::Eof) {}
        }
    });
}

/// What comes to a client that logs on, until nothing more does.
async fn receives(to: SocketAddr, resource: &str) -> (Peer, Vec<String>) {
    let mut peer = Peer::connect(to).await;
    peer.log_in("juliet").await;
    peer.try_bind(resource).await.unwrap();
    peer.send("<presence/>").await;
    let mut ids = Vec::new();
    while let Ok(got) = timeout(QUIET, peer.next()).await {
        if let Got::Element(e) = got
            && e.name() == "message"
        {
            ids.extend(e.attr("id").map(str::to_owned));
        }
    }
    (peer, ids)
}

#[test]
fn of_two_that_come_at_once_one_gets_what_is_offline() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo"]).await;
        let mut romeo = Peer::login(one.c2s(), "romeo@localhost/orchard").await;
        romeo.send(&format!("<enable xmlns='{}'/>", ns::SM)).await;
        romeo.element().await;
        let body = "<body>Deny thy father</body>";
        for round in 0..5 {
            let sent: Vec<_> = (0..25).map(|n| format!("{round}-{n}")).collect();
            for id in &sent {
                let head = format!("<message to='juliet@localhost' type='chat' id='{id}'>");
                romeo.send(&format!("{head}{body}</message>")).await;
            }
            romeo.send(&format!("<r xmlns='{}'/>", ns::SM)).await;
            romeo.until(|e| e.is(ns::SM, "a")).await;
            let (a, b) = tokio::join!(receives(one.c2s(), "a"), receives(two.c2s(), "b"));
            let (got, other) = if a.1.is_empty() { (b.1, a.1) } else { (a.1, b.1) };
            assert_eq!((got, other), (sent, Vec::new()), "round {round}");
            for mut peer in [a.0, b.0] {
                peer.send("</stream:stream>").await;
                while !matches!(peer.next().await, Got::Eof) {}
            }
        }
    });
}
