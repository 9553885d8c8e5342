//! A store in memory, for tests and for nodes that are to forget. Every answer is ready at once.
//!
//! One lock an aggregate: an operation is atomic because it is made under it.

mod lists;
mod offline;
mod quarantine;
mod sessions;
mod snapshot;
mod transfer;

pub use snapshot::Snapshot;

use crate::{
    Account, AccountStore, Activity, Blocklist, Roster, RosterStore, RosterWrite, StoreError,
    StoreFuture,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
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

    /// What belongs to an account is not written without one: it stays while this is held.
    fn account(
        &self,
        user: &BareJid,
    ) -> Result<MutexGuard<'_, BTreeMap<BareJid, Arc<Account>>>, StoreError> {
        let accounts = self.accounts.lock();
        if accounts.contains_key(user) {
            return Ok(accounts);
        }
        Err(StoreError::NoAccount(user.as_str().to_owned()))
    }

    /// Nothing is left of a user. Whoever calls holds the lock on the accounts: nobody creates or removes another.
    fn forget(&self, user: &BareJid) {
        self.rosters.lock().remove(user);
        let mut offline = self.offline.lock();
        offline.forget_all(user);
        offline.sessions.retain(|_, session| session.user != *user);
        offline.quarantine.retain(|_, kept| kept.user != *user);
        drop(offline);
        self.vcards.lock().remove(user);
        self.private.lock().remove(user);
        self.blocklists.lock().remove(user);
        self.activity.lock().remove(user);
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
                if let Entry::Vacant(free) = accounts.entry(user) {
                    self.forget(free.key());
                    free.insert(Arc::new(account));
                }
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

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        answer(move || {
            let mut accounts = self.accounts.lock();
            let Some(kept) = accounts.get_mut(user) else {
                self.forget(user);
                accounts.insert(user.clone(), Arc::new(account));
                return Ok(true);
            };
            let same = account.is_same_as(kept);
            if same {
                let created = kept.created;
                *kept = Arc::new(Account { created, ..account });
            }
            Ok(same)
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        answer(move || {
            let mut accounts = self.accounts.lock();
            let now = self.rosters.lock().get(user).map_or(0, |roster| roster.ver);
            if !accounts.contains_key(user) {
                return Ok(false);
            }
            if now != roster {
                return Err(StoreError::Conflict { now });
            }
            self.forget(user);
            Ok(accounts.remove(user).is_some())
        })
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

    fn change_all(
        &self,
        changes: Vec<RosterWrite>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Roster>>> {
        answer(move || {
            let accounts = self.accounts.lock();
            let mut rosters = self.rosters.lock();
            let mut now: HashMap<BareJid, Arc<Roster>> = HashMap::new();
            let mut after = Vec::with_capacity(changes.len());
            for RosterWrite { user, ver, change } in changes {
                if !accounts.contains_key(&user) {
                    return Err(StoreError::NoAccount(user.as_str().to_owned()));
                }
                let before = now.get(&user).or_else(|| rosters.get(&user));
                let mut roster = before.cloned().unwrap_or_default();
                Arc::make_mut(&mut roster).apply(ver, change, limit)?;
                after.push(Arc::clone(&roster));
                now.insert(user, roster);
            }
            // what is at version 0 was not changed
            rosters.extend(now.into_iter().filter(|(_, roster)| roster.ver > 0));
            Ok(after)
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
