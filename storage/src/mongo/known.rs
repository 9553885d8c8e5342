//! What was last seen of users: while the database is away, they log on by it, and messages for them are accepted. It is asked
//! nothing that the database can answer, but for a roster of which that says that it is the same, and for whether somebody is there
//! before something is written for them.

use super::{MongoStore, rosters::Seen};
use crate::{
    Account, Blocklist, OfflineLimits, StoreError, StoreFuture,
    cache::{self, Cache, Caches},
    journal::{Op, OpId, Replay},
};
use std::sync::Arc;
use xmpp::jid::BareJid;

/// Users who are known, and contacts in their rosters, of ordinary size; as many blocked addresses.
const USERS: usize = 50_000;
const CONTACTS: usize = 200_000;

/// What was last seen, by user.
pub(super) struct Known {
    pub(super) accounts: Cache<Option<Arc<Account>>>,
    pub(super) rosters: Cache<Seen>,
    pub(super) blocklists: Cache<Arc<Blocklist>>,
}

impl Known {
    pub(super) fn new() -> Self {
        let Caches { accounts, blocklists, .. } = Caches::new(USERS, CONTACTS);
        Self { accounts, rosters: cache::rosters(USERS, CONTACTS, Seen::weight), blocklists }
    }
}

impl MongoStore {
    /// What is read, and otherwise, if the database is away, what was read before.
    pub(super) async fn or_known<V: Clone>(
        &self,
        cache: &Cache<V>,
        user: &BareJid,
        read: impl Future<Output = Result<V, StoreError>>,
    ) -> Result<V, StoreError> {
        let mark = cache.mark(user);
        match read.await {
            Ok(value) => {
                // unless it was changed meanwhile
                cache.fill(user, mark, value.clone());
                Ok(value)
            }
            Err(error) if error.is_away() => cache.get(user).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The user was changed, or may have been: what was seen before is not believed any more.
    pub(super) fn unknown<T>(&self, user: &BareJid, change: &Result<T, StoreError>) {
        if is_possible(change) {
            self.known.accounts.wrote(user, None);
            self.known.rosters.wrote(user, None);
            self.known.blocklists.wrote(user, None);
        }
    }
}

/// Whether something was changed, or may have been. What was refused must make nobody unknown: anybody can ask for it.
pub(super) fn is_possible<T>(change: &Result<T, StoreError>) -> bool {
    !matches!(change, Err(StoreError::Unavailable { .. }))
}

impl Replay for MongoStore {
    fn apply<'a>(
        &'a self,
        op: &'a Op,
        id: OpId,
        limits: Option<OfflineLimits>,
    ) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(async move { Ok(Self::apply(self, op, &id, limits).await?.numbers) })
    }

    fn made(&self, user: &BareJid) -> Option<u64> {
        let known: Option<Option<Arc<Account>>> = self.known.accounts.get(user);
        known.flatten().map(|account| account.created)
    }

    fn number(&self) -> u64 {
        self.numbers.take(1).into_iter().sum()
    }
}
