//! What is to become of a child that ends, and of its siblings: the words of a specification (`supervisor(3)`).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When a child that ended is started again.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// When it ended abnormally.
    Transient,
    /// Never.
    Temporary,
}

/// How a child is stopped.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// Killed at once.
    BrutalKill,
    /// Asked; killed when it has not ended by then.
    Timeout(Duration),
    /// Asked, and waited for.
    Infinity,
}

/// Worker or supervisor.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Does work.
    Worker,
    /// Has children.
    Supervisor,
}

/// Which children are affected when one ends.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All.
    OneForAll,
    /// That one and those started after it.
    RestForOne,
    /// Instances of one template, each for itself.
    SimpleOneForOne,
}

impl Strategy {
    /// Whether a restart concerns other children too.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::OneForAll | Self::RestForOne)
    }
}

/// Whether a supervisor ends when its significant children do.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// No.
    #[default]
    Never,
    /// When one of them ends by itself.
    AnySignificant,
    /// When the last of them has ended by itself.
    AllSignificant,
}

/// What a server, state machine or supervisor runs on: who polls its loop, and nothing else. A [`crate::Process`] is always
/// lean.
///
/// Example: [`crate::server::Serving`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// An actor of ractor's: it has an id there, and a mailbox that gets nothing.
    #[default]
    Ractor,
    /// A tokio task, and nothing else: for what there are very many of.
    Lean,
}

/// How many restarts within which time are too many.
///
/// Example: [`SupervisorSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intensity {
    /// As many are still allowed.
    pub restarts: u32,
    /// Within this time.
    pub period: Duration,
}

impl Default for Intensity {
    /// OTP's: 1 in 5 seconds.
    fn default() -> Self {
        Self { restarts: 1, period: Duration::from_secs(5) }
    }
}

/// A restart that waits, for a child that needs something outside (a database): the wait doubles
/// with each failure, and starts anew when the child has lived for `max`. These restarts do not
/// count against the supervisor's [`Intensity`], and a failed start does not fail the supervisor's.
///
/// ```
/// use std::time::Duration;
/// use supervision::Backoff;
///
/// let seconds = Duration::from_secs;
/// let backoff = Backoff { first: seconds(1), max: seconds(60) };
/// assert_eq!([0, 1, 2, 30].map(|n| backoff.delay(n)), [1, 2, 4, 60].map(seconds));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Backoff {
    /// The wait after that many failures before.
    pub fn delay(&self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.min(20)).min(self.max)
    }
}
