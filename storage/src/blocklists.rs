//! Blocklists (XEP-0191).

use crate::StoreFuture;
use std::{collections::BTreeSet, sync::Arc};
use xmpp::jid::{BareJid, Jid};

/// Whom a user blocks.
pub type Blocklist = BTreeSet<Jid>;

/// Blocklists by user.
pub trait BlocklistStore: Send + Sync + 'static {
    /// The list; empty when there is none.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Blocklist>>;

    /// Adds addresses; at most `limit` in all, otherwise none is added. Returns the list after it.
    ///
    /// Errors: `Full`, `NoAccount`.
    fn add<'a>(
        &'a self,
        user: &'a BareJid,
        jids: Vec<Jid>,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Blocklist>>;

    /// Removes addresses, or with an empty list all of them. Returns the list after it.
    fn remove<'a>(&'a self, user: &'a BareJid, jids: Vec<Jid>) -> StoreFuture<'a, Arc<Blocklist>>;
}
