//! Reads supervision scenarios on stdin, one JSON a line, and prints what our supervisor makes of
//! them, one JSON a line: the counterpart of `tests/otp/oracle.escript`. `otp_trace lean`: with lean supervisors.

#[path = "../tests/otp/replay.rs"]
mod replay;
#[path = "../tests/otp/scenario.rs"]
mod scenario;

use std::io::{self, BufRead, Write};
use supervision::Engine;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lean = std::env::args().nth(1).is_some_and(|engine| engine == "lean");
    let engine = if lean { Engine::Lean } else { Engine::Ractor };
    let mut out = io::stdout().lock();
    for scenario in io::stdin().lock().lines() {
        let scenario = scenario?;
        if !scenario.trim().is_empty() {
            writeln!(out, "{}", replay::line(&scenario, engine)?)?;
        }
    }
    Ok(())
}
