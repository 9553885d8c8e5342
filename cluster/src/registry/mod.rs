//! The session registry: user and resource to the node and session that holds them.
//!
//! Authoritative for *who is where*; each node holds the truth about its own sessions and can
//! publish them again. Every operation is atomic and touches one user only (law 10).

pub mod memory;

use crate::NodeId;
use std::{future::Future, pin::Pin, time::Duration};
use thiserror::Error;
use xmpp::jid::BareJid;

/// A boxed future, so that the trait can be used as `Arc<dyn SessionRegistry>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Names one session for ever: what an owner must show to change or remove its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The node that holds the session.
    pub node: NodeId,
    /// The node's start, in milliseconds of the epoch: fences off a node that came back.
    pub incarnation: u64,
    /// The session on that node.
    pub session: u64,
}

/// What the registry knows of one bound resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Resourcepart of the full JID.
    pub resource: String,
    /// Whose session it is.
    pub token: Token,
    /// Priority of the last available presence; `None` while the resource is not available
    /// (RFC 6121 section 4.2.1).
    pub priority: Option<i8>,
}

/// The answer to a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The record this bind replaced: its owner has to end with `<conflict/>`.
    pub replaced: Option<Record>,
}

/// Why the registry could not do it.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// The user has as many resources as one may have.
    #[error("the user already has {limit} resources bound")]
    ResourceLimit {
        /// The limit that was reached.
        limit: usize,
    },
    /// The registry cannot be reached.
    #[error("the registry is unavailable")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// The registry as its users see it.
pub trait SessionRegistry: Send + Sync + 'static {
    /// Binds `record.resource` of `user`, replacing another session that has it. At most `limit`
    /// resources a user.
    ///
    /// # Errors
    /// [`RegistryError::ResourceLimit`] when the user is at the limit and nothing is replaced.
    fn bind<'a>(
        &'a self,
        user: &'a BareJid,
        record: Record,
        limit: usize,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>>;

    /// Sets the priority of a record that `token` still owns; `false` when it does not.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn update<'a>(
        &'a self,
        user: &'a BareJid,
        resource: &'a str,
        token: &'a Token,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// Removes the record if `token` still owns it; `false` when it does not (compare and delete:
    /// a late unbind never removes its successor).
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn unbind<'a>(
        &'a self,
        user: &'a BareJid,
        resource: &'a str,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// All records of one user.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    fn lookup<'a>(&'a self, user: &'a BareJid)
    -> BoxFuture<'a, Result<Vec<Record>, RegistryError>>;
}
