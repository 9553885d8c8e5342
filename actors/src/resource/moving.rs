//! A session that goes over to another node: the store has it for whoever adopts it, and what comes for it here waits until it is known
//! where it goes on.

use super::{Item, Owner, Resource, State};
use crate::session::bound::Bound;
use std::{pin::pin, sync::Arc};
use tokio::sync::Notify;
use xmpp::stanza::Stanza;

/// It is on its way.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// So many places of the queue are in the store; what is behind them came later.
    frozen: usize,
    over: Arc<Notify>,
}

impl State {
    /// It is copied for the store as it is now.
    pub(super) fn is_frozen(&mut self) {
        let queued = self.queue.len();
        let moving = self.stored.as_mut().and_then(|stored| stored.moving.as_mut());
        moving.into_iter().for_each(|moving| moving.frozen = queued);
    }

    /// It goes nowhere any more; whether it was about to.
    pub(super) fn settles(&mut self) -> Option<Moving> {
        let moving = self.stored.as_mut()?.moving.take()?;
        moving.over.notify_waiters();
        Some(moving)
    }

    fn moving(&self) -> Option<&Moving> {
        self.stored.as_ref()?.moving.as_ref()
    }

    pub(super) fn is_moving(&self) -> bool {
        self.moving().is_some()
    }

    /// It is over. What is kept nowhere of the queue from that place on.
    fn vanishes(&mut self, from: usize) -> Vec<Stanza> {
        (self.owner, self.presence, self.priority) = (Owner::Ended, None, None);
        (self.parked, self.sm, self.queued_bytes) = (None, None, 0);
        let queued = std::mem::take(&mut self.queue).into_iter().skip(from);
        let left =
            queued.filter(|queued| queued.kept == 0).filter_map(|queued| match queued.item {
                Item::Stanza(stanza) => Some(stanza),
                Item::Notice(_) => None,
            });
        left.collect()
    }

    /// Whether it goes on at another node: it has ended here, and for no reason.
    pub(super) fn has_moved(&self) -> bool {
        self.owner == Owner::Ended && self.ended.is_none()
    }
}

impl Resource {
    /// The connection with that epoch lets go of it for another node, and is not replaced: messages that come from now on wait
    /// ([`Resource::is_settled`]). `false` when `epoch` does not own it.
    pub(crate) fn moves(&self, epoch: u64, parked: Option<Box<Bound>>) -> bool {
        let mut s = self.state.lock();
        let ours = s.owner == Owner::Attached(epoch);
        if ours {
            (s.owner, s.parked) = (Owner::Detached, parked);
            s.must_sleep(&self.limits);
            if let Some(stored) = &mut s.stored {
                // also one that is there: as it is now
                stored.is_told_anew();
                stored.moving = Some(Moving::default());
            }
        }
        ours
    }

    /// Whether it is on its way.
    pub(crate) fn is_moving(&self) -> bool {
        self.state.lock().is_moving()
    }

    /// Resolves when it is not on its way (any more): it has gone, goes on here, or has ended.
    pub(crate) async fn is_settled(&self) {
        loop {
            let over = match self.state.lock().moving() {
                Some(moving) => Arc::clone(&moving.over),
                None => return,
            };
            let mut over = pin!(over.notified());
            over.as_mut().enable();
            if !self.is_moving() {
                return;
            }
            over.await;
        }
    }

    /// Under which key and with which epoch the store has it, if it has it.
    pub(crate) fn asleep_with(&self) -> Option<(Arc<str>, u64)> {
        let s = self.state.lock();
        s.stored.as_ref().and_then(|stored| stored.asleep_with())
    }

    /// Nobody has taken it: it waits here to be resumed. With an epoch: the store has it with that one now. Whether it was on its way.
    pub(crate) fn stays(&self, epoch: Option<u64>) -> bool {
        let mut s = self.state.lock();
        let moving = s.settles().is_some();
        if let (Some(epoch), Some(stored), true) = (epoch, &mut s.stored, moving) {
            stored.epoch = epoch;
        }
        moving
    }

    /// It goes on at another node. What came for it since the store has it and is kept nowhere, oldest first; `None`: it was not on its way.
    pub(crate) fn leaves(&self) -> Option<Vec<Stanza>> {
        let mut s = self.state.lock();
        let moving = s.settles()?;
        Some(s.vanishes(moving.frozen))
    }

    /// It ends here without a word, since its client has another by that name. What it had and the store has not, oldest first; `None`: it
    /// has ended.
    pub(crate) fn gives_way(&self) -> Option<Vec<Stanza>> {
        let mut s = self.state.lock();
        drop(s.settles());
        (s.owner != Owner::Ended).then(|| s.vanishes(0))
    }
}
