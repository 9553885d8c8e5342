//! `crash replay`: the inputs of a crash report, handed to a fresh instance of the same behaviour, in
//! a system of its own where it can harm nobody.
//!
//! ```
//! use std::time::Duration;
//! use supervision::{Cx, InitError, Next, Server, testkit};
//! use supervision::replay::{Replay, ReplayError, Replayed, replay};
//!
//! struct Divider;
//! impl Server for Divider {
//!     type Args = ();
//!     type Msg = i64;
//!     const NAME: &'static str = "divider";
//!     async fn init((): (), _: &mut Cx<i64>) -> Result<Self, InitError> { Ok(Self) }
//!     async fn handle(&mut self, by: i64, cx: &mut Cx<i64>) -> Next {
//!         cx.record(by.to_string().as_str());
//!         assert_eq!(100 / by * by, 100);
//!         Next::Continue
//!     }
//! }
//! impl Replay for Divider {
//!     fn input(recorded: &str) -> Option<i64> { recorded.parse().ok() }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (kit, deadline) = (testkit::server::<Divider>("divider", || ()).await, Duration::from_secs(5));
//! kit.me.cast(0).unwrap();
//! testkit::ended(kit.me.pid()).await;
//! let report = kit.system.crashes().list().remove(0);
//! let again: Result<Replayed, ReplayError> = replay::<Divider>(&report, || (), deadline).await;
//! assert!(matches!(again, Ok(Replayed::Crashed(again)) if again.reason == report.reason));
//! # kit.root.stop().await;
//! # });
//! ```

use crate::{
    crash::CrashReport,
    policy::Restart,
    server::Server,
    spec::{ChildSpec, Started, SupervisorSpec},
    start_error::StartError,
    sys,
    system::System,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// How long the answer of the instance may take: longer than what the whole may.
const ANSWER: Duration = Duration::from_secs(3600);

/// A server whose crashes can be replayed: it notes each input with [`crate::Cx::record`], and reads
/// them again. It must do nothing outside of itself when it is started with the arguments given.
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
    /// It went through: the crash needs more than its last inputs.
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

/// Replays the inputs of `report`; `args` starts the instance, `deadline` is for all of it.
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
    let inputs: Vec<S::Msg> = report
        .inputs
        .iter()
        .map(|input| S::input(input).ok_or_else(|| ReplayError::Input(input.clone())))
        .collect::<Result<_, _>>()?;
    let sandbox = System::new("replay");
    let started = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&started);
    let child = ChildSpec::new("instance", move |place| {
        let (starting, slot) = (place.server::<S>(args()), Arc::clone(&slot));
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
        let instance = started.lock().clone();
        for input in inputs {
            // it has crashed already when it does not take one
            if instance.as_ref().is_none_or(|i| i.cast(input).is_err()) {
                break;
            }
        }
        if let Some(instance) = instance {
            // a question comes before messages: ask when none waits
            while instance.depth() > 0 && instance.pid().is_alive() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(sys::state(instance.pid(), ANSWER).await);
        }
    };
    let done = tokio::time::timeout(deadline, through).await;
    let crash = sandbox.crashes().list().pop();
    if done.is_err() && crash.is_none() {
        // whatever it does, it does not go on doing it
        root.pid().kill();
        return Err(ReplayError::Timeout(deadline));
    }
    root.stop().await;
    Ok(crash.map_or(Replayed::Survived, Replayed::Crashed))
}
