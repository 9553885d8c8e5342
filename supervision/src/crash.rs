//! Crash reports: what happened, where, with which input. [`CrashLog`] keeps the last of them.
//!
//! What cannot be reported: a stack overflow, an abort (a panic while another unwinds) and memory
//! that ran out end the whole program at once; only who started it sees that.
//!
//! The backtrace is captured when it happens and resolved to symbols only when somebody looks, off
//! the restart's path (resolving costs fifty times as much as capturing). Of a crash that is only
//! counted (a storm) it is not captured.

pub use crate::crash_log::{CrashLog, CrashLogLimits};
use crate::{exit::Exit, pid::Pid, sys};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    fmt,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Once},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Inputs a black box holds.
const INPUTS: usize = 4;
/// The most bytes of one input a report keeps.
const INPUT_BYTES: usize = 16 << 10;

/// An input as it is noted: cheap to make, printed only in a report.
///
/// Example: [`crate::Process`].
#[derive(Clone)]
pub enum Recorded {
    /// Raw bytes.
    Bytes(Bytes),
    /// Anything that can be printed later.
    Shared(Arc<dyn fmt::Debug + Send + Sync>),
    /// A text.
    Text(Arc<str>),
}

impl From<Bytes> for Recorded {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&str> for Recorded {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> From<Arc<T>> for Recorded {
    fn from(value: Arc<T>) -> Self {
        Self::Shared(value)
    }
}

impl Recorded {
    fn to_text(&self) -> String {
        let mut text = match self {
            Self::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Self::Shared(value) => format!("{value:?}"),
            Self::Text(text) => text.to_string(),
        };
        if text.len() > INPUT_BYTES {
            let mut cut = INPUT_BYTES;
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            text.truncate(cut);
            text.push_str(" ...");
        }
        text
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// The last inputs of a process. Allocates at the first.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most have none: 8 bytes, not 32")]
pub(crate) struct BlackBox(Option<Box<VecDeque<Recorded>>>);

impl BlackBox {
    pub(crate) fn record(&mut self, input: Recorded) {
        let inputs = self.0.get_or_insert_default();
        if inputs.len() == INPUTS {
            inputs.pop_front();
        }
        inputs.push_back(input);
    }

    fn take(&mut self) -> Vec<String> {
        self.0.take().iter().flat_map(|inputs| inputs.iter()).map(Recorded::to_text).collect()
    }
}

/// What the panic hook noted.
#[derive(Debug)]
pub(crate) struct Panic {
    message: String,
    location: String,
    backtrace: Option<Arc<Backtrace>>,
    in_terminate: bool,
}

/// The most panics of a thread that are remembered until one of them ends a process: others were
/// caught inside of it, while the first unwound.
const NESTED: usize = 4;

thread_local! {
    static LAST: RefCell<Vec<Panic>> = const { RefCell::new(Vec::new()) };
}

impl Panic {
    /// The panic that has just unwound on this thread.
    pub(crate) fn take(payload: &(dyn Any + Send)) -> Self {
        let message = text(payload);
        // none of those the hook saw: unwinding was resumed without a panic
        LAST.take().into_iter().rfind(|last| last.message == message).unwrap_or_else(|| Self {
            message,
            location: "unknown".to_owned(),
            backtrace: None,
            in_terminate: false,
        })
    }

    pub(crate) fn in_terminate(mut self) -> Self {
        self.in_terminate = true;
        self
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Which crash log, and the kind of process.
type Who = (u64, &'static str);

thread_local! {
    /// The process that runs on this thread, and its id.
    static INSIDE: Cell<Option<(Who, u64)>> = const { Cell::new(None) };
}

fn who(pid: &Pid) -> (Who, u64) {
    ((pid.system().crashes().number(), pid.kind()), pid.id())
}

/// Whether that process runs on this thread: it is who asks.
pub(crate) fn is_inside(pid: &Pid) -> bool {
    INSIDE.get() == Some(who(pid))
}

/// Calls something of a process; a panic in it becomes what the hook noted.
pub(crate) fn catch<T>(pid: &Pid, call: impl FnOnce() -> T) -> Result<T, Panic> {
    let outside = INSIDE.replace(Some(who(pid)));
    let began = pid.system().is_metered().then(sys::thread_cpu);
    let result = catch_unwind(AssertUnwindSafe(call));
    if let Some(began) = began {
        pid.add_ran(sys::thread_cpu().saturating_sub(began));
    }
    INSIDE.set(outside);
    result.map_err(|payload| {
        let panic = Panic::take(&*payload);
        // a payload may have a destructor that panics too
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        panic
    })
}

/// Places whose reports are not kept for now: their stacks are not captured (20 us each).
#[derive(Default)]
struct Spent(HashMap<(Who, String), Instant>);

/// The most places of all logs that are known as spent; beyond it stacks are captured in vain.
const SPENT: usize = 4096;

static STORMS: LazyLock<Mutex<Spent>> = LazyLock::new(Mutex::default);

/// No report of that place is kept until then.
pub(crate) fn spent(who: Who, location: &str, until: Instant) {
    let mut storms = STORMS.lock();
    if storms.0.len() >= SPENT {
        let now = Instant::now();
        storms.0.retain(|_, until| now < *until);
    }
    if storms.0.len() < SPENT {
        storms.0.insert((who, location.to_owned()), until);
    }
}

fn is_spent(who: Who, location: &str) -> bool {
    let until = STORMS.lock().0.get(&(who, location.to_owned())).copied();
    until.is_some_and(|until| Instant::now() < until)
}

/// Installs the one panic hook of the program, before the first process runs. Panics outside of
/// processes go to the hook that was there.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        #[expect(clippy::disallowed_methods, reason = "the one panic hook of the program")]
        std::panic::set_hook(Box::new(move |info| {
            let Some((who, _)) = INSIDE.get() else {
                return previous(info);
            };
            let mut noted = LAST.take();
            if let Some(first) = noted.first() {
                // the first was caught inside of the process; or it still unwinds, then this is the
                // end of the program and nobody will make a report of either
                let said = format!("panic at {}: {}\n", first.location, first.message);
                // nothing can be done about standard error being closed
                drop(io::stderr().write_all(said.as_bytes()));
                previous(info);
            }
            let location =
                info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            let backtrace = (!is_spent(who, &location)).then(Backtrace::force_capture);
            if noted.len() == NESTED {
                noted.pop();
            }
            noted.push(Panic {
                message: text(info.payload()),
                location,
                backtrace: backtrace.map(Arc::new),
                in_terminate: false,
            });
            LAST.set(noted);
        }));
    });
}

/// A crash, for people and for replaying.
///
/// Example: [`CrashLog`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrashReport {
    /// Its number in the system, from 1.
    pub id: u64,
    /// Where in the tree.
    pub path: String,
    /// What kind of process.
    pub process: String,
    /// Paths of those above it, the nearest first.
    pub ancestors: Vec<String>,
    /// The panic's message, or the reason of an end that was none.
    pub reason: String,
    /// File, line and column; of an end that was no panic, what it was.
    pub location: String,
    /// It happened in `terminate`.
    pub in_terminate: bool,
    /// The last inputs, the one that crashed it last.
    pub inputs: Vec<String>,
    /// What the process last said of itself.
    pub status: Option<String>,
    /// Its state as it shows it (see [`crate::Server::state`]), after the panic.
    #[serde(default)]
    pub state: Option<Value>,
    /// Messages that waited.
    pub queued: usize,
    /// How long it had lived.
    pub uptime: Duration,
    /// When, in milliseconds of the epoch.
    pub at: u64,
    /// Program version.
    pub build: String,
    /// How many more like it came and were not kept, since the one before.
    pub suppressed: u64,
    /// The stack, once it was resolved.
    pub backtrace: Option<String>,
    #[serde(skip)]
    pub(crate) stack: Option<Arc<Backtrace>>,
}

impl CrashReport {
    /// The stack as text; resolves the symbols at the first look.
    pub fn stack(&self) -> String {
        let resolved = self.stack.as_ref().map(|s| s.to_string());
        self.backtrace.clone().or(resolved).unwrap_or_default()
    }

    /// The report with its stack resolved.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self { backtrace: Some(self.stack()), ..self.clone() }
    }
}

/// Makes the report of a panic, logs it and keeps it.
pub(crate) fn report(
    pid: &Pid,
    panic: Panic,
    black_box: &mut BlackBox,
    queued: usize,
    state: Option<Value>,
) -> Arc<CrashReport> {
    let report = CrashReport {
        id: 0,
        path: pid.path().to_string(),
        process: pid.kind().to_owned(),
        ancestors: pid.ancestors(),
        reason: panic.message,
        location: panic.location,
        in_terminate: panic.in_terminate,
        inputs: black_box.take(),
        status: pid.status().map(|s| s.to_string()),
        state,
        queued,
        uptime: pid.uptime(),
        at: now(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        suppressed: 0,
        backtrace: None,
        stack: panic.backtrace,
    };
    pid.system().crashes().add(report, pid.kind())
}

/// The report of an abnormal end that is no panic: a process that ended itself with an error, or that was killed, but not by
/// its supervisor. One that ends with somebody else's crash, over a link, has that one's report.
pub(crate) fn account_for(pid: &Pid, exit: &Exit, black_box: &mut BlackBox, state: Option<Value>) {
    let location = match exit {
        Exit::Killed if pid.is_dismissed() => return,
        Exit::Killed if pid.is_killed() => "killed from outside",
        Exit::Killed | Exit::Error(_) | Exit::NoProc => "no panic",
        Exit::Normal | Exit::Shutdown | Exit::ShutdownWith(_) | Exit::Crash(_) => return,
    };
    let message = exit.to_string();
    let location = location.to_owned();
    let end = Panic { message, location, backtrace: None, in_terminate: false };
    report(pid, end, black_box, pid.depth(), state);
}

/// The report of a panic in something that a process, which goes on, was given to call.
pub(crate) fn report_beside(pid: &Pid, panic: Panic, what: &str) -> Arc<CrashReport> {
    let mut input = BlackBox::default();
    input.record(what.into());
    report(pid, panic, &mut input, pid.depth(), None)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Says in one line that a process ended and why, unless it is as it should be.
pub(crate) fn log_exit(pid: &Pid, exit: &Exit) {
    match exit {
        Exit::Crash(_) | Exit::Normal | Exit::Shutdown | Exit::ShutdownWith(_) => {}
        exit => tracing::debug!(path = %pid.path(), reason = %exit, "process ended"),
    }
}
