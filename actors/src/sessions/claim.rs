//! What whoever asked for a session gets: it is theirs once they keep it.

use super::lost;
use crate::{env::Env, resource::Resource, session::Bound};
use std::sync::Arc;
use thiserror::Error;

/// Why a resource was not bound.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BindError {
    /// The user has as many resources as one may have.
    #[error("too many resources")]
    TooMany,
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

/// A resource that is attached for whoever asked. That may be gone when the answer comes: dropped before it is kept,
/// the resource is given up as if its connection was lost.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    env: Arc<Env>,
    resource: Arc<Resource>,
    epoch: u64,
    parked: Option<Box<Bound>>,
    kept: bool,
}

/// What a connection serves.
#[derive(Debug)]
pub struct Attached {
    /// The resource.
    pub resource: Arc<Resource>,
    /// With which it is attached.
    pub epoch: u64,
    /// The state of a resumed session, if the connection before left it.
    pub parked: Option<Box<Bound>>,
}

impl Claim {
    pub(super) fn new(
        env: &Arc<Env>,
        resource: Arc<Resource>,
        epoch: u64,
        parked: Option<Box<Bound>>,
    ) -> Self {
        Self { env: Arc::clone(env), resource, epoch, parked, kept: false }
    }

    /// From now on it is the caller's to detach the resource, or to end it.
    pub fn keep(mut self) -> Attached {
        self.kept = true;
        let (resource, parked) = (Arc::clone(&self.resource), self.parked.take());
        Attached { resource, epoch: self.epoch, parked }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept && self.resource.detach(self.epoch, self.parked.take()) {
            lost(&self.env, Arc::clone(&self.resource));
        }
    }
}
