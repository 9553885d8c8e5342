//! What operators see of a registry and of nodes: a node with a real Redis.

use crate::{
    http::get,
    support::{Program, Tcp, block_on, until},
};
use actors::testkit::script::follow;
use cluster::testkit::RedisServer;

/// Deletes all records of sessions.
const FORGET: &str = "EVAL \"return redis.call('DEL', unpack(redis.call('KEYS', 's:*')))\" 0";
/// A second record, of a session `two`, in index and registry as that of `one`.
const COPY: &str = "EVAL \"local s, n = redis.call('KEYS', 's:*')[1], redis.call('KEYS', 'n:*')[1] \
                    redis.call('HSET', s, 'two', redis.call('HGET', s, 'one')) \
                    local m = string.gsub(redis.call('SMEMBERS', n)[1], 'one$', 'two') \
                    return redis.call('SADD', n, m)\" 0";

fn complete(program: &Program) -> bool {
    program.json(&["registry", "stats"])["complete"] == true
}

#[test]
fn an_operator_sees_the_registry_and_sets_it_right() {
    block_on(async {
        let redis = RedisServer::start(&[]).await.unwrap();
        let program = Program::new(&format!(
            "redis.uri = 'redis://127.0.0.1:{}'\ncluster.lease = '4s'\n",
            redis.port()
        ));
        let running = program.run();
        until("it is known that nobody else is there", || complete(&program)).await;
        let nodes = program.json(&["nodes"]);
        let me = nodes[0]["node"].as_str().unwrap().to_owned();
        assert_eq!(nodes[0]["standing"], "up");
        assert_eq!(nodes[0]["alarms"], serde_json::json!([]));
        assert!(program.say(&["nodes"]).good().contains("\n1 node\n"));
        assert!(program.say(&["node", "show"]).good().contains("\nmay act  "));
        program.say(&["node", "show", "nobody"]).bad(1);

        program.say(&["account", "add", "a@localhost", "pw"]).good();
        let mut tcp = Tcp::to(running.addresses.starttls[0]);
        let log_on =
            "password a@localhost pw\nA = a@localhost/one\nA C: <presence/>\nA S: <presence/>";
        follow(log_on, &mut tcp).await.unwrap();
        let record = &program.json(&["registry", "get", "a@localhost/one"])[0];
        assert_eq!(record["node"], me.as_str());
        assert_eq!(record["fresh"], true);
        let same = "1 session and 1 record compared: 0 differences\n";
        assert_eq!(program.say(&["registry", "check"]).good(), same);
        for (jid, way) in [
            ("a@localhost/one", "a message goes to its session here\n"),
            ("a@localhost", "a message goes to the sessions here of priority 0\n"),
            ("b@localhost", "a message goes back: there is no such account"),
            ("a@elsewhere.example", "a request goes back: its domain is not served here"),
        ] {
            let said = program.say(&["route", jid]).good();
            assert!(said.contains(way), "{jid}: {said}");
        }

        assert_eq!(redis.say(FORGET).unwrap(), ":1");
        let error = program.say(&["registry", "check"]).bad(1);
        assert!(error.contains("mangrove registry check --fix"), "{error}");
        let fixed = program.say(&["registry", "check", "--fix"]).good();
        assert!(fixed.starts_with("a@localhost/one is here, and the registry does not"), "{fixed}");
        assert_eq!(program.say(&["registry", "check"]).good(), same);
        assert_eq!(redis.say(COPY).unwrap(), ":1");
        let found = program.say(&["registry", "check", "--json"]);
        assert_eq!(found.code, Some(1));
        let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
        assert_eq!(found["differences"][0]["what"], "left_over", "{found}");
        assert_eq!(found["differences"][0]["jid"], "a@localhost/two");

        let all = program.json(&["sessions", "--node", "all"]);
        assert_eq!(all[0]["rows"][0]["jid"], "a@localhost/one");
        let none = program.say(&["tree", "--node", "n7"]).bad(1);
        assert!(none.contains("there is no node n7 that is alive"), "{none}");

        let at = running.addresses.http[0];
        let (_, page) = get(at, "/metrics").await;
        for line in [
            "mangrove_registry_calls_total{operation=\"bind\"} 1",
            "mangrove_registry_complete 1",
            "mangrove_nodes 1",
            "mangrove_may_act 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
        redis.kill().unwrap();
        until("it is seen that the registry is away", || {
            program.say(&["nodes"]).good().contains(&format!("\n! {me}: the registry is away"))
        })
        .await;
        drop(tcp);
    });
}
