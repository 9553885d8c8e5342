//! Why a process ended: OTP's exit reasons.

use crate::crash::CrashReport;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// An exit reason. As data it is its word, and what there is besides; a stack that nobody has looked at ([`CrashReport::resolved`]) is
/// not part of it.
///
/// ```
/// use supervision::Exit;
///
/// assert!(Exit::error("out of paper").is_abnormal());
/// assert!(!Exit::shutdown("not needed any more").is_abnormal());
/// assert_eq!((Exit::Killed.word(), Exit::Shutdown.to_string()), ("killed", "shutdown".to_owned()));
/// assert_eq!(serde_json::to_string(&Exit::NoConnection).unwrap(), "\"noconnection\"");
/// assert_eq!(serde_json::from_str::<Exit>("{\"error\":\"no\"}").unwrap(), Exit::error("no"));
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// `normal`: it had nothing more to do.
    Normal,
    /// `shutdown`: its supervisor stopped it, or it stopped as if so.
    Shutdown,
    /// `{shutdown, Term}`: the same with an explanation.
    #[serde(rename = "shutdown_with")]
    ShutdownWith(Arc<str>),
    /// `killed`: it was ended from outside without being asked.
    Killed,
    /// `noproc`: it was not alive when somebody linked to it or monitored it.
    NoProc,
    /// `noconnection`: it is of another node, to which there is no connection.
    NoConnection,
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
            Self::NoConnection => "noconnection",
            Self::Error(_) | Self::Crash(_) => "crash",
        }
    }
}

/// A place for a reason, in two words: those that live have none, and most end with one that needs no memory of its own.
#[derive(Default)]
pub(crate) enum Reason {
    #[default]
    None,
    Normal,
    Shutdown,
    Killed,
    Other(Box<Exit>),
}

impl Reason {
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(crate) fn get(&self) -> Option<Exit> {
        match self {
            Self::None => None,
            Self::Normal => Some(Exit::Normal),
            Self::Shutdown => Some(Exit::Shutdown),
            Self::Killed => Some(Exit::Killed),
            Self::Other(exit) => Some((**exit).clone()),
        }
    }
}

impl From<Exit> for Reason {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Normal => Self::Normal,
            Exit::Shutdown => Self::Shutdown,
            Exit::Killed => Self::Killed,
            other => Self::Other(Box::new(other)),
        }
    }
}

impl PartialEq for Exit {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ShutdownWith(one), Self::ShutdownWith(other))
            | (Self::Error(one), Self::Error(other)) => one == other,
            // a report is what its number and time say
            (Self::Crash(one), Self::Crash(other)) => {
                let of = |report: &CrashReport| (report.id, report.at);
                of(one) == of(other) && one.path == other.path && one.reason == other.reason
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Exit {}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("Normal"),
            Self::Shutdown => f.write_str("Shutdown"),
            Self::ShutdownWith(why) => write!(f, "ShutdownWith({why:?})"),
            Self::Killed => f.write_str("Killed"),
            Self::NoProc => f.write_str("NoProc"),
            Self::NoConnection => f.write_str("NoConnection"),
            Self::Error(why) => write!(f, "Error({why:?})"),
            // without the stack, which takes pages
            Self::Crash(report) => write!(f, "Crash({:?} at {})", report.reason, report.location),
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
