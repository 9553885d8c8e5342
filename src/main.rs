//! The program `mangrove`: parses the command line and does what it says.

mod cli;

use std::process::ExitCode;

/// The C library's keeps what the most clients at a time needed, for ever (bench/README.md).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Memory in use, in bytes: what is resident, but not the allocator's pages without anything in them: what was given back
/// to it counts no more, though the system may not have it again yet.
#[cfg(feature = "jemalloc")]
fn in_use() -> Option<usize> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?;
    let (active, own) = (stats::active::read().ok()?, stats::metadata::read().ok()?);
    let free = stats::resident::read().ok()?.saturating_sub(active + own);
    // its pages may not have been touched yet: then it says more than the system does
    Some(mangrove::node::resident()?.saturating_sub(free).max(active))
}

fn main() -> ExitCode {
    cli::main()
}
