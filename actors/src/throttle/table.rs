//! A bounded table of counts, each for a while.
//!
//! When it is full, what matters least makes room: the lowest count, and of those the one that ends
//! first. Whoever wants to push out a count of n has to raise all others above n before. Every step
//! costs the logarithm of the size; 100 bytes an entry.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Who is counted: a hash, so that a long name takes no more room than a short one.
pub(crate) type Key = [u8; 16];

/// Counts that are over and are forgotten with each step.
const FORGET: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// When the failures are forgotten, in milliseconds of the throttle's time.
    pub(super) until: u64,
    /// Tries that failed.
    pub(super) failures: u32,
    /// Tries that have begun, and are not decided.
    pub(super) open: u32,
}

impl Count {
    fn weight(self) -> u32 {
        self.failures.saturating_add(self.open)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    /// From this count on it is too often; 0: nothing is counted.
    limit: u32,
    window: u64,
    entries: usize,
    counts: HashMap<Key, Count>,
    /// By what they matter.
    ranks: BTreeSet<(u32, u64, Key)>,
    /// By their ends.
    ends: BTreeSet<(u64, Key)>,
}

impl Table {
    pub(super) fn new(limit: u32, window: u64, entries: usize) -> Self {
        let (counts, ranks, ends) = Default::default();
        Self { limit, window, entries, counts, ranks, ends }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// What has failed within its window.
    pub(super) fn live(&self, now: u64) -> impl Iterator<Item = (Key, Count)> {
        let live = move |c: &Count| c.failures > 0 && c.until > now;
        self.counts.iter().map(|(key, count)| (*key, *count)).filter(move |(_, c)| live(c))
    }

    /// How long to wait; `None`: another try is possible. `open`: those that have begun count too.
    pub(super) fn wait(&self, key: Key, now: u64, open: bool) -> Option<Duration> {
        let count = self.counts.get(&key).filter(|_| self.limit > 0)?;
        let failures = if count.until > now { count.failures } else { 0 };
        let weight = if open { failures.saturating_add(count.open) } else { failures };
        (weight >= self.limit)
            .then(|| Duration::from_millis(count.until.saturating_sub(now).max(1)))
    }

    /// Changes a count; one that comes to nothing is forgotten.
    pub(super) fn change(&mut self, key: Key, now: u64, change: impl FnOnce(&mut Count)) {
        if self.limit == 0 {
            return;
        }
        self.forget(now);
        let fresh = Count { until: now.saturating_add(self.window), failures: 0, open: 0 };
        let mut count = self.remove(key).unwrap_or(fresh);
        if count.until <= now {
            count = Count { open: count.open, ..fresh };
        }
        change(&mut count);
        if count.weight() == 0 {
            return;
        }
        if self.counts.len() >= self.entries
            && let Some((_, _, least)) = self.ranks.first().copied()
        {
            self.remove(least);
        }
        self.insert(key, count);
    }

    fn insert(&mut self, key: Key, count: Count) {
        self.counts.insert(key, count);
        self.ranks.insert((count.weight(), count.until, key));
        self.ends.insert((count.until, key));
    }

    fn remove(&mut self, key: Key) -> Option<Count> {
        let count = self.counts.remove(&key)?;
        self.ranks.remove(&(count.weight(), count.until, key));
        self.ends.remove(&(count.until, key));
        Some(count)
    }

    /// A few of those that are over go; tries that are still open stay.
    fn forget(&mut self, now: u64) {
        for _ in 0..FORGET {
            let Some((_, key)) = self.ends.first().copied().filter(|(until, _)| *until <= now)
            else {
                return;
            };
            let over = self.remove(key).filter(|count| count.open > 0);
            if let Some(Count { open, .. }) = over {
                let until = now.saturating_add(self.window);
                self.insert(key, Count { until, failures: 0, open });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key
    }

    fn fail(table: &mut Table, n: u32, now: u64) {
        table.change(key(n), now, |c| c.failures += 1);
    }

    #[test]
    fn what_matters_least_makes_room() {
        let mut t = Table::new(2, 1_000, 4);
        for (n, now) in [(1, 0), (1, 0), (2, 10), (3, 20), (4, 30)] {
            fail(&mut t, n, now);
        }
        // all are counted, however many come; the one that has to wait stays
        for n in 10..1_000 {
            fail(&mut t, n, 40);
            assert_eq!(t.len(), 4);
            assert!(t.wait(key(1), 40, true).is_some());
            fail(&mut t, n, 40);
            assert!(t.wait(key(n), 40, true).is_some(), "the newest counts");
            t.change(key(n), 40, |c| c.failures = 0);
        }
        // pushed out by nothing less than what it has itself
        for n in [5, 6, 7, 8] {
            fail(&mut t, n, 50);
            fail(&mut t, n, 50);
        }
        assert_eq!(t.wait(key(1), 60, true), None);
        assert_eq!((t.ranks.len(), t.ends.len()), (4, 4));
    }

    #[test]
    fn what_is_over_goes_a_little_at_a_time() {
        let mut t = Table::new(2, 1_000, 100);
        (0..50).for_each(|n| fail(&mut t, n, 0));
        t.change(key(50), 0, |c| c.open = 1);
        fail(&mut t, 51, 1_000);
        assert_eq!(t.len(), 51 + 1 - FORGET);
        for _ in 0..10 {
            fail(&mut t, 51, 1_001);
        }
        assert_eq!(t.len(), 2, "the open one is not forgotten");
        t.change(key(50), 1_002, |c| c.open -= 1);
        assert_eq!((t.len(), t.ranks.len(), t.ends.len()), (1, 1, 1));
    }

    /// A model without eviction: what it says, the table says while it has room.
    #[test]
    fn counts_are_those_of_a_simple_model() {
        let mut t = Table::new(3, 100, 1_000);
        let mut model: HashMap<u32, (u64, u32)> = HashMap::new();
        let mut x = 7_u64;
        for now in 0..5_000_u64 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = u32::try_from(x >> 33).unwrap() % 40;
            let entry = model.entry(n).or_insert((now + 100, 0));
            if entry.0 <= now {
                *entry = (now + 100, 0);
            }
            let waits = (entry.1 >= 3).then(|| Duration::from_millis(entry.0 - now));
            assert_eq!(t.wait(key(n), now, true), waits);
            entry.1 += 1;
            fail(&mut t, n, now);
        }
    }
}
