//! A pool: processes of one kind that come and go by the hundred thousand (connections).
//!
//! Its children are temporary: each lives once, nothing is kept to start it again, and a crash
//! concerns nobody else. Whoever starts one does the work, the pool itself only hears of their ends;
//! they are stopped at the same time under one timer.

use crate::{
    cx::Cx,
    event::Event,
    exit::Exit,
    inbox::{CallError, Ref, RefError, Reply},
    pid::{At, Local, Pid},
    policy::{Restart, Shutdown},
    process::{self, Acked, Process},
    spec::Place,
    start_error::{InitError, StartError},
    stop::{Reasons, Stop},
    system::System,
};
use parking_lot::RwLock;
use std::{
    any::TypeId,
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How a pool works.
///
/// Example: [`PoolRef`].
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// The most children at a time; beyond it a start is refused.
    pub max: usize,
    /// How children are stopped with the pool.
    pub shutdown: Shutdown,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self { max: 200_000, shutdown: Shutdown::Timeout(Duration::from_secs(5)) }
    }
}

/// Messages of a pool: none; children are started by whoever has a [`PoolRef`].
#[derive(Debug)]
#[doc(hidden)]
pub enum Msg {
    /// Stop the children now, keep the pool: before a stop of the tree above, so that the world
    /// outside is told in time. Answers when all have ended.
    Drain(Reply<usize>),
}

struct Shared {
    /// The kind of its children.
    process: TypeId,
    max: usize,
    /// It takes children. One that is being started when it closes is linked before.
    open: RwLock<bool>,
    /// Children take themselves off it: also one that nobody waits for any more.
    alive: Arc<AtomicUsize>,
    next: AtomicU64,
}

/// A running pool of `P`.
///
/// ```
/// use supervision::{ChildSpec, PoolRef, PoolSpec, SupervisorSpec, System};
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
/// let system = System::new("demo");
/// let pool = ChildSpec::pool::<Echo>("echoes", "echoes", PoolSpec::default());
/// let root = system.start(SupervisorSpec::one_for_one().child(pool)).await.unwrap();
/// let pool = PoolRef::<Echo>::find(&system, "echoes").unwrap();
/// assert!(PoolRef::<Echo>::of(pool.pid()).is_ok() && PoolRef::<Echo>::of(root.pid()).is_err());
/// let child = pool.start(()).await.unwrap();
/// assert_eq!((pool.len(), &**child.pid().path()), (1, "/echoes/#1"));
/// assert_eq!(pool.drain(std::time::Duration::from_secs(1)).await, Ok(1));
/// # root.stop().await;
/// # });
/// ```
pub struct PoolRef<P: Process> {
    me: Ref<Msg>,
    shared: Arc<Shared>,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> Clone for PoolRef<P> {
    fn clone(&self) -> Self {
        Self { me: self.me.clone(), shared: Arc::clone(&self.shared), process: PhantomData }
    }
}

impl<P: Process> fmt::Debug for PoolRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.me)
    }
}

impl<P: Process> PoolRef<P> {
    /// The pool of that name, if its children are `P`.
    pub fn find(system: &System, name: &str) -> Option<Self> {
        Self::of(system.whereis(name)?).ok()
    }

    /// The pool that this process is, if its children are `P`.
    ///
    /// # Errors
    /// When it is none, or one of other children, or it has ended, or is of another node.
    pub fn of(pid: impl Into<Pid>) -> Result<Self, RefError> {
        let me: Ref<Msg> = Ref::of(pid)?;
        let gone = || RefError::Gone(me.pid().exit_reason());
        let shared = me.pid().system().pool(me.pid()).ok_or_else(gone)?;
        let shared = shared.downcast::<Shared>().map_err(|_| RefError::WrongType)?;
        if shared.process != TypeId::of::<P>() {
            return Err(RefError::WrongType);
        }
        Ok(Self { me, shared, process: PhantomData })
    }

    /// The pool's process.
    pub fn pid(&self) -> &Local {
        self.me.pid()
    }

    /// How many children are alive.
    pub fn len(&self) -> usize {
        self.shared.alive.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a child and waits for its `init`. Runs in the caller: the pool is no bottleneck.
    ///
    /// # Errors
    /// When the pool is full, stops or is gone, or the child does not start.
    pub async fn start(&self, args: P::Args) -> Result<Ref<P::Msg>, StartError> {
        let (child, begun) = self.begin(args)?;
        // it is the pool's, whoever waits for it
        process::begun(child, begun).await
    }

    /// Starts a child and goes on; if its `init` fails it ends like any other child.
    ///
    /// # Errors
    /// When the pool is full, stops or is gone.
    pub fn spawn(&self, args: P::Args) -> Result<Ref<P::Msg>, StartError> {
        self.begin(args).map(|(child, _)| child)
    }

    fn begin(&self, args: P::Args) -> Result<(Ref<P::Msg>, Acked), StartError> {
        let Shared { open, alive, max, next, .. } = &*self.shared;
        // an observer of the start may start another
        let open = open.read_recursive();
        let pool = self.me.pid();
        if !*open || !pool.is_alive() {
            return Err(StartError::Exited(Exit::NoProc));
        }
        if alive.fetch_add(1, Ordering::AcqRel) >= *max {
            alive.fetch_sub(1, Ordering::AcqRel);
            return Err(StartError::Full);
        }
        let at = At::Number(next.fetch_add(1, Ordering::Relaxed));
        let (parent, counted) = (Some(pool.clone()), Some(Arc::clone(alive)));
        Ok(process::spawn::<P>(pool.system(), parent, at, args, counted))
    }

    /// Stops all children at the same time; the pool stays. How many there were.
    ///
    /// # Errors
    /// When the pool is gone.
    pub async fn drain(&self, deadline: Duration) -> Result<usize, CallError> {
        self.me.call(Msg::Drain, deadline).await
    }
}

/// The process of a pool.
#[doc(hidden)]
pub struct Pool<P> {
    spec: PoolSpec,
    shared: Arc<Shared>,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> Pool<P> {
    pub(crate) async fn start(
        at: Place,
        name: Arc<str>,
        spec: PoolSpec,
    ) -> Result<Ref<Msg>, StartError> {
        let Place { system, parent, at, .. } = at;
        process::start::<Self>(&system, Some(parent), at, (name, spec)).await
    }
}

impl<P: Process> Process for Pool<P> {
    type Args = (Arc<str>, PoolSpec);
    type Msg = Msg;
    const NAME: &'static str = "pool";

    async fn init((name, spec): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.pid().set_supervises();
        let shared = Arc::new(Shared {
            process: TypeId::of::<P>(),
            max: spec.max,
            open: RwLock::new(true),
            alive: Arc::default(),
            next: AtomicU64::new(1),
        });
        let erased: Arc<Shared> = Arc::clone(&shared);
        cx.system().enter_pool(cx.pid(), erased);
        cx.register(&name)?;
        Ok(Self { spec, shared, process: PhantomData })
    }

    async fn run(&mut self, cx: &mut Cx<Msg>) -> Exit {
        // of crashed children: one line a reason, then a count
        let mut reasons = Reasons::default();
        loop {
            match cx.next().await {
                Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                Event::Exit { reason, .. } if reason.is_abnormal() => {
                    if let Some(count) = reasons.add(&reason).filter(|n| n.is_power_of_two()) {
                        tracing::warn!(pool = %cx.pid().path(), %reason, count, "children ended");
                    }
                }
                Event::Exit { .. } => {}
                Event::Msg(Msg::Drain(reply)) => reply.send(self.stop_children(cx).await),
                Event::Down { .. } => {}
            }
        }
    }

    async fn terminate(&mut self, _: &Exit, cx: &mut Cx<Msg>) {
        *self.shared.open.write() = false;
        self.stop_children(cx).await;
    }
}

impl<P: Process> Pool<P> {
    async fn stop_children(&self, cx: &Cx<Msg>) -> usize {
        let children = cx.pid().linked_children();
        let (supervisor, shutdown) = (cx.pid(), self.spec.shutdown);
        let stop = Stop { supervisor, child: P::NAME, shutdown, restart: Restart::Temporary };
        stop.all(&children).await;
        children.len()
    }
}
