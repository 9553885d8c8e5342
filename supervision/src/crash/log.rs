//! The log that keeps the last crash reports, in memory and as files; a storm is counted, not kept.
//!
//! Files are written by a thread of the log's own, some 50 ms later: resolving a backtrace and writing
//! take far longer than the restart of the process. What an earlier run left is found again when the log is opened.

use super::{panic::spent, report::CrashReport};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

/// Limits of a [`CrashLog`].
///
/// Example: [`CrashLog`].
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

static LOGS: AtomicU64 = AtomicU64::new(0);

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
    last: u64,
    count: u64,
}

/// The last crash reports of a system: see [`crate::System::crashes`].
///
/// ```
/// use supervision::{CrashLog, CrashReport, System, crash::CrashLogLimits, testkit};
/// # use supervision::{Cx, Exit, InitError, Process};
/// # struct Fragile;
/// # impl Process for Fragile {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "fragile";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<()>) -> Exit { cx.next().await; panic!("oh no") }
/// # }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let dir = std::env::temp_dir().join(format!("supervision-doc-{}", std::process::id()));
/// let limits = CrashLogLimits { keep: 100, ..CrashLogLimits::default() };
/// let system = System::with_crash_log("demo", limits.clone(), Some(dir.clone()));
/// let fragile = system.spawn::<Fragile>("/fragile", ()).await.unwrap();
/// fragile.cast(()).unwrap();
/// testkit::ended(fragile.pid()).await;
/// let report: &CrashReport = &system.crashes().get(1).unwrap();
/// assert_eq!((&*report.path, &*report.reason), ("/fragile", "oh no"));
/// assert!(report.stack().contains("run") && report.resolved().backtrace.is_some());
/// assert_eq!(system.crashes().count(), 1);
/// system.crashes().flush();
/// // the next run of the program
/// let log = CrashLog::new(limits, Some(dir.clone()));
/// assert_eq!(log.list()[0].reason, "oh no");
/// # std::fs::remove_dir_all(dir).unwrap();
/// # });
/// ```
#[derive(Debug)]
pub struct CrashLog {
    /// Tells the logs of the program apart.
    number: u64,
    kept: Mutex<Kept>,
    limits: CrashLogLimits,
    writer: Option<Writer>,
}

impl CrashLog {
    /// A log; with `dir` each report is also a file there (mode 0600: it holds inputs), and the
    /// reports that are there already are in the list.
    pub fn new(limits: CrashLogLimits, dir: Option<PathBuf>) -> Self {
        let mut kept = Kept::default();
        let writer = dir.and_then(|dir| {
            let opened = load(&dir, limits.keep).and_then(|found| {
                kept.last = found.iter().map(|r| r.id).max().unwrap_or_default();
                kept.ring = found;
                Writer::start(dir.clone())
            });
            opened.inspect_err(|error| {
                tracing::warn!(dir = %dir.display(), %error, "crash reports are kept in memory only");
            })
            .ok()
        });
        Self {
            number: LOGS.fetch_add(1, Ordering::Relaxed),
            kept: Mutex::new(kept),
            limits,
            writer,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Numbers a report and keeps it, unless there were too many of its place.
    pub(crate) fn add(&self, mut report: CrashReport, kind: &'static str) -> Arc<CrashReport> {
        let mut kept = self.kept.lock();
        kept.last += 1;
        kept.count += 1;
        report.id = kept.last;
        let suppressed = match kept.admit(&report, &self.limits) {
            Ok(suppressed) => suppressed,
            Err(until) => {
                // the first that is not kept: the hook had captured it
                if report.stack.is_some() {
                    spent((self.number, kind), &report.location, until);
                }
                return Arc::new(report);
            }
        };
        report.suppressed = suppressed;
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
        if let Some(writer) = &self.writer {
            writer.write(Arc::clone(&report), old);
        }
        report
    }

    /// The reports, the newest first.
    pub fn list(&self) -> Vec<Arc<CrashReport>> {
        self.kept.lock().ring.iter().rev().cloned().collect()
    }

    /// One report.
    pub fn get(&self, id: u64) -> Option<Arc<CrashReport>> {
        self.kept.lock().ring.iter().find(|r| r.id == id).cloned()
    }

    /// How many crashes there were in this run, kept or not.
    pub fn count(&self) -> u64 {
        self.kept.lock().count
    }

    /// Waits until all reports so far are on disk. Blocks: for the end of a program, and tests.
    pub fn flush(&self) {
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }
}

impl Kept {
    /// If a report is kept, how many of its place were not, since the one before; otherwise until
    /// when none is.
    fn admit(&mut self, report: &CrashReport, limits: &CrashLogLimits) -> Result<u64, Instant> {
        let mut place = (report.process.clone(), report.location.clone());
        if self.places.len() >= limits.places && !self.places.contains_key(&place) {
            place = ("other".to_owned(), "other".to_owned());
        }
        let now = Instant::now();
        let entry =
            self.places.entry(place).or_insert(Place { since: now, kept: 0, suppressed: 0 });
        if now.duration_since(entry.since) >= limits.window {
            entry.since = now;
            entry.kept = 0;
        }
        if entry.kept >= limits.per_place {
            entry.suppressed += 1;
            return Err(entry.since.checked_add(limits.window).unwrap_or(now));
        }
        entry.kept += 1;
        Ok(std::mem::take(&mut entry.suppressed))
    }
}

fn file_of(report: &CrashReport) -> String {
    format!("crash-{}-{:06}.json", report.at, report.id)
}

/// What an earlier run left, the oldest first; the oldest beyond `keep` are removed.
fn load(dir: &Path, keep: usize) -> io::Result<VecDeque<Arc<CrashReport>>> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !name.starts_with("crash-") || path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let report = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        match report {
            Ok(report) => found.push((path, Arc::<CrashReport>::new(report))),
            Err(error) => tracing::warn!(file = %path.display(), %error, "no crash report"),
        }
    }
    found.sort_by_key(|(_, r)| (r.at, r.id));
    for (path, _) in found.drain(..found.len().saturating_sub(keep)) {
        fs::remove_file(path)?;
    }
    Ok(found.into_iter().map(|(_, report)| report).collect())
}

/// Reports that wait to be written; beyond it one is in memory only.
const QUEUE: usize = 64;
/// How often the thread that writes looks for some. A crash does not wake it, which on an idle
/// machine would cost as much as the restart.
const LOOK: Duration = Duration::from_millis(50);
/// But of so many crashes one does.
const MANY: u64 = 16;

enum Job {
    Write(Arc<CrashReport>, Option<Arc<CrashReport>>),
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Writer {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(dir: PathBuf) -> io::Result<Self> {
        let (jobs, todo) = sync_channel(QUEUE);
        let thread =
            thread::Builder::new().name("crash-log".to_owned()).spawn(move || run(&dir, &todo))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    fn write(&self, report: Arc<CrashReport>, old: Option<Arc<CrashReport>>) {
        let id = report.id;
        let sent = self.jobs.as_ref().map(|jobs| jobs.try_send(Job::Write(report, old)));
        if !matches!(sent, Some(Ok(()))) {
            tracing::warn!(crash = id, "crash report not written: too many at once");
        }
        if id.is_multiple_of(MANY) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn flush(&self) {
        let (done, wait) = sync_channel(1);
        self.wake();
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Flush(done)).is_ok()) {
            self.wake();
            // an error: the thread has ended, nothing is left to wait for
            let _ = wait.recv();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(dir: &Path, todo: &Receiver<Job>) {
    loop {
        match todo.try_recv() {
            Ok(Job::Write(report, old)) => {
                if let Err(error) = write(dir, &report, old.as_deref()) {
                    tracing::warn!(crash = report.id, %error, "crash report not written");
                }
            }
            Ok(Job::Flush(done)) => drop(done.send(())),
            Err(TryRecvError::Empty) => thread::park_timeout(LOOK),
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

fn write(dir: &Path, report: &CrashReport, old: Option<&CrashReport>) -> io::Result<()> {
    let path = dir.join(file_of(report));
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(&serde_json::to_vec_pretty(&report.resolved())?)?;
    match old {
        // it may never have been written
        Some(old) => match fs::remove_file(dir.join(file_of(old))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}
