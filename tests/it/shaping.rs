//! Floods: who sends too fast is read from later, so that TCP holds it back; nothing of it is lost,
//! and others notice nothing. And how many connections there may be.

use crate::support::{PASSWORD, Peer, TestNode, block_on, until};
use actors::testkit::script::Got;
use std::time::Instant;

const RATE: usize = 16 << 10;
const BURST: usize = 64 << 10;
/// What is read at once.
const READ: usize = 17 << 10;

async fn node(options: &str) -> TestNode {
    let node = TestNode::start(options).await;
    for user in ["a", "b", "c"] {
        node.account(&format!("{user}@localhost"), PASSWORD).await;
    }
    node
}

/// A client behind a proxy that says whose connection it is.
async fn from(node: &TestNode, address: &str, jid: &str) -> Peer {
    let mut peer = Peer::connect(node.c2s()).await;
    peer.send(&format!("PROXY TCP4 {address} 127.0.0.1 4711 5222\r\n")).await;
    peer.log_on(jid).await;
    peer
}

const SIZE: usize = 1_000;

/// Sends as fast as the server reads.
async fn flood(peer: &mut Peer) {
    let body = "x".repeat(SIZE);
    loop {
        peer.send(&format!("<message to='b@localhost/sink'><body>{body}</body></message>")).await;
    }
}

/// Counts what arrives, in bytes, while somebody else is answered as if nothing happened. Each time
/// it cannot be more than burst and rate allow until now.
async fn sink(mut b: Peer, mut c: Peer, since: Instant, floods: usize) {
    let mut got = 0;
    for _ in 0..100 {
        got += SIZE * b.ping().await.len();
        assert_eq!(c.ping().await, []);
        let allowed = BURST + RATE * since.elapsed().as_millis() as usize / 1_000 + floods * READ;
        assert!(got <= allowed, "{got} bytes came, {allowed} were allowed");
    }
    // it is not only held back, it also goes on
    while got < BURST + 3 * floods * READ {
        let element = b.element().await;
        got += SIZE * usize::from(element.name() == "message");
    }
}

#[test]
fn a_session_that_floods_is_held_back() {
    block_on(async {
        let options = format!("limits.session_rate = '{RATE}B'\nlimits.session_burst = '{BURST}B'");
        let node = node(&options).await;
        let b = Peer::login(node.c2s(), "b@localhost/sink").await;
        let c = Peer::login(node.c2s(), "c@localhost/bystander").await;
        let since = Instant::now();
        let mut a = Peer::login(node.c2s(), "a@localhost/flood").await;
        tokio::select! {
            () = flood(&mut a) => panic!("a flood does not end"),
            () = sink(b, c, since, 1) => {}
        }
        drop(a);
        node.stop().await;
    });
}

#[test]
fn all_sessions_of_an_address_are_held_back_together() {
    block_on(async {
        let options = format!(
            "c2s.proxy_protocol = true\nlimits.session_rate = '0B'\n\
             limits.address_rate = '{RATE}B'\nlimits.address_burst = '{BURST}B'"
        );
        let node = node(&options).await;
        let b = from(&node, "192.0.2.2", "b@localhost/sink").await;
        let c = from(&node, "192.0.2.3", "c@localhost/bystander").await;
        let since = Instant::now();
        let mut one = from(&node, "192.0.2.1", "a@localhost/one").await;
        let mut two = from(&node, "192.0.2.1", "a@localhost/two").await;
        tokio::select! {
            () = flood(&mut one) => panic!("a flood does not end"),
            () = flood(&mut two) => panic!("a flood does not end"),
            () = sink(b, c, since, 2) => {}
        }
        drop((one, two));
        node.stop().await;
    });
}

#[test]
fn connections_are_counted() {
    block_on(async {
        for option in ["max_connections", "max_connections_per_address"] {
            let node = node(&format!("c2s.{option} = 3")).await;
            let mut peers = Vec::new();
            for _ in 0..3 {
                let mut peer = Peer::connect(node.c2s()).await;
                peer.open().await;
                peers.push(peer);
            }
            let mut fourth = Peer::connect(node.c2s()).await;
            assert!(matches!(fourth.next().await, Got::Eof), "{option}");
            // a place that becomes free is given away again
            peers.pop();
            until("a connection is gone", || node.connections() == 2).await;
            let mut peer = Peer::connect(node.c2s()).await;
            peer.open().await;
            for peer in &mut peers {
                assert_eq!(peer.authenticate("a", PASSWORD).await, Ok(()));
            }
            drop((peers, peer));
            node.stop().await;
        }
    });
}
