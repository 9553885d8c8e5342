//! The scripts of `tests/scripts`, over TCP: what holds for the session core holds for a node.

use crate::support::{Tcp, TestNode, block_on};
use actors::testkit::script::Script;
use std::{fs, path::Path};

#[test]
fn every_script_holds_over_tcp() {
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
        if script.has_time() {
            continue;
        }
        count += 1;
        let result = block_on(async {
            let node = TestNode::start("").await;
            let mut tcp = Tcp::of(&node);
            let result = script.run(&mut tcp).await;
            drop(tcp);
            node.stop().await;
            result
        });
        failed.extend(result.err().map(|e| format!("{name}: {e}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count > 5, "the scripts are there");
}
