//! Transactions: each begins with the document of the user that it is about, so that two for one user conflict, and
//! nothing is written for a user without an account.

use super::{MongoStore, call::Call, document::Head, failure::Failure};
use crate::{BoxFuture, StoreError, journal::OpId, offline::Kept};
use mongodb::{
    ClientSession, Collection,
    bson::{Document, doc},
    options::{ReadConcern, ReturnDocument},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::Ordering,
    time::Duration,
};
use xmpp::jid::BareJid;

/// The first pause before a transaction is tried again, in milliseconds, and the longest.
const PAUSE: u64 = 1;
const LONGEST: u64 = 64;

/// A transaction that has begun.
pub(super) struct Tx<'s> {
    pub(super) store: &'s MongoStore,
    pub(super) session: ClientSession,
    /// A number of a message was somebody else's: others are to be taken.
    pub(super) taken: bool,
}

/// Whether an operation was applied before.
pub(super) enum Once {
    /// It was not. The user's document, as it was.
    First(Head),
    /// It was, with messages of these numbers.
    Again(Vec<u64>),
}

impl<'s> Call<'s> {
    /// Does `work` in a transaction; again, from its beginning, as long as others are in its way.
    pub(super) async fn transaction<C: Sync + ?Sized, T>(
        &self,
        context: &C,
        work: impl for<'t> Fn(&'t mut Tx<'s>, &'t C) -> BoxFuture<'t, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let session = self.store.client.start_session().await?;
        let mut tx = Tx { store: self.store, session, taken: false };
        let mut tries = 0;
        loop {
            let concern = self.store.concern.clone();
            let begin = tx.session.start_transaction().read_concern(ReadConcern::snapshot());
            begin.write_concern(concern).await?;
            let failure = match work(&mut tx, context).await {
                Ok(done) => match self.commit(&mut tx).await {
                    Ok(()) => return Ok(done),
                    Err(failure) => failure,
                },
                Err(failure) => {
                    // a server that is not there is not asked to forget it: it does
                    if failure.away().is_none() || failure.is_transient() {
                        // an error: it is gone already
                        drop(tx.session.abort_transaction().await);
                    }
                    failure
                }
            };
            if !failure.is_transient() {
                return Err(failure);
            }
            if let Failure::Taken(number) = failure {
                self.store.numbers.after(number);
                tx.taken = true;
            }
            self.undone(failure.away().is_none());
            self.store.retries.fetch_add(1, Ordering::Relaxed);
            tries += 1;
            pause(tries).await;
        }
    }

    async fn commit(&self, tx: &mut Tx<'s>) -> Result<(), Failure> {
        self.sent();
        let mut tries = 0;
        loop {
            match tx.session.commit_transaction().await.map_err(Failure::from) {
                Err(failure) if failure.is_unknown() => {
                    tries += 1;
                    pause(tries).await;
                }
                done => return done,
            }
        }
    }
}

/// Longer each time; two nodes do not pause for the same time.
async fn pause(tries: u64) {
    let most = (PAUSE << tries.min(16)).min(LONGEST);
    let jitter = RandomState::new().hash_one(tries);
    tokio::time::sleep(Duration::from_millis(most / 2 + jitter % most)).await;
}

pub(super) fn no_account(user: &BareJid) -> Failure {
    Failure::Store(StoreError::NoAccount(user.as_str().to_owned()))
}

/// Without an account nothing is there to be changed.
pub(super) fn nothing<T: Default>(done: Result<T, StoreError>) -> Result<T, StoreError> {
    match done {
        Err(StoreError::NoAccount(_)) => Ok(T::default()),
        done => done,
    }
}

impl Tx<'_> {
    /// The user's document, which nobody else changes until this is committed. `NoAccount` without one.
    pub(super) async fn of(&mut self, user: &BareJid) -> Result<Head, Failure> {
        let touch = doc! { "$inc": { "turn": 1_i64 } };
        let users = self.store.users::<Head>();
        let found = users
            .find_one_and_update(doc! { "_id": user.as_str() }, touch)
            .projection(Head::fields())
            .return_document(ReturnDocument::Before)
            .session(&mut self.session)
            .await?;
        found.ok_or_else(|| no_account(user))
    }

    /// The same for an operation that is applied once, however often it is tried: its messages have these numbers, and are so
    /// many and so large. `None` without an account.
    pub(super) async fn once(
        &mut self,
        user: &BareJid,
        id: &OpId,
        numbers: &[u64],
        more: Kept,
    ) -> Result<Option<Once>, Failure> {
        let node = format!("op.{}", self.store.node);
        let users = self.store.users::<Head>();
        let id = super::document::binary(&id.0);
        let first = doc! { "_id": user.as_str(), format!("{node}.i"): { "$ne": id.clone() } };
        let all: Vec<i64> = numbers.iter().map(|n| super::document::int(*n)).collect();
        let last = all.last().copied().unwrap_or_default();
        let mut note = doc! { "$set": { &node: { "i": id, "n": all } } };
        if more.messages > 0 {
            let [n, b] = [more.messages, more.bytes].map(|n| super::document::int(n as u64));
            note.extend(doc! { "$max": { "last": last }, "$inc": { "most.n": n, "most.b": b } });
            if let Ok(set) = note.get_document_mut("$set") {
                set.insert("most.at", last);
            }
        }
        let found = users
            .find_one_and_update(first, note)
            .projection(Head::fields())
            .return_document(ReturnDocument::Before)
            .session(&mut self.session)
            .await?;
        if let Some(head) = found {
            return Ok(Some(Once::First(head)));
        }
        let known = self.store.users::<Document>();
        let there = known
            .find_one(doc! { "_id": user.as_str() })
            .projection(doc! { &node: 1 })
            .session(&mut self.session)
            .await?;
        Ok(there.map(|there| Once::Again(super::document::numbers(&there, &self.store.node))))
    }

    /// Gives numbers greater than the user's last, and notes that.
    pub(super) async fn numbers(
        &mut self,
        user: &BareJid,
        head: &Head,
        count: usize,
    ) -> Result<Vec<u64>, Failure> {
        self.store.numbers.after(head.last());
        let numbers = self.store.numbers.take(count);
        if let Some(last) = numbers.last() {
            let note = doc! { "$max": { "last": super::document::int(*last) } };
            let users = self.store.users::<Document>();
            let noted = users.update_one(doc! { "_id": user.as_str() }, note);
            noted.session(&mut self.session).await?;
        }
        Ok(numbers)
    }

    /// Keeps documents of which none is there.
    pub(super) async fn insert_all<T: Serialize + Send + Sync>(
        &mut self,
        into: &str,
        new: &[T],
    ) -> Result<(), Failure> {
        if new.is_empty() {
            return Ok(());
        }
        self.store.of::<T>(into).insert_many(new).session(&mut self.session).await?;
        Ok(())
    }

    /// All that a query finds.
    pub(super) async fn find<T: DeserializeOwned + Send + Sync>(
        &mut self,
        of: &Collection<T>,
        filter: Document,
        sort: Document,
        fields: Document,
    ) -> Result<Vec<T>, Failure> {
        let query = of.find(filter).sort(sort).projection(fields);
        let mut found = query.session(&mut self.session).await?;
        let mut all = Vec::new();
        while found.advance(&mut self.session).await? {
            all.push(found.deserialize_current()?);
        }
        Ok(all)
    }
}
