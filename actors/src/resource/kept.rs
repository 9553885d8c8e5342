//! What the store keeps until the client has it: messages from offline storage, and those that were stored
//! since they waited for this session. Known here and not in the session, so that a connection that takes over sends
//! none of them twice.

use super::{Owner, Resource, Sending, copies::Share};
use crate::session::out::Out;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use xmpp::stanza::Stanza;

/// Numbers from here on stand for what is on its way into the store.
pub(super) const PENDING: u64 = 1 << 63;
/// Set in the number of what was sent in a process before and is not held by this session: it counts among what was sent; if the client
/// has not got it, offline storage has it, or somebody else got it.
pub(super) const AWAY: u64 = 1 << 62;

/// Beside the resource: a client that acknowledges has none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Written {
    ids: Vec<u64>,
}

/// How far the delivery of what the store keeps is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Written without acknowledgements, and not known to have arrived.
    #[serde(default)]
    written: Option<Box<Written>>,
    /// The client has them, or they are not for it, and the store has not forgotten them.
    received: BTreeSet<u64>,
    /// The last one of offline storage that was sent, ever.
    after: u64,
}

impl Kept {
    /// See [`Resource::kept_after`].
    pub(super) fn after(&self) -> u64 {
        self.after
    }

    /// The client has one, or will not get it: its number, if the store keeps it, and its share, if others may have it.
    pub(super) fn done_with(&mut self, id: u64, share: Option<Share>) {
        let mut id = id;
        if let Some(share) = share {
            share.delivered();
            // the store may keep it for another of the user's sessions alone
            id = if id == 0 { share.kept() } else { id };
        }
        self.received.extend((id != 0).then_some(id & !AWAY));
    }

    /// What the store may forget: the client has it.
    pub(super) fn received(&self) -> impl Iterator<Item = u64> {
        self.received.range(..PENDING).copied()
    }

    /// One of offline storage is sent.
    pub(super) fn sent(&mut self, id: u64) {
        self.after = id;
    }

    /// One was written, and will not be acknowledged: it has arrived when the client takes more.
    pub(super) fn wrote(&mut self, id: u64) {
        self.written.get_or_insert_default().ids.push(id);
    }

    /// The first that was written, and is not known to have arrived.
    pub(super) fn first_written(&self) -> Option<u64> {
        self.written.as_ref()?.ids.first().copied()
    }

    /// What was on its way into the store is there under these numbers, in that order; `None`: it is not.
    pub(super) fn stored(&mut self, ids: Option<&[u64]>) {
        let settle = |id: u64| Some(settled(id, ids)).filter(|id| *id != 0);
        if let Some(written) = &mut self.written {
            written.ids = written.ids.drain(..).filter_map(settle).collect();
        }
        self.received = std::mem::take(&mut self.received).into_iter().filter_map(settle).collect();
    }

    /// From that one on there may be some that were not sent.
    pub(super) fn again_from(&mut self, id: u64) {
        self.after = self.after.min(id.saturating_sub(1));
    }

    /// The session ends: these are not known to have arrived.
    pub(super) fn written(&mut self) -> impl Iterator<Item = u64> {
        self.written.take().into_iter().flat_map(|written| written.ids)
    }
}

/// The number that a [`PENDING`] one has now; 0: none.
pub(super) fn settled(id: u64, ids: Option<&[u64]>) -> u64 {
    let Some(n) = id.checked_sub(PENDING) else { return id };
    let at = usize::try_from(n).ok();
    ids.and_then(|ids| ids.get(at?)).copied().unwrap_or_default()
}

impl Resource {
    /// A stanza goes to the client that offline storage keeps under that number; see
    /// [`Resource::sent`].
    pub fn sent_kept(&self, epoch: u64, stanza: &Stanza, id: u64) -> Sending {
        self.send(epoch, stanza, id)
    }

    /// The client acknowledged what was sent to it (XEP-0198 section 4); whether the store
    /// keeps some of that. When `epoch` no longer owns the resource it says nothing: the client has said what it has over
    /// the connection that does.
    ///
    /// # Errors
    /// When it acknowledged more than was sent: what was sent.
    pub fn acknowledge(&self, epoch: u64, h: u32) -> Result<bool, u32> {
        let mut s = self.state.lock();
        let s = &mut *s;
        if s.owner != Owner::Attached(epoch) {
            return Ok(false);
        }
        let Some(sm) = &mut s.sm else { return Ok(false) };
        let (before, acked) = (s.kept.received.len(), sm.acked);
        sm.acknowledge(h, &mut s.kept)?;
        if sm.acked > acked {
            s.first_is_new(&self.clock);
        }
        Ok(s.kept.received.len() > before)
    }

    /// The client resumes its session, and has got `h` (XEP-0198 section 5): what it has not is to be
    /// written again, see [`Resource::write_again`]. Whether the store keeps some of what it has; `None` when `epoch` no longer
    /// owns the resource.
    ///
    /// # Errors
    /// When it has got more than was sent: what was sent.
    pub fn resume(&self, epoch: u64, h: u32) -> Result<Option<bool>, u32> {
        let mut s = self.state.lock();
        let s = &mut *s;
        if s.owner != Owner::Attached(epoch) {
            return Ok(None);
        }
        let Some(sm) = &mut s.sm else { return Ok(Some(false)) };
        let before = s.kept.received.len();
        sm.resume(h, &mut s.kept)?;
        Ok(Some(s.kept.received.len() > before))
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
            let first = sm.written == sm.acked;
            let stanza = sm.again();
            if first {
                s.first_is_new(&self.clock);
            }
            drop(s);
            if let Some(stanza) = stanza {
                out.stanza(&stanza);
            }
        }
        Some(false)
    }

    /// A message of offline storage need not be sent: the client has it, or may have it.
    pub fn skip_kept(&self, id: u64) {
        self.state.lock().kept.sent(id);
    }

    /// The number of the last message of offline storage that was sent in this session; 0: none.
    pub fn kept_after(&self) -> u64 {
        self.state.lock().kept.after
    }

    /// The client takes more: without acknowledgements that means that it has what was sent.
    pub fn takes_more(&self) {
        let mut s = self.state.lock();
        let Kept { written, received, .. } = &mut s.kept;
        received.extend(written.iter_mut().flat_map(|written| written.ids.drain(..)));
    }

    /// Whether messages were written that the store keeps until the client takes more.
    pub fn has_written(&self) -> bool {
        self.is_kept() && {
            let s = self.state.lock();
            s.sm.is_none() && s.kept.first_written().is_some()
        }
    }

    /// The messages that the store may forget: the client has them.
    pub fn received(&self) -> Vec<u64> {
        self.state.lock().kept.received().collect()
    }

    /// Those that the client has or may have: they are not to be sent to it again.
    pub fn has_kept(&self) -> BTreeSet<u64> {
        let s = self.state.lock();
        let unacked = s.sm.iter().flat_map(|sm| &sm.unacked).map(|arrived| arrived.kept);
        // those that the store kept for another session alone, which is gone
        let shared = s.sm.iter().flat_map(|sm| &sm.shares).map(|(_, share)| share.kept());
        let written = s.kept.written.iter().flat_map(|written| &written.ids);
        let known = s.kept.received.iter().chain(written).copied();
        let all = unacked.chain(shared).chain(known);
        all.filter(|id| *id != 0 && id & AWAY == 0).collect()
    }

    /// The store has forgotten these.
    pub fn forgotten(&self, ids: &[u64]) {
        let mut s = self.state.lock();
        for id in ids {
            s.kept.received.remove(id);
        }
    }
}
