//! Crash reports: what happened, where, with which input. [`CrashLog`] keeps the last of them.
//!
//! What cannot be reported: a stack overflow, an abort (a panic while another unwinds) and memory
//! that ran out end the whole program at once; only who started it sees that.
//!
//! The backtrace is captured when it happens and resolved to symbols only when somebody looks, off
//! the restart's path (resolving costs fifty times as much as capturing). Of a crash that is only
//! counted (a storm) it is not captured.

mod black_box;
mod log;
mod panic;
mod report;
mod writer;

pub(crate) use black_box::BlackBox;
pub use black_box::Recorded;
pub(crate) use log::Of;
pub use log::{CrashLog, CrashLogLimits};
pub(crate) use panic::{
    Panic, Who, catch, catch_inside, install_hook, is_anybody_inside, is_inside,
};
pub use report::{CrashReport, Did, SupervisorReport};
pub(crate) use report::{LISTED, WAITING, cut};
