//! A process from outside: what is kept of one that lives here, and the address of any; signals, links and monitors, figures and
//! reports below.
//!
//! Signals do not count against an inbox's bound: there are as many as links, monitors and requests
//! of others. A process takes them in their turn among its messages.

mod address;
mod away;
mod figures;
mod groups;
mod links;
mod paced;
mod place;
mod report;
mod signals;

pub(crate) use away::Distribution;
pub use away::NodeEvent;
pub(crate) use groups::Groups;
pub use groups::{GROUP_EVENTS, GroupEvent};
pub(crate) use links::next_monitor;
pub(crate) use place::At;
pub(crate) use report::drop_unanswered;

use crate::{
    bell::Bell,
    exit::{Exit, Reason},
    id::Id,
    restarts::View,
    system::{Erased, Owned, System},
    watch::{Ask, Watch},
};
use parking_lot::Mutex;
use place::Name;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// A signal on its way to a process.
#[derive(Debug)]
pub(crate) enum Signal {
    /// An exit signal over a link or from [`Pid::exit`].
    Exit { from: Pid, reason: Exit },
    /// A monitored process is gone.
    Down { monitor: u64, pid: Pid, reason: Exit },
    /// A group that it monitors has another member, or one less.
    Group { monitor: u64, event: GroupEvent },
    /// A node is there, or gone.
    Node { monitor: u64, event: NodeEvent },
}

impl Signal {
    /// Of which monitor it is.
    fn monitor(&self) -> Option<u64> {
        match self {
            Self::Exit { .. } => None,
            Self::Down { monitor, .. }
            | Self::Group { monitor, .. }
            | Self::Node { monitor, .. } => Some(*monitor),
        }
    }
}

/// What most processes do without, for most of their lives.
#[derive(Default)]
struct Extra {
    /// Each with its turn, and when it came.
    signals: VecDeque<(Turn, Instant, Signal)>,
    /// Questions of [`crate::sys`]: they come before all else.
    asks: VecDeque<Ask>,
    /// By id, so in start order. The parent is not among them: a child's link to it is in the
    /// parent's map only.
    links: BTreeMap<Id, Local>,
    /// Links to children that are known by a number, by that.
    numbered: BTreeMap<u64, Local>,
    /// Who is told of its end, by the monitor.
    monitors: BTreeMap<u64, Local>,
    /// Of whose ends it is told, by the address that it used.
    watched: BTreeMap<u64, Pid>,
    status: Option<Arc<str>>,
    /// While the system is metered.
    ran: Duration,
    watch: Option<Watch>,
    owned: BTreeSet<Owned>,
    /// Calls that it dropped ([`UNTOLD`]).
    unanswered: Vec<Unanswered>,
    /// Of a supervisor: what it knows of restarts.
    supervision: Option<View>,
}

#[derive(Default)]
struct State {
    /// Why it has ended ([`ENDED`]), must ([`DOOMED`]), or is about to.
    reason: Reason,
    extra: Option<Box<Extra>>,
}

impl State {
    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// With the end: links and monitors stay until they are told, so long they can be taken back. What else there was.
    fn retire(&mut self) -> Option<Box<Extra>> {
        let mut extra = self.extra.take()?;
        let Extra { links, numbered, monitors, .. } = &mut *extra;
        if !(links.is_empty() && numbered.is_empty() && monitors.is_empty()) {
            let left = self.extra();
            mem::swap(links, &mut left.links);
            mem::swap(numbered, &mut left.numbered);
            mem::swap(monitors, &mut left.monitors);
        }
        Some(extra)
    }
}

// flags
const TRAP: u16 = 1;
const DOOMED: u16 = 2;
const KILLED: u16 = 4;
const SUSPENDED: u16 = 8;
const WATCHED: u16 = 16;
const ENDED: u16 = 32;
/// It has ended, and everybody has been told.
const GONE: u16 = 64;
/// There are signals.
const SIGNALLED: u16 = 128;
/// There are questions.
const ASKED: u16 = 256;
/// Its supervisor ends it.
const DISMISSED: u16 = 512;
/// Of a start below it that failed it is told by the answer only.
const SUPERVISES: u16 = 4096;
/// It runs when a test's schedule lets it.
const SCHEDULED: u16 = 2048;

/// It has dropped calls, and who waits for them is not told yet.
const UNTOLD: u16 = 1024;

/// When something's turn comes among the messages of a process: after so many of them, counted modulo 2^32. So signals and
/// timers come in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(u32);

impl Turn {
    /// Whether it is not after that one.
    fn is_by(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0) < 1 << 31
    }
}

pub(crate) struct Cell {
    /// Of its [`Id`]; the rest of which is its system's.
    id: u64,
    kind: &'static str,
    /// Of one that is known by a number made when somebody asks.
    name: OnceLock<Box<Name>>,
    number: u64,
    parent: Option<Local>,
    system: System,
    /// Its inbox, whatever its messages are.
    inbox: Erased,
    /// In ns since the system's start.
    started: u64,
    state: Mutex<State>,
    flags: AtomicU16,
    /// Messages that wait.
    depth: AtomicU32,
    /// Messages that came and that were taken, ever, modulo 2^32; without the urgent ones, which wait for no turn.
    came: AtomicU32,
    taken: AtomicU32,
    busy_since: AtomicU64,
    handled: AtomicU64,
    /// For what it waits for in its loop: messages and signals.
    pub(crate) bell: Bell,
    /// For what ends it, whatever it waits for: [`DOOMED`].
    fatal: Bell,
    ended: Notify,
}

/// A process of a system in this program, whatever its messages are: what is known of it here. It may have ended.
///
/// ```
/// use supervision::{Event, Exit, Monitor, System, testkit::Probe};
/// # struct Echo;
/// # impl Process for Echo {
/// #     type Args = ();
/// #     type Msg = Reply<u8>;
/// #     const NAME: &'static str = "echo";
/// #     async fn init((): (), _: &mut Cx<Reply<u8>>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<Reply<u8>>) -> Exit {
/// #         loop {
/// #             match cx.next().await {
/// #                 Event::Msg(reply) => reply.send(7),
/// #                 Event::Exit { reason, .. } => return reason,
/// #                 Event::Down { .. } => {}
/// #             }
/// #         }
/// #     }
/// # }
/// # use supervision::{Cx, InitError, Process, Reply};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let echo = system.spawn::<Echo>("/echo", ()).await.unwrap();
/// let mut watcher: Probe<()> = Probe::start(&system).await;
/// let monitor = echo.pid().monitor(watcher.pid());
/// echo.pid().exit(Exit::error("told to"));
/// let Event::Down { monitor: of, reason, .. } = watcher.event().await else { panic!() };
/// assert_eq!((of, reason.to_string()), (monitor, "told to".to_owned()));
/// assert_eq!(echo.pid().exit_reason().unwrap().to_string(), "told to");
///
/// let (pid, other) = (system.spawn::<Echo>("/echo", ()).await.unwrap(), watcher.pid());
/// let pid = pid.pid();
/// let monitor: Monitor = pid.monitor(other);
/// assert_eq!((pid.watchers(), other.watching()), (1, 1));
/// pid.demonitor(monitor);
/// pid.link(other);
/// assert_eq!((pid.watchers(), pid.links(10).len()), (0, 1));
/// pid.unlink(other);
/// assert!(pid.is_alive() && !pid.traps_exits() && other.traps_exits() && !pid.is_suspended());
/// assert_eq!((pid.kind(), &**pid.path(), pid.parent()), ("echo", "/echo", None));
/// assert_eq!((pid.ancestors().len(), pid.depth(), pid.handled(), pid.busy()), (0, 0, 0, None));
/// assert!(pid.id() > other.id() && pid.uptime() < system.age() && pid.status().is_none());
/// # });
/// ```
#[derive(Clone)]
pub struct Local(pub(crate) Arc<Cell>);

/// The address of a process, wherever it lives: for links, monitors and exit signals. Two are equal when their [`Id`]s are.
///
/// One of another node is reached over the connection to it ([`crate::dist`]). Without one it is as in OTP where the node cannot be reached:
/// who links to it or monitors it gets [`Exit::NoConnection`], and what is sent is lost.
///
/// ```
/// use supervision::{Event, Exit, Id, Node, Pid, System, testkit::Probe};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let mut probe: Probe<()> = Probe::start(&system).await;
/// let (pid, me) = (Pid::from(probe.pid()), probe.pid().clone());
/// assert_eq!((&pid, pid.id(), pid.local()), (&pid, me.id(), Some(&me)));
/// // a process of another node, as one might read it out of a message
/// let node = Node::new("b@example.org").unwrap();
/// let far: Pid = system.pid(Id { node, creation: 1, number: 7 });
/// assert!(far.local().is_none() && far != pid);
/// let monitor = far.monitor(&me);
/// let Event::Down { reason: Exit::NoConnection, .. } = probe.event().await else { panic!() };
/// far.demonitor(monitor);
/// far.link(&me);
/// assert!(matches!(probe.exit().await, (from, Exit::NoConnection) if from == far));
/// far.unlink(&me);
/// far.exit(Exit::Normal);
/// far.kill();
/// # });
/// ```
#[derive(Clone)]
pub struct Pid(Whose);

#[derive(Clone)]
enum Whose {
    Local(Local),
    /// Of another node, or of one that has ended here and of which nothing is kept; to be reached from the system of that creation.
    Away {
        from: u32,
        id: Id,
    },
    /// Whoever had a name.
    Named(Arc<Named>),
}

/// A process as it was named in [`System::monitor_name`], or of another node.
struct Named {
    name: Arc<str>,
    /// Nobody's, and that of another node, has the number 0.
    id: Id,
    local: Option<Local>,
    /// The creation of the system in which it was named.
    from: u32,
}

/// A call without an answer: to drop it tells who waits.
pub(crate) type Unanswered = Box<dyn Send>;

/// A monitor: ends with the process, or by [`Pid::demonitor`]. No two of the program are the same.
///
/// Example: [`Local`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Monitor(pub(crate) u64);

impl Local {
    pub(crate) fn new(
        system: &System,
        kind: &'static str,
        at: At,
        parent: Option<Self>,
        inbox: Erased,
    ) -> Self {
        let (name, number) = at.name();
        let pid = Self(Arc::new(Cell {
            id: system.next_id(),
            kind,
            name,
            number,
            parent,
            system: system.clone(),
            inbox,
            started: nanos(system.age()),
            state: Mutex::default(),
            flags: AtomicU16::new(0),
            depth: AtomicU32::new(0),
            came: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            busy_since: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            bell: Bell::default(),
            fatal: Bell::default(),
            ended: Notify::new(),
        }));
        pid.set(SCHEDULED, system.schedule().is_some());
        system.enter(&pid);
        if let Some(parent) = pid.parent()
            && !parent.add_link(&pid)
        {
            pid.exit_from(parent, Exit::NoProc);
        }
        pid
    }

    fn has(&self, flag: u16) -> bool {
        self.0.flags.load(Ordering::Acquire) & flag != 0
    }

    fn set(&self, flag: u16, on: bool) {
        if on {
            self.0.flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.0.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    /// What it is called everywhere.
    pub fn id(&self) -> Id {
        self.system().id(self.0.id)
    }

    pub(crate) fn inbox(&self) -> &Erased {
        &self.0.inbox
    }

    /// The name of its behaviour.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// Who started it.
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// The system it lives in.
    pub fn system(&self) -> &System {
        &self.0.system
    }

    /// How long it has been alive.
    pub fn uptime(&self) -> Duration {
        self.system().age().saturating_sub(Duration::from_nanos(self.0.started))
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.has(ENDED)
    }

    /// Why it ended, if it has.
    pub fn exit_reason(&self) -> Option<Exit> {
        let state = self.0.state.lock();
        if self.has(ENDED) { state.reason.get() } else { None }
    }

    /// Why it has ended, when all who are linked or watch have been told.
    pub(crate) fn gone(&self) -> Option<Exit> {
        if self.has(GONE) { self.exit_reason() } else { None }
    }

    /// Resolves when it has ended.
    pub async fn wait(&self) -> Exit {
        loop {
            // registered from here on: an end between the look and the wait is not missed
            let ended = self.0.ended.notified();
            if let Some(exit) = self.gone() {
                return exit;
            }
            ended.await;
        }
    }
}

fn nanos(age: Duration) -> u64 {
    u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
}
