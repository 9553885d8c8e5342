//! What one client may send: the limits that are announced (XEP-0478) are those in force, and what
//! goes beyond them, or is no XML for XMPP, is refused with the right stream error, at a bounded
//! price, while others notice nothing.

use crate::support::{PASSWORD, Peer, Program, TestNode, block_on, stanza_error, until};
use std::{fmt::Write as _, fs, net::SocketAddr};
use xmpp::{Element, ns};

/// What `max-bytes` says.
fn max_bytes(features: &Element) -> usize {
    let ns = "urn:xmpp:stream-limits:0";
    let max = features.child(ns, "limits").and_then(|l| l.child(ns, "max-bytes"));
    max.unwrap().text().parse().unwrap()
}

/// XML of exactly so many bytes.
fn exactly(before: &str, len: usize, after: &str) -> String {
    format!("{before}{}{after}", "x".repeat(len - before.len() - after.len()))
}

#[test]
fn the_limits_that_are_announced_are_those_in_force() {
    block_on(async {
        let options = "limits.max_stanza = '20000B'\nlimits.max_stanza_unauthenticated = '12000B'";
        let node = TestNode::start(options).await;
        node.account("a@localhost", PASSWORD).await;
        let mut peer = Peer::connect(node.c2s()).await;
        let before = max_bytes(&peer.open().await);
        assert_eq!(before, 12_000);
        let auth = format!("<auth xmlns='{}' mechanism='none'>", ns::SASL);
        peer.send(&exactly(&auth, before, "</auth>")).await;
        assert_eq!(peer.element().await.name(), "failure");
        peer.send(&exactly(&auth, before + 1, "</auth>")).await;
        assert_eq!(peer.refusal().await, "policy-violation");

        for pieces in [1, 700] {
            // what the short cut of the framer reads, and what it leaves to the parser
            for odd in ["", "<?xml version='1.0'?>"] {
                let mut peer = Peer::connect(node.c2s()).await;
                let header = format!(
                    "{odd}<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' id='"
                );
                peer.send(&exactly(&header, before + 1, "'>")).await;
                assert_eq!(peer.refusal().await, "policy-violation");
            }
            let bodies = ["", "<![CDATA[y]]>"];
            for odd in bodies {
                let mut peer = Peer::connect(node.c2s()).await;
                let after = max_bytes(&peer.log_in("a").await);
                assert_eq!(after, 20_000);
                peer.bind("one").await;
                let message = format!("<message to='a@localhost/one' id='1'>{odd}<body>");
                for (len, fits) in [(after, true), (after + 1, false)] {
                    let xml = exactly(&message, len, "</body></message>");
                    for piece in xml.as_bytes().chunks(xml.len() / pieces) {
                        peer.send_bytes(piece).await;
                    }
                    if fits {
                        assert_eq!(peer.element().await.attr("id"), Some("1"), "{pieces} {odd}");
                    } else {
                        assert_eq!(peer.refusal().await, "policy-violation", "{pieces} {odd}");
                    }
                }
            }
        }
        node.stop().await;
    });
}

fn nested(depth: usize) -> String {
    format!("<message to='b@localhost'>{}{}</message>", "<a>".repeat(depth), "</a>".repeat(depth))
}

#[test]
fn the_depth_has_a_limit_too() {
    block_on(async {
        let node = TestNode::start("limits.max_depth = 20").await;
        node.account("a@localhost", PASSWORD).await;
        let mut peer = Peer::login(node.c2s(), "a@localhost/one").await;
        peer.send(&nested(20)).await;
        let answers = peer.ping().await;
        assert!(answers.iter().all(|e| e.name() == "message"), "{answers:?}");
        peer.send(&nested(21)).await;
        assert_eq!(peer.refusal().await, "policy-violation");
        node.stop().await;
    });
}

#[test]
fn a_resource_belongs_to_the_last_who_binds_it_and_a_user_has_only_so_many() {
    block_on(async {
        let node = TestNode::start("limits.max_resources = 2").await;
        node.account("a@localhost", PASSWORD).await;
        let mut old = Peer::login(node.c2s(), "a@localhost/one").await;
        let mut other = Peer::login(node.c2s(), "a@localhost/two").await;
        let mut new = Peer::login(node.c2s(), "a@localhost/one").await;
        assert_eq!(old.refusal().await, "conflict");
        other.send("<message to='a@localhost/one' id='1'><body>x</body></message>").await;
        assert_eq!(new.element().await.attr("id"), Some("1"), "it is the new one's");
        let mut third = Peer::connect(node.c2s()).await;
        third.log_in("a").await;
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
        third.send(&format!("<iq type='set' id='b'>{bind}</iq>")).await;
        let refused = stanza_error(&third.element().await);
        assert_eq!(refused, Some(("wait".into(), "resource-constraint".into())));
        node.stop().await;
    });
}

/// Of what waits to be resumed the first that was lost makes room, and its owner loses nothing by it.
#[test]
fn whoever_logs_on_is_let_in_however_many_of_their_sessions_wait() {
    block_on(async {
        let node = TestNode::start("limits.max_resources = 3").await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut sender = Peer::login(node.c2s(), "b@localhost/b").await;
        let mut tokens = Vec::new();
        for n in 0..10 {
            let mut peer = Peer::login(node.c2s(), &format!("a@localhost/r{n}")).await;
            peer.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
            tokens.push(peer.element().await.attr("id").unwrap().to_owned());
            drop(peer);
            until("its connection is gone", || node.connections() == 1).await;
            sender
                .send(&format!("<message to='a@localhost/r{n}' id='{n}'><body>x</body></message>"))
                .await;
            assert_eq!(sender.ping().await, []);
        }
        assert_eq!(node.counted("mangrove_displaced_sessions_total"), 7);
        let mut last = Peer::connect(node.c2s()).await;
        last.log_in("a").await;
        for (n, condition) in [(0, "failed"), (6, "failed"), (7, "resumed")] {
            last.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{}' h='0'/>", tokens[n]))
                .await;
            assert_eq!(last.element().await.name(), condition, "{n}");
        }
        last.send("<presence/>").await;
        let mut got = Vec::new();
        while got.len() < 8 {
            let message = last.until(|e| e.name() == "message").await;
            got.push(message.attr("id").unwrap().parse::<usize>().unwrap());
        }
        got.sort_unstable();
        assert_eq!(
            got,
            (0..8).collect::<Vec<_>>(),
            "its own, and those of the seven that are gone"
        );
        node.stop().await;
    });
}

/// Bytes that are refused, and with which error.
fn abuses() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let long = 300 << 10;
    let mut attributes = String::from("<message");
    for n in 0..100_000 {
        let _ = write!(attributes, " a{n}=''");
    }
    let laughs = "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol1 '&lol;&lol;&lol;'>]>\
                  <message><body>&lol1;</body></message>";
    let message = |body: &[u8]| [b"<message><body>", body, b"</body></message>"].concat();
    vec![
        ("nesting", nested(10_000).into(), "policy-violation"),
        ("open nesting", "<message>".repeat(10_000).into(), "policy-violation"),
        ("a large stanza", message(&vec![b'x'; long]), "policy-violation"),
        (
            "a long attribute",
            [&b"<message to='"[..], &vec![b'a'; long]].concat(),
            "policy-violation",
        ),
        ("a long name", [&b"<message><"[..], &vec![b'a'; long]].concat(), "policy-violation"),
        ("a long tag", [&b"<message"[..], &vec![b' '; long]].concat(), "policy-violation"),
        ("a long reference", message(&[&b"&#"[..], &vec![b'0'; long]].concat()), "restricted-xml"),
        ("attributes without end", attributes.clone().into(), "policy-violation"),
        ("100,000 attributes", (attributes + "/>").into(), "policy-violation"),
        ("a DTD", laughs.into(), "restricted-xml"),
        ("an entity", message(b"&lol;"), "restricted-xml"),
        ("a comment", b"<!-- -->".to_vec(), "restricted-xml"),
        ("an instruction", message(b"<?php ?>"), "restricted-xml"),
        ("bad UTF-8", message(b"\xc3\x28"), "unsupported-encoding"),
        ("overlong UTF-8", message(b"\xc0\xaf"), "unsupported-encoding"),
        ("a surrogate", message(b"\xed\xa0\x80"), "unsupported-encoding"),
        ("NUL", message(b"\0"), "not-well-formed"),
        ("a reference to NUL", message(b"&#0;"), "not-well-formed"),
        ("a tag that is not open", b"</message>".to_vec(), "not-well-formed"),
    ]
}

/// Sends it in pieces, for as long as the server takes it.
async fn abuse(peer: &mut Peer, bytes: &[u8]) -> String {
    for piece in bytes.chunks(10_000) {
        peer.send_bytes(piece).await;
    }
    peer.refusal().await
}

#[test]
fn abuse_is_refused_with_the_right_error_and_others_notice_nothing() {
    block_on(async {
        let node = TestNode::start("").await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut bystander = Peer::login(node.c2s(), "b@localhost/bystander").await;
        for (what, bytes, condition) in abuses() {
            let mut peer = Peer::login(node.c2s(), "a@localhost/one").await;
            assert_eq!(abuse(&mut peer, &bytes).await, condition, "{what}");
            assert_eq!(bystander.ping().await, [], "{what}");
        }
        // before there is a stream
        let dtd = "<?xml version='1.0'?><!DOCTYPE stream:stream [<!ENTITY lol 'lol'>]>";
        let long = format!("<stream:stream to='{}", "a".repeat(1 << 20));
        for (bytes, condition) in [
            (dtd.as_bytes(), "restricted-xml"),
            (long.as_bytes(), "policy-violation"),
            (b"<stream:stream to='\xff'", "unsupported-encoding"),
            (b"\0", "unsupported-encoding"),
            (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ] {
            let mut peer = Peer::connect(node.c2s()).await;
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            assert_eq!(abuse(&mut peer, bytes).await, condition, "{text}");
        }
        assert_eq!(bystander.ping().await, []);
        node.stop().await;
    });
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Everything above once, by clients that come and go; and as many as said that hang on.
async fn onslaught(to: SocketAddr, hanging: usize) {
    for (what, bytes, condition) in abuses() {
        let mut peer = Peer::login(to, "a@localhost/one").await;
        assert_eq!(abuse(&mut peer, &bytes).await, condition, "{what}");
    }
    let mut slow = Vec::new();
    for _ in 0..hanging {
        let mut peer = Peer::connect(to).await;
        peer.open().await;
        let half = exactly("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", 9_000, "");
        peer.send(&half).await;
        slow.push(peer);
    }
}

#[test]
fn memory_stays_flat_under_abuse() {
    let program = Program::new("");
    for user in ["a", "b"] {
        program.say(&["account", "add", &format!("{user}@localhost"), PASSWORD]).good();
    }
    let running = program.run();
    block_on(async {
        let (to, pid) = (running.addresses.starttls[0], running.pid());
        let mut bystander = Peer::login(to, "b@localhost/bystander").await;
        // what buffers, pools and the allocator keep for the next time
        for _ in 0..2 {
            onslaught(to, 100).await;
        }
        let before = resident(pid);
        for _ in 0..8 {
            onslaught(to, 100).await;
            bystander.ping().await;
        }
        let after = resident(pid);
        assert!(after < before + (8 << 10), "from {before} KiB to {after} KiB");
    });
}
