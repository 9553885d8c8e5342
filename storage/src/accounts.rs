//! Accounts: who may log on, with SCRAM keys and never a password.

use crate::StoreFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Keys, at most one for each hash function.
    pub keys: Vec<ScramKeys>,
    /// Created at, in milliseconds of the epoch.
    pub created: u64,
    /// May not log on.
    pub disabled: bool,
}

impl Account {
    /// A new account, created at `created` (milliseconds of the epoch). `None` when the password
    /// cannot be used; see [`ScramKeys::fresh`].
    pub fn with_password(password: &str, created: u64) -> Option<Self> {
        Some(Self { keys: ScramKeys::fresh(password)?, created, disabled: false })
    }

    /// The keys for a hash function.
    pub fn keys_for(&self, hash: Hash) -> Option<&ScramKeys> {
        self.keys.iter().find(|k| k.hash == hash)
    }
}

/// Accounts by bare JID.
pub trait AccountStore: Send + Sync + 'static {
    /// The account, if there is one.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>>;

    /// Creates accounts, all or none being durable when it returns; those that exist already are
    /// left as they are. A new one begins with nothing: what is still there of its name, which older programs
    /// wrote when it was gone, goes in the same operation. Returns how many were created.
    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize>;

    /// Replaces the keys; `false` when there is no such account.
    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool>;

    /// Removes the account and all that the backend keeps of the user, in one operation, if the roster is still
    /// at that version: what was between the user and the contacts is ended in their rosters before. `false` when there is none.
    ///
    /// Errors: `Conflict`.
    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool>;

    /// Up to `limit` accounts of a host whose JID is greater than `after`, in order of their text.
    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>>;

    /// Whether there is no account at all.
    fn is_empty(&self) -> StoreFuture<'_, bool>;
}
