//! A process from outside: its address, exit signals, links and monitors.
//!
//! Signals do not count against an inbox's bound: there are as many as links, monitors and requests
//! of others, and a process takes them before its messages.

use crate::{exit::Exit, system::System};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// A signal on its way to a process.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// An exit signal over a link or from [`Pid::exit`].
    Exit { from: Pid, reason: Exit },
    /// A monitored process is gone.
    Down { monitor: u64, pid: Pid, reason: Exit },
}

#[derive(Default)]
struct State {
    exit: Option<Exit>,
    signals: VecDeque<Signal>,
    /// By id. The parent is not among them: a child's link to it is in the parent's map only.
    links: HashMap<u64, Pid>,
    monitors: Vec<(u64, Pid)>,
    status: Option<Arc<str>>,
}

/// How a process is woken: lean ones wait on a `Notify`, ractor actors get a message.
pub(crate) type Waker = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Cell {
    id: u64,
    kind: &'static str,
    path: Arc<str>,
    parent: Option<Pid>,
    system: System,
    started: Instant,
    state: Mutex<State>,
    trap: AtomicBool,
    killed: AtomicBool,
    /// It has a name, a group or a pool: something to clean up in the system.
    named: AtomicBool,
    busy_since: AtomicU64,
    handled: AtomicU64,
    pub(crate) wake: Notify,
    pub(crate) waker: OnceLock<Waker>,
    /// An exit that must not be trapped: [`Exit::Killed`], or any signal to one that does not trap.
    pub(crate) fatal: Notify,
    fatal_reason: Mutex<Option<Exit>>,
    ended: Notify,
}

/// The address of a process, whatever its messages are.
#[derive(Clone)]
pub struct Pid(pub(crate) Arc<Cell>);

/// A monitor: ends with the process, or when it is dropped by [`Pid::demonitor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Monitor(pub(crate) u64);

impl Pid {
    pub(crate) fn new(
        system: &System,
        kind: &'static str,
        path: Arc<str>,
        parent: Option<Pid>,
    ) -> Self {
        let id = system.next_id();
        let pid = Self(Arc::new(Cell {
            id,
            kind,
            path,
            parent: parent.clone(),
            system: system.clone(),
            started: Instant::now(),
            state: Mutex::default(),
            trap: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            named: AtomicBool::new(false),
            busy_since: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            wake: Notify::new(),
            waker: OnceLock::new(),
            fatal: Notify::new(),
            fatal_reason: Mutex::default(),
            ended: Notify::new(),
        }));
        if let Some(parent) = parent
            && !parent.add_link(&pid)
        {
            pid.exit_from(&parent, Exit::NoProc);
        }
        system.enter(&pid);
        pid
    }

    /// Never used twice in a system.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name of its behaviour.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// Its place in the tree, like `/c2s/connections/#51`.
    pub fn path(&self) -> &Arc<str> {
        &self.0.path
    }

    /// Who started it.
    pub fn parent(&self) -> Option<&Pid> {
        self.0.parent.as_ref()
    }

    /// The system it lives in.
    pub fn system(&self) -> &System {
        &self.0.system
    }

    /// How long it has been alive.
    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.0.state.lock().exit.is_none()
    }

    /// Why it ended, if it has.
    pub fn exit_reason(&self) -> Option<Exit> {
        self.0.state.lock().exit.clone()
    }

    /// Resolves when it has ended.
    pub async fn wait(&self) -> Exit {
        loop {
            let ended = self.0.ended.notified();
            if let Some(exit) = self.exit_reason() {
                return exit;
            }
            ended.await;
        }
    }

    /// Sends an exit signal as OTP's `exit/2` without a sender of its own: one that does not trap
    /// exits ends with the reason; one that does gets it as an event.
    pub fn exit(&self, reason: Exit) {
        self.exit_from(self, reason);
    }

    /// Ends it without asking: at its next `await`, without `terminate`. (A process that computes
    /// without ever awaiting cannot be ended from outside.)
    pub fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        *self.0.fatal_reason.lock() = Some(Exit::Killed);
        self.0.fatal.notify_one();
        self.wake();
    }

    pub(crate) fn exit_from(&self, from: &Pid, reason: Exit) {
        if self.0.trap.load(Ordering::Acquire) {
            self.signal(Signal::Exit { from: from.clone(), reason });
        } else if !matches!(reason, Exit::Normal) {
            // OTP: a signal `killed` that came over a link is not a kill
            let mut fatal = self.0.fatal_reason.lock();
            if fatal.is_none() {
                *fatal = Some(reason);
            }
            drop(fatal);
            self.0.fatal.notify_one();
            self.wake();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let mut state = self.0.state.lock();
        if state.exit.is_some() {
            return;
        }
        state.signals.push_back(signal);
        drop(state);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        match self.0.waker.get() {
            Some(waker) => waker(),
            None => self.0.wake.notify_one(),
        }
    }

    pub(crate) fn next_signal(&self) -> Option<Signal> {
        self.0.state.lock().signals.pop_front()
    }

    pub(crate) fn set_trap(&self, trap: bool) {
        self.0.trap.store(trap, Ordering::Release);
    }

    pub(crate) fn set_named(&self) {
        self.0.named.store(true, Ordering::Release);
    }

    pub(crate) fn is_named(&self) -> bool {
        self.0.named.load(Ordering::Acquire)
    }

    /// The live processes it started and is linked to, in start order.
    pub(crate) fn linked_children(&self) -> Vec<Pid> {
        let state = self.0.state.lock();
        let mut children: Vec<Pid> =
            state.links.values().filter(|p| p.parent() == Some(self)).cloned().collect();
        drop(state);
        children.sort_by_key(Self::id);
        children
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.0.killed.load(Ordering::Acquire)
    }

    /// Resolves with the reason of an exit signal that is not trapped.
    pub(crate) async fn fatal(&self) -> Exit {
        loop {
            let fatal = self.0.fatal.notified();
            if let Some(reason) = self.0.fatal_reason.lock().clone() {
                return reason;
            }
            fatal.await;
        }
    }

    pub(crate) fn fatal_now(&self) -> Option<Exit> {
        self.0.fatal_reason.lock().clone()
    }

    fn add_link(&self, other: &Pid) -> bool {
        let mut state = self.0.state.lock();
        let alive = state.exit.is_none();
        if alive {
            state.links.insert(other.id(), other.clone());
        }
        alive
    }

    /// Links two processes: when one ends, the other gets an exit signal (`link/1`).
    pub fn link(&self, other: &Pid) {
        if !other.add_link(self) {
            return self.exit_from(other, Exit::NoProc);
        }
        if !self.add_link(other) {
            other.exit_from(self, Exit::NoProc);
        }
    }

    /// Removes a link (`unlink/1`).
    pub fn unlink(&self, other: &Pid) {
        self.drop_link(other);
        other.drop_link(self);
    }

    fn drop_link(&self, other: &Pid) -> bool {
        self.0.state.lock().links.remove(&other.id()).is_some()
    }

    /// `watcher` gets a [`crate::Event::Down`] when this process ends (`monitor/2`).
    pub fn monitor(&self, watcher: &Pid) -> Monitor {
        let monitor = self.0.system.next_id();
        let mut state = self.0.state.lock();
        match state.exit.clone() {
            None => state.monitors.push((monitor, watcher.clone())),
            Some(_) => {
                drop(state);
                let pid = self.clone();
                watcher.signal(Signal::Down { monitor, pid, reason: Exit::NoProc });
            }
        }
        Monitor(monitor)
    }

    /// Ends a monitor (`demonitor/1`).
    pub fn demonitor(&self, monitor: Monitor) {
        self.0.state.lock().monitors.retain(|(id, _)| *id != monitor.0);
    }

    /// Ends the process: whoever is linked or watches is told, once.
    pub(crate) fn finish(&self, exit: &Exit) {
        let mut state = self.0.state.lock();
        if state.exit.is_some() {
            return;
        }
        state.exit = Some(exit.clone());
        let links = std::mem::take(&mut state.links);
        let monitors = std::mem::take(&mut state.monitors);
        state.signals = VecDeque::new();
        drop(state);
        self.0.system.leave(self, exit);
        for other in links.into_values() {
            other.drop_link(self);
            other.exit_from(self, exit.clone());
        }
        if let Some(parent) = &self.0.parent
            && parent.drop_link(self)
        {
            parent.exit_from(self, exit.clone());
        }
        for (monitor, watcher) in monitors {
            let (pid, reason) = (self.clone(), exit.clone());
            watcher.signal(Signal::Down { monitor, pid, reason });
        }
        self.0.ended.notify_waiters();
    }

    pub(crate) fn set_status(&self, status: Arc<str>) {
        self.0.state.lock().status = Some(status);
    }

    /// What the process last said of itself.
    pub fn status(&self) -> Option<Arc<str>> {
        self.0.state.lock().status.clone()
    }

    pub(crate) fn begin(&self) {
        let since = u64::try_from(self.uptime().as_micros()).unwrap_or(u64::MAX).max(1);
        self.0.busy_since.store(since, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.busy_since.store(0, Ordering::Relaxed);
        self.0.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// How long it has been in the handler of its present message; `None` when it waits.
    pub fn busy(&self) -> Option<Duration> {
        let since = Duration::from_micros(self.0.busy_since.load(Ordering::Relaxed));
        (!since.is_zero()).then(|| self.uptime().saturating_sub(since))
    }

    /// How many messages it has handled.
    pub fn handled(&self) -> u64 {
        self.0.handled.load(Ordering::Relaxed)
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pid {}

impl Hash for Pid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {}>", self.0.id, self.0.path)
    }
}
