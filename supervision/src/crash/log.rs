//! The log that keeps the last crash reports, in memory and as files; a storm is counted, not kept.
//!
//! Files are written by a thread of the log's own, some 50 ms later: resolving a backtrace and writing
//! take far longer than the restart of the process. What an earlier run left is found again when the log is opened. A sink
//! gets the reports there too.

use super::{
    panic::spent,
    report::{CrashReport, SupervisorReport},
    writer::{Writer, file_of, load},
};
use crate::id;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
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

#[derive(Debug)]
struct Place {
    since: Instant,
    kept: u32,
    suppressed: u64,
}

/// Where reports go besides.
pub(super) type Sink = Arc<dyn Fn(&CrashReport) + Send + Sync>;

#[derive(Debug)]
struct Entry {
    /// Whose it is: the process's number, 0 of an earlier run.
    of: u64,
    /// Its file, where there are any.
    file: String,
    /// It is on disk, and the sink has it.
    written: bool,
    report: Arc<CrashReport>,
}

#[derive(Debug, Default)]
struct Kept {
    ring: VecDeque<Entry>,
    places: HashMap<(String, String), Place>,
    last: u64,
    count: u64,
    /// Files of reports that are not kept any more, for which the thread's queue had no room: no more than were written since it looked.
    left: Vec<String>,
}

/// Which report is meant.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    /// The last of the process of that number.
    Process(u64),
    /// That of this number.
    Report(u64),
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
/// // each goes elsewhere too, from now on
/// let sink = |report: &CrashReport| println!("{}", serde_json::to_string(report).unwrap());
/// assert!(system.crashes().send_to(sink) && !system.crashes().send_to(sink));
/// // the next run of the program
/// let log = CrashLog::new(limits, Some(dir.clone()));
/// assert_eq!(log.list()[0].reason, "oh no");
/// # std::fs::remove_dir_all(dir).unwrap();
/// # });
/// ```
#[derive(Debug)]
pub struct CrashLog {
    shared: Arc<Shared>,
    /// Where there are files, or a sink.
    writer: OnceLock<Writer>,
}

/// What the log's thread knows of it.
pub(super) struct Shared {
    /// Tells logs apart, of this program and of others.
    pub(super) number: u32,
    kept: Mutex<Kept>,
    limits: CrashLogLimits,
    sink: OnceLock<Sink>,
    /// The sink panicked: it gets no more.
    off: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(f)
    }
}

impl CrashLog {
    /// A log; with `dir` each report is also a file there (mode 0600: it holds inputs), and the
    /// reports that are there already are in the list. Several logs may have the same.
    pub fn new(limits: CrashLogLimits, dir: Option<PathBuf>) -> Self {
        let mut kept = Kept::default();
        let found = dir.as_ref().map(|dir| load(dir, limits.keep));
        let dir = match found {
            Some(Ok(found)) => {
                kept.last = found.iter().map(|(_, r)| r.id).max().unwrap_or_default();
                let entry = |(file, report)| Entry { of: 0, file, written: true, report };
                kept.ring = found.into_iter().map(entry).collect();
                dir
            }
            Some(Err(error)) => {
                tracing::warn!(?dir, %error, "crash reports are kept in memory only");
                None
            }
            None => None,
        };
        let shared = Shared {
            number: id::creation(),
            kept: Mutex::new(kept),
            limits,
            sink: OnceLock::new(),
            off: AtomicBool::new(false),
        };
        let log = Self { shared: Arc::new(shared), writer: OnceLock::new() };
        if let Some(dir) = dir {
            log.start_writer(Some(dir));
        }
        log
    }

    fn start_writer(&self, dir: Option<PathBuf>) {
        match Writer::start(dir, Arc::clone(&self.shared)) {
            // there was one already: that one is as good
            Ok(writer) => drop(self.writer.set(writer)),
            Err(error) => tracing::warn!(%error, "crash reports are kept in memory only"),
        }
    }

    /// Each report that is kept goes to `sink` too, with its stack resolved, in the log's own thread: some 50 ms later, while
    /// it is called no file is written. It gets a report again when a supervisor says later what it did about it. There is one
    /// sink; `false`: there was one already. One that panics is reported, and gets no more.
    pub fn send_to(&self, sink: impl Fn(&CrashReport) + Send + Sync + 'static) -> bool {
        let first = self.shared.sink.set(Arc::new(sink)).is_ok();
        if first && self.writer.get().is_none() {
            self.start_writer(None);
        }
        first
    }

    pub(crate) fn number(&self) -> u64 {
        self.shared.number.into()
    }

    /// Numbers a report and keeps it, unless there were too many of its place. `of`: whose it is, and of what kind that is;
    /// `more` is only asked for when it is kept.
    pub(crate) fn add(
        &self,
        report: CrashReport,
        of: (u64, &'static str),
        more: impl FnOnce(&mut CrashReport),
    ) -> Arc<CrashReport> {
        let (report, kept) = self.shared.add(report, of, more);
        if let (Some(writer), Some(old)) = (self.writer.get(), kept) {
            self.shared.leaves(writer.write(report.id, old));
        }
        report
    }

    /// A supervisor says what it did about a process that ended: to that one's report, if one is kept.
    pub(crate) fn answered(&self, of: Of, what: impl FnOnce() -> SupervisorReport) {
        let mut kept = self.shared.kept.lock();
        let mut ring = kept.ring.iter_mut().rev();
        let found = ring.find(|entry| match of {
            Of::Process(number) => entry.of == number,
            Of::Report(id) => entry.report.id == id,
        });
        let Some(entry) = found else { return };
        Arc::make_mut(&mut entry.report).supervisor = Some(what());
        let again = entry.written.then_some(entry.report.id);
        drop(kept);
        if let (Some(writer), Some(id)) = (self.writer.get(), again) {
            self.shared.leaves(writer.write(id, None));
        }
    }

    /// The reports, the newest first.
    pub fn list(&self) -> Vec<Arc<CrashReport>> {
        let kept = self.shared.kept.lock();
        kept.ring.iter().rev().map(|entry| Arc::clone(&entry.report)).collect()
    }

    /// One report.
    pub fn get(&self, id: u64) -> Option<Arc<CrashReport>> {
        let kept = self.shared.kept.lock();
        let found = kept.ring.iter().find(|entry| entry.report.id == id);
        found.map(|entry| Arc::clone(&entry.report))
    }

    /// How many crashes there were in this run, kept or not.
    pub fn count(&self) -> u64 {
        self.shared.kept.lock().count
    }

    /// Waits until all reports so far are on disk, and the sink has them. Blocks: for the end of a program, and tests. In a sink it does
    /// nothing.
    pub fn flush(&self) {
        if let Some(writer) = self.writer.get() {
            writer.flush();
        }
    }
}

impl Shared {
    /// The report; if it is kept, also the file of the one that goes for it.
    pub(super) fn add(
        &self,
        mut report: CrashReport,
        (of, kind): (u64, &'static str),
        more: impl FnOnce(&mut CrashReport),
    ) -> (Arc<CrashReport>, Option<Option<String>>) {
        let mut kept = self.kept.lock();
        kept.last += 1;
        kept.count += 1;
        report.id = kept.last;
        let admitted = kept.admit(&report, &self.limits);
        drop(kept);
        report.suppressed = match admitted {
            Ok(suppressed) => suppressed,
            Err(until) => {
                // the first that is not kept: the hook had captured it
                if report.stack.is_some() {
                    spent((self.number.into(), kind), &report.location, until);
                }
                return (Arc::new(report), None);
            }
        };
        more(&mut report);
        report.bound();
        let report = Arc::new(report);
        let mut kept = self.kept.lock();
        let file = file_of(&report, self.number);
        kept.ring.push_back(Entry { of, file, written: false, report: Arc::clone(&report) });
        let old = (kept.ring.len() > self.limits.keep).then(|| kept.ring.pop_front()).flatten();
        let old = old.filter(|old| old.written);
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
        (report, Some(old.map(|old| old.file)))
    }

    /// The report of that number, if it is still kept, as it is now; and its file.
    pub(super) fn to_write(&self, id: u64) -> Option<(String, Arc<CrashReport>)> {
        let mut kept = self.kept.lock();
        let entry = kept.ring.iter_mut().rev().find(|entry| entry.report.id == id)?;
        entry.written = true;
        Some((entry.file.clone(), Arc::clone(&entry.report)))
    }

    /// A file that is to go when the thread has time.
    fn leaves(&self, old: Option<String>) {
        self.kept.lock().left.extend(old);
    }

    pub(super) fn left(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.lock().left)
    }

    pub(super) fn sink(&self) -> Option<Sink> {
        self.sink.get().filter(|_| !self.off.load(Ordering::Relaxed)).map(Arc::clone)
    }

    pub(super) fn switch_off(&self) {
        self.off.store(true, Ordering::Relaxed);
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
