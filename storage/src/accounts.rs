//! Accounts: who may log on, with SCRAM keys and never a password.

use crate::{StoreError, StoreFuture};
use serde::{Deserialize, Serialize};
use std::{str::FromStr, sync::Arc};
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
    /// Where it comes from, if it belongs to another application.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// What is known of an account that belongs to another application: it is found there, what its user has here is
/// kept here. The keys are then made of the password that was last right there, or there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Its key there: another account of that name, later, has another.
    pub id: String,
    /// Of what its password is checked with there, when the keys were made: if that is another now, they are void. Empty: there
    /// are no keys.
    pub fingerprint: String,
    /// It is not there any more, so it is none here. What was kept of it stays.
    pub gone: bool,
}

impl Account {
    /// A new account, created at `created` (milliseconds of the epoch). `None` when the password
    /// cannot be used; see [`ScramKeys::fresh`].
    pub fn with_password(password: &str, created: u64) -> Option<Self> {
        Some(Self { keys: ScramKeys::fresh(password)?, created, ..Self::default() })
    }

    /// Which account it is: not the same number for one that is created later under its name, nor, where it belongs to
    /// another application, for one that had another password there.
    pub fn mark(&self) -> u64 {
        let Some(origin) = &self.origin else { return self.created };
        // FNV-1a: the same in every process
        let text = format!("{origin:?}{}", self.disabled);
        text.bytes().fold(self.created ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// Whether it can take the place of the one that is kept: [`AccountStore::adopt`].
    pub(crate) fn is_same_as(&self, kept: &Self) -> bool {
        match (&self.origin, &kept.origin) {
            (Some(new), Some(old)) => new.id == old.id,
            _ => true,
        }
    }

    /// The keys by which a password is verified at the lowest cost.
    pub fn cheapest(&self) -> Option<&ScramKeys> {
        self.keys.iter().min_by_key(|keys| (keys.iterations, keys.stored_key.len()))
    }

    /// The keys for a hash function.
    pub fn keys_for(&self, hash: Hash) -> Option<&ScramKeys> {
        self.keys.iter().find(|k| k.hash == hash)
    }
}

/// A stored address.
pub(crate) fn address<J: FromStr>(text: &str) -> Result<J, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(format!("{text:?} is no address")))
}

/// Accounts by bare JID.
pub trait AccountStore: Send + Sync + 'static {
    /// The account, if there is one.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>>;

    /// Whether there is such an account, or was when it was last looked for: whoever writes something for it then is told
    /// (`NoAccount`) if there is none any more.
    fn was_there<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.get(user).await?.is_some()) })
    }

    /// Creates accounts, all or none being durable when it returns; those that exist already are
    /// left as they are. A new one begins with nothing: what is still there of its name, which older programs
    /// wrote when it was gone, goes in the same operation. Returns how many were created.
    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize>;

    /// Replaces the keys; `false` when there is no such account.
    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool>;

    /// Takes over an account that belongs to another application, as it is there now: creates it, or replaces keys, `disabled`
    /// and origin of the one that is here. `false`, and nothing is changed, when that one is another account of the same name:
    /// its origin has another id. One without an origin becomes one with it.
    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool>;

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
