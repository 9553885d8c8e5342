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
    /// What was read, and otherwise, if the database is away, what was read before.
    pub(super) fn or_known<V: Clone>(
        &self,
        cache: &Cache<V>,
        user: &BareJid,
        read: Result<V, StoreError>,
    ) -> Result<V, StoreError> {
        match read {
            Ok(value) => {
                cache.wrote(user, Some(value.clone()));
                Ok(value)
            }
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Timeout)) => {
                cache.get(user).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Something of the user is being changed, or may have been: what was seen of it before is not believed any more.
    pub(super) fn unknown(&self, user: &BareJid) {
        self.known.accounts.wrote(user, None);
        self.known.rosters.wrote(user, None);
        self.known.blocklists.wrote(user, None);
    }
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

    fn knows(&self, user: &BareJid) -> bool {
        let known: Option<Option<Arc<Account>>> = self.known.accounts.get(user);
        known.flatten().is_some()
    }

    fn number(&self) -> u64 {
        self.numbers.take(1).into_iter().sum()
    }
}
