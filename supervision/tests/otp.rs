//! Agreement with Erlang/OTP 25: the 400 sample scenarios have OTP's trace, event by event.
//!
//! `otp/run.sh` compares any number of random ones with the real `supervisor`.

#[path = "otp/replay.rs"]
mod replay;
#[path = "otp/scenario.rs"]
mod scenario;

use supervision::Engine;

/// Of the supervisors.
const ENGINES: [Engine; 2] = [Engine::Ractor, Engine::Lean];

const SCENARIOS: &str = include_str!("otp/sample.jsonl");
const EXPECTED: &str = include_str!("otp/sample.expected.jsonl");

#[test]
fn every_sample_has_the_trace_of_otp() {
    let mut compared = 0;
    for (scenario, expected) in SCENARIOS.lines().zip(EXPECTED.lines()) {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        for engine in ENGINES {
            let actual: serde_json::Value =
                serde_json::from_str(&replay::line(scenario, engine).unwrap()).unwrap();
            assert_eq!(actual, expected, "{engine:?}: {scenario}");
            compared += 1;
        }
    }
    assert_eq!(compared, 800);
}

#[test]
fn the_same_scenario_always_has_the_same_trace() {
    for scenario in SCENARIOS.lines().step_by(20) {
        let first = replay::line(scenario, Engine::Ractor).unwrap();
        for n in 0..50 {
            assert_eq!(replay::line(scenario, ENGINES[n % 2]).unwrap(), first);
        }
    }
}
