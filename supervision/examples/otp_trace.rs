//! Reads supervision scenarios on stdin, one JSON a line, and prints what our supervisor makes of
//! them, one JSON a line: the counterpart of `tests/otp/oracle.escript`.
#![allow(missing_docs, clippy::print_stdout, reason = "a program")]

#[path = "../tests/otp/replay.rs"]
mod replay;
#[path = "../tests/otp/scenario.rs"]
mod scenario;

use std::io::{self, BufRead, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    for scenario in io::stdin().lock().lines() {
        let scenario = scenario?;
        if !scenario.trim().is_empty() {
            writeln!(out, "{}", replay::line(&scenario)?)?;
        }
    }
    Ok(())
}
