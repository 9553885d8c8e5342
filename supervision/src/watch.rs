//! What [`crate::sys`] asks of a process and hears from it: its questions, and who watches its events. Data only; the process
//! has it, and knows nothing of who looks in.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a question has no answer.
///
/// Example: [`crate::Cx::next_answering`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SysError {
    /// The process has ended.
    #[error("the process has ended")]
    Gone,
    /// It is in a handler, since then.
    #[error("busy in handler for {:.1} s", .0.as_secs_f64())]
    Busy(Duration),
    /// It waits for something of its own and does not look at its inbox.
    #[error("no answer in time")]
    Timeout,
    /// Its behaviour does not show its state, or does not let it be replaced.
    #[error("not supported by this behaviour")]
    NotSupported,
    /// It did not take the new state.
    #[error("refused: {0}")]
    Refused(String),
}

/// A question to a process that owns its loop: see [`crate::Cx::next_answering`].
///
/// Example: [`crate::Cx::next_answering`].
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// What is your state?
    State,
    /// Take this state; the answer is the new one.
    Replace(Value),
}

/// What the process itself must answer.
#[derive(Debug)]
pub(crate) enum Ask {
    State(oneshot::Sender<Result<Value, SysError>>),
    Replace(Value, oneshot::Sender<Result<(), SysError>>),
}

impl Ask {
    /// Nobody waits for the answer any more. (A state that is to be put in is put in all the same, as in OTP.)
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::State(reply) if reply.is_closed())
    }

    pub(crate) fn answer(self, how: impl FnOnce(Question) -> Result<Value, SysError>) {
        match self {
            Self::State(reply) => drop(reply.send(how(Question::State))),
            Self::Replace(state, reply) => {
                drop(reply.send(how(Question::Replace(state)).map(drop)));
            }
        }
    }
}

/// One thing that happened to a process.
///
/// Example: [`crate::sys`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysEvent {
    /// When, as uptime of the process.
    pub at: Duration,
    /// What.
    pub what: String,
}

impl fmt::Display for SysEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} {}", self.at.as_secs_f64(), self.what)
    }
}

pub(crate) type Sink = Arc<dyn Fn(&SysEvent) + Send + Sync>;

/// Who watches the events of a process.
#[derive(Default)]
pub(crate) struct Watch {
    /// The last events, at most as many.
    pub(crate) log: Option<(usize, VecDeque<SysEvent>)>,
    /// How many are still to be told, and to whom.
    pub(crate) trace: Option<(usize, Sink)>,
}

impl Watch {
    pub(crate) fn is_idle(&self) -> bool {
        self.log.is_none() && self.trace.is_none()
    }
}
