//! The breaker: when the database does not answer, nobody waits for it any more until it does.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// How often the process of the store looks whether the database answers.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Calls in a row that have to fail.
const FAILURES: u32 = 3;

/// What failed last, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What the driver or the server said.
    pub why: String,
}

/// Counts calls that the database did not answer.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    last: Mutex<Option<LastError>>,
    closed: Notify,
}

impl Breaker {
    /// Calls are refused.
    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    /// The database answered.
    pub(super) fn worked(&self) {
        if self.failures.load(Ordering::Relaxed) > 0
            && self.failures.swap(0, Ordering::Relaxed) >= FAILURES
        {
            tracing::info!("the database answers again");
            self.closed.notify_waiters();
        }
    }

    /// Those who wait are to look again.
    pub(super) fn wake(&self) {
        self.closed.notify_waiters();
    }

    /// Waits until calls are let in, as `is_away` has it.
    pub(super) async fn wait(&self, is_away: impl Fn() -> bool) {
        loop {
            let closed = self.closed.notified();
            if !is_away() {
                return;
            }
            closed.await;
        }
    }

    /// It did not.
    pub(super) fn failed(&self, why: String) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if before + 1 == FAILURES {
            tracing::error!(why, again = ?AGAIN, "the database does not answer: calls are refused until it does");
        }
        self.note(why);
    }

    /// Something is wrong that waiting does not mend.
    pub(super) fn note(&self, why: String) {
        *self.last.lock() = Some(LastError { at: SystemTime::now(), why });
    }

    pub(super) fn last(&self) -> Option<LastError> {
        self.last.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_an_answer() {
        let breaker = Breaker::default();
        breaker.failed("a".to_owned());
        breaker.failed("b".to_owned());
        breaker.worked();
        breaker.failed("c".to_owned());
        breaker.failed("d".to_owned());
        assert!(!breaker.is_open());
        breaker.failed("e".to_owned());
        assert!(breaker.is_open());
        assert_eq!(breaker.last().map(|last| last.why), Some("e".to_owned()));
        breaker.worked();
        assert!(!breaker.is_open());
    }
}
