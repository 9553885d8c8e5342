//! What is said between nodes.

use super::placed::{Leaving, Placed};
use crate::relay::Start;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use supervision::{Exit, Id, Local, Node, Remote, Reply};
use thiserror::Error;

/// Why a node has no process for a key: nothing was done, and it is asked again.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// It belongs to that node, as this one sees it.
    #[error("it belongs to {0}")]
    Elsewhere(Node),
    /// It belongs to the node that was asked, and that one has not yielded yet and is not dead.
    #[error("{0} has not yielded")]
    NotYet(Node),
    /// The process is leaving.
    #[error("it is leaving")]
    Leaving,
    /// The node has no lease.
    #[error("the node has no lease")]
    NoLease,
    /// All nodes drain.
    #[error("all nodes drain")]
    Nobody,
    /// The node was not reached.
    #[error("{0} was not reached")]
    NotReached(Node),
    /// The node has as many keys as it may have.
    #[error("the node has as many keys as it may have")]
    Full,
}

/// What the process that keeps the keys of a kind is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HostMsg {
    /// Where that key is. Starts it.
    Find(String, Reply<Result<Id, Refused>>),
    /// That start of a node is there: it is to be yielded to. Who answers, and whether it is up.
    Yield(Start, Reply<(Start, bool)>),
    /// What a process has left that had this epoch.
    State(String, u64, Bytes),
    /// The view may be another.
    #[serde(skip)]
    Look,
    /// A node has answered the question of that number.
    #[serde(skip)]
    Yielded(Node, u64, Option<(Start, bool)>),
    /// These were told to leave, and have had their time.
    #[serde(skip)]
    Late(Vec<Local>),
}

impl Remote for HostMsg {
    const TAG: &'static str = "mangrove.placement";
}

/// Why a process did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum No {
    /// It is leaving: nothing was done.
    Leaving,
    /// It did not start: nothing was done.
    Start(Arc<str>),
    /// It has ended; it may have been done.
    Ended(Exit),
    /// The lease of its node was over before it was done; it may have been.
    Lease,
}

/// What the process of a key is told.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum SeatMsg<P: Placed> {
    /// A request.
    Call(P::Ask, Reply<Result<P::Answer, No>>),
    /// One that nobody waits for.
    Cast(P::Ask),
    /// Nothing came for so long.
    #[serde(skip)]
    Idle,
}

impl<P: Placed> Remote for SeatMsg<P> {
    const TAG: &'static str = P::KIND;
}

/// With this a process ends that has left in order: what had come and was not answered was not done.
pub(super) const LEFT: &str = "left";

/// What a process is to do, as its host says: read before each request.
pub(super) type Order = Arc<parking_lot::Mutex<Option<Leaving>>>;
