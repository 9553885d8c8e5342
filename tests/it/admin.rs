//! What operators see of a node: tree, processes, sessions; and the socket itself.

use crate::support::{Program, Tcp, TestNode, block_on};
use actors::testkit::script::follow;
use mangrove::admin::{
    client::{AskError, Client},
    protocol::{Order, Request, Row},
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

/// Lengths of time differ from run to run: "3m 2s" and "0.1s" become "T".
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let digits = word.trim_end_matches(['s', 'm', 'h', 'd', ',']);
        digits.len() < word.trim_end_matches(',').len() && digits.parse::<f64>().is_ok()
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|w| {
            if is_time(w) { w.replace(w.trim_end_matches(','), "T") } else { w.to_owned() }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_tree_is_drawn_with_what_is_in_the_pools() {
    let program = Program::new("");
    let running = program.run();
    let text = without_times(&program.say(&["tree"]).good());
    let address = running.addresses.starttls[0];
    for line in [
        "/ (supervisor) T",
        "├── storage (supervisor) T",
        "│   └── sqlite (supervisor) T",
        "│       ├── writer (sqlite) T, Writer of data/core.sqlite",
        "├── c2s (supervisor) T",
        "│   ├── connections (pool) T, 0 pooled",
        &format!("│       ├── starttls-1 (listener) T, {address}"),
        "├── certificates (certificates) T",
        "├── tickets (tickets) T",
        "└── admin (supervisor) T",
        "    ├── connections (pool) T, 1 pooled",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n\n{text}");
    }
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(" processes"), "{last}");
    let json = program.json(&["tree"]);
    assert_eq!(json[0]["name"], "/");
    assert_eq!(json[0]["children"][0]["name"], "storage");
}

#[test]
fn processes_are_listed_by_what_is_asked() {
    let program = Program::new("");
    let _running = program.run();
    let text = program.say(&["ps", "--by", "uptime", "--limit", "2"]).good();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("id  kind") && lines[1].ends_with("  /"), "{text}");
    assert!(lines[3].starts_with("2 of ") && lines[3].ends_with(" processes"), "{text}");
    let json = program.json(&["ps", "--limit", "1000"]);
    let paths: Vec<&str> =
        json.as_array().unwrap().iter().filter_map(|p| p["path"].as_str()).collect();
    assert!(paths.contains(&"/storage/sqlite/writer"), "{paths:?}");
}

#[test]
fn sessions_are_listed_and_ended() {
    let program = Program::new("server.hosts = ['localhost', 'other.example']");
    let running = program.run();
    assert_eq!(program.say(&["sessions"]).good(), "0 sessions\n");
    for jid in ["a@localhost", "b@localhost", "c@other.example"] {
        program.say(&["account", "add", jid, "pw"]).good();
    }
    block_on(async {
        let mut tcp = Tcp::to(running.addresses.starttls[0]);
        let log_on = "password a@localhost pw\npassword b@localhost pw\n\
                      password c@other.example pw\nA = a@localhost/one\nB = b@localhost/two\n\
                      C = c@other.example/three\nA C: <presence><priority>5</priority></presence>\n\
                      A S: <presence/>";
        follow(log_on, &mut tcp).await.unwrap();
        let wanted = "\
session                state      priority  queued  unacked
a@localhost/one        connected         5       0        0
b@localhost/two        connected         -       0        0
c@other.example/three  connected         -       0        0
3 sessions
";
        assert_eq!(program.say(&["sessions"]).good(), wanted);
        let of = |args: &[&str]| -> Vec<String> {
            let json = program.json(&[&["sessions"], args].concat());
            let jid = |s: &serde_json::Value| s["jid"].as_str().unwrap().to_owned();
            json.as_array().unwrap().iter().map(jid).collect()
        };
        assert_eq!(of(&["--host", "OTHER.example"]), ["c@other.example/three"]);
        assert_eq!(of(&["--user", "b@localhost"]), ["b@localhost/two"]);
        assert!(program.say(&["sessions", "--limit", "1"]).good().ends_with("\n1 of 3 sessions\n"));
        let kicked = program.say(&["sessions", "kick", "b@localhost/two"]).good();
        assert!(kicked.ends_with("\n1 session ended\n"), "{kicked}");
        let told = "B S: <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                    </stream:error>\nB S: </stream:stream>\nB S: eof\nA S: nothing";
        follow(told, &mut tcp).await.unwrap();
        let gone = program.say(&["sessions", "kick", "b@localhost"]).bad(1);
        assert_eq!(gone, "mangrove: there is no session of b@localhost\n");
        program.say(&["sessions", "kick", "b@@"]).bad(2);
    });
}

#[test]
fn without_a_node_a_command_says_where_it_looked() {
    let program = Program::new("");
    for command in [&["tree"][..], &["ps"], &["sessions"], &["crash", "list"], &["stop"]] {
        let err = program.say(command).bad(1);
        assert!(err.contains("no node answers on data/admin.sock"), "{err}");
    }
    let err = program.say(&["tree", "--socket", "elsewhere.sock"]).bad(1);
    assert!(err.contains("no node answers on elsewhere.sock"), "{err}");
    let err = program.say(&["tree", "--data", "there"]).bad(1);
    assert!(err.contains("no node answers on there/admin.sock"), "{err}");
    program.say(&["tree", "--colour"]).bad(2);
}

#[test]
fn what_is_no_request_is_answered_and_a_long_line_is_not() {
    block_on(async {
        let node = TestNode::start("").await;
        let socket = node.socket();
        let talk = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            for (said, wanted) in [
                ("garbage\n", "{\"error\":{\"message\":\"not a request: "),
                ("{\"command\":\"fly\"}\n", "unknown variant"),
                ("{\"command\":\"ps\",\"by\":\"queue\",\"limit\":1}\n", "{\"row\":{\"process\":{"),
                ("", "{\"done\":{\"of\":"),
                ("{\"command\":\"hosts\"}\n", "{\"row\":{\"host\":\"localhost\"}}"),
                ("", "{\"done\":{\"of\":null}}"),
            ] {
                stream.write_all(said.as_bytes()).unwrap();
                line.clear();
                answers.read_line(&mut line).unwrap();
                assert!(line.contains(wanted), "{said}: {line}");
            }
            // the node closes: the write fails, or the answer is the end
            let long = vec![b'x'; 5 << 20];
            let written = stream.write_all(&long).and_then(|()| stream.write_all(b"\n"));
            line.clear();
            assert!(
                written.is_err() || answers.read_line(&mut line).is_ok_and(|n| n == 0),
                "{line}"
            );
        });
        talk.await.unwrap();
        node.stop().await;
    });
}

#[test]
fn operators_are_processes_of_the_tree() {
    block_on(async {
        let node = TestNode::start("").await;
        let mut client = Client::connect(&node.socket()).await.unwrap();
        let ps = Request::Ps { by: Order::Uptime, limit: 10_000, seconds: 0.0 };
        let (rows, done) = client.rows(ps).await.unwrap();
        let operators =
            rows.iter().filter(|r| matches!(r, Row::Process(p) if p.kind == "operator"));
        assert_eq!((operators.count(), done.of), (1, Some(rows.len())));
        let missing = client.rows(Request::CrashShow { id: 77 }).await.unwrap_err();
        assert!(matches!(&missing, AskError::Refused(r) if r.message.contains("no crash 77")));
        // asked to stop by an operator, it is for the node's owner to do it
        client.rows(Request::Stop {}).await.unwrap();
        node.node.asked_to_stop().await;
        node.stop().await;
        assert!(matches!(client.rows(Request::Tree {}).await, Err(AskError::Lost(_))));
    });
}
