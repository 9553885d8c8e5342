//! Sessions that can be resumed: one document each; what they hold is with the messages.

use super::{
    MongoStore,
    document::{Session, int},
    failure::Failure,
    offline::Which,
    schema::held,
    transaction::Tx,
};
use crate::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession,
    journal::{Op, OpId},
    sessions::MAX_PAGE,
};
use mongodb::{
    bson::{Bson, Document, RawDocumentBuf, doc},
    options::Hint,
};
use std::{collections::BTreeMap, time::Instant};
use xmpp::{jid::BareJid, stanza::Stanza};

impl Tx<'_> {
    /// A session is not kept any more.
    pub(super) async fn forget(&mut self, user: &BareJid, key: &str) -> Result<(), Failure> {
        let gone = doc! { "_id": key, "u": user.as_str() };
        let sessions = self.store.of::<Document>("sessions");
        sessions.delete_one(gone).session(&mut self.session).await?;
        Ok(())
    }
}

/// What sessions of a user that are not kept hold: their keys, each with numbers of messages.
type Unkept = BTreeMap<String, Vec<i64>>;

async fn release(tx: &mut Tx<'_>, (user, unkept): &(BareJid, Unkept)) -> Result<usize, Failure> {
    tx.of(user).await?;
    let sessions = tx.store.of::<Document>("sessions");
    let mut released = 0;
    for (key, ids) in unkept {
        let kept = doc! { "_id": key, "u": user.as_str() };
        let kept = sessions.find_one(kept).projection(doc! { "_id": 1 });
        // one that was put meanwhile holds what it holds
        if kept.session(&mut tx.session).await?.is_none() {
            tx.let_go(user, key, Some(ids)).await?;
            released += ids.len();
        }
    }
    Ok(released)
}

/// A page, and those that cannot be read.
type Read = (Vec<StoredSession>, Vec<Bson>);

impl MongoStore {
    async fn read_sessions(&self, after: &str, limit: usize) -> Result<Read, Failure> {
        let rest = doc! { "_id": { "$gt": after } };
        let of = self.of::<RawDocumentBuf>("sessions");
        let query = of.find(rest).sort(doc! { "_id": 1 });
        let mut found = query.await?.with_type::<Session>();
        let (mut page, mut damaged) = (Vec::new(), Vec::new());
        let mut room = MAX_PAGE;
        while page.len() < limit && found.advance().await? {
            let session = found.deserialize_current().map_err(Failure::from);
            let session = session.and_then(|session| Ok(StoredSession::try_from(session)?));
            if let Ok(session) = session {
                let bytes = session.frozen.len();
                if bytes > room && !page.is_empty() {
                    break;
                }
                room = room.saturating_sub(bytes);
                page.push(session);
            } else if let Ok(Some(id)) = found.current().get("_id") {
                // it must not keep a node from starting
                damaged.push(id.try_into()?);
            }
        }
        Ok((page, damaged))
    }

    /// Sessions that cannot be read are gone: what they held is released as that of any that is not kept.
    async fn drop_damaged(&self, damaged: Vec<Bson>) -> Result<(), StoreError> {
        self.health.unreadable("sessions", damaged.len());
        tracing::error!(keys = damaged.len(), "stored sessions are damaged, and forgotten");
        let call = self.writes(0);
        let work = async {
            call.sent();
            let these = doc! { "_id": { "$in": damaged } };
            self.of::<Document>("sessions").delete_many(these).await?;
            Ok(())
        };
        call.run(work).await
    }

    /// Up to so many messages that are held by sessions that are not kept, by user and session.
    async fn unkept(&self, limit: usize) -> Result<BTreeMap<String, Unkept>, Failure> {
        let same = doc! { "$and": [{ "$eq": ["$_id", "$$h"] }, { "$eq": ["$u", "$$u"] }] };
        let kept = doc! {
            "from": "sessions",
            "localField": "h",
            "foreignField": "_id",
            "let": { "h": "$h", "u": "$u" },
            "pipeline": [{ "$match": { "$expr": same } }, { "$project": { "_id": 1 } }],
            "as": "kept",
        };
        let steps = [
            doc! { "$match": { "w": false } },
            doc! { "$project": { "u": 1, "h": 1 } },
            doc! { "$unwind": "$h" },
            doc! { "$lookup": kept },
            doc! { "$match": { "kept": [] } },
            doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
        ];
        let of = self.messages::<Document>();
        let query = of.aggregate(steps).hint(Hint::Keys(held()));
        let mut found = query.await?;
        let mut all: BTreeMap<String, Unkept> = BTreeMap::new();
        while found.advance().await? {
            let row = found.deserialize_current()?;
            let (user, key) = (row.get_str("u"), row.get_str("h"));
            if let (Ok(user), Ok(key), Ok(id)) = (user, key, row.get_i64("_id")) {
                let of_user = all.entry(user.to_owned()).or_default();
                of_user.entry(key.to_owned()).or_default().push(id);
            }
        }
        Ok(all)
    }

    /// Of one user, in a call of its own.
    async fn release_of(&self, user: &str, unkept: Unkept) -> Result<usize, StoreError> {
        let ids: Vec<i64> = unkept.values().flatten().copied().collect();
        let Ok(user) = user.parse::<BareJid>() else {
            return self.release_for_nobody(ids).await;
        };
        let call = self.writes(0);
        let work = async {
            let _turn = call.turn(&user).await;
            let all = (user.clone(), unkept);
            call.transaction(&all, |tx, all| Box::pin(release(tx, all))).await
        };
        match call.run(work).await {
            Err(StoreError::NoAccount(_)) => self.release_for_nobody(ids).await,
            done => done,
        }
    }

    /// What is held for a user that there is not: nobody gets it.
    async fn release_for_nobody(&self, ids: Vec<i64>) -> Result<usize, StoreError> {
        let call = self.writes(0);
        let work = async {
            call.sent();
            let these = doc! { "_id": { "$in": &ids } };
            let gone = doc! { "$unset": { "w": "", "h": "" } };
            self.messages::<Document>().update_many(these, gone).await?;
            Ok(ids.len())
        };
        call.run(work).await
    }
}

impl Sessions for MongoStore {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.apply(&Op::Put(session), &OpId::fresh(), None).await.map(drop) })
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(async move {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let messages = messages.into_iter().map(|(at, stanza)| (0, at, stanza)).collect();
            let op = Op::Append { user: user.clone(), holders, messages, by, since: None };
            Ok(self.apply(&op, &OpId::fresh(), Some(limits)).await?.numbers)
        })
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let op = Op::Hold { user: user.clone(), key: key.to_owned(), ids };
            self.apply(&op, &OpId::fresh(), None).await.map(drop)
        })
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let op = Op::Acknowledge { user: user.clone(), key: key.to_owned(), ids };
            self.apply(&op, &OpId::fresh(), None).await.map(drop)
        })
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(async move {
            let call = self.writes(0);
            call.run(async {
                let mut this = doc! { "_id": key, "u": user.as_str() };
                if let Some(epoch) = epoch {
                    this.insert("epoch", int(epoch));
                }
                let _turn = call.turn(user).await;
                call.sent();
                let taken = self.of::<Session>("sessions").find_one_and_delete(this).await?;
                Ok(taken.map(StoredSession::try_from).transpose()?)
            })
            .await
        })
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(self.page_of(user, Which::Held(key), after, limit, bytes))
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let op = Op::Expire { user: user.clone(), key: key.to_owned() };
            self.apply(&op, &OpId::fresh(), None).await.map(drop)
        })
    }

    fn page<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<StoredSession>> {
        Box::pin(async move {
            let (page, damaged) = self.reads().run(self.read_sessions(after, limit)).await?;
            if !damaged.is_empty() {
                self.drop_damaged(damaged).await?;
            }
            Ok(page)
        })
    }

    fn release(&self, limit: usize) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            if limit == 0 {
                return Ok(0);
            }
            let since = Instant::now();
            let unkept = self.reads().run(self.unkept(limit)).await?;
            let mut released = 0;
            for (user, of_user) in unkept {
                released += self.release_of(&user, of_user).await?;
                // who asked has a deadline too, and asks again
                if released > 0 && since.elapsed() > self.options.deadline {
                    break;
                }
            }
            Ok(released)
        })
    }
}
