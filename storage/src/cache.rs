//! Values by user, bounded by weight; absent values are kept too. In front of SQLite's file they are write-through caches.
//!
//! The race that matters: a reader misses, reads the old value, a writer commits and stores the new
//! one, and then the reader stores the old. So each user belongs to a stripe with a count of
//! writes: a reader notes it before it reads and stores nothing if it has moved meanwhile. The
//! writer's thread stores in the order of its commits, before it answers.

use crate::{Account, Blocklist, Roster};
use parking_lot::Mutex;
use quick_cache::{Weighter, sync};
use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};
use xmpp::jid::BareJid;

const STRIPES: usize = 1024;

/// What an entry occupies besides its name and value.
const ENTRY: usize = 128;
/// What an account occupies, with the keys of three hash functions.
const ACCOUNT: usize = 1024;
/// What the keys of one occupy: salts come from here or from an operator.
const KEYS: usize = 256;
/// What a contact occupies, ordinarily.
const CONTACT: usize = 256;

/// What is read at each login.
pub(crate) struct Caches {
    pub(crate) accounts: Cache<Option<Arc<Account>>>,
    pub(crate) rosters: Cache<Arc<Roster>>,
    pub(crate) blocklists: Cache<Arc<Blocklist>>,
    /// How many offline messages wait.
    pub(crate) waiting: Cache<usize>,
}

impl Caches {
    /// For about as many users with ordinary names, and contacts. What counts are bytes.
    pub(crate) fn new(users: usize, contacts: usize) -> Self {
        let list = |b: &Arc<Blocklist>| b.iter().map(|jid| jid.weight() + ENTRY).sum();
        let lists = contacts.saturating_mul(CONTACT);
        Self {
            accounts: Cache::new(users, users.saturating_mul(ACCOUNT), |a| {
                a.as_ref().map_or(0, |a| a.keys.len() * KEYS)
            }),
            rosters: rosters(users, contacts, |r| r.weight()),
            blocklists: Cache::new(users, lists, list),
            waiting: Cache::new(users, users.saturating_mul(ENTRY), |_| 0),
        }
    }

    /// Forgets everything: somebody else may have written.
    pub(crate) fn clear(&self) {
        self.accounts.clear();
        self.rosters.clear();
        self.blocklists.clear();
        self.waiting.clear();
    }
}

/// Of rosters, for about as many users, and contacts.
pub(crate) fn rosters<V: Clone>(
    users: usize,
    contacts: usize,
    weight: fn(&V) -> usize,
) -> Cache<V> {
    Cache::new(users, contacts.saturating_mul(CONTACT), weight)
}

/// The value of each user, or not.
pub(crate) struct Cache<V> {
    values: sync::Cache<BareJid, V, Weigh<V>>,
    /// Writes so far, by hash of the user.
    stripes: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

struct Weigh<V>(fn(&V) -> usize);

impl<V> Clone for Weigh<V> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<V> Weighter<BareJid, V> for Weigh<V> {
    fn weight(&self, user: &BareJid, value: &V) -> u64 {
        (ENTRY / 2 + user.as_str().len() + self.0(value)) as u64
    }
}

impl<V: Clone> Cache<V> {
    /// For about as many entries, and no more than so many bytes.
    fn new(entries: usize, bytes: usize, weight: fn(&V) -> usize) -> Self {
        Self {
            values: sync::Cache::with_weighter(entries, bytes as u64, Weigh(weight)),
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    fn stripe(&self, user: &BareJid) -> Option<&Mutex<u64>> {
        let hash = self.hasher.hash_one(user);
        self.stripes.get(usize::try_from(hash % STRIPES as u64).unwrap_or_default())
    }

    /// The value, if it is known.
    pub(crate) fn get(&self, user: &BareJid) -> Option<V> {
        self.values.get(user)
    }

    /// To be noted before the value is read from the file.
    pub(crate) fn mark(&self, user: &BareJid) -> u64 {
        self.stripe(user).map_or(0, |writes| *writes.lock())
    }

    /// Stores what was read, unless there was a write since `mark`.
    pub(crate) fn fill(&self, user: &BareJid, mark: u64, value: V) {
        let Some(writes) = self.stripe(user) else { return };
        let writes = writes.lock();
        if *writes == mark {
            self.values.insert(user.clone(), value);
        }
    }

    /// Stores what was committed, or with `None` forgets what was there.
    pub(crate) fn wrote(&self, user: &BareJid, value: Option<V>) {
        let Some(writes) = self.stripe(user) else { return };
        let mut writes = writes.lock();
        *writes += 1;
        // a value too heavy for the cache must not leave the old one there
        self.values.remove(user);
        if let Some(value) = value {
            self.values.insert(user.clone(), value);
        }
    }

    fn clear(&self) {
        for writes in &self.stripes {
            *writes.lock() += 1;
        }
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> BareJid {
        "a@x".parse().unwrap()
    }

    #[test]
    fn what_was_read_before_a_write_is_not_stored_after_it() {
        let cache: Cache<u32> = Cache::new(100, 10_000, |_| 1);
        let mark = cache.mark(&user());
        cache.wrote(&user(), Some(2));
        cache.fill(&user(), mark, 1);
        assert_eq!(cache.get(&user()), Some(2));
        let mark = cache.mark(&user());
        cache.wrote(&user(), None);
        cache.fill(&user(), mark, 2);
        assert_eq!(cache.get(&user()), None);
        let mark = cache.mark(&user());
        cache.clear();
        cache.fill(&user(), mark, 2);
        assert_eq!(cache.get(&user()), None);
        cache.fill(&user(), cache.mark(&user()), 3);
        assert_eq!(cache.get(&user()), Some(3));
    }

    #[test]
    fn it_is_bounded_by_weight_and_a_heavy_value_pushes_the_old_one_out() {
        let cache: Cache<usize> = Cache::new(100, 10_000, |v| *v);
        for n in 0..1000 {
            cache.wrote(&format!("u{n}@x").parse().unwrap(), Some(1));
        }
        assert!(cache.values.weight() <= cache.values.capacity());
        cache.wrote(&user(), Some(1));
        cache.wrote(&user(), Some(1_000_000));
        assert_eq!(cache.get(&user()), None);
    }
}
