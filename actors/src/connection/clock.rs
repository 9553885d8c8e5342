//! The deadlines of one connection behind one timer.

use crate::session::effects::TimerKey;
use std::pin::Pin;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A timer of the session.
    Session(TimerKey),
    /// Nothing could be written.
    Stall,
    /// The client was too fast: read again.
    Held,
    /// It has been quiet: give buffers back.
    Quiet,
}

/// At most one deadline a key. Moving a deadline back costs nothing: the timer that runs goes off
/// once too early.
pub(super) struct Clock {
    deadlines: Vec<(Key, Instant)>,
    sleep: Pin<Box<Sleep>>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self { deadlines: Vec::with_capacity(2), sleep: Box::pin(sleep_until(now)) }
    }

    pub(super) fn set(&mut self, key: Key, at: Instant) {
        match self.deadlines.iter_mut().find(|(k, _)| *k == key) {
            Some((_, then)) => *then = at,
            None => self.deadlines.push((key, at)),
        }
    }

    pub(super) fn cancel(&mut self, key: Key) {
        self.deadlines.retain(|(k, _)| *k != key);
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.deadlines.iter().any(|(k, _)| *k == key)
    }

    /// Resolves when a deadline may have come; [`Clock::due`] says which. Can be cancelled.
    pub(super) async fn next(&mut self) {
        let Some(first) = self.deadlines.iter().map(|(_, at)| *at).min() else {
            return std::future::pending().await;
        };
        if self.sleep.is_elapsed() || first < self.sleep.deadline() {
            self.sleep.as_mut().reset(first);
        }
        self.sleep.as_mut().await;
    }

    /// Takes the deadlines that have come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Key> {
        let due = self.deadlines.iter().filter(|(_, at)| *at <= now).map(|(k, _)| *k).collect();
        self.deadlines.retain(|(_, at)| *at > now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn deadlines_come_in_order_and_can_be_moved() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clock = Clock::new(start);
        clock.set(Key::Stall, at(10));
        clock.set(Key::Quiet, at(5));
        clock.set(Key::Quiet, at(20));
        clock.set(Key::Held, at(15));
        clock.cancel(Key::Held);
        let mut came = Vec::new();
        while clock.has(Key::Stall) || clock.has(Key::Quiet) {
            clock.next().await;
            let due = clock.due(Instant::now());
            came.extend(due.into_iter().map(|k| (k, start.elapsed().as_secs())));
        }
        assert_eq!(came, [(Key::Stall, 10), (Key::Quiet, 20)]);
    }
}
