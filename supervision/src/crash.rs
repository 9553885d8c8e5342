//! Crash reports: what happened, where, with which input; and the log that keeps the last of them.
//!
//! The backtrace is captured when it happens and resolved to symbols only when somebody looks, off
//! the restart's path (resolving costs fifty times as much as capturing).

use crate::{exit::Exit, pid::Pid};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    any::Any,
    backtrace::Backtrace,
    cell::RefCell,
    collections::{HashMap, VecDeque},
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Once},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Inputs a black box holds.
const INPUTS: usize = 4;
/// The most bytes of one input a report keeps.
const INPUT_BYTES: usize = 16 << 10;

/// An input as it is noted: cheap to make, printed only in a report.
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
pub(crate) struct BlackBox(VecDeque<Recorded>);

impl BlackBox {
    pub(crate) fn record(&mut self, input: Recorded) {
        if self.0.len() == INPUTS {
            self.0.pop_front();
        }
        self.0.push_back(input);
    }

    fn take(&mut self) -> Vec<String> {
        self.0.drain(..).map(|r| r.to_text()).collect()
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

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

impl Panic {
    /// The panic that has just unwound on this thread.
    pub(crate) fn take(payload: &(dyn Any + Send)) -> Self {
        LAST.take().unwrap_or_else(|| Self {
            message: text(payload),
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

/// Installs the one panic hook of the program, before the first process runs. Panics outside of
/// processes go to the hook that was there.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        #[expect(clippy::disallowed_methods, reason = "the one panic hook of the program")]
        std::panic::set_hook(Box::new(move |info| {
            if tokio::task::try_id().is_none() {
                return previous(info);
            }
            let panic = Panic {
                message: text(info.payload()),
                location: info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string),
                backtrace: Some(Arc::new(Backtrace::force_capture())),
                in_terminate: false,
            };
            LAST.set(Some(panic));
        }));
    });
}

/// A crash, for people and for replaying.
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
    /// The panic's message.
    pub reason: String,
    /// File, line and column.
    pub location: String,
    /// It happened in `terminate`.
    pub in_terminate: bool,
    /// The last inputs, the one that crashed it last.
    pub inputs: Vec<String>,
    /// What the process last said of itself.
    pub status: Option<String>,
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
    stack: Option<Arc<Backtrace>>,
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
) -> Arc<CrashReport> {
    let mut ancestors = Vec::new();
    let mut above = pid.parent();
    while let Some(p) = above {
        ancestors.push(p.path().to_string());
        above = p.parent();
    }
    let report = CrashReport {
        id: 0,
        path: pid.path().to_string(),
        process: pid.kind().to_owned(),
        ancestors,
        reason: panic.message,
        location: panic.location,
        in_terminate: panic.in_terminate,
        inputs: black_box.take(),
        status: pid.status().map(|s| s.to_string()),
        queued,
        uptime: pid.uptime(),
        at: now(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        suppressed: 0,
        backtrace: None,
        stack: panic.backtrace,
    };
    pid.system().crashes().add(report)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Limits of a [`CrashLog`].
#[derive(Clone, Debug)]
pub struct CrashLogLimits {
    /// Reports kept in memory, and as files.
    pub keep: usize,
    /// Reports kept of one place within `window`; the rest is counted.
    pub per_place: u32,
    /// See `per_place`.
    pub window: Duration,
    /// Places that are told apart; beyond it all others are one place.
    pub places: usize,
}

impl Default for CrashLogLimits {
    fn default() -> Self {
        Self { keep: 256, per_place: 10, window: Duration::from_secs(60), places: 1024 }
    }
}

#[derive(Debug)]
struct Place {
    since: Instant,
    kept: u32,
    suppressed: u64,
}

#[derive(Debug, Default)]
struct Kept {
    ring: VecDeque<Arc<CrashReport>>,
    places: HashMap<(String, String), Place>,
    next: u64,
}

/// The last crash reports of a system. A storm is counted, not kept.
#[derive(Debug)]
pub struct CrashLog {
    kept: Mutex<Kept>,
    limits: CrashLogLimits,
    dir: Option<PathBuf>,
}

impl CrashLog {
    /// A log; with `dir` each report is also a file there (mode 0600: it holds inputs).
    pub fn new(limits: CrashLogLimits, dir: Option<PathBuf>) -> Self {
        Self { kept: Mutex::default(), limits, dir }
    }

    fn add(&self, mut report: CrashReport) -> Arc<CrashReport> {
        let mut kept = self.kept.lock();
        kept.next += 1;
        report.id = kept.next;
        let known = kept.places.len();
        let mut place = (report.process.clone(), report.location.clone());
        if known >= self.limits.places && !kept.places.contains_key(&place) {
            place = ("other".to_owned(), "other".to_owned());
        }
        let now = Instant::now();
        let entry =
            kept.places.entry(place).or_insert(Place { since: now, kept: 0, suppressed: 0 });
        if now.duration_since(entry.since) >= self.limits.window {
            entry.since = now;
            entry.kept = 0;
        }
        entry.kept += 1;
        if entry.kept > self.limits.per_place {
            entry.suppressed += 1;
            return Arc::new(report);
        }
        report.suppressed = std::mem::take(&mut entry.suppressed);
        let report = Arc::new(report);
        kept.ring.push_back(Arc::clone(&report));
        let old = (kept.ring.len() > self.limits.keep).then(|| kept.ring.pop_front()).flatten();
        drop(kept);
        tracing::error!(
            crash = report.id,
            path = report.path,
            process = report.process,
            location = report.location,
            suppressed = report.suppressed,
            "{}",
            report.reason
        );
        if let Err(error) = self.write(&report, old.as_deref()) {
            tracing::warn!(%error, "a crash report could not be written");
        }
        report
    }

    fn write(&self, report: &CrashReport, old: Option<&CrashReport>) -> std::io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        fs::create_dir_all(dir)?;
        let file = |r: &CrashReport| dir.join(format!("crash-{}-{:06}.json", r.at, r.id));
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(file(report))?;
        out.write_all(&serde_json::to_vec_pretty(&report)?)?;
        match old {
            Some(old) => fs::remove_file(file(old)),
            None => Ok(()),
        }
    }

    /// The reports in memory, the newest first.
    pub fn list(&self) -> Vec<Arc<CrashReport>> {
        self.kept.lock().ring.iter().rev().cloned().collect()
    }

    /// One report.
    pub fn get(&self, id: u64) -> Option<Arc<CrashReport>> {
        self.kept.lock().ring.iter().find(|r| r.id == id).cloned()
    }

    /// How many crashes there were, kept or not.
    pub fn count(&self) -> u64 {
        self.kept.lock().next
    }
}

/// Says in one line that a process ended and why, unless it is as it should be.
pub(crate) fn log_exit(pid: &Pid, exit: &Exit) {
    match exit {
        Exit::Crash(_) | Exit::Normal | Exit::Shutdown | Exit::ShutdownWith(_) => {}
        exit => tracing::debug!(path = %pid.path(), reason = %exit, "process ended"),
    }
}
