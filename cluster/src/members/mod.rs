//! Which nodes there are, and until when each of them may act.
//!
//! A node has a lease in an authority (Redis). It acts only while that is valid by its own monotonic clock; others have it declared dead
//! only when it is over by theirs, and until then it is alive. An incarnation is one start of a node: a later one fences off an earlier.

mod book;
mod process;
mod view;

pub use book::Terms;
pub use process::{Events, Keeper, Membership, Msg, NAME, Parts};
pub use view::{Other, Others, View};

use crate::{BoxFuture, Entry, RegistryError};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use supervision::Node;

/// What a node says of itself in its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub node: Node,
    /// Which start of it, in milliseconds of the epoch: grows.
    pub incarnation: u64,
    /// Where its links are accepted (`host:port`).
    pub address: String,
    /// The version of the program.
    pub version: String,
    /// Of hosts, modules and options that all nodes must have alike.
    pub digest: u64,
    /// Its wall clock when it said so, in milliseconds of the epoch.
    pub clock: u64,
    /// What it is doing.
    pub standing: Standing,
    /// How many sessions it has.
    pub sessions: u64,
    /// Which emptying of the registry ([`Roll::epoch`]) it has published all its sessions after; 0: none. In a roll, that of a node
    /// that had no sessions at its first renewal is the epoch it began in, or a later one. What it restores from its store after that is
    /// entered as new sessions are.
    pub confirmed: u64,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It serves.
    #[default]
    Up,
    /// It takes no new sessions, and gives up those it has.
    Draining,
}

/// All that have had a lease and are not dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// Another one each time that the authority was found empty, or may lack something. 0: none is made yet.
    pub epoch: u64,
    /// Each with how much longer its lease is good: zero, when it is over and nobody has [declared it dead](Leases::reap) yet.
    pub members: Vec<(Member, Duration)>,
}

/// The authority over leases. It may lose what it has: then its [epoch](Roll::epoch) is another. One that may have lost the last of it (it
/// goes on as a replica that was behind) answers the next renewal of each node with [`RegistryError::Unavailable`], or with another epoch.
pub trait Leases: Send + Sync + 'static {
    /// Takes or renews the lease of a node for `term`, from when this is called; and reads the roll. `me` may be another node, which
    /// does not reach the authority itself.
    ///
    /// # Errors
    /// [`RegistryError::Fenced`] when a later start of the node has it, [`RegistryError::Dead`] when this one was
    /// [declared dead](Leases::reap).
    fn renew<'a>(
        &'a self,
        me: &'a Member,
        term: Duration,
    ) -> BoxFuture<'a, Result<Roll, RegistryError>>;

    /// Gives the lease back: the node has no sessions any more.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    fn leave<'a>(&'a self, me: &'a Member) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// Declares a start of a node dead whose lease is over, or that has none: it can never renew it. `false`: the lease is good, or that
    /// of an earlier start.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    fn reap(&self, node: Node, incarnation: u64) -> BoxFuture<'_, Result<bool, RegistryError>>;

    /// Removes up to `limit` records of starts of that node up to this one, which is [dead](Leases::reap); which they were. None: there
    /// are no more. Of several nodes that do this at once each gets other records.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    fn sweep(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>>;
}
