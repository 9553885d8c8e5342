//! Other implementations of TLS against a server whose connections move all the time, by `tests/interop/tls_peers.py`:
//! OpenSSL, GnuTLS and NSS, which `cargo xtask test` installs; without them the test fails and says so. `PEERS=compiled`:
//! Go and Java instead (`cargo xtask nightly`, where both are there).

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test all through")]

use std::{path::Path, process::Command};

#[path = "../examples/moving.rs"]
mod moving;

/// Runs a program of the path; what it says is shown when the test fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: run the tests by `cargo xtask test`, which installs it")
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    println!("{said}{why}");
    assert!(output.status.success(), "{command:?}: {}", output.status);
}

/// A key and a certificate for `localhost`, and a server that has them: an option of the script.
fn serve(dir: &Path, kind: &str, key: &[&str]) -> [String; 3] {
    let (certificate, secret) = (dir.join(format!("{kind}.crt")), dir.join(format!("{kind}.key")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-newkey"]).args(key);
    run(openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&secret));
    let port = moving::serve(&certificate, &secret).unwrap();
    [format!("--{kind}"), port.to_string(), certificate.display().to_string()]
}

#[test]
fn other_implementations_talk_to_connections_that_move() {
    let dir = tempfile::tempdir().unwrap();
    let ecdsa = serve(dir.path(), "ecdsa", &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    let rsa = serve(dir.path(), "rsa", &["rsa:2048"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/tls_peers.py");
    let mut python = Command::new("python3");
    python.arg(script).args(ecdsa).args(rsa);
    if let Ok(peers) = std::env::var("PEERS") {
        python.args(["--peers", &peers]);
    }
    run(&mut python);
}
