//! The stores' traits: what is journaled, and what waits until nothing is.

use super::{Journaled, Op, Replay, drain::Round};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, Sessions, StoreError, StoreFuture, StoredSession,
    Whose, error::LATER,
};
use std::collections::BTreeSet;
use xmpp::{jid::BareJid, stanza::Stanza};

impl<R: Replay + OfflineStore + Sessions> Journaled<R> {
    /// Keeps messages; their numbers.
    async fn keep(
        &self,
        user: &BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> Result<Vec<u64>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.turns.wait(user).await;
        // in the order of the turns
        let new = messages.into_iter().map(|(at, stanza)| (self.inner.number(), at, stanza));
        let messages = new.collect();
        let user = user.clone();
        self.change(Op::Append { user, holders, messages, by, since: None }, Some(limits)).await
    }

    /// An operation that has no limits.
    async fn make(&self, op: Op) -> Result<(), StoreError> {
        let _turn = self.turns.wait(op.user()).await;
        self.change(op, None).await.map(drop)
    }

    /// Asks for something of a user that changes nothing, when nothing of theirs waits any more.
    pub(super) async fn ask<T>(
        &self,
        user: &BareJid,
        question: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        if self.log.rows.lock().has(user) {
            drop(self.settled(user).await?);
        }
        self.note(question.await)
    }

    /// The same of something that changes what is kept: in the user's turn.
    pub(super) async fn ask_in_turn<T>(
        &self,
        user: &BareJid,
        question: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        let _turn = self.settled(user).await?;
        self.note(question.await)
    }

    /// The same of something about all users.
    async fn ask_of_all<T>(&self, question: StoreFuture<'_, T>) -> Result<T, StoreError> {
        if self.round().await == Round::Away {
            return Err(LATER);
        }
        self.note(question.await)
    }
}

impl<R: Replay + OfflineStore + Sessions> OfflineStore for Journaled<R> {
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let ids = self.keep(user, Vec::new(), vec![(at, stanza)], limits, None).await?;
            ids.first().copied().ok_or_else(|| StoreError::Failed("it has no number".to_owned()))
        })
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(self.ask(user, OfflineStore::page(&*self.inner, user, after, limit, bytes)))
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(self.make(Op::Remove { user: user.clone(), ids }))
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(self.ask_in_turn(user, self.inner.move_back(user, ids)))
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.ask_in_turn(user, self.inner.move_back_after(user, after, before, but)))
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        Box::pin(self.ask(user, self.inner.count(user)))
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        // what waits here is found in the database another time
        Box::pin(async move { self.note(OfflineStore::expire(&*self.inner, at, limit).await) })
    }
}

impl<R: Replay + OfflineStore + Sessions> Sessions for Journaled<R> {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            session.check(None)?;
            self.make(Op::Put(session)).await
        })
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(self.keep(user, holders, messages, limits, by))
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(self.make(Op::Hold { user: user.clone(), key: key.to_owned(), ids }))
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.make(Op::Acknowledge { user: user.clone(), key: key.to_owned(), ids }))
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(self.ask_in_turn(user, self.inner.take(user, key, epoch)))
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(self.ask(user, self.inner.held(user, key, after, limit, bytes)))
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.make(Op::Expire { user: user.clone(), key: key.to_owned() }))
    }

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        Box::pin(self.ask_of_all(Sessions::page(&*self.inner, whose, after, limit)))
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        Box::pin(self.ask_of_all(self.inner.release(whose, limit)))
    }

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(self.ask(user, self.inner.find(user, token)))
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(self.ask_in_turn(user, Sessions::adopt(&*self.inner, user, key, epoch, new)))
    }
}
