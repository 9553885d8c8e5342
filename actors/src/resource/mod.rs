//! What outlives a connection: a bound resource with its queue, its presence and its XEP-0198 state.
//!
//! A connection process *attaches* to a [`Resource`]; when the process ends or crashes the resource
//! stays in the table until it is ended or resumed, so nothing that was accepted for the client is
//! lost with the process (law 11).
//! It holds no protocol: what to do with a queue whose window ended is decided in `sessions::end`.

mod acks;
mod asleep;
mod behind;
mod blame;
mod blocking;
mod coming;
mod copies;
mod directed;
mod frozen;
mod kept;
mod leftovers;
mod limits;
mod moving;
mod notices;
mod queue;
mod seen;
mod stored;
#[cfg(test)]
mod tests;

pub use acks::StreamManagement;
pub(crate) use asleep::{WakeError, from_store, sent_from_store, to_store, woken};
pub(crate) use behind::Flush;
pub use behind::{Counted, DELAY, Dirty};
pub use blame::BLAME;
pub use blocking::blocks;
pub use coming::Coming;
pub use copies::{Share, Shares};
pub use frozen::{FrozenResource, FrozenWaiting, Thawing};
pub(crate) use leftovers::PATIENCE;
pub use leftovers::{Left, Remains, Standing};
pub use limits::{Asking, Durability, QueueLimits};
pub use queue::{Arrived, Drained, Item, Refused, Sending};
pub use stored::{Keeping, Parked, Parking};

use crate::{clock::Clock, session::bound::Bound};
use directed::Directed;
use kept::Kept;
use leftovers::Leaving;
use parking_lot::Mutex;
use queue::{Queued, weight};
use std::{
    collections::VecDeque,
    future::poll_fn,
    num::NonZeroU64,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use storage::Blocklist;
use stored::Stored;
use tokio::sync::{Notify, Semaphore};
use xmpp::{
    jid::{BareJid, FullJid},
    stanza::{Kind, Stanza},
};

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
    diverted: Option<NonZeroU64>,
    /// How many messages are on their way into the store instead: see [`Coming`].
    coming: u32,
    /// The head of `queue` is being worked on: if the process crashes now, this is the poison.
    in_hand: bool,
    /// The client's stanza that is being handled (XEP-0198 sessions only).
    working: Option<Stanza>,
    /// What the connection with this epoch had begun when it was replaced, and still is at; whether it is a message.
    unfinished: Option<Box<(u64, Arc<Semaphore>, bool)>>,
    presence: Option<Stanza>,
    priority: Option<i8>,
    directed: Directed,
    marks: Vec<&'static str>,
    /// Whom the user blocks; `None` for nobody. Each resource has it, so that a block is in force for
    /// all of them at once.
    blocked: Option<Arc<Blocklist>>,
    sm: Option<StreamManagement>,
    kept: Kept,
    /// Since when the first that was written and not taken is that: see [`Clock::ticks`].
    first_since: u32,
    stored: Option<Box<Stored>>,
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
    /// What it had logged on with is not good any more.
    Revoked,
    /// The node has no memory for what waits for it.
    NoMemory,
    /// The node stops.
    Shutdown,
    /// The node gives up its sessions.
    Drained,
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
            coming: 0,
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
            first_since: clock.ticks(),
            stored: None,
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
        poll_fn(|cx| {
            // listens before it looks: whoever takes over after that rings for it
            let rung = rung.as_mut().poll(cx);
            if self.owner() == Owner::Attached(epoch) {
                return rung;
            }
            if rung.is_ready() {
                // may have been for a later one
                self.wake();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The connection's, and that of the one before: else one would take what the next is to hear. Of those that took over
    /// before them some may not have noticed yet: [`Resource::notified`].
    fn bell(&self, epoch: u64) -> &Notify {
        let [even, odd] = &self.bells;
        if epoch.is_multiple_of(2) { even } else { odd }
    }

    /// Wakes the connection: something but the queue has changed.
    pub fn wake(&self) {
        let epoch = self.state.lock().epoch;
        self.bell(epoch).notify_one();
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

    /// Whether it can be resumed with that token.
    pub fn has_token(&self, token: &str) -> bool {
        self.with_sm(|sm| sm.as_ref().is_some_and(|sm| sm.token.as_deref() == Some(token)))
    }

    /// How long it waits to be resumed.
    pub fn window(&self) -> Duration {
        let of = |sm: &StreamManagement| sm.token.is_some().then_some(sm.window);
        self.with_sm(|sm| sm.as_ref().and_then(of).unwrap_or_default())
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

    /// What it occupies, in bytes: what waits, what is not acknowledged, its presence, whom it sees, and what its connection
    /// holds.
    pub fn bytes(&self) -> usize {
        let held = self.held.load(Ordering::Relaxed);
        let s = self.state.lock();
        let presence = s.presence.as_ref().map_or(0, Stanza::weight);
        s.queued_bytes + s.sm.as_ref().map_or(0, |sm| sm.bytes + sm.seen.bytes()) + presence + held
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
        s.must_sleep(&self.limits);
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
            && let Some(queued) = s.queue.pop_front()
        {
            // nor is it tried with another resource
            queued.share.iter().for_each(Share::delivered);
            s.leaves_queue(queued, false, &self.clock);
        }
        let poison = s.working.take();
        if let (Some(_), Some(sm)) = (&poison, &mut s.sm) {
            sm.handled = sm.handled.wrapping_add(1);
        }
        poison
    }

    /// Takes the resource over for a new connection: the new epoch, and the parked session if the
    /// old connection left one. `None` when the session has ended, or goes over to another node.
    pub fn attach(&self) -> Option<(u64, Option<Box<Bound>>)> {
        let mut s = self.state.lock();
        if s.owner == Owner::Ended || s.is_moving() {
            return None;
        }
        let working = s.working.take();
        // the old connection goes on with what it had begun: the client must not send it again
        if let (Owner::Attached(before), Some(what), Some(sm)) = (s.owner, working, &mut s.sm) {
            sm.handled = sm.handled.wrapping_add(1);
            let done = Arc::new(Semaphore::new(0));
            s.unfinished = Some(Box::new((before, done, what.head.kind == Kind::Message)));
        }
        s.need_not_sleep();
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
        s.need_not_sleep();
        drop(s.settles());
        s.owner = Owner::Ended;
        s.ended = Some(why);
        s.parked = None;
        s.withdraw();
        let mut left = Box::new(Leaving::new(number));
        // what was written without acknowledgements is sent again
        s.kept.written().for_each(|id| left.push_kept(id));
        if let Some(sm) = s.sm.take() {
            sm.remains(&mut s.kept, &mut left);
        }
        s.queued_bytes = 0;
        for Queued { item, at, kept, share } in std::mem::take(&mut s.queue) {
            if let Item::Stanza(stanza) = item {
                left.push(Arrived { stanza, at, kept }, share, &mut s.kept);
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
