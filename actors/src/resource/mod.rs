//! What outlives a connection: a bound resource with its queue, its presence and its XEP-0198 state.
//!
//! A connection process *attaches* to a [`Resource`]; when the process ends or crashes the resource
//! stays in the table until it is ended or resumed, so nothing that was accepted for the client is
//! lost with the process (law 11).
//! It holds no protocol: what to do with a queue whose window ended is decided in `sessions::end`.

mod acks;
mod blocking;
mod copies;
mod directed;
mod frozen;
mod kept;
mod leftovers;
mod limits;
mod notices;
#[cfg(test)]
mod tests;

pub use acks::StreamManagement;
use blocking::blocked;
pub use blocking::blocks;
pub use copies::{Share, Shares};
pub use frozen::{FrozenResource, FrozenWaiting, Thawing};
pub(crate) use leftovers::PATIENCE;
pub use leftovers::{Left, Remains, Standing};
pub use limits::QueueLimits;

use crate::{clock::Clock, session::bound::Bound};
use directed::Directed;
use kept::Kept;
use leftovers::Leaving;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::Blocklist;
use tokio::sync::{Notify, Semaphore};
use xmpp::{
    jid::{BareJid, FullJid},
    stanza::{Kind, Stanza, Type},
};

/// Why a delivery was refused; the stanza comes back to whoever routes it.
#[derive(Debug)]
pub enum Refused {
    /// The queue is at its limit, or what did not fit into it has to come first.
    Full(Stanza),
    /// The session has ended in the meantime.
    Ended(Stanza),
    /// The user blocks the sender (XEP-0191).
    Blocked(Stanza),
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
}

/// One place in the queue.
#[derive(Debug)]
struct Queued {
    item: Item,
    /// See [`Arrived::at`].
    at: u64,
    /// Other resources of the user have it too.
    share: Option<Share>,
}

impl From<Arrived> for Queued {
    fn from(Arrived { stanza, at }: Arrived) -> Self {
        Self { item: Item::Stanza(stanza), at, share: None }
    }
}

impl From<Item> for Queued {
    fn from(item: Item) -> Self {
        Self { item, at: 0, share: None }
    }
}

/// Who serves the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The connection that attached with this epoch.
    Attached(u64),
    /// Nobody: the connection was lost and the resume window runs.
    Detached,
    /// Ended; nothing is accepted any more.
    Ended,
}

#[derive(Debug)]
struct State {
    owner: Owner,
    epoch: u64,
    /// When it was bound: see [`Clock::seconds`].
    since: u32,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// From which number on offline storage keeps messages that are newer than those in `queue`: see
    /// [`Resource::divert`].
    diverted: Option<u64>,
    /// The head of `queue` is being worked on: if the process crashes now, this is the poison.
    in_hand: bool,
    /// The client's stanza that is being handled (XEP-0198 sessions only).
    working: Option<Stanza>,
    /// What the connection with this epoch had begun when it was replaced, and still is at.
    unfinished: Option<Box<(u64, Arc<Semaphore>)>>,
    presence: Option<Stanza>,
    priority: Option<i8>,
    directed: Directed,
    marks: Vec<&'static str>,
    /// Whom the user blocks; `None` for nobody. Each resource has it, so that a block is in force for
    /// all of them at once.
    blocked: Option<Arc<Blocklist>>,
    sm: Option<StreamManagement>,
    kept: Kept,
    parked: Option<Box<Bound>>,
    /// Why it ended, for the connection that served it.
    ended: Option<Ended>,
    /// It was available, and not everybody knows that it is not any more.
    untold: Option<Box<Remains>>,
    /// It has ended, and this has to go on its way.
    leaving: Option<Box<Leaving>>,
}

/// Why a session was ended from outside its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its own connection.
    Closed,
    /// Another session took its resource (RFC 6120 section 7.7.2.2).
    Conflict,
    /// An operator, or a module, ended it.
    Kicked,
    /// Its account was removed.
    Removed,
    /// The node has no memory for what waits for it.
    NoMemory,
    /// The node stops.
    Shutdown,
}

/// A bound resource.
#[derive(Debug)]
pub struct Resource {
    jid: FullJid,
    user: BareJid,
    id: u64,
    limits: QueueLimits,
    clock: Arc<Clock>,
    /// The connection's bell, and that of the one before, which has to hear that it was replaced.
    bells: [Notify; 2],
    /// What its connections hold for the client besides, in bytes.
    held: AtomicUsize,
    state: Mutex<State>,
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
fn weight(stanza: &Stanza) -> usize {
    stanza.weight() + size_of::<Queued>()
}

impl Resource {
    /// A new resource, attached with epoch 1.
    pub fn new(jid: FullJid, id: u64, limits: QueueLimits, clock: Arc<Clock>) -> Arc<Self> {
        let state = State {
            owner: Owner::Attached(1),
            epoch: 1,
            since: clock.seconds(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            diverted: None,
            in_hand: false,
            working: None,
            unfinished: None,
            presence: None,
            priority: None,
            directed: Directed::default(),
            marks: Vec::new(),
            blocked: None,
            sm: None,
            kept: Kept::default(),
            parked: None,
            ended: None,
            untold: None,
            leaving: None,
        };
        let user = jid.bare();
        let (bells, state) = ([Notify::new(), Notify::new()], Mutex::new(state));
        let held = AtomicUsize::new(0);
        Arc::new(Self { jid, user, id, limits, clock, bells, held, state })
    }

    /// The full JID.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The bare JID.
    pub fn user(&self) -> &BareJid {
        &self.user
    }

    /// The session's number, never used twice on a node.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// For how long it has been bound, in whatever process, to the second.
    pub fn age(&self) -> Duration {
        self.age_of(&self.state.lock())
    }

    fn age_of(&self, state: &State) -> Duration {
        Duration::from_secs(self.clock.seconds().wrapping_sub(state.since).into())
    }

    /// Resolves when something waits for the connection that attached with `epoch`, or it owns the resource no
    /// longer.
    pub async fn notified(&self, epoch: u64) {
        let mut rung = pin!(self.bell(epoch).notified());
        // listens before it looks: whoever takes over after that rings for it
        let at_once = rung.as_mut().enable();
        if self.owner() != Owner::Attached(epoch) {
            if at_once {
                // may have been for a later one
                self.wake();
            }
        } else if !at_once {
            rung.await;
        }
    }

    /// The connection's, and that of the one before: else one would take what the next is to hear. Of those that took over
    /// before them some may not have noticed yet: [`Resource::notified`].
    fn bell(&self, epoch: u64) -> &Notify {
        let [even, odd] = &self.bells;
        if epoch.is_multiple_of(2) { even } else { odd }
    }

    /// Puts a stanza into the queue.
    ///
    /// # Errors
    /// The stanza comes back when the queue is full, the session has ended, or its sender is blocked.
    pub fn deliver(&self, stanza: Stanza) -> Result<(), Refused> {
        self.put(stanza, None)
    }

    /// Puts a message into the queue that other resources of the user get too.
    ///
    /// # Errors
    /// As [`Resource::deliver`]; the share is given back by dropping it.
    pub fn deliver_shared(&self, stanza: Stanza, share: Share) -> Result<(), Refused> {
        self.put(stanza, Some(share))
    }

    /// When a stanza that comes now arrives: see [`Arrived::at`].
    fn now(&self, stanza: &Stanza) -> u64 {
        if stanza.head.kind == Kind::Message { self.clock.millis() } else { 0 }
    }

    fn put(&self, stanza: Stanza, share: Option<Share>) -> Result<(), Refused> {
        let at = self.now(&stanza);
        let mut s = self.state.lock();
        if s.owner == Owner::Ended {
            return Err(Refused::Ended(stanza));
        }
        if blocked(s.blocked.as_deref(), &self.user, stanza.head.from.as_ref()) {
            return Err(Refused::Blocked(stanza));
        }
        let bytes = weight(&stanza);
        let behind = s.diverted.is_some()
            && stanza.head.kind == Kind::Message
            && matches!(stanza.head.ty, Type::Normal | Type::Chat);
        if behind {
            return Err(Refused::Full(stanza));
        }
        if s.queue.len() >= self.limits.queued || s.queued_bytes + bytes > self.limits.queued_bytes
        {
            return Err(Refused::Full(stanza));
        }
        s.queued_bytes += bytes;
        s.queue.push_back(Queued { item: Item::Stanza(stanza), at, share });
        let (first, epoch) = (s.queue.len() == 1, s.epoch);
        drop(s);
        if first {
            self.bell(epoch).notify_one();
        }
        Ok(())
    }

    /// Wakes the connection: something but the queue has changed.
    pub fn wake(&self) {
        let epoch = self.state.lock().epoch;
        self.bell(epoch).notify_one();
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
            if let Some(Queued { item: Item::Stanza(stanza), at, share }) = s.queue.pop_front() {
                s.queued_bytes = s.queued_bytes.saturating_sub(weight(&stanza));
                match (verdict, &mut s.sm) {
                    (Drained::Sent, Some(sm)) => {
                        sm.push(Arrived { stanza, at }, share);
                    }
                    (Drained::Sent, None) => {
                        if let Some(share) = share {
                            share.delivered();
                        }
                    }
                    (Drained::Dropped | Drained::Held, _) => {}
                }
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

    /// A stanza goes to the client without having waited in the queue (an answer of the server):
    /// kept until acknowledged.
    pub fn sent(&self, epoch: u64, stanza: &Stanza) -> Sending {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return Sending::Elsewhere;
        }
        let Some(sm) = &mut s.sm else { return Sending::Now };
        let arrived = Arrived { stanza: stanza.clone(), at: self.now(stanza) };
        if sm.push(arrived, None) { Sending::Now } else { Sending::InTurn }
    }

    /// A stanza of the client is being worked on: if that crashes, it is the poison. `false` when
    /// `epoch` no longer owns the resource: the client sends it again over the connection that does.
    pub fn begin(&self, epoch: u64, stanza: &Stanza) -> bool {
        let mut s = self.state.lock();
        let ours = s.owner == Owner::Attached(epoch);
        if ours {
            s.working = Some(stanza.clone());
        }
        ours
    }

    /// It was handled: counted for XEP-0198, unless another connection has taken over, which counted
    /// it then.
    pub fn finish(&self, epoch: u64) {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return s.settled(epoch);
        }
        s.working = None;
        if let Some(sm) = &mut s.sm {
            sm.handled = sm.handled.wrapping_add(1);
        }
    }

    /// Reads or changes the XEP-0198 state.
    pub fn with_sm<R>(&self, f: impl FnOnce(&mut Option<StreamManagement>) -> R) -> R {
        f(&mut self.state.lock().sm)
    }

    /// Who owns the resource.
    pub fn owner(&self) -> Owner {
        self.state.lock().owner
    }

    /// Why it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.state.lock().ended
    }

    /// The last available presence and its priority.
    pub fn presence(&self) -> Option<(Stanza, i8)> {
        let s = self.state.lock();
        s.presence.clone().zip(s.priority)
    }

    /// The priority, `None` while not available.
    pub fn priority(&self) -> Option<i8> {
        self.state.lock().priority
    }

    /// The resource is available with this presence and priority; `false`: it has ended meanwhile.
    pub fn set_presence(&self, presence: Stanza, priority: i8) -> bool {
        let mut s = self.state.lock();
        let lives = s.owner != Owner::Ended;
        if lives {
            (s.presence, s.priority) = (Some(presence), Some(priority));
        }
        lives
    }

    /// Marks the resource (e.g. as interested in roster pushes, RFC 6121 section 2.2).
    pub fn mark(&self, mark: &'static str) {
        let mut s = self.state.lock();
        if !s.marks.contains(&mark) {
            s.marks.push(mark);
        }
    }

    /// Whether the resource has the mark.
    pub fn marked(&self, mark: &str) -> bool {
        self.state.lock().marks.contains(&mark)
    }

    /// How many items wait.
    pub fn queued(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// What it occupies, in bytes: what waits, what is not acknowledged, its presence, and what its connection
    /// holds.
    pub fn bytes(&self) -> usize {
        let held = self.held.load(Ordering::Relaxed);
        let s = self.state.lock();
        let presence = s.presence.as_ref().map_or(0, Stanza::weight);
        s.queued_bytes + s.sm.as_ref().map_or(0, |sm| sm.bytes) + presence + held
    }

    /// A connection that held so many bytes for the client holds so many now.
    pub(crate) fn holds(&self, before: usize, now: usize) {
        if now >= before {
            self.held.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Lets the connection go: the session's state is parked here until somebody resumes it.
    /// `false` when `epoch` does not own the resource (any more).
    pub fn detach(&self, epoch: u64, parked: Option<Box<Bound>>) -> bool {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            s.settled(epoch);
            return false;
        }
        s.owner = Owner::Detached;
        s.parked = parked;
        true
    }

    /// The connection crashed: what it was working on is not executed a second time. A poisonous
    /// stanza of the client counts as handled and is returned, for its error answer; one on its way
    /// to the client is dropped.
    pub fn crashed(&self, epoch: u64) -> Option<Stanza> {
        let mut s = self.state.lock();
        if s.owner != Owner::Attached(epoch) {
            return None;
        }
        if std::mem::take(&mut s.in_hand)
            && let Some(Queued { item: Item::Stanza(stanza), share, .. }) = s.queue.pop_front()
        {
            s.queued_bytes = s.queued_bytes.saturating_sub(weight(&stanza));
            // nor is it tried with another resource
            if let Some(share) = share {
                share.delivered();
            }
        }
        let poison = s.working.take();
        if let (Some(_), Some(sm)) = (&poison, &mut s.sm) {
            sm.handled = sm.handled.wrapping_add(1);
        }
        poison
    }

    /// Takes the resource over for a new connection: the new epoch, and the parked session if the
    /// old connection left one. `None` when the session has ended.
    pub fn attach(&self) -> Option<(u64, Option<Box<Bound>>)> {
        let mut s = self.state.lock();
        if s.owner == Owner::Ended {
            return None;
        }
        let working = s.working.take();
        // the old connection goes on with what it had begun: the client must not send it again
        if let (Owner::Attached(before), Some(_), Some(sm)) = (s.owner, working, &mut s.sm) {
            sm.handled = sm.handled.wrapping_add(1);
            s.unfinished = Some(Box::new((before, Arc::new(Semaphore::new(0)))));
        }
        s.epoch += 1;
        s.owner = Owner::Attached(s.epoch);
        s.in_hand = false;
        let attached = (s.epoch, s.parked.take());
        drop(s);
        self.bell(attached.0 - 1).notify_one();
        Some(attached)
    }

    /// Ends the session, once; `false`: it had ended already. What has to be said of it, what was not
    /// acknowledged and what was never sent is left: see [`Resource::untold`] and [`Resource::leftover`].
    /// Sessions that end later get a larger `number`.
    pub fn end(&self, why: Ended, number: u64) -> bool {
        let mut s = self.state.lock();
        if s.owner == Owner::Ended {
            return false;
        }
        s.owner = Owner::Ended;
        s.ended = Some(why);
        s.parked = None;
        s.withdraw();
        let mut left = Box::new(Leaving::new(number));
        if let Some(sm) = s.sm.take() {
            sm.remains(&s.kept, &mut left);
        }
        s.kept.end();
        s.queued_bytes = 0;
        for Queued { item, at, share } in std::mem::take(&mut s.queue) {
            if let Item::Stanza(stanza) = item
                && share.is_none_or(Share::given_up)
            {
                left.push(Arrived { stanza, at });
            }
        }
        s.leaving = Some(left);
        let epoch = s.epoch;
        drop(s);
        self.bell(epoch).notify_one();
        true
    }

    /// Ends the session without a word: another process goes on with it.
    pub fn let_go(&self) {
        self.end(Ended::Shutdown, 0);
        let mut s = self.state.lock();
        (s.untold, s.leaving) = (None, None);
    }
}
