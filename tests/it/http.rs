//! `/live`, `/ready`, `/metrics`.

use crate::interop::python;
use crate::support::{PASSWORD, Peer, Tcp, TestNode, block_on, until};
use actors::testkit::{metrics::parse, script::follow};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};
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

/// The header of an answer with the page in the format that `accept` asks for, and the page.
async fn scraped(at: SocketAddr, accept: &str) -> (String, String) {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(at, &request).await;
    let (head, page) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.to_owned(), page.to_owned())
}

/// As `tests/interop/metrics.py` prints them.
type Family = (String, String, String, String, Vec<(String, BTreeMap<String, String>, f64)>);

/// The page as Prometheus's client library for Python reads it: type, unit and value by sample and labels.
fn judged(format: &str, page: &str) -> BTreeMap<String, (String, String, f64)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/metrics.py");
    let mut judge = Command::new(python());
    judge.arg(script).arg(format).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = judge.spawn().unwrap();
    judge.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = judge.wait_with_output().unwrap();
    assert!(said.status.success(), "{format}:\n{page}");
    let families: Vec<Family> = serde_json::from_slice(&said.stdout).unwrap();
    let mut samples = BTreeMap::new();
    for (family, kind, help, unit, of) in families {
        assert!(help.len() > 5 && help.ends_with('.'), "{family}: {help}");
        for (name, labels, value) in of {
            let labels: Vec<String> = labels.iter().map(|(l, v)| format!("{l}={v}")).collect();
            let name = format!("{name} {}", labels.join(",")).trim_end().to_owned();
            let before = samples.insert(name, (kind.clone(), unit.clone(), value));
            assert!(before.is_none(), "{family}");
        }
    }
    samples
}

/// The page of the metrics, and its values by name and labels.
async fn metrics(at: SocketAddr) -> (String, BTreeMap<String, f64>) {
    let (status, page) = get(at, "/metrics").await;
    assert_eq!(status, 200);
    let values = parse(&page);
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
        until("it is counted", || node.counted("mangrove_disconnections_total") == 1).await;
        let (_, values) = metrics(at).await;
        for (name, value) in [
            ("mangrove_offline_stored_total", 2.0),
            ("mangrove_connections_total", 2.0),
            ("mangrove_disconnections_total", 1.0),
        ] {
            assert_eq!(values[name], value, "{name}");
        }
        drop(a);
        until("the other is gone", || node.counted("mangrove_disconnections_total") == 2).await;
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

/// What people's alerts name: these samples with these types were there in 0.1, and stay.
const SINCE_THE_BEGINNING: [(&str, &str); 50] = [
    ("mangrove_accept_failures_total", "counter"),
    ("mangrove_bounced_total", "counter"),
    (concat!("mangrove_build_info version=", env!("CARGO_PKG_VERSION")), "gauge"),
    ("mangrove_connections_total", "counter"),
    ("mangrove_content_parsed_total", "counter"),
    ("mangrove_content_serialised_total", "counter"),
    ("mangrove_crashes_total", "counter"),
    ("mangrove_disconnections_total", "counter"),
    ("mangrove_evicted_connections_total", "counter"),
    ("mangrove_given_up_total", "counter"),
    ("mangrove_tls_handshakes_total", "counter"),
    ("mangrove_tls_secured_total", "counter"),
    ("mangrove_tls_immovable_total", "counter"),
    ("mangrove_log_lines_left_out_total", "counter"),
    ("mangrove_logins_total result=failed", "counter"),
    ("mangrove_logins_total result=no_memory", "counter"),
    ("mangrove_logins_total result=ok", "counter"),
    ("mangrove_logins_total result=refused", "counter"),
    ("mangrove_logins_total result=throttled", "counter"),
    ("mangrove_logins_waited_total", "counter"),
    ("mangrove_mailbox_depth_max", "gauge"),
    ("mangrove_memory_bytes", "gauge"),
    ("mangrove_memory_limit_bytes", "gauge"),
    ("mangrove_memory_pressure", "gauge"),
    ("mangrove_messages_unhandled_total", "counter"),
    ("mangrove_node_names", "gauge"),
    ("mangrove_offline_stored_total", "counter"),
    ("mangrove_processes", "gauge"),
    ("mangrove_processes_in_tree", "gauge"),
    ("mangrove_queue_age_seconds queue=handler", "gauge"),
    ("mangrove_queue_age_seconds queue=store_reads", "gauge"),
    ("mangrove_queue_age_seconds queue=store_writes", "gauge"),
    ("mangrove_queue_full_total", "counter"),
    ("mangrove_refused_connections_total", "counter"),
    ("mangrove_relieved_bytes_total", "counter"),
    ("mangrove_relieved_sessions_total", "counter"),
    ("mangrove_restarts_total", "counter"),
    ("mangrove_resumed_total", "counter"),
    ("mangrove_sessions", "gauge"),
    ("mangrove_stanzas_total direction=in,kind=iq", "counter"),
    ("mangrove_stanzas_total direction=in,kind=message", "counter"),
    ("mangrove_stanzas_total direction=in,kind=presence", "counter"),
    ("mangrove_stanzas_total direction=out,kind=iq", "counter"),
    ("mangrove_stanzas_total direction=out,kind=message", "counter"),
    ("mangrove_stanzas_total direction=out,kind=presence", "counter"),
    ("mangrove_throttle_entries", "gauge"),
    ("mangrove_yields_total", "counter"),
    ("process_cpu_seconds_total", "counter"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
];

#[test]
fn prometheus_reads_the_page_in_both_formats() {
    block_on(async {
        let node = TestNode::with("", |_| ()).await;
        let at = node.node.addresses().http[0];
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        a.send("<message to='b@localhost'><body>1</body></message>").await;
        assert_eq!(a.ping().await, []);
        // hears that there is no such stream and goes
        let mut stranger = TcpStream::connect(node.c2s()).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(stranger);
        until("it is gone", || node.counted("mangrove_disconnections_total") == 1).await;

        let (head, text) = scraped(at, "*/*").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        let (head, open) =
            scraped(at, "application/openmetrics-text;version=1.0.0,*/*;q=0.1").await;
        let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(head.contains(kind), "{head}");
        assert!(open.ends_with("# EOF\n") && !text.contains("EOF"));

        let (text, open) = (judged("text", &text), judged("openmetrics", &open));
        for (name, kind) in SINCE_THE_BEGINNING {
            assert_eq!(text.get(name).map(|s| s.0.as_str()), Some(kind), "{name}");
        }
        let value = |name: &str| text[name].2;
        assert_eq!(value("mangrove_log_on_seconds_count result=bound"), 1.0);
        assert_eq!(value("mangrove_log_on_seconds_count result=resumed"), 0.0);
        assert_eq!(value("mangrove_log_on_seconds_count result=ended"), 1.0);
        assert_eq!(value("mangrove_log_on_seconds_bucket le=+Inf,result=bound"), 1.0);
        assert!(value("mangrove_store_answer_seconds_count queue=writes") >= 2.0);
        assert!(value("mangrove_store_answer_seconds_count queue=reads") >= 1.0);
        assert_eq!(text["mangrove_store_answer_seconds_sum queue=reads"].0, "histogram");
        assert_eq!(value("mangrove_offline_stored_total"), 1.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
        // the same series in both; those of buckets are numbers without and with a point
        let names = |samples: &BTreeMap<String, (String, String, f64)>| -> BTreeSet<String> {
            samples.keys().filter(|name| !name.contains("_bucket")).cloned().collect()
        };
        assert_eq!((names(&text), text.len()), (names(&open), open.len()));
        assert_eq!(open["mangrove_memory_bytes"].1, "bytes");
        assert_eq!(
            open[concat!("mangrove_build_info version=", env!("CARGO_PKG_VERSION"))].0,
            "info"
        );
        assert_eq!(open["mangrove_session_seconds_count"].1, "seconds");
        drop(a);
        node.stop().await;
    });
}

/// docs/limits.md says how large a page is: no label has values from outside.
#[test]
fn there_are_so_many_series_whatever_happens() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        let (page, before) = metrics(at).await;
        assert!(page.len() < 32 << 10 && before.len() < 250, "{} {}", page.len(), before.len());
        for user in 0..30 {
            let user = format!("user{user}@localhost");
            node.account(&user, PASSWORD).await;
            let mut peer = Peer::login(node.c2s(), &format!("{user}/r")).await;
            peer.send("<message to='nobody@localhost' type='chat'><body>1</body></message>").await;
            assert_eq!(peer.ping().await.len(), 1);
        }
        let (page, after) = metrics(at).await;
        let names = |of: &BTreeMap<String, f64>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after));
        assert!(page.len() < 32 << 10, "{}", page.len());
        node.stop().await;
    });
}
