//! A process that owns its loop: OTP's `proc_lib` level, for connections, listeners, links.
//!
//! A lean task of ours: nothing of ractor in it. It is started with its parent waiting for `init`,
//! takes signals before messages, and whatever way it ends, its links and monitors are told.

use crate::{
    crash::{BlackBox, Panic, Recorded},
    exit::Exit,
    inbox::{Overflow, Ref},
    pid::{At, Pid},
    start_error::StartError,
    system::System,
};
pub use crate::{cx::Cx, event::Event, start_error::InitError};
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};
use tokio::sync::oneshot;

/// A process that owns its loop.
///
/// ```
/// use supervision::{Cx, Event, Exit, InitError, Process, Recorded, Reply, System};
///
/// struct Echo(u8);
/// impl Process for Echo {
///     type Args = u8;
///     type Msg = Reply<u8>;
///     const NAME: &'static str = "echo";
///     async fn init(answer: u8, cx: &mut Cx<Reply<u8>>) -> Result<Self, InitError> {
///         if answer == 0 {
///             return Err(InitError::failed("nothing to say"));
///         }
///         cx.trap_exit(true);
///         Ok(Self(answer))
///     }
///     async fn run(&mut self, cx: &mut Cx<Reply<u8>>) -> Exit {
///         loop {
///             // among what else it waits for: a socket, say, in a `select!`
///             match cx.next().await {
///                 Event::Msg(reply) => reply.send(self.0),
///                 Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
///                 Event::Exit { .. } | Event::Down { .. } => {}
///             }
///         }
///     }
///     // what may be left out
///     fn describe(_: &Reply<u8>) -> String {
///         "question".to_owned()
///     }
///     fn recent(&self) -> Vec<Recorded> {
///         vec![Recorded::from("of a session, say, the last stanzas")]
///     }
///     async fn terminate(&mut self, why: &Exit, _: &mut Cx<Reply<u8>>) {
///         println!("the last words before {why}");
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let echo = system.spawn::<Echo>("/echo", 7).await.unwrap();
/// let deadline = std::time::Duration::from_secs(1);
/// assert_eq!(echo.call(|reply| reply, deadline).await, Ok(7));
/// let refused = system.spawn::<Echo>("/echo", 0).await.unwrap_err();
/// assert_eq!(refused.to_string(), "nothing to say");
/// # });
/// ```
pub trait Process: Sized + Send + 'static {
    /// What it is started with.
    type Args: Send + 'static;
    /// Its messages.
    type Msg: Send + 'static;
    /// What it is, for the tree and crash reports.
    const NAME: &'static str;
    /// The most messages that wait; beyond it a cast comes back as full.
    const INBOX: usize = 256;
    /// What happens beyond it.
    const OVERFLOW: Overflow = Overflow::Reject;

    /// Starts it; the parent waits for it (`proc_lib:start_link`).
    fn init(
        args: Self::Args,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<Self, InitError>> + Send;

    /// Its loop. It must await [`Cx::next`] among what it waits for.
    fn run(&mut self, cx: &mut Cx<Self::Msg>) -> impl Future<Output = Exit> + Send;

    /// How [`crate::sys::trace`] and [`crate::sys::log`] show a message: a word, no secrets.
    fn describe(_msg: &Self::Msg) -> String {
        std::any::type_name::<Self::Msg>().to_owned()
    }

    /// The last thing it does, also after a panic or an exit signal; not when it was killed.
    fn terminate(
        &mut self,
        _why: &Exit,
        _cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What it was working on, the latest last: asked after a panic, for the crash report. For a
    /// process that remembers its inputs anyway; others use [`Cx::record`].
    fn recent(&self) -> Vec<Recorded> {
        Vec::new()
    }
}

/// Whatever happens to the task (abort included), its end is reported.
pub(crate) struct Guard<M: Send + 'static> {
    pub(crate) me: Ref<M>,
    /// A pool's count of its children.
    counted: Option<Arc<AtomicUsize>>,
}

impl<M: Send + 'static> Guard<M> {
    pub(crate) fn new(me: Ref<M>, counted: Option<Arc<AtomicUsize>>) -> Self {
        Self { me, counted }
    }

    /// The end: nothing comes in any more, who waits for an answer learns it, then all who are
    /// linked or watch.
    pub(crate) fn end(&mut self, exit: &Exit) {
        self.me.pid.system().count_unhandled(self.me.close());
        if let Some(count) = self.counted.take() {
            count.fetch_sub(1, Ordering::AcqRel);
        }
        self.me.pid.finish(exit);
    }
}

impl<M: Send + 'static> Drop for Guard<M> {
    fn drop(&mut self) {
        self.end(&Exit::Killed);
    }
}

/// Awaits a future; a panic in it becomes an error with what the hook noted. Takes it pinned: a
/// future that is moved into another is stored twice, and is none of its own for the same reason.
pub(crate) fn caught<T>(
    pid: &Pid,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Panic>> {
    poll_fn(move |cx| match pid.catch(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
}

/// The end of a process in both engines: `terminate`, unless it was killed.
pub(crate) async fn wind_up(
    pid: &Pid,
    mut exit: Exit,
    terminate: Pin<&mut impl Future<Output = ()>>,
) -> Exit {
    if pid.is_killed() {
        return Exit::Killed;
    }
    tokio::select! {
        biased;
        result = caught(pid, terminate) => {
            if let Err(panic) = result {
                // what terminate did wrong does not hide why the process ended
                let report = pid.report(panic.in_terminate(), &mut BlackBox::default(), 0, None);
                if !matches!(exit, Exit::Crash(_)) {
                    exit = Exit::Crash(report);
                }
            }
        }
        () = pid.killed() => exit = Exit::Killed,
    }
    exit
}

/// Drops what a process was; a panic in it is reported as one in `terminate`.
pub(crate) fn discard<T>(pid: &Pid, value: T) {
    if let Err(panic) = pid.catch(|| drop(value)) {
        pid.report(panic.in_terminate(), &mut BlackBox::default(), 0, None);
    }
}

/// Starts a process under `parent` and waits for its `init`. A child that is `counted` takes itself
/// off the count when it ends, or does not start.
pub(crate) async fn start<P: Process>(
    system: &System,
    parent: Option<Pid>,
    at: At,
    args: P::Args,
    counted: Option<Arc<AtomicUsize>>,
) -> Result<Ref<P::Msg>, StartError> {
    let (me, acked) = spawn::<P>(system, parent, at, args, counted);
    match acked.await {
        Ok(Ok(())) => Ok(me),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Exited(me.pid.wait().await)),
    }
}

/// Starts a process without waiting for its `init` (`proc_lib:spawn_link`): what that answers can
/// be had from the channel, or from the process's end.
pub(crate) fn spawn<P: Process>(
    system: &System,
    parent: Option<Pid>,
    at: At,
    args: P::Args,
    counted: Option<Arc<AtomicUsize>>,
) -> (Ref<P::Msg>, oneshot::Receiver<Result<(), StartError>>) {
    let pid = Pid::new(system, P::NAME, at, parent);
    let me = Ref::new(pid, P::INBOX, P::OVERFLOW);
    let (ack, acked) = oneshot::channel();
    let guard = Guard::new(me.clone(), counted);
    #[expect(clippy::disallowed_methods, reason = "the one place where lean processes are born")]
    tokio::spawn(live::<P>(args, ack, guard));
    (me, acked)
}

async fn live<P: Process>(
    args: P::Args,
    ack: oneshot::Sender<Result<(), StartError>>,
    mut guard: Guard<P::Msg>,
) {
    let pid = guard.me.pid.clone();
    let mut cx = Cx::new(guard.me.clone(), P::describe);
    let begun = begin(&pid, pin!(P::init(args, &mut cx))).await;
    let mut process = match begun {
        Ok(Ok(process)) => process,
        Ok(Err(error)) => {
            not_started(&mut guard, &error);
            drop(ack.send(Err(error)));
            return;
        }
        Err(panic) => {
            let error = crashed(&pid, panic, &mut cx.black_box);
            not_started(&mut guard, &error);
            drop(ack.send(Err(error)));
            return;
        }
    };
    drop(ack.send(Ok(())));
    let outcome = ran(&pid, pin!(process.run(&mut cx))).await;
    let exit = outcome.unwrap_or_else(|panic| {
        // the state may be torn: asking it must not hide the first panic
        let recent = catch_unwind(AssertUnwindSafe(|| process.recent()));
        for input in recent.unwrap_or_default() {
            cx.black_box.record(input);
        }
        let queued = pid.depth();
        Exit::Crash(pid.report(panic, &mut cx.black_box, queued, None))
    });
    let exit = wind_up(&pid, exit.clone(), pin!(process.terminate(&exit, &mut cx))).await;
    pid.account_for(&exit, &mut cx.black_box, None);
    drop(cx);
    discard(&pid, process);
    guard.end(&exit);
}

async fn ran(pid: &Pid, run: Pin<&mut impl Future<Output = Exit>>) -> Result<Exit, Panic> {
    tokio::select! {
        biased;
        reason = pid.fatal() => Ok(reason),
        result = caught(pid, run) => result,
    }
}

/// `init` in both engines.
pub(crate) async fn begin<T>(
    pid: &Pid,
    init: Pin<&mut impl Future<Output = Result<T, InitError>>>,
) -> Result<Result<T, StartError>, Panic> {
    tokio::select! {
        biased;
        reason = pid.fatal() => Ok(Err(StartError::Exited(reason))),
        result = caught(pid, init) => Ok(result?.map_err(|error| match error {
            InitError::Ignore => StartError::Ignore,
            InitError::Start(error) => error,
            InitError::Failed(why) => StartError::Failed(why.to_string().into()),
        })),
    }
}

pub(crate) fn crashed(pid: &Pid, panic: Panic, black_box: &mut BlackBox) -> StartError {
    StartError::Exited(Exit::Crash(pid.report(panic, black_box, 0, None)))
}

/// The end of one whose `init` did not succeed: the parent is told by the answer, not by a signal
/// too.
pub(crate) fn not_started<M: Send + 'static>(guard: &mut Guard<M>, error: &StartError) {
    let pid = guard.me.pid.clone();
    if let Some(parent) = pid.parent() {
        parent.unlink(&pid);
    }
    guard.end(&error.exit());
}
