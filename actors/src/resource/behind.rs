//! Write-behind (`delivery.durability`): what changes of a connected session is in the store a moment later. Here is which sessions have changed;
//! who writes is `sessions::writer`.

use super::{Durability, FrozenWaiting, Owner, Parking, Resource, State, acks::on_wire};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use xmpp::stanza::Stanza;

/// How long a session that has changed waits until it is written: what its client acknowledges meanwhile is not.
pub const DELAY: Duration = Duration::from_millis(50);
/// Sessions of one manager that wait. At the limit what comes for another one, and what it is told, is in the store first.
const DIRTY: usize = 10_000;

/// Sessions that have changed since the store was told of them, each once, in the order in which they did. Outlives the process that writes.
#[derive(Debug, Default)]
pub struct Dirty {
    waiting: Mutex<VecDeque<(Instant, Arc<Resource>)>>,
    count: AtomicUsize,
    bell: Notify,
}

impl Dirty {
    /// One more; `false`: there are too many.
    fn push(&self, resource: &Arc<Resource>) -> bool {
        if self.count.load(Ordering::Relaxed) >= DIRTY {
            return false;
        }
        let mut waiting = self.waiting.lock();
        waiting.push_back((Instant::now(), Arc::clone(resource)));
        self.count.store(waiting.len(), Ordering::Relaxed);
        if waiting.len() == 1 {
            self.bell.notify_one();
        }
        true
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next one that has waited for [`DELAY`], when it has. For one process; can be dropped without loss.
    pub async fn next(&self) -> Arc<Resource> {
        loop {
            let first = self.waiting.lock().front().map(|(since, _)| *since + DELAY);
            match first {
                Some(at) if at > Instant::now() => sleep_until(at).await,
                Some(_) => {
                    let mut waiting = self.waiting.lock();
                    let first = waiting.pop_front();
                    self.count.store(waiting.len(), Ordering::Relaxed);
                    if let Some((_, resource)) = first {
                        return resource;
                    }
                }
                None => self.bell.notified().await,
            }
        }
    }
}

/// How many stanzas of a client were handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It does not use XEP-0198.
    Nothing,
    /// So many.
    Now(u32),
    /// It hears it when the store knows.
    Later,
}

/// What the store is told of a session that has changed.
#[derive(Debug)]
pub(crate) struct Flush {
    /// Messages that wait or are not acknowledged, and that it does not keep yet.
    pub parking: Parking,
    /// The session itself, in which they have the numbers of what is on its way there ([`FrozenWaiting::settle`]), if it can be resumed and is
    /// not there as it is: its key and epoch.
    pub session: Option<((Arc<str>, u64), FrozenWaiting)>,
}

impl State {
    /// The store is to be told of something; `false`: too many wait for that, so it has to be told first.
    pub(super) fn changes_behind(&mut self, resource: &Arc<Resource>) -> bool {
        let Some(stored) = &mut self.stored else { return true };
        if let Some(behind) = stored.behind.as_ref().filter(|_| !stored.dirty) {
            stored.dirty = behind.push(resource);
            return stored.dirty;
        }
        true
    }
}

impl Resource {
    /// Of a session of which the store may be told later: sees to that, if it was told something else last. `false`: it is to be told before
    /// its client hears anything, as there are too many of them, or since all are.
    pub fn is_told_later(self: &Arc<Self>) -> bool {
        if self.limits.durability != Durability::Behind {
            return false;
        }
        let mut s = self.state.lock();
        let now = s.counts();
        let told = s.stored.as_ref().is_none_or(|stored| stored.noted == now);
        now.is_none() || told || s.changes_behind(self)
    }

    /// The store did not take what it was told last: it is to be told again.
    pub fn is_told_again(self: &Arc<Self>) {
        let mut s = self.state.lock();
        s.stored.iter_mut().for_each(|stored| stored.noted = None);
        if matches!(s.owner, Owner::Attached(_)) {
            s.changes_behind(self);
        }
    }

    /// How many of its client's stanzas were handled, which it asks for (XEP-0198 section 4). What is in the store a moment later is said when
    /// it is there ([`Resource::ask`]): the client forgets what it hears of, and could not send it again.
    pub fn counted(&self) -> Counted {
        let mut s = self.state.lock();
        let s = &mut *s;
        let Some(sm) = &s.sm else { return Counted::Nothing };
        let (now, stored) = (s.counts(), s.stored.as_mut().filter(|_| sm.token.is_some()));
        match stored.is_some_and(|stored| stored.waits_for(sm.handled, now)) {
            true => Counted::Later,
            false => Counted::Now(sm.handled),
        }
    }

    /// The store knows that so many of its client's stanzas were handled.
    pub(crate) fn is_counted(&self, handled: u32) {
        self.is_known(Some(handled));
    }

    /// The store could not be told: what was asked for is said although it does not know of it.
    pub(crate) fn is_not_counted(&self) {
        self.is_known(None);
    }

    fn is_known(&self, handled: Option<u32>) {
        let mut s = self.state.lock();
        let State { sm, stored, .. } = &mut *s;
        let (Some(sm), Some(stored)) = (sm, stored) else { return };
        stored.knows(handled, sm.handled);
        if stored.answers() {
            drop(s);
            self.wake();
        }
    }

    /// Whether it waits for the store to be told.
    pub fn is_dirty(&self) -> bool {
        self.state.lock().stored.as_ref().is_some_and(|stored| stored.dirty)
    }

    /// What the store is told now. What it keeps the messages under is to be said ([`Resource::parked`]), and that it is over
    /// ([`Resource::was_flushed`]). `None`: it is not to be told (any more), or is just being told something else.
    pub(crate) fn flush(&self, worth: impl Fn(&Stanza) -> bool) -> Option<Flush> {
        let mut s = self.state.lock();
        let s = &mut *s;
        let attached = matches!(s.owner, Owner::Attached(_));
        let stored = s.stored.as_mut().filter(|stored| stored.dirty)?;
        if !attached {
            // it is on its way there with all that it has, or has ended
            stored.dirty = false;
            return None;
        }
        if stored.telling {
            return None;
        }
        (stored.dirty, stored.telling, stored.told) = (false, true, true);
        let key = (Arc::clone(&stored.key), stored.epoch);
        let parking = s.collect(key, worth, false);
        // at one moment: else a message that comes in between is in the session and by itself
        let session = s.next_note().map(|note| (note, self.freeze_as_cut_off(s)));
        Some(Flush { parking, session })
    }

    /// It was told, or not.
    pub fn was_flushed(&self) {
        let mut s = self.state.lock();
        s.settle_pending(None);
        if let Some(stored) = &mut s.stored {
            stored.telling = false;
            stored.over.notify_waiters();
        }
    }

    /// The client resumes a session and has got `h`: more than the store was told, which another process goes on with. It has all that is known to
    /// have been sent to it.
    pub fn catch_up(&self, h: u32) {
        let mut s = self.state.lock();
        let s = &mut *s;
        let behind = self.limits.durability == Durability::Behind;
        if !behind || s.stored.as_ref().is_none_or(|stored| !stored.restored) {
            return;
        }
        let Some(sm) = &mut s.sm else { return };
        let more = h.wrapping_sub(on_wire(sm.sent()));
        if (1..1 << 31).contains(&more) && sm.acknowledge(on_wire(sm.sent()), &mut s.kept).is_ok() {
            sm.acked += u64::from(more);
            (sm.written, sm.asked) = (sm.acked, sm.acked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::QueueLimits;
    use tokio::time::advance;

    fn resource(dirty: &Arc<Dirty>) -> Arc<Resource> {
        let limits = QueueLimits { durability: Durability::Behind, ..QueueLimits::default() };
        let jid = "juliet@localhost/balcony".parse().unwrap();
        let resource = Resource::new(jid, 1, limits, Arc::default());
        resource.keep_as(|| "token".to_owned(), Some(Arc::clone(dirty)));
        resource
    }

    fn message() -> Stanza {
        Stanza::parse(b"<message xmlns='jabber:client' type='chat'><body/></message>").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_waits_once_for_as_long_as_it_may() {
        let dirty = Arc::default();
        let (one, other) = (resource(&dirty), resource(&dirty));
        one.deliver(message()).unwrap();
        advance(DELAY / 2).await;
        other.deliver(message()).unwrap();
        one.deliver(message()).unwrap();
        assert_eq!(dirty.len(), 2);
        let since = Instant::now();
        assert!(Arc::ptr_eq(&dirty.next().await, &one));
        assert_eq!(since.elapsed(), DELAY / 2);
        assert!(Arc::ptr_eq(&dirty.next().await, &other));
        assert_eq!(since.elapsed(), DELAY);
        let flushed = one.flush(|_| true).unwrap();
        assert_eq!((flushed.parking.messages.len(), one.is_dirty()), (2, false));
        assert!(dirty.is_empty());
        // what comes while it is told is for the next time
        one.deliver(message()).unwrap();
        assert!(one.is_dirty() && one.flush(|_| true).is_none());
        one.was_flushed();
        assert_eq!(
            one.flush(|_| true).unwrap().parking.messages.len(),
            3,
            "nobody said that it has them"
        );
        assert!(other.detach(1, None));
        assert!(other.is_dirty() && other.flush(|_| true).is_none() && !other.is_dirty());
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_so_many_that_wait_the_store_is_told_first() {
        let dirty = Arc::default();
        for _ in 0..DIRTY {
            resource(&dirty).deliver(message()).unwrap();
        }
        let next = resource(&dirty);
        for _ in 0..2 {
            let refused = next.deliver(message());
            assert!(matches!(refused, Err(crate::resource::Refused::Unstored(_))));
            assert!(next.holds_as().is_some());
        }
        drop(dirty.next().await);
        next.deliver(message()).unwrap();
        assert_eq!(dirty.len(), DIRTY);
    }
}
