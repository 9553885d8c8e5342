//! Clients that do not read, do not acknowledge, or are killed: what is meant for them is delivered,
//! kept or answered, never silently gone (law 11); whoever sends is not held up, and no queue grows
//! beyond its limit (law 2).

use crate::support::{
    PASSWORD, Peer, TestNode, block_in_one_thread, block_on, stanza_error, until,
};
use actors::resource::Resource;
use std::{sync::Arc, time::Duration};
use xmpp::{Element, stanza::Stanza};

const OPTIONS: &str = "\
limits.queued = 20
limits.session_rate = '0B'
modules.offline.messages = 5000
modules.offline.size = '64MiB'
modules.offline.sender_share = 100
";

const IQ: &str = "<iq type='get' id='iq' to='b@localhost/slow'><x xmlns='urn:x'/></iq>";

async fn node(options: &str) -> TestNode {
    let node = TestNode::start(options).await;
    for user in ["a", "b", "c"] {
        node.account(&format!("{user}@localhost"), PASSWORD).await;
    }
    node
}

fn resource(node: &TestNode, resource: &str) -> Option<Arc<Resource>> {
    node.node.env().table.find(&"b@localhost".parse().unwrap(), resource)
}

/// The ids of the messages that are kept for b.
async fn kept(node: &TestNode) -> Vec<usize> {
    let offline = &node.node.env().stores.offline;
    let page = offline.page(&"b@localhost".parse().unwrap(), 0, 10_000, usize::MAX).await.unwrap();
    page.iter().map(|m| number(&m.stanza)).collect()
}

fn number(stanza: &Stanza) -> usize {
    stanza.head.id.as_deref().unwrap().parse().unwrap()
}

/// Reads messages until so many have come; their ids, and what else came.
async fn messages(peer: &mut Peer, count: usize) -> (Vec<usize>, Vec<Element>) {
    let (mut ids, mut others) = (Vec::new(), Vec::new());
    while ids.len() < count {
        let element = peer.element().await;
        if element.name() == "message" {
            ids.push(element.attr("id").unwrap().parse().unwrap());
        } else {
            others.push(element);
        }
    }
    (ids, others)
}

fn message(to: &str, id: usize, size: usize) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>{}</body></message>", "x".repeat(size))
}

/// A session of b that does not read, with XEP-0198, and a's, who has sent so many messages by the
/// time that one is kept: they wait in b's socket, its buffer and its queue.
async fn stalled(node: &TestNode, name: &str) -> (Peer, Peer, usize) {
    let mut b = Peer::connect_narrow(node.c2s()).await;
    b.log_on(&format!("b@localhost/{name}")).await;
    b.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    b.available().await;
    let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
    let mut sent = 0;
    while kept(node).await.is_empty() {
        a.send(&message("b@localhost", sent, 16 << 10)).await;
        a.ping().await;
        sent += 1;
    }
    (b, a, sent)
}

/// A new session of b gets all that was sent, once, in order.
async fn nothing_is_lost(node: &TestNode, sent: usize) {
    let mut b = Peer::login(node.c2s(), "b@localhost/again").await;
    b.send("<presence/>").await;
    let (ids, _) = messages(&mut b, sent).await;
    assert_eq!(ids, (0..sent).collect::<Vec<_>>(), "each once, in their order");
    assert!(b.ping().await.iter().all(|e| e.name() != "message"));
}

/// Every process is in the tree.
/// While something ends it can be gone from one and not from the other.
fn all_in_the_tree(node: &TestNode) -> bool {
    let tree = node.node.system().tree();
    node.node.system().alive() == tree.iter().map(|t| t.count()).sum::<usize>()
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up_and_gets_everything_in_the_end() {
    const COUNT: usize = 700;
    block_on(async {
        let node = node(OPTIONS).await;
        let mut b = Peer::connect_narrow(node.c2s()).await;
        b.log_on("b@localhost/slow").await;
        b.available().await;
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        let (mut asked, mut refused) = (0, 0);
        for id in 0..COUNT {
            a.send(&message("b@localhost", id, 16 << 10)).await;
            if id % 50 == 49 {
                asked += 1;
                a.send(&format!("{IQ}<presence to='b@localhost/slow'/>")).await;
                for answer in a.ping().await {
                    let error = stanza_error(&answer).unwrap();
                    assert_eq!((answer.name(), &*error.1), ("iq", "resource-constraint"));
                    assert_eq!(error.0, "wait");
                    refused += 1;
                }
            }
            let queued = resource(&node, "slow").unwrap().queued();
            assert!(queued <= 21, "20 stanzas, and a notice that messages are kept: {queued}");
        }
        refused += a.ping().await.len();
        // messages that are kept leave room for requests, but not for many
        while refused == 0 {
            asked += 1;
            a.send(IQ).await;
            refused += a.ping().await.len() + a.ping().await.len();
        }
        assert!(!kept(&node).await.is_empty(), "the rest is kept");
        // now it reads: everything comes, once, in the order in which it was sent
        let (ids, others) = messages(&mut b, COUNT).await;
        assert_eq!(ids, (0..COUNT).collect::<Vec<_>>());
        let iqs = others.iter().filter(|e| e.name() == "iq").count();
        let iqs = iqs + b.ping().await.iter().filter(|e| e.name() == "iq").count();
        assert_eq!(iqs + refused, asked, "a request is delivered or answered");
        b.ping().await;
        assert!(kept(&node).await.is_empty(), "and nothing is kept that was delivered");
        drop((a, b));
        until("everybody is gone", || node.connections() == 0).await;
        until("all that lives is in the tree", || all_in_the_tree(&node)).await;
        node.stop().await;
    });
}

#[test]
fn the_order_is_kept_while_a_slow_client_reads_a_little_at_a_time() {
    const COUNT: usize = 1_500;
    block_on(async {
        let node = node(OPTIONS).await;
        let mut b = Peer::connect_narrow(node.c2s()).await;
        b.log_on("b@localhost/slow").await;
        b.available().await;
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        let send = async {
            for id in 0..COUNT {
                a.send(&message("b@localhost", id, 16 << 10)).await;
            }
            assert_eq!(a.ping().await, []);
        };
        let read = async {
            let mut all = Vec::new();
            while all.len() < COUNT {
                let count = (COUNT - all.len()).min(7);
                all.extend(messages(&mut b, count).await.0);
                tokio::task::yield_now().await;
            }
            all
        };
        let ((), ids) = tokio::join!(send, read);
        let wrong = ids.windows(2).find(|w| w[0] + 1 != w[1]);
        assert_eq!((wrong, ids.len()), (None, COUNT));
        node.stop().await;
    });
}

#[test]
fn answers_wait_for_whoever_asks_and_does_not_read() {
    const SIZE: usize = 60_000;
    const COUNT: usize = 1_000;
    block_on(async {
        let node = node(OPTIONS).await;
        let mut c = Peer::login(node.c2s(), "c@localhost/bystander").await;
        let mut b = Peer::connect_narrow(node.c2s()).await;
        b.log_on("b@localhost/asking").await;
        let card = format!("<vCard xmlns='vcard-temp'><NOTE>{}</NOTE></vCard>", "x".repeat(SIZE));
        b.send(&format!("<iq type='set' id='card'>{card}</iq>")).await;
        b.until(|e| e.attr("id") == Some("card")).await;
        let mut ask = String::new();
        for id in 0..COUNT {
            ask.push_str(&format!("<iq type='get' id='{id}'><vCard xmlns='vcard-temp'/></iq>"));
        }
        let requests = || node.counted("mangrove_stanzas_total{direction=\"in\",kind=\"iq\"}");
        let before = requests();
        b.send(&ask).await;
        for pings in 1..=200 {
            c.ping().await;
            let asked = requests() - before - pings;
            // what the system buffers, and a little that the server does
            assert!(asked * SIZE < 8 << 20, "{asked} answers wait for who does not read");
        }
        for id in 0..COUNT {
            assert_eq!(b.element().await.attr("id"), Some(&*id.to_string()));
        }
        node.stop().await;
    });
}

#[test]
fn a_client_that_does_not_acknowledge_is_let_go_and_loses_nothing() {
    // too many, or too large
    block_on(deaf("limits.unacked = 10", 10));
    block_on(deaf(
        "limits.max_stanza = '10KB'\nlimits.queued_bytes = '64KiB'\nlimits.session_rate = '0B'",
        9_000,
    ));
}

#[test]
fn a_client_that_is_slow_to_take_its_answers_may_be_slow_to_acknowledge() {
    const SIZE: usize = 200_000;
    // more than the system buffers
    const ANSWERS: usize = 28;
    block_in_one_thread(async {
        // from 31 on the queue waits
        let options = "limits.unacked = 60\nmodules.vcard.max_size = '256KiB'\n";
        let node = node(&format!("{OPTIONS}{options}")).await;
        let mut b = Peer::connect_narrow(node.c2s()).await;
        b.log_on("b@localhost/slow").await;
        b.available().await;
        let card = format!("<vCard xmlns='vcard-temp'><NOTE>{}</NOTE></vCard>", "x".repeat(SIZE));
        b.send(&format!("<iq type='set' id='card'>{card}</iq>")).await;
        b.until(|e| e.attr("id") == Some("card")).await;
        b.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
        b.until(|e| e.name() == "enabled").await;
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        for id in 0..40 {
            a.send(&message("b@localhost", id, 10)).await;
            a.ping().await;
        }
        until("the queue waits", || resource(&node, "slow").unwrap().queued() == 9).await;
        for n in 0..ANSWERS {
            b.send(&format!("<iq type='get' id='card-{n}'><vCard xmlns='vcard-temp'/></iq>")).await;
        }
        for _ in 0..100 {
            a.ping().await;
        }
        tokio::time::pause();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(21)).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        tokio::time::resume();
        let last = format!("card-{}", ANSWERS - 1);
        b.until(|e| e.attr("id") == Some(&last)).await;
        b.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", 31 + ANSWERS)).await;
        let (ids, _) = messages(&mut b, 9).await;
        assert_eq!(ids, (31..40).collect::<Vec<_>>());
        node.stop().await;
    });
}

async fn deaf(options: &str, size: usize) {
    let node = node(options).await;
    let mut b = Peer::login(node.c2s(), "b@localhost/deaf").await;
    b.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    b.available().await;
    let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
    let mut sent = 0;
    let error = loop {
        a.send(&message("b@localhost", sent, size)).await;
        sent += 1;
        let next = b.until(|e| e.name() != "r").await;
        if next.name() == "error" {
            break next;
        }
        assert_eq!(next.name(), "message");
        assert!(sent < 1_000, "it never ends");
    };
    assert!(error.child("urn:ietf:params:xml:ns:xmpp-streams", "policy-violation").is_some());
    for id in sent..sent + 10 {
        a.send(&message("b@localhost", id, size)).await;
    }
    until("its session has ended", || resource(&node, "deaf").is_none()).await;
    assert_eq!(a.ping().await, []);
    nothing_is_lost(&node, sent + 10).await;
    node.stop().await;
}

#[test]
fn the_messages_of_a_connection_that_is_killed_are_kept() {
    block_on(async {
        let node = node(OPTIONS).await;
        let (_b, mut a, sent) = stalled(&node, "doomed").await;
        assert!(resource(&node, "doomed").unwrap().queued() > 0);
        let pids = node.node.system().pids();
        let is = |p: &&supervision::Local| p.status().is_some_and(|s| &*s == "b@localhost/doomed");
        let pid = pids.iter().find(is).unwrap();
        pid.kill();
        pid.wait().await;
        until("its session has ended", || resource(&node, "doomed").is_none()).await;
        for id in sent..sent + 10 {
            a.send(&message("b@localhost", id, 10)).await;
        }
        assert_eq!(a.ping().await, []);
        nothing_is_lost(&node, sent + 10).await;
        until("all that lives is in the tree", || all_in_the_tree(&node)).await;
        node.stop().await;
    });
}

#[test]
fn who_reads_nothing_for_a_minute_is_let_go_and_loses_nothing() {
    // in one thread time can be made to pass
    block_in_one_thread(async {
        let node = node(OPTIONS).await;
        let (_b, mut a, sent) = stalled(&node, "stalled").await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(resource(&node, "stalled").is_some(), "it may take its time");
        tokio::time::advance(Duration::from_secs(31)).await;
        until("its connection is gone", || node.connections() == 1).await;
        tokio::time::resume();
        until("its session has ended", || resource(&node, "stalled").is_none()).await;
        assert_eq!(a.ping().await, [], "the others notice nothing");
        nothing_is_lost(&node, sent).await;
        node.stop().await;
    });
}
