//! The program `mangrove`: parses the command line and does what it says.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
