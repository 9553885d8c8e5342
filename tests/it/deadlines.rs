//! Clients that take their time: whoever is not through with the negotiation when its deadline comes
//! is let go, and told so where there is a stream to say it in (RFC 6120 section 4.9.3.4).

use crate::support::{Peer, TestNode, block_on};
use std::time::Duration;
use xmpp::ns;

const OPTIONS: &str = "c2s.negotiation_timeout = '400ms'\n";

/// One byte at a time, for as long as the server listens.
async fn drip(peer: &mut Peer, text: &str) {
    let mut pause = tokio::time::interval(Duration::from_millis(2));
    for byte in text.as_bytes().iter().cycle() {
        if peer.stream.try_write(&[*byte]).is_err() {
            return;
        }
        tokio::select! {
            _ = pause.tick() => {}
            _ = peer.stream.readable() => return,
        }
    }
}

#[test]
fn who_never_finishes_is_let_go_at_the_deadline() {
    block_on(async {
        let node = TestNode::start(OPTIONS).await;
        node.account("a@localhost", "pw").await;
        let bystander = async {
            // bound in time: the deadline is not for this one
            let mut peer = Peer::login(node.c2s(), "a@localhost/bystander").await;
            for _ in 0..50 {
                peer.ping().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let silent = async {
            let mut peer = Peer::connect(node.c2s()).await;
            assert_eq!(peer.refusal().await, "connection-timeout");
        };
        let header = async {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.send("<stream:stream").await;
            drip(&mut peer, " ").await;
            assert_eq!(peer.refusal().await, "connection-timeout");
        };
        let sasl = async {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.open().await;
            peer.send(&format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'>", ns::SASL)).await;
            drip(&mut peer, "A").await;
            assert_eq!(peer.refusal().await, "connection-timeout");
        };
        let challenged = async {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.open().await;
            peer.send(&format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'/>", ns::SASL)).await;
            assert_eq!(peer.refusal().await, "connection-timeout");
        };
        let unbound = async {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.log_in("a").await;
            assert_eq!(peer.refusal().await, "connection-timeout");
        };
        tokio::join!(bystander, silent, header, sasl, challenged, unbound);
        crate::support::until("nothing is left of them", || node.connections() == 0).await;
        node.stop().await;
    });
}

#[test]
fn a_tls_handshake_has_the_same_deadline() {
    block_on(async {
        let node = TestNode::start(OPTIONS).await;
        let direct = node.node.addresses().direct_tls[0];
        // the beginning of a ClientHello
        let record = "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}";
        let silent = async {
            let mut peer = Peer::connect(direct).await;
            assert!(matches!(peer.next().await, actors::testkit::script::Got::Eof));
        };
        let begun = async {
            let mut peer = Peer::connect(direct).await;
            peer.send(record).await;
            assert!(matches!(peer.next().await, actors::testkit::script::Got::Eof));
        };
        let upgraded = async {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.open().await;
            peer.send(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
            assert_eq!(peer.element().await.name(), "proceed");
            peer.send(record).await;
            assert!(matches!(peer.next().await, actors::testkit::script::Got::Eof));
        };
        tokio::join!(silent, begun, upgraded);
        node.stop().await;
    });
}

#[test]
fn a_bound_client_that_falls_silent_is_asked_and_then_let_go() {
    block_on(async {
        let node = TestNode::start("c2s.idle = '1s'\nmodules.ping.grace = '1s'").await;
        node.account("a@localhost", "pw").await;
        let mut peer = Peer::connect(node.c2s()).await;
        let features = peer.log_in("a").await;
        let limits = features.child("urn:xmpp:stream-limits:0", "limits").unwrap();
        let idle = limits.child("urn:xmpp:stream-limits:0", "idle-seconds").unwrap();
        assert_eq!(idle.text(), "1");
        peer.bind("one").await;
        // half a stanza is no sign of life
        peer.send("<message><body>").await;
        let ping = peer.element().await;
        assert!(ping.child(ns::PING, "ping").is_some(), "{}", ping.to_xml());
        assert_eq!(peer.refusal().await, "connection-timeout");
        node.stop().await;
    });
}
