//! Addresses that lead somewhere: a typed one from that of any process, and one by a name, which goes on when the process was started
//! again.

use super::{CallError, CastError, Inbox, Ref, Reply};
use crate::{exit::Exit, pid::Pid, system::System};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};
use thiserror::Error;

/// Why an address leads nowhere.
///
/// Example: [`NameRef`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RefError {
    /// The process has ended: why, where that is known. Of another node: [`Exit::NoConnection`]; of a name nobody has, or something that
    /// was not started: [`Exit::NoProc`].
    #[error("the process has ended{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Gone(Option<Exit>),
    /// Its messages are others.
    #[error("the process takes other messages")]
    WrongType,
}

impl From<RefError> for CallError {
    fn from(error: RefError) -> Self {
        match error {
            RefError::Gone(why) => Self::Gone(why),
            RefError::WrongType => Self::WrongType,
        }
    }
}

impl Ref<()> {
    /// The typed address of a process, if its messages are `M`: `Ref::of::<M>(&pid)`.
    ///
    /// # Errors
    /// When they are others, or it has ended, or is of another node.
    pub fn of<M: Send + 'static>(pid: impl Into<Pid>) -> Result<Ref<M>, RefError> {
        let pid = pid.into();
        let local = pid.local().ok_or_else(|| RefError::Gone(Some(pid.why_away())))?;
        let inbox = Arc::clone(local.inbox()).downcast::<Inbox<M>>();
        let inbox = inbox.map_err(|_| RefError::WrongType)?;
        if !local.is_alive() {
            return Err(RefError::Gone(local.why()));
        }
        Ok(Ref { pid: local.clone(), inbox })
    }
}

/// The address of whoever has a name when it is used: see [`System::named`].
///
/// ```
/// use supervision::{CallError, CastError, ChildSpec, Exit, NameRef, Ref, RefError, SupervisorSpec, System};
/// # use supervision::{Cx, InitError, Next, Reply, Server};
/// # use std::time::Duration;
/// # struct Echo;
/// # impl Server for Echo {
/// #     type Args = ();
/// #     type Msg = Reply<u8>;
/// #     const NAME: &'static str = "echo";
/// #     async fn init((): (), cx: &mut Cx<Reply<u8>>) -> Result<Self, InitError> {
/// #         cx.register("echo")?;
/// #         Ok(Self)
/// #     }
/// #     async fn handle(&mut self, reply: Reply<u8>, _: &mut Cx<Reply<u8>>) -> Next {
/// #         reply.send(7);
/// #         Next::Continue
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (system, second) = (System::new("demo"), Duration::from_secs(1));
/// let echo: NameRef<Reply<u8>> = system.named("echo");
/// assert_eq!(echo.get().unwrap_err(), RefError::Gone(Some(Exit::NoProc)));
/// let root = SupervisorSpec::one_for_one().child(ChildSpec::server::<Echo>("echo", || ()));
/// let root = system.start(root).await.unwrap();
/// assert_eq!(echo.call(|reply| reply, second).await, Ok(7));
/// // another is started in its place
/// let pid = echo.get().unwrap().pid().clone();
/// pid.kill();
/// let again = supervision::testkit::restarted(&pid).await;
/// assert_eq!(echo.call(|reply| reply, second).await, Ok(7));
/// assert!(Ref::of::<Reply<u8>>(&again).is_ok());
/// assert_eq!(Ref::of::<u8>(&again).unwrap_err(), RefError::WrongType);
/// assert_eq!(Ref::of::<u8>(&root.pid().clone()).unwrap_err(), RefError::WrongType);
/// assert_eq!(echo.ask(|reply| reply).await, Ok(7));
/// // the answer as a message of one's own
/// let mut probe = supervision::testkit::Probe::start(&system).await;
/// echo.send_request(probe.me(), |reply| reply, |answer| answer);
/// assert_eq!(probe.message().await, Ok(7));
/// assert!(matches!(system.named("echo").cast(8), Err(CastError::WrongType(8))));
/// # root.stop().await;
/// # });
/// ```
pub struct NameRef<M> {
    system: System,
    name: Arc<str>,
    messages: PhantomData<fn(M)>,
}

impl<M> Clone for NameRef<M> {
    fn clone(&self) -> Self {
        let (system, name) = (self.system.clone(), Arc::clone(&self.name));
        Self { system, name, messages: PhantomData }
    }
}

impl<M> fmt::Debug for NameRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameRef({})", self.name)
    }
}

impl System {
    /// The address of whoever has that name whenever it is used, now or later, after restarts too.
    pub fn named<M: Send + 'static>(&self, name: &str) -> NameRef<M> {
        NameRef { system: self.clone(), name: name.into(), messages: PhantomData }
    }
}

impl<M: Send + 'static> NameRef<M> {
    /// Who has the name now.
    ///
    /// # Errors
    /// When nobody has ([`RefError::Gone`] with [`Exit::NoProc`]), or a process with other messages.
    pub fn get(&self) -> Result<Ref<M>, RefError> {
        match self.system.whereis(&self.name) {
            Some(pid) => Ref::of(pid),
            None => Err(RefError::Gone(Some(Exit::NoProc))),
        }
    }

    /// [`Ref::cast`] to who has the name now.
    ///
    /// # Errors
    /// As [`Ref::cast`] and [`NameRef::get`].
    pub fn cast(&self, msg: M) -> Result<(), CastError<M>> {
        match self.get() {
            Ok(process) => process.cast(msg),
            Err(RefError::Gone(why)) => Err(CastError::Gone(msg, why)),
            Err(RefError::WrongType) => Err(CastError::WrongType(msg)),
        }
    }

    /// [`Ref::send_request`] to who has the name now; where nobody has, or another, the answer says so.
    pub fn send_request<R: Send + 'static, N: Send + 'static>(
        &self,
        me: &Ref<N>,
        request: impl FnOnce(Reply<R>) -> M,
        answer: impl FnOnce(Result<R, CallError>) -> N + Send + 'static,
    ) {
        match self.get() {
            Ok(process) => process.send_request(me, request, answer),
            Err(error) => me.hears(Err(error.into()), answer),
        }
    }

    /// [`Ref::ask`] of who has the name now.
    ///
    /// # Errors
    /// As [`Ref::ask`] and [`NameRef::get`].
    pub async fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        self.get()?.ask(request).await
    }

    /// [`Ref::call`] to who has the name now.
    ///
    /// # Errors
    /// As [`Ref::call`] and [`NameRef::get`].
    pub async fn call<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
        deadline: Duration,
    ) -> Result<R, CallError> {
        self.get()?.call(request, deadline).await
    }
}
