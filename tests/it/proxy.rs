//! The PROXY protocol: whose connection it is counts where addresses count (login throttle, number of
//! connections), and a connection without a proper header goes no further.

use crate::support::{PASSWORD, Peer, TestNode, block_on, until};
use crate::tls::{HEADER, own, secure, until as read_until};
use actors::testkit::script::Got;
use std::{
    io::Write,
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
};

const PROXY: &str = "c2s.proxy_protocol = true\n";

/// A header of version 1.
fn v1(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 127.0.0.1 4711 5222\r\n").into()
}

/// One of version 2: command and family, addresses, and an extension nobody knows.
fn v2(command: u8, family: u8, source: &[u8]) -> Vec<u8> {
    let ports = [0, 1, 0, 2];
    let body = [source, source, &ports, &[0xe0, 0, 1, 7]].concat();
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &len, &body].concat()
}

fn v2_4(address: &str) -> Vec<u8> {
    v2(1, 0x11, &address.parse::<Ipv4Addr>().unwrap().octets())
}

fn v2_6(address: &str) -> Vec<u8> {
    v2(1, 0x21, &address.parse::<Ipv6Addr>().unwrap().octets())
}

async fn via(node: &TestNode, header: &[u8]) -> Peer {
    let mut peer = Peer::connect(node.c2s()).await;
    peer.send_bytes(header).await;
    peer
}

async fn ends(peer: &mut Peer) -> bool {
    matches!(peer.next().await, Got::Eof)
}

#[test]
fn logins_are_throttled_by_the_address_that_the_proxy_tells() {
    block_on(async {
        let node = TestNode::start(&format!("{PROXY}sasl.throttle_failures = 2")).await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let all = [
            (v1("192.0.2.1"), v2_4("192.0.2.1"), v2_4("192.0.2.2")),
            // a /64 is one customer's
            (v2_6("2001:db8::1"), v2_6("2001:db8::2"), v2_6("2001:db8:0:1::1")),
        ];
        for (one, same, other) in all {
            for _ in 0..2 {
                let mut peer = via(&node, &one).await;
                peer.open().await;
                assert_eq!(peer.authenticate("a", "wrong").await, Err("not-authorized".into()));
            }
            let mut peer = via(&node, &same).await;
            peer.open().await;
            let refused = peer.authenticate("a", PASSWORD).await;
            assert_eq!(refused, Err("temporary-auth-failure".into()));
            assert_eq!(peer.authenticate("b", PASSWORD).await, Ok(()), "another account");
            via(&node, &other).await.log_on("a@localhost/elsewhere").await;
        }
        assert_eq!(node.counted("mangrove_logins_total{result=\"throttled\"}"), 2);
        node.stop().await;
    });
}

#[test]
fn connections_are_counted_by_the_address_that_the_proxy_tells() {
    block_on(async {
        let node = TestNode::start(&format!("{PROXY}c2s.max_connections_per_address = 2")).await;
        let mut peers = Vec::new();
        for header in
            [v1("192.0.2.1"), v2_4("192.0.2.1"), v1("192.0.2.2"), v2_6("::ffff:192.0.2.2")]
        {
            let mut peer = via(&node, &header).await;
            peer.open().await;
            peers.push(peer);
        }
        for header in [v1("192.0.2.1"), v2_4("192.0.2.2")] {
            assert!(ends(&mut via(&node, &header).await).await);
        }
        assert_eq!(node.counted("mangrove_refused_connections_total"), 2);
        drop(peers.remove(0));
        until("a place is free", || node.connections() == 3).await;
        via(&node, &v2_4("192.0.2.1")).await.open().await;
        node.stop().await;
    });
}

#[test]
fn a_header_may_come_slowly_or_with_what_follows_but_it_has_to_be_one() {
    block_on(async {
        let options = format!("{PROXY}c2s.negotiation_timeout = '1s'");
        let node = TestNode::start(&options).await;
        let stream = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
        // in one piece with the client's first words; the proxy's own connections, too
        for header in
            [v1("192.0.2.1"), v2_4("192.0.2.1"), v2(0, 0, &[]), b"PROXY UNKNOWN\r\n".into()]
        {
            let mut peer = via(&node, &[&header, stream.as_bytes()].concat()).await;
            assert!(matches!(peer.next().await, Got::Open(_)));
            assert_eq!(peer.element().await.name(), "features");
        }
        for header in [v1("192.0.2.1"), v2_4("192.0.2.1")] {
            let mut peer = Peer::connect(node.c2s()).await;
            for byte in header {
                peer.send_bytes(&[byte]).await;
                tokio::task::yield_now().await;
            }
            peer.open().await;
        }
        let garbled = [
            stream.as_bytes().to_vec(),
            b"PROXY TCP4 here there 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n".to_vec(),
            [&b"PROXY "[..], &[b'x'; 200]].concat(),
            v2(2, 0x11, &[192, 0, 2, 1]),
            v2(1, 0x11, &[0; 2_000]),
            [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x11, 0x11, 0, 0]].concat(),
            b"\x16\x03\x01".to_vec(),
        ];
        for bytes in garbled {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(ends(&mut via(&node, &bytes).await).await, "{text}");
        }
        // a health check says nothing more; whoever says less is let go at the deadline
        drop(via(&node, &v2(0, 0, &[])).await);
        let (mut silent, mut half) = (via(&node, b"").await, via(&node, b"PROXY TCP4 ").await);
        assert!(ends(&mut silent).await && ends(&mut half).await);
        until("nothing is left of them", || node.connections() == 0).await;
        node.stop().await;
    });
}

#[test]
fn a_header_is_believed_from_the_proxy_s_networks_only() {
    block_on(async {
        let from = |networks: &str| format!("{PROXY}c2s.proxy_from = {networks}");
        let node = TestNode::start(&from("['10.0.0.0/8', '2001:db8::/32']")).await;
        assert!(ends(&mut via(&node, &v1("192.0.2.1")).await).await);
        assert_eq!(node.counted("mangrove_refused_connections_total"), 1);
        node.stop().await;
        let node = TestNode::start(&from("['10.0.0.0/8', '127.0.0.0/8']")).await;
        via(&node, &v1("192.0.2.1")).await.open().await;
        node.stop().await;
    });
}

#[test]
fn tls_begins_after_the_header() {
    block_on(async {
        let node = TestNode::with(&format!("{PROXY}storage.backend = 'memory'"), |_| ()).await;
        let (data, to) = (node.data.path().to_owned(), node.node.addresses().direct_tls[0]);
        let talk = tokio::task::spawn_blocking(move || {
            let mut tcp = TcpStream::connect(to).unwrap();
            tcp.write_all(&v2_4("192.0.2.1")).unwrap();
            let mut tls = secure(tcp, &own(&data));
            tls.write_all(HEADER).unwrap();
            read_until(&mut tls, "</stream:features>");
        });
        talk.await.unwrap();
        node.stop().await;
    });
}
