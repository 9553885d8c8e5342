//! A database that may be away, and what a node accepts meanwhile: it goes into a bounded journal on the node's own disk, and
//! from there into the database, in order, when that is back.
//!
//! In reading order: `op` (what can be journaled, the store behind) · `rows` (what is
//! in the journal, in memory) · `file` (and on the disk) · here, how an operation goes one way or the other · `drain` · `calls`
//! (the stores' traits) · `others` (those that nothing is
//! journaled for).
//!
//! Promises: what was acknowledged is in the database or on the disk, and is made exactly once, in the order of its user's
//! operations, over any `kill -9`. An operation whose answer was lost is journaled under its name and made again before any
//! other of its user; the database knows the last name of each user. While a user has something in the journal, all that can be
//! journaled goes there, and what only the database can answer waits until it is empty, or is `Unavailable`. A full journal
//! refuses, and loses nothing. An account that was not seen lately gets no messages while the database is away: nobody could say whether it
//! is there.

mod calls;
mod drain;
mod file;
mod op;
mod others;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use op::{Op, OpId, Replay};

use crate::{
    Gauge, OfflineLimits, StoreError, Unit, error::LATER, shown::Status, sqlite::OpenError,
    turns::Turns,
};
use drain::Drainer;
use file::Log;
use op::OpIds;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{ChildSpec, Shutdown, SupervisorSpec};
use tokio::sync::Notify;

/// How long the thread may take to finish what is queued when it is stopped.
const FINISH: Duration = Duration::from_secs(30);

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// What the operations in the journal have together, serialised, in bytes: 256 each count besides. More are refused.
    pub(crate) max_bytes: usize,
    /// Operations that wait for the disk; more are refused.
    pub(crate) queue: usize,
    /// How long a call waits for the disk.
    pub(crate) deadline: Duration,
    /// Users whose operations go into the database at the same time.
    pub(crate) at_once: usize,
    /// How often a database that is away is asked whether it is back.
    pub(crate) retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            queue: 4096,
            deadline: Duration::from_secs(10),
            at_once: 8,
            retry: Duration::from_secs(1),
        }
    }
}

/// Operations since the start.
#[derive(Debug, Default)]
struct Totals {
    journaled: AtomicU64,
    drained: AtomicU64,
    dropped: AtomicU64,
}

fn count(total: &AtomicU64) {
    total.fetch_add(1, Ordering::Relaxed);
}

/// A store with a journal before it.
pub(crate) struct Journaled<R> {
    inner: Arc<R>,
    options: Options,
    log: Arc<Log>,
    turns: Turns,
    names: OpIds,
    /// The last that was asked of the store was not answered.
    away: AtomicBool,
    /// It answers again.
    back: Notify,
    /// Rounds that ended since it did not.
    vain: AtomicUsize,
    totals: Totals,
}

impl<R: Replay> Journaled<R> {
    /// Opens the journal in that directory; what the last process left there is gone on with. Blocks for it.
    ///
    /// # Errors
    /// When the file cannot be used; each names it.
    pub(crate) fn open(
        dir: &Path,
        options: Options,
        inner: Arc<R>,
    ) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self {
            inner,
            options,
            log: Arc::new(Log::open(dir, options)?),
            turns: Turns::default(),
            names: OpIds::new(),
            away: AtomicBool::new(false),
            back: Notify::new(),
            vain: AtomicUsize::new(0),
            totals: Totals::default(),
        }))
    }

    /// The supervisor of the thread that writes, and of the process that drains.
    pub(crate) fn child(journaled: &Arc<Self>) -> ChildSpec {
        let writer = ChildSpec::thread("writer", &journaled.log);
        let writer = writer.shutdown(Shutdown::Timeout(FINISH));
        let journaled = Arc::clone(journaled);
        let drainer = ChildSpec::process::<Drainer<R>>("drainer", move || Arc::clone(&journaled));
        let spec = SupervisorSpec::one_for_one().intensity(5, Duration::from_secs(10));
        ChildSpec::supervisor("journal", spec.child(writer).child(drainer))
    }

    /// How it is, for people.
    pub(crate) fn status(&self) -> Status {
        let rows = self.log.rows.lock();
        let (waiting, bytes, oldest) = (rows.len(), rows.bytes(), rows.oldest());
        drop(rows);
        let age = oldest.map_or(0, |at| file::now().saturating_sub(at));
        let most = self.options.max_bytes;
        let (s, kib) = (if waiting == 1 { "" } else { "s" }, |bytes: usize| bytes.div_ceil(1024));
        let total = |total: &AtomicU64| total.load(Ordering::Relaxed).to_string();
        vec![
            ("journal", format!("{waiting} operation{s}, {} of {} KiB", kib(bytes), kib(most))),
            ("oldest in the journal", format!("{:.3} s", age as f64 / 1e3)),
            ("journaled", total(&self.totals.journaled)),
            ("drained", total(&self.totals.drained)),
            ("dropped", total(&self.totals.dropped)),
        ]
    }

    /// What it shows of itself.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let rows = self.log.rows.lock();
        let (waiting, bytes, oldest) = (rows.len(), rows.bytes(), rows.oldest());
        drop(rows);
        let age = oldest.map_or(0, |at| file::now().saturating_sub(at));
        let gauge = |name, unit, help, label, value| Gauge { name, unit, help, label, value };
        let of = |which, total: &AtomicU64| {
            let help =
                "Operations that went into the journal, from there into the database, and nowhere";
            let total = total.load(Ordering::Relaxed) as f64;
            gauge("mangrove_journal_operations", None, help, ("what", which), total)
        };
        let queue = ("queue", "journal");
        let help = "Operations that wait in the journal for the database";
        let age_help = "How long the oldest of them has waited";
        vec![
            gauge("mangrove_journal_waiting", None, help, queue, waiting as f64),
            gauge("mangrove_journal_bytes", None, "What the journal counts", queue, bytes as f64),
            gauge("mangrove_journal_age", Some(Unit::Seconds), age_help, queue, age as f64 / 1e3),
            of("journaled", &self.totals.journaled),
            of("drained", &self.totals.drained),
            of("dropped", &self.totals.dropped),
        ]
    }

    /// Makes an operation, or journals it. Whoever calls has the user's turn. The numbers of the messages that it keeps.
    async fn change(&self, op: Op, limits: Option<OfflineLimits>) -> Result<Vec<u64>, StoreError> {
        let name = self.names.next();
        let mut why = LATER;
        if !self.waits(&op) {
            match self.apply(&op, name, limits).await {
                Err(error) if error.is_away() => why = error,
                made => return made,
            }
        }
        self.may_wait(&op, limits, why.clone())?;
        let numbers = op.numbers();
        let made = self.inner.made(op.user());
        match self.log.append(name, op.made_for(made)).await {
            Ok(()) => {
                count(&self.totals.journaled);
                Ok(numbers)
            }
            // it may have been made, or be in the journal
            Err(StoreError::Timeout) => Err(StoreError::Timeout),
            Err(error) => {
                if !error.is_away() {
                    tracing::error!(%error, "nothing can be journaled");
                }
                Err(why)
            }
        }
    }

    /// Whether an operation is not to be tried: others of its user wait, or the drainer asks already whether the store is back.
    fn waits(&self, op: &Op) -> bool {
        let rows = self.log.rows.lock();
        let user = rows.has(op.user());
        let away = rows.len() > 0 && self.away.load(Ordering::Relaxed);
        drop(rows);
        user || away && self.is_known(op)
    }

    /// Messages are only taken for an account that is there.
    fn is_known(&self, op: &Op) -> bool {
        !matches!(op, Op::Append { .. }) || self.inner.made(op.user()).is_some()
    }

    /// Whether an operation may be journaled: of what the user's limits are about only that is known which waits here.
    fn may_wait(
        &self,
        op: &Op,
        limits: Option<OfflineLimits>,
        why: StoreError,
    ) -> Result<(), StoreError> {
        let rows = self.log.rows.lock();
        let (others, waiting) = (rows.has(op.user()), rows.kept(op.user()));
        drop(rows);
        if !others && !self.is_known(op) {
            return Err(why);
        }
        let Some(limits) = limits else { return Ok(()) };
        let new = op.kept();
        for (has, limit) in [
            (waiting.messages + new.messages, limits.messages),
            (waiting.bytes.saturating_add(new.bytes), limits.bytes),
        ] {
            if has > limit {
                return Err(StoreError::Full { limit });
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        op: &Op,
        name: OpId,
        limits: Option<OfflineLimits>,
    ) -> Result<Vec<u64>, StoreError> {
        self.note(self.inner.apply(op, name, limits).await)
    }

    /// Notices whether the store answers.
    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let away = result.as_ref().is_err_and(StoreError::is_away);
        if self.away.load(Ordering::Relaxed) != away
            && self.away.swap(away, Ordering::Relaxed) != away
        {
            if away {
                tracing::warn!(
                    "the database does not answer: what is accepted goes to the journal"
                );
            } else {
                tracing::info!("the database answers again");
                self.back.notify_one();
            }
        }
        result
    }
}
