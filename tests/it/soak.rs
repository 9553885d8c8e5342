//! The short form of `bench/soak`: clients that idle, clients that come, chat and go, and nothing is
//! left of them. The long one is run by hand.

use crate::support::Program;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const IDLE: usize = 300;
const CHURN: usize = 60;

/// The load generator, built if it is not there yet: it is a program of another package.
fn xload() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "xload"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "xload does not build");
    Path::new(env!("CARGO_BIN_EXE_mangrove")).with_file_name("xload")
}

#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    let xload = xload();
    let options = "\
        c2s.max_connections_per_address = 10000\n\
        limits.session_rate = 0\n\
        log.level = 'warn'\n";
    let program = Program::new(options);
    let running = program.run();
    let users = IDLE + CHURN;
    let accounts: String = (0..users).map(|n| format!("user{n}@localhost secret\n")).collect();
    program.say_with(&["account", "import"], &accounts).good();
    let address = running.addresses.starttls[0];
    let metrics = running.addresses.http[0];
    let soak = Command::new(xload)
        .args(["soak", "--secs", "20", "--warmup", "8", "--settle", "5", "--tolerance", "10"])
        .args(["--port", &address.port().to_string(), "--metrics", &metrics.to_string()])
        .args(["--pid", &running.pid().to_string(), "--users", &users.to_string()])
        .args(["--idle", &IDLE.to_string(), "--churn", &CHURN.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&soak.stdout).into_owned();
    assert!(soak.status.success(), "{said}\n{}", String::from_utf8_lossy(&soak.stderr));
    let result: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(result["ok"], true, "{said}");
    assert!(result["sessions"].as_u64().is_some_and(|n| n > CHURN as u64), "{said}");
}
