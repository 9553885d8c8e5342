//! What was last seen of users: while the database is away, they log on by it, and messages for them are accepted. It is asked
//! nothing that the database can answer.

use super::MongoStore;
use crate::{
    Account, OfflineLimits, StoreError, StoreFuture,
    cache::Cache,
    journal::{Op, OpId, Replay},
};
use std::sync::Arc;
use xmpp::jid::BareJid;

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
