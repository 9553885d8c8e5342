//! What the store has of a session: the session itself while nobody is connected, and the messages that it holds there
//! (`storage::Sessions`).

use super::{
    Coming, Dirty, Durability, Item, Owner, PATIENCE, QueueLimits, Resource, Share, State,
    copies::Seen, kept, moving::Moving,
};
use serde::{Deserialize, Serialize};
use std::{pin::pin, sync::Arc};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use xmpp::stanza::{Kind, Stanza, Type};

/// What is known of a message that is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing: it may have to be stored first.
    Unknown,
    /// It is not stored.
    Not,
    /// The store keeps it under that number, for this session among others.
    Stored(u64),
}

/// What the store has of a session.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Under which it has it.
    pub(super) key: Arc<str>,
    /// It may have something under that key.
    pub(super) told: bool,
    /// How often it was told.
    pub(super) epoch: u64,
    /// What the connection of that epoch told it: how much was handled and sent (XEP-0198). One that takes over tells it
    /// again: what was told before may not be there yet.
    pub(super) noted: Option<(u64, u32, u64)>,
    /// It has it.
    asleep: bool,
    /// It is from a process that ended without handing it over.
    pub(super) restored: bool,
    /// How many of its client's stanzas it knows to be handled; `None`: that is not known.
    counted: Option<u32>,
    /// So many were handled when the client asked for that (XEP-0198 section 4), which it did not know then; and what the client hears now.
    asked: Option<u32>,
    answer: Option<u32>,
    /// Where it waits to be told of what changes, if that may take a moment.
    pub(super) behind: Option<Arc<Dirty>>,
    /// It waits there.
    pub(super) dirty: bool,
    /// It is to be told: what is in the queue is older than what comes.
    due: bool,
    /// It is being told.
    pub(super) telling: bool,
    /// What it has, or is being told, is without something that came since and that nobody says again.
    changed: bool,
    /// It has an old one with this epoch, since it did not take that it was resumed.
    outdated: Option<u64>,
    /// It did not take that it has ended.
    remembered: bool,
    /// Until when it can be resumed, if the store was told of that.
    until: Option<Instant>,
    pub(super) over: Arc<Notify>,
    /// It goes over to another node.
    pub(super) moving: Option<Moving>,
}

impl Stored {
    pub(super) fn new(key: Arc<str>) -> Self {
        Self { key, counted: Some(0), ..Self::default() }
    }

    /// Whether it is told a moment later that so many of its client's stanzas were handled: then the client hears it after that.
    pub(super) fn waits_for(&mut self, handled: u32, now: Option<(u64, u32, u64)>) -> bool {
        // what it did not take it is not told again before something changes, or a while has passed
        let told = self.dirty || self.telling || self.noted != now;
        let waits = self.behind.is_some() && self.counted != Some(handled) && told;
        if waits {
            self.asked = Some(handled);
        }
        waits
    }

    /// It knows that so many were handled; `None`: it cannot be told, and the client hears how many there are.
    pub(super) fn knows(&mut self, known: Option<u32>, handled: u32) {
        self.counted = known;
        let Some(asked) = self.asked else { return };
        let said = known.unwrap_or(handled);
        self.answer = Some(said);
        // the rest when it is told of that
        self.asked = Some(asked).filter(|asked| said.wrapping_sub(*asked) >= 1 << 31);
    }

    /// Whether the client is to hear something.
    pub(super) fn answers(&self) -> bool {
        self.answer.is_some()
    }

    /// What that is.
    pub(super) fn take_answer(&mut self) -> Option<u32> {
        self.answer.take()
    }

    /// It is not to be told any more.
    fn forgo(&mut self) {
        self.due = false;
        self.over.notify_waiters();
    }

    /// What it has is not all.
    pub(super) fn is_told_anew(&mut self) {
        (self.due, self.changed) = (true, true);
    }

    /// See [`Resource::asleep_with`].
    pub(super) fn asleep_with(&self) -> Option<(Arc<str>, u64)> {
        self.asleep.then(|| (Arc::clone(&self.key), self.epoch))
    }

    pub(super) fn freeze(&self) -> FrozenStored {
        FrozenStored { key: Arc::clone(&self.key), epoch: self.epoch, asleep: self.asleep }
    }

    pub(super) fn thaw(FrozenStored { key, epoch, asleep }: FrozenStored) -> Box<Self> {
        Box::new(Self { told: true, epoch, asleep, counted: None, ..Self::new(key) })
    }
}

/// The same as data.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenStored {
    key: Arc<str>,
    epoch: u64,
    asleep: bool,
}

/// What goes into the store when a session is without a connection.
#[derive(Debug)]
pub struct Parking {
    /// The key under which the store has the session.
    pub key: Arc<str>,
    /// Grows each time.
    pub epoch: u64,
    /// Messages that wait for it, oldest first, each with the time at which it arrived.
    pub messages: Vec<(u64, Stanza)>,
    /// Numbers of those that the store keeps already, and is to keep for it too.
    pub kept: Vec<u64>,
    /// The shares of those that wait for other sessions too, by their places: should all of these end before the store answers,
    /// the last one sees to it.
    shares: Vec<(usize, Seen)>,
}

/// What has become of messages since the store was asked to keep them for a session.
#[derive(Debug)]
pub enum Parked {
    /// It keeps them. Numbers of those that another session has delivered: it does not know of that.
    Kept(Vec<u64>),
    /// That took so long that they went another way: it is to forget them.
    TooLate,
}

/// Whether offline storage may keep a message of that kind (XEP-0160 section 3).
pub(super) fn is_chat(stanza: &Stanza) -> bool {
    stanza.head.kind == Kind::Message && matches!(stanza.head.ty, Type::Normal | Type::Chat)
}

impl State {
    /// All that waits for the client or was not acknowledged, oldest first: where it says what it is kept under, its stanza,
    /// when it arrived and its share.
    fn waiting(&mut self) -> impl Iterator<Item = (&mut u64, &Stanza, u64, Option<Share>)> {
        let sm = self.sm.as_mut();
        let (unacked, shares, acked) = match sm {
            Some(sm) => (Some(&mut sm.unacked), sm.shares.clone(), sm.acked),
            None => Default::default(),
        };
        let mut shares = shares.into_iter().peekable();
        let unacked = unacked.into_iter().flatten().zip(acked + 1..).map(move |(a, n)| {
            let share = shares.next_if(|(m, _)| *m == n).map(|(_, share)| share);
            (&mut a.kept, &a.stanza, a.at, share)
        });
        let queued = self.queue.iter_mut().filter_map(|q| match &q.item {
            Item::Stanza(stanza) => Some((&mut q.kept, stanza, q.at, q.share.clone())),
            Item::Notice(_) => None,
        });
        unacked.chain(queued)
    }
}

impl State {
    /// The session has lost its connection: unless nothing of it is stored, the store is to be told.
    pub(super) fn must_sleep(&mut self, limits: &QueueLimits) {
        let token = self.sm.as_ref().and_then(|sm| sm.token.as_deref());
        if let Some(token) = token.filter(|_| limits.durability != Durability::Memory) {
            let new = || Box::new(Stored::new(limits.key(token)));
            let stored = self.stored.get_or_insert_with(new);
            stored.due = !stored.asleep;
        }
    }

    /// See [`Resource::to_note`].
    pub(super) fn next_note(&mut self) -> Option<(Arc<str>, u64)> {
        let now = Some(self.counts()?);
        let stored = self.stored.as_mut().filter(|stored| stored.noted != now)?;
        (stored.noted, stored.epoch, stored.told) = (now, stored.epoch + 1, true);
        Some((Arc::clone(&stored.key), stored.epoch))
    }

    /// How many of the client's stanzas were handled.
    fn handled(&self) -> Option<u32> {
        self.sm.as_ref().map(|sm| sm.handled)
    }

    /// How much was handled and sent with a session that can be resumed, by which connection.
    pub(super) fn counts(&self) -> Option<(u64, u32, u64)> {
        let sm = self.sm.as_ref().filter(|sm| sm.token.is_some())?;
        Some((self.epoch, sm.handled, sm.sent()))
    }

    /// What was on its way into the store is there under these numbers; `None`: it is not.
    pub(super) fn settle_pending(&mut self, ids: Option<&[u64]>) {
        self.kept.stored(ids);
        self.leaving.iter_mut().for_each(|leaving| leaving.stored(ids));
        self.waiting().for_each(|(id, ..)| *id = kept::settled(*id, ids));
    }

    /// What goes into the store of what waits, of which the messages that are `worth` it are to be kept; their places have the numbers of
    /// what is on its way there. `all`: what is kept for anybody is to be held too; else what is kept for other sessions.
    pub(super) fn collect(
        &mut self,
        (key, epoch): (Arc<str>, u64),
        worth: impl Fn(&Stanza) -> bool,
        all: bool,
    ) -> Parking {
        let (messages, kept, shares) = Default::default();
        let mut parking = Parking { key, epoch, messages, kept, shares };
        for (id, stanza, at, share) in self.waiting() {
            let held = *id != 0 && !all;
            *id = share.as_ref().map_or(0, Share::kept).max(*id);
            if held || *id & kept::AWAY != 0 {
                continue;
            }
            if *id != 0 {
                parking.kept.push(*id);
            } else if is_chat(stanza) && worth(stanza) {
                let place = parking.messages.len();
                *id = kept::PENDING + place as u64;
                parking.messages.push((at, stanza.clone()));
                parking.shares.extend(share.map(|share| (place, share.seen())));
            }
        }
        parking
    }

    /// It goes on with a connection, or has ended.
    pub(super) fn need_not_sleep(&mut self) {
        self.stored.iter_mut().for_each(|stored| stored.forgo());
    }
}

impl Resource {
    /// Whether a message has to be in the store before it is delivered; if it may be there later, it will be.
    pub(super) fn must_store(self: &Arc<Self>, s: &mut State) -> bool {
        match self.limits.durability {
            Durability::Always => true,
            Durability::Behind => s.owner == Owner::Detached || !s.changes_behind(self),
            Durability::Detached => s.owner == Owner::Detached,
            Durability::Memory => false,
        }
    }

    /// The key under which the store keeps what has to be there before it is delivered; `None`: nothing has to, or it has
    /// ended.
    pub fn holds_as(self: &Arc<Self>) -> Option<(Arc<str>, Coming)> {
        let mut s = self.state.lock();
        if !self.must_store(&mut s) || s.owner == Owner::Ended {
            return None;
        }
        let key = if let Some(stored) = &mut s.stored {
            stored.told = true;
            Arc::clone(&stored.key)
        } else {
            self.limits.key(s.sm.as_ref()?.token.as_deref()?)
        };
        Some((key, Coming::past(self, &mut s)))
    }

    /// The store is to keep what waits for it although there is a connection: under the key of this token, unless it has one already.
    /// What may be there later waits in `behind`.
    pub fn keep_as(&self, token: impl FnOnce() -> String, behind: Option<Arc<Dirty>>) {
        let mut s = self.state.lock();
        let s = &mut *s;
        if s.stored.is_none() {
            let token = s.sm.as_ref().and_then(|sm| sm.token.clone()).unwrap_or_else(token);
            s.stored = Some(Box::new(Stored::new(self.limits.key(&token))));
        }
        let behind = behind.filter(|_| self.limits.durability == Durability::Behind);
        s.stored.iter_mut().for_each(|stored| stored.behind.clone_from(&behind));
    }

    /// The store was told something of it by somebody else.
    #[cfg(test)]
    pub fn was_told(&self) {
        self.state.lock().stored.iter_mut().for_each(|stored| stored.told = true);
    }

    /// Whether the store keeps what waits for it although there is a connection, at once or a moment later.
    pub fn is_kept(&self) -> bool {
        self.limits.durability.has_connected()
    }

    /// Whether the connection with that epoch has it, and it goes on when the node has ended, however that ends.
    pub fn outlives(&self, epoch: u64) -> bool {
        let s = self.state.lock();
        let resumable = s.sm.as_ref().is_some_and(|sm| sm.token.is_some());
        self.is_kept() && resumable && s.owner == Owner::Attached(epoch)
    }

    /// Whether it goes on with a connection, of which the store is told before the client hears anything, or a moment later: what it has until
    /// then is true.
    pub fn is_noted(&self) -> bool {
        self.is_kept() && matches!(self.owner(), Owner::Attached(_))
    }

    /// What the store has to be told before anything is written to the client, of a session that can be resumed: under which
    /// key it has that, and how often it was told. The client's stanzas that were handled and what was sent to it count when
    /// it can be resumed with them.
    pub fn to_note(&self) -> Option<(Arc<str>, u64)> {
        if !self.is_kept() {
            return None;
        }
        let mut s = self.state.lock();
        s.next_note()
    }

    /// The same, since something waits for the client that the store does not keep by itself, and a stanza counts as handled
    /// with it. Not if it may be told later.
    pub fn to_note_again(&self) -> Option<(Arc<str>, u64)> {
        if self.limits.durability != Durability::Always {
            return None;
        }
        self.state.lock().stored.as_mut()?.noted.take()?;
        self.to_note()
    }

    /// Of a session of which the store knows how much of its client's was handled: under which key, and how much with the stanza that
    /// is being handled. What a connection that was replaced is still at counts already.
    pub fn handles_with_this(&self) -> Option<(String, u32)> {
        if !self.is_kept() {
            return None;
        }
        let s = self.state.lock();
        let (stored, sm) = (s.stored.as_ref()?, s.sm.as_ref()?);
        let with_this = match (&s.unfinished, &s.working) {
            (Some(_), _) => sm.handled,
            (None, Some(_)) => sm.handled.wrapping_add(1),
            (None, None) => return None,
        };
        stored.noted.map(|_| (stored.key.to_string(), with_this))
    }

    /// What the store has to be told of a session without a connection, of which it keeps the messages that are `worth` it;
    /// `None`: nothing. What it keeps them under is to be said ([`Resource::parked`]), and that it is over
    /// ([`Resource::told_store`]). It can be resumed until then.
    pub fn park(&self, until: Instant, worth: impl Fn(&Stanza) -> bool) -> Option<Parking> {
        let mut s = self.state.lock();
        if s.owner != Owner::Detached || self.limits.durability == Durability::Memory {
            return None;
        }
        let s = &mut *s;
        let token = s.sm.as_ref()?.token.as_deref()?;
        let new = || Box::new(Stored::new(self.limits.key(token)));
        let stored = s.stored.get_or_insert_with(new);
        if stored.telling {
            return None;
        }
        let key = Arc::clone(&stored.key);
        (stored.telling, stored.changed, stored.told) = (true, false, true);
        (stored.epoch, stored.until) = (stored.epoch + 1, Some(until));
        let epoch = stored.epoch;
        Some(s.collect((key, epoch), worth, true))
    }

    /// The store keeps these messages under these numbers.
    pub fn parked(&self, parking: Parking, ids: &[u64]) -> Parked {
        let mut s = self.state.lock();
        if s.stored.as_ref().is_none_or(|stored| !stored.telling) {
            return Parked::TooLate;
        }
        s.settle_pending(Some(ids));
        drop(s);
        let mut delivered = Vec::new();
        for (place, share) in parking.shares {
            if let (Some(id), Some(share)) = (ids.get(place), share.share()) {
                share.keep(*id);
                delivered.extend(share.is_delivered().then_some(*id));
            }
        }
        Parked::Kept(delivered)
    }

    /// The store was told: whether it has the session now.
    pub fn told_store(&self, asleep: bool) {
        let mut s = self.state.lock();
        // what is not known to be there is not there
        s.settle_pending(None);
        let counted = s.handled().filter(|_| asleep);
        if let Some(stored) = &mut s.stored {
            (stored.telling, stored.asleep, stored.noted) = (false, asleep, None);
            // whoever resumes it asks again
            (stored.asked, stored.answer, stored.counted) = (None, None, counted);
            stored.forgo();
        }
    }

    /// Whether nobody is connected and the store is to have the session.
    pub fn can_sleep(&self) -> bool {
        let s = self.state.lock();
        let resumable = s.sm.as_ref().is_some_and(|sm| sm.token.is_some());
        resumable && s.owner == Owner::Detached && self.limits.durability != Durability::Memory
    }

    /// The same, and the store does not have it as it is.
    pub fn should_sleep(&self) -> bool {
        self.can_sleep() && {
            let s = self.state.lock();
            s.stored.as_ref().is_none_or(|stored| !stored.asleep || stored.changed)
        }
    }

    /// Something waits for it that is in no store, and that nobody says again: whether the store has the session without
    /// that, and nobody sees to it yet.
    pub fn changes(&self) -> bool {
        let mut s = self.state.lock();
        if s.is_moving() {
            // it follows it
            return false;
        }
        let stored = s.stored.as_mut().filter(|stored| stored.asleep || stored.telling);
        stored.is_some_and(|stored| !std::mem::replace(&mut stored.changed, true))
    }

    /// Until when one can be resumed that waits and that the store did not take.
    pub fn was_refused(&self) -> Option<Instant> {
        let s = self.state.lock();
        let stored =
            s.stored.as_ref().filter(|stored| !stored.asleep && !stored.telling && !stored.due)?;
        stored.until.filter(|_| s.owner == Owner::Detached)
    }

    /// A process goes on with it that did not have it: the store has it under this key, and nobody knows who its client's contacts are
    /// now.
    pub fn restored(&self, key: &str, epoch: u64) {
        let mut s = self.state.lock();
        let counted = s.handled();
        if let Some(stored) = &mut s.stored {
            stored.key = key.into();
            (stored.epoch, stored.asleep, stored.restored) = (epoch, true, true);
            (stored.told, stored.counted) = (true, counted);
            stored.forgo();
        }
    }

    /// Whether its client is to be told anew who is there, since a process started: once.
    pub fn was_restored(&self) -> bool {
        let mut s = self.state.lock();
        s.stored.as_mut().is_some_and(|stored| std::mem::take(&mut stored.restored))
    }

    /// The store did not take that the session was resumed: what it has is old, with this epoch.
    pub fn outdated(&self) -> u64 {
        let mut s = self.state.lock();
        let stored = s.stored.as_mut();
        stored.map_or(0, |stored| *stored.outdated.insert(stored.epoch))
    }

    /// Whether what the store has with that epoch is old, as far as is known.
    pub fn is_outdated(&self, epoch: u64) -> bool {
        let s = self.state.lock();
        s.stored.as_ref().is_some_and(|stored| stored.outdated == Some(epoch))
    }

    /// The store has nothing old of it.
    pub fn up_to_date(&self) {
        self.state.lock().stored.iter_mut().for_each(|stored| stored.outdated = None);
    }

    /// The session has ended, and the store did not take that; or it has now.
    pub fn remembered(&self, still: bool) {
        self.state.lock().stored.iter_mut().for_each(|stored| stored.remembered = still);
    }

    /// Whether the store did not take that it has ended.
    pub fn is_remembered(&self) -> bool {
        self.state.lock().stored.as_ref().is_some_and(|stored| stored.remembered)
    }

    /// The key of a session that the store has and is to forget; `None`: it does not have it.
    pub fn asleep_as(&self) -> Option<Arc<str>> {
        let s = self.state.lock();
        s.stored.as_ref().filter(|stored| stored.asleep).map(|stored| Arc::clone(&stored.key))
    }

    /// Resolves when the store is not being told of the session, nor is to be; `false`: it is, after [`PATIENCE`].
    pub async fn store_is_told(&self) -> bool {
        self.store_comes_to(|stored| !stored.due && !stored.telling).await
    }

    /// Resolves when nobody tells the store of the session; `false`: somebody does, after [`PATIENCE`].
    pub async fn store_can_be_told(&self) -> bool {
        self.store_comes_to(|stored| !stored.telling).await
    }

    async fn store_comes_to(&self, that: impl Fn(&Stored) -> bool) -> bool {
        let over = async {
            loop {
                let over = match &self.state.lock().stored {
                    Some(stored) if !that(stored) => Arc::clone(&stored.over),
                    _ => return,
                };
                let mut over = pin!(over.notified());
                over.as_mut().enable();
                if self.state.lock().stored.as_deref().is_none_or(&that) {
                    return;
                }
                over.await;
            }
        };
        timeout(PATIENCE, over).await.is_ok()
    }

    /// The same, if it was given to anybody who tells the store something.
    pub fn told_as(&self) -> Option<Arc<str>> {
        let s = self.state.lock();
        s.stored.as_ref().filter(|stored| stored.told).map(|stored| Arc::clone(&stored.key))
    }

    /// The key under which the store has the session or holds messages for it, if it is to.
    pub fn stored_as(&self) -> Option<Arc<str>> {
        self.state.lock().stored.as_ref().map(|stored| Arc::clone(&stored.key))
    }
}
