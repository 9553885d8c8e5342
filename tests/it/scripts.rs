//! The scripts of `tests/scripts`, over TCP: what holds for the session core holds for a node, whatever its store.

use crate::{
    cluster::Shared,
    support::{Tcp, TestNode, block_on, database, until},
};
use actors::testkit::script::Script;
use parking_lot::Mutex;
use std::{fs, path::Path};
use storage::testkit::ReplicaSet;

/// The scripts that ask most of a store.
const STORING: [&str; 7] =
    ["blocking", "offline", "private", "resume", "roster", "subscription", "vcard"];

/// Those that are about users on different nodes, as often as CI has time for.
const ROUTING: [&str; 4] = ["blocking", "presence", "roster", "subscription"];

/// Runs the scripts whose names are wanted, each against nodes of its own: how many.
fn hold(wanted: impl Fn(&str) -> bool, nodes: impl AsyncFn() -> Vec<TestNode>) -> usize {
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
            let nodes = nodes().await;
            let all: Vec<&TestNode> = nodes.iter().collect();
            let mut tcp = Tcp::of_all(&all, places(&name));
            let result = script.run(&mut tcp).await;
            drop(tcp);
            for node in nodes {
                node.stop().await;
            }
            result
        });
        failed.extend(result.err().map(|e| format!("{name}: {e}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    count
}

/// These, or with `SCRIPTS=all` all of them.
fn hold_some(these: &[&str], nodes: impl AsyncFn() -> Vec<TestNode>) {
    let all = std::env::var("SCRIPTS").is_ok_and(|which| which == "all");
    let count = hold(|name| all || these.contains(&name), nodes);
    assert!(all && count > these.len() || count == these.len(), "the scripts are there");
}

/// Where clients are when there are two nodes, of scripts that say in which order a client hears of two others: where that is defined
/// these are on one node.
fn places(script: &str) -> &'static [(&'static str, usize)] {
    match script {
        "subscription" => &[("R", 1), ("J", 0), ("K", 0), ("L", 0)],
        "resume" => &[("R", 1), ("J", 0)],
        _ => &[],
    }
}

#[test]
fn every_script_holds_over_tcp() {
    let count = hold(|_| true, async || vec![TestNode::start("").await]);
    assert!(count > 5, "the scripts are there");
}

/// Those that ask most of it; at night (`SCRIPTS=all`) all of them.
#[test]
fn scripts_hold_on_mongodb() {
    let set = block_on(ReplicaSet::shared()).unwrap();
    let nodes = async || vec![TestNode::with(&database::options(&set), |_| ()).await];
    hold_some(&STORING, nodes);
}

/// Those with users on different nodes; at night all of them.
#[test]
fn scripts_hold_on_two_nodes() {
    // what the nodes of one script share goes with those of the next
    let last = Mutex::new(None);
    hold_some(&ROUTING, async || {
        let shared = Shared::new("").await;
        let mut nodes = Vec::new();
        for name in ["n1", "n2"] {
            nodes.push(TestNode::with(&shared.options(name), |_| ()).await);
        }
        *last.lock() = Some(shared);
        for node in &nodes {
            let view = &node.node.env().cluster.as_ref().unwrap().view;
            until("they are linked", || view.others().values().any(|other| other.connected)).await;
        }
        nodes
    });
}
