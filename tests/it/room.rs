//! There is always room: whoever only sits there, with half a request or half a handshake, keeps nobody out, and
//! clients leave the file descriptors that others need.

use crate::{
    http::get,
    support::{PASSWORD, Peer, Program, TestNode, block_in_one_thread, block_on, until},
    tls::HEADER,
};
use actors::{
    accept::{GRACE, Progress, Stage, evict},
    testkit::script::Got,
};
use mangrove::admin::{client::Client, protocol::Request};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// Connects and says that.
async fn half(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the other side ends it.
async fn is_let_go(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
}

#[test]
fn half_sent_requests_and_idle_connections_do_not_block_health_and_metrics() {
    block_on(async {
        let node = TestNode::start("").await;
        let at = node.node.addresses().http[0];
        let request = "GET /live HTTP/1.1\r\nHost: x\r\n";
        let whole = format!("{request}\r\n");
        for said in ["", "G", request, &format!("{request}X-Endless: "), &whole, &whole.repeat(50)]
        {
            let mut all = Vec::new();
            for _ in 0..100 {
                all.push(half(at, said.as_bytes()).await);
            }
            for path in ["/live", "/ready", "/metrics"] {
                assert_eq!(get(at, path).await.0, 200, "{path} beside {said:?}");
            }
            // the oldest has made room
            is_let_go(&mut all[0]).await;
        }
        assert!(node.counted("mangrove_evicted_connections_total") > 200);
        node.stop().await;
    });
}

#[test]
fn half_sent_requests_do_not_keep_operators_out() {
    block_on(async {
        let node = TestNode::start("").await;
        for said in ["", "{\"command\":", "{\"command\":\"hosts\"}\n"] {
            let mut all = Vec::new();
            for _ in 0..100 {
                let mut stream = UnixStream::connect(node.socket()).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
                all.push(stream);
            }
            let mut operator = Client::connect(&node.socket()).await.unwrap();
            let (rows, _) = operator.rows(Request::Hosts {}).await.unwrap();
            assert_eq!(rows.len(), 1, "beside {said:?}");
        }
        node.stop().await;
    });
}

/// The start of a TLS handshake: the head of a record, and a little of what it promises.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00";

#[test]
fn clients_that_do_not_log_on_make_room_for_those_who_do() {
    block_on(async {
        const MAX: usize = 8;
        let options = format!("c2s.max_connections = {MAX}");
        let node = TestNode::start(&options).await;
        node.account("a@localhost", PASSWORD).await;
        let (plain, tls) = (node.c2s(), node.node.addresses().direct_tls[0]);
        let starttls = [HEADER, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"].concat();
        let kinds: [(SocketAddr, &[u8]); 5] = [
            (plain, b""),
            (plain, b"<?xml version="),
            (plain, &HEADER[..40]),
            (plain, &starttls),
            (tls, HELLO),
        ];
        for (to, said) in kinds {
            let mut sitting = Vec::new();
            for _ in 0..2 * MAX {
                sitting.push(half(to, said).await);
            }
            // the listener of the other port does not wait for this one's: the last of them are accepted
            // when the first are gone
            for stream in sitting.iter_mut().take(if to == tls { MAX } else { 0 }) {
                is_let_go(stream).await;
            }
            let mut clients = Vec::new();
            for n in 0..MAX {
                clients.push(Peer::login(plain, &format!("a@localhost/{n}")).await);
            }
            for stream in &mut sitting {
                is_let_go(stream).await;
            }
            // who has logged on stays
            let before = node.counted("mangrove_refused_connections_total");
            let mut late = Peer::connect(plain).await;
            assert!(matches!(late.next().await, Got::Eof));
            assert_eq!(node.counted("mangrove_refused_connections_total"), before + 1);
            for client in &mut clients {
                assert_eq!(client.ping().await, []);
            }
            drop(clients);
            until("they are gone", || node.connections() == 0).await;
        }
        node.stop().await;
    });
}

#[test]
fn who_has_opened_a_stream_has_a_while_to_log_on() {
    block_in_one_thread(async {
        let node = TestNode::start("c2s.max_connections = 4").await;
        node.account("a@localhost", PASSWORD).await;
        let mut sitting = Vec::new();
        for _ in 0..4 {
            let mut peer = Peer::connect(node.c2s()).await;
            peer.open().await;
            sitting.push(peer);
        }
        let mut early = Peer::connect(node.c2s()).await;
        assert!(matches!(early.next().await, Got::Eof));
        tokio::time::pause();
        tokio::time::advance(GRACE).await;
        tokio::time::resume();
        Peer::login(node.c2s(), "a@localhost/one").await;
        assert_eq!(sitting.remove(0).refusal().await, "resource-constraint");
        node.stop().await;
    });
}

#[test]
fn who_logs_on_at_the_last_moment_keeps_its_place() {
    block_on(async {
        let node = TestNode::start("").await;
        node.account("a@localhost", PASSWORD).await;
        let connection = || {
            let pids = node.node.system().pids();
            pids.into_iter().find(|p| p.kind() == "connection").unwrap()
        };
        let metrics = &node.node.env().metrics;
        // between the choice and the look
        let mut peer = Peer::connect(node.c2s()).await;
        until("it is accepted", || node.connections() == 1).await;
        let progress = Progress::default();
        progress.set(Stage::Settled);
        assert!(!evict(&connection(), &progress, metrics).await);
        assert_eq!(node.counted("mangrove_evicted_connections_total"), 0);
        peer.log_on("a@localhost/one").await;
        // between the look and the moment the connection hears of it
        let stale = Progress::default();
        evict(&connection(), &stale, metrics).await;
        assert_eq!(peer.ping().await, [], "it is still there");
        // and one that has not logged on goes
        drop(peer);
        until("it is gone", || node.connections() == 0).await;
        let mut peer = Peer::connect(node.c2s()).await;
        peer.open().await;
        assert!(evict(&connection(), &Progress::default(), metrics).await);
        assert_eq!(peer.refusal().await, "resource-constraint");
        node.stop().await;
    });
}

#[test]
fn half_proxy_headers_keep_nobody_out() {
    block_on(async {
        let node = TestNode::start("c2s.max_connections = 8\nc2s.proxy_protocol = true").await;
        node.account("a@localhost", PASSWORD).await;
        let header: &[u8] = b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 5222\r\n";
        for said in [&b""[..], &header[..9], b"\r\n\r\n\0\r\nQUIT\n\x21"] {
            let mut sitting = Vec::new();
            for _ in 0..16 {
                sitting.push(half(node.c2s(), said).await);
            }
            let mut peer = Peer::connect(node.c2s()).await;
            peer.send_bytes(header).await;
            peer.log_on("a@localhost/one").await;
            is_let_go(&mut sitting[0]).await;
        }
        node.stop().await;
    });
}

/// What the metrics say.
async fn metric(at: SocketAddr, name: &str) -> usize {
    let (status, page) = get(at, "/metrics").await;
    assert_eq!(status, 200);
    let line = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}\n{page}")).parse().unwrap()
}

#[test]
fn clients_leave_file_descriptors_for_everybody_else() {
    let program = Program::new("");
    program.say(&["account", "add", "a@localhost", PASSWORD]).good();
    for limit in [128, 300] {
        let running = program.run_with_files(limit);
        block_on(async {
            let (c2s, http) = (running.addresses.starttls[0], running.addresses.http[0]);
            let (mut clients, mut visitors) = (Vec::new(), Vec::new());
            for _ in 0..2 * limit {
                clients.push(half(c2s, &HEADER[..40]).await);
                visitors.push(half(http, b"GET /").await);
            }
            for path in ["/live", "/ready"] {
                assert_eq!(get(http, path).await.0, 200, "{path} at {limit}");
            }
            assert!(metric(http, "process_open_fds").await < limit);
            assert_eq!(metric(http, "mangrove_accept_failures_total").await, 0);
            let mut peer = Peer::login(c2s, "a@localhost/one").await;
            let sessions = program.json(&["sessions"]);
            assert_eq!(sessions.as_array().unwrap().len(), 1, "{sessions}");
            // the store can be written to
            peer.send("<message to='a@localhost'><body>kept</body></message>").await;
            assert_eq!(peer.ping().await, []);
            program.say(&["account", "add", &format!("b{limit}@localhost"), "pw"]).good();
        });
    }
}

/// How many accepts have failed, asked over a connection that is open.
async fn scraped(stream: &mut TcpStream) -> usize {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    loop {
        let mut bytes = [0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        assert_ne!(n, 0, "it stays open");
        answer.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length: ").unwrap().1;
        if length.lines().next() == Some(body.len().to_string().as_str()) {
            let name = "mangrove_accept_failures_total ";
            let line = body.lines().find_map(|line| line.strip_prefix(name));
            return line.unwrap().parse().unwrap();
        }
    }
}

#[test]
fn at_the_limit_of_descriptors_one_line_is_logged_and_it_goes_on_when_there_are_some() {
    let program = Program::new("");
    let mut running = program.run();
    let pid = Pid::from_raw(i32::try_from(running.pid()).unwrap());
    let few = Rlimit { current: Some(3), ..getrlimit(Resource::Nofile) };
    block_on(async {
        let to = running.addresses.starttls[0];
        let mut scrape = TcpStream::connect(running.addresses.http[0]).await.unwrap();
        scraped(&mut scrape).await;
        let since = Instant::now();
        let many = prlimit(pid, Resource::Nofile, few).unwrap();
        let mut waiting = Vec::new();
        for _ in 0..100 {
            waiting.push(half(to, HEADER).await);
        }
        let said = running.until_log("connections cannot be accepted");
        assert!(said.contains("WARN"), "{said}");
        // a connection from before is served: more tries fail, and nothing is said of them
        while scraped(&mut scrape).await < 8 {}
        prlimit(pid, Resource::Nofile, many).unwrap();
        for stream in &mut waiting {
            assert_ne!(stream.read(&mut [0; 100]).await.unwrap(), 0, "it is served");
        }
        let failures = metric(running.addresses.http[0], "mangrove_accept_failures_total").await;
        // ten a second at most, not as many as the processor can do
        let most = 10 * usize::try_from(since.elapsed().as_secs()).unwrap() + 11;
        assert!((1..=most).contains(&failures), "{failures}, not {most}");
    });
    running.signal(rustix::process::Signal::TERM);
    let end = running.end();
    assert!(!end.err.contains("cannot be accepted"), "{}", end.err);
}
