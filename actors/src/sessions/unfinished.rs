//! What stanzas of clients have begun whose connections are gone: each goes on in a supervised task.

use crate::future::BoxFuture;
use std::fmt;
use supervision::{ChildSpec, PoolSpec, System, Tasks};

/// How many at a time; what is beyond that is given up.
const UNFINISHED: usize = 10_000;
/// The name of the pool.
const POOL: &str = "finishing";

/// What somebody had begun who is gone.
pub struct Work(pub(super) BoxFuture<()>);

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// The pool of the tasks.
pub(super) fn tasks() -> ChildSpec {
    ChildSpec::tasks(POOL, POOL, PoolSpec { max: UNFINISHED, ..PoolSpec::default() })
}

/// Whether something is being finished.
pub(super) fn is_at_work(system: &System) -> bool {
    Tasks::find(system, POOL).is_some_and(|tasks| !tasks.is_empty())
}

/// Has it done.
pub(super) fn start(system: &System, Work(work): Work) {
    match Tasks::find(system, POOL).map(|tasks| tasks.spawn(work)) {
        Some(Ok(_)) => {}
        Some(Err(error)) => tracing::warn!(%error, "what a connection had begun is given up"),
        None => tracing::warn!("what a connection had begun is given up: nobody finishes it"),
    }
}
