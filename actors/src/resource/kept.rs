//! Which messages of offline storage were sent to the client, and which of them it has: storage keeps
//! them until then. Known here and not in the session, so that a connection that takes over sends
//! none of them twice.

use super::Resource;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use xmpp::stanza::Stanza;

/// How far the delivery of what offline storage keeps is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Not known to have arrived: what had been sent with each (XEP-0198, modulo 2^32), and its
    /// number in the store. Oldest first; as many as may be unacknowledged.
    sent: VecDeque<(u32, u64)>,
    /// The client has them, and the store has not forgotten them.
    received: Vec<u64>,
    /// The last one that was sent, ever.
    after: u64,
}

impl Kept {
    /// The number in the store of the stanza with which `n` had been sent, if it is one of them.
    pub(super) fn number_of(&self, n: u32) -> Option<u64> {
        self.sent.iter().find(|(m, _)| *m == n).map(|(_, id)| *id)
    }

    /// See [`Resource::kept_after`].
    pub(super) fn after(&self) -> u64 {
        self.after
    }

    /// The client acknowledged all up to `h`; whether there are some of these among them.
    fn acknowledged(&mut self, h: u32) -> bool {
        // what was sent is far less than 2^31 before or after it
        let has = self.sent.iter().take_while(|(n, _)| n.wrapping_sub(h).cast_signed() <= 0);
        let has = has.count();
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
    pub fn sent_kept(&self, epoch: u64, stanza: &Stanza, id: u64) -> bool {
        if !self.sent(epoch, stanza) {
            return false;
        }
        let mut s = self.state.lock();
        let sent = s.sm.as_ref().map_or(0, |sm| sm.sent());
        s.kept.sent.push_back((sent, id));
        s.kept.after = id;
        true
    }

    /// The client acknowledged what was sent to it (XEP-0198 section 4); whether offline storage
    /// keeps some of that.
    ///
    /// # Errors
    /// When it acknowledged more than was sent: what was sent.
    pub fn acknowledge(&self, h: u32) -> Result<bool, u32> {
        let mut s = self.state.lock();
        let Some(sm) = &mut s.sm else { return Ok(false) };
        sm.acknowledge(h)?;
        Ok(s.kept.acknowledged(h))
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
        self.state.lock().kept.received.clone()
    }

    /// Offline storage has forgotten these.
    pub fn forgotten(&self, ids: &[u64]) {
        self.state.lock().kept.received.retain(|id| !ids.contains(id));
    }
}
