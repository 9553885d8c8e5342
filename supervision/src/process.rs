//! A process that owns its loop: OTP's `proc_lib` level, for connections, listeners, links.
//!
//! A lean task of ours: nothing of ractor in it. It is started with its parent waiting for `init`,
//! takes signals before messages, and whatever way it ends, its links and monitors are told.

use crate::{
    crash::{self, BlackBox, Recorded},
    exit::Exit,
    inbox::Ref,
    pid::{Monitor, Pid, Signal},
    spec::StartError,
    system::System,
};
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a process did not start.
#[derive(Debug, Error)]
pub enum InitError {
    /// It has nothing to do: OTP's `ignore`. Not a failure.
    #[error("ignore")]
    Ignore,
    /// It cannot.
    #[error("{0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// It cannot, as a start of something below it says.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl InitError {
    /// A failure with a text.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into().into())
    }
}

/// What a process is told, in [`Cx::next`].
#[derive(Debug)]
pub enum Event<M> {
    /// A message.
    Msg(M),
    /// An exit signal; only with [`Cx::trap_exit`]. From the parent: stop now.
    Exit {
        /// Who ended, or sent it.
        from: Pid,
        /// Why.
        reason: Exit,
    },
    /// A monitored process ended.
    Down {
        /// Which monitor.
        monitor: Monitor,
        /// Who.
        pid: Pid,
        /// Why.
        reason: Exit,
    },
}

/// A process that owns its loop.
pub trait Process: Sized + Send + 'static {
    /// What it is started with.
    type Args: Send + 'static;
    /// Its messages.
    type Msg: Send + 'static;
    /// What it is, for the tree and crash reports.
    const NAME: &'static str;
    /// The most messages that wait; beyond it a cast comes back as full.
    const INBOX: usize = 256;

    /// Starts it; the parent waits for it (`proc_lib:start_link`).
    fn init(
        args: Self::Args,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<Self, InitError>> + Send;

    /// Its loop. It must await [`Cx::next`] among what it waits for.
    fn run(&mut self, cx: &mut Cx<Self::Msg>) -> impl Future<Output = Exit> + Send;

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

/// What a process may do: its address, its events, its links.
#[derive(Debug)]
pub struct Cx<M> {
    me: Ref<M>,
    pub(crate) black_box: BlackBox,
}

impl<M: Send + 'static> Cx<M> {
    pub(crate) fn new(me: Ref<M>) -> Self {
        Self { me, black_box: BlackBox::default() }
    }

    /// Its own address.
    pub fn me(&self) -> &Ref<M> {
        &self.me
    }

    /// Its own address without the type of its messages.
    pub fn pid(&self) -> &Pid {
        &self.me.pid
    }

    /// The system it lives in.
    pub fn system(&self) -> &System {
        self.me.pid.system()
    }

    /// Gives it a name in its system; the name is free again when it ends. `false`: it is taken.
    pub fn register(&mut self, name: &str) -> bool {
        self.system().clone().register(name, &self.me)
    }

    /// Turns exit signals into events (`process_flag(trap_exit, true)`).
    pub fn trap_exit(&mut self, trap: bool) {
        self.me.pid.set_trap(trap);
    }

    /// Notes what it is working on: in a crash report it is the input. Costs a move.
    pub fn record(&mut self, input: impl Into<Recorded>) {
        self.black_box.record(input.into());
    }

    /// What the shell shows of it (one line, no secrets).
    pub fn publish(&self, status: &str) {
        self.me.pid.set_status(status.into());
    }

    /// The next event: signals first, then messages in order. Can be cancelled without loss.
    pub async fn next(&mut self) -> Event<M> {
        loop {
            if let Some(signal) = self.me.pid.next_signal() {
                return event(signal);
            }
            if let Some(msg) = self.me.pop() {
                return Event::Msg(msg);
            }
            self.me.pid.0.wake.notified().await;
        }
    }
}

pub(crate) fn event<M>(signal: Signal) -> Event<M> {
    match signal {
        Signal::Exit { from, reason } => Event::Exit { from, reason },
        Signal::Down { monitor, pid, reason } => {
            Event::Down { monitor: Monitor(monitor), pid, reason }
        }
    }
}

/// Whatever happens to the task (abort included), its end is reported.
pub(crate) struct Guard(pub(crate) Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.finish(&Exit::Killed);
    }
}

/// Awaits a future; a panic in it becomes an error with what the hook noted.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, crash::Panic> {
    let mut future = pin!(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(crash::Panic::take(&*payload))),
    })
    .await
}

/// The end of a process in both engines: `terminate`, unless it was killed.
pub(crate) async fn wind_up(
    pid: &Pid,
    mut exit: Exit,
    terminate: impl Future<Output = ()>,
) -> Exit {
    if pid.is_killed() {
        return Exit::Killed;
    }
    tokio::select! {
        biased;
        result = caught(terminate) => {
            if let Err(panic) = result {
                // what terminate did wrong does not hide why the process ended
                let report = crash::report(pid, panic.in_terminate(), &mut BlackBox::default(), 0);
                if !matches!(exit, Exit::Crash(_)) {
                    exit = Exit::Crash(report);
                }
            }
        }
        () = killed(pid) => exit = Exit::Killed,
    }
    exit
}

async fn killed(pid: &Pid) {
    loop {
        let fatal = pid.0.fatal.notified();
        if pid.is_killed() {
            return;
        }
        fatal.await;
    }
}

/// Starts a process under `parent` and waits for its `init`.
pub(crate) async fn start<P: Process>(
    system: &System,
    parent: Option<Pid>,
    path: Arc<str>,
    args: P::Args,
) -> Result<Ref<P::Msg>, StartError> {
    let (me, acked) = spawn::<P>(system, parent, path, args);
    match acked.await {
        Ok(Ok(())) => Ok(me),
        Ok(Err(error)) => {
            me.pid.wait().await;
            Err(error)
        }
        Err(_) => Err(StartError::Exited(me.pid.wait().await)),
    }
}

/// Starts a process without waiting for its `init` (`proc_lib:spawn_link`): what that answers can
/// be had from the channel, or from the process's end.
pub(crate) fn spawn<P: Process>(
    system: &System,
    parent: Option<Pid>,
    path: Arc<str>,
    args: P::Args,
) -> (Ref<P::Msg>, oneshot::Receiver<Result<(), StartError>>) {
    let pid = Pid::new(system, P::NAME, path, parent);
    let me = Ref::lean(pid, P::INBOX);
    let (ack, acked) = oneshot::channel();
    let guard = Guard(me.pid.clone());
    #[expect(clippy::disallowed_methods, reason = "the one place where lean processes are born")]
    tokio::spawn(live::<P>(me.clone(), args, ack, guard));
    (me, acked)
}

async fn live<P: Process>(
    me: Ref<P::Msg>,
    args: P::Args,
    ack: oneshot::Sender<Result<(), StartError>>,
    guard: Guard,
) {
    let pid = guard.0.clone();
    let mut cx = Cx::new(me.clone());
    let init = tokio::select! {
        biased;
        reason = pid.fatal() => Err(StartError::Exited(reason)),
        result = caught(P::init(args, &mut cx)) => match result {
            Ok(Ok(process)) => Ok(process),
            Ok(Err(InitError::Ignore)) => Err(StartError::Ignore),
            Ok(Err(InitError::Start(error))) => Err(error),
            Ok(Err(InitError::Failed(why))) => Err(StartError::Failed(why.to_string().into())),
            Err(panic) => {
                let report = crash::report(&pid, panic, &mut cx.black_box, 0);
                Err(StartError::Exited(Exit::Crash(report)))
            }
        },
    };
    let mut process = match init {
        Ok(process) => process,
        Err(error) => {
            let exit = error.exit();
            // whoever waits for the start is told by the answer, not by a signal too
            if ack.send(Err(error)).is_ok()
                && let Some(parent) = pid.parent()
            {
                parent.unlink(&pid);
            }
            pid.finish(&exit);
            return;
        }
    };
    drop(ack.send(Ok(())));
    let exit = tokio::select! {
        biased;
        reason = pid.fatal() => reason,
        result = caught(process.run(&mut cx)) => match result {
            Ok(exit) => exit,
            Err(panic) => {
                // the state may be torn: asking it must not hide the first panic
                let recent = catch_unwind(AssertUnwindSafe(|| process.recent()));
                for input in recent.unwrap_or_default() {
                    cx.black_box.record(input);
                }
                Exit::Crash(crash::report(&pid, panic, &mut cx.black_box, me.depth()))
            }
        },
    };
    let exit = wind_up(&pid, exit.clone(), process.terminate(&exit, &mut cx)).await;
    drop(process);
    pid.finish(&exit);
    me.clear();
}

/// How long a call to a supervisor may take; generous, because it may be starting children.
pub(crate) const SUPERVISOR_CALL: Duration = Duration::from_secs(3600);
