//! Offline messages, and those that sessions hold: how they are read, and go.

use super::{
    MongoStore,
    apply::Applied,
    document::{Message, int, ints, uint},
    failure::Failure,
    schema::{held, waiting},
    transaction::{Tx, nothing},
};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, StoreError, StoreFuture,
    journal::{Op, OpId},
};
use mongodb::{
    bson::{Bson, Document, RawDocumentBuf, doc},
    options::Hint,
};
use std::collections::{BTreeSet, HashMap};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Which messages of a user: those that wait, or those that a session holds.
#[derive(Clone, Copy)]
pub(super) enum Which<'a> {
    Waiting,
    Held(&'a str),
}

/// A page, those that cannot be read, and the last number that was met.
#[derive(Default)]
struct Read {
    page: Vec<OfflineMessage>,
    damaged: Vec<Bson>,
    last: u64,
}

impl MongoStore {
    /// Messages of a user with a number greater than `after`: so many, of so many bytes, but one at least.
    pub(super) async fn page_of(
        &self,
        user: &BareJid,
        which: Which<'_>,
        mut after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<OfflineMessage>, StoreError> {
        loop {
            if limit == 0 {
                return Ok(Vec::new());
            }
            let call = self.reads();
            let read = call.run(self.read(user, which, after, limit, bytes)).await?;
            let more = read.page.is_empty() && !read.damaged.is_empty();
            self.set_aside(user, read.damaged).await;
            if !more {
                return Ok(read.page);
            }
            // those behind are not kept back
            after = after.max(read.last);
        }
    }

    async fn read(
        &self,
        user: &BareJid,
        which: Which<'_>,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Read, Failure> {
        let after_it = doc! { "$gt": int(after) };
        let (those, index) = match which {
            Which::Waiting => (doc! { "u": user.as_str(), "w": true, "_id": after_it }, waiting()),
            Which::Held(key) => {
                (doc! { "h": key, "w": false, "u": user.as_str(), "_id": after_it }, held())
            }
        };
        let of = self.messages::<RawDocumentBuf>();
        let query = of.find(those).sort(doc! { "_id": 1 });
        let query = query.limit(i64::try_from(limit).unwrap_or(i64::MAX)).hint(Hint::Keys(index));
        let mut found = query.await?.with_type::<Message>();
        let mut read = Read::default();
        let mut room = bytes;
        while (room > 0 || read.page.is_empty()) && found.advance().await? {
            let message = found.deserialize_current().map_err(Failure::from);
            let message = message.and_then(|message| Ok(message.read()?));
            if let Ok(message) = message {
                let weight = message.stanza.weight();
                // the first always fits
                if weight > room && !read.page.is_empty() {
                    break;
                }
                room = room.saturating_sub(weight);
                read.last = message.id;
                read.page.push(message);
            } else if let Ok(Some(id)) = found.current().get("_id") {
                // it must not keep back those behind it
                read.last = id.as_i64().map_or(read.last, uint);
                read.damaged.push(id.try_into()?);
            }
        }
        Ok(read)
    }

    /// Puts messages that cannot be read where they are neither counted, read again nor held.
    async fn set_aside(&self, user: &BareJid, damaged: Vec<Bson>) {
        if damaged.is_empty() {
            return;
        }
        self.health.unreadable("offline", damaged.len());
        tracing::error!(%user, ids = ?damaged, "offline messages are damaged: see the field damaged");
        let these = doc! { "_id": { "$in": damaged }, "u": user.as_str() };
        let aside = vec![doc! { "$set": { "damaged": "$u" } }, doc! { "$unset": ["u", "w", "h"] }];
        let call = self.writes(0);
        let done = call.run(async {
            let _turn = call.turn(user).await;
            call.sent();
            Ok(self.messages::<Document>().update_many(these, aside).await?)
        });
        // those that can be read are not kept back; what is still there is found again
        if let Err(error) = done.await {
            tracing::error!(%user, %error, "damaged messages could not be put aside");
        }
    }

    async fn expire_some(&self, at: u64, limit: usize) -> Result<usize, Failure> {
        let old = doc! { "at": { "$lt": int(at) }, "w": true };
        let of = self.messages::<Document>();
        let query = of.find(old).sort(doc! { "at": 1 });
        let query = query.projection(doc! { "_id": 1 }).hint(Hint::Keys(doc! { "at": 1 }));
        let mut found = query.limit(i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        let mut ids: Vec<Bson> = Vec::new();
        while found.advance().await? {
            ids.extend(found.deserialize_current()?.remove("_id"));
        }
        if ids.is_empty() {
            return Ok(0);
        }
        // one that is held meanwhile stays
        let gone = doc! { "_id": { "$in": ids }, "w": true };
        let gone = self.messages::<Document>().delete_many(gone).await?;
        Ok(usize::try_from(gone.deleted_count).unwrap_or(usize::MAX))
    }
}

async fn move_back(tx: &mut Tx<'_>, (user, ids): &(&BareJid, Vec<u64>)) -> Result<(), Failure> {
    let head = tx.of(user).await?;
    let these = doc! { "_id": { "$in": ints(ids) }, "u": user.as_str(), "w": true };
    let of = tx.store.messages::<Message>();
    let found = tx.find(&of, these, doc! {}, doc! {}).await?;
    let mut found: HashMap<u64, Message> =
        found.into_iter().map(|message| (uint(message.id), message)).collect();
    let in_order = ids.iter().filter_map(|id| found.remove(id)).collect();
    tx.put_behind(user, &head, in_order).await
}

/// Whose, and those after which, before which, and which not.
struct Behind<'a> {
    user: &'a BareJid,
    after: u64,
    before: u64,
    but: BTreeSet<u64>,
}

async fn move_back_after(tx: &mut Tx<'_>, behind: &Behind<'_>) -> Result<(), Failure> {
    let Behind { user, after, before, but } = behind;
    let head = tx.of(user).await?;
    let those = doc! { "u": user.as_str(), "w": true, "_id": { "$gt": int(*after) } };
    let of = tx.store.messages::<Message>();
    let mut found = tx.find(&of, those, doc! { "_id": 1 }, doc! {}).await?;
    found.retain(|message| !but.contains(&uint(message.id)));
    if found.first().is_some_and(|first| uint(first.id) < *before) {
        tx.put_behind(user, &head, found).await?;
    }
    Ok(())
}

impl OfflineStore for MongoStore {
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let messages = vec![(0, at, stanza)];
            let (user, holders) = (user.clone(), Vec::new());
            let op = Op::Append { user, holders, messages, by: None, since: None };
            let Applied { numbers, .. } = self.apply(&op, &OpId::fresh(), Some(limits)).await?;
            let first = numbers.first().copied();
            first.ok_or_else(|| StoreError::Failed("it has no number".to_owned()))
        })
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(self.page_of(user, Which::Waiting, after, limit, bytes))
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let op = Op::Remove { user: user.clone(), ids };
            self.apply(&op, &OpId::fresh(), None).await.map(drop)
        })
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let call = self.writes(size_of_val(&*ids));
            let done = call.run(async {
                let _turn = call.turn(user).await;
                let these = (user, ids);
                call.transaction(&these, |tx, these| Box::pin(move_back(tx, these))).await
            });
            nothing(done.await)
        })
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let call = self.writes(but.len() * size_of::<u64>());
            let done = call.run(async {
                let _turn = call.turn(user).await;
                let behind = Behind { user, after, before, but };
                call.transaction(&behind, |tx, all| Box::pin(move_back_after(tx, all))).await
            });
            nothing(done.await)
        })
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        Box::pin(async move {
            let call = self.reads();
            call.run(async {
                let those = doc! { "u": user.as_str(), "w": true };
                let of = self.messages::<Document>();
                let count = of.count_documents(those);
                let count = count.hint(Hint::Keys(waiting())).await?;
                Ok(usize::try_from(count).unwrap_or(usize::MAX))
            })
            .await
        })
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            if limit == 0 {
                return Ok(0);
            }
            let call = self.writes(0);
            call.run(async {
                call.sent();
                self.expire_some(at, limit).await
            })
            .await
        })
    }
}
