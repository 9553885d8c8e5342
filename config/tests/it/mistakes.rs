//! Mistakes in the file: what is said of each, and where.

use crate::{file, rows};

/// Section, line, and what is said about it after "mangrove.toml:2:".
const VALUES: &[(&str, &str, &str)] = &[
    (
        "c2s",
        r#"idle = "5 minutes""#,
        r#"8: c2s.idle: "5 minutes" is no duration; write it like "5m" (default: "5m")"#,
    ),
    ("c2s", "idle = 30", r#"8: c2s.idle: 30 is no duration; write it like "30s" (default: "5m")"#),
    (
        "c2s",
        r#"idle = "soon""#,
        r#"8: c2s.idle: "soon" is no duration; write it like "30s" (default: "5m")"#,
    ),
    (
        "c2s",
        r#"idle = "0s""#,
        r#"8: c2s.idle: "0s" is out of range; allowed is 100ms to 1d (default: "5m")"#,
    ),
    (
        "c2s",
        r#"require_tls = "yes""#,
        r#"15: c2s.require_tls: "yes" is no truth value; write true or false, without quotes (default: true)"#,
    ),
    (
        "c2s",
        r#"max_connections = "many""#,
        r#"19: c2s.max_connections: "many" is no whole number; write it like 10 (default: 100000)"#,
    ),
    (
        "c2s",
        "max_connections = 0",
        "19: c2s.max_connections: 0 is out of range; allowed is at least 1 (default: 100000)",
    ),
    (
        "limits",
        "max_depth = 99999999999999999999",
        "13: limits.max_depth: 99999999999999999999 is out of range; allowed is 8 to 1000 (default: 64)",
    ),
    (
        "limits",
        "queued = -1",
        "10: limits.queued: -1 is out of range; allowed is 10 to 1000000 (default: 1000)",
    ),
    (
        "limits",
        "queued = 1e3",
        "10: limits.queued: 1e3 is no whole number; write it like 10 (default: 1000)",
    ),
    (
        "limits",
        r#"max_stanza = "1TB""#,
        r#"14: limits.max_stanza: "1TB" is no size in bytes; write it like "64MiB" (default: "256KiB")"#,
    ),
    (
        "limits",
        "max_stanza = 5",
        r#"14: limits.max_stanza: 5 is out of range; allowed is 10000 bytes to 16MiB (default: "256KiB")"#,
    ),
    (
        "server",
        "hosts = []",
        r#"9: server.hosts: the list has 0 entries; allowed is at least 1 entry (default: ["localhost"])"#,
    ),
    (
        "server",
        r#"hosts = "example.org""#,
        r#"9: server.hosts: "example.org" is no list; put it into brackets: ["example.org"] (default: ["localhost"])"#,
    ),
    (
        "server",
        r#"hosts = ["a", "b", "a"]"#,
        r#"20: server.hosts: "a" is in the list twice; remove one of them (default: ["localhost"])"#,
    ),
    (
        "server",
        "node = 5",
        r#"8: server.node: 5 is no text; put it into quotes: "5" (default: "mangrove")"#,
    ),
    (
        "server",
        r#"node = """#,
        r#"8: server.node: it is empty; write some text, or leave it out (default: "mangrove")"#,
    ),
    (
        "server",
        "data = true",
        r#"8: server.data: true is no path; write it like "path/to/file" (default: "data")"#,
    ),
    (
        "admin",
        "socket = { path = 1 }",
        r#"10: admin.socket: a table is no path; write it like "path/to/file""#,
    ),
    (
        "c2s",
        r#"direct_tls = ["localhost:5223"]"#,
        r#"15: c2s.direct_tls: "localhost:5223" is no address with a port; write an IP address and a port, like "0.0.0.0:5222", "[::]:5222" or, for every address, ":5222" (default: ["[::]:5223"])"#,
    ),
    (
        "c2s",
        r#"proxy_from = ["10.0.0.0/40"]"#,
        r#"15: c2s.proxy_from: "10.0.0.0/40" is no network; write it like "10.0.0.0/8" (default: [])"#,
    ),
    (
        "log",
        r#"format = "JSON""#,
        r#"10: log.format: "JSON" is not among what is allowed; did you mean "json"? Allowed are "auto", "human", "json" (default: "auto")"#,
    ),
    (
        "storage",
        r#"backend = "redis""#,
        r#"11: storage.backend: "redis" is not among what is allowed; write one of "sqlite", "mongodb", "memory" (default: "sqlite")"#,
    ),
    (
        "limits",
        r#"max_stanza = "4MiB""#,
        "14: limits.max_stanza: 2MiB cannot hold a stanza of 4MiB; set limits.queued_bytes to at least limits.max_stanza",
    ),
    (
        "modules.ping",
        "enabled = 1",
        "11: modules.ping.enabled: 1 is no truth value; write true or false, without quotes (default: true)",
    ),
    (
        "modules.ping",
        "rate = 256",
        "8: modules.ping.rate: 256 is out of range; allowed is 1 to less than 100",
    ),
    (
        "modules.ping",
        r#"words = ["a", "b", "c", "d"]"#,
        "9: modules.ping.words: the list has 4 entries; allowed is at most 3 entries (default: [])",
    ),
    (
        "c2s",
        "max_conections = 5",
        "1: c2s.max_conections: there is no such option; did you mean max_connections?",
    ),
    (
        "c2s",
        "max_stanza = 5",
        "1: c2s.max_stanza: there is no such option; did you mean limits.max_stanza?",
    ),
    (
        "admin",
        "colour = 5",
        "1: admin.colour: there is no such option; remove it; options here are socket",
    ),
    (
        "modules.register",
        "open = true",
        "1: modules.register.open: there is no such option; remove it; options here are enabled",
    ),
    (
        "modules",
        "[modules.pings]",
        "10: modules.pings: there is no such module; did you mean ping?",
    ),
    (
        "modules",
        "[modules.irc]",
        "10: modules.irc: there is no such module; remove it; modules are ping, register",
    ),
    (
        "modules",
        "ping = true",
        "8: modules.ping: true stands where a table of options is expected; write [modules.ping] on a line and its options below",
    ),
    ("c2s", "[ping]", "2: ping: there is no such section; did you mean modules.ping?"),
    ("c2s", "[limit]", "2: limit: there is no such section; did you mean limits?"),
    (
        "c2s",
        r#"[[certificate]] # "#,
        r#"1: certificate.file: it is missing; add file = "path/to/file""#,
    ),
    // Syntax.
    ("c2s", "idle = 5m", r#"8: 5m has no quotes; put it into quotes: "5m""#),
    (
        "c2s",
        "idle = 5 minutes",
        r#"8: c2s.idle: 5 minutes is no duration; write it like "5m" (default: "5m")"#,
    ),
    ("c2s", "idle =", "7: the value is missing; write it after the =, or remove the line"),
    ("c2s", "idle", "5: there is no = after the name; write NAME = VALUE, or [SECTION]"),
    ("c2s", r#"idle: "5m""#, "5: invalid unquoted key; expected letters, numbers, `-`, `_`"),
    ("c2s", r#"idle = "5m"#, r#"11: invalid basic string; expected `"`"#),
    ("c2s", "[server", "8: unclosed table; expected `]`"),
    ("c2s", "[c2s]", "2: c2s is there twice; keep one of them"),
    ("c2s", r#"starttls = ["a" "b"]"#, "17: missing comma between array elements; expected `,`"),
];

#[test]
fn each_mistake_has_place_reason_and_fix() {
    for (section, line, expected) in VALUES {
        let text = format!("[{section}]\n{line}\n");
        let found = rows(file(&text));
        let expected = format!("mangrove.toml:2:{expected}");
        assert_eq!(found.first(), Some(&expected), "of {text}");
        let both = *line == r#"[[certificate]] # "#;
        assert_eq!(found.len(), if both { 2 } else { 1 }, "of {text}: {found:#?}");
    }
}

#[test]
fn all_mistakes_come_at_once_and_in_order() {
    let text = "\
[modules.ping]
idle = 1
[c2s]
\tidle = \"5 minutes\"  # too long
starttls = [\":0\", \"x\", 5]
max_conections = 5
[[certificate]]
file = \"ä.pem\"
key = 7
[typo]
";
    let expected = r#"mangrove.toml:2:8: modules.ping.idle: 1 is no duration; write it like "1s" (default: "1m")
  2 | idle = 1
    |        ^
mangrove.toml:4:9: c2s.idle: "5 minutes" is no duration; write it like "5m" (default: "5m")
  4 | 	idle = "5 minutes"  # too long
    | 	       ^^^^^^^^^^^
mangrove.toml:5:19: c2s.starttls: "x" is no address with a port; write an IP address and a port, like "0.0.0.0:5222", "[::]:5222" or, for every address, ":5222" (default: ["[::]:5222"])
  5 | starttls = [":0", "x", 5]
    |                   ^^^
mangrove.toml:5:24: c2s.starttls: 5 is no address with a port; write an IP address and a port, like "0.0.0.0:5222", "[::]:5222" or, for every address, ":5222" (default: ["[::]:5222"])
  5 | starttls = [":0", "x", 5]
    |                        ^
mangrove.toml:6:1: c2s.max_conections: there is no such option; did you mean max_connections?
  6 | max_conections = 5
    | ^^^^^^^^^^^^^^
mangrove.toml:9:7: certificate.key: 7 is no path; write it like "path/to/file"
  9 | key = 7
    |       ^
mangrove.toml:10:2: typo: there is no such section; remove it; sections are server, c2s, limits, sasl, stream_management, delivery, certificate, cluster, redis, storage, mongodb, mongodb_accounts, http_accounts, jwt_accounts, http, admin, log, modules
  10 | [typo]
     |  ^^^^"#;
    assert_eq!(file(text).unwrap_err().to_string(), expected);
}

#[test]
fn mistakes_of_syntax_do_not_hide_the_others() {
    let text = "[c2s]\nmax_connectionz = 1\nidle = \nmax_connections = \"x\"\n[log]\nlevel = 'a\n";
    let expected = [
        "mangrove.toml:2:1: c2s.max_connectionz: there is no such option; did you mean max_connections?",
        "mangrove.toml:3:8: the value is missing; write it after the =, or remove the line",
        r#"mangrove.toml:4:19: c2s.max_connections: "x" is no whole number; write it like 10 (default: 100000)"#,
        "mangrove.toml:6:11: invalid literal string; expected `'`",
    ];
    assert_eq!(rows(file(text)), expected);
}

#[test]
fn mistakes_of_syntax_make_no_others() {
    // The options after the broken header are not those of [c2s].
    let broken = "[c2s]\n[server\nhosts = [\"a\"]\nnode = \"n\"\n";
    assert_eq!(rows(file(broken)), ["mangrove.toml:2:8: unclosed table; expected `]`"]);
    for next in ["[server]", "idle = \"5m\""] {
        let endless = format!("[c2s]\nstarttls = [\":0\",\n{next}\nhosts = [\"a\"]\nnode = 5\n");
        let found = rows(file(&endless));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("the list above does not end; write its ] before"), "{found:?}");
        assert!(found[0].starts_with("mangrove.toml:3:"), "{found:?}");
    }
}

#[test]
fn options_that_cannot_be_so_together() {
    let text = "sasl = { plain = false, mechanisms = [] }\n[limits]\nmax_stanza = 10000\n\
                max_stanza_unauthenticated = 10001\n";
    let expected = [
        "mangrove.toml:1:38: sasl.mechanisms: nobody could log in; \
         set sasl.plain = true, or allow one of sasl.mechanisms",
        "mangrove.toml:4:30: limits.max_stanza_unauthenticated: 10001 before login, but 10000 \
         after it; set limits.max_stanza to at least limits.max_stanza_unauthenticated",
    ];
    assert_eq!(rows(file(text)), expected);
    // A value that cannot be read conflicts with nothing.
    let text = "[limits]\nmax_stanza = \"4MiB\"\nqueued_bytes = \"x\"\n";
    assert_eq!(rows(file(text)).len(), 1);
}

#[test]
fn rows_for_programs() {
    let report = file("[c2s]\nidle = 1\n").unwrap_err();
    let expected = serde_json::json!([{
        "file": "mangrove.toml",
        "line": 2,
        "column": 8,
        "option": "c2s.idle",
        "message": "1 is no duration",
        "fix": "write it like \"1s\" (default: \"5m\")",
    }]);
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
}

#[test]
fn long_lines_are_shown_in_part() {
    let text = format!("[server]\nhosts = [{}5]\n", "\"a\", ".repeat(1000));
    let text = text.replace("\"a\", ", "1, ");
    let report = file(&text).unwrap_err();
    for row in report.rows() {
        let shown = row.excerpt.as_deref().unwrap();
        assert!(shown.lines().all(|line| line.chars().count() < 120), "{shown}");
        let [line, caret] = shown.lines().collect::<Vec<_>>()[..] else { panic!("two lines") };
        let under = line.chars().zip(caret.chars()).find(|(_, c)| *c == '^');
        assert!(matches!(under, Some(('1' | '5', _))), "{shown}");
    }
}

#[test]
fn users_of_an_option_can_object() {
    let text = "[server]\nhosts = [\"fine\", \"a b\"]\n";
    let mut loaded = config::load(text, "mangrove.toml", [], &[]);
    assert_eq!(loaded.draft().server.hosts, ["fine", "a b"]);
    loaded.modules.reject("server.hosts", Some(1), "\"a b\" is no host name", "remove the space");
    loaded.modules.reject("log.level", None, "no such level", "write info");
    let found = loaded.finish().unwrap_err();
    let lines: Vec<_> = found.rows().iter().map(|r| (r.line, r.column, &*r.option)).collect();
    assert_eq!(lines, [(Some(2), Some(18), "server.hosts"), (None, None, "log.level")]);
}

#[test]
fn windows_files() {
    let text = "\u{feff}[c2s]\r\nidle = 1\r\n";
    let report = file(text).unwrap_err().to_string();
    assert!(report.ends_with("\n  2 | idle = 1\n    |        ^"), "{report}");
}
