//! Real clients against the real program: the scripts of `tests/interop`, over STARTTLS with a certificate that
//! they verify where they can.
//!
//! `cargo xtask test` installs what they need; without it these tests fail and say so.

use crate::support::{PATIENCE, Program, block_on};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Nothing but addresses: the rest is what a user gets who configures nothing.
const CONFIG: &str = "\
c2s.starttls = ['127.0.0.1:0']
c2s.direct_tls = ['127.0.0.1:0']
http.listen = []
";

/// The script that talks to the port for direct TLS too.
const DIRECT_TOO: &str = "tls_xmpp.py";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the path, or the end of the test when it is not there.
pub fn needed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run the tests by `cargo xtask test`"))
}

/// The Python that has slixmpp and Prometheus's client library.
pub fn python() -> PathBuf {
    let python = root().join("target/interop/venv/bin/python");
    assert!(python.exists(), "slixmpp is not installed: run the tests by `cargo xtask test`");
    python
}

/// A script of `tests/interop`.
pub fn script(name: &str) -> PathBuf {
    root().join("tests/interop").join(name)
}

/// Sees to it that xmpp.js is there.
pub fn has_xmpp_js() {
    assert!(
        script("xmppjs/node_modules").exists(),
        "xmpp.js is not installed: run the tests by `cargo xtask test`"
    );
}

/// Waits for the end of a script; one that takes too long is interrupted, so that it can clean up.
pub fn ended(child: &mut Child) -> ExitStatus {
    let ended = block_on(async {
        let wait = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE * 3, wait).await
    });
    ended.unwrap_or_else(|_| {
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
        child.wait().unwrap()
    })
}

/// Runs a script against a node of its own with two accounts.
fn passes(interpreter: &Path, name: &str) {
    let mut command = Command::new(interpreter);
    command.arg(script(name));
    talks(command, name, CONFIG);
}

/// Compiles a client in C++ and runs it.
fn compiled_passes(source: &str, library: &str) {
    let out = tempfile::tempdir().unwrap();
    let binary = out.path().join("client");
    let mut compiler = Command::new(needed("g++"));
    compiler.arg("-std=c++17").arg(script(source));
    let compiled = compiler.arg("-o").arg(&binary).arg(format!("-l{library}")).status().unwrap();
    assert!(compiled.success(), "is lib{library} installed? run the tests by `cargo xtask test`");
    talks(Command::new(binary), source, CONFIG);
}

fn talks(mut command: Command, script: &str, config: &str) {
    let program = Program::of(config);
    let running = program.run();
    for user in ["juliet", "romeo"] {
        let jid = format!("{user}@localhost");
        program.say(&["account", "add", &jid, "pencil"]).good();
        command.args(["--user", &format!("{jid}:pencil")]);
    }
    let port = running.addresses.starttls[0].port().to_string();
    let certificate = program.path().join("data/certificates/localhost.crt");
    command.args(["--port", &port]).arg("--ca").arg(certificate);
    if script == DIRECT_TOO {
        command.args(["--direct", &running.addresses.direct_tls[0].port().to_string()]);
    }
    let transcript = program.path().join("transcript");
    let out = File::create(&transcript).unwrap();
    let err = out.try_clone().unwrap();
    command.current_dir(program.path()).stdin(Stdio::null()).stdout(out).stderr(err);
    let status = ended(&mut command.spawn().unwrap());
    let said = fs::read_to_string(&transcript).unwrap();
    assert!(status.success() && said.ends_with("PASSED\n"), "{script}: {status}\n{said}");
    assert_eq!(program.say(&["crash", "list"]).good(), "0 crashes\n", "{script}");
}

#[test]
fn slixmpp_chats() {
    passes(&python(), "slixmpp_chat.py");
}

#[test]
fn slixmpp_resumes() {
    passes(&python(), "slixmpp_resume.py");
}

#[test]
fn xmpp_js_chats_and_resumes() {
    has_xmpp_js();
    passes(&needed("node"), "xmppjs/chat.mjs");
}

/// gloox knows one mechanism with channel binding, SCRAM-SHA-1-PLUS, and one binding for it, tls-unique. It
/// takes that wherever it is offered, and gets in because it is not.
#[test]
fn gloox_chats() {
    compiled_passes("gloox_chat.cpp", "gloox");
}

/// The name of its host is the `from` of its stream after log-on.
#[test]
fn sendxmpp_sends_a_message() {
    needed("sendxmpp");
    passes(&python(), "sendxmpp_message.py");
}

#[test]
fn profanity_chats_in_a_terminal() {
    for name in ["profanity", "tmux"] {
        needed(name);
    }
    passes(&python(), "profanity_chat.py");
}

/// OpenSSL, GnuTLS and NSS; `tls/tests/peers.rs` has them talk to connections that move.
#[test]
fn tls_clients_log_on() {
    for name in ["openssl", "gnutls-cli", "tstclnt", "certutil"] {
        needed(name);
    }
    passes(&needed("python3"), DIRECT_TOO);
}
