//! For tests of behaviours: kits, probes that are told things, waiting for a restart, and many seeds ([`crate::schedule`]).
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

mod network;
mod probe;
mod seeds;

pub use network::Network;
pub use probe::Probe;
pub use seeds::{Failure, every_seed, first_failure};

use crate::{
    exit::Exit,
    inbox::Ref,
    pid::Local,
    policy::Engine,
    process::Process,
    server::Server,
    spec::{ChildSpec, Place, Started, SupervisorSpec},
    start_error::StartError,
    state_machine::{Machine, StateMachine},
    supervisor::{ChildState, SupervisorRef},
    system::System,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A behaviour under test: its system, and the supervisor that has it as a child.
///
/// Example: [`crate::testkit`].
#[derive(Debug)]
pub struct Kit<M> {
    /// Its system, named `test` if it is its own.
    pub system: System,
    /// Its supervisor.
    pub root: SupervisorRef,
    /// Its first process.
    pub me: Ref<M>,
}

/// A supervisor that has nothing to do yet.
async fn alone(engine: Engine) -> SupervisorRef {
    let root = SupervisorSpec::one_for_one().intensity(10, Duration::from_secs(5));
    let system = System::new("test");
    system.set_engine(engine);
    match system.start(root).await {
        Ok(root) => root,
        Err(error) => fail(&format!("no supervisor: {error}")),
    }
}

async fn kit<M: Send + 'static, F>(
    root: SupervisorRef,
    id: &str,
    start: impl Fn(Place) -> F + Send + Sync + 'static,
) -> Kit<M>
where
    F: Future<Output = Result<Ref<M>, StartError>> + Send + 'static,
{
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
    let started = root.start_child(child).await;
    let me = first.lock().take();
    match (started, me) {
        (Ok(_), Some(me)) => Kit { system: me.pid().system().clone(), root, me },
        (started, _) => fail(&format!("{id} did not start: {started:?}")),
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
    server_under::<S>(&alone(engine).await, id, args).await
}

/// Starts a server as one more child of a supervisor in a running tree, of a test or of a program: with the processes, names
/// and schedule that are there.
///
/// Example: [`process_under`].
pub async fn server_under<S: Server>(
    supervisor: &SupervisorRef,
    id: &str,
    args: impl Fn() -> S::Args + Send + Sync + 'static,
) -> Kit<S::Msg> {
    kit(supervisor.clone(), id, move |place| place.server::<S>(args())).await
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

/// [`server_under`] for a state machine.
///
/// Example: [`process_under`].
pub async fn state_machine_under<M: StateMachine>(
    supervisor: &SupervisorRef,
    id: &str,
    args: impl Fn() -> M::Args + Send + Sync + 'static,
) -> Kit<M::Msg> {
    server_under::<Machine<M>>(supervisor, id, args).await
}

/// Starts a process under a supervisor of its own.
///
/// Example: [`crate::testkit`].
pub async fn process<P: Process>(
    id: &str,
    args: impl Fn() -> P::Args + Send + Sync + 'static,
) -> Kit<P::Msg> {
    process_under::<P>(&alone(Engine::default()).await, id, args).await
}

/// [`server_under`] for a process.
///
/// ```
/// use supervision::schedule::Schedule;
/// use supervision::testkit::{self, Kit};
/// use supervision::{SupervisorSpec, System};
/// # use supervision::{Cx, Exit, InitError, Next, Process, Server, StateMachine, Step};
/// # struct Idle;
/// # impl Process for Idle {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "idle";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<()>) -> Exit { cx.next().await; Exit::Normal }
/// # }
/// # impl Server for Idle {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "idle";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next { Next::Continue }
/// # }
/// # impl StateMachine for Idle {
/// #     type Args = ();
/// #     type Msg = ();
/// #     type State = ();
/// #     const NAME: &'static str = "idle";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<((), Self), InitError> { Ok(((), Self)) }
/// #     async fn handle(&mut self, (): &(), (): (), _: &mut Cx<()>) -> Step<(), ()> { Step::keep() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::scheduled("mine", Schedule::new(1));
/// let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
/// let kit: Kit<()> = testkit::process_under::<Idle>(&root, "process", || ()).await;
/// testkit::server_under::<Idle>(&root, "server", || ()).await;
/// testkit::state_machine_under::<Idle>(&root, "machine", || ()).await;
/// assert_eq!((kit.system.alive(), &**kit.me.pid().path()), (4, "/process"));
/// # root.stop().await;
/// # });
/// ```
pub async fn process_under<P: Process>(
    supervisor: &SupervisorRef,
    id: &str,
    args: impl Fn() -> P::Args + Send + Sync + 'static,
) -> Kit<P::Msg> {
    kit(supervisor.clone(), id, move |place| place.process::<P>(args())).await
}

/// The process of a child that runs.
///
/// Example: [`Probe::replace`].
pub async fn child(supervisor: &SupervisorRef, id: &str) -> Local {
    let children = supervisor.which_children().await.unwrap_or_default();
    let child = children.into_iter().find(|child| child.id.as_deref() == Some(id));
    match child.map(|child| child.state) {
        Some(ChildState::Up(pid)) => pid,
        other => fail(&format!("no child {id} that runs: {other:?}")),
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
