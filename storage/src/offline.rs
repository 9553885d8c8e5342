//! Messages for users who are away (XEP-0160).

use crate::{StoreError, StoreFuture};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// One kept message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineMessage {
    /// Grows in the order of arrival; unique in the store.
    pub id: u64,
    /// Arrived at, in milliseconds of the epoch.
    pub at: u64,
    /// The message.
    pub stanza: Stanza,
    /// How often a client has ended its stream over it: see [`QuarantineStore`](crate::QuarantineStore).
    #[serde(default)]
    pub strikes: u32,
}

/// How much may be kept for a user. Bytes are those of [`Stanza::weight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineLimits {
    /// Messages of all senders.
    pub messages: usize,
    /// Their size in bytes.
    pub bytes: usize,
    /// Percent of either that one sender may have.
    pub share: u32,
}

impl OfflineLimits {
    /// So many messages, of any size, from anybody.
    pub const fn messages(messages: usize) -> Self {
        Self { messages, bytes: usize::MAX, share: 100 }
    }

    /// Whether one more message of that size fits: beside all that is kept for the user, and all of that from the
    /// same sender.
    ///
    /// # Errors
    /// `Full`.
    fn check(&self, all: Kept, own: Kept, bytes: usize) -> Result<(), StoreError> {
        let part = |of: usize| {
            let part = of as u128 * u128::from(self.share.min(100)) / 100;
            // the whole is never a part: somebody's first message is not refused for their share
            usize::try_from(part).unwrap_or(of).max(1.min(of))
        };
        for (limit, has) in [
            (self.messages, all.messages.saturating_add(1)),
            (self.bytes, all.bytes.saturating_add(bytes)),
            (part(self.messages), own.messages.saturating_add(1)),
            (part(self.bytes), own.bytes.saturating_add(bytes)),
        ] {
            if has > limit {
                return Err(StoreError::Full { limit });
            }
        }
        Ok(())
    }

    /// Whether all of these fit, each a sender and a size, one after the other; `kept` is asked once for each sender.
    ///
    /// # Errors
    /// `Full`, and those of `kept`.
    pub(crate) fn check_all<S: Eq + Hash>(
        &self,
        messages: impl IntoIterator<Item = (S, usize)>,
        mut kept: impl FnMut(&S) -> Result<[Kept; 2], StoreError>,
    ) -> Result<(), StoreError> {
        let mut all = None;
        let mut senders = HashMap::new();
        for (from, bytes) in messages {
            let own = match senders.entry(from) {
                Entry::Occupied(own) => own.into_mut(),
                Entry::Vacant(new) => {
                    let [everybody, own] = kept(new.key())?;
                    all.get_or_insert(everybody);
                    new.insert(own)
                }
            };
            let all = all.get_or_insert_default();
            self.check(*all, *own, bytes)?;
            all.add(bytes);
            own.add(bytes);
        }
        Ok(())
    }
}

/// What is kept already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Kept {
    /// One more message of that size.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// Whose share a message counts against: all resources of an account are one sender.
pub(crate) fn sender(stanza: &Stanza) -> Option<Jid> {
    stanza.head.from.as_ref().map(Jid::bare_jid)
}

/// Kept messages by user. Those that [sessions hold](crate::Sessions) are nobody else's: the methods here see them
/// only where they say so.
pub trait OfflineStore: Send + Sync + 'static {
    /// Keeps a message that arrived at `at` (milliseconds of the epoch), within these limits, in which those that are
    /// held count too. Its id.
    ///
    /// Errors: `Full`, `NoAccount`.
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64>;

    /// Up to `limit` messages with an id greater than `after`, oldest first: of no more than so many bytes
    /// ([`Stanza::weight`]), but one at least. None: there are no more.
    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>>;

    /// Forgets messages, one that is held when the last session that holds it is done with it; those that are not there
    /// are passed over.
    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()>;

    /// Puts messages behind all others of their user, in the order given and with new ids; those
    /// that are not there are passed over.
    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()>;

    /// Puts all messages that wait with a number greater than `after` behind all others of their user, in their order, if one of
    /// them is before number `before`: that one came later, and so did those after it. `but` stay where they are.
    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()>;

    /// How many messages wait.
    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize>;

    /// Forgets messages that arrived before `at` (milliseconds of the epoch), at most `limit` of
    /// all users; returns how many.
    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize>;
}
