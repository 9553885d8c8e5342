//! Which messages of offline storage were sent to the client, and which of them it has: storage keeps
//! them until then. Known here and not in the session, so that a connection that takes over sends
//! none of them twice.

use super::{Owner, Resource, Sending};
use crate::session::out::Out;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use xmpp::stanza::Stanza;

/// How far the delivery of what offline storage keeps is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Not known to have arrived: what had been sent with each (XEP-0198), and its number in the store.
    /// Oldest first; as many as may be unacknowledged.
    sent: VecDeque<(u64, u64)>,
    /// The client has them, and the store has not forgotten them.
    received: BTreeSet<u64>,
    /// The last one that was sent, ever.
    after: u64,
}

impl Kept {
    /// What had been sent with each that is not known to have arrived, and its number in the store.
    pub(super) fn sent(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sent.iter().copied()
    }

    /// See [`Resource::kept_after`].
    pub(super) fn after(&self) -> u64 {
        self.after
    }

    /// The client acknowledged all up to `acked`; whether there are some of these among them.
    fn acknowledged(&mut self, acked: u64) -> bool {
        let has = self.sent.partition_point(|(n, _)| *n <= acked);
        self.received.extend(self.sent.drain(..has).map(|(_, id)| id));
        has > 0
    }

    /// The session ends: the others will be sent again.
    pub(super) fn end(&mut self) {
        self.sent.clear();
    }
}

impl Resource {
    /// A stanza goes to the client that offline storage keeps under that number; see
    /// [`Resource::sent`].
    pub fn sent_kept(&self, epoch: u64, stanza: &Stanza, id: u64) -> Sending {
        let sending = self.sent(epoch, stanza);
        if sending != Sending::Elsewhere {
            let mut s = self.state.lock();
            let sent = s.sm.as_ref().map_or(0, |sm| sm.sent());
            s.kept.sent.push_back((sent, id));
            s.kept.after = id;
        }
        sending
    }

    /// The client acknowledged what was sent to it (XEP-0198 section 4); whether offline storage
    /// keeps some of that.
    ///
    /// # Errors
    /// When it acknowledged more than was sent: what was sent.
    pub fn acknowledge(&self, h: u32) -> Result<bool, u32> {
        let mut s = self.state.lock();
        let s = &mut *s;
        let Some(sm) = &mut s.sm else { return Ok(false) };
        sm.acknowledge(h)?;
        Ok(s.kept.acknowledged(sm.acked))
    }

    /// The client resumes its session, and has got `h` (XEP-0198 section 5): what it has not is to be
    /// written again, see [`Resource::write_again`]. Otherwise as [`Resource::acknowledge`].
    ///
    /// # Errors
    /// When it has got more than was sent: what was sent.
    pub fn resume(&self, h: u32) -> Result<bool, u32> {
        let mut s = self.state.lock();
        let s = &mut *s;
        let Some(sm) = &mut s.sm else { return Ok(false) };
        let lost = sm.resume(h)?;
        s.kept.sent.iter_mut().for_each(|(n, _)| *n = n.saturating_sub(lost));
        Ok(s.kept.acknowledged(sm.acked))
    }

    /// Appends to `out` what the client of a resumed session has not got, at most `max` stanzas and until
    /// there are `full` bytes. Whether there is more; `None` when `epoch` no longer owns the resource.
    pub fn write_again(&self, epoch: u64, max: usize, full: usize, out: &mut Out) -> Option<bool> {
        for n in 0.. {
            let mut s = self.state.lock();
            if s.owner != Owner::Attached(epoch) {
                return None;
            }
            let Some(sm) = s.sm.as_mut().filter(|sm| sm.behind()) else { break };
            if n >= max || out.len() > full {
                return Some(true);
            }
            let stanza = sm.again();
            drop(s);
            if let Some(stanza) = stanza {
                out.stanza(&stanza);
            }
        }
        Some(false)
    }

    /// The last message of offline storage that was sent in this session; 0: none.
    pub fn kept_after(&self) -> u64 {
        self.state.lock().kept.after
    }

    /// The client takes more: without acknowledgements that means that it has what was sent.
    pub fn takes_more(&self) {
        let mut s = self.state.lock();
        if s.sm.is_none() {
            s.kept.acknowledged(0);
        }
    }

    /// The messages that offline storage may forget: the client has them.
    pub fn received(&self) -> Vec<u64> {
        self.state.lock().kept.received.iter().copied().collect()
    }

    /// Offline storage has forgotten these.
    pub fn forgotten(&self, ids: &[u64]) {
        let mut s = self.state.lock();
        for id in ids {
            s.kept.received.remove(id);
        }
    }
}
