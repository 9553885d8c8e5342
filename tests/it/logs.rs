//! What is logged: no more than people can read, whoever causes it; and what they should know at the start.

use crate::support::{Peer, Program, block_on};
use actors::testkit::script::Got;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

#[test]
fn what_clients_cause_is_counted_instead_of_written() {
    const TIMES: usize = 300;
    let options =
        "c2s.proxy_protocol = true\nc2s.proxy_from = ['192.0.2.0/24']\nlog.format = 'json'";
    let program = Program::new(options);
    let mut running = program.run();
    block_on(async {
        for _ in 0..TIMES {
            let mut peer = Peer::connect(running.addresses.starttls[0]).await;
            assert!(matches!(peer.next().await, Got::Eof));
        }
    });
    running.signal(Signal::TERM);
    let end = running.end();
    let lines: Vec<Value> = end.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let text = "no PROXY header is believed from this address";
    let written = lines.iter().filter(|l| l["message"] == text).count();
    let counts: Vec<usize> = lines
        .iter()
        .filter(|l| l["message"].as_str().unwrap().starts_with(&format!("{text}: and ")))
        .map(|l| usize::try_from(l["count"].as_u64().unwrap()).unwrap())
        .collect();
    assert_eq!(written + counts.iter().sum::<usize>(), TIMES, "{}", end.err);
    assert!(!counts.is_empty() && written <= 10 * (counts.len() + 1), "{written} {counts:?}");
}

#[test]
fn files_that_others_may_use_are_told_of_at_the_start() {
    let program = Program::new("");
    let at = |name: &str| program.path().join(name);
    let mode = |name: &str, mode| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let told = || {
        let mut running = program.run();
        running.signal(Signal::TERM);
        running.end().err
    };
    assert!(!told().contains("others may use"), "new ones are closed");
    for kind in ["crt", "key"] {
        fs::copy(at(&format!("data/certificates/localhost.{kind}")), at(&format!("my.{kind}")))
            .unwrap();
    }
    symlink("my.key", at("link.key")).unwrap();
    let config = fs::read_to_string(at("mangrove.toml")).unwrap();
    let certificate = "[[certificate]]\nfile = 'my.crt'\nkey = 'link.key'\n";
    fs::write(at("mangrove.toml"), format!("{config}\n{certificate}")).unwrap();
    assert!(!told().contains("others may use"), "mode 0600");
    for open in [0o644, 0o640, 0o604] {
        mode("my.key", open);
        let told = told();
        let said = format!(
            "a private key: others may use link.key (mode {open:04o}); chmod go-rwx 'link.key'"
        );
        assert!(told.contains(&said), "{told}");
    }
    mode("my.key", 0o400);
    mode("data", 0o755);
    let said = told();
    assert!(
        said.contains("(mode 0755); chmod -R go-rwx ") && said.matches("chmod").count() == 1,
        "{said}"
    );
    assert!(!said.contains("private key"), "{said}");
    mode("data", 0o700);
    mode("data/secret", 0o644);
    assert!(told().contains("data/secret (mode 0644)"));
    mode("data/secret", 0o600);
    assert!(!told().contains("others may use"));
}
