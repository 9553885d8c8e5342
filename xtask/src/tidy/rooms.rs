//! Walls within a crate: which rooms do not know which, and who may reach into what everybody holds.

use std::collections::BTreeMap;

use super::Finding;
use super::edges::Workspace;
use super::imports::{edges, tree};
use super::source::Source;

/// A room, one that it does not name, and why.
const APART: &[(&str, &str, &str)] = &[
    (
        "actors/src/routing/",
        "actors/src/connection/",
        "which way a stanza goes does not depend on what a client is connected by",
    ),
    (
        "actors/src/session/",
        "actors/src/connection/",
        "a session does no I/O: WebSocket and BOSH have it too",
    ),
    (
        "actors/src/driver/",
        "actors/src/connection/",
        "a driver does no I/O: scripts go round it too",
    ),
    (
        "actors/src/resource/",
        "actors/src/env.rs",
        "what outlives a connection is data, and decides nothing of the node",
    ),
    (
        "actors/src/remote/",
        "actors/src/connection/",
        "what a node does for another does not depend on what its clients are connected by",
    ),
    ("actors/src/remote/", "actors/src/modules/", "modules hear of other nodes by hooks"),
    ("actors/src/modules/", "actors/src/remote/", "which node has what is behind routing"),
    (
        "actors/src/modules/",
        "actors/src/sessions/table.rs",
        "where a user is has one door: routing",
    ),
];

/// A room, the one file of it that may, and what the others, but for tests, have not in them.
const CLOSED: &[(&str, &str, &str)] = &[
    ("actors/src/modules/", "", "env.table"),
    ("actors/src/routing/", "actors/src/routing/whereabouts.rs", "env.table"),
    ("actors/src/remote/", "", "env.table"),
    // the record layer is judged by rustls
    ("tls/src/record/", "", "rustls"),
    // law 4: what waits is a job, which is somebody else's
    ("actors/src/session/", "", "async fn"),
];

/// Finds what goes through a wall.
pub fn check(sources: &[Source], workspace: &Workspace) -> Vec<Finding> {
    let files: BTreeMap<&str, &Source> =
        sources.iter().filter(|s| s.is_rust()).map(|s| (s.path.as_str(), s)).collect();
    let roots = workspace.crates.iter().flat_map(|member| &member.roots);
    let named = roots.flat_map(|root| edges(&tree(root, &files), &files));
    let mut findings = Vec::new();
    for (file, all) in named {
        for (room, other, why) in APART.iter().filter(|(room, ..)| file.starts_with(room)) {
            for to in all.iter().filter(|to| to.starts_with(other)) {
                let what = format!("{room} does not name {to}: {why}");
                findings.push(Finding::new(&file, 0, what));
            }
        }
    }
    for (room, door, what) in CLOSED {
        let inside = files.iter().filter(|(path, _)| path.starts_with(room) && path != &door);
        for (path, source) in inside.filter(|(path, _)| !is_test(path, &files)) {
            let code = source.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for (n, line) in code.lines().enumerate().filter(|(_, l)| l.contains(what)) {
                let found = format!("`{}`: `{what}` has no place in {room}", line.trim());
                findings.push(Finding::new(path, n + 1, found));
            }
        }
    }
    findings
}

/// Whether the file next to it declares it as a test.
fn is_test(path: &str, files: &BTreeMap<&str, &Source>) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let declared = format!("#[cfg(test)]\nmod {};", name.trim_end_matches(".rs"));
    [format!("{folder}/mod.rs"), format!("{folder}.rs")]
        .iter()
        .filter_map(|parent| files.get(parent.as_str()))
        .any(|parent| parent.code.contains(&declared))
}

#[cfg(test)]
mod tests {
    use super::super::edges::Crate;
    use super::*;
    use std::collections::BTreeSet;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let member = Crate {
            name: "actors".to_owned(),
            manifest: "actors/Cargo.toml".to_owned(),
            dependencies: BTreeSet::new(),
            roots: vec!["actors/src/lib.rs".to_owned()],
        };
        let findings = check(&sources, &Workspace { crates: vec![member] });
        findings.into_iter().map(|f| format!("{}:{}", f.path, f.line)).collect()
    }

    #[test]
    fn a_room_that_names_another_behind_a_wall_is_found() {
        let lib = ("actors/src/lib.rs", "mod routing;\nmod connection;\nmod env;");
        let rest = [("actors/src/connection/mod.rs", ""), ("actors/src/env.rs", "")];
        let of = |text: &str| {
            let routing = ("actors/src/routing/mod.rs", text);
            found(&[lib, routing, rest[0], rest[1]])
        };
        assert_eq!(of("use crate::{connection::Port, env::Env};"), ["actors/src/routing/mod.rs:0"]);
        assert!(of("use crate::env::Env; // not crate::connection::Port").is_empty());
        assert_eq!(of("fn a() {\n    env.table.find();\n}"), ["actors/src/routing/mod.rs:2"]);
    }

    #[test]
    fn the_door_may() {
        let files = [
            ("actors/src/lib.rs", "mod routing;"),
            ("actors/src/routing/mod.rs", "mod whereabouts;"),
            ("actors/src/routing/whereabouts.rs", "fn a() { env.table.find(); }"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn a_session_has_no_async_fn_but_for_its_tests() {
        let files = [
            ("actors/src/lib.rs", "mod session;"),
            (
                "actors/src/session/mod.rs",
                "#[cfg(test)]\nmod late;\nmod calm;\nfn a() {}\n#[cfg(test)]\nmod tests { async fn t() {} }",
            ),
            ("actors/src/session/late.rs", "async fn world() {}"),
            ("actors/src/session/calm.rs", "// no async fn\nasync fn calm() {}"),
        ];
        assert_eq!(found(&files), ["actors/src/session/calm.rs:2"]);
    }
}
