//! Why a process ended: OTP's exit reasons.

use crate::crash::CrashReport;
use std::{fmt, sync::Arc};

/// An exit reason.
///
/// ```
/// use supervision::Exit;
///
/// assert!(Exit::error("out of paper").is_abnormal());
/// assert!(!Exit::shutdown("not needed any more").is_abnormal());
/// assert_eq!((Exit::Killed.word(), Exit::Shutdown.to_string()), ("killed", "shutdown".to_owned()));
/// ```
#[derive(Clone, Debug)]
pub enum Exit {
    /// `normal`: it had nothing more to do.
    Normal,
    /// `shutdown`: its supervisor stopped it, or it stopped as if so.
    Shutdown,
    /// `{shutdown, Term}`: the same with an explanation.
    ShutdownWith(Arc<str>),
    /// `killed`: it was ended from outside without being asked.
    Killed,
    /// `noproc`: it was not alive when somebody linked to it or monitored it.
    NoProc,
    /// Any other reason that is no panic: an error the process ended itself with.
    Error(Arc<str>),
    /// It panicked.
    Crash(Arc<CrashReport>),
}

impl Exit {
    /// `{shutdown, Why}`.
    pub fn shutdown(why: &str) -> Self {
        Self::ShutdownWith(why.into())
    }

    /// An error.
    pub fn error(why: &str) -> Self {
        Self::Error(why.into())
    }

    /// Whether a transient child is restarted after it (`supervisor(3)`, restart).
    pub fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith(_))
    }

    /// OTP's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::ShutdownWith(_) => "shutdown_with",
            Self::Killed => "killed",
            Self::NoProc => "noproc",
            Self::Error(_) | Self::Crash(_) => "crash",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutdownWith(why) => write!(f, "{{shutdown, {why}}}"),
            Self::Error(why) => write!(f, "{why}"),
            Self::Crash(report) => write!(f, "{}", report.reason),
            other => f.write_str(other.word()),
        }
    }
}
