//! What is remembered of users whose records were read, until Redis says that they changed.

use super::options::CacheLimit;
use crate::Records;
use quick_cache::{Weighter, sync::Cache as Map};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

/// How many counters there are: an invalidation keeps out what was being read of one user in so many.
const COUNTERS: usize = 1 << 16;
/// What an entry costs besides its texts, about.
const ENTRY: usize = 160;

#[derive(Clone)]
struct Known {
    epoch: u64,
    records: Records,
}

/// Bytes; never less than makes the limit of entries hold.
#[derive(Clone)]
struct Weigh {
    least: u64,
}

impl Weighter<Arc<str>, Known> for Weigh {
    fn weight(&self, user: &Arc<str>, known: &Known) -> u64 {
        let record = |r: &crate::Record| size_of::<crate::Record>() + 16 + r.resource.len();
        let bytes = ENTRY + user.len() + known.records.iter().map(record).sum::<usize>();
        (bytes as u64).max(self.least)
    }
}

/// Records of users.
pub(super) struct Cache {
    map: Map<Arc<str>, Known, Weigh>,
    hasher: RandomState,
    /// Of hashes of users: how often they were invalidated.
    counters: Box<[AtomicU32]>,
    /// How often everything was forgotten.
    flushes: AtomicU64,
    /// Redis tells of changes.
    told: AtomicBool,
}

/// How often a user had been invalidated when reading began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    count: u32,
    flushes: u64,
}

impl Cache {
    pub(super) fn new(limit: CacheLimit) -> Self {
        let entries = limit.entries.max(1);
        let least = (limit.bytes / entries).max(1);
        Self {
            map: Map::with_weighter(entries, limit.bytes as u64, Weigh { least: least as u64 }),
            hasher: RandomState::new(),
            counters: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(),
            flushes: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the array's length")]
    fn counter(&self, user: &str) -> &AtomicU32 {
        &self.counters[self.hasher.hash_one(user) as usize % COUNTERS]
    }

    /// Before a user is read.
    pub(super) fn ticket(&self, user: &str) -> Ticket {
        Ticket {
            count: self.counter(user).load(Ordering::Acquire),
            flushes: self.flushes.load(Ordering::Acquire),
        }
    }

    /// What was read in an epoch, unless it may have changed since.
    pub(super) fn put(&self, user: &str, ticket: Ticket, epoch: u64, records: &Records) {
        if !self.is_told() || self.ticket(user) != ticket {
            return;
        }
        self.map.insert(user.into(), Known { epoch, records: Arc::clone(records) });
        if self.ticket(user) != ticket {
            self.map.remove(user);
        }
    }

    /// What was read in that epoch.
    pub(super) fn get(&self, user: &str, epoch: u64) -> Option<Records> {
        let known = self.map.get(user)?;
        (self.is_told() && known.epoch == epoch).then_some(known.records)
    }

    /// A user changed.
    pub(super) fn forget(&self, user: &str) {
        self.counter(user).fetch_add(1, Ordering::AcqRel);
        self.map.remove(user);
    }

    /// Anybody may have changed.
    pub(super) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        self.map.clear();
    }

    /// Redis tells of changes from now on, or not any more.
    pub(super) fn tell(&self, told: bool) {
        self.told.store(told, Ordering::Release);
        self.flush();
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    pub(super) fn entries(&self) -> usize {
        self.map.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.map.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        let cache = Cache::new(CacheLimit { entries: 100, bytes: 100_000 });
        cache.tell(true);
        cache
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_kept() {
        let (cache, none) = (cache(), Records::default());
        let ticket = cache.ticket("a");
        cache.forget("a");
        cache.put("a", ticket, 1, &none);
        assert!(cache.get("a", 1).is_none());
        let ticket = cache.ticket("a");
        cache.flush();
        cache.put("a", ticket, 1, &none);
        assert!(cache.get("a", 1).is_none());
        cache.put("a", cache.ticket("a"), 1, &none);
        assert!(cache.get("a", 1).is_some());
        assert!(cache.get("a", 2).is_none(), "of another epoch");
        cache.forget("a");
        assert!(cache.get("a", 1).is_none());
    }

    #[test]
    fn nothing_is_kept_while_nobody_tells() {
        let cache = cache();
        cache.put("a", cache.ticket("a"), 1, &Records::default());
        cache.tell(false);
        cache.put("a", cache.ticket("a"), 1, &Records::default());
        assert!(cache.get("a", 1).is_none());
    }

    #[test]
    fn entries_and_bytes_have_limits() {
        let cache = cache();
        for n in 0..1000 {
            let user = format!("user{n}");
            cache.put(&user, cache.ticket(&user), 1, &Records::default());
        }
        assert!(cache.entries() <= 100 && cache.bytes() <= 100_000);
    }
}
