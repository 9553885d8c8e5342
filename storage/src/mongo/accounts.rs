//! Accounts: the greater part of a user's document.

use super::{
    MongoStore,
    document::{Head, Keys, User, bson, uint},
    failure::{Failure, is_duplicate},
    transaction::Tx,
};
use crate::{Account, AccountStore, StoreError, StoreFuture, accounts::address};
use mongodb::{
    bson::{Bson, Document, doc},
    options::Hint,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};
use xmpp::{jid::BareJid, sasl::ScramKeys};

/// All that is kept of a user besides the user's document: collections, each with the field that says whose it is.
pub(super) const OF_A_USER: [(&str, &str); 7] = [
    ("roster", "u"),
    ("messages", "u"),
    ("messages", "damaged"),
    ("sessions", "u"),
    ("quarantine", "u"),
    ("vcards", "_id"),
    ("private", "u"),
];

/// Whose document it is.
fn of_user(user: &Document) -> Result<BareJid, StoreError> {
    address(user.get("_id").and_then(Bson::as_str).unwrap_or_default())
}

impl Tx<'_> {
    /// Nothing is left of these users but their documents.
    pub(super) async fn forget_all(&mut self, users: &[&str]) -> Result<(), Failure> {
        for (collection, field) in OF_A_USER {
            let these = doc! { field: { "$in": users } };
            let of = self.store.of::<Document>(collection);
            of.delete_many(these).session(&mut self.session).await?;
        }
        Ok(())
    }
}

async fn create(tx: &mut Tx<'_>, accounts: &[(BareJid, Account)]) -> Result<usize, Failure> {
    let users = tx.store.users::<Document>();
    let all: BTreeSet<&str> = accounts.iter().map(|(user, _)| user.as_str()).collect();
    let all: Vec<&str> = all.into_iter().collect();
    let there = doc! { "_id": { "$in": all } };
    let there = tx.find(&users, there, doc! {}, doc! { "_id": 1 }).await?;
    let mut there: HashSet<&str> =
        there.iter().filter_map(|user| user.get_str("_id").ok()).collect();
    let new = accounts.iter().filter(|(user, _)| there.insert(user.as_str()));
    let new: Vec<User> = new.map(|(user, account)| User::new(user, account)).collect();
    if new.is_empty() {
        return Ok(0);
    }
    let insert = tx.store.users::<User>();
    match insert.insert_many(&new).session(&mut tx.session).await {
        // somebody else creates one of them
        Err(error) if is_duplicate(&error) => return Err(Failure::Taken(0)),
        done => done?,
    };
    let names: Vec<&str> = new.iter().map(|user| &*user.id).collect();
    tx.forget_all(&names).await?;
    Ok(new.len())
}

async fn adopt(tx: &mut Tx<'_>, new: &(BareJid, Account)) -> Result<bool, Failure> {
    let (user, account) = new;
    let this = doc! { "_id": user.as_str() };
    let users = tx.store.users::<User>();
    let kept = users.find_one(this.clone()).projection(User::fields());
    let Some(kept) = kept.session(&mut tx.session).await? else {
        return Ok(create(tx, std::slice::from_ref(new)).await? == 1);
    };
    if !account.is_same_as(&Account::try_from(kept)?) {
        return Ok(false);
    }
    let User { disabled, keys, origin, .. } = User::new(user, account);
    let set = doc! { "disabled": disabled, "keys": bson(&keys)?, "origin": bson(&origin)? };
    users.update_one(this, doc! { "$set": set }).session(&mut tx.session).await?;
    Ok(true)
}

async fn remove(tx: &mut Tx<'_>, (user, roster): &(&BareJid, u64)) -> Result<bool, Failure> {
    let users = tx.store.users::<Head>();
    let gone = users.find_one_and_delete(doc! { "_id": user.as_str() });
    let gone = gone.projection(Head::fields()).session(&mut tx.session).await?;
    let Some(head) = gone else { return Ok(false) };
    let now = uint(head.ver);
    if now != *roster {
        return Err(StoreError::Conflict { now }.into());
    }
    tx.forget_all(&[user.as_str()]).await?;
    Ok(true)
}

impl AccountStore for MongoStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        Box::pin(async move {
            let work = async {
                let this = doc! { "_id": user.as_str() };
                let fields = User::fields();
                let found = self.users::<User>().find_one(this).projection(fields).await?;
                Ok(found.map(Account::try_from).transpose()?.map(Arc::new))
            };
            self.or_known(&self.known.accounts, user, self.reads().run(work)).await
        })
    }

    fn was_there<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            if self.known.accounts.get(user).flatten().is_some() {
                return Ok(true);
            }
            Ok(self.get(user).await?.is_some())
        })
    }

    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let call = self.writes(accounts.len() * 1024);
            let work = async {
                let users: Vec<BareJid> = accounts.iter().map(|(user, _)| user.clone()).collect();
                let _turns = call.turn_of_all(&users).await;
                call.transaction(&*accounts, |tx, all| Box::pin(create(tx, all))).await
            };
            let created = call.run(work).await;
            accounts.iter().for_each(|(user, _)| self.unknown(user, &created));
            created
        })
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let call = self.writes(0);
            let work = async {
                let new: Vec<Keys> = keys.iter().map(Keys::from).collect();
                let set = doc! { "$set": { "keys": bson(&new)? } };
                let _turn = call.turn(user).await;
                call.sent();
                let this = doc! { "_id": user.as_str() };
                let done = self.users::<Document>().update_one(this, set).await?;
                let there = done.matched_count > 0;
                let known = self.known.accounts.get(user).flatten().filter(|_| there);
                let known = known.map(|known| Account { keys, ..(*known).clone() });
                self.known.accounts.wrote(user, known.map(|known| Some(Arc::new(known))));
                Ok(there)
            };
            let set = call.run(work).await;
            if set.is_err() {
                self.unknown(user, &set);
            }
            set
        })
    }

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let call = self.writes(0);
            let work = async {
                let _turn = call.turn(user).await;
                let new = (user.clone(), account);
                call.transaction(&new, |tx, new| Box::pin(adopt(tx, new))).await
            };
            let adopted = call.run(work).await;
            self.unknown(user, &adopted);
            adopted
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let call = self.writes(0);
            let work = async {
                let _turn = call.turn(user).await;
                call.transaction(&(user, roster), |tx, this| Box::pin(remove(tx, this))).await
            };
            let removed = call.run(work).await;
            self.unknown(user, &removed);
            removed
        })
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        Box::pin(async move {
            let work = async {
                // no address is empty: everything is greater
                let after = after.map_or("", BareJid::as_str);
                let those = doc! { "host": host, "_id": { "$gt": after } };
                let of = self.users::<Document>();
                let query = of.find(those).sort(doc! { "_id": 1 });
                let mut found = query.projection(doc! { "_id": 1 }).await?;
                let mut users = Vec::new();
                while users.len() < limit && found.advance().await? {
                    let user = found.deserialize_current()?;
                    match of_user(&user) {
                        Ok(user) => users.push(user),
                        // the others are there
                        Err(why) => {
                            tracing::error!(%why, "an account is left out of a list");
                            self.health.unreadable("accounts", 1);
                        }
                    }
                }
                Ok(users)
            };
            self.reads().run(work).await
        })
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let work = async {
                let of = self.users::<Document>();
                let any = of.find_one(doc! {});
                let any = any.projection(doc! { "_id": 1 }).hint(Hint::Keys(doc! { "_id": 1 }));
                Ok(any.await?.is_none())
            };
            self.reads().run(work).await
        })
    }
}
