//! Child and supervisor specifications, with OTP's defaults (`supervisor(3)`): what is to run, and how. That a child is a
//! server, or a pool, is said in `start.rs`.

pub use crate::policy::{
    AutoShutdown, Backoff, Engine, Intensity, Kind, Restart, Shutdown, Strategy,
};
pub use crate::start_error::StartError;
use crate::{
    crash,
    exit::Exit,
    inbox::{Ref, RefError},
    pid::{At, Local},
    system::System,
};
use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// What a start brought.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug)]
pub enum Started {
    /// A process.
    Up(Local),
    /// Nothing: the start was ignored.
    Ignored,
}

impl Started {
    /// The typed address of what was started: [`Ref::of`].
    ///
    /// # Errors
    /// When nothing was, or it has ended, or takes other messages.
    pub fn to_ref<M: Send + 'static>(&self) -> Result<Ref<M>, RefError> {
        match self {
            Self::Up(pid) => Ref::of(pid),
            Self::Ignored => Err(RefError::Gone(Some(Exit::NoProc))),
        }
    }
}

/// What a start function gets: where the child is to live.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug)]
pub struct Place {
    /// The system.
    pub system: System,
    /// The supervisor, or who starts it.
    pub parent: Local,
    pub(crate) at: At,
    pub(crate) engine: Engine,
}

impl Place {
    /// The child's path.
    pub fn path(&self) -> Arc<str> {
        self.at.path(Some(self.parent.name()))
    }

    /// Sets on what a server, state machine or supervisor is to run there.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }
}

/// A boxed future of a start.
pub type StartFuture = Pin<Box<dyn Future<Output = Result<Started, StartError>> + Send>>;

/// Starts a child; called again for each restart.
pub type StartFn = Arc<dyn Fn(Place) -> StartFuture + Send + Sync>;

/// Of a template whose instances get arguments: the start function with these; `None`: they are of another type.
type WithArgs = Arc<dyn Fn(&dyn Any) -> Option<StartFn> + Send + Sync>;

/// What a specification was given. It is dropped with that, by a supervisor, say, which is not to end by a panic in a destructor:
/// there it is until then.
struct Given<T>(Option<T>);

impl<T> Given<T> {
    fn new(given: T) -> Self {
        Self(Some(given))
    }

    fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        if let Err(panic) = crash::catch_inside(|| self.0 = None) {
            let (reason, location) = (panic.message, panic.location);
            tracing::error!(reason, location, "a panic where a specification was dropped");
        }
    }
}

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
    pub(crate) with: Option<WithArgs>,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) kind: Kind,
    pub(crate) significant: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) ready_within: Option<Duration>,
    pub(crate) engine: Option<Engine>,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} {:?}", self.id, self.restart, self.shutdown, self.kind)
    }
}

impl ChildSpec {
    /// A child with a start function of its own.
    pub fn new<F>(id: &str, start: impl Fn(Place) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Started, StartError>> + Send + 'static,
    {
        let start = Given::new(start);
        Self {
            id: id.into(),
            start: Arc::new(move |place| match start.get() {
                Some(start) => Box::pin(start(place)),
                None => Box::pin(async { Err(StartError::Ignore) }),
            }),
            with: None,
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(Duration::from_secs(5)),
            kind: Kind::Worker,
            significant: false,
            backoff: None,
            ready_within: None,
            engine: None,
        }
    }

    /// A template whose instances get arguments of their own, with a start function of its own: see
    /// [`crate::SupervisorRef::start_instance_with`]. One that is restarted gets the same again.
    pub fn template<A, F>(id: &str, start: impl Fn(Place, A) -> F + Send + Sync + 'static) -> Self
    where
        A: Clone + Send + Sync + 'static,
        F: Future<Output = Result<Started, StartError>> + Send + 'static,
    {
        let start = Arc::new(Given::new(start));
        let with: WithArgs = Arc::new(move |args| {
            let args = Given::new(args.downcast_ref::<A>()?.clone());
            let start = Arc::clone(&start);
            Some(Arc::new(move |place| match (start.get(), args.get()) {
                (Some(start), Some(args)) => Box::pin(start(place, args.clone())),
                _ => Box::pin(async { Err(StartError::Ignore) }),
            }))
        });
        let alone = Self::new(id, |_| async {
            Err(StartError::InvalidSpec("an instance of this template needs arguments".into()))
        });
        Self { with: Some(with), ..alone }
    }

    /// The specification of an instance with those arguments.
    pub(crate) fn with(&self, args: &dyn Any) -> Option<Self> {
        let start = self.with.as_ref()?(args)?;
        Some(Self { start, with: None, ..self.clone() })
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

    /// Sets what it runs on when it is a server, a state machine or a supervisor (default: what [`System::set_engine`] says).
    /// It is for this child only, not for those below it.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        Self { engine: Some(engine), ..self }
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
