//! A system: everything that is shared by the processes of one node. Nothing here is global to the
//! program, so several systems live side by side in one test.

mod processes;

use crate::{
    crash::{self, CrashLog, CrashLogLimits},
    exit::Exit,
    id::{self, ById, Id, Node},
    pid::{Distribution, Groups, Local},
    policy::Engine,
    schedule::Schedule,
};
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

const SHARDS: u64 = 16;

/// What [`System::observe`] tells.
///
/// Example: [`System`].
#[derive(Debug)]
pub enum Change<'a> {
    /// A process begins; its `init` has not run.
    Started(&'a Local),
    /// A process has ended; those who are linked to it or watch it are told next.
    Ended(&'a Local, &'a Exit),
}

/// What a process has in its system, to be cleared up when it ends.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owned {
    Name(Arc<str>),
    Group(Arc<str>),
    GroupMonitor(Arc<str>, u64),
    NodeMonitor(u64),
    Pool,
    /// Links with processes of that node, or monitors that these have of it.
    Far(Node),
}

type Observer = Box<dyn Fn(&Change<'_>) + Send + Sync>;
pub(crate) type Erased = Arc<dyn Any + Send + Sync>;

pub(crate) struct Inner {
    name: Arc<str>,
    node: Node,
    creation: u32,
    since: Instant,
    version: OnceLock<Box<str>>,
    next: AtomicU64,
    alive: AtomicUsize,
    restarts: AtomicU64,
    unhandled: AtomicU64,
    /// How many [`Metering`]s there are.
    meters: AtomicUsize,
    processes: Vec<Mutex<ById<u64, Local>>>,
    /// Those that are not known by a number; of several the last started.
    paths: Mutex<HashMap<Arc<str>, Local>>,
    pub(crate) names: Mutex<HashMap<Arc<str>, Local>>,
    pub(crate) groups: Mutex<Groups>,
    pub(crate) pools: Mutex<ById<Local, Erased>>,
    crashes: CrashLog,
    observer: OnceLock<Observer>,
    /// The observer panicked: it is not told any more.
    blind: AtomicBool,
    /// [`Engine::Lean`] where nothing else is said.
    lean: AtomicBool,
    /// Of a test.
    schedule: Option<Schedule>,
    /// Since there was something of other nodes.
    distribution: OnceLock<Box<dyn Distribution>>,
}

/// The systems of the program, by creation, of which no two are the same.
static SYSTEMS: Mutex<BTreeMap<u32, Weak<Inner>>> = Mutex::new(BTreeMap::new());

impl Drop for Inner {
    fn drop(&mut self) {
        SYSTEMS.lock().remove(&self.creation);
    }
}

/// The processes of one node: names, groups, tree, crashes.
///
/// ```
/// use supervision::{
///     CrashLog, Node, RegisterError, SupervisorSpec, System, crash::CrashLogLimits, system::Change,
/// };
/// # use supervision::{Cx, Event, Exit, InitError, Process, Reply};
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
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (one, two) = (System::new("one"), System::new("two"));
/// two.set_engine(supervision::Engine::Lean);
/// let echo = one.spawn::<Echo>("/echo", ()).await.unwrap();
/// one.register("echo", &echo).unwrap();
/// let Err(RegisterError::Taken { pid, .. }) = one.register("echo", &echo) else { panic!() };
/// assert_eq!(&pid, echo.pid());
/// one.join("all", echo.pid());
/// assert_eq!((one.group("all").len(), one.members::<Reply<u8>>("all").len()), (1, 1));
/// assert!(one.members::<u8>("all").is_empty()); // its messages are others
/// assert_eq!((&*echo.pid().names()[0], &*echo.pid().groups()[0]), ("echo", "all"));
/// assert!(two.whereis("echo").is_none());
/// one.leave_group("all", echo.pid());
/// assert!(one.group("all").is_empty() && one.unregister("echo"));
/// one.register("echo", &echo).unwrap();
/// one.join("all", echo.pid());
/// assert!(one.observe(|change| match change {
///     Change::Started(pid) => println!("{pid:?} has started"),
///     Change::Ended(pid, why) => println!("{pid:?} has ended: {why}"),
/// }));
/// assert_eq!((one.pids().len(), one.find("/echo").as_ref()), (1, Some(echo.pid())));
/// assert_eq!((one.name(), one.restarts(), one.crashes().count(), one.unhandled()), ("one", 0, 0, 0));
/// assert!(one.age() >= echo.pid().uptime());
/// assert!(one.set_version(env!("CARGO_PKG_VERSION")) && !one.set_version("2"));
/// assert_eq!((one.version(), two.version()), (env!("CARGO_PKG_VERSION"), "unknown"));
/// assert_eq!(one.tree()[0].process.kind, "echo");
/// // as others see it
/// let node = Node::new("b@example.org").unwrap();
/// let three = System::on(node, "three", CrashLog::new(CrashLogLimits::default(), None));
/// assert_eq!((three.node(), one.node()), (node, Node::default()));
/// assert_eq!(three.pid(echo.pid().id()), *echo.pid());
/// echo.pid().kill();
/// echo.pid().wait().await;
/// assert!(one.whereis("echo").is_none() && one.group("all").is_empty());
/// assert_eq!(one.alive(), 0);
/// # });
/// ```
#[derive(Clone)]
pub struct System(pub(crate) Arc<Inner>);

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.0.name)
    }
}

impl System {
    /// A system without processes; crash reports are kept in memory.
    pub fn new(name: &str) -> Self {
        Self::with_crash_log(name, CrashLogLimits::default(), None)
    }

    /// A system that keeps crash reports as files too.
    pub fn with_crash_log(name: &str, limits: CrashLogLimits, dir: Option<PathBuf>) -> Self {
        Self::on(Node::default(), name, CrashLog::new(limits, dir))
    }

    /// A system that is that node, as others see it.
    pub fn on(node: Node, name: &str, crashes: CrashLog) -> Self {
        Self::make(node, name, crashes, None)
    }

    /// A system for a test, whose processes run in the order that the schedule draws.
    ///
    /// Example: [`crate::schedule`].
    pub fn scheduled(name: &str, schedule: Schedule) -> Self {
        let crashes = CrashLog::new(CrashLogLimits::default(), None);
        Self::make(Node::default(), name, crashes, Some(schedule))
    }

    /// [`System::scheduled`] of a system that is that node.
    ///
    /// Example: [`crate::dist`].
    pub fn scheduled_on(node: Node, name: &str, schedule: Schedule) -> Self {
        let crashes = CrashLog::new(CrashLogLimits::default(), None);
        Self::make(node, name, crashes, Some(schedule))
    }

    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        self.0.schedule.as_ref()
    }

    fn make(node: Node, name: &str, crashes: CrashLog, schedule: Option<Schedule>) -> Self {
        crash::install_hook();
        let inner = Arc::new(Inner {
            name: name.into(),
            node,
            creation: id::creation(),
            since: Instant::now(),
            version: OnceLock::new(),
            next: AtomicU64::new(1),
            alive: AtomicUsize::new(0),
            restarts: AtomicU64::new(0),
            unhandled: AtomicU64::new(0),
            meters: AtomicUsize::new(0),
            processes: (0..SHARDS).map(|_| Mutex::default()).collect(),
            paths: Mutex::default(),
            names: Mutex::default(),
            groups: Mutex::default(),
            pools: Mutex::default(),
            crashes,
            observer: OnceLock::new(),
            blind: AtomicBool::new(false),
            lean: AtomicBool::new(false),
            schedule,
            distribution: OnceLock::new(),
        });
        SYSTEMS.lock().insert(inner.creation, Arc::downgrade(&inner));
        Self(inner)
    }

    /// The node it is.
    pub fn node(&self) -> Node {
        self.0.node
    }

    /// Tells it apart from other systems of that node, in this program and in those before it.
    pub fn creation(&self) -> u32 {
        self.0.creation
    }

    /// What carries signals to other nodes; a system that has had nothing to do with others has none.
    pub(crate) fn distribution(&self) -> Option<&dyn Distribution> {
        self.0.distribution.get().map(|distribution| &**distribution)
    }

    /// The same; made when there is none.
    pub(crate) fn distribution_or(
        &self,
        make: impl FnOnce() -> Box<dyn Distribution>,
    ) -> &dyn Distribution {
        &**self.0.distribution.get_or_init(make)
    }

    /// The system of this program with that creation.
    pub(crate) fn of_creation(creation: u32) -> Option<Self> {
        SYSTEMS.lock().get(&creation).and_then(Weak::upgrade).map(Self)
    }

    pub(crate) fn id(&self, number: u64) -> Id {
        Id { node: self.0.node, creation: self.0.creation, number }
    }

    /// Sees every start and every end of a process (`erlang:trace(all, true, [procs])`), in order,
    /// in the thread where it happens: it must be short. There is one observer; `false`: there was
    /// one already. One that panics is reported, and told no more.
    pub fn observe(&self, observer: impl Fn(&Change<'_>) + Send + Sync + 'static) -> bool {
        self.0.observer.set(Box::new(observer)).is_ok()
    }

    /// Sets on what servers, state machines and supervisors run that are started from now on, where
    /// [`crate::ChildSpec::engine`] says nothing (default: ractor).
    pub fn set_engine(&self, engine: Engine) {
        self.0.lean.store(engine == Engine::Lean, Ordering::Relaxed);
    }

    pub(crate) fn engine(&self) -> Engine {
        if self.0.lean.load(Ordering::Relaxed) { Engine::Lean } else { Engine::Ractor }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Says which version of the program this is, for crash reports. `false`: it was said already.
    pub fn set_version(&self, version: &str) -> bool {
        self.0.version.set(version.into()).is_ok()
    }

    /// The program's version; `unknown` until it is said.
    pub fn version(&self) -> &str {
        self.0.version.get().map_or("unknown", |version| version)
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.0.since.elapsed()
    }

    /// Counts the CPU time of each process ([`crate::sys::Statistics::ran`]) until what it returns is
    /// dropped. Meanwhile it costs two looks at the thread's clock, 0.5 us, each time a process runs.
    #[must_use = "it ends when it is dropped"]
    pub fn meter(&self) -> Metering {
        self.0.meters.fetch_add(1, Ordering::Relaxed);
        Metering(self.clone())
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.0.meters.load(Ordering::Relaxed) > 0
    }

    /// The crash reports.
    pub fn crashes(&self) -> &CrashLog {
        &self.0.crashes
    }

    /// How many restarts supervisors have made.
    pub fn restarts(&self) -> u64 {
        self.0.restarts.load(Ordering::Relaxed)
    }

    pub(crate) fn count_restart(&self) {
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were in the inboxes of processes when these ended: nobody has handled them.
    pub fn unhandled(&self) -> u64 {
        self.0.unhandled.load(Ordering::Relaxed)
    }

    pub(crate) fn count_unhandled(&self, messages: usize) {
        if messages > 0 {
            self.0.unhandled.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }
}

/// While it is there, processes are metered: see [`System::meter`].
///
/// Example: [`crate::sys`].
#[derive(Debug)]
pub struct Metering(System);

impl Drop for Metering {
    fn drop(&mut self) {
        self.0.0.meters.fetch_sub(1, Ordering::Relaxed);
    }
}
