//! Strikes against offline messages, and the quarantine.

use super::{
    MongoStore,
    document::{Head, Message, Quarantine, int, stanza, uint},
    failure::Failure,
    transaction::Tx,
};
use crate::{
    StoreError, StoreFuture,
    quarantine::{LAST, QuarantineStore, Quarantined, Struck, Verdict, one_more},
};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Against which message of whose, by which session, when, and the room in quarantine.
struct Strike<'a> {
    user: &'a BareJid,
    key: &'a str,
    id: u64,
    at: u64,
    room: usize,
}

async fn strike(tx: &mut Tx<'_>, this: &Strike<'_>) -> Result<Struck, Failure> {
    let head = tx.of(this.user).await?;
    let which = doc! { "_id": int(this.id), "u": this.user.as_str() };
    let messages = tx.store.messages::<Message>();
    let found = messages.find_one(which.clone()).session(&mut tx.session).await?;
    let Some(mut message) = found else { return Ok(Struck::Gone) };
    message.h.retain(|key| key != this.key);
    message.w = message.h.is_empty();
    if message.d {
        if message.w {
            tx.delete(which).await?;
        } else {
            messages.replace_one(which, &message).session(&mut tx.session).await?;
        }
        return Ok(Struck::Gone);
    }
    let (strikes, verdict) = one_more(message.s, !message.w);
    message.s = strikes;
    match verdict {
        Verdict::Counted => {
            messages.replace_one(which, &message).session(&mut tx.session).await?;
            Ok(Struck::Counted(strikes))
        }
        Verdict::Last => {
            tx.put_behind(this.user, &head, vec![message]).await?;
            Ok(Struck::Last)
        }
        Verdict::Out => put_away(tx, this, &head, message).await,
    }
}

async fn put_away(
    tx: &mut Tx<'_>,
    this: &Strike<'_>,
    head: &Head,
    mut message: Message,
) -> Result<Struck, Failure> {
    let quarantine = tx.store.of::<Quarantine>("quarantine");
    let used = [
        doc! { "$match": { "u": this.user.as_str() } },
        doc! { "$group": { "_id": null, "b": { "$sum": "$b" } } },
    ];
    let mut used = quarantine.aggregate(used).session(&mut tx.session).await?;
    let mut bytes = uint(message.b);
    while used.advance(&mut tx.session).await? {
        bytes += uint(used.deserialize_current()?.get_i64("b").unwrap_or_default());
    }
    if bytes > this.room as u64 {
        message.s = LAST;
        tx.put_behind(this.user, head, vec![message]).await?;
        return Ok(Struck::Full);
    }
    let stanza = stanza(&message.x)?;
    let kept = Quarantine::new(&message, this.at);
    quarantine.insert_one(&kept).session(&mut tx.session).await?;
    tx.delete(doc! { "_id": message.id, "u": this.user.as_str() }).await?;
    Ok(Struck::Quarantined(stanza))
}

async fn restore(
    tx: &mut Tx<'_>,
    (user, id): &(BareJid, u64),
) -> Result<Option<(BareJid, u64)>, Failure> {
    let head = tx.of(user).await?;
    let this = doc! { "_id": int(*id), "u": user.as_str() };
    let quarantine = tx.store.of::<Quarantine>("quarantine");
    let found = quarantine.find_one_and_delete(this).session(&mut tx.session).await?;
    let Some(kept) = found else { return Ok(None) };
    let mut new = 0;
    for number in tx.numbers(user, &head, 1).await? {
        new = number;
    }
    let message = kept.restored(new);
    tx.make_room(user, None, std::slice::from_ref(&message), None).await?;
    tx.insert(&[message]).await?;
    Ok(Some((user.clone(), new)))
}

impl MongoStore {
    async fn list_quarantine(
        &self,
        user: Option<&BareJid>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Quarantined>, Failure> {
        let mut those = doc! { "_id": { "$gt": int(after) } };
        if let Some(user) = user {
            those.insert("u", user.as_str());
        }
        let of = self.of::<RawDocumentBuf>("quarantine");
        let query = of.find(those).sort(doc! { "_id": 1 });
        let query = query.projection(doc! { "x": 0 });
        let mut found = query.await?.with_type::<Quarantine>();
        let mut page = Vec::new();
        while page.len() < limit && found.advance().await? {
            let kept = found.deserialize_current().map_err(Failure::from);
            match kept.and_then(|kept| Ok(kept.seen()?)) {
                Ok(seen) => page.push(seen),
                // the others are there
                Err(_) => {
                    let id = found.current().get("_id");
                    tracing::error!(?id, "a message in quarantine is left out of a list");
                    self.health.unreadable("quarantine", 1);
                }
            }
        }
        Ok(page)
    }

    async fn quarantined_message(
        &self,
        id: u64,
    ) -> Result<Option<(Quarantined, Stanza)>, StoreError> {
        let work = async {
            let this = doc! { "_id": int(id) };
            let found = self.of::<Quarantine>("quarantine").find_one(this).await?;
            let content = |kept: Quarantine| Ok((kept.seen()?, stanza(&kept.x)?));
            Ok(found.map(content).transpose().map_err(|error: StoreError| error)?)
        };
        self.reads().run(work).await
    }
}

impl QuarantineStore for MongoStore {
    fn strike<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        id: u64,
        at: u64,
        room: usize,
    ) -> StoreFuture<'a, Struck> {
        Box::pin(async move {
            let call = self.writes(0);
            let work = async {
                let _turn = call.turn(user).await;
                let this = Strike { user, key, id, at, room };
                call.transaction(&this, |tx, this| Box::pin(strike(tx, this))).await
            };
            match call.run(work).await {
                Err(StoreError::NoAccount(_)) => Ok(Struck::Gone),
                struck => struck,
            }
        })
    }

    fn quarantined<'a>(
        &'a self,
        user: Option<&'a BareJid>,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Quarantined>> {
        Box::pin(async move { self.reads().run(self.list_quarantine(user, after, limit)).await })
    }

    fn content(&self, id: u64) -> StoreFuture<'_, Option<(Quarantined, Stanza)>> {
        Box::pin(self.quarantined_message(id))
    }

    fn restore(&self, id: u64) -> StoreFuture<'_, Option<(BareJid, u64)>> {
        Box::pin(async move {
            // one that cannot be read stays where it is
            let Some((kept, _)) = self.quarantined_message(id).await? else { return Ok(None) };
            let call = self.writes(kept.bytes);
            let work = async {
                let _turn = call.turn(&kept.user).await;
                let this = (kept.user.clone(), id);
                call.transaction(&this, |tx, this| Box::pin(restore(tx, this))).await
            };
            call.run(work).await
        })
    }

    fn discard(&self, id: u64) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let call = self.writes(0);
            let work = async {
                call.sent();
                let this = doc! { "_id": int(id) };
                let gone = self.of::<Document>("quarantine").delete_one(this).await?;
                Ok(gone.deleted_count > 0)
            };
            call.run(work).await
        })
    }
}
