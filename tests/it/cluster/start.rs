//! What is wrong at the start of a node of a cluster is said.

use super::{Node, Shared, of};
use crate::support::block_on;
use cluster::testkit::RedisServer;
use std::fs;

#[test]
fn a_node_without_credentials_says_what_makes_them() {
    let shared = block_on(Shared::new(""));
    let why = shared.program("n1", "cluster.credentials = 'nowhere'\n").say(&["run"]).bad(1);
    assert!(why.contains("nowhere") && why.contains("mangrove cluster init"), "{why}");
}

#[test]
fn a_node_with_the_credentials_of_another_is_told() {
    let shared = block_on(Shared::new(""));
    let of_another = shared.credentials("n2");
    let options = format!("cluster.credentials = {of_another:?}\n");
    let why = shared.program("n1", &options).say(&["run"]).bad(1);
    assert!(why.contains("node.crt") && why.contains("of n1"), "{why}");
}

#[test]
fn a_wrong_password_of_redis_is_said_to_be_one() {
    let shared = block_on(Shared::new(""));
    let redis = block_on(RedisServer::start(&["--requirepass", "secret"])).unwrap();
    let wrong = format!("redis://:no@127.0.0.1:{}", redis.port());
    let right = format!("127.0.0.1:{}", shared.redis.port());
    for uri in [wrong.clone(), wrong.replace(":no@", "")] {
        let program = shared.program("n1", "");
        let file = program.path().join("mangrove.toml");
        let config = fs::read_to_string(&file).unwrap();
        fs::write(file, config.replace(&format!("redis://{right}"), &uri)).unwrap();
        let why = program.say(&["run"]).bad(1);
        assert!(why.contains("Redis refuses") && why.contains("check user and password"), "{why}");
    }
}

/// Two nodes of which the second has something else than the first: neither is linked, and both say why.
fn strangers(change: impl AsyncFnOnce(&Shared), why: &str) {
    block_on(async {
        let shared = Shared::new("").await;
        let one = Node::start("n1", shared.program("n1", ""));
        change(&shared).await;
        let two = Node::start("n2", shared.program("n2", ""));
        for node in [&one, &two] {
            node.says(&["a node was not accepted", why]).await;
            assert!(!node.log().contains("\"linked\""), "{}", node.log());
        }
    });
}

#[test]
fn nodes_of_different_authorities_are_not_linked() {
    let change = async |shared: &Shared| {
        let dir = shared.credentials("n2");
        let strangers = Shared::new("").await;
        let stranger = strangers.credentials("n2");
        for file in ["ca.crt", "node.crt", "node.key"] {
            fs::copy(stranger.join(file), dir.join(file)).unwrap();
        }
    };
    strangers(change, "TLS: ");
}

#[test]
fn nodes_with_different_cookies_are_not_linked() {
    let change = async |shared: &Shared| {
        fs::write(shared.credentials("n2").join("cookie"), "another").unwrap();
    };
    strangers(change, "cookie");
}

#[test]
fn of_two_nodes_with_one_name_the_first_ends_and_says_so() {
    let shared = block_on(Shared::new(""));
    let (mut first, second) = block_on(async {
        let first = shared.node("n1", &[]).await;
        let second = shared.node("n1", &[]).await;
        first.says(&["another process has the name of this node", "server.node"]).await;
        (first, second)
    });
    assert_eq!(first.running.end().code, Some(0));
    block_on(second.is_ready());
}

#[test]
fn nodes_that_are_configured_otherwise_say_so() {
    block_on(async {
        let shared = Shared::new("").await;
        let one = shared.node("n1", &[]).await;
        let two = Node::start("n2", shared.program("n2", "limits.max_resources = 3\n"));
        for (node, other) in [(&one, &of("n2")), (&two, &of("n1"))] {
            node.says(&["a node is configured otherwise", other]).await;
        }
    });
}
