//! A supervisor from outside: what it can be asked, and what it answers.

mod request;

pub use request::{ChildError, ChildInfo, ChildSpecInfo, ChildState, Counts, Msg};
pub(crate) use request::{Request, Target};

use crate::{
    exit::Exit,
    inbox::{CallError, Ref, RefError},
    pid::{Local, Pid},
    spec::{ChildSpec, Started},
};
use request::ChildReply;
use std::sync::Arc;

/// A running supervisor.
///
/// ```
/// use supervision::{
///     ChildError, ChildInfo, ChildSpec, ChildSpecInfo, ChildState, Counts, Ref, Started, SupervisorRef, SupervisorSpec, System,
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
/// let system = System::new("demo");
/// let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
/// let echo = || ChildSpec::process::<Echo>("echo", || ());
/// root.start_child(echo()).await.unwrap();
/// assert!(matches!(root.start_child(echo()).await, Err(ChildError::AlreadyStarted(_))));
/// root.terminate_child("echo").await.unwrap();
/// let counts = root.count_children().await.unwrap();
/// assert_eq!((counts.specs, counts.active), (1, 0));
/// root.restart_child("echo").await.unwrap();
/// let children: Vec<ChildInfo> = root.which_children().await.unwrap();
/// assert!(matches!(children[0].state, ChildState::Up(_)));
/// root.terminate_child("echo").await.unwrap();
/// root.delete_child("echo").await.unwrap();
/// assert_eq!(root.count_children().await.unwrap(), Counts::default());
///
/// let sessions = system.start(SupervisorSpec::simple_one_for_one(echo())).await.unwrap();
/// let Started::Up(session) = sessions.start_instance().await.unwrap() else { panic!() };
/// let spec: ChildSpecInfo = sessions.instance_childspec(&session).await.unwrap();
/// assert_eq!(spec, sessions.get_childspec("echo").await.unwrap());
/// sessions.terminate_instance(&session).await.unwrap();
/// let session: Ref<Reply<u8>> = sessions.start_instance().await.unwrap().to_ref().unwrap();
/// assert_eq!(session.ask(|reply| reply).await, Ok(7));
/// # sessions.stop().await;
///
/// let template = ChildSpec::process_with::<Echo>("echo");
/// let sessions = SupervisorSpec::simple_one_for_one(template);
/// let below = ChildSpec::supervisor("echoes", sessions);
/// root.start_child(below).await.unwrap();
/// let sessions = SupervisorRef::of(system.find("/echoes").unwrap()).unwrap();
/// sessions.start_instance_with(()).await.unwrap();
/// assert!(matches!(sessions.start_instance_with(7).await, Err(ChildError::WrongArgs)));
/// # root.stop().await;
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct SupervisorRef(pub(crate) Ref<Msg>);

impl SupervisorRef {
    /// The supervisor that this process is: of a tree that was declared, found by its path, say.
    ///
    /// # Errors
    /// When it is none, or it has ended, or is of another node.
    pub fn of(pid: impl Into<Pid>) -> Result<Self, RefError> {
        Ref::of(pid).map(Self)
    }

    /// Its process.
    pub fn pid(&self) -> &Local {
        self.0.pid()
    }

    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(ChildReply<T>) -> Request,
    ) -> Result<T, ChildError> {
        let answer = self.0.ask(|reply| Msg(request(reply))).await;
        answer.map_err(ChildError::Call)?
    }

    /// Adds and starts a child (`supervisor:start_child/2`).
    ///
    /// # Errors
    /// When there is one of that id, or it does not start.
    pub async fn start_child(&self, child: ChildSpec) -> Result<Started, ChildError> {
        self.ask(|r| Request::Start(Some(Arc::new(child)), r)).await
    }

    /// Starts another instance of the template of a simple_one_for_one supervisor.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_instance(&self) -> Result<Started, ChildError> {
        self.ask(|r| Request::Start(None, r)).await
    }

    /// Starts another instance of a template whose instances get arguments ([`ChildSpec::server_with`]): with these, after a restart too
    /// (`supervisor:start_child/2` with its list of arguments).
    ///
    /// # Errors
    /// When they are of another type than the template takes ([`ChildError::WrongArgs`]), or it does not start.
    pub async fn start_instance_with<A>(&self, args: A) -> Result<Started, ChildError>
    where
        A: Clone + Send + Sync + 'static,
    {
        self.ask(|r| Request::Instance(Box::new(args), r)).await
    }

    /// Starts a child that was stopped (`supervisor:restart_child/2`).
    ///
    /// # Errors
    /// When there is none, or it runs, or it does not start.
    pub async fn restart_child(&self, id: &str) -> Result<Started, ChildError> {
        self.ask(|r| Request::Restart(Target::Id(id.into()), r)).await
    }

    /// Stops a child; its specification stays unless it is temporary.
    ///
    /// # Errors
    /// When there is none.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.ask(|r| Request::Terminate(Target::Id(id.into()), r)).await
    }

    /// Stops an instance of a template.
    ///
    /// # Errors
    /// When it is no instance of this supervisor.
    pub async fn terminate_instance(&self, pid: &Local) -> Result<(), ChildError> {
        self.ask(|r| Request::Terminate(Target::Instance(pid.clone()), r)).await
    }

    /// Removes the specification of a child that does not run.
    ///
    /// # Errors
    /// When there is none, or it runs.
    pub async fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        self.ask(|r| Request::Delete(Target::Id(id.into()), r)).await
    }

    /// What can be said of a child's specification; of a template, by its id too (`supervisor:get_childspec/2`).
    ///
    /// ```
    /// use std::time::Duration;
    /// use supervision::{ChildError, ChildSpec, Restart, Shutdown, Started, SupervisorSpec, System};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let worker = || ChildSpec::new("worker", |_| async { Ok(Started::Ignored) });
    /// let root = SupervisorSpec::one_for_one().child(worker());
    /// let root = System::new("demo").start(root).await.unwrap();
    /// let spec = root.get_childspec("worker").await.unwrap();
    /// assert_eq!((spec.restart, spec.shutdown), (Restart::Permanent, Shutdown::Timeout(Duration::from_secs(5))));
    /// root.update_childspec(worker().restart(Restart::Transient)).await.unwrap();
    /// assert_eq!(root.get_childspec("worker").await.unwrap().restart, Restart::Transient);
    /// let other = ChildSpec::new("other", |_| async { Ok(Started::Ignored) });
    /// assert!(matches!(root.update_childspec(other).await, Err(ChildError::NotFound)));
    /// # root.stop().await;
    /// # });
    /// ```
    ///
    /// # Errors
    /// When there is none.
    pub async fn get_childspec(&self, id: &str) -> Result<ChildSpecInfo, ChildError> {
        self.ask(|r| Request::Spec(Target::Id(id.into()), r)).await
    }

    /// [`SupervisorRef::get_childspec`] of the template, by one of its instances.
    ///
    /// # Errors
    /// When it is no instance of this supervisor.
    pub async fn instance_childspec(&self, pid: &Local) -> Result<ChildSpecInfo, ChildError> {
        self.ask(|r| Request::Spec(Target::Instance(pid.clone()), r)).await
    }

    /// Changes the specification of the child, or the template, of that id, as OTP's supervisor when its code is changed: what runs goes
    /// on, and the new one is in force when it ends, is stopped or started the next time. Instances that were started with arguments
    /// keep their start function, and with it these.
    ///
    /// # Errors
    /// When there is none of that id, or the specification makes no sense.
    pub async fn update_childspec(&self, spec: ChildSpec) -> Result<(), ChildError> {
        self.ask(|r| Request::Update(Arc::new(spec), r)).await
    }

    /// The children, the last started first.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, CallError> {
        self.0.ask(|r| Msg(Request::Which(r))).await
    }

    /// How many children there are.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn count_children(&self) -> Result<Counts, CallError> {
        self.0.ask(|r| Msg(Request::Count(r))).await
    }

    /// Stops the whole tree below and waits for it.
    pub async fn stop(&self) -> Exit {
        let pid = self.pid();
        match pid.parent() {
            Some(parent) => pid.exit_from(parent, Exit::Shutdown),
            None => pid.exit(Exit::Shutdown),
        }
        pid.wait().await
    }
}
