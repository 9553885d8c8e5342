//! What can be journaled, and the store that it is applied to.

use crate::{OfflineLimits, StoreError, StoreFuture, StoredSession, offline::Kept};
use serde::{Deserialize, Serialize};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};
use xmpp::{jid::BareJid, stanza::Stanza};

/// An operation on one user's messages and sessions, whose answer is known before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// [`Sessions::append`](crate::Sessions::append), and [`OfflineStore::push`](crate::OfflineStore::push) without
    /// holders.
    Append {
        /// For whom.
        user: BareJid,
        /// The keys of the sessions that hold them.
        holders: Vec<String>,
        /// Each with its number and when it arrived.
        messages: Vec<(u64, u64, Stanza)>,
        /// The session whose client sent them, and how many of its stanzas are handled with them.
        by: Option<(String, u32)>,
        /// When the account was made that they are for, if it is known: another one of that name does not get what arrived
        /// before it was made.
        #[serde(default)]
        since: Option<u64>,
    },
    /// [`OfflineStore::remove`](crate::OfflineStore::remove).
    Remove {
        /// Whose.
        user: BareJid,
        /// Numbers.
        ids: Vec<u64>,
    },
    /// [`Sessions::acknowledge`](crate::Sessions::acknowledge).
    Acknowledge {
        /// Whose.
        user: BareJid,
        /// The session's.
        key: String,
        /// Numbers.
        ids: Vec<u64>,
    },
    /// [`Sessions::hold`](crate::Sessions::hold).
    Hold {
        /// Whose.
        user: BareJid,
        /// The session's.
        key: String,
        /// Numbers.
        ids: Vec<u64>,
    },
    /// [`Sessions::expire`](crate::Sessions::expire).
    Expire {
        /// Whose.
        user: BareJid,
        /// The session's.
        key: String,
    },
    /// [`Sessions::put`](crate::Sessions::put).
    Put(StoredSession),
}

impl Op {
    /// Whose messages or session it is about.
    pub(crate) fn user(&self) -> &BareJid {
        match self {
            Self::Append { user, .. }
            | Self::Remove { user, .. }
            | Self::Acknowledge { user, .. }
            | Self::Hold { user, .. }
            | Self::Expire { user, .. } => user,
            Self::Put(session) => &session.user,
        }
    }

    /// What it occupies, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        let content = match self {
            Self::Append { holders, messages, .. } => {
                let stanzas: usize = messages.iter().map(|(.., stanza)| stanza.weight()).sum();
                stanzas + holders.iter().map(String::len).sum::<usize>()
            }
            Self::Remove { ids, .. } => size_of_val(&**ids),
            Self::Acknowledge { key, ids, .. } | Self::Hold { key, ids, .. } => {
                key.len() + size_of_val(&**ids)
            }
            Self::Expire { key, .. } => key.len(),
            Self::Put(session) => session.key.len() + session.frozen.len(),
        };
        size_of::<Self>() + content
    }

    /// As an operation for the account that was made then.
    pub(super) fn made_for(mut self, account: Option<u64>) -> Self {
        if let Self::Append { since, .. } = &mut self {
            *since = account;
        }
        self
    }

    /// The numbers of the messages that it is about.
    pub(super) fn ids(&self) -> Vec<u64> {
        match self {
            Self::Append { messages, .. } => messages.iter().map(|(id, ..)| *id).collect(),
            Self::Remove { ids, .. } | Self::Acknowledge { ids, .. } | Self::Hold { ids, .. } => {
                ids.clone()
            }
            Self::Expire { .. } | Self::Put(_) => Vec::new(),
        }
    }

    /// The numbers of the messages that are kept with it.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Append { messages, .. } => messages.iter().map(|(id, ..)| *id).collect(),
            _ => Vec::new(),
        }
    }

    /// The messages that are kept with it.
    pub(super) fn kept(&self) -> Kept {
        let mut kept = Kept::default();
        if let Self::Append { messages, .. } = self {
            messages.iter().for_each(|(.., stanza)| kept.add(stanza.weight()));
        }
        kept
    }

    /// As text; and the bytes of a session, which JSON would make four times as large.
    pub(super) fn encode(mut self) -> Result<(String, Vec<u8>), StoreError> {
        let frozen = match &mut self {
            Self::Put(session) => std::mem::take(&mut session.frozen),
            _ => Vec::new(),
        };
        let text = serde_json::to_string(&self);
        Ok((text.map_err(|error| StoreError::Failed(error.to_string()))?, frozen))
    }

    /// What [`Op::encode`] made.
    pub(super) fn decode(text: &str, bytes: Vec<u8>) -> Option<Self> {
        let mut op = serde_json::from_str(text).ok()?;
        if let Self::Put(session) = &mut op {
            session.frozen = bytes;
        }
        Some(op)
    }
}

/// The name of one operation: random, and the same when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OpId(pub [u8; 16]);

/// Makes names that no other process and no other time makes.
#[derive(Debug)]
pub(super) struct OpIds {
    process: u64,
    next: AtomicU64,
}

impl OpIds {
    pub(super) fn new() -> Self {
        // the standard library's source of what is not to be guessed: half of a name is random, half counts
        let random = || RandomState::new().hash_one(0);
        Self { process: random(), next: AtomicU64::new(random()) }
    }

    pub(super) fn next(&self) -> OpId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        OpId((u128::from(self.process) << 64 | u128::from(count)).to_be_bytes())
    }
}

/// A store that may be away, behind a [`Journaled`](super::Journaled).
pub(crate) trait Replay: Send + Sync + 'static {
    /// Makes an operation, within these limits; `None`: it was accepted before, and none applies. The numbers of the messages that
    /// it keeps: those that were given, unless they are not greater than all that the user has.
    ///
    /// It is made once, however often it is tried, as long as operations of one user are tried one after the other and
    /// one whose answer is not known is tried again before any other of that user. One that was given up must
    /// not be made later. A session that an `Append` names counts no less than before: those for several users come in any order.
    ///
    /// # Errors
    /// Those of the method of which it is. `Unavailable` and `Timeout`: it is tried again. `NoAccount`, `Corrupt`, `Full` and
    /// `Conflict`: never. Others keep back what is behind it for this user until somebody has mended it.
    fn apply<'a>(
        &'a self,
        op: &'a Op,
        id: OpId,
        limits: Option<OfflineLimits>,
    ) -> StoreFuture<'a, Vec<u64>>;

    /// When the account was made (ms of the epoch), if it was there when it was last looked at. Asks nobody.
    fn made(&self, user: &BareJid) -> Option<u64>;

    /// A number for a message: no two have the same, and it is greater than those that its user's messages have. Asks nobody.
    fn number(&self) -> u64;
}
