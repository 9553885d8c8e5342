//! Messages for users who are away (XEP-0160).

use crate::Answer;
use serde::{Deserialize, Serialize};
use xmpp::{jid::BareJid, stanza::Stanza};

/// One kept message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineMessage {
    /// Grows in the order of arrival; unique in the store.
    pub id: u64,
    /// Arrived at, in milliseconds of the epoch.
    pub at: u64,
    /// The message.
    pub stanza: Stanza,
}

/// Kept messages by user.
pub trait OfflineStore: Send + Sync + 'static {
    /// Keeps a message that arrived at `at` (milliseconds of the epoch); at most `limit` a user. Its
    /// id.
    ///
    /// Errors: `Full`.
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limit: usize,
    ) -> Answer<'a, u64>;

    /// Up to `limit` messages with an id greater than `after`, oldest first.
    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
    ) -> Answer<'a, Vec<OfflineMessage>>;

    /// Forgets messages; those that are not there are passed over.
    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> Answer<'a, ()>;

    /// Puts messages behind all others of their user, in the order given and with new ids; those
    /// that are not there are passed over.
    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> Answer<'a, ()>;

    /// How many messages wait.
    fn count<'a>(&'a self, user: &'a BareJid) -> Answer<'a, usize>;

    /// Forgets messages that arrived before `at` (milliseconds of the epoch), at most `limit` of
    /// all users; returns how many.
    fn expire(&self, at: u64, limit: usize) -> Answer<'_, usize>;

    /// Forgets all messages of a user.
    fn purge<'a>(&'a self, user: &'a BareJid) -> Answer<'a, ()>;
}
