//! `/live`, `/ready`, `/metrics`.

use crate::support::{PASSWORD, Peer, Tcp, TestNode, block_on, until};
use actors::testkit::script::follow;
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The whole answer to a request, on a connection of its own.
async fn ask(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // a refused request may end in a reset; what came before it counts
    drop(stream.read_to_string(&mut answer).await);
    answer
}

/// Status and body.
pub async fn get(to: SocketAddr, path: &str) -> (u16, String) {
    let answer =
        ask(to, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The page of the metrics, and its values by name and labels.
async fn metrics(at: SocketAddr) -> (String, BTreeMap<String, f64>) {
    let (status, page) = get(at, "/metrics").await;
    assert_eq!(status, 200);
    let values = page
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.rsplit_once(' ').expect("a name and a value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect();
    (page, values)
}

#[test]
fn a_node_says_that_it_lives_and_is_ready() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        assert_eq!(get(at, "/live").await, (200, "live\n".to_owned()));
        assert_eq!(get(at, "/ready").await, (200, "ready\n".to_owned()));
        assert_eq!(get(at, "/").await.0, 404);
        assert_eq!(node.node.ready().await, Ok(()));
        node.stop().await;
    });
}

#[test]
fn metrics_count_what_happens() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        let script = "account a@localhost pw\nA = a@localhost/x\n\
                      X =\nX C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>\nX S: <stream:stream>\n\
                      X S: <stream:features/>\nX scram SCRAM-SHA-1 a wrong\nX S: <failure/>";
        let mut tcp = Tcp::of(&node);
        let script =
            script.replace("<failure/>", "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        follow(&script, &mut tcp).await.unwrap();
        let (page, values) = metrics(at).await;
        let value = |name: &str| *values.get(name).unwrap_or_else(|| panic!("{name}\n{page}"));
        assert_eq!(value("mangrove_sessions"), 1.0);
        assert_eq!(value("mangrove_logins_total{result=\"ok\"}"), 1.0);
        assert_eq!(value("mangrove_logins_total{result=\"refused\"}"), 1.0);
        assert_eq!(value("mangrove_crashes_total"), 0.0);
        assert_eq!(value("mangrove_restarts_total"), 0.0);
        assert_eq!(value("mangrove_processes"), value("mangrove_processes_in_tree"));
        assert!(value("mangrove_stanzas_total{direction=\"in\",kind=\"iq\"}") >= 1.0);
        // binding was looked into, and answered
        assert!(value("mangrove_content_parsed_total") >= 1.0);
        assert!(value("mangrove_content_serialised_total") >= 1.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        value("mangrove_queue_age_seconds{queue=\"store_writes\"}");
        value("process_cpu_seconds_total");
        value("process_start_time_seconds");
        value(concat!("mangrove_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"));
        for line in page.lines().filter(|l| l.starts_with("# TYPE ")) {
            assert_eq!(page.matches(&format!("{line}\n")).count(), 1, "{line}");
        }
        drop(tcp);
        node.stop().await;
    });
}

#[test]
fn metrics_count_kept_messages_and_connections_that_were_killed() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        // what is worth nothing later is not kept
        let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        for content in ["<body>1</body>", composing, "<body>2</body>"] {
            a.send(&format!("<message to='b@localhost' type='chat'>{content}</message>")).await;
        }
        assert_eq!(a.ping().await, []);
        let mut b = Peer::login(node.c2s(), "b@localhost/two").await;
        assert_eq!(b.ping().await, []);
        let pids = node.node.system().pids();
        let killed = pids.iter().find(|p| p.status().is_some_and(|s| &*s == "b@localhost/two"));
        killed.unwrap().kill();
        killed.unwrap().wait().await;
        until("it is counted", || node.counted("mangrove_disconnections_total{}") == 1).await;
        let (_, values) = metrics(at).await;
        for (name, value) in [
            ("mangrove_offline_stored_total", 2.0),
            ("mangrove_connections_total", 2.0),
            ("mangrove_disconnections_total", 1.0),
        ] {
            assert_eq!(values[name], value, "{name}");
        }
        drop(a);
        until("the other is gone", || node.counted("mangrove_disconnections_total{}") == 2).await;
        node.stop().await;
    });
}

#[test]
fn what_is_no_request_is_refused() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        let post = ask(
            at,
            "POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        let post = post.await;
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
        assert!(ask(at, "this is no HTTP\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
        let long = ask(at, &long).await;
        assert!(!long.starts_with("HTTP/1.1 200"), "{long}");
        let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
        let many = ask(at, &format!("GET /live HTTP/1.1\r\n{many}\r\n")).await;
        assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
        assert_eq!(get(at, "/live").await.0, 200, "others are served");
        node.stop().await;
    });
}
