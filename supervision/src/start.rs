//! What is started: trees, processes, and the children of a specification by their behaviours. This file knows all of them,
//! and no behaviour knows it.

use crate::{
    cx::Cx,
    inbox::Ref,
    pid::At,
    policy::{Kind, Shutdown},
    pool::{Pool, PoolSpec},
    process::{self, Process},
    server::{self, Server},
    spec::{ChildSpec, Place, Started, SupervisorSpec},
    start_error::StartError,
    state_machine::{Machine, StateMachine},
    supervisor::{self, SupervisorRef},
    system::System,
};
use std::sync::Arc;

impl System {
    /// Starts a tree and waits until all of it has started.
    ///
    /// # Errors
    /// When a child does not start; what had started is stopped again.
    pub async fn start(&self, root: SupervisorSpec) -> Result<SupervisorRef, StartError> {
        supervisor::start(self.engine(), self, None, At::Path("/".into()), root).await
    }

    /// Starts a process without a supervisor: for tools and tests. Nobody hears of its end.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn spawn<P: Process>(
        &self,
        path: &str,
        args: P::Args,
    ) -> Result<Ref<P::Msg>, StartError> {
        process::start::<P>(self, None, At::Path(path.into()), args).await
    }
}

impl Place {
    /// Starts a process there.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn process<P: Process>(self, args: P::Args) -> Result<Ref<P::Msg>, StartError> {
        process::start::<P>(&self.system, Some(self.parent), self.at, args).await
    }

    /// Starts a server there.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub fn server<S: Server>(
        self,
        args: S::Args,
    ) -> impl Future<Output = Result<Ref<S::Msg>, StartError>> + Send {
        self.serves::<S, _>(args, |started| started)
    }

    fn serves<S: Server, T>(
        self,
        args: S::Args,
        made: fn(Result<Ref<S::Msg>, StartError>) -> T,
    ) -> impl Future<Output = T> + Send {
        let Self { system, parent, at, engine } = self;
        server::start::<S, T>(engine, system, Some(parent), at, args, made)
    }

    /// Starts a state machine there.
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn state_machine<M: StateMachine>(
        self,
        args: M::Args,
    ) -> Result<Ref<M::Msg>, StartError> {
        self.server::<Machine<M>>(args).await
    }

    /// Starts a supervisor with its children there.
    ///
    /// # Errors
    /// When one of them does not start; those before it were stopped again.
    pub async fn supervisor(self, spec: SupervisorSpec) -> Result<SupervisorRef, StartError> {
        supervisor::start(self.engine, &self.system, Some(self.parent), self.at, spec).await
    }
}

impl<M: Send + 'static> Cx<M> {
    /// Where something is to live that this process starts itself: below it, linked to it, with it as its parent. It ends with its
    /// starter (of a `normal` end only one that traps exits hears), and its end is an exit signal to its starter, a start that failed
    /// too: as of OTP's `start_link`, one that does not trap exits ends with it.
    ///
    /// ```
    /// use supervision::{Cx, Engine, Ref, StartError};
    /// # use supervision::{InitError, Next, Reply, Server};
    /// # struct Cache;
    /// # impl Server for Cache {
    /// #     type Args = u64;
    /// #     type Msg = Reply<u64>;
    /// #     const NAME: &'static str = "cache";
    /// #     async fn init(_: u64, _: &mut Cx<Self::Msg>) -> Result<Self, InitError> { Ok(Self) }
    /// #     async fn handle(&mut self, _: Reply<u64>, _: &mut Cx<Self::Msg>) -> Next { Next::Continue }
    /// # }
    ///
    /// /// As a server's `init` might.
    /// async fn init(cx: &mut Cx<()>) -> Result<Ref<Reply<u64>>, StartError> {
    ///     let cache = cx.start_link::<Cache>("cache", 40).await?;
    ///     // the same on the other engine; processes, state machines and supervisors likewise
    ///     cx.place("spare").engine(Engine::Lean).server::<Cache>(40).await?;
    ///     Ok(cache)
    /// }
    /// ```
    pub fn place(&self, id: &str) -> Place {
        let (system, parent) = (self.system().clone(), self.pid().clone());
        let path = [parent.path().trim_end_matches('/'), "/", id].concat();
        let engine = system.engine();
        Place { system, parent, at: At::Path(path.into()), engine }
    }

    /// Starts a server from inside of a process (`gen_server:start_link/3`): [`Cx::place`].
    ///
    /// # Errors
    /// When its `init` says so, or it ended before.
    pub async fn start_link<S: Server>(
        &self,
        id: &str,
        args: S::Args,
    ) -> Result<Ref<S::Msg>, StartError> {
        self.place(id).server::<S>(args).await
    }
}

fn started<M>(result: Result<Ref<M>, StartError>) -> Result<Started, StartError> {
    match result {
        Ok(started) => Ok(Started::Up(started.pid)),
        Err(StartError::Ignore) => Ok(Started::Ignored),
        Err(error) => Err(error),
    }
}

impl ChildSpec {
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
        Self::new(id, move |at: Place| at.serves::<S, _>(args(), started))
    }

    /// A template for processes that own their loop, each with arguments of its own.
    pub fn process_with<P: Process>(id: &str) -> Self
    where
        P::Args: Clone + Sync,
    {
        Self::template(id, |at: Place, args| async move { started(at.process::<P>(args).await) })
    }

    /// A template for servers, each with arguments of its own.
    ///
    /// ```
    /// use supervision::{ChildSpec, Ref, Reply, SupervisorSpec, System};
    /// # use supervision::{Cx, InitError, Next, Server};
    /// # struct Room(String);
    /// # impl Server for Room {
    /// #     type Args = String;
    /// #     type Msg = Reply<String>;
    /// #     const NAME: &'static str = "room";
    /// #     async fn init(name: String, _: &mut Cx<Self::Msg>) -> Result<Self, InitError> { Ok(Self(name)) }
    /// #     async fn handle(&mut self, reply: Self::Msg, _: &mut Cx<Self::Msg>) -> Next {
    /// #         reply.send(self.0.clone());
    /// #         Next::Continue
    /// #     }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// // for state machines: `ChildSpec::state_machine_with`
    /// let rooms = SupervisorSpec::simple_one_for_one(ChildSpec::server_with::<Room>("room"));
    /// let rooms = System::new("demo").start(rooms).await.unwrap();
    /// let garden = rooms.start_instance_with("garden".to_owned()).await.unwrap();
    /// let garden: Ref<Reply<String>> = garden.to_ref().unwrap();
    /// assert_eq!(garden.ask(|reply| reply).await.unwrap(), "garden");
    /// # rooms.stop().await;
    /// # });
    /// ```
    pub fn server_with<S: Server>(id: &str) -> Self
    where
        S::Args: Clone + Sync,
    {
        Self::template(id, |at: Place, args| at.serves::<S, _>(args, started))
    }

    /// A template for state machines, each with arguments of its own.
    pub fn state_machine_with<M: StateMachine>(id: &str) -> Self
    where
        M::Args: Clone + Sync,
    {
        Self::server_with::<Machine<M>>(id)
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
}
