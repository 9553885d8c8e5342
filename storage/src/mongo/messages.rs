//! What transactions do to messages: one document a message, which says as well which sessions hold it.

use super::{
    document::{Head, Message, bound, int, ints, uint},
    failure::{Failure, is_duplicate},
    schema::sizes as by_sender,
    transaction::Tx,
};
use crate::{OfflineLimits, offline::Kept};
use mongodb::{
    bson::{Document, doc},
    options::{Hint, UpdateModifications},
};
use std::collections::{BTreeSet, HashMap};
use xmpp::{jid::BareJid, stanza::Stanza};

impl Tx<'_> {
    /// Keeps messages (number, arrived at, stanza), within limits if there are some.
    pub(super) async fn append(
        &mut self,
        user: &BareJid,
        most: Option<Kept>,
        holders: &[String],
        new: &[(u64, u64, &Stanza)],
        limits: Option<OfflineLimits>,
    ) -> Result<(), Failure> {
        let holders: BTreeSet<&String> = holders.iter().collect();
        let holders: Vec<String> = holders.into_iter().cloned().collect();
        let new =
            new.iter().map(|(n, at, stanza)| Message::new(user, *n, *at, stanza, holders.clone()));
        let new: Vec<Message> = new.collect();
        self.make_room(user, most, &new, limits).await?;
        self.insert(&new).await
    }

    /// Keeps messages that have numbers.
    pub(super) async fn insert(&mut self, new: &[Message]) -> Result<(), Failure> {
        let Some(last) = new.iter().map(|message| message.id).max() else { return Ok(()) };
        let insert = self.store.messages::<Message>();
        match insert.insert_many(new).session(&mut self.session).await {
            Err(error) if is_duplicate(&error) => {
                tracing::warn!(last, "another node gave the same number to a message");
                Err(Failure::Taken(uint(last)))
            }
            done => Ok(done.map(drop)?),
        }
    }

    /// Whether all of these fit, if there are limits. Nobody counts as long as they would beside `most`, which is no less than what is
    /// kept for the user; otherwise what is kept is noted there, with these.
    pub(super) async fn make_room(
        &mut self,
        user: &BareJid,
        most: Option<Kept>,
        new: &[Message],
        limits: Option<OfflineLimits>,
    ) -> Result<(), Failure> {
        let sizes = || new.iter().map(|message| (&*message.from, message.bytes()));
        let fit = |limits: OfflineLimits, most| limits.check_all(sizes(), |_| Ok([most, most]));
        if most.is_some_and(|most| limits.is_none_or(|limits| fit(limits, most).is_ok())) {
            return Ok(());
        }
        let (mut everybody, each) = self.kept(user, new).await?;
        if let Some(limits) = limits {
            let own = |from: &&str| each.get(*from).copied().unwrap_or_default();
            limits.check_all(sizes(), |from| Ok([everybody, own(from)]))?;
        }
        sizes().for_each(|(_, bytes)| everybody.add(bytes));
        let at = new.iter().map(|message| message.id).max().unwrap_or_default();
        let most = doc! { "$set": { "most": bound(everybody, at) } };
        let users = self.store.users::<Document>();
        let noted = users.update_one(doc! { "_id": user.as_str() }, most);
        noted.session(&mut self.session).await?;
        Ok(())
    }

    /// How much is kept for a user, and how much of that is of each of these senders.
    async fn kept(
        &mut self,
        user: &BareJid,
        new: &[Message],
    ) -> Result<(Kept, HashMap<String, Kept>), Failure> {
        let senders: BTreeSet<&str> = new.iter().map(|message| &*message.from).collect();
        let senders: Vec<&str> = senders.into_iter().collect();
        // one row a sender of these, and one of all others
        let of = doc! { "$cond": [{ "$in": ["$from", { "$literal": senders }] }, "$from", null] };
        let group = doc! { "_id": of, "n": { "$sum": 1_i64 }, "b": { "$sum": "$b" } };
        let rows = [doc! { "$match": { "u": user.as_str() } }, doc! { "$group": group }];
        let of = self.store.messages::<Document>();
        let query = of.aggregate(rows);
        let mut found = query.hint(Hint::Keys(by_sender())).session(&mut self.session).await?;
        let (mut everybody, mut each) = (Kept::default(), HashMap::new());
        while found.advance(&mut self.session).await? {
            let row = found.deserialize_current()?;
            let number = |name| row.get_i64(name).ok().and_then(|n| usize::try_from(n).ok());
            let (messages, bytes) =
                (number("n").unwrap_or_default(), number("b").unwrap_or_default());
            everybody.messages += messages;
            everybody.bytes += bytes;
            if let Ok(from) = row.get_str("_id") {
                each.insert(from.to_owned(), Kept { messages, bytes });
            }
        }
        Ok((everybody, each))
    }

    /// Who is not a session has these: those that wait are gone, others are when nobody holds them.
    pub(super) async fn remove(&mut self, user: &BareJid, ids: &[u64]) -> Result<(), Failure> {
        let these = doc! { "_id": { "$in": ints(ids) }, "u": user.as_str() };
        let mut waiting = these.clone();
        waiting.insert("w", true);
        if self.delete(waiting).await? < ids.len() as u64 {
            let mut held = these;
            held.insert("w", false);
            self.change(held, doc! { "$set": { "d": true } }).await?;
        }
        Ok(())
    }

    /// A session has these.
    pub(super) async fn acknowledge(
        &mut self,
        user: &BareJid,
        key: &str,
        ids: &[u64],
    ) -> Result<(), Failure> {
        let these = doc! { "_id": { "$in": ints(ids) }, "u": user.as_str() };
        let mut last = these.clone();
        last.insert("h", doc! { "$in": [[key], []] });
        if self.delete(last).await? < ids.len() as u64 {
            let left = doc! { "$set": { "d": true, "h": without(key) } };
            self.change(these, vec![left]).await?;
        }
        Ok(())
    }

    /// A session holds these too.
    pub(super) async fn hold(
        &mut self,
        user: &BareJid,
        key: &str,
        ids: &[u64],
    ) -> Result<(), Failure> {
        let these = doc! { "_id": { "$in": ints(ids) }, "u": user.as_str() };
        let more = doc! { "$addToSet": { "h": key }, "$set": { "w": false } };
        self.change(these, more).await
    }

    /// A session lets go of these, or all that it holds.
    pub(super) async fn let_go(
        &mut self,
        user: &BareJid,
        key: &str,
        ids: Option<&[i64]>,
    ) -> Result<(), Failure> {
        let mut these = doc! { "u": user.as_str(), "h": key, "w": false };
        if let Some(ids) = ids {
            these.insert("_id", doc! { "$in": ids });
        }
        let left = vec![
            doc! { "$set": { "h": without(key) } },
            doc! { "$set": { "w": { "$eq": ["$h", []] } } },
        ];
        let mut last = these.clone();
        last.extend(doc! { "h": { "$eq": key, "$size": 1 }, "d": true });
        self.delete(last).await?;
        self.change(these, left).await
    }

    /// What a session holds, another holds.
    pub(super) async fn hand_on(
        &mut self,
        user: &BareJid,
        key: &str,
        new: &str,
    ) -> Result<(), Failure> {
        let these = doc! { "u": user.as_str(), "h": key, "w": false };
        let holders = doc! { "$setUnion": [without(key), [{ "$literal": new }]] };
        self.change(these, vec![doc! { "$set": { "h": holders } }]).await
    }

    pub(super) async fn delete(&mut self, these: Document) -> Result<u64, Failure> {
        let messages = self.store.messages::<Document>();
        Ok(messages.delete_many(these).session(&mut self.session).await?.deleted_count)
    }

    async fn change(
        &mut self,
        these: Document,
        how: impl Into<UpdateModifications>,
    ) -> Result<(), Failure> {
        let messages = self.store.messages::<Document>();
        messages.update_many(these, how).session(&mut self.session).await?;
        Ok(())
    }

    /// Puts messages that wait behind all others of their user, in this order.
    pub(super) async fn put_behind(
        &mut self,
        user: &BareJid,
        head: &Head,
        mut messages: Vec<Message>,
    ) -> Result<(), Failure> {
        let before: Vec<i64> = messages.iter().map(|message| message.id).collect();
        let numbers = self.numbers(user, head, before.len()).await?;
        self.delete(doc! { "_id": { "$in": before } }).await?;
        for (message, number) in messages.iter_mut().zip(numbers) {
            message.id = int(number);
        }
        self.insert(&messages).await
    }
}

/// Who holds it besides this session.
fn without(key: &str) -> Document {
    doc! { "$filter": { "input": "$h", "cond": { "$ne": ["$$this", { "$literal": key }] } } }
}
