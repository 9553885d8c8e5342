//! The queue of a resource: what waits for its connection, who puts it there, and what becomes of it when it is written.

use super::{
    Coming, Keeping, Owner, Resource, State, blocking::blocked, copies::Share, stored::is_chat,
};
use crate::clock::Clock;
use parking_lot::MutexGuard;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xmpp::stanza::{Kind, Stanza, Type};

/// Why a delivery was refused; the stanza comes back to whoever routes it.
#[derive(Debug)]
pub enum Refused {
    /// The queue is at its limit, or what did not fit into it has to come first.
    Full(Stanza, Coming),
    /// The session has ended in the meantime.
    Ended(Stanza),
    /// The user blocks the sender (XEP-0191).
    Blocked(Stanza),
    /// It has to be in the store first: see [`Durability`].
    Unstored(Stanza),
    /// The session goes on at another node.
    Moved(Stanza),
}

/// What waits for the connection.
#[derive(Clone, Debug)]
pub enum Item {
    /// A stanza for the client.
    Stanza(Stanza),
    /// Another session of the user changed something: the module of that name is told.
    Notice(&'static str),
}

/// A stanza for the client, and since when it is here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arrived {
    /// The stanza.
    pub stanza: Stanza,
    /// In milliseconds of the epoch; 0 for what is not delivered later (presence, IQs).
    pub at: u64,
    /// The number under which the store keeps it until the client has it; 0: it does not.
    #[serde(default)]
    pub kept: u64,
}

/// One place in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) item: Item,
    /// See [`Arrived`].
    pub(super) at: u64,
    pub(super) kept: u64,
    /// Other resources of the user have it too.
    pub(super) share: Option<Share>,
}

impl From<Arrived> for Queued {
    fn from(Arrived { stanza, at, kept }: Arrived) -> Self {
        Self { item: Item::Stanza(stanza), at, kept, share: None }
    }
}

impl From<Item> for Queued {
    fn from(item: Item) -> Self {
        Self { item, at: 0, kept: 0, share: None }
    }
}

/// The verdict on one queued stanza, given by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// It was written to the client: keep it until acknowledged.
    Sent,
    /// It is not for the client: forget it.
    Dropped,
    /// It is not for the client: forget it, and write nothing more for now.
    Held,
}

/// How a stanza goes to the client that did not wait in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It is to be written now.
    Now,
    /// It is written by [`Resource::write_again`], after what the client has not got yet.
    InTurn,
    /// Another connection owns the resource now and has to send it.
    Elsewhere,
}

/// What a stanza and its place in a queue occupy.
pub(super) fn weight(stanza: &Stanza) -> usize {
    stanza.weight() + size_of::<Queued>()
}

impl State {
    /// What was at the head of the queue is sent, or not for the client.
    #[inline]
    pub(super) fn leaves_queue(&mut self, queued: Queued, sent: bool, clock: &Clock) {
        let Queued { item, at, kept, share } = queued;
        let Item::Stanza(stanza) = item else { return };
        if sent && self.would_be_first(kept) {
            self.first_is_new(clock);
        }
        self.queued_bytes = self.queued_bytes.saturating_sub(weight(&stanza));
        match &mut self.sm {
            Some(sm) if sent => {
                sm.push(Arrived { stanza, at, kept }, share);
            }
            None if sent && kept != 0 => {
                share.iter().for_each(Share::delivered);
                self.kept.wrote(kept);
            }
            None if sent => self.kept.done_with(0, share),
            _ => self.kept.done_with(kept, None),
        }
    }
}

impl Resource {
    /// Puts a stanza into the queue.
    ///
    /// # Errors
    /// The stanza comes back when the queue is full, the session has ended, or its sender is blocked.
    pub fn deliver(self: &Arc<Self>, stanza: Stanza) -> Result<(), Refused> {
        self.put(stanza, None, Keeping::Unknown, false)
    }

    /// Puts into the queue that something failed which the client sent: it was promised to hear that, so there is room of its
    /// own for it, in bytes as much again.
    ///
    /// # Errors
    /// As [`Resource::deliver`].
    pub fn deliver_failure(self: &Arc<Self>, stanza: Stanza) -> Result<(), Refused> {
        self.put(stanza, None, Keeping::Not, true)
    }

    /// Puts a message into the queue that other resources of the user get too.
    ///
    /// # Errors
    /// As [`Resource::deliver`]; the share is given back by dropping it.
    pub fn deliver_shared(self: &Arc<Self>, stanza: Stanza, share: Share) -> Result<(), Refused> {
        self.put(stanza, Some(share), Keeping::Unknown, false)
    }

    /// Puts a message into the queue of which is known whether the store keeps it.
    ///
    /// # Errors
    /// As [`Resource::deliver`], but for [`Refused::Unstored`].
    pub fn deliver_as(
        self: &Arc<Self>,
        stanza: Stanza,
        share: Option<Share>,
        keeping: Keeping,
    ) -> Result<(), Refused> {
        self.put(stanza, share, keeping, false)
    }

    /// When a stanza that comes now arrives: see [`Arrived::at`].
    fn now(&self, stanza: &Stanza) -> u64 {
        if stanza.head.kind == Kind::Message { self.clock.millis() } else { 0 }
    }

    fn put(
        self: &Arc<Self>,
        stanza: Stanza,
        share: Option<Share>,
        keeping: Keeping,
        failure: bool,
    ) -> Result<(), Refused> {
        let at = self.now(&stanza);
        let mut s = self.state.lock();
        if s.owner == Owner::Ended {
            let moved = s.has_moved();
            return Err(if moved { Refused::Moved(stanza) } else { Refused::Ended(stanza) });
        }
        if blocked(s.blocked.as_deref(), &self.user, stanza.head.from.as_ref()) {
            return Err(Refused::Blocked(stanza));
        }
        let bytes = weight(&stanza);
        // what was stored for this queue has its place there
        if !matches!(keeping, Keeping::Stored(_)) {
            let chat = is_chat(&stanza);
            let full = match failure {
                true => self.limits.full_of_failures(s.queued_bytes + bytes),
                false => self.limits.full(s.queue.len(), s.queued_bytes + bytes),
            };
            if full || chat && s.diverted.is_some() {
                return Err(Refused::Full(stanza, Coming::past(self, &mut s)));
            }
            if chat && keeping == Keeping::Unknown && self.must_store(&mut s) {
                return Err(Refused::Unstored(stanza));
            }
        }
        let kept = if let Keeping::Stored(id) = keeping { id } else { 0 };
        s.queued_bytes += bytes;
        s.hears(&stanza, self.limits.durability);
        s.queue.push_back(Queued { item: Item::Stanza(stanza), at, kept, share });
        let (first, epoch) = (s.queue.len() == 1, s.epoch);
        drop(s);
        if first {
            self.bell(epoch).notify_one();
        }
        Ok(())
    }

    /// Works through up to `max` queued items. `work` runs without a lock while the item is still
    /// in the queue, so a crash in it loses nothing. Returns whether more waits that may be written,
    /// or `None` when `epoch` no longer owns the resource.
    pub fn drain(
        &self,
        epoch: u64,
        max: usize,
        mut work: impl FnMut(&Item) -> Drained,
    ) -> Option<bool> {
        let mut s = self.state.lock();
        for _ in 0..max {
            if s.owner != Owner::Attached(epoch) {
                return None;
            }
            if self.limits.beyond(s.sm.as_ref(), 2) {
                // a client is given time to acknowledge: others decide how much waits for it
                return Some(false);
            }
            let Some(item) = s.queue.front().map(|q| q.item.clone()) else { break };
            s.in_hand = true;
            let verdict = MutexGuard::unlocked(&mut s, || work(&item));
            if s.owner != Owner::Attached(epoch) {
                return None;
            }
            s.in_hand = false;
            if let Some(queued) = s.queue.pop_front() {
                s.leaves_queue(queued, verdict == Drained::Sent, &self.clock);
            }
            if verdict == Drained::Held {
                return Some(false);
            }
        }
        if s.queue.is_empty() && s.queue.capacity() > 64 {
            s.queue.shrink_to(8);
        }
        (s.owner == Owner::Attached(epoch)).then_some(!s.queue.is_empty())
    }

    /// What is queued and says that something failed which the client sent: nobody else is told of it.
    pub fn take_failures(&self, epoch: u64) -> Vec<Stanza> {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return Vec::new();
        }
        let mut failures = Vec::new();
        s.queue.retain(|queued| match &queued.item {
            Item::Stanza(stanza) if stanza.head.ty == Type::Error => {
                failures.push(stanza.clone());
                false
            }
            _ => true,
        });
        let bytes: usize = failures.iter().map(weight).sum();
        s.queued_bytes = s.queued_bytes.saturating_sub(bytes);
        failures
    }

    /// A stanza goes to the client without having waited in the queue (an answer of the server):
    /// kept until acknowledged.
    pub fn sent(&self, epoch: u64, stanza: &Stanza) -> Sending {
        self.send(epoch, stanza, 0)
    }

    pub(super) fn send(&self, epoch: u64, stanza: &Stanza, kept: u64) -> Sending {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return Sending::Elsewhere;
        }
        if kept != 0 {
            s.kept.sent(kept);
        }
        if s.would_be_first(kept) {
            s.first_is_new(&self.clock);
        }
        let Some(sm) = &mut s.sm else {
            if kept != 0 {
                s.kept.wrote(kept);
            }
            return Sending::Now;
        };
        let arrived = Arrived { stanza: stanza.clone(), at: self.now(stanza), kept };
        if sm.push(arrived, None) { Sending::Now } else { Sending::InTurn }
    }
}
