//! What a session manager has done for a session by a task.

use tokio::time::Instant;

/// What is to be done for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It has ended.
    End,
    /// It is without a connection, and can be resumed until then.
    Sleep(Instant),
    /// It was resumed, and the store was not told: what it has under that epoch is old.
    Wake(u64),
    /// The store did not take what has changed of it.
    Change,
    /// It has ended, and the store was not told: nobody gets what it holds there.
    Forget,
}
