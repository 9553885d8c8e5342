//! Child and supervisor specifications, with OTP's defaults (`supervisor(3)`).

use crate::{
    exit::Exit,
    pid::{At, Pid},
    pool::{Pool, PoolSpec},
    process::{self, Process},
    server::{self, Server},
    state_machine::{Machine, StateMachine},
    supervisor::{self, SupervisorRef},
    system::System,
};
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};
use thiserror::Error;

/// When a child that ended is started again.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// When it ended abnormally.
    Transient,
    /// Never.
    Temporary,
}

/// How a child is stopped.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed at once.
    BrutalKill,
    /// Asked; killed when it has not ended by then.
    Timeout(Duration),
    /// Asked, and waited for.
    Infinity,
}

/// Worker or supervisor.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Does work.
    Worker,
    /// Has children.
    Supervisor,
}

/// Which children are affected when one ends.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All.
    OneForAll,
    /// That one and those started after it.
    RestForOne,
    /// Instances of one template, each for itself.
    SimpleOneForOne,
}

impl Strategy {
    /// Whether a restart concerns other children too.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::OneForAll | Self::RestForOne)
    }
}

/// Whether a supervisor ends when its significant children do.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// No.
    #[default]
    Never,
    /// When one of them ends by itself.
    AnySignificant,
    /// When the last of them has ended by itself.
    AllSignificant,
}

/// How many restarts within which time are too many.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// As many are still allowed.
    pub restarts: u32,
    /// Within this time.
    pub period: Duration,
}

impl Default for Intensity {
    /// OTP's: 1 in 5 seconds.
    fn default() -> Self {
        Self { restarts: 1, period: Duration::from_secs(5) }
    }
}

/// A restart that waits, for a child that needs something outside (a database): the wait doubles
/// with each failure, and starts anew when the child has lived for `max`. These restarts do not
/// count against the supervisor's [`Intensity`], and a failed start does not fail the supervisor's.
///
/// ```
/// use std::time::Duration;
/// use supervision::Backoff;
///
/// let seconds = Duration::from_secs;
/// let backoff = Backoff { first: seconds(1), max: seconds(60) };
/// assert_eq!([0, 1, 2, 30].map(|n| backoff.delay(n)), [1, 2, 4, 60].map(seconds));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Backoff {
    /// The wait after that many failures before.
    pub fn delay(&self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.min(20)).min(self.max)
    }
}

/// Why something did not start.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It had nothing to do. Not a failure: the child stays without a process.
    #[error("ignore")]
    Ignore,
    /// It could not.
    #[error("{0}")]
    Failed(Arc<str>),
    /// It ended before it was started.
    #[error("ended while starting: {0}")]
    Exited(Exit),
    /// A supervisor's child did not start.
    #[error("child {child} failed to start: {error}")]
    Child {
        /// Which.
        child: Arc<str>,
        /// Why.
        error: Box<StartError>,
    },
    /// The pool has as many children as it may have.
    #[error("the pool is full")]
    Full,
    /// It was not ready in time, and was killed.
    #[error("not ready within {0:?}")]
    Timeout(Duration),
    /// The specification makes no sense.
    #[error("invalid specification: {0}")]
    InvalidSpec(Arc<str>),
}

impl StartError {
    /// The reason such a process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Ignore => Exit::Normal,
            Self::Exited(exit) => exit.clone(),
            Self::Child { .. } => Exit::shutdown(&self.to_string()),
            other => Exit::error(&other.to_string()),
        }
    }
}

/// What a start brought.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug)]
pub enum Started {
    /// A process.
    Up(Pid),
    /// Nothing: the start was ignored.
    Ignored,
}

/// What a start function gets: where the child is to live.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug)]
pub struct Place {
    /// The system.
    pub system: System,
    /// The supervisor.
    pub parent: Pid,
    pub(crate) at: At,
}

impl Place {
    /// The child's path.
    pub fn path(&self) -> Arc<str> {
        self.at.path(Some(&self.parent))
    }

    /// Starts a process there.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn process<P: Process>(
        self,
        args: P::Args,
    ) -> Result<crate::Ref<P::Msg>, StartError> {
        process::start::<P>(&self.system, Some(self.parent), self.at, args, None).await
    }

    /// Starts a server there.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn server<S: Server>(self, args: S::Args) -> Result<crate::Ref<S::Msg>, StartError> {
        server::start::<S>(&self.system, Some(self.parent), self.at, args).await
    }

    /// Starts a supervisor with its children there.
    ///
    /// # Errors
    /// When one of them does not start; those before it were stopped again.
    pub async fn supervisor(self, spec: SupervisorSpec) -> Result<SupervisorRef, StartError> {
        supervisor::start(&self.system, Some(self.parent), self.at, spec).await
    }
}

/// A boxed future of a start.
pub type StartFuture = Pin<Box<dyn Future<Output = Result<Started, StartError>> + Send>>;

/// Starts a child; called again for each restart.
pub type StartFn = Arc<dyn Fn(Place) -> StartFuture + Send + Sync>;

/// A child.
///
/// ```
/// use std::time::Duration;
/// use supervision::{ChildSpec, Kind, Place, StartError, Started, SupervisorSpec, System};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// // a start function of its own: here of a supervisor that is made when it is started
/// let tenant = ChildSpec::new("tenant", |place: Place| async move {
///     assert_eq!(&*place.path(), "/tenant");
///     Ok(Started::Up(place.supervisor(SupervisorSpec::one_for_one()).await?.pid().clone()))
/// })
/// .kind(Kind::Supervisor)
/// .ready_within(Duration::from_secs(10));
/// let nothing = ChildSpec::new("nothing", |_| async { Err(StartError::Failed("no".into())) });
///
/// let (system, spec) = (System::new("demo"), SupervisorSpec::one_for_one().child(tenant));
/// let root = system.start(spec.clone()).await.unwrap();
/// assert_eq!(system.alive(), 2);
/// root.stop().await;
/// let Err(StartError::Child { child, .. }) = system.start(spec.child(nothing)).await else { panic!() };
/// assert_eq!((&*child, system.alive()), ("nothing", 0));
/// # });
/// ```
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) start: StartFn,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) kind: Kind,
    pub(crate) significant: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) ready_within: Option<Duration>,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} {:?}", self.id, self.restart, self.shutdown, self.kind)
    }
}

fn started<M>(result: Result<crate::Ref<M>, StartError>) -> Result<Started, StartError> {
    match result {
        Ok(started) => Ok(Started::Up(started.pid)),
        Err(StartError::Ignore) => Ok(Started::Ignored),
        Err(error) => Err(error),
    }
}

impl ChildSpec {
    /// A child with a start function of its own.
    pub fn new<F>(id: &str, start: impl Fn(Place) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Started, StartError>> + Send + 'static,
    {
        Self {
            id: id.into(),
            start: Arc::new(move |place| Box::pin(start(place))),
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(Duration::from_secs(5)),
            kind: Kind::Worker,
            significant: false,
            backoff: None,
            ready_within: None,
        }
    }

    /// A process that owns its loop; `args` makes what each start gets.
    pub fn process<P: Process>(
        id: &str,
        args: impl Fn() -> P::Args + Send + Sync + 'static,
    ) -> Self {
        Self::new(id, move |at: Place| {
            let args = args();
            async move { started(at.process::<P>(args).await) }
        })
    }

    /// A server.
    pub fn server<S: Server>(id: &str, args: impl Fn() -> S::Args + Send + Sync + 'static) -> Self {
        Self::new(id, move |at: Place| {
            let args = args();
            async move { started(at.server::<S>(args).await) }
        })
    }

    /// A state machine.
    pub fn state_machine<M: StateMachine>(
        id: &str,
        args: impl Fn() -> M::Args + Send + Sync + 'static,
    ) -> Self {
        Self::server::<Machine<M>>(id, args)
    }

    /// A supervisor with its children.
    pub fn supervisor(id: &str, spec: SupervisorSpec) -> Self {
        let child = Self::new(id, move |at: Place| {
            let spec = spec.clone();
            async move {
                let sup = at.supervisor(spec).await?;
                Ok(Started::Up(sup.pid().clone()))
            }
        });
        Self { kind: Kind::Supervisor, shutdown: Shutdown::Infinity, ..child }
    }

    /// A pool of processes that come and go, registered in the system under `name`.
    pub fn pool<P: Process>(id: &str, name: &str, spec: PoolSpec) -> Self {
        let name: Arc<str> = name.into();
        let child = Self::new(id, move |at: Place| {
            let (name, spec) = (Arc::clone(&name), spec.clone());
            async move { started(Pool::<P>::start(at, name, spec).await) }
        });
        Self { kind: Kind::Supervisor, shutdown: Shutdown::Infinity, ..child }
    }

    /// Sets when it is restarted (default permanent).
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Sets how it is stopped (default 5 s for a worker, infinity for a supervisor).
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// Sets what the tree calls it.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Makes it significant: see [`AutoShutdown`].
    #[must_use]
    pub fn significant(self, significant: bool) -> Self {
        Self { significant, ..self }
    }

    /// Restarts it after a wait: see [`Backoff`]. Under rest_for_one and one_for_all those that are
    /// started with it wait too: they start when it is up.
    #[must_use]
    pub fn backoff(self, first: Duration, max: Duration) -> Self {
        Self { backoff: Some(Backoff { first, max }), ..self }
    }

    /// Sets how long its start may take (default: for ever, as in OTP). A child is ready when its
    /// `init` has returned; those after it are started then.
    #[must_use]
    pub fn ready_within(self, limit: Duration) -> Self {
        Self { ready_within: Some(limit), ..self }
    }

    /// Its name under its supervisor.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A supervisor: how it restarts, and its children in start order.
///
/// ```
/// use std::time::Duration;
/// use supervision::{AutoShutdown, ChildSpec, Intensity, Restart, Shutdown, Strategy, SupervisorSpec};
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
/// let storage = SupervisorSpec::rest_for_one()
///     .child(
///         ChildSpec::process::<Echo>("database", || ())
///             .backoff(Duration::from_secs(1), Duration::from_secs(60)),
///     )
///     .child(ChildSpec::process::<Echo>("cache", || ()));
/// let root = SupervisorSpec::one_for_one()
///     .intensity(3, Duration::from_secs(10))
///     .auto_shutdown(AutoShutdown::AnySignificant)
///     .child(ChildSpec::supervisor("storage", storage))
///     .child(
///         ChildSpec::process::<Echo>("main", || ())
///             .restart(Restart::Transient)
///             .shutdown(Shutdown::Timeout(Duration::from_secs(30)))
///             .significant(true),
///     );
/// assert_eq!(root.children.len(), 2);
/// assert_eq!((root.strategy, root.intensity.restarts), (Strategy::OneForOne, 3));
/// assert_eq!(SupervisorSpec::one_for_all().intensity, Intensity::default());
/// let template = ChildSpec::process::<Echo>("session", || ());
/// let sessions = SupervisorSpec::simple_one_for_one(template);
/// assert_eq!(sessions.strategy, Strategy::SimpleOneForOne);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SupervisorSpec {
    /// Which children a restart affects.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub intensity: Intensity,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// The children; stopped in reverse order.
    pub children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// One for one, without children yet.
    pub fn one_for_one() -> Self {
        Self::default()
    }

    /// One for all, without children yet.
    pub fn one_for_all() -> Self {
        Self { strategy: Strategy::OneForAll, ..Self::default() }
    }

    /// Rest for one, without children yet.
    pub fn rest_for_one() -> Self {
        Self { strategy: Strategy::RestForOne, ..Self::default() }
    }

    /// Instances of one template.
    pub fn simple_one_for_one(template: ChildSpec) -> Self {
        Self { strategy: Strategy::SimpleOneForOne, children: vec![template], ..Self::default() }
    }

    /// Adds a child, started after those before it.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Sets how many restarts within which time are too many.
    #[must_use]
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// Sets whether it ends with its significant children.
    #[must_use]
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }
}
