//! What a program says of one kind of process: its behaviour, and how it is placed.

use super::epochs::OldEpoch;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};
use supervision::{Exit, InitError, Node};
use thiserror::Error;

/// A process that there is one of for each key. It handles one request at a time, and crashes alone: the next request starts it anew, with
/// another epoch. It has no timers or links; what it needs besides it starts for itself.
pub trait Placed: Sized + Send + 'static {
    /// What all of this kind are started with, on this node.
    type Args: Clone + Send + Sync + 'static;
    /// What it is asked. Cloned for each time that it is sent: large parts are to be shared (`Bytes`).
    type Ask: Clone + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// What this kind is called, on every node and in the store.
    const KIND: &'static str;
    /// The most requests that wait for one.
    const INBOX: usize = 256;

    /// Starts it: reads what is stored, with [`Begun::epoch`].
    ///
    /// # Errors
    /// When it cannot: whoever has asked gets [`super::PlaceError::Start`].
    fn start(
        args: Self::Args,
        begun: Begun,
    ) -> impl Future<Output = Result<Self, InitError>> + Send;

    /// Handles a request. What is acknowledged is to be stored. Cut at an `await` when the node's lease is about to end.
    ///
    /// # Errors
    /// It ends: see [`Failed`].
    fn handle(
        &mut self,
        ask: Self::Ask,
    ) -> impl Future<Output = Result<Self::Answer, Failed>> + Send;

    /// The last thing it does when it leaves in order. What it returns when it [moves](Leaving::Moves) goes with it, as far as
    /// [`super::Spec::state`] allows; it may be lost, so what is stored is the truth.
    fn leave(&mut self, why: &Leaving) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = why;
        async { None }
    }
}

/// What a process is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Of which key.
    pub key: Arc<str>,
    /// Of its writes: the store refuses an older one.
    pub epoch: u64,
    /// What the one before has left, if that moved here and no other has begun in between.
    pub state: Option<Bytes>,
}

/// Why a request has ended the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The store has refused the epoch: another has begun. Nothing was done, and the request goes to whoever has the key now.
    Fenced,
    /// The caller gets [`super::PlaceError::Ended`]; it may have been done.
    Ends(Exit),
}

impl From<OldEpoch> for Failed {
    fn from(_: OldEpoch) -> Self {
        Self::Fenced
    }
}

/// Why a process leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Nothing was asked for as long as [`super::Spec::idle`] says.
    Idle,
    /// The key belongs to that node by now; `None`: to nobody, all drain.
    Moves(Option<Node>),
    /// This node may not act any more: what it writes may be refused.
    Lease,
    /// The node stops.
    Stops,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Moves(Some(node)) => write!(f, "moves to {node}"),
            Self::Moves(None) => f.write_str("moves"),
            Self::Lease => f.write_str("the lease is over"),
            Self::Stops => f.write_str("stops"),
        }
    }
}

/// How processes of a kind are placed, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// One that was asked nothing for so long leaves.
    pub idle: Duration,
    /// So long before the end of its lease this node stops acting: longer than a write takes to arrive, then stores need not refuse any.
    pub margin: Duration,
    /// How long one that leaves may take; then it is killed.
    pub leave: Duration,
    /// How often the view is looked at when nothing comes.
    pub look: Duration,
    /// The most keys that this node has; a further one is refused with [`super::PlaceError::Full`].
    pub keys: usize,
    /// The most bytes of a state that moves; a larger one is left behind.
    pub state: usize,
    /// The most bytes of states that have come and were not used yet; what comes then is dropped, and so is what was not used for 30 s.
    pub states: usize,
    /// The most requests of this node that wait for an owner; a further one is refused with [`super::PlaceError::Full`].
    pub waiting: usize,
    /// Addresses that are remembered.
    pub addresses: usize,
}

impl Default for Spec {
    fn default() -> Self {
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        Self {
            idle: s(300),
            margin: ms(500),
            leave: s(5),
            look: ms(250),
            keys: 100_000,
            state: 64 << 10,
            states: 16 << 20,
            waiting: 10_000,
            addresses: 100_000,
        }
    }
}

/// What there is and was since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Processes that this node has.
    pub keys: usize,
    /// How many were started here.
    pub starts: u64,
    /// How many have left for another node.
    pub moved: u64,
    /// Of those that were started here, how many had the state of the one before.
    pub states: u64,
    /// Questions where a key is that were refused here, and requests that came to a process that left.
    pub refused: u64,
    /// Requests of this node that wait for an owner.
    pub waiting: usize,
}

/// There are no names over all nodes without an authority that says which nodes are alive: two halves of a cluster would have an owner
/// each. Groups ([`supervision::System::join`]) work without.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("names of the cluster need an authority (a registry with leases)")]
pub struct NoAuthority;
