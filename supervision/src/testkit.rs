//! For tests of behaviours: probes that are told things, and waiting for a restart.
//!
//! With `#[tokio::test(start_paused = true)]` time is deterministic too: it jumps to the next timer
//! when nothing can run, so a test of an hour takes no time.
//!
//! ```
//! use supervision::{Cx, Exit, InitError, Next, Server, testkit};
//!
//! struct Fragile;
//! impl Server for Fragile {
//!     type Args = ();
//!     type Msg = ();
//!     const NAME: &'static str = "fragile";
//!     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
//!     async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next { Next::Stop(Exit::error("no")) }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let kit = testkit::server::<Fragile>("fragile", || ()).await;
//! kit.me.cast(()).unwrap();
//! assert!(testkit::restarted(kit.me.pid()).await.is_alive());
//! # });
//! ```
//!
//! A [`Probe`] is the process next to it:
//!
//! ```
//! use supervision::{Cx, Engine, Exit, InitError, StateMachine, Step, testkit};
//! use supervision::testkit::{Kit, Probe};
//! # struct Bell;
//! # impl StateMachine for Bell {
//! #     type Args = ();
//! #     type Msg = supervision::Ref<u8>;
//! #     type State = ();
//! #     const NAME: &'static str = "bell";
//! #     async fn init((): (), _: &mut Cx<Self::Msg>) -> Result<((), Self), InitError> { Ok(((), Self)) }
//! #     async fn handle(&mut self, (): &(), to: Self::Msg, _: &mut Cx<Self::Msg>) -> Step<(), Self::Msg> {
//! #         drop(to.cast(7));
//! #         Step::keep()
//! #     }
//! # }
//! # struct Idle;
//! # impl supervision::Process for Idle {
//! #     type Args = ();
//! #     type Msg = ();
//! #     const NAME: &'static str = "idle";
//! #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
//! #     async fn run(&mut self, cx: &mut Cx<()>) -> Exit { cx.next().await; Exit::Normal }
//! # }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let kit = testkit::state_machine_on::<Bell>(Engine::Lean, "bell", || ()).await;
//! let mut probe: Probe<u8> = Probe::start(&kit.system).await;
//! kit.me.pid().monitor(probe.pid());
//! kit.me.cast(probe.me().clone()).unwrap();
//! assert_eq!(probe.message().await, 7);
//! assert!(probe.pending().is_none());
//! kit.root.stop().await;
//! assert_eq!(probe.exit().await.1.word(), "shutdown");
//!
//! let kit: Kit<()> = testkit::process::<Idle>("idle", || ()).await;
//! kit.me.cast(()).unwrap();
//! assert_eq!(testkit::ended(kit.me.pid()).await.word(), "normal");
//! # });
//! ```

use crate::{
    cx::Cx,
    event::Event,
    exit::Exit,
    inbox::Ref,
    pid::{Local, Pid},
    policy::Engine,
    process::Process,
    server::Server,
    spec::{ChildSpec, Place, Started, SupervisorSpec},
    start_error::{InitError, StartError},
    state_machine::{Machine, StateMachine},
    supervisor::SupervisorRef,
    system::System,
};
use parking_lot::Mutex;
use std::{marker::PhantomData, sync::Arc, time::Duration};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A behaviour under test: a system with a supervisor that has it as its only child.
///
/// Example: [`crate::testkit`].
#[derive(Debug)]
pub struct Kit<M> {
    /// Its system, named `test`.
    pub system: System,
    /// Its supervisor.
    pub root: SupervisorRef,
    /// Its first process.
    pub me: Ref<M>,
}

async fn kit<M: Send + 'static, F>(
    engine: Engine,
    id: &str,
    start: impl Fn(Place) -> F + Send + Sync + 'static,
) -> Kit<M>
where
    F: Future<Output = Result<Ref<M>, StartError>> + Send + 'static,
{
    let system = System::new("test");
    system.set_engine(engine);
    let first: Arc<Mutex<Option<Ref<M>>>> = Arc::default();
    let keep = Arc::clone(&first);
    let child = ChildSpec::new(id, move |place| {
        let (starting, keep) = (start(place), Arc::clone(&keep));
        async move {
            let started = starting.await?;
            let pid = started.pid().clone();
            keep.lock().get_or_insert(started);
            Ok(Started::Up(pid))
        }
    });
    let root = SupervisorSpec::one_for_one().intensity(10, Duration::from_secs(5)).child(child);
    let root = system.start(root).await;
    let me = first.lock().take();
    match (root, me) {
        (Ok(root), Some(me)) => Kit { system, root, me },
        (root, _) => fail(&format!("{id} did not start: {root:?}")),
    }
}

/// Starts a server under a supervisor of its own.
///
/// Example: [`crate::testkit`].
pub async fn server<S: Server>(
    id: &str,
    args: impl Fn() -> S::Args + Send + Sync + 'static,
) -> Kit<S::Msg> {
    server_on::<S>(Engine::default(), id, args).await
}

/// Starts a server under a supervisor of its own, both on that engine.
///
/// ```
/// use supervision::{Engine, testkit};
/// # use supervision::{Cx, InitError, Next, Server};
/// # struct Room;
/// # impl Server for Room {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "room";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next { Next::Continue }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// for engine in [Engine::Ractor, Engine::Lean] {
///     let kit = testkit::server_on::<Room>(engine, "room", || ()).await;
///     assert!(kit.me.cast(()).is_ok());
/// #   kit.root.stop().await;
/// }
/// # });
/// ```
pub async fn server_on<S: Server>(
    engine: Engine,
    id: &str,
    args: impl Fn() -> S::Args + Send + Sync + 'static,
) -> Kit<S::Msg> {
    kit(engine, id, move |place| place.server::<S>(args())).await
}

/// Starts a state machine under a supervisor of its own.
///
/// Example: [`StateMachine`].
pub async fn state_machine<M: StateMachine>(
    id: &str,
    args: impl Fn() -> M::Args + Send + Sync + 'static,
) -> Kit<M::Msg> {
    server::<Machine<M>>(id, args).await
}

/// Starts a state machine as [`server_on`].
///
/// Example: [`crate::testkit`].
pub async fn state_machine_on<M: StateMachine>(
    engine: Engine,
    id: &str,
    args: impl Fn() -> M::Args + Send + Sync + 'static,
) -> Kit<M::Msg> {
    server_on::<Machine<M>>(engine, id, args).await
}

/// Starts a process under a supervisor of its own.
///
/// Example: [`crate::testkit`].
pub async fn process<P: Process>(
    id: &str,
    args: impl Fn() -> P::Args + Send + Sync + 'static,
) -> Kit<P::Msg> {
    kit(Engine::default(), id, move |place| place.process::<P>(args())).await
}

/// A process that a test looks into: it keeps what it is told.
///
/// Example: [`crate::testkit`].
#[derive(Debug)]
pub struct Probe<M> {
    me: Ref<M>,
    told: Receiver<Event<M>>,
}

struct Told<M> {
    to: Sender<Event<M>>,
    message: PhantomData<fn() -> M>,
}

impl<M: Send + 'static> Process for Told<M> {
    type Args = Sender<Event<M>>;
    type Msg = M;
    const NAME: &'static str = "probe";

    async fn init(to: Sender<Event<M>>, cx: &mut Cx<M>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        Ok(Self { to, message: PhantomData })
    }

    async fn run(&mut self, cx: &mut Cx<M>) -> Exit {
        loop {
            let event = cx.next().await;
            if self.to.send(event).await.is_err() {
                return Exit::Normal;
            }
        }
    }
}

impl<M: Send + 'static> Probe<M> {
    /// Starts one, without a supervisor. It traps exits, and ends after it was dropped.
    pub async fn start(system: &System) -> Self {
        let (to, told) = channel(1024);
        match system.spawn::<Told<M>>("/probe", to).await {
            Ok(me) => Self { me, told },
            Err(error) => fail(&format!("the probe did not start: {error}")),
        }
    }

    /// Its address.
    pub fn me(&self) -> &Ref<M> {
        &self.me
    }

    /// Its process.
    pub fn pid(&self) -> &Local {
        self.me.pid()
    }

    /// The next thing it is told.
    pub async fn event(&mut self) -> Event<M> {
        match tokio::time::timeout(PATIENCE, self.told.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => fail("the probe has ended"),
            Err(_) => fail("the probe was told nothing"),
        }
    }

    /// The next thing it is told, which must be a message.
    pub async fn message(&mut self) -> M {
        match self.event().await {
            Event::Msg(msg) => msg,
            Event::Exit { from, reason } => fail(&format!("exit signal of {from:?}: {reason}")),
            Event::Down { pid, reason, .. } => fail(&format!("{pid:?} is down: {reason}")),
        }
    }

    /// The next thing it is told, which must be the exit signal or the end of a monitored process.
    pub async fn exit(&mut self) -> (Pid, Exit) {
        match self.event().await {
            Event::Exit { from, reason } => (from, reason),
            Event::Down { pid, reason, .. } => (pid, reason),
            Event::Msg(_) => fail("a message, not an exit"),
        }
    }

    /// What it was told and nobody has looked at yet.
    pub fn pending(&mut self) -> Option<Event<M>> {
        self.told.try_recv().ok()
    }
}

/// Waits for the end of a process.
///
/// Example: [`crate::testkit`].
pub async fn ended(pid: &Local) -> Exit {
    match tokio::time::timeout(PATIENCE, pid.wait()).await {
        Ok(exit) => exit,
        Err(_) => fail(&format!("{pid:?} has not ended")),
    }
}

/// Waits until a process has ended and another is in its place.
///
/// Example: [`crate::testkit`].
pub async fn restarted(pid: &Local) -> Local {
    ended(pid).await;
    let again = async {
        loop {
            match pid.system().find(pid.path()) {
                Some(next) if next != *pid => return next,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, again).await {
        Ok(next) => next,
        Err(_) => fail(&format!("{pid:?} was not started again")),
    }
}

#[expect(clippy::panic, reason = "how a test fails")]
#[track_caller]
fn fail(why: &str) -> ! {
    panic!("{why}")
}
