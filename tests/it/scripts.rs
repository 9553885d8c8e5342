//! The scripts of `tests/scripts`, over TCP: what holds for the session core holds for a node, whatever its store.

use crate::support::{Tcp, TestNode, block_on, database};
use actors::testkit::script::Script;
use std::{fs, path::Path};
use storage::testkit::ReplicaSet;

/// The scripts that ask most of a store.
const STORING: [&str; 7] =
    ["blocking", "offline", "private", "resume", "roster", "subscription", "vcard"];

/// Runs the scripts whose names are wanted, each against a node of its own: how many.
fn hold(wanted: impl Fn(&str) -> bool, node: impl AsyncFn() -> TestNode) -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut failed = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let script = Script::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        // time is real here and cannot be moved
        if script.has_time() || !wanted(&name) {
            continue;
        }
        count += 1;
        let result = block_on(async {
            let node = node().await;
            let mut tcp = Tcp::of(&node);
            let result = script.run(&mut tcp).await;
            drop(tcp);
            node.stop().await;
            result
        });
        failed.extend(result.err().map(|e| format!("{name}: {e}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    count
}

#[test]
fn every_script_holds_over_tcp() {
    let count = hold(|_| true, async || TestNode::start("").await);
    assert!(count > 5, "the scripts are there");
}

/// Those that ask most of it; at night (`SCRIPTS=all`) all of them.
#[test]
fn scripts_hold_on_mongodb() {
    let all = std::env::var("SCRIPTS").is_ok_and(|which| which == "all");
    let set = block_on(ReplicaSet::shared()).unwrap();
    let node = async || TestNode::with(&database::options(&set), |_| ()).await;
    let count = hold(|name| all || STORING.contains(&name), node);
    assert!(all && count > STORING.len() || count == STORING.len(), "the scripts are there");
}
