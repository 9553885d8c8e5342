//! How much may wait for a client, and how much it may leave unacknowledged (law 2).

use super::Resource;

/// Limits of one resource's queues.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Stanzas waiting for the connection. At the limit a delivery is refused: a message then goes
    /// to offline storage, an IQ is answered with `resource-constraint`, presence is dropped.
    pub queued: usize,
    /// Bytes waiting for the connection, the same; what is not acknowledged may be eight
    /// times as much.
    pub queued_bytes: usize,
    /// Stanzas sent and not acknowledged (XEP-0198). At the limit the session is ended with
    /// `policy-violation` and the messages go to offline storage.
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
        Self { queued: 1_000, queued_bytes: 2 << 20, unacked: 1_000, directed: 500 }
    }
}

impl Resource {
    /// Whether half of what one may have is unacknowledged: the rest is left for others than
    /// offline storage.
    pub fn crowded(&self) -> bool {
        self.unacked_beyond(2)
    }

    /// Whether more than that part of what one may have is unacknowledged.
    fn unacked_beyond(&self, part: usize) -> bool {
        let QueueLimits { queued_bytes, unacked, .. } = self.limits;
        let bytes = queued_bytes.saturating_mul(UNACKED_BYTES);
        let s = self.state.lock();
        s.sm.as_ref().is_some_and(|sm| sm.unacked.len() > unacked / part || sm.bytes > bytes / part)
    }

    /// Whether more is unacknowledged than one may have.
    pub fn overdue(&self) -> bool {
        self.unacked_beyond(1)
    }
}
