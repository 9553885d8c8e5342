//! The session registry: user and resource to the node and session that holds them.
//!
//! Authoritative for *who is where*; each node holds the truth about its own sessions and publishes them again when the registry has
//! lost them. Every operation is atomic and touches one user only, or one page of one node's sessions (law 10). A user is an opaque text.

#[cfg(test)]
mod conformance;
pub mod memory;
pub mod redis;

use crate::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use supervision::Node;
use thiserror::Error;

/// Names one session for ever: what an owner must show to change or remove its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The node that holds the session.
    pub node: Node,
    /// The node's start, in milliseconds of the epoch: fences off a node that came back.
    pub incarnation: u64,
    /// The session on that node.
    pub session: u64,
}

/// What the registry knows of one bound resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Its name, unique among those of its user.
    pub resource: Arc<str>,
    /// Whose session it is.
    pub token: Token,
    /// Priority of the last available presence; `None` while the resource is not available
    /// (RFC 6121 section 4.2.1).
    pub priority: Option<i8>,
    /// Grows with each change of the record: an update that was overtaken does nothing.
    pub seq: u64,
}

/// The records of one user, in no order.
pub type Records = Arc<[Record]>;

/// A record and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The user.
    pub user: Arc<str>,
    /// One of that user's.
    pub record: Record,
}

/// What a bind does where another session has the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// Takes it over.
    Replace,
    /// Leaves it: [`RegistryError::Taken`].
    Keep,
}

/// The answer to a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The record of a live node that this bind replaced: its owner has to end with `<conflict/>`.
    pub replaced: Option<Record>,
}

/// Whether an owner still has its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It has: done.
    Yes,
    /// Nobody has the resource: the registry has lost it, and the owner is to bind it again.
    Nobody,
    /// Another session has it: the owner is to end with `<conflict/>`.
    Other(Record),
}

/// Why the registry could not do it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// The user has as many resources as one may have.
    #[error("the user already has {limit} resources bound")]
    ResourceLimit {
        /// The limit that was reached.
        limit: usize,
    },
    /// Another session has the resource, and was not to be replaced.
    #[error("another session has the resource")]
    Taken(Record),
    /// The registry cannot be reached, or has been emptied and is not complete again: nobody knows who is where.
    #[error("the registry is unavailable")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The node that asks has a later start than this one.
    #[error("a later start of this node has taken over")]
    Fenced,
    /// This start of the node was declared dead.
    #[error("this start of the node was declared dead")]
    Dead,
}

/// The registry as its users see it. None of its operations takes longer than its deadline ([`confirm`](SessionRegistry::confirm): for each
/// thousands of records). What fails may have been done all the same, or be done later: all may be tried again. A node is alive to it
/// until it is [declared dead](crate::Leases::reap): when its lease is over it may act by promises of others.
pub trait SessionRegistry: Send + Sync + 'static {
    /// Binds `record.resource` of `user`; at most `limit` resources a user. What nodes hold that are not alive does not count.
    /// Binding what the same token has already is [`Binding`] without `replaced`, and undoes no update.
    ///
    /// # Errors
    /// [`RegistryError::Fenced`] when this start of the node was swept;
    /// [`RegistryError::ResourceLimit`] when the user is at the limit and nothing is replaced; [`RegistryError::Taken`];
    /// [`RegistryError::Unavailable`]: it may have been done.
    fn bind<'a>(
        &'a self,
        user: &'a str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>>;

    /// Sets the priority of a record that `token` still owns, if `seq` is greater than that of the record.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn update<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<Held, RegistryError>>;

    /// Removes the record if `token` still owns it; `false` when it does not (compare and delete:
    /// a late unbind never removes its successor). Its turn is over.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn unbind<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// One session of a user has a turn at something that one alone is to do at a time: whether that is `token` from now on, for so long, or
    /// goes on to be. It ends when the session is unbound, too. It is forgotten with everything else when the registry is emptied: nothing
    /// may depend on it but what is done twice.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn turn<'a>(
        &'a self,
        user: &'a str,
        token: Token,
        lasts: Duration,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// All records of one user whose nodes are alive: from the cache, if it has them.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`] when it cannot be known who is where: that is never "nobody".
    fn lookup<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Records, RegistryError>>;

    /// The same without waiting: `None` when it is not known at this moment.
    fn cached(&self, user: &str) -> Option<Records>;

    /// What the cache has of a user is not to be used any more: a node said that a session is not there.
    fn forget(&self, user: &str);

    /// Publishes sessions of this node again: those that are not there are entered, whatever the limit. Those that others have, as
    /// these have them: their owners here are to end with `<conflict/>`. Meanwhile the caller unbinds none of them: it might be entered
    /// after that.
    ///
    /// # Errors
    /// When the registry cannot be reached; [`RegistryError::Fenced`] as with a bind.
    fn confirm(&self, mine: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>>;
}
