//! Sessions that can be resumed: one document each; what they hold is with the messages.

use super::{
    MongoStore,
    document::{Session, int},
    failure::Failure,
    offline::Which,
    schema::held,
    transaction::{Tx, nothing},
};
use crate::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession, Whose,
    journal::{Op, OpId},
    sessions::{MAX_PAGE, TERM, token_of},
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

struct Adoption<'a> {
    user: &'a BareJid,
    key: &'a str,
    epoch: Option<u64>,
    new: &'a str,
}

async fn adopt(tx: &mut Tx<'_>, adoption: &Adoption<'_>) -> Result<Option<StoredSession>, Failure> {
    let Adoption { user, key, epoch, new } = *adoption;
    tx.of(user).await?;
    let sessions = tx.store.of::<Session>("sessions");
    let this = |key: &str| doc! { "_id": key, "u": user.as_str() };
    let found = sessions.find_one(this(key)).session(&mut tx.session).await?;
    let Some(mut session) = found.map(StoredSession::try_from).transpose()? else {
        if key == new {
            return Ok(None);
        }
        let adopted = sessions.find_one(this(new)).session(&mut tx.session).await?;
        let adopted = adopted.map(StoredSession::try_from).transpose()?;
        return Ok(adopted.filter(|kept| epoch.is_none_or(|epoch| kept.epoch == epoch + TERM)));
    };
    if epoch.is_some_and(|epoch| epoch != session.epoch) {
        return Ok(None);
    }
    tx.forget(user, key).await?;
    if key != new {
        tx.hand_on(user, key, new).await?;
    }
    let there = sessions.find_one(doc! { "_id": new }).session(&mut tx.session).await?;
    if there.is_some() {
        return Ok(None);
    }
    (session.key, session.epoch) = (new.to_owned(), session.epoch + TERM);
    tx.insert_all("sessions", &[Session::new(&session, session.handled)]).await?;
    Ok(Some(session))
}

/// A page, and those that cannot be read.
type Read = (Vec<StoredSession>, Vec<Bson>);

impl MongoStore {
    async fn read_sessions(
        &self,
        (after, to): (&str, &str),
        limit: usize,
    ) -> Result<Read, Failure> {
        let rest = doc! { "_id": { "$gt": after, "$lt": to } };
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

    /// See [`Sessions::find`].
    async fn latest(&self, user: &BareJid, token: &str) -> Result<Option<StoredSession>, Failure> {
        let of = self.of::<Document>("sessions");
        let query = of.find(doc! { "u": user.as_str() });
        let mut found = query.projection(doc! { "_id": 1, "epoch": 1 }).await?;
        let mut latest: Option<(i64, String)> = None;
        while found.advance().await? {
            let row = found.deserialize_current()?;
            let (key, epoch) = (row.get_str("_id"), row.get_i64("epoch").unwrap_or_default());
            if let Ok(key) = key.map(str::to_owned)
                && token_of(&key) == token
            {
                latest = latest.max(Some((epoch, key)));
            }
        }
        let Some((_, key)) = latest else { return Ok(None) };
        let this = doc! { "_id": key, "u": user.as_str() };
        let kept = self.of::<Session>("sessions").find_one(this).await?;
        Ok(kept.map(StoredSession::try_from).transpose()?)
    }

    /// Up to so many messages that are held by sessions with such keys that are not kept, by user and session.
    async fn unkept(
        &self,
        (from, to): &(String, String),
        limit: usize,
    ) -> Result<BTreeMap<String, Unkept>, Failure> {
        let keys = doc! { "$gte": from, "$lt": to };
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
            doc! { "$match": { "w": false, "h": { "$elemMatch": &keys } } },
            doc! { "$project": { "u": 1, "h": 1 } },
            doc! { "$unwind": "$h" },
            doc! { "$match": { "h": keys } },
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

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        Box::pin(async move {
            let (from, to) = whose.range();
            let reading = self.read_sessions((after.max(&from), &to), limit);
            let (page, damaged) = self.reads().run(reading).await?;
            if !damaged.is_empty() {
                self.drop_damaged(damaged).await?;
            }
            Ok(page)
        })
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        Box::pin(async move {
            if limit == 0 {
                return Ok(0);
            }
            let since = Instant::now();
            let unkept = self.reads().run(self.unkept(&whose.range(), limit)).await?;
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

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(async move { self.reads().run(self.latest(user, token)).await })
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(async move {
            let call = self.writes(0);
            let adoption = Adoption { user, key, epoch, new };
            let work = async {
                let _turn = call.turn(user).await;
                call.transaction(&adoption, |tx, adoption| Box::pin(adopt(tx, adoption))).await
            };
            nothing(call.run(work).await)
        })
    }
}
