//! A store in memory, for tests and for nodes that are to forget. Every answer is ready at once.
//!
//! One lock an aggregate: an operation is atomic because it is made under it.

mod lists;
mod offline;
mod snapshot;

pub use snapshot::Snapshot;

use crate::{
    Account, AccountStore, Activity, Blocklist, Roster, RosterChange, RosterStore, StoreError,
    StoreFuture,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};
use xmpp::{jid::BareJid, sasl::ScramKeys};

/// XML by namespace and name of the element.
type Elements = HashMap<(String, String), String>;

/// All aggregates of one node, in memory.
#[derive(Default)]
pub struct MemoryStore {
    accounts: Mutex<BTreeMap<BareJid, Arc<Account>>>,
    rosters: Mutex<HashMap<BareJid, Arc<Roster>>>,
    offline: Mutex<offline::Messages>,
    vcards: Mutex<HashMap<BareJid, Arc<str>>>,
    private: Mutex<HashMap<BareJid, Elements>>,
    blocklists: Mutex<HashMap<BareJid, Arc<Blocklist>>>,
    activity: Mutex<HashMap<BareJid, Activity>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Does the work when it is first asked for the answer, as other stores do.
fn answer<'a, T>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'a) -> StoreFuture<'a, T> {
    Box::pin(async move { work() })
}

impl AccountStore for MemoryStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        answer(move || Ok(self.accounts.lock().get(user).cloned()))
    }

    fn create(&self, new: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        answer(move || {
            let mut accounts = self.accounts.lock();
            let before = accounts.len();
            for (user, account) in new {
                accounts.entry(user).or_insert_with(|| Arc::new(account));
            }
            Ok(accounts.len() - before)
        })
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        answer(move || {
            let mut accounts = self.accounts.lock();
            let account = accounts.get_mut(user);
            Ok(account.map(|a| Arc::make_mut(a).keys = keys).is_some())
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, bool> {
        answer(move || Ok(self.accounts.lock().remove(user).is_some()))
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        answer(move || {
            let accounts = self.accounts.lock();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rest = accounts.range::<BareJid, _>((from, Bound::Unbounded)).map(|(user, _)| user);
            Ok(rest.filter(|user| user.domain() == host).take(limit).cloned().collect())
        })
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        answer(move || Ok(self.accounts.lock().is_empty()))
    }
}

impl RosterStore for MemoryStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>> {
        answer(move || Ok(self.rosters.lock().get(user).cloned().unwrap_or_default()))
    }

    fn change<'a>(
        &'a self,
        user: &'a BareJid,
        ver: u64,
        change: RosterChange,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Roster>> {
        answer(move || {
            let mut rosters = self.rosters.lock();
            let mut roster = rosters.get(user).cloned().unwrap_or_default();
            let result = Arc::make_mut(&mut roster).apply(ver, change, limit);
            result.map(|changed| {
                if changed {
                    rosters.insert(user.clone(), Arc::clone(&roster));
                }
                roster
            })
        })
    }

    fn purge<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, ()> {
        answer(move || {
            self.rosters.lock().remove(user);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stores, conformance};

    #[tokio::test]
    async fn it_passes_the_suite() {
        conformance::suite(&Stores::of(Arc::new(MemoryStore::new()))).await;
    }
}
