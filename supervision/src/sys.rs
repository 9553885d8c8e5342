//! Looking into a process and holding it, while it runs: OTP's `sys`.
//!
//! What is known from outside ([`status`], [`last_events`]) is answered whatever the process does. A
//! question to the process itself ([`state`], [`replace_state`]) is taken before its messages, also
//! when it is suspended; while it is in a handler the answer is how long already.
//!
//! ```
//! use supervision::{System, sys, testkit::Probe};
//! use supervision::sys::{Statistics, Status, SysEvent};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let system = System::new("demo");
//! let mut probe: Probe<u8> = Probe::start(&system).await;
//! sys::log(probe.pid(), 10);
//! probe.me().cast(1).unwrap();
//! probe.message().await;
//! let event: &SysEvent = &sys::last_events(probe.pid())[0];
//! assert_eq!(event.what, "message: u8");
//! sys::suspend(probe.pid());
//! let status: Status = sys::status(probe.pid());
//! assert!(status.suspended);
//! sys::trace(probe.pid(), 1, |event| println!("{event}"));
//! probe.me().cast(2).unwrap();
//! let figures: Statistics = sys::statistics(probe.pid());
//! assert_eq!((figures.handled, figures.queued), (1, 1));
//! assert!(figures.ran.is_zero());
//! let metering: supervision::system::Metering = system.meter();
//! sys::resume(probe.pid());
//! assert_eq!(probe.message().await, 2);
//! drop(metering);
//! assert!(!sys::statistics(probe.pid()).ran.is_zero());
//! # });
//! ```

pub use crate::watch::{Question, SysError, SysEvent};
use crate::{
    crash::cut,
    pid::Local,
    restarts::Supervision,
    watch::{Ask, Sink},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// The most events [`log`] keeps of a process.
pub const LOG_LIMIT: usize = 1000;

/// The most bytes of an event that [`log`] keeps and [`trace`] tells; what is longer is cut.
pub const EVENT_BYTES: usize = 1 << 10;

/// Notes an event; `what` is only made when somebody watches. What panics here is reported and not called again: nobody
/// watches any more.
pub(crate) fn note(pid: &Local, what: impl FnOnce() -> String) {
    if pid.is_watched()
        && let Err(panic) = pid.catch(|| tell(pid, what))
    {
        let gone = pid.watch(Option::take);
        pid.report_beside(panic, Some("a trace or a log: it has ended"));
        pid.discard(gone);
    }
}

fn tell(pid: &Local, what: impl FnOnce() -> String) {
    let mut event = SysEvent { at: pid.uptime(), what: what() };
    cut(&mut event.what, EVENT_BYTES);
    let mut sink = None;
    pid.watch(|slot| {
        let Some(watch) = slot else { return };
        if let Some((left, to)) = &mut watch.trace {
            sink = Some(Arc::clone(to));
            *left -= 1;
            if *left == 0 {
                watch.trace = None;
            }
        }
        if let Some((limit, events)) = &mut watch.log {
            while events.len() >= *limit {
                events.pop_front();
            }
            events.push_back(event.clone());
        }
        if watch.is_idle() {
            *slot = None;
        }
    });
    // not under the lock: the sink may look at the process
    if let Some(sink) = sink {
        sink(&event);
    }
}

/// What is known of a process without asking it.
///
/// Example: [`crate::sys`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its number.
    pub id: u64,
    /// Its path.
    pub path: String,
    /// Its behaviour.
    pub kind: String,
    /// Whether it has not ended.
    pub alive: bool,
    /// How long it has been in its present handler.
    pub busy: Option<Duration>,
    /// Whether it is held by [`suspend`].
    pub suspended: bool,
    /// Whether it gets exit signals as events.
    pub traps_exits: bool,
    /// What it last said of itself.
    pub status: Option<String>,
    /// Paths of those above it, the nearest first.
    pub ancestors: Vec<String>,
    /// Paths of what it is linked to, its children included; at most 100.
    pub links: Vec<String>,
    /// How many watch it.
    pub watchers: usize,
    /// Of a supervisor: what it knows of restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// Figures.
    pub statistics: Statistics,
}

/// Figures of a process.
///
/// Example: [`crate::sys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// How long it has been alive.
    pub uptime: Duration,
    /// Messages and signals it has handled.
    pub handled: u64,
    /// Messages that wait.
    pub queued: usize,
    /// The CPU time it has used, as far as that was metered ([`crate::System::meter`]): what OTP's
    /// reductions are for. A server's `init` counts for who starts it too.
    #[serde(default)]
    pub ran: Duration,
}

/// What is known of a process (`sys:get_status/1`); it is not disturbed.
///
/// Example: [`crate::sys`].
pub fn status(pid: &Local) -> Status {
    Status {
        id: pid.id().number,
        path: pid.path().to_string(),
        kind: pid.kind().to_owned(),
        alive: pid.is_alive(),
        busy: pid.busy(),
        suspended: pid.is_suspended(),
        traps_exits: pid.traps_exits(),
        status: pid.status().map(|s| s.to_string()),
        ancestors: pid.ancestors(),
        links: pid.linked(100).iter().map(|p| p.path().to_string()).collect(),
        watchers: pid.watchers(),
        supervision: pid.supervision(),
        statistics: statistics(pid),
    }
}

/// The figures of a process (`sys:statistics/2`); all but the time it ran are always counted.
///
/// Example: [`crate::sys`].
pub fn statistics(pid: &Local) -> Statistics {
    let (uptime, handled, queued, ran) = (pid.uptime(), pid.handled(), pid.depth(), pid.ran());
    Statistics { uptime, handled, queued, ran }
}

/// Holds a process (`sys:suspend/1`): after its present message it takes no other, nor timers, until
/// [`resume`]. It still ends when its parent says so, or when it is killed.
///
/// Example: [`crate::sys`].
pub fn suspend(pid: &Local) {
    pid.set_suspended(true);
}

/// Lets a suspended process go on (`sys:resume/1`).
///
/// Example: [`crate::sys`].
pub fn resume(pid: &Local) {
    pid.set_suspended(false);
}

/// Tells `sink` the next `count` events of a process (`sys:trace/2`), then ends by itself. The sink
/// is called in the process and must be short. A second trace replaces the first; 0 ends it.
///
/// Example: [`crate::sys`].
pub fn trace(pid: &Local, count: usize, sink: impl Fn(&SysEvent) + Send + Sync + 'static) {
    let trace = (count > 0).then(|| (count, Arc::new(sink) as Sink));
    let before = pid.watch(|watch| {
        let set = watch.get_or_insert_default();
        let before = std::mem::replace(&mut set.trace, trace);
        if set.is_idle() {
            *watch = None;
        }
        before
    });
    if let Some((_, sink)) = before {
        pid.discard_elsewhere(sink, "a trace: another is in its place");
    }
}

/// Keeps the last `count` events of a process from now on, at most [`LOG_LIMIT`] (`sys:log/2`);
/// 0 stops it and forgets them.
///
/// Example: [`crate::sys`].
pub fn log(pid: &Local, count: usize) {
    pid.watch(|watch| {
        let set = watch.get_or_insert_default();
        set.log = (count > 0).then(|| (count.min(LOG_LIMIT), VecDeque::new()));
        if set.is_idle() {
            *watch = None;
        }
    });
}

/// The events kept by [`log`], the oldest first.
///
/// Example: [`crate::sys`].
pub fn last_events(pid: &Local) -> Vec<SysEvent> {
    let mut events = Vec::new();
    pid.watch(|watch| {
        if let Some((_, kept)) = watch.as_ref().and_then(|w| w.log.as_ref()) {
            events.extend(kept.iter().cloned());
        }
    });
    events
}

/// The state of a process as its behaviour shows it (`sys:get_state/1`); secrets are left out by
/// the behaviour.
///
/// Example: [`crate::Server`].
///
/// # Errors
/// When it has ended, is busy for all of `deadline`, or shows no state.
pub async fn state(pid: &Local, deadline: Duration) -> Result<Value, SysError> {
    let (reply, answer) = oneshot::channel();
    ask(pid, Ask::State(reply), answer, deadline).await
}

/// Puts another state into a process (`sys:replace_state/2`), where its behaviour allows it.
///
/// Example: [`crate::Server`].
///
/// # Errors
/// As [`state`]; or when it does not take this one.
pub async fn replace_state(pid: &Local, state: Value, deadline: Duration) -> Result<(), SysError> {
    let (reply, answer) = oneshot::channel();
    ask(pid, Ask::Replace(state, reply), answer, deadline).await
}

async fn ask<T>(
    pid: &Local,
    ask: Ask,
    answer: oneshot::Receiver<Result<T, SysError>>,
    deadline: Duration,
) -> Result<T, SysError> {
    if !pid.ask(ask) {
        return Err(SysError::Gone);
    }
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(SysError::Gone),
        Err(_) => Err(pid.busy().map_or(SysError::Timeout, SysError::Busy)),
    }
}
