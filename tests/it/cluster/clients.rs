//! Real clients at a cluster: their node ends, and they go on at another.

use super::{Node, Shared, of};
use crate::{
    interop::{ended, has_xmpp_js, needed, python, script},
    support::{PASSWORD, block_on},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the node has made for clients.
fn certificate(node: &Node, kind: &str) -> PathBuf {
    node.program.path().join("data/certificates/localhost").with_extension(kind)
}

/// Runs a script with a client whose node ends by that command, which knows the number of its process as `PID`.
fn passes(interpreter: &Path, name: &str, end: &str) {
    let (_shared, one, two) = block_on(async {
        let shared = Shared::new("").await;
        let [one] = shared.nodes(&["juliet", "romeo"]).await;
        // as all nodes of a cluster, they have one certificate
        let [crt, key] = ["crt", "key"].map(|kind| certificate(&one, kind));
        let same = format!("[[certificate]]\nfile = {crt:?}\nkey = {key:?}\n");
        let two = Node::start("n2", shared.program("n2", &same));
        two.is_ready().await;
        one.says(&["\"linked\"", &of("n2")]).await;
        (shared, one, two)
    });
    let place = one.program.path();
    let transcript = place.join("transcript");
    let out = File::create(&transcript).unwrap();
    let err = out.try_clone().unwrap();
    let mut command = Command::new(interpreter);
    command
        .arg(script(name))
        .args(["--port", &one.c2s().port().to_string()])
        .args(["--other", &two.c2s().port().to_string()])
        .args(["--user", &format!("juliet@localhost:{PASSWORD}")])
        .args(["--user", &format!("romeo@localhost:{PASSWORD}")])
        .args(["--end", end])
        .args((end == KILL).then_some("--killed"))
        .arg("--ca")
        .arg(certificate(&one, "crt"))
        .env("PID", one.running.pid().to_string())
        .env("MANGROVE", env!("CARGO_BIN_EXE_mangrove"))
        .env("MANGROVE_CONFIG", "mangrove.toml")
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    let status = ended(&mut command.spawn().unwrap());
    let said = fs::read_to_string(&transcript).unwrap();
    let log = || two.log();
    assert!(status.success() && said.ends_with("PASSED\n"), "{name}: {status}\n{said}\n{}", log());
    assert_eq!(two.program.say(&["crash", "list"]).good(), "0 crashes\n", "{name}");
}

const KILL: &str = "kill -9 $PID";
const DRAIN: &str = "$MANGROVE node drain --stop";

#[test]
fn slixmpp_goes_on_when_its_node_is_killed() {
    passes(&python(), "slixmpp_roams.py", KILL);
}

#[test]
fn slixmpp_goes_on_when_its_node_is_taken_out_of_service() {
    passes(&python(), "slixmpp_roams.py", DRAIN);
}

#[test]
fn xmpp_js_goes_on_when_its_node_is_killed() {
    has_xmpp_js();
    passes(&needed("node"), "xmppjs/roams.mjs", KILL);
}

#[test]
fn xmpp_js_goes_on_when_its_node_is_taken_out_of_service() {
    has_xmpp_js();
    passes(&needed("node"), "xmppjs/roams.mjs", DRAIN);
}
