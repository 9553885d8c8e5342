//! Stores that nothing is journaled for, but that have to do with what is: they come after what waits for their user, so
//! that it does not get to the next account of that name, and is there when it is looked for.

use super::{Journaled, Replay};
use crate::{
    Account, AccountStore, Everything, OfflineStore, QuarantineStore, Quarantined, Sessions,
    StoreError, StoreFuture, Struck, Transfer,
};
use std::sync::Arc;
use xmpp::{jid::BareJid, sasl::ScramKeys, stanza::Stanza};

impl<R: Replay + OfflineStore + Sessions> Journaled<R> {
    /// Nothing of theirs waits any more. Nearly always nothing does.
    async fn settle_all(&self, users: &[&BareJid]) -> Result<(), StoreError> {
        for user in users {
            if self.log.rows.lock().has(user) {
                drop(self.settled(user).await?);
            }
        }
        Ok(())
    }
}

impl<R: Replay + OfflineStore + Sessions + AccountStore> AccountStore for Journaled<R> {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        self.inner.get(user)
    }

    fn was_there<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, bool> {
        self.inner.was_there(user)
    }

    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let users: Vec<&BareJid> = accounts.iter().map(|(user, _)| user).collect();
            self.settle_all(&users).await?;
            self.inner.create(accounts).await
        })
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        self.inner.set_keys(user, keys)
    }

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.settle_all(&[user]).await?;
            AccountStore::adopt(&*self.inner, user, account).await
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        Box::pin(self.ask_in_turn(user, AccountStore::remove(&*self.inner, user, roster)))
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        self.inner.list(host, after, limit)
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        self.inner.is_empty()
    }
}

impl<R: Replay + OfflineStore + Sessions + QuarantineStore> QuarantineStore for Journaled<R> {
    fn strike<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        id: u64,
        at: u64,
        room: usize,
    ) -> StoreFuture<'a, Struck> {
        Box::pin(self.ask_in_turn(user, self.inner.strike(user, key, id, at, room)))
    }

    fn quarantined<'a>(
        &'a self,
        user: Option<&'a BareJid>,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Quarantined>> {
        self.inner.quarantined(user, after, limit)
    }

    fn content(&self, id: u64) -> StoreFuture<'_, Option<(Quarantined, Stanza)>> {
        self.inner.content(id)
    }

    fn restore(&self, id: u64) -> StoreFuture<'_, Option<(BareJid, u64)>> {
        self.inner.restore(id)
    }

    fn discard(&self, id: u64) -> StoreFuture<'_, bool> {
        self.inner.discard(id)
    }
}

impl<R: Replay + OfflineStore + Sessions + Transfer> Transfer for Journaled<R> {
    fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>> {
        self.inner.users(after, limit)
    }

    fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>> {
        Box::pin(self.ask(user, self.inner.export(user)))
    }

    fn import(&self, everything: Everything) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.settle_all(&[&everything.user]).await?;
            self.inner.import(everything).await
        })
    }
}
