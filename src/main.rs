//! The program `mangrove`: parses the command line and does what it says.

mod cli;

use std::process::ExitCode;

/// glibc's allocator keeps what ten thousand clients once needed; this one gives it back, and is
/// quicker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
