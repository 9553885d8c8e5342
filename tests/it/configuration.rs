//! `mangrove config`, and what a start says of a configuration that cannot be used.

use crate::support::{Program, TestNode, block_on};
use std::fs;

#[test]
fn every_mistake_is_told_at_once() {
    let program = Program::new("");
    let file = "c2s.idel = '5m'\nserver.hosts = ['a b']\nlog.level = 'loud=very=x'\n\
                limits.max_depth = 'x'\n[modules.pong]\n";
    fs::write(program.path().join("wrong.toml"), file).unwrap();
    let err = program.say(&["config", "check", "wrong.toml"]).bad(2);
    for part in [
        "5 mistakes",
        "wrong.toml:1:5: c2s.idel",
        "did you mean idle?",
        "wrong.toml:2:",
        "\"a b\" is no domain",
        "wrong.toml:3:",
        "wrong.toml:4:",
        "modules.pong",
    ] {
        assert!(err.contains(part), "{part}\n\n{err}");
    }
    let json = program.say(&["config", "check", "wrong.toml", "--json"]);
    assert_eq!(json.code, Some(2));
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["mistakes"].as_array().unwrap().len(), 5);
    assert_eq!(json["mistakes"][0]["line"], 1);
    let run = program.say(&["run", "--config", "wrong.toml"]).bad(2);
    assert!(run.contains("c2s.idel"), "{run}");
    let missing = program.say(&["config", "check", "none.toml"]).bad(2);
    assert!(missing.contains("none.toml: cannot be read"), "{missing}");
}

#[test]
fn a_good_configuration_is_good() {
    let program = Program::new("");
    assert_eq!(program.say(&["config", "check"]).good(), "mangrove.toml: good\n");
    assert_eq!(program.say(&["config", "check", "mangrove.toml"]).good(), "mangrove.toml: good\n");
    let reference = program.say(&["config", "reference"]).good();
    assert!(reference.contains("[modules.ping]") && reference.contains("[c2s]"));
    fs::write(program.path().join("reference.toml"), &reference).unwrap();
    assert_eq!(
        program.say(&["config", "check", "reference.toml"]).good(),
        "reference.toml: good\n"
    );
}

#[test]
fn a_certificate_that_is_not_there_is_a_mistake() {
    let program = Program::new("[[certificate]]\nfile = 'c.pem'\nkey = 'k.pem'\n");
    for command in [&["config", "check"][..], &["run"]] {
        let said = program.say(command);
        assert_ne!(said.code, Some(0));
        assert!(said.err.contains("c.pem: the certificate cannot be read"), "{}", said.err);
    }
}

/// What a start would refuse is told by the check too.
#[test]
fn accounts_that_are_elsewhere_are_looked_at() {
    let jwt = |rest: &str| format!("[[jwt_accounts]]\nhost = 'localhost'\n{rest}");
    let mongodb = "storage.backend = 'mongodb'\n";
    for (options, wanted) in [
        (jwt("key = 'none.pem'\n"), "none.pem: No such file"),
        (jwt("key = 'short'\n"), "short: the key is too short"),
        (jwt("key = 'short'\nalgorithm = 'RS257'\n"), "write one of HS256, "),
        (
            "[[http_accounts]]\nhost = 'localhost'\nurl = 'http://a.example/'\n".to_owned(),
            "write https://",
        ),
        (format!("{mongodb}mongodb.uri = 'mongo://a'\n"), "[mongodb]: the options"),
        (format!("{mongodb}mongodb.ca = 'none.pem'\n"), "none.pem: No such file"),
        (format!("{mongodb}mongodb.password = 'x'\n"), "set mongodb.user too"),
    ] {
        let program = Program::new("");
        fs::write(program.path().join("short"), "0123").unwrap();
        fs::write(program.path().join("wrong.toml"), &options).unwrap();
        let err = program.say(&["config", "check", "wrong.toml"]).bad(2);
        assert!(err.contains(wanted), "{wanted}\n\n{err}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let program = Program::new("");
    let running = program.run();
    let taken = running.addresses.http[0];
    let second = Program::new("");
    let options = format!("http.listen = ['{taken}']\nc2s.starttls = []\nc2s.direct_tls = []\n");
    fs::write(second.path().join("mangrove.toml"), options).unwrap();
    let err = second.say(&["run"]).bad(1);
    assert!(err.contains(&format!("http.listen: cannot listen on {taken}")), "{err}");
    let err = program.say(&["run"]).bad(1);
    assert!(err.contains("data") && err.contains("in use"), "{err}");
}

#[test]
fn a_running_node_takes_a_new_configuration_over() {
    block_on(async {
        let node = TestNode::start("").await;
        let shown = node.data.path().display().to_string();
        let text = format!(
            "{}server.data = {shown:?}\nstorage.backend = 'memory'\nlimits.max_depth = 20\n\
             sasl.throttle_failures = 3\n",
            crate::support::CONFIG
        );
        let new = mangrove::Setup::of(config::load(&text, "new.toml", [], &[])).unwrap();
        let reloaded = node.node.reload(new.config).await;
        assert_eq!(reloaded.changed, ["limits"]);
        assert_eq!(reloaded.restart, ["sasl.throttle_failures"]);
        assert_eq!(reloaded.certificates, Ok(1));
        assert_eq!(node.node.env().settings().max_depth, 20);
        node.stop().await;
    });
}

/// What a configuration says of other nodes is looked at by `config check`, and by a start.
#[test]
fn a_node_that_is_alone_has_no_address_for_others_and_one_that_is_not_has_a_port() {
    let check = |options: &str| Program::of(options).say(&["config", "check"]).bad(2);
    let said = check("cluster.address = 'n1:5290'\n");
    assert!(said.contains("cluster.address") && said.contains("set cluster.name"), "{said}");
    let node = "server.node = 'n1'\ncluster.name = 'c'\nstorage.backend = 'mongodb'\n\
                redis.uri = 'redis://r'\n";
    let said = check(&format!("{node}cluster.address = 'n1'\n"));
    assert!(said.contains("cluster.address: \"n1\" is not HOST:PORT"), "{said}");
}
