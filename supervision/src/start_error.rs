//! Why something did not start: as whoever starts it is told, and as its `init` says.

use crate::{exit::Exit, names::RegisterError, pid::Local};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// Why something did not start.
///
/// Example: [`ChildSpec`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It had nothing to do. Not a failure: the child stays without a process.
    #[error("ignore")]
    Ignore,
    /// It could not.
    #[error("{0}")]
    Failed(Arc<str>),
    /// Its name is taken ([`crate::Cx::register`]): OTP's `{already_started, Pid}`. It ends as if it had nothing to do.
    #[error("already started: {name} is {pid:?}")]
    AlreadyStarted {
        /// The name.
        name: Arc<str>,
        /// Who has it.
        pid: Local,
    },
    /// It ended before it was started.
    #[error("ended while starting: {0}")]
    Exited(Exit),
    /// A supervisor's child did not start.
    #[error("child {child} failed to start: {error}")]
    Child {
        /// Which.
        child: Arc<str>,
        /// Why.
        error: Box<StartError>,
    },
    /// The pool has as many children as it may have.
    #[error("the pool is full")]
    Full,
    /// It was not ready in time, and was killed.
    #[error("not ready within {0:?}")]
    Timeout(Duration),
    /// The specification makes no sense.
    #[error("invalid specification: {0}")]
    InvalidSpec(Arc<str>),
}

impl StartError {
    /// The reason such a process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Ignore | Self::AlreadyStarted { .. } => Exit::Normal,
            Self::Exited(exit) => exit.clone(),
            Self::Child { .. } => Exit::shutdown(&self.to_string()),
            other => Exit::error(&other.to_string()),
        }
    }
}

impl From<RegisterError> for StartError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Taken { name, pid } => Self::AlreadyStarted { name, pid },
            other => Self::Failed(other.to_string().into()),
        }
    }
}

impl From<InitError> for StartError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Ignore => Self::Ignore,
            InitError::Failed(why) => Self::Failed(why.to_string().into()),
            InitError::Name(error) => error.into(),
            // of what is below it, not of itself: that one cannot do without it
            InitError::Start(error @ (Self::Ignore | Self::AlreadyStarted { .. })) => {
                Self::Failed(error.to_string().into())
            }
            InitError::Start(error) => error,
        }
    }
}

/// Why a process did not start.
///
/// Example: [`crate::Process`].
#[derive(Debug, Error)]
pub enum InitError {
    /// It has nothing to do: OTP's `ignore`. Not a failure.
    #[error("ignore")]
    Ignore,
    /// It cannot.
    #[error("{0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// It cannot have its name: [`StartError::AlreadyStarted`], if another has it.
    #[error(transparent)]
    Name(#[from] RegisterError),
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
