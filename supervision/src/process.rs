//! A process that owns its loop: OTP's `proc_lib` level, for connections, listeners, links.
//!
//! A lean task of ours: nothing of ractor in it. It is started with its parent waiting for `init`,
//! and whatever way it ends, its links and monitors are told. Its [`Life`] is that of servers too, in either engine.

use crate::{
    caught::{unless_ended, unless_killed},
    crash::{BlackBox, Panic, Recorded},
    exit::Exit,
    inbox::{Overflow, Ref},
    pid::{At, Local},
    start_error::StartError,
    system::System,
};
pub use crate::{cx::Cx, event::Event, start_error::InitError};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::oneshot;

/// A process that owns its loop.
///
/// ```
/// use std::borrow::Cow;
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
///     fn describe(_: &Reply<u8>) -> Cow<'static, str> {
///         "question".into()
///     }
///     fn state(&self) -> Option<serde_json::Value> {
///         Some(self.0.into())
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
    /// Whether a crash report says which message it took last, as [`Process::describe`] says it (of a [`crate::Server`] it
    /// always does): it costs 100 bytes, and some ns a message.
    const LAST_MESSAGE: bool = false;

    /// Starts it; the parent waits for it (`proc_lib:start_link`).
    fn init(
        args: Self::Args,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<Self, InitError>> + Send;

    /// Its loop. It must await [`Cx::next`] among what it waits for.
    fn run(&mut self, cx: &mut Cx<Self::Msg>) -> impl Future<Output = Exit> + Send;

    /// How [`crate::sys::trace`], [`crate::sys::log`] and a crash report show a message that waits: a word, no secrets. That of
    /// each message is only asked for with [`Process::LAST_MESSAGE`].
    fn describe(_msg: &Self::Msg) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self::Msg>())
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

    /// Its state for a crash report, without secrets; for [`crate::sys::state`] it answers in its loop
    /// ([`Cx::next_answering`]). The default shows none.
    fn state(&self) -> Option<Value> {
        None
    }

    /// Its word for what it took last, when the black box does not have it.
    #[doc(hidden)]
    fn word(&self) -> &'static str {
        ""
    }

    /// The messages that it has put off, which nobody will handle.
    #[doc(hidden)]
    fn put_off(&mut self) -> VecDeque<Self::Msg> {
        VecDeque::new()
    }
}

/// A process from its `init` to its end, whoever polls it: a task of ours, or an actor of ractor's. Used in place: what is
/// moved into a future is stored twice.
pub(crate) struct Life<P: Process> {
    args: Option<P::Args>,
    /// From `init` until it is dropped, which is the last that may panic.
    process: Option<P>,
    cx: Cx<P::Msg>,
    /// A pool's count of its children.
    counted: Option<Arc<AtomicUsize>>,
}

impl<P: Process> Life<P> {
    /// Of a new process, which is in the tree from now on. One that is `counted` takes itself off the count when it ends, or
    /// does not start.
    pub(crate) fn new(
        system: &System,
        parent: Option<Local>,
        at: At,
        args: P::Args,
        counted: Option<Arc<AtomicUsize>>,
    ) -> Self {
        let me = Ref::new((system, P::NAME, at, parent), P::INBOX, P::OVERFLOW);
        let mut cx = Cx::new(me, P::describe);
        if P::LAST_MESSAGE {
            cx.black_box = BlackBox::with_words();
        }
        Self { args: Some(args), process: None, cx, counted }
    }

    pub(crate) fn me(&self) -> &Ref<P::Msg> {
        self.cx.me()
    }

    /// `init`. Of one that did not succeed a supervisor is told by the answer, not by a signal too; nor is anybody of one whose name
    /// is taken, which OTP does not even start.
    pub(crate) async fn begin(&mut self) -> Result<(), StartError> {
        let Some(args) = self.args.take() else { return Ok(()) };
        let pid = self.cx.pid().clone();
        let begun = unless_ended(&pid, pin!(Some(P::init(args, &mut self.cx)))).await;
        let error = match begun {
            Ok(Ok(Ok(process))) => {
                self.process = Some(process);
                return Ok(());
            }
            Ok(Ok(Err(error))) => error.into(),
            Ok(Err(panic)) => StartError::Exited(Exit::Crash(self.cx.report(panic, None))),
            Err(reason) => StartError::Exited(reason),
        };
        let answered = matches!(error, StartError::AlreadyStarted { .. });
        if let Some(parent) = pid.parent().filter(|parent| answered || parent.supervises()) {
            parent.unlink(&pid);
        }
        let exit = error.exit();
        self.cx.account_for(&exit, || None);
        self.end(&exit);
        Err(error)
    }

    /// Its loop, and its end.
    pub(crate) async fn run(&mut self) {
        let pid = self.cx.pid().clone();
        let Some(process) = &mut self.process else { return };
        let outcome = unless_ended(&pid, pin!(Some(process.run(&mut self.cx)))).await;
        pid.interrupted();
        let mut exit = outcome.unwrap_or_else(Ok).unwrap_or_else(|panic| {
            // the state may be torn: asking it must not hide the first panic
            for input in pid.catch(|| process.recent()).unwrap_or_default() {
                self.cx.black_box.record(input);
            }
            let state = pid.catch(|| process.state()).ok().flatten();
            self.cx.had_taken(process.word());
            Exit::Crash(self.cx.report(panic, state))
        });
        if pid.is_killed() {
            exit = Exit::Killed;
        } else {
            pid.ends(&exit);
            let terminated =
                unless_killed(&pid, pin!(Some(process.terminate(&exit, &mut self.cx)))).await;
            exit = match terminated {
                Ok(Ok(())) => exit,
                Ok(Err(panic)) => terminated_badly(&pid, exit, panic),
                Err(killed) => killed,
            };
        }
        self.cx.had_taken(process.word());
        self.cx.account_for(&exit, || process.state());
        self.end(&exit);
    }

    /// The end: drops what it was; nothing comes in any more, who waits for an answer learns it, then all who are
    /// linked or watch. A panic of what is dropped is reported as one in `terminate`.
    fn end(&mut self, exit: &Exit) {
        let pid = self.cx.pid().clone();
        let put_off = self.process.as_mut().map(P::put_off).unwrap_or_default();
        let unhandled = self.cx.clear() + put_off.len();
        pid.discard(put_off);
        pid.discard(self.args.take());
        if let Err(panic) = pid.catch(|| self.process = None) {
            pid.report_beside(panic.in_terminate(), None);
        }
        pid.ends(exit);
        let waited = self.me().close();
        pid.system().count_unhandled(unhandled + waited.len());
        pid.discard(waited);
        pid.tell_unanswered();
        if let Some(count) = self.counted.take() {
            count.fetch_sub(1, Ordering::AcqRel);
        }
        pid.finish(exit);
    }
}

/// Whatever happens to who polls it (abort included), its end is told.
impl<P: Process> Drop for Life<P> {
    fn drop(&mut self) {
        if self.cx.pid().is_alive() {
            self.end(&Exit::Killed);
        }
    }
}

/// What `terminate` did wrong does not hide why the process ended.
fn terminated_badly(pid: &Local, exit: Exit, panic: Panic) -> Exit {
    let report = pid.report_beside(panic.in_terminate(), None);
    if matches!(exit, Exit::Crash(_)) { exit } else { Exit::Crash(report) }
}

/// What its `init` answers.
pub(crate) type Acked = oneshot::Receiver<Result<(), StartError>>;

/// Starts a process under `parent` and waits for its `init`.
pub(crate) async fn start<P: Process>(
    system: &System,
    parent: Option<Local>,
    at: At,
    args: P::Args,
) -> Result<Ref<P::Msg>, StartError> {
    let (me, acked) = spawn::<P>(system, parent, at, args, None);
    let mut awaited = Awaited(Some(me.pid.clone()));
    let begun = begun(me, acked).await;
    awaited.0 = None;
    begun
}

/// Waits for the `init` of a process.
pub(crate) async fn begun<M: Send + 'static>(
    me: Ref<M>,
    acked: Acked,
) -> Result<Ref<M>, StartError> {
    match acked.await {
        Ok(begun) => begun.map(|()| me),
        Err(_) => Err(StartError::Exited(me.pid.wait().await)),
    }
}

/// Who is being started; dropped while that is so, it is ended: nobody would have it.
struct Awaited(Option<Local>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(pid) = &self.0 {
            pid.dismiss();
            pid.kill();
        }
    }
}

/// Whether it has begun.
fn answer(ack: oneshot::Sender<Result<(), StartError>>, begun: Result<(), StartError>) -> bool {
    let lives = begun.is_ok();
    drop(ack.send(begun));
    lives
}

/// Starts a process without waiting for its `init` (`proc_lib:spawn_link`): what that answers can
/// be had from the channel, or from the process's end.
pub(crate) fn spawn<P: Process>(
    system: &System,
    parent: Option<Local>,
    at: At,
    args: P::Args,
    counted: Option<Arc<AtomicUsize>>,
) -> (Ref<P::Msg>, Acked) {
    let mut life = Life::<P>::new(system, parent, at, args, counted);
    let (me, (ack, acked)) = (life.me().clone(), oneshot::channel());
    let lives = async move {
        if answer(ack, life.begin().await) {
            life.run().await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the one place where lean processes are born")]
    match me.pid.scheduled(lives) {
        Err(lives) => drop(tokio::spawn(lives)),
        Ok(lives) => drop(tokio::spawn(lives)),
    }
    (me, acked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Next, Server, Serving};

    struct Idle;

    type Four = [u64; 4];

    impl Process for Idle {
        type Args = ();
        type Msg = Four;
        const NAME: &'static str = "idle";

        async fn init((): (), _: &mut Cx<Four>) -> Result<Self, InitError> {
            Ok(Self)
        }

        async fn run(&mut self, cx: &mut Cx<Four>) -> Exit {
            loop {
                if let Event::Exit { reason, .. } = cx.next().await {
                    return reason;
                }
            }
        }
    }

    impl Server for Idle {
        type Args = ();
        type Msg = Four;
        const NAME: &'static str = "idle";

        async fn init((): (), _: &mut Cx<Four>) -> Result<Self, InitError> {
            Ok(Self)
        }

        async fn handle(&mut self, _: Four, _: &mut Cx<Four>) -> Next {
            Next::Continue
        }
    }

    /// What its task has in it, without what is tokio's: 104 bytes, and the sum in steps of 128.
    fn bytes<P: Process<Args = ()>>() -> usize {
        let mut life = Life::<P>::new(&System::new("test"), None, At::Path("/".into()), (), None);
        let begin = size_of_val(&life.begin());
        size_of::<Life<P>>() + begin.max(size_of_val(&life.run()))
    }

    #[test]
    fn a_process_and_a_server_are_three_steps_of_memory() {
        assert!(bytes::<Idle>() <= 3 * 128 - 104 - 16, "{}", bytes::<Idle>());
        assert!(bytes::<Serving<Idle>>() <= 3 * 128 - 104 - 16, "{}", bytes::<Serving<Idle>>());
    }
}
