//! How much may wait for a client, and how much it may leave unacknowledged (law 2).

use super::{Owner, Resource, StreamManagement};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use storage::Whose;
use supervision::Node;

/// What of the messages that wait is in the store before their sender is told that they were taken (`delivery.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Whatever waits for anybody.
    Always,
    /// What waits for a session without a connection; what waits for others is there a moment later ([`DELAY`](super::DELAY)).
    #[serde(rename = "write-behind")]
    Behind,
    /// What waits for a session without a connection.
    #[default]
    Detached,
    /// Nothing but what waits for nobody's session.
    Memory,
}

impl Durability {
    /// Whether the store has sessions although they are connected.
    pub(super) const fn has_connected(self) -> bool {
        matches!(self, Self::Always | Self::Behind)
    }
}

/// Limits of one resource's queues, and what becomes of what is in them.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Under whose name the store has its sessions, if there are several nodes.
    pub node: Option<Node>,
    /// What of it is in the store.
    pub durability: Durability,
    /// Stanzas waiting for the connection. At the limit a delivery is refused: a message then goes
    /// to offline storage, an IQ is answered with `resource-constraint`, presence is dropped.
    pub queued: usize,
    /// Bytes waiting for the connection; at the limit a delivery is refused. What the client has sent and that failed may be as
    /// much again: beyond that the session ends. What is not acknowledged may be eight times as much.
    pub queued_bytes: usize,
    /// Stanzas sent and not acknowledged (XEP-0198). From half of it on the queue waits for the client's
    /// acknowledgement; one that does not come in [`PATIENCE`](crate::session::sm::PATIENCE), or the limit
    /// (by answers to the client's own requests), ends the session with `policy-violation`, and the
    /// messages go to offline storage.
    pub unacked: usize,
    /// Entities that got directed presence (RFC 6121 section 4.6), with addresses of ordinary length;
    /// beyond it the oldest is forgotten.
    pub directed: usize,
}

/// Bytes that may be unacknowledged, in [`QueueLimits::queued_bytes`]: room for a whole queue on top
/// of what offline storage sends ([`Resource::crowded`]).
const UNACKED_BYTES: usize = 8;

impl Default for QueueLimits {
    fn default() -> Self {
        let durability = Durability::default();
        let (queued, queued_bytes) = (1_000, 2 << 20);
        Self { node: None, durability, queued, queued_bytes, unacked: 1_000, directed: 500 }
    }
}

/// Bytes that may be queued, in [`QueueLimits::queued_bytes`], when what comes says that something failed which the client sent.
const WITH_FAILURES: usize = 2;

impl QueueLimits {
    /// The key under which the store has the session with that token.
    pub(super) fn key(&self, token: &str) -> Arc<str> {
        match self.node {
            Some(node) => Whose::Node(&node.name()).key(token).into(),
            None => token.into(),
        }
    }

    /// Whether nothing more fits into a queue that has so many, and would have so many bytes with it.
    pub(super) fn full(&self, queued: usize, bytes: usize) -> bool {
        queued >= self.queued || bytes > self.queued_bytes
    }

    /// The same of what says that something failed.
    pub(super) fn full_of_failures(&self, bytes: usize) -> bool {
        bytes > self.queued_bytes.saturating_mul(WITH_FAILURES)
    }

    /// Whether more than that part of what one may have is unacknowledged.
    pub(super) fn beyond(&self, sm: Option<&StreamManagement>, part: usize) -> bool {
        let bytes = self.queued_bytes.saturating_mul(UNACKED_BYTES);
        sm.is_some_and(|sm| sm.unacked.len() > self.unacked / part || sm.bytes > bytes / part)
    }
}

/// What a client is to hear of acknowledgements (XEP-0198 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// It is to be asked for one.
    pub ask: bool,
    /// More is unacknowledged than one may have.
    pub overdue: bool,
    /// So many of its stanzas are handled, for which it has asked before.
    pub answer: Option<u32>,
}

impl Resource {
    /// Whether half of what one may have is unacknowledged: the rest is left for answers to the client's
    /// own requests.
    pub fn crowded(&self) -> bool {
        self.limits.beyond(self.state.lock().sm.as_ref(), 2)
    }

    /// Whether the queue waits for acknowledgements.
    pub fn waits_for_acks(&self) -> bool {
        let s = self.state.lock();
        !s.queue.is_empty() && self.limits.beyond(s.sm.as_ref(), 2)
    }

    /// What is to be said of acknowledgements; that counts as done then. Nothing when `epoch` no longer owns the resource: nobody would
    /// hear it.
    pub fn ask(&self, epoch: u64) -> Asking {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return Asking::default();
        }
        let ask = s.sm.as_mut().is_some_and(StreamManagement::ask);
        let overdue = self.limits.beyond(s.sm.as_ref(), 1);
        let answer = s.stored.as_mut().and_then(|stored| stored.take_answer());
        Asking { ask, overdue, answer }
    }
}
