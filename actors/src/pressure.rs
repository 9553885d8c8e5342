//! How much of its memory the node has in use: a state that whoever takes more of it asks for. From 80 % on new log-ons wait, while sessions can be resumed; from 90 % on no connection is
//! accepted, and sessions of those who hold the most end: what they hold goes to the store, or back to
//! its senders (`crate::relief`). The same happens below 90 % when log-ons have waited for a while: nobody may keep
//! others out with what is within his limits. Where there is not enough to free, log-ons do not wait for it below 90 %.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::watch;

/// Percent of the limit from which new log-ons wait.
pub const HIGH: usize = 80;
/// Percent of the limit from which queues are moved.
pub const CRITICAL: usize = 90;
/// A state ends so many percent below where it began: it does not flicker.
const SLACK: usize = 5;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    #[default]
    Calm,
    /// New log-ons wait.
    High,
    /// Queues are moved.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::High => "new log-ons wait",
            Self::Critical => "queues are moved to the store",
        })
    }
}

/// The state. Written by one process; asked for at each connection and log-on, and never for a stanza.
#[derive(Debug)]
pub struct Pressure {
    used: AtomicUsize,
    limit: AtomicUsize,
    level: watch::Sender<Level>,
    /// Log-ons go through.
    open: watch::Sender<bool>,
    /// Log-ons that wait.
    waiting: AtomicUsize,
    /// What waits for clients is not what makes memory short.
    spent: AtomicBool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            level: watch::Sender::default(),
            open: watch::Sender::new(true),
            waiting: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
        }
    }
}

fn percent(limit: usize, percent: usize) -> usize {
    limit / 100 * percent
}

/// Below so many bytes memory is not short, of a limit in bytes; 0: any.
pub(crate) fn first_mark(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { percent(limit, HIGH - SLACK) }
}

impl Pressure {
    /// So much is in use, in bytes, and so much may be; limit 0: any.
    pub fn set(&self, used: usize, limit: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        let was = self.level();
        let from = |level: Level, part| {
            // with too little to free, nobody would be accepted for as long as that takes
            let lasts = was >= level && !(level == Level::Critical && self.is_spent());
            let slack = if lasts { SLACK } else { 0 };
            limit > 0 && used >= percent(limit, part - slack)
        };
        let level = if from(Level::Critical, CRITICAL) {
            Level::Critical
        } else if from(Level::High, HIGH) {
            Level::High
        } else {
            Level::Calm
        };
        // who sees that it is short finds that log-ons wait
        self.opened_by(level, level > Level::Calm && self.is_spent());
        self.level.send_if_modified(|now| std::mem::replace(now, level) != level);
    }

    /// Whether less can be freed than would have to be.
    pub(crate) fn set_spent(&self, spent: bool) {
        self.opened_by(self.level(), spent);
    }

    fn opened_by(&self, level: Level, spent: bool) {
        self.spent.store(spent, Ordering::Relaxed);
        let open = match level {
            Level::Calm => true,
            Level::High => spent,
            Level::Critical => false,
        };
        self.open.send_if_modified(|now| std::mem::replace(now, open) != open);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether new log-ons go through.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until log-ons go through; `false`: they still do not.
    pub async fn opens(&self, patience: Duration) -> bool {
        let _waits = Waits::new(&self.waiting);
        let mut open = self.open.subscribe();
        tokio::time::timeout(patience, open.wait_for(|open| *open)).await.is_ok()
    }

    /// Log-ons that wait for memory.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How short memory is.
    pub fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// Bytes in use, when they were looked at last.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use; 0: any.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How far what is in use is above where the state ends that begins at this mark.
    pub(crate) fn excess(&self, mark: usize) -> usize {
        self.used().saturating_sub(percent(self.limit(), mark - SLACK - 1))
    }

    /// Resolves once memory is no shorter than that.
    pub async fn at_most(&self, level: Level) {
        // an error: the sender is gone, which is here
        drop(self.level.subscribe().wait_for(|now| *now <= level).await);
    }

    /// Resolves once memory is shorter than that.
    pub async fn above(&self, level: Level) {
        drop(self.level.subscribe().wait_for(|now| *now > level).await);
    }
}

/// One who waits is counted until that is over, or given up.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_begins_at_its_mark_and_ends_below_it() {
        let pressure = Pressure::default();
        let level = |used| {
            pressure.set(used, 1_000);
            pressure.level()
        };
        use Level::{Calm, Critical, High};
        let seen = [799, 800, 790, 750, 749, 799, 900, 899, 850, 849, 800, 749, 950, 0].map(level);
        assert_eq!(
            seen,
            [
                Calm, High, High, High, Calm, Calm, Critical, Critical, Critical, High, High, Calm,
                Critical, Calm
            ]
        );
        pressure.set(usize::MAX, 0);
        assert_eq!(pressure.level(), Calm, "no limit");
    }

    #[test]
    fn log_ons_go_through_when_there_is_enough_or_nothing_to_free_but_not_at_the_end_of_memory() {
        let pressure = Pressure::default();
        let open = |used, spent| {
            pressure.set(used, 1_000);
            pressure.set_spent(spent);
            pressure.is_open()
        };
        assert!(open(799, false) && !open(800, false) && open(800, true));
        assert!(!open(900, true) && open(899, true), "the last state ends where it began");
        pressure.set(740, 1_000);
        assert!(!open(800, pressure.is_spent()), "there is something new to free");
    }

    #[test]
    fn an_excess_that_is_freed_ends_the_state() {
        let pressure = Pressure::default();
        for (used, mark, then) in [
            (800, HIGH, Level::Calm),
            (750, HIGH, Level::Calm),
            (990, CRITICAL, Level::High),
            (850, CRITICAL, Level::High),
        ] {
            pressure.set(mark * 10, 1_000);
            pressure.set(used, 1_000);
            let excess = pressure.excess(mark);
            pressure.set(used - excess, 1_000);
            assert!(excess > 0 && pressure.level() == then, "{used}");
        }
    }
}
