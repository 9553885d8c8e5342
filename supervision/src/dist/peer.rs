//! One node, as long as there is a connection to it: what of it concerns processes of this one, and that all of it ends once.

use super::{
    Class, Transport,
    wire::{Reason, To, Why, Word, write},
};
use crate::{
    exit::Exit,
    id::{Id, Node},
    inbox::CallError,
    pid::{Local, Pid},
    system::{Inner, Owned, System},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    ops::RangeInclusive,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A link with a process there.
struct Link {
    local: Local,
    /// It was taken back, and the other node has not confirmed it: what comes of it is not about a link that there is (the protocol of
    /// OTP 23.3, `erl_dist_protocol`).
    unlinking: Option<u64>,
}

/// What links and monitors there are between processes of the two nodes. By numbers of processes: ours, theirs.
#[derive(Default)]
struct Ties {
    lost: bool,
    links: BTreeMap<(u64, u64), Link>,
    /// Which process of ours watches one of theirs, by the monitor.
    watching: BTreeMap<u64, Local>,
    /// Which of ours they watch, and by which monitor; and the other way round.
    watched: BTreeSet<(u64, u64)>,
    monitors: HashMap<u64, u64>,
    unlinks: u64,
}

/// What becomes of an answer, or of the reason why there is none.
pub(super) type Resolve = Box<dyn FnOnce(Result<&[u8], CallError>) + Send>;

enum Reply {
    /// The request is about to be sent.
    Sent,
    /// The answer was faster than who has sent it.
    Early(Result<Box<[u8]>, CallError>),
    Awaited(Resolve),
}

#[derive(Default)]
struct Replies {
    lost: bool,
    all: HashMap<u64, Reply>,
}

pub(super) struct Peer {
    pub(super) node: Node,
    pub(super) creation: u32,
    system: Weak<Inner>,
    transport: Arc<dyn Transport>,
    lost: AtomicBool,
    ties: Mutex<Ties>,
    next_reply: AtomicU64,
    replies: Mutex<Replies>,
}

/// What concerns that process of ours, in either of the two.
fn of(local: &Local) -> RangeInclusive<(u64, u64)> {
    let ours = local.id().number;
    (ours, 0)..=(ours, u64::MAX)
}

impl Peer {
    pub(super) fn new(
        system: &System,
        node: Node,
        creation: u32,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self {
            node,
            creation,
            system: Arc::downgrade(&system.0),
            transport,
            lost: AtomicBool::new(false),
            ties: Mutex::default(),
            next_reply: AtomicU64::new(1),
            replies: Mutex::default(),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn limit(&self) -> usize {
        self.transport.frame_limit()
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    pub(super) fn system(&self) -> Option<System> {
        self.system.upgrade().map(System)
    }

    fn far(&self, number: u64) -> Id {
        Id { node: self.node, creation: self.creation, number }
    }

    /// The address of a process there.
    pub(super) fn pid(&self, number: u64) -> Option<Pid> {
        self.system().map(|system| Pid::away(&system, self.far(number)))
    }

    /// Sends a signal. One that is not taken would be missing: then the connection is over.
    pub(super) fn signal(&self, word: &Word<'_>, behind: &[u8]) {
        if self.is_lost() {
            return;
        }
        let Some(frame) = write(word, behind, self.limit()) else {
            return self.transport.close("a signal is longer than a frame may be");
        };
        if let Err(error) = self.transport.send(frame, Class::Signal) {
            self.transport.close(&format!("a signal was not taken: {error}"));
        }
    }

    pub(super) fn link(&self, local: &Local, far: &Pid) {
        let (ours, theirs) = (local.id().number, far.id().number);
        let mut ties = self.ties.lock();
        if ties.lost {
            drop(ties);
            return local.exit_from(far, Exit::NoConnection);
        }
        if !local.own(Owned::Far(self.node)) {
            return;
        }
        let link = Link { local: local.clone(), unlinking: None };
        let before = ties.links.insert((ours, theirs), link);
        if before.is_none_or(|link| link.unlinking.is_some()) {
            self.signal(&Word::Link { from: ours, to: theirs }, &[]);
        }
    }

    pub(super) fn unlink(&self, local: &Local, theirs: u64) {
        let ours = local.id().number;
        let mut ties = self.ties.lock();
        let number = ties.unlinks.wrapping_add(1);
        let link = ties.links.get_mut(&(ours, theirs));
        if let Some(link) = link.filter(|link| link.unlinking.is_none()) {
            link.unlinking = Some(number);
            ties.unlinks = number;
            self.signal(&Word::Unlink { from: ours, to: theirs, number }, &[]);
        }
    }

    pub(super) fn linked(&self, local: &Local) -> Vec<Pid> {
        let ties = self.ties.lock();
        let links = ties.links.range(of(local)).filter(|(_, link)| link.unlinking.is_none());
        links.filter_map(|((_, theirs), _)| self.pid(*theirs)).collect()
    }

    pub(super) fn watchers(&self, local: &Local) -> usize {
        self.ties.lock().watched.range(of(local)).count()
    }

    /// A process there has linked itself to one here.
    pub(super) fn linked_by(&self, local: Option<&Local>, theirs: u64, ours: u64) {
        let mut ties = self.ties.lock();
        if ties.lost {
            return;
        }
        let Some(local) = local.filter(|local| local.own(Owned::Far(self.node))) else {
            let reason = Reason::NoProc;
            return self.signal(&Word::Ended { from: ours, to: theirs, reason }, &[]);
        };
        // one that was taken back meanwhile stays so
        let link = Link { local: local.clone(), unlinking: None };
        ties.links.entry((ours, theirs)).or_insert(link);
    }

    pub(super) fn unlinked_by(&self, theirs: u64, ours: u64, number: u64) {
        let mut ties = self.ties.lock();
        if ties.links.get(&(ours, theirs)).is_some_and(|link| link.unlinking.is_none()) {
            ties.links.remove(&(ours, theirs));
        }
        self.signal(&Word::Unlinked { from: ours, to: theirs, number }, &[]);
    }

    /// What was taken back is gone there too.
    pub(super) fn unlink_done(&self, theirs: u64, ours: u64, number: u64) {
        let mut ties = self.ties.lock();
        if ties.links.get(&(ours, theirs)).is_some_and(|link| link.unlinking == Some(number)) {
            ties.links.remove(&(ours, theirs));
        }
    }

    /// A process there has ended that is linked to one here: that one is told unless it has taken the link back, in one step with that.
    pub(super) fn link_ends(&self, theirs: u64, ours: u64, reason: Exit) {
        let mut ties = self.ties.lock();
        let linked = ties.links.get(&(ours, theirs)).is_some_and(|link| link.unlinking.is_none());
        if linked
            && let Some(link) = ties.links.remove(&(ours, theirs))
            && let Some(from) = self.pid(theirs)
        {
            link.local.exit_from(from, reason);
        }
    }

    pub(super) fn monitor(&self, monitor: u64, to: To<'_>, watcher: &Local) {
        let mut ties = self.ties.lock();
        if ties.lost {
            drop(ties);
            return watcher.down(monitor, Exit::NoConnection);
        }
        ties.watching.insert(monitor, watcher.clone());
        self.signal(&Word::Monitor { monitor, to }, &[]);
    }

    pub(super) fn demonitor(&self, monitor: u64) {
        let mut ties = self.ties.lock();
        if let Some(watcher) = ties.watching.remove(&monitor) {
            self.signal(&Word::Demonitor { monitor }, &[]);
            drop(ties);
            watcher.stop_watching(monitor);
        }
    }

    /// A process there monitors one here.
    pub(super) fn monitored_by(&self, local: Option<&Local>, monitor: u64) {
        let mut ties = self.ties.lock();
        let Some(local) = local.filter(|local| local.own(Owned::Far(self.node))) else {
            return self.signal(&Word::Down { monitor, reason: Reason::NoProc }, &[]);
        };
        let ours = local.id().number;
        ties.watched.insert((ours, monitor));
        ties.monitors.insert(monitor, ours);
    }

    pub(super) fn demonitored_by(&self, monitor: u64) {
        let mut ties = self.ties.lock();
        if let Some(ours) = ties.monitors.remove(&monitor) {
            ties.watched.remove(&(ours, monitor));
        }
    }

    /// A process there has ended that one here monitors.
    pub(super) fn down(&self, monitor: u64, reason: Exit) {
        let watcher = self.ties.lock().watching.remove(&monitor);
        if let Some(watcher) = watcher {
            watcher.down(monitor, reason);
        }
    }

    /// A process here has ended: who is linked to it there or watches it is told.
    pub(super) fn ended(&self, local: &Local, exit: &Exit) {
        let from = local.id().number;
        let mut ties = self.ties.lock();
        for ((_, to), link) in ties.links.extract_if(of(local), |_, _| true) {
            if link.unlinking.is_none() {
                self.signal(&Word::Ended { from, to, reason: exit.into() }, &[]);
            }
        }
        let Ties { watched, monitors, .. } = &mut *ties;
        for (_, monitor) in watched.extract_if(of(local), |_| true) {
            monitors.remove(&monitor);
            self.signal(&Word::Down { monitor, reason: exit.into() }, &[]);
        }
    }

    /// The number of a reply in a message.
    pub(super) fn next_reply(&self) -> u64 {
        self.next_reply.fetch_add(1, Ordering::Relaxed)
    }

    /// A message with these replies is about to be sent. `false`: the connection is lost.
    pub(super) fn expect(&self, replies: impl Iterator<Item = u64>) -> bool {
        let mut known = self.replies.lock();
        if !known.lost {
            known.all.extend(replies.map(|reply| (reply, Reply::Sent)));
        }
        !known.lost
    }

    /// It was not sent, or nobody waits any more.
    pub(super) fn forget(&self, replies: impl Iterator<Item = u64>) {
        let mut known = self.replies.lock();
        let forgotten: Vec<_> = replies.filter_map(|reply| known.all.remove(&reply)).collect();
        drop(known);
        // not under the lock: who waited is told
        drop(forgotten);
    }

    /// It was sent: that becomes of the answer.
    pub(super) fn awaits(&self, reply: u64, resolve: Resolve) {
        let mut known = self.replies.lock();
        let result = match known.all.remove(&reply) {
            Some(Reply::Early(result)) => result,
            Some(_) => {
                known.all.insert(reply, Reply::Awaited(resolve));
                return;
            }
            None => Err(CallError::Gone(Some(Exit::NoConnection))),
        };
        drop(known);
        resolve(result.as_deref().map_err(Clone::clone));
    }

    /// An answer came, or why there is none.
    pub(super) fn answered(&self, reply: u64, result: Result<&[u8], Why>) {
        let result = result.map_err(CallError::from);
        let mut known = self.replies.lock();
        match known.all.remove(&reply) {
            Some(Reply::Awaited(resolve)) => {
                drop(known);
                resolve(result);
            }
            Some(Reply::Sent) => {
                known.all.insert(reply, Reply::Early(result.map(Box::from)));
            }
            Some(early @ Reply::Early(_)) => drop(known.all.insert(reply, early)),
            None => {}
        }
    }

    /// The connection is lost: whatever waits for something of that node is told, once. `false`: it was lost already.
    pub(super) fn lose(&self) -> bool {
        if self.lost.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut ties = self.ties.lock();
        ties.lost = true;
        for ((_, theirs), link) in mem::take(&mut ties.links) {
            if link.unlinking.is_none()
                && let Some(from) = self.pid(theirs)
            {
                link.local.exit_from(from, Exit::NoConnection);
            }
        }
        let Ties { watching, watched, monitors, .. } = &mut *ties;
        let (watching, _, _) = (mem::take(watching), mem::take(watched), mem::take(monitors));
        drop(ties);
        for (monitor, watcher) in watching {
            watcher.down(monitor, Exit::NoConnection);
        }
        let mut known = self.replies.lock();
        known.lost = true;
        let replies = mem::take(&mut known.all);
        drop(known);
        let mut replies: Vec<_> = replies.into_iter().collect();
        replies.sort_by_key(|(reply, _)| *reply);
        for (_, reply) in replies {
            if let Reply::Awaited(resolve) = reply {
                resolve(Err(CallError::Gone(Some(Exit::NoConnection))));
            }
        }
        true
    }
}
