//! What a supervisor knows of the restarts below it, as it is seen from outside: in the tree and in `sys`. Data only.

use crate::policy::{Intensity, Restart, Strategy};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// One restart of a child.
///
/// Example: [`Supervision`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// How long ago.
    pub ago: Duration,
    /// Why: the reason of its end, why its start failed, or which other child took it along.
    pub reason: String,
}

/// A child that was restarted, or is to be.
///
/// Example: [`Supervision`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRestarts {
    /// Its id; with a number it is an instance of a template.
    pub id: String,
    /// When it is restarted.
    pub restart: Restart,
    /// How often its supervisor has restarted it.
    pub restarts: u64,
    /// The last of them, the latest last; at most [`ChildRestarts::KEPT`].
    pub history: Vec<Restarted>,
    /// Of a back-off: how often in a row it has failed.
    pub failures: u32,
    /// It does not run, and is started again after this time.
    pub waits: Option<Duration>,
}

impl ChildRestarts {
    /// How many restarts of a child are kept.
    pub const KEPT: usize = 8;
}

/// A supervisor's restarts.
///
/// ```
/// use std::time::Duration;
/// use supervision::{ChildSpec, Exit, SupervisorSpec, System, sys, testkit};
/// use supervision::restarts::{ChildRestarts, Restarted, Supervision};
/// # use supervision::{Cx, Event, InitError, Process};
/// # struct Idle;
/// # impl Process for Idle {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "idle";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
/// #         loop {
/// #             if let Event::Exit { reason, .. } = cx.next().await { return reason }
/// #         }
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let idle = ChildSpec::process::<Idle>("idle", || ());
/// let root = SupervisorSpec::one_for_one().intensity(3, Duration::from_secs(10)).child(idle);
/// let root = system.start(root).await.unwrap();
/// let pid = system.find("/idle").unwrap();
/// pid.exit(Exit::error("out of paper"));
/// testkit::restarted(&pid).await;
/// let seen: Supervision = sys::status(root.pid()).supervision.unwrap();
/// assert_eq!((seen.restarts, seen.left), (1, 2));
/// let child: &ChildRestarts = &seen.children[0];
/// let last: &Restarted = child.history.last().unwrap();
/// assert_eq!((&*child.id, child.restarts, &*last.reason), ("idle", 1, "out of paper"));
/// assert_eq!(system.tree()[0].process.supervision.as_ref().unwrap().left, 2);
/// # root.stop().await;
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// Which children a restart affects.
    pub strategy: Strategy,
    /// How many restarts within which time are too many.
    pub intensity: Intensity,
    /// Those within the period that ends now. A back-off's are not among them.
    pub restarts: u32,
    /// How many more it makes now; with one more it ends.
    pub left: u32,
    /// Children that were restarted, or are to be; at most [`Supervision::LISTED`], those restarted last.
    pub children: Vec<ChildRestarts>,
}

impl Supervision {
    /// The most children that are listed.
    pub const LISTED: usize = 100;
}

/// Makes it when somebody looks.
pub(crate) type View = Arc<dyn Fn() -> Supervision + Send + Sync>;
