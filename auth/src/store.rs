//! Accounts as everybody but those who log on sees them.

use crate::{
    Accounts,
    account::{as_new, is_gone},
    source::Found,
};
use std::sync::Arc;
use storage::{Account, AccountStore, StoreFuture};
use xmpp::{jid::BareJid, sasl::ScramKeys};

/// An account of another application is what was last known of it, and one that is not known yet is looked for there.
impl AccountStore for Accounts {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        Box::pin(async move {
            let kept = self.own.get(user).await?;
            let (None, Some(foreign)) = (&kept, self.foreign(user)) else {
                return Ok(kept.filter(|kept| !is_gone(kept)));
            };
            match foreign.source.find(user).await? {
                Found::User(entry) => self.admit(user, as_new(&entry)).await.map(Some),
                Found::Nobody | Found::Untold => Ok(None),
            }
        })
    }

    fn was_there<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            match self.foreign(user) {
                Some(_) => Ok(self.get(user).await?.is_some()),
                None => self.own.was_there(user).await,
            }
        })
    }

    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            accounts.iter().try_for_each(|(user, _)| self.must_be_own(user))?;
            self.own.create(accounts).await
        })
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.must_be_own(user)?;
            self.own.set_keys(user, keys).await
        })
    }

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        self.own.adopt(user, account)
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        self.own.remove(user, roster)
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        self.own.list(host, after, limit)
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        self.own.is_empty()
    }
}
