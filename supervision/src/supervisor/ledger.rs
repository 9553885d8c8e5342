//! What a supervisor remembers of restarts: how many there were within the period, and of each child the last of them.

use crate::{
    crash::cut,
    decide::Window,
    id::Id,
    policy::{Intensity, Restart, Strategy},
    restarts::{ChildRestarts, Restarted, Supervision},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};
use tokio::time::Instant;

/// Which child of a supervisor: grows with each.
pub(super) type Key = u64;

/// The most bytes of a reason that is kept.
const REASON_BYTES: usize = 256;

/// Of the supervisor, and seen from outside.
#[derive(Default)]
pub(super) struct Ledger {
    strategy: Strategy,
    pub(super) intensity: Intensity,
    window: Window,
    /// Of children that ended and were, or are to be, restarted.
    rows: BTreeMap<Key, Row>,
}

struct Row {
    id: String,
    restart: Restart,
    /// Why it is to be restarted.
    why: String,
    /// Of an instance: its process that ended.
    was: Option<Id>,
    /// In a row, for the back-off.
    failures: u32,
    /// When the back-off has it started again.
    until: Option<Instant>,
    restarts: u64,
    history: VecDeque<(Instant, String)>,
}

impl Ledger {
    pub(super) fn new(strategy: Strategy, intensity: Intensity) -> Self {
        Self { strategy, intensity, ..Self::default() }
    }

    /// A child is to be restarted, for that reason.
    pub(super) fn note(&mut self, key: Key, id: &str, restart: Restart, mut why: String) {
        cut(&mut why, REASON_BYTES);
        let row = self.rows.entry(key).or_insert_with(|| Row {
            id: id.to_owned(),
            restart,
            why: String::new(),
            was: None,
            failures: 0,
            until: None,
            restarts: 0,
            history: VecDeque::new(),
        });
        row.why = why;
    }

    /// The process that it had.
    pub(super) fn ended(&mut self, key: Key, process: Id) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.was = Some(process);
        }
    }

    /// Whose process that was.
    pub(super) fn was(&self, process: Id) -> Option<Key> {
        self.rows.iter().find(|(_, row)| row.was == Some(process)).map(|(key, _)| *key)
    }

    /// Counts a restart; `false` when it is one too many.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.window.add(self.intensity, now)
    }

    /// How many there were within the period.
    pub(super) fn within(&self, now: Instant) -> u32 {
        u32::try_from(self.window.within(self.intensity, now)).unwrap_or(u32::MAX)
    }

    /// A child is being restarted.
    pub(super) fn restarted(&mut self, key: Key, now: Instant) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        if row.history.len() == ChildRestarts::KEPT {
            row.history.pop_front();
        }
        row.history.push_back((now, row.why.clone()));
        row.restarts += 1;
        row.until = None;
    }

    /// Why a child is to be restarted.
    pub(super) fn why(&self, key: Key) -> String {
        self.rows.get(&key).map(|row| row.why.clone()).unwrap_or_default()
    }

    /// How often a child that backs off has failed in a row.
    pub(super) fn failures(&mut self, key: Key) -> Option<&mut u32> {
        self.rows.get_mut(&key).map(|row| &mut row.failures)
    }

    /// A child is started again then; `None`: it does not wait any more.
    pub(super) fn waits(&mut self, key: Key, until: Option<Instant>) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.until = until;
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.rows.remove(&key);
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// As it is seen from outside.
    pub(super) fn view(&self, now: Instant) -> Supervision {
        let restarts = self.within(now);
        let mut rows: Vec<&Row> = self.rows.values().collect();
        // stable: in start order, of those that were restarted at the same time
        rows.sort_by_key(|row| Reverse(row.history.back().map(|(at, _)| *at)));
        rows.truncate(Supervision::LISTED);
        Supervision {
            strategy: self.strategy,
            intensity: self.intensity,
            restarts,
            left: self.intensity.restarts.saturating_sub(restarts),
            children: rows.into_iter().map(|row| row.view(now)).collect(),
        }
    }
}

impl Row {
    fn view(&self, now: Instant) -> ChildRestarts {
        let ago = |(at, reason): &(Instant, String)| Restarted {
            ago: now.duration_since(*at),
            reason: reason.clone(),
        };
        ChildRestarts {
            id: self.id.clone(),
            restart: self.restart,
            restarts: self.restarts,
            history: self.history.iter().map(ago).collect(),
            failures: self.failures,
            waits: self.until.map(|until| until.duration_since(now)),
        }
    }
}
