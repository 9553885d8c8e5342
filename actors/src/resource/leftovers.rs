//! What a session that ended leaves behind: kept here until it is on its way, oldest first, so that
//! nothing newer for the user can overtake it. Where it goes is decided in `sessions::end`.

use super::{
    Arrived, Resource, State,
    copies::Share,
    kept::{AWAY, Kept, PENDING, settled},
    stored::is_chat,
};
use std::{
    collections::{HashSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use xmpp::{jid::Jid, stanza::Stanza};

/// How long what is newer waits for what sessions that ended leave behind: longer only a store that does not
/// answer takes, and then the senders of the older ones are told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How a resource stands to messages for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes those that fit this priority.
    Available(i8),
    /// It takes none.
    Away,
    /// It has ended, and what it leaves behind has to go first.
    Leaving,
}

/// One of the things that are left.
#[derive(Clone, Debug)]
pub enum Left {
    /// A stanza that has to go on its way again.
    Stanza(Arrived),
    /// Messages that the store keeps under these numbers, and that came after those before.
    Kept(Vec<u64>),
}

/// What has to be said of a session that is not available any more.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// The presence contacts still see.
    pub presence: Option<Stanza>,
    /// Who got directed presence.
    pub directed: Vec<Jid>,
}

/// All that is left of a session.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Sessions that ended later have larger ones.
    number: u64,
    one_at_a_time: Arc<Mutex<()>>,
    pub(super) over: Arc<Notify>,
    left: VecDeque<Left>,
    /// Messages of it went on their way.
    passed: bool,
    /// The largest number of those that went on their way and that the store keeps.
    last: u64,
}

impl Leaving {
    pub(super) fn new(number: u64) -> Self {
        let (one_at_a_time, over, left, passed, last) = Default::default();
        Self { number, one_at_a_time, over, left, passed, last }
    }

    /// The next one, unless another session of the user has it or will have it.
    pub(super) fn push(&mut self, arrived: Arrived, share: Option<Share>, kept: &mut Kept) {
        if arrived.kept & AWAY != 0 {
            return;
        }
        if arrived.kept == 0 || arrived.kept >= PENDING {
            // the store may keep it for another session alone, which is gone
            let elsewhere = share.as_ref().map_or(0, Share::kept);
            match share.is_none_or(Share::given_up).then_some(elsewhere) {
                Some(0) => self.left.push_back(Left::Stanza(arrived)),
                Some(id) => self.push_kept(id),
                None => {}
            }
        } else if share.as_ref().is_some_and(Share::is_delivered) {
            kept.done_with(arrived.kept, share);
        } else {
            self.push_kept(arrived.kept);
        }
    }

    /// What was on its way into the store is there under these numbers; `None`: it is not.
    pub(super) fn stored(&mut self, ids: Option<&[u64]>) {
        for left in std::mem::take(&mut self.left) {
            match left {
                Left::Stanza(mut arrived) => {
                    arrived.kept = settled(arrived.kept, ids);
                    match arrived.kept {
                        0 => self.left.push_back(Left::Stanza(arrived)),
                        id => self.push_kept(id),
                    }
                }
                Left::Kept(ids) => ids.into_iter().for_each(|id| self.push_kept(id)),
            }
        }
    }

    /// The store keeps the next one.
    pub(super) fn push_kept(&mut self, id: u64) {
        match self.left.back_mut() {
            Some(Left::Kept(ids)) => ids.push(id),
            _ => self.left.push_back(Left::Kept(vec![id])),
        }
    }

    /// The numbers of those that the store keeps.
    fn kept(&self) -> impl Iterator<Item = u64> {
        let kept = self.left.iter().filter_map(|left| match left {
            Left::Kept(ids) => Some(ids),
            Left::Stanza(_) => None,
        });
        kept.flatten().copied()
    }

    /// Whether nothing has to go on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

impl State {
    /// A connection that was replaced has nothing more to do.
    pub(super) fn settled(&mut self, epoch: u64) {
        if let Some(unfinished) = self.unfinished.take_if(|of| of.0 == epoch) {
            unfinished.1.close();
        }
    }

    /// Takes the presence away; that nobody was told so far stays noted.
    pub(super) fn withdraw(&mut self) {
        let untold = self.untold.get_or_insert_default();
        untold.presence = self.presence.take().or(untold.presence.take());
        untold.directed.extend(Vec::from(std::mem::take(&mut self.directed)));
        self.priority = None;
    }

    /// Whether nothing of a session that ended is left.
    fn settle(&mut self) {
        if self.untold.is_none()
            && let Some(leaving) = self.leaving.take_if(|l| l.is_empty())
        {
            leaving.over.notify_waiters();
        }
    }
}

impl Resource {
    /// Resolves when the connection before is done with what it was in the middle of when it was replaced, if it was, or has
    /// taken longer than [`PATIENCE`]; `false`: longer, and it is a message that its client may not hear is handled.
    pub async fn before_is_done(&self) -> bool {
        let unfinished = self.state.lock().unfinished.clone();
        let Some((_, done, message)) = unfinished.map(|unfinished| *unfinished) else {
            return true;
        };
        // there is nothing to acquire: it is closed when that is done
        timeout(PATIENCE, done.acquire()).await.is_ok() || !message
    }

    /// How the resource stands to messages for its user.
    pub fn standing(&self) -> Standing {
        let s = self.state.lock();
        match s.priority {
            _ if s.leaving.as_ref().is_some_and(|l| !l.is_empty()) => Standing::Leaving,
            Some(priority) if priority >= 0 => Standing::Available(priority),
            _ => Standing::Away,
        }
    }

    /// The resource is not available any more; those who saw it are told later. See [`Resource::untold`].
    pub fn withdraw(&self) {
        self.state.lock().withdraw();
    }

    /// What has to be said of a resource that is not available any more. It stays until
    /// [`Resource::told`]: rather twice than never, should the process that says it be killed.
    pub fn untold(&self) -> Option<Remains> {
        self.state.lock().untold.as_deref().cloned()
    }

    /// It was said.
    pub fn told(&self) {
        let mut s = self.state.lock();
        s.untold = None;
        s.leaving.iter().for_each(|leaving| leaving.over.notify_waiters());
        s.settle();
    }

    /// Held by whoever ends the session; `None`: it has not ended, or nothing of it is left.
    pub fn leaving(&self) -> Option<Arc<Mutex<()>>> {
        self.state.lock().leaving.as_ref().map(|l| Arc::clone(&l.one_at_a_time))
    }

    /// Resolves when nothing of a session that ended is left; `false`: not within [`PATIENCE`].
    pub async fn is_over(&self) -> bool {
        self.comes_to(|s| s.leaving.is_none()).await
    }

    /// Resolves when whoever saw a session that ended knows that it is gone; `false`: not within [`PATIENCE`].
    pub async fn is_told(&self) -> bool {
        self.comes_to(|s| s.untold.is_none()).await
    }

    pub(super) async fn comes_to(&self, that: impl Fn(&State) -> bool) -> bool {
        let over = async {
            loop {
                let over = self.state.lock().leaving.as_ref().map(|l| Arc::clone(&l.over));
                let Some(over) = over else { return };
                let mut over = pin!(over.notified());
                over.as_mut().enable();
                if that(&self.state.lock()) {
                    return;
                }
                over.await;
            }
        };
        timeout(PATIENCE, over).await.is_ok()
    }

    /// Whether it ended before that one did, and something of it is left.
    pub fn leaves_before(&self, other: &Self) -> bool {
        let number = |r: &Self| r.state.lock().leaving.as_ref().map(|l| l.number);
        let theirs = number(other);
        theirs.is_some_and(|theirs| number(self).is_some_and(|ours| ours < theirs))
    }

    /// After which number offline storage keeps messages that were not sent and are newer than all
    /// that waits, or is left; `None` when there are none, or [`Resource::also_left`] has told of them.
    pub fn newer_after(&self) -> Option<u64> {
        let s = self.state.lock();
        s.diverted.map(|first| (first.get() - 1).max(s.kept.after()))
    }

    /// Those are among these, oldest first; the others are of what was left.
    pub fn also_left(&self, ids: Vec<u64>) {
        let mut s = self.state.lock();
        s.diverted = None;
        if let Some(leaving) = &mut s.leaving {
            let known: HashSet<u64> = leaving.kept().collect();
            let newer = ids.into_iter().filter(|id| !known.contains(id));
            newer.for_each(|id| leaving.push_kept(id));
        }
    }

    /// The oldest of what is left. It stays until [`Resource::passed`]: rather twice than never,
    /// should the process that passes it on be killed.
    pub fn leftover(&self) -> Option<Left> {
        self.state.lock().leaving.as_ref()?.left.front().cloned()
    }

    /// The oldest of what is left is on its way.
    pub fn passed(&self) {
        let mut s = self.state.lock();
        if let Some(leaving) = &mut s.leaving {
            match leaving.left.pop_front() {
                Some(Left::Stanza(of)) => leaving.passed |= is_chat(&of.stanza),
                Some(Left::Kept(ids)) => {
                    leaving.last = ids.into_iter().fold(leaving.last, u64::max);
                }
                None => {}
            }
        }
        s.settle();
    }

    /// Whether messages of it that the store did not keep went on their way: they may be there now, behind others.
    pub fn has_stored(&self) -> bool {
        self.state.lock().leaving.as_ref().is_some_and(|leaving| leaving.passed)
    }

    /// The largest number of those that the store kept and that went on their way.
    pub fn last_passed(&self) -> u64 {
        self.state.lock().leaving.as_ref().map_or(0, |leaving| leaving.last)
    }

    /// The last of those are behind all others in the store now, under new numbers: so are the next ones to be.
    pub fn moved_back(&self) {
        self.state.lock().leaving.iter_mut().for_each(|leaving| leaving.last = u64::MAX);
    }

    /// Whoever ended the session crashed over what was next: that is not tried again.
    pub fn skip(&self) -> Option<Left> {
        if self.untold().is_some() {
            self.told();
            return None;
        }
        let left = self.leftover();
        self.passed();
        left
    }
}
