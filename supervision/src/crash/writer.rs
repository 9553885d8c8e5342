//! The thread of a crash log: what is done with a report off the restart's path. It resolves the stack, writes the file and
//! calls the sink.

use super::{
    log::{Shared, Sink},
    panic::catch,
    report::CrashReport,
};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The file of a report of the log of that number: another log with the same directory numbers its reports as well.
pub(super) fn file_of(report: &CrashReport, log: u32) -> String {
    format!("crash-{}-{:06}-{log:08x}.json", report.at, report.id)
}

/// A report, and its file.
type Found = (String, Arc<CrashReport>);

/// What an earlier run left, the oldest first; the oldest beyond `keep` are removed.
pub(super) fn load(dir: &Path, keep: usize) -> io::Result<Vec<Found>> {
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
            Ok(report) => found.push((name.to_owned(), Arc::<CrashReport>::new(report))),
            Err(error) => tracing::warn!(file = %path.display(), %error, "no crash report"),
        }
    }
    found.sort_by_key(|(_, r)| (r.at, r.id));
    for (file, _) in found.drain(..found.len().saturating_sub(keep)) {
        forget(&dir.join(file));
    }
    Ok(found)
}

/// Reports that wait to be written; beyond it one is in memory only.
const QUEUE: usize = 64;
/// How often the thread that writes looks for some. A crash does not wake it, which on an idle
/// machine would cost as much as the restart.
const LOOK: Duration = Duration::from_millis(50);
/// But of so many crashes one does.
const MANY: u64 = 16;

/// The most bytes of a file that is indented.
const INDENTED: usize = 512 << 10;

pub(super) enum Job {
    /// The report of that number, and the file of an old one, which goes.
    Write(u64, Option<String>),
    Flush(SyncSender<()>),
}

/// What panics are in that are the sink's.
const SINK: &str = "crash log";

#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(dir: Option<PathBuf>, log: Arc<Shared>) -> io::Result<Self> {
        let (jobs, todo) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("crash-log".to_owned())
            .spawn(move || run(dir.as_deref(), &log, &todo))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// The old file comes back when there is no room: that one has to go.
    pub(super) fn write(&self, id: u64, old: Option<String>) -> Option<String> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.try_send(Job::Write(id, old)));
        let mut left = None;
        if let Some(Err(full)) = sent {
            tracing::warn!(crash = id, "crash report not written: too many at once");
            let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = full;
            if let Job::Write(_, old) = job {
                left = old;
            }
        }
        if id.is_multiple_of(MANY) {
            self.wake();
        }
        left
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// A sink that does so would wait for itself.
    fn is_here(&self) -> bool {
        let here = thread::current().id();
        self.thread.as_ref().is_some_and(|thread| thread.thread().id() == here)
    }

    pub(super) fn flush(&self) {
        if self.is_here() {
            return;
        }
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
        if self.is_here() {
            return;
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(dir: Option<&Path>, log: &Shared, todo: &Receiver<Job>) {
    loop {
        match todo.try_recv() {
            Ok(Job::Write(id, old)) => {
                if let Some(found) = log.to_write(id) {
                    hand_over(dir, log, &found);
                }
                if let (Some(dir), Some(old)) = (dir, old) {
                    forget(&dir.join(old));
                }
            }
            Ok(Job::Flush(done)) => {
                clear(dir, log);
                // an error: nobody waits any more
                let _ = done.send(());
            }
            Err(TryRecvError::Empty) => {
                clear(dir, log);
                thread::park_timeout(LOOK);
            }
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

/// Removes the files that there was no room to say anything about.
fn clear(dir: Option<&Path>, log: &Shared) {
    let left = log.left();
    if let Some(dir) = dir {
        left.iter().for_each(|old| forget(&dir.join(old)));
    }
}

fn hand_over(dir: Option<&Path>, log: &Shared, (file, report): &Found) {
    let report = report.resolved();
    if let Some(dir) = dir
        && let Err(error) = write(&dir.join(file), &report)
    {
        tracing::warn!(crash = report.id, %error, "crash report not written");
    }
    let Some(sink) = log.sink() else { return };
    if let Some(panicked) = tell(&sink, log, &report) {
        let (panicked, old) = log.add(panicked, (0, SINK), |_| {});
        if let (Some(dir), Some(old)) = (dir, old.flatten()) {
            forget(&dir.join(old));
        }
        if let Some(panicked) = log.to_write(panicked.id) {
            hand_over(dir, log, &panicked);
        }
    }
}

/// Calls the sink; the report of its panic, with which it is switched off.
fn tell(sink: &Sink, log: &Shared, report: &CrashReport) -> Option<CrashReport> {
    let panic = catch(((log.number.into(), SINK), 0), || sink(report)).err()?;
    log.switch_off();
    let inputs = vec![format!("crash {}, for the sink: it gets no more", report.id)];
    Some(CrashReport { inputs, ..CrashReport::new(SINK, panic, &report.build) })
}

fn write(file: &Path, report: &CrashReport) -> io::Result<()> {
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    // indented for people, but what is nested deeply would be mostly that
    let text = serde_json::to_vec_pretty(report)?;
    let large = text.len() > INDENTED;
    out.write_all(&if large { serde_json::to_vec(report)? } else { text })
}

/// Removes a file that may never have been written.
fn forget(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = %file.display(), %error, "an old crash report stays");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::{CrashLog, CrashLogLimits, panic::Panic};

    /// At the same time and with the same number, each of its log.
    #[test]
    fn two_logs_with_one_directory_write_each_their_own_files() {
        let dir = tempfile::tempdir().unwrap();
        let open = || CrashLog::new(CrashLogLimits::default(), Some(dir.path().to_owned()));
        let logs = [open(), open()];
        for (log, message) in logs.iter().zip(["one", "other"]) {
            let (message, location) = (message.to_owned(), "nowhere".to_owned());
            let panic = Panic { message, location, backtrace: None, in_terminate: false };
            let report = CrashReport { at: 7, ..CrashReport::new("test", panic, "1") };
            let report = log.add(report, (1, "test"), |_| {});
            assert_eq!(report.id, 1);
            log.flush();
        }
        let reasons = |log: &CrashLog| {
            let mut all: Vec<String> = log.list().iter().map(|r| r.reason.clone()).collect();
            all.sort();
            all
        };
        assert_eq!(reasons(&open()), ["one", "other"]);
        // with a smaller limit the older goes, whosever it was
        let limits = CrashLogLimits { keep: 1, ..CrashLogLimits::default() };
        let last = CrashLog::new(limits, Some(dir.path().to_owned()));
        assert_eq!((last.list().len(), fs::read_dir(dir.path()).unwrap().count()), (1, 1));
    }
}
