//! The program `mangrove`: parses the command line and does what it says.

mod cli;

use std::process::ExitCode;

/// The C library's keeps what the most clients at a time needed, for ever (bench/README.md).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
