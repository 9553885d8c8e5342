//! What whoever asked for a session gets: it is theirs once they keep it.

use super::managers::Place;
use crate::{
    resource::{Owner, Resource},
    session::bound::Bound,
};
use std::sync::Arc;
use thiserror::Error;

/// Why a resource was not bound.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BindError {
    /// The user has as many resources as one may have.
    #[error("too many resources")]
    TooMany,
    /// The account was removed since its user logged on.
    #[error("the account was removed")]
    NoAccount,
    /// The node has no memory for one more.
    #[error("memory is short")]
    NoMemory,
    /// The manager or the registry does not answer.
    #[error("the session registry is unavailable")]
    Unavailable,
}

/// Why a session was not resumed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResumeError {
    /// There is no such session (any more). If it was not resumed in time: how many of the client's
    /// stanzas were handled.
    #[error("no such session")]
    Unknown(Option<u32>),
    /// The manager does not answer.
    #[error("the session manager is unavailable")]
    Unavailable,
}

/// A session and the resource it is attached to.
#[derive(Debug)]
pub struct Attached {
    /// What moves with the session.
    pub bound: Box<Bound>,
    /// What outlives its connection.
    pub resource: Arc<Resource>,
    /// With which it is attached: a connection that took the session over has a larger one.
    pub epoch: u64,
}

/// A session that is attached for whoever asked. That may be gone when the answer comes: dropped before it is kept,
/// it is given up as if its connection was lost.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    manager: Arc<Place>,
    resource: Arc<Resource>,
    epoch: u64,
    parked: Option<Box<Bound>>,
    kept: bool,
}

impl Claim {
    pub(super) fn new(
        manager: &Arc<Place>,
        resource: Arc<Resource>,
        epoch: u64,
        parked: Option<Box<Bound>>,
    ) -> Self {
        Self { manager: Arc::clone(manager), resource, epoch, parked, kept: false }
    }

    /// The session's resource.
    pub(super) fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Whether another connection has taken the session over since.
    pub(super) fn is_replaced(&self) -> bool {
        self.resource.owner() != Owner::Attached(self.epoch)
    }

    /// Whether what moves with the session is there; otherwise modules have to load their part.
    pub fn is_whole(&self) -> bool {
        self.parked.is_some()
    }

    /// Lets go of the session for another node; `false`: another connection has taken it over.
    pub(super) fn moves(mut self) -> bool {
        self.kept = true;
        self.resource.moves(self.epoch, self.parked.take())
    }

    /// From now on it is the caller's to detach the resource, or to end it.
    pub fn keep(mut self) -> Attached {
        self.kept = true;
        let (resource, bound) = (Arc::clone(&self.resource), self.parked.take());
        let bound = bound.unwrap_or_else(|| Bound::new(resource.jid().clone()));
        Attached { bound, resource, epoch: self.epoch }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept && self.resource.detach(self.epoch, self.parked.take()) {
            self.manager.lost(Arc::clone(&self.resource), None);
        }
    }
}
