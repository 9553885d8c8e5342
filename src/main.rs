//! The program `mangrove`: parses the command line and does what it says.

mod cli;

use std::process::ExitCode;

/// The C library's keeps what the most clients at a time needed, for ever (bench/README.md).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the allocator has given out, in bytes: what was given back to it counts no more, though the system may not
/// have it again yet.
#[cfg(feature = "jemalloc")]
fn allocated() -> Option<usize> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?;
    stats::allocated::read().ok()
}

fn main() -> ExitCode {
    cli::main()
}
