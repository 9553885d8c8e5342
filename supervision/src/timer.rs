//! Timers of a process: its own, and gone with it (`erlang:send_after/3`).

use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A timer, to cancel it.
///
/// Example: [`crate::Cx::send_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    at: Instant,
    number: u64,
}

enum Fire<M> {
    Once(M),
    Every(Duration, Box<dyn FnMut() -> M + Send>),
}

/// The timers that run, the next first.
pub(crate) struct Timers<M> {
    due: BTreeMap<Timer, Fire<M>>,
    next: u64,
    /// Ends with the next message.
    idle: Option<Timer>,
}

impl<M> Default for Timers<M> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), next: 0, idle: None }
    }
}

impl<M> Timers<M> {
    fn add(&mut self, after: Duration, fire: Fire<M>) -> Timer {
        self.next += 1;
        let timer = Timer { at: Instant::now() + after, number: self.next };
        self.due.insert(timer, fire);
        timer
    }

    pub(crate) fn once(&mut self, after: Duration, msg: M) -> Timer {
        self.add(after, Fire::Once(msg))
    }

    pub(crate) fn every(
        &mut self,
        period: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> Timer {
        // a period of zero would leave room for nothing else
        let period = period.max(Duration::from_millis(1));
        self.add(period, Fire::Every(period, Box::new(make)))
    }

    /// Whether it had not fired.
    pub(crate) fn cancel(&mut self, timer: Timer) -> bool {
        // one that repeats keeps its number, not its time
        let running = self.due.keys().find(|t| t.number == timer.number).copied();
        running.is_some_and(|t| self.due.remove(&t).is_some())
    }

    pub(crate) fn set_idle(&mut self, after: Duration, msg: M) {
        self.stop_idle();
        self.idle = Some(self.once(after, msg));
    }

    /// There was a message.
    pub(crate) fn stop_idle(&mut self) {
        if let Some(timer) = self.idle.take() {
            self.due.remove(&timer);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.keys().next().map(|t| t.at)
    }

    /// The message of a timer whose time has come.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<M> {
        let entry = self.due.first_entry().filter(|e| e.key().at <= now)?;
        let (timer, fire) = entry.remove_entry();
        match fire {
            Fire::Once(msg) => Some(msg),
            Fire::Every(period, mut make) => {
                let msg = make();
                // missed ones are not caught up
                let at = (timer.at + period).max(now);
                self.due.insert(Timer { at, ..timer }, Fire::Every(period, make));
                Some(msg)
            }
        }
    }
}
