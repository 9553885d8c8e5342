//! The short form of `bench/soak`: clients that idle, clients that come, chat and go, and nothing is
//! left of them. The long one is run by hand.

use crate::support::{
    Program,
    load::{users, xload},
};
use std::process::{Command, Stdio};

const IDLE: usize = 300;
const CHURN: usize = 60;

#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    let xload = xload();
    let options = "\
        c2s.max_connections_per_address = 10000\n\
        limits.session_rate = 0\n\
        log.level = 'warn'\n";
    let program = Program::new(options);
    let running = program.run();
    users(&program, IDLE + CHURN);
    let address = running.addresses.starttls[0];
    let metrics = running.addresses.http[0];
    let soak = Command::new(xload)
        .args(["soak", "--secs", "20", "--warmup", "8", "--settle", "5", "--tolerance", "10"])
        .args(["--port", &address.port().to_string(), "--metrics", &metrics.to_string()])
        .args(["--pid", &running.pid().to_string(), "--users", &(IDLE + CHURN).to_string()])
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
