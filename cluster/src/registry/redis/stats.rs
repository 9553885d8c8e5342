//! What is counted, for whoever shows it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What Redis is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a method of the traits")]
pub enum Operation {
    Bind,
    Update,
    Unbind,
    Turn,
    Lookup,
    Confirm,
    Renew,
    Leave,
    Reap,
    Sweep,
    Health,
}

impl Operation {
    /// All, in their order.
    pub const ALL: [Self; 11] = [
        Self::Bind,
        Self::Update,
        Self::Unbind,
        Self::Turn,
        Self::Lookup,
        Self::Confirm,
        Self::Renew,
        Self::Leave,
        Self::Reap,
        Self::Sweep,
        Self::Health,
    ];

    /// Its word, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Update => "update",
            Self::Unbind => "unbind",
            Self::Turn => "turn",
            Self::Lookup => "lookup",
            Self::Confirm => "confirm",
            Self::Renew => "renew",
            Self::Leave => "leave",
            Self::Reap => "reap",
            Self::Sweep => "sweep",
            Self::Health => "health",
        }
    }
}

/// Told of each call that was made: what, how long it took, whether it was answered in time. In the caller's task.
pub type Told = Box<dyn Fn(Operation, Duration, bool) + Send + Sync>;

/// Counters since the start.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) calls: [AtomicU64; Operation::ALL.len()],
    pub(super) errors: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) invalidations: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) epochs: AtomicU64,
    pub(super) told: OnceLock<Told>,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Stats {
    /// A call was answered, or was not.
    pub(super) fn took(&self, operation: Operation, took: Duration, answered: bool) {
        if let Some(calls) = self.calls.get(operation as usize) {
            count(calls);
        }
        if let Some(told) = self.told.get() {
            told(operation, took, answered);
        }
    }
}

/// What a registry is doing, for metrics and people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Where it is.
    pub at: String,
    /// Calls that were made.
    pub calls: Vec<(Operation, u64)>,
    /// Calls that failed otherwise than by their deadline.
    pub errors: u64,
    /// Calls that were not answered in time.
    pub timeouts: u64,
    /// Calls that were not made, since Redis was away or too many were on their way.
    pub refused: u64,
    /// Look-ups that the cache answered.
    pub hits: u64,
    /// Look-ups that it did not.
    pub misses: u64,
    /// Users of whom Redis said that they changed.
    pub invalidations: u64,
    /// How often everything was forgotten.
    pub flushes: u64,
    /// How often another epoch was seen after the first.
    pub epochs: u64,
    /// Calls on their way.
    pub in_flight: usize,
    /// Connections that are there.
    pub connected: usize,
    /// Connections that there should be.
    pub connections: usize,
    /// The epoch; 0: none is known.
    pub epoch: u64,
    /// Whether it is known who is where.
    pub complete: bool,
    /// Users in the cache.
    pub cached: usize,
    /// Their bytes.
    pub cached_bytes: u64,
    /// What failed last.
    pub last_error: Option<String>,
}
