//! Whoever wants to log on: what is known of the account before anything is proven.

use crate::source::{Entry, Found};
use std::sync::Arc;
use storage::{Account, StoreError};
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// What stands behind a name.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    /// The account of this node's store, or none.
    Own,
    /// What the host's source says.
    Source(Found),
    /// The source is away: what is known from before.
    Away(StoreError),
}

/// Somebody who wants to log on as a user.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub(crate) user: BareJid,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) behind: Behind,
    /// The account differs from what is kept here: it is to be [admitted](crate::Accounts::admit).
    pub(crate) differs: bool,
    /// Sessions that are there have logged on with what is not good any more.
    pub(crate) revokes: bool,
}

impl Candidate {
    /// As whom.
    pub fn user(&self) -> &BareJid {
        &self.user
    }

    /// The account, if there is one; where it belongs to another application, as it will be kept here.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    /// The keys for a hash function, if they are known.
    pub fn keys_for(&self, hash: Hash) -> Option<&ScramKeys> {
        self.account.as_ref()?.keys_for(hash)
    }

    /// Whether the account is another application's: then only [`Accounts::check`](crate::Accounts::check) can tell a right
    /// password.
    pub fn is_foreign(&self) -> bool {
        !matches!(self.behind, Behind::Own)
    }

    /// Whether what was good for the sessions that the user has is not any more: they are to end, as
    /// [`Accounts::seen`](crate::Accounts::seen) says.
    pub fn revokes(&self) -> bool {
        self.revokes
    }

    /// The user as its source has it now.
    pub fn entry(&self) -> Option<&Entry> {
        match &self.behind {
            Behind::Source(Found::User(entry)) => Some(entry),
            _ => None,
        }
    }

    /// The account, if it has to be [admitted](crate::Accounts::admit) once the client has proven who it is.
    pub fn to_admit(&self) -> Option<Account> {
        self.account.as_deref().filter(|_| self.differs).cloned()
    }
}

/// Why nobody can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A store or a source does not answer.
    Store(StoreError),
    /// Another account had this name before, and what it had is still here: it is to be removed first.
    Another,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
