//! Default, file, environment, command line: the later one wins.

use crate::{Node, Ping, file, node, rows};
use config::{ByteSize, Config, Override, Sections, mins, schema, secs};
use std::path::{Path, PathBuf};

fn flag(flag: &str, option: &str, value: &str) -> Override {
    Override { flag: flag.into(), option: option.into(), value: value.into() }
}

#[test]
fn starts_without_any_file() {
    let Node { config, ping, register } = file("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.hosts, ["localhost"]);
    assert_eq!(config.c2s.starttls, ["[::]:5222".parse().unwrap()]);
    assert_eq!(config.limits.max_stanza_unauthenticated, ByteSize(10_000));
    assert!(config.c2s.require_tls && config.certificate.is_empty());
    assert_eq!(config.admin_socket(), Path::new("data/admin.sock"));
    assert_eq!(ping, Some(Ping::default()));
    assert_eq!(register, None);
    let mut sections = Sections::default();
    assert_eq!(
        sections.take::<Ping>("ping"),
        Some(Ping { idle: secs(60), words: vec![], rate: None })
    );
    assert!(config::read(None, [], &[]).unwrap().finish().is_ok());
}

#[test]
fn the_file_is_read() {
    let text = r#"
        server.hosts = ["example.org", "example.net"]
        [c2s]
        starttls = ["127.0.0.1:0", ":5222"]
        proxy_from = ["10.0.0.0/8", "::1"]
        [limits]
        max_stanza = 20_000
        queued_bytes = "4MiB"
        [sasl]
        mechanisms = ["SCRAM-SHA-256"]
        [[certificate]]
        file = "a.pem"
        key = "a.key"
        [[certificate]]
        file = "b.pem"
        key = "b.key"
        [storage]
        backend = "memory"
        [admin]
        socket = "/run/x.sock"
        [modules.ping]
        idle = "1m30s"
        rate = 5
        [modules.register]
        enabled = true
    "#;
    let Node { config, ping, register } = file(text).unwrap();
    assert_eq!(config.server.hosts, ["example.org", "example.net"]);
    assert_eq!(config.c2s.starttls[1], "[::]:5222".parse().unwrap());
    assert!(config.c2s.proxy_from[1].contains("::1".parse().unwrap()));
    assert_eq!(config.limits.max_stanza, ByteSize(20_000));
    assert_eq!(config.limits.queued_bytes, ByteSize(4 << 20));
    assert_eq!(config.sasl.mechanisms, [schema::Mechanism::ScramSha256]);
    assert_eq!(config.certificate[1].key, Path::new("b.key"));
    assert_eq!(config.storage.backend, schema::Backend::Memory);
    assert_eq!(config.admin_socket(), Path::new("/run/x.sock"));
    assert_eq!(ping, Some(Ping { idle: secs(90), words: vec![], rate: Some(5) }));
    assert!(register.is_some());
}

#[test]
fn modules_are_turned_off() {
    assert_eq!(file("[modules.ping]\nenabled = false\n").unwrap().ping, None);
    // What stands there is checked all the same.
    let found = rows(file("[modules.ping]\nenabled = false\nidle = 1\n"));
    assert_eq!(found.len(), 1);
}

#[test]
fn the_environment_is_stronger_than_the_file() {
    let text = "[server]\nnode = \"file\"\n[c2s]\nidle = 1\nmax_connections = 7\n";
    let env = [
        ("HOME", "/"),
        ("MANGROVE_CONFIG", "not ours"),
        ("MANGROVE__SERVER__NODE", "5"),
        ("MANGROVE__SERVER__HOSTS", "a.example, b.example"),
        ("MANGROVE__C2S__IDLE", "2m"),
        ("MANGROVE__C2S__STARTTLS", "[::1]:5222"),
        ("MANGROVE__C2S__DIRECT_TLS", "[]"),
        ("MANGROVE__C2S__REQUIRE_TLS", "false"),
        ("MANGROVE__LIMITS__QUEUED_BYTES", "1MiB"),
        ("MANGROVE__CERTIFICATE", r#"[{ file = "a", key = "b" }]"#),
        ("MANGROVE__MODULES__PING__IDLE", "\"7s\""),
        ("MANGROVE__MODULES__REGISTER__ENABLED", "true"),
    ];
    let Node { config, ping, register } = node(text, &env, &[]).unwrap();
    assert_eq!(config.server.node, "5");
    assert_eq!(config.server.hosts, ["a.example", "b.example"]);
    assert_eq!(config.c2s.idle, mins(2));
    assert_eq!(config.c2s.max_connections, 7);
    assert_eq!(config.c2s.starttls, ["[::1]:5222".parse().unwrap()]);
    assert!(config.c2s.direct_tls.is_empty() && !config.c2s.require_tls);
    assert_eq!(config.limits.queued_bytes, ByteSize(1 << 20));
    assert_eq!(config.certificate[0].file, Path::new("a"));
    assert_eq!(ping.unwrap().idle, secs(7));
    assert!(register.is_some());
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let env = [
        ("MANGROVE__MODULES__PONG__IDLE", "5s"),
        ("MANGROVE__C2S__MAX_CONNECTIONS", "many"),
        ("MANGROVE__C2S__IDEL", "5s"),
        ("MANGROVE__C2S__IDLE__X", "5s"),
        ("MANGROVE__NODE", "x"),
        ("MANGROVE__", "x"),
    ];
    let expected = [
        "mangrove.toml:2:8: c2s.idle: 1 is no duration; write it like \"1s\" (default: \"5m\")",
        "MANGROVE__: there is no such option; write it like MANGROVE__SECTION__OPTION",
        "MANGROVE__C2S__IDEL: c2s.idel: there is no such option; did you mean idle?",
        "MANGROVE__C2S__IDLE__X: c2s.idle.x: there is no such option; write it like MANGROVE__SECTION__OPTION",
        "MANGROVE__C2S__MAX_CONNECTIONS: c2s.max_connections: \"many\" is no whole number; write it like 10 (default: 100000)",
        "MANGROVE__MODULES__PONG__IDLE: modules.pong: there is no such module; did you mean ping?",
        "MANGROVE__NODE: node: there is no such option; did you mean server.node?",
    ];
    assert_eq!(rows(node("[c2s]\nidle = 1\n", &env, &[])), expected);
}

#[test]
fn flags_are_stronger_than_the_environment() {
    let env = [("MANGROVE__SERVER__DATA", "/env")];
    let over = [flag("--data", "server.data", "/flag")];
    assert_eq!(node("", &env, &over).unwrap().config.server.data, PathBuf::from("/flag"));
    let wrong = [flag("--idle", "c2s.idle", "long")];
    let expected =
        "--idle: c2s.idle: \"long\" is no duration; write it like \"30s\" (default: \"5m\")";
    assert_eq!(rows(node("", &[], &wrong)), [expected]);
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.toml");
    std::fs::write(&path, "[server]\nnode = \"f\"\n").unwrap();
    let config = config::read(Some(&path), [], &[]).unwrap().finish().unwrap();
    assert_eq!(config.server.node, "f");

    std::fs::write(&path, b"[server]\nnode = \"\xff\"\n").unwrap();
    let report = config::read(Some(&path), [], &[]).unwrap_err();
    assert_eq!(report.rows()[0].message, "is not UTF-8");
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let report = config::read(Some(&path), [], &[]).unwrap_err();
    assert_eq!(report.rows()[0].fix, "a configuration has at most 1 MiB");
    let report = config::read(Some(&dir.path().join("none.toml")), [], &[]).unwrap_err();
    assert!(report.to_string().contains("none.toml: cannot be read: "), "{report}");
}
