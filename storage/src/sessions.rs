//! Sessions that can be resumed (XEP-0198 section 5), and the messages that wait for a session.
//!
//! A message that waits for sessions is kept where offline messages are, once, in the order of arrival, and *held* by
//! those sessions: nobody else gets it meanwhile. When a session has it, that session [acknowledges](Sessions::acknowledge) it;
//! when a session is gone, what nobody else holds and nobody has got is an offline message like any other, in its old place.
//!
//! A session's key is looked up together with its user: whoever knows a key and is not that user finds nothing. It says as well which
//! of several nodes has the session ([`Whose`]); one that moves to another node is [adopted](Sessions::adopt) there.

use crate::{OfflineLimits, OfflineMessage, StoreError, StoreFuture};
use serde::{Deserialize, Serialize};
use xmpp::{jid::BareJid, stanza::Stanza};

/// The most bytes that [`StoredSession::frozen`] may have.
pub const MAX_FROZEN: usize = 4 << 20;

/// The most bytes that the sessions of a [page](Sessions::page) have together, unless it is one.
pub const MAX_PAGE: usize = 16 << 20;

/// By how much the epoch of a session grows when it is adopted: whatever its node before still puts is older.
pub const TERM: u64 = 1 << 32;

/// Stands around the name of a node in its keys, and in no name and no token. Greater than all that a token has, so that keys without a name
/// lie before those with one.
const MARK: char = '~';
/// What comes after it.
const AFTER: char = '\u{7f}';
/// Greater than every key.
const END: &str = "\u{10ffff}";

/// Whose sessions, by their keys: those of each node lie together in the order of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Of all nodes.
    All,
    /// Of a node that was alone: a key that it gave names none.
    Nobody,
    /// Of the node of that name, one of several.
    Node(&'a str),
}

impl Whose<'_> {
    /// The key of a session of theirs, whose token is this: as all tokens it has no `~`.
    pub fn key(self, token: &str) -> String {
        match self {
            Self::All | Self::Nobody => token.to_owned(),
            Self::Node(name) => format!("{MARK}{name}{MARK}{token}"),
        }
    }

    /// Where their keys begin, and before what they end.
    pub(crate) fn range(self) -> (String, String) {
        match self {
            Self::All => (String::new(), END.to_owned()),
            Self::Nobody => (String::new(), MARK.to_string()),
            Self::Node(name) => (format!("{MARK}{name}{MARK}"), format!("{MARK}{name}{AFTER}")),
        }
    }
}

/// The node that a key names.
pub fn node_of(key: &str) -> Option<&str> {
    key.strip_prefix(MARK)?.rsplit_once(MARK).map(|(node, _)| node)
}

/// The token in a key, which stays the same when its session moves.
pub fn token_of(key: &str) -> &str {
    key.rsplit(MARK).next().unwrap_or(key)
}

/// A session as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSession {
    /// Its key: long, random, no two sessions ever have the same.
    pub key: String,
    /// Whose it is.
    pub user: BareJid,
    /// Grows each time it is put.
    pub epoch: u64,
    /// Until when it can be resumed, in milliseconds of the epoch; 0: its client is connected.
    pub until: u64,
    /// How many stanzas of its client have been handled, modulo 2^32 (XEP-0198).
    pub handled: u32,
    /// The rest, in a form that names its version and its fields; the store does not look into it.
    pub frozen: Vec<u8>,
}

/// Whether one count of handled stanzas is further than another, modulo 2^32.
pub(crate) const fn further(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

impl StoredSession {
    /// Whether it may be put in the place of another session with its key: that one's user and epoch.
    ///
    /// # Errors
    /// `Full` and `Conflict`, as [`Sessions::put`].
    pub(crate) fn check(&self, kept: Option<(&str, u64)>) -> Result<(), StoreError> {
        if self.frozen.len() > MAX_FROZEN {
            return Err(StoreError::Full { limit: MAX_FROZEN });
        }
        match kept {
            Some((user, now)) if user != self.user.as_str() || now >= self.epoch => {
                Err(StoreError::Conflict { now })
            }
            _ => Ok(()),
        }
    }
}

/// Sessions by key, and what they hold. Each method is atomic.
pub trait Sessions: Send + Sync + 'static {
    /// Keeps a session, in place of what is kept under its key. If more stanzas of its client were handled
    /// than it says ([`Sessions::append`]), that stays so.
    ///
    /// Errors: `Conflict` (with the epoch that is kept) when that is not older, or another user's; `Full` for more than
    /// [`MAX_FROZEN`] bytes; `NoAccount`.
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()>;

    /// Keeps messages for `user`, each with the time at which it arrived (milliseconds of the epoch), in that order, held by
    /// each of these sessions (their keys; they need not be kept themselves, and one that is named twice holds them once).
    /// All of them or none. Their numbers, which are those of offline messages and grow with them. Without a
    /// holder they are offline messages at once. `by`: the key of a session whose client sent them, and how many of its stanzas
    /// have been handled with them: that session says so from then on, if it is kept.
    ///
    /// Errors: `Full` and `NoAccount`, as [`OfflineStore::push`](crate::OfflineStore::push).
    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>>;

    /// Session `key` holds these messages of `user` too, whoever else does. Those that are not there are passed over.
    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()>;

    /// The client of session `key` has these messages: it holds them no longer. One that nobody else holds is forgotten, one
    /// that others hold is forgotten when the last of them is done with it, whichever way. Those that are not there are passed
    /// over; one that nobody holds is forgotten too.
    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()>;

    /// Takes the session of that key, if it is `user`'s and its epoch is this one (`None`: whichever it is): it is not kept any
    /// more, so nobody else can take it. It still holds its messages.
    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>>;

    /// Messages that session `key` holds with a number greater than `after`, oldest first: pages as
    /// [`OfflineStore::page`](crate::OfflineStore::page).
    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>>;

    /// The session of that key is gone, kept or not: it holds nothing any more.
    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()>;

    /// Up to `limit` kept sessions of these nodes, of all users, with a key greater than `after`, in the order of keys: a
    /// node that starts goes on with its own. Of no more than [`MAX_PAGE`] bytes, but one at least. None: there are no more.
    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>>;

    /// Lets go of at most `limit` messages that are held by sessions of these nodes that are not kept: a node that starts has no such
    /// sessions. How many, one that several of them held counted for each; 0: there are none left.
    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize>;

    /// The user's session with that token, if it is kept, whichever node has it: of several, which a node that was taken for dead may have
    /// put, that of the latest epoch.
    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>>;

    /// The session of that key, if it is `user`'s and its epoch is this one (`None`: whichever it is), is kept under `new` from
    /// then on, which may be the same, with an epoch that is greater by [`TERM`]; `new` holds what `key` held. The session as it is then. Of
    /// several that do this at once, one gets it.
    ///
    /// What was done is not done again, and answered again: the session is not there, but under `new` with that epoch. If another is
    /// kept under `new` already, it stays, the one of `key` is gone, and the answer is none.
    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>>;
}
