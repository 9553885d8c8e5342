//! No process sees every stanza of every user, or every login: under load none has more than a
//! twentieth of the node's CPU (DESIGN's law 3). What is asked is what an operator would ask,
//! `mangrove ps --by cpu`.

use crate::support::{
    Program, block_on,
    load::{Load, users, xload},
    until,
};
use serde_json::Value;

const USERS: usize = 120;
const MOST: f64 = 0.05;

const OPTIONS: &str = "\
    c2s.max_connections_per_address = 10000\n\
    limits.session_rate = 0\n\
    limits.address_rate = 0\n\
    log.level = 'warn'\n";

/// The processes by their shares, after `sessions` clients have logged on.
fn shares(kind: &[&str], sessions: usize) -> Vec<(String, f64)> {
    let program = Program::new(OPTIONS);
    let running = program.run();
    users(&program, USERS);
    let (port, count) = (running.addresses.starttls[0].port().to_string(), USERS.to_string());
    let target = ["--secs", "60", "--warmup", "1", "--port", &port, "--users", &count];
    let mut load = Load::start(&xload(), &[kind, &target, &["--tls", "starttls"]].concat());
    let there = || {
        assert!(load.goes_on(), "the load has ended");
        program.json(&["sessions"]).as_array().is_some_and(|all| all.len() >= sessions)
    };
    block_on(until("they have logged on", there));
    let rows = program.json(&["ps", "--by", "cpu", "--seconds", "2"]);
    assert!(load.goes_on(), "the load has ended");
    let share = |row: &Value| Some((row["path"].as_str()?.to_owned(), row["cpu"].as_f64()?));
    rows.as_array().unwrap().iter().filter_map(share).collect()
}

#[track_caller]
fn none_is_in_the_way(shares: &[(String, f64)], at_least: f64) {
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    assert!(sum > at_least, "hardly anything was seen: {shares:?}");
    assert!(shares.iter().all(|(_, share)| *share <= MOST), "too much for one: {shares:?}");
    assert!(shares.is_sorted_by(|a, b| a.1 >= b.1), "{shares:?}");
}

#[test]
fn no_process_has_a_twentieth_of_the_cpu_while_clients_chat() {
    let pairs = (USERS / 2).to_string();
    // the 50 that have most, of 120 that have about as much
    none_is_in_the_way(&shares(&["chat", "--pairs", &pairs, "--window", "4"], USERS), 0.3);
}

#[test]
fn no_process_has_a_twentieth_of_the_cpu_while_clients_come_and_go() {
    // most of the CPU went to connections that have ended when we look
    none_is_in_the_way(&shares(&["churn", "--conc", "32", "--mech", "scram-sha-1"], 1), 0.005);
}
