//! Agreement with Erlang/OTP 25: the 400 sample scenarios have OTP's trace, event by event.
//!
//! `otp/run.sh` compares any number of random ones with the real `supervisor`.
#![allow(missing_docs, reason = "a test")]

#[path = "otp/replay.rs"]
mod replay;
#[path = "otp/scenario.rs"]
mod scenario;

const SCENARIOS: &str = include_str!("otp/sample.jsonl");
const EXPECTED: &str = include_str!("otp/sample.expected.jsonl");

#[test]
fn every_sample_has_the_trace_of_otp() {
    let mut compared = 0;
    for (scenario, expected) in SCENARIOS.lines().zip(EXPECTED.lines()) {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        let actual: serde_json::Value =
            serde_json::from_str(&replay::line(scenario).unwrap()).unwrap();
        assert_eq!(actual, expected, "{scenario}");
        compared += 1;
    }
    assert_eq!(compared, 400);
}

#[test]
fn the_same_scenario_always_has_the_same_trace() {
    for scenario in SCENARIOS.lines().step_by(20) {
        let first = replay::line(scenario).unwrap();
        for _ in 0..50 {
            assert_eq!(replay::line(scenario).unwrap(), first);
        }
    }
}
