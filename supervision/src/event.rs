//! What comes to a process.

use crate::{
    exit::Exit,
    pid::{Monitor, Pid},
};

/// What a process is told, in [`crate::Cx::next`].
///
/// Example: [`crate::Process`].
#[derive(Debug)]
pub enum Event<M> {
    /// A message.
    Msg(M),
    /// An exit signal; only with [`crate::Cx::trap_exit`]. From the parent: stop now.
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

impl<M> Event<M> {
    /// What a crash report calls it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Msg(_) => "a message",
            Self::Exit { .. } => "an exit signal",
            Self::Down { .. } => "the end of what it monitors",
        }
    }
}
