//! The deadlines of one session. Whoever drives it has one timer for the next of them.

use crate::session::effects::TimerKey;
use std::time::Duration;
use tokio::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// A timer of the session.
    Session(TimerKey),
    /// Nothing could be written.
    Stall,
    /// It has been quiet: give buffers back.
    Quiet,
}

/// At most one of a kind.
#[derive(Debug)]
pub(super) struct Deadlines {
    all: Vec<(Deadline, Instant)>,
}

impl Deadlines {
    pub(super) fn new() -> Self {
        Self { all: Vec::with_capacity(2) }
    }

    pub(super) fn set(&mut self, deadline: Deadline, at: Instant) {
        match self.all.iter_mut().find(|(d, _)| *d == deadline) {
            Some((_, then)) => *then = at,
            None => self.all.push((deadline, at)),
        }
    }

    pub(super) fn cancel(&mut self, deadline: Deadline) {
        self.all.retain(|(d, _)| *d != deadline);
    }

    pub(super) fn at(&self, deadline: Deadline) -> Option<Instant> {
        self.all.iter().find(|(d, _)| *d == deadline).map(|(_, at)| *at)
    }

    /// The next one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.all.iter().map(|(_, at)| *at).min()
    }

    /// Takes those that have come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Deadline> {
        let due = self.all.iter().filter(|(_, at)| *at <= now).map(|(d, _)| *d).collect();
        self.all.retain(|(_, at)| *at > now);
        due
    }

    /// The session's timers, and what is left of each.
    pub(super) fn timers(&self, now: Instant) -> impl Iterator<Item = (TimerKey, Duration)> {
        self.all.iter().filter_map(move |(deadline, at)| match deadline {
            Deadline::Session(key) => Some((*key, at.saturating_duration_since(now))),
            Deadline::Stall | Deadline::Quiet => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_can_be_moved() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let acks = Deadline::Session(TimerKey::Acks);
        let mut deadlines = Deadlines::new();
        deadlines.set(acks, at(10));
        deadlines.set(Deadline::Quiet, at(5));
        deadlines.set(Deadline::Quiet, at(20));
        deadlines.set(Deadline::Stall, at(15));
        deadlines.cancel(Deadline::Stall);
        let left: Vec<_> = deadlines.timers(at(4)).collect();
        assert_eq!(left, [(TimerKey::Acks, Duration::from_secs(6))]);
        let mut came = Vec::new();
        while let Some(next) = deadlines.next() {
            came.extend(deadlines.due(next).into_iter().map(|d| (d, next)));
        }
        assert_eq!(came, [(acks, at(10)), (Deadline::Quiet, at(20))]);
        assert_eq!(deadlines.at(acks), None);
    }
}
