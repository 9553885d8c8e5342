//! Where the session managers of a node are, and what they are asked.

use super::{
    claim::{BindError, Claim, ResumeError},
    unfinished,
    work::Work,
};
use crate::future::BoxFuture;
use crate::hasher::Hasher;
use crate::remote::Elsewhere;
use crate::resource::{Dirty, Ended, FrozenWaiting, Resource};
use arc_swap::ArcSwapOption;
use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{CallError, Ref, Reply};
use xmpp::jid::{BareJid, FullJid};

/// How long a connection waits for its manager.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// A binding, the sessions that had its name before and are not gone altogether, and what of another node it replaces.
pub(super) type Placed = (Claim, Vec<Arc<Resource>>, Elsewhere);

/// What a manager is asked.
#[derive(Debug)]
pub enum Msg {
    /// Bind this resource, or one that the server chooses.
    Bind(BareJid, Option<FullJid>, Reply<Result<Placed, BindError>>),
    /// Resume the session with this token.
    Resume(BareJid, String, Reply<Result<Claim, ResumeError>>),
    /// The connection of this resource is gone; it can be resumed for that long, `None`: as long as
    /// was agreed on, or not at all.
    Lost(Arc<Resource>, Option<Duration>),
    /// Which sessions wait to be resumed, for another process.
    Freeze(Reply<Vec<FrozenWaiting>>),
    /// End this session; answered when its end has begun, if anybody waits for that.
    End(Arc<Resource>, Ended, Option<Reply<()>>),
    /// The store has this session without something that came for it since.
    Changed(Arc<Resource>),
    /// The store did not take this of a session: it is to be tried again.
    Again(Arc<Resource>, Work),
    /// Have this done: see [`super::finish`].
    Finish(unfinished::Work),
    /// A window may be over.
    Alarm,
}

/// What everybody knows of one manager.
#[derive(Debug, Default)]
pub(super) struct Place {
    address: ArcSwapOption<Ref<Msg>>,
    /// It did not take a lost session: it has to look for it.
    missed: AtomicBool,
    /// Sessions whose ends it has begun.
    ending: AtomicUsize,
    /// Sessions of which the store is to be told.
    pub(super) dirty: Arc<Dirty>,
}

impl Place {
    /// A manager has started.
    pub(super) fn enter(&self, address: Ref<Msg>) {
        self.address.store(Some(Arc::new(address)));
    }

    /// Where it is, if it runs.
    pub(super) fn address(&self) -> Option<Arc<Ref<Msg>>> {
        self.address.load_full()
    }

    /// The connection of a session is gone: see [`Msg::Lost`]. Never waits. A manager that is just being restarted
    /// finds the session in the table, and one that has too much to do looks for it later.
    pub(super) fn lost(&self, resource: Arc<Resource>, left: Option<Duration>) {
        if let Some(manager) = self.address()
            && manager.cast(Msg::Lost(resource, left)).is_err()
        {
            self.miss();
        }
    }

    /// It did not take a lost session.
    pub(super) fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        // one that was started meanwhile has looked for them already, and may have nothing else to do
        if let Some(manager) = self.address() {
            drop(manager.cast(Msg::Alarm));
        }
    }

    /// Whether it missed a lost session since it was asked.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed) && self.missed.swap(false, Ordering::Acquire)
    }

    /// It has begun to end so many sessions, which are not gone.
    pub(super) fn ends(&self, count: usize) {
        self.ending.store(count, Ordering::Relaxed);
    }
}

/// The managers of a node: each serves a share of the users.
pub struct Managers {
    places: Box<[Arc<Place>]>,
    hasher: Hasher,
}

impl fmt::Debug for Managers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Managers({})", self.places.len())
    }
}

impl Managers {
    pub(crate) fn new(count: usize) -> Self {
        let places = (0..count.max(1)).map(|_| Arc::default()).collect();
        Self { places, hasher: Hasher::default() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Which of them serves the user.
    pub(super) fn number_of(&self, user: &BareJid) -> usize {
        self.hasher.hash_one(user) as usize % self.places.len()
    }

    pub(super) fn place(&self, number: usize) -> Option<&Arc<Place>> {
        self.places.get(number)
    }

    /// The place of the user's.
    pub(super) fn of(&self, user: &BareJid) -> Option<&Arc<Place>> {
        self.place(self.number_of(user))
    }

    /// Attaches the session of that token for whoever asks, if it is here.
    pub(super) async fn claim(&self, user: &BareJid, token: &str) -> Result<Claim, ResumeError> {
        let manager = self.of(user).and_then(|place| place.address());
        let manager = manager.ok_or(ResumeError::Unavailable)?;
        let (user, token) = (user.clone(), token.to_owned());
        let answer = manager.call(|reply| Msg::Resume(user, token, reply), DEADLINE).await;
        answer.map_err(|_: CallError| ResumeError::Unavailable)?
    }

    /// Has something done by a task of its own: see [`super::finish`].
    pub(super) fn finish(&self, user: &BareJid, work: BoxFuture<()>) {
        if let Some(manager) = self.of(user).and_then(|place| place.address())
            && manager.cast(Msg::Finish(unfinished::Work(work))).is_err()
        {
            tracing::warn!("a session manager did not take what a connection had begun");
        }
    }

    /// The store did not take this of a session: it is tried again.
    pub(super) fn again(&self, resource: &Arc<Resource>, work: Work) {
        let manager = self.of(resource.user()).and_then(|place| place.address());
        if manager.is_none_or(|m| m.cast(Msg::Again(Arc::clone(resource), work)).is_err()) {
            tracing::warn!(jid = %resource.jid(), "the store is told when the next process starts");
        }
    }

    /// The store has a session without something that came for it since.
    pub(crate) fn changed(&self, resource: &Arc<Resource>) {
        if let Some(manager) = self.of(resource.user()).and_then(|place| place.address()) {
            drop(manager.cast(Msg::Changed(Arc::clone(resource))));
        }
    }

    /// Asks for the end of a session, and does not wait for it. `false`: nobody took that.
    pub(crate) fn end(&self, resource: &Arc<Resource>, why: Ended) -> bool {
        let manager = self.of(resource.user()).and_then(|place| place.address());
        manager.is_some_and(|m| m.cast(Msg::End(Arc::clone(resource), why, None)).is_ok())
    }

    /// The store was not told that a session has ended: it is told later.
    pub(crate) fn not_forgotten(&self, resource: &Arc<Resource>) {
        resource.remembered(true);
        self.again(resource, Work::Forget);
    }

    /// Those that run.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Ref<Msg>>> {
        self.places.iter().filter_map(|place| place.address())
    }

    /// How many sessions have ended whose messages are not on their way yet, or whose contacts were not told.
    pub fn ending(&self) -> usize {
        self.places.iter().map(|place| place.ending.load(Ordering::Relaxed)).sum()
    }
}
