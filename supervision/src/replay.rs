//! `crash replay`: the inputs of a crash report, handed to a fresh instance of the same behaviour, in
//! a system of its own where it can harm nobody.
//!
//! It starts from the report's state, if there is one and the behaviour takes it ([`sys::replace_state`]): the inputs before
//! the last are in it already, so that it gets the last one. If that goes well, or there is no such state, another instance
//! starts from its arguments and gets all inputs. What cannot be replayed: what was not recorded, what was in the queue of
//! another process, timers, and of the state what is not shown. A process that owns its loop starts from its state only if it
//! shows it ([`crate::Process::state`]) and lets it be replaced ([`crate::Cx::next_answering`]); what it reads elsewhere, a socket, say, it
//! reads in the replay as well.
//!
//! ```
//! use std::time::Duration;
//! use supervision::{Cx, InitError, Next, Reply, Server, testkit};
//! use supervision::replay::{Replay, ReplayError, Replayed, replay};
//!
//! struct Divider;
//! type Divide = (i64, Reply<i64>);
//! impl Server for Divider {
//!     type Args = ();
//!     type Msg = Divide;
//!     const NAME: &'static str = "divider";
//!     async fn init((): (), _: &mut Cx<Divide>) -> Result<Self, InitError> { Ok(Self) }
//!     async fn handle(&mut self, (by, reply): Divide, cx: &mut Cx<Divide>) -> Next {
//!         cx.record(by.to_string().as_str());
//!         reply.send(100 / by);
//!         Next::Continue
//!     }
//! }
//! impl Replay for Divider {
//!     // who called is not there any more
//!     fn input(recorded: &str) -> Option<Divide> { Some((recorded.parse().ok()?, Reply::to_nobody())) }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (kit, deadline) = (testkit::server::<Divider>("divider", || ()).await, Duration::from_secs(5));
//! assert!(kit.me.call(|reply| (0, reply), deadline).await.is_err());
//! testkit::ended(kit.me.pid()).await;
//! let report = kit.system.crashes().list().remove(0);
//! let again: Result<Replayed, ReplayError> = replay::<Divider>(&report, || (), deadline).await;
//! assert!(matches!(again, Ok(Replayed::Crashed(again)) if again.reason == report.reason));
//!
//! // other behaviours: a function reads what was recorded
//! use supervision::{Event, Exit, Process, StateMachine, Step, replay::{replay_machine, replay_process}};
//! # struct Door;
//! # impl StateMachine for Door {
//! #     type Args = ();
//! #     type Msg = i64;
//! #     type State = ();
//! #     const NAME: &'static str = "door";
//! #     async fn init((): (), _: &mut Cx<i64>) -> Result<((), Self), InitError> { Ok(((), Self)) }
//! #     async fn handle(&mut self, (): &(), n: i64, _: &mut Cx<i64>) -> Step<(), i64> {
//! #         assert!(n > 0);
//! #         Step::keep()
//! #     }
//! # }
//! # struct Link;
//! # impl Process for Link {
//! #     type Args = ();
//! #     type Msg = i64;
//! #     const NAME: &'static str = "link";
//! #     async fn init((): (), _: &mut Cx<i64>) -> Result<Self, InitError> { Ok(Self) }
//! #     async fn run(&mut self, cx: &mut Cx<i64>) -> Exit {
//! #         loop {
//! #             match cx.next().await {
//! #                 Event::Msg(n) => assert!(n > 0),
//! #                 Event::Exit { reason, .. } => return reason,
//! #                 Event::Down { .. } => {}
//! #             }
//! #         }
//! #     }
//! # }
//! let read = |recorded: &str| recorded.parse().ok();
//! let again = replay_machine::<Door>(&report, || (), read, deadline).await;
//! assert!(matches!(again, Ok(Replayed::Crashed(_))));
//! let again = replay_process::<Link>(&report, || (), read, deadline).await;
//! assert!(matches!(again, Ok(Replayed::Crashed(_))));
//! # kit.root.stop().await;
//! # });
//! ```

use crate::{
    crash::CrashReport,
    exit::Exit,
    inbox::Ref,
    policy::Restart,
    process::Process,
    server::Server,
    spec::{ChildSpec, Place, Started, SupervisorSpec},
    start_error::StartError,
    state_machine::{Machine, StateMachine},
    sys,
    system::System,
    timer::after,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{future::Future, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// How long the answer of the instance may take: longer than what the whole may.
const ANSWER: Duration = Duration::from_secs(3600);

/// A server whose crashes can be replayed: it notes each input with [`crate::Cx::record`], and reads
/// them again. It must do nothing outside of itself when it is started with the arguments given. What was a call is made again
/// with [`crate::Reply::to_nobody`].
///
/// Example: [`crate::replay`].
pub trait Replay: Server {
    /// The message that was recorded as this text; `None`: it cannot be made again.
    fn input(recorded: &str) -> Option<Self::Msg>;
}

/// What became of a replay.
///
/// Example: [`crate::replay`].
#[derive(Debug)]
pub enum Replayed {
    /// It crashed again.
    Crashed(Arc<CrashReport>),
    /// It went through: the crash needs more than its state and its last inputs.
    Survived,
}

/// Why there was no replay.
///
/// Example: [`crate::replay`].
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The instance did not start.
    #[error("the instance did not start: {0}")]
    Start(#[from] StartError),
    /// An input cannot be made again.
    #[error("this input cannot be made again: {0}")]
    Input(String),
    /// It did not handle its inputs in time.
    #[error("not through within {0:?}")]
    Timeout(Duration),
}

/// Replays the crash of a server; `args` starts the instance, `deadline` is for all of it.
///
/// Example: [`crate::replay`].
///
/// # Errors
/// When the instance does not start, an input cannot be read, or it takes too long.
pub async fn replay<S: Replay>(
    report: &CrashReport,
    args: impl Fn() -> S::Args + Send + Sync + 'static,
    deadline: Duration,
) -> Result<Replayed, ReplayError> {
    run(report, move |place| place.server::<S>(args()), S::input, deadline).await
}

/// Replays the crash of a state machine; `input` reads what was recorded. A [`StateMachine::enter`] is called for the state
/// it starts in, not for the report's.
///
/// Example: [`crate::replay`].
///
/// # Errors
/// As [`replay`].
pub async fn replay_machine<M: StateMachine>(
    report: &CrashReport,
    args: impl Fn() -> M::Args + Send + Sync + 'static,
    input: impl Fn(&str) -> Option<M::Msg>,
    deadline: Duration,
) -> Result<Replayed, ReplayError> {
    run(report, move |place| place.server::<Machine<M>>(args()), input, deadline).await
}

/// Replays the crash of a process that owns its loop; `input` reads what was recorded.
///
/// Example: [`crate::replay`].
///
/// # Errors
/// As [`replay`].
pub async fn replay_process<P: Process>(
    report: &CrashReport,
    args: impl Fn() -> P::Args + Send + Sync + 'static,
    input: impl Fn(&str) -> Option<P::Msg>,
    deadline: Duration,
) -> Result<Replayed, ReplayError> {
    run(report, move |place| place.process::<P>(args()), input, deadline).await
}

async fn run<M: Send + 'static, F>(
    report: &CrashReport,
    start: impl Fn(Place) -> F + Send + Sync + 'static,
    input: impl Fn(&str) -> Option<M>,
    deadline: Duration,
) -> Result<Replayed, ReplayError>
where
    F: Future<Output = Result<Ref<M>, StartError>> + Send + 'static,
{
    let read = |inputs: &[String]| {
        let read = |text: &String| input(text).ok_or_else(|| ReplayError::Input(text.clone()));
        inputs.iter().map(read).collect::<Result<Vec<M>, _>>()
    };
    let (start, began) = (Arc::new(start), Instant::now());
    if let (Some(state), Some((last, _))) = (&report.state, report.inputs.split_last()) {
        let last = read(std::slice::from_ref(last))?;
        // half of the time is for the other way
        match once(&start, Some(state.clone()), last, after(began, deadline / 2)).await {
            Ok(Some(crash)) => return Ok(Replayed::Crashed(crash)),
            Ok(None) | Err(ReplayError::Timeout(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let all = read(&report.inputs)?;
    match once(&start, None, all, after(began, deadline)).await {
        Ok(crash) => Ok(crash.map_or(Replayed::Survived, Replayed::Crashed)),
        Err(ReplayError::Timeout(_)) => Err(ReplayError::Timeout(deadline)),
        Err(error) => Err(error),
    }
}

/// Hands messages to an instance that starts from a state, or from its arguments; its crash. Of an instance that does not
/// take the state nothing is asked.
async fn once<M: Send + 'static, F>(
    start: &Arc<impl Fn(Place) -> F + Send + Sync + 'static>,
    state: Option<Value>,
    inputs: Vec<M>,
    until: Instant,
) -> Result<Option<Arc<CrashReport>>, ReplayError>
where
    F: Future<Output = Result<Ref<M>, StartError>> + Send + 'static,
{
    let sandbox = System::new("replay");
    let started = Arc::new(Mutex::new(None));
    let (slot, start) = (Arc::clone(&started), Arc::clone(start));
    let child = ChildSpec::new("instance", move |place| {
        let (starting, slot) = (start(place), Arc::clone(&slot));
        async move {
            let instance = starting.await?;
            let pid = instance.pid().clone();
            *slot.lock() = Some(instance);
            Ok(Started::Up(pid))
        }
    });
    let root = SupervisorSpec::one_for_one().child(child.restart(Restart::Temporary));
    let root = sandbox.start(root).await?;
    let through = async {
        let instance: Ref<M> = started.lock().clone()?;
        if let Some(state) = state
            && sys::replace_state(instance.pid(), state, ANSWER).await.is_err()
        {
            return None;
        }
        for input in inputs {
            // it has crashed already when it does not take one
            if instance.cast(input).is_err() {
                break;
            }
        }
        // a question comes before messages: ask when none waits
        while instance.depth() > 0 && instance.pid().is_alive() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(sys::state(instance.pid(), ANSWER).await);
        instance.pid().exit_reason()
    };
    let Ok(ended) = timeout_at(until, through).await else {
        // whatever it does, it does not go on doing it
        root.pid().kill();
        let crash = sandbox.crashes().list().into_iter().next();
        return crash.map(Some).ok_or(ReplayError::Timeout(Duration::ZERO));
    };
    root.stop().await;
    Ok(match ended {
        Some(Exit::Crash(report)) => Some(report),
        Some(exit) if exit.is_abnormal() => sandbox.crashes().list().into_iter().next(),
        _ => None,
    })
}
