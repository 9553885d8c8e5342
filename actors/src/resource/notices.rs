//! What modules tell a session through its queue, and how offline storage keeps the order with it.

use super::{Item, Owner, Queued, Resource};
use std::num::NonZeroU64;
use xmpp::stanza::Kind;

impl Resource {
    /// Tells the session that a module's data of this user changed. Not counted against the queue's
    /// limit: the same notice waits at most once.
    pub fn notice(&self, module: &'static str) {
        let mut s = self.state.lock();
        let waiting = s.queue.iter().any(|q| matches!(q.item, Item::Notice(m) if m == module));
        if s.owner != Owner::Ended && !waiting {
            s.queue.push_back(Item::Notice(module).into());
            let epoch = s.epoch;
            drop(s);
            self.bell(epoch).notify_one();
        }
    }

    /// A message is kept, under the number `id`, that came after all that waits here: `module` is told
    /// when the client has got that. Until [`Resource::rejoin`] later messages are refused, so that they go the same
    /// way and do not overtake it. To one that has ended meanwhile it is the first that came after all that it leaves behind.
    pub fn divert(&self, module: &'static str, id: u64) {
        let mut s = self.state.lock();
        let ended = s.owner == Owner::Ended;
        if ended && s.coming == 0 {
            return;
        }
        let from = NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN);
        s.diverted = Some(s.diverted.map_or(from, |first| first.min(from)));
        if ended {
            return;
        }
        s.kept.again_from(id);
        // the first may be in the connection's hands
        let mut first = s.in_hand;
        s.queue.retain(|queued| {
            std::mem::take(&mut first) || !matches!(queued.item, Item::Notice(m) if m == module)
        });
        s.queue.push_back(Item::Notice(module).into());
        let epoch = s.epoch;
        drop(s);
        self.bell(epoch).notify_one();
    }

    /// Of a session that goes on in another process: all that `module` keeps may be for it. What came before that which waits
    /// here comes first.
    pub fn look_again(&self, module: &'static str) {
        let mut s = self.state.lock();
        s.kept.again_from(1);
        let first = s.queue.iter().map(|queued| queued.kept).find(|id| *id != 0);
        drop(s);
        self.divert(module, first.unwrap_or(1));
    }

    /// Whether a message is kept that the client is to get after what waits here.
    pub fn is_diverted(&self) -> bool {
        self.state.lock().diverted.is_some()
    }

    /// The client got what was kept; unless `module` is to be told of more, the queue takes messages
    /// again.
    pub fn rejoin(&self, module: &'static str) {
        let mut s = self.state.lock();
        if !s.queue.iter().any(|q| matches!(q.item, Item::Notice(m) if m == module)) {
            s.diverted = None;
        }
    }

    /// Whether the kept message of that number came after messages that wait here: those before the
    /// notice for `module` (what is behind it, a headline say, is newer), those that the store keeps under a lower number, or
    /// all, while one is on its way into the store past the queue: it may be that one.
    pub fn waits_for_queue(&self, module: &'static str, id: u64) -> bool {
        let s = self.state.lock();
        let message =
            |q: &Queued| matches!(&q.item, Item::Stanza(s) if s.head.kind == Kind::Message);
        let is_notice = |q: &Queued| matches!(q.item, Item::Notice(m) if m == module);
        let diverted = s.diverted.is_some_and(|first| id >= first.get());
        let notice = s.queue.iter().rposition(is_notice).filter(|_| diverted).unwrap_or_default();
        let older = |place: usize, q: &Queued| match q.kept {
            _ if place < notice => true,
            0 => s.coming > 0,
            kept => kept < id,
        };
        s.queue.iter().enumerate().any(|(place, q)| message(q) && older(place, q))
    }
}
