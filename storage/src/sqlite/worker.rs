//! The processes of the store: each owns one thread with one connection, because SQLite blocks.
//!
//! The writer takes what is queued as one transaction, each job in a savepoint of its own, and
//! answers after the commit: one `fsync` for all. A job that panics is undone and its caller told;
//! the batch is finished, and then the thread ends with the panic, the process with it, and its
//! supervisor starts another.

use super::{
    LOCK, OpenError, SqliteStore, WRITER_CACHE, file,
    job::{BoxedJob, Failure},
};
use crate::StoreError;
use parking_lot::MutexGuard;
use rusqlite::Connection;
use std::{
    any::Any,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use supervision::{ChildSpec, Exit, InitError, Queue, Shutdown, SupervisorSpec, Thread};

/// The most jobs of one transaction.
const BATCH: usize = 256;

/// How long the writer may take to finish what is queued when it is stopped.
const DRAIN: Duration = Duration::from_secs(30);

/// An error of the file is logged once in this time.
const QUIET: Duration = Duration::from_secs(1);

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

/// The supervisor of writer and readers.
pub(super) fn tree(store: &Arc<SqliteStore>) -> ChildSpec {
    let worker = |id: &str, role| {
        ChildSpec::thread(id, &Arc::new(Worker { store: Arc::clone(store), role }))
    };
    // stopped last, when nobody reads any more
    let writer = worker("writer", Role::Writer).shutdown(Shutdown::Timeout(DRAIN));
    let mut spec =
        SupervisorSpec::one_for_one().intensity(5, Duration::from_secs(10)).child(writer);
    for n in 1..=store.options.readers.max(1) {
        spec = spec.child(worker(&format!("reader-{n}"), Role::Reader));
    }
    ChildSpec::supervisor("sqlite", spec)
}

/// A process that owns a thread.
pub(super) struct Worker {
    store: Arc<SqliteStore>,
    role: Role,
}

/// What a thread has.
pub(super) struct Open<'a> {
    db: Connection,
    log: Log<'a>,
    /// The thread of a writer that was killed may still be in its last transaction.
    _only: Option<MutexGuard<'a, ()>>,
}

impl Thread for Worker {
    type Job = BoxedJob;
    type State<'a> = Open<'a>;
    const NAME: &'static str = "sqlite";

    fn queue(&self) -> &Arc<Queue<BoxedJob>> {
        self.store.queue(self.role)
    }

    fn open(&self) -> Result<Open<'_>, InitError> {
        let only = (self.role == Role::Writer).then(|| self.store.writing.lock());
        let db = self.store.connect(self.role);
        let db = db.map_err(|error| InitError::failed(error.to_string()))?;
        Ok(Open { db, log: Log { path: &self.store.path, last: None }, _only: only })
    }

    fn most(&self) -> usize {
        if self.role == Role::Writer { BATCH } else { 1 }
    }

    fn work(&self, Open { db, log, .. }: &mut Open<'_>, jobs: &mut Vec<BoxedJob>) {
        let panic = match self.role {
            Role::Writer => write(db, jobs, log),
            Role::Reader => read(db, jobs, log),
        };
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }

    fn status(&self) -> String {
        format!("{:?} of {}", self.role, self.store.path.display())
    }

    fn close(&self, Open { db, .. }: Open<'_>) {
        if self.role == Role::Reader {
            return;
        }
        let folded = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            // nothing is lost: it is done at the next start
            tracing::warn!(path = %self.store.path.display(), %error, "no checkpoint at the end");
        }
    }

    fn ended(&self, why: &Exit) {
        if self.role == Role::Writer && !why.is_abnormal() {
            self.store.claim.lock().take();
        }
    }
}

type Panic = Box<dyn Any + Send>;

fn read(db: &Connection, jobs: &mut Vec<BoxedJob>, log: &mut Log<'_>) -> Option<Panic> {
    let mut panic = None;
    for mut job in jobs.drain(..) {
        if let Err(failure) = job.run(db) {
            panic = log.note(failure);
        }
        job.answer(&Ok(()));
    }
    panic
}

/// One transaction.
fn write(db: &Connection, jobs: &mut Vec<BoxedJob>, log: &mut Log<'_>) -> Option<Panic> {
    let mut panic = None;
    let mut done: Vec<BoxedJob> = Vec::with_capacity(jobs.len());
    for mut job in jobs.drain(..) {
        if db.is_autocommit()
            && let Err(error) = execute(db, "BEGIN IMMEDIATE")
        {
            log.error(&error);
            job.answer(&Err(error));
            continue;
        }
        if let Err(failure) = in_savepoint(db, &mut job) {
            panic = log.note(failure).or(panic);
        }
        done.push(job);
        if db.is_autocommit() {
            // SQLite gave the whole transaction up (disk full, I/O error): nothing of it remains
            let lost = Err(StoreError::Failed("the transaction was rolled back".to_owned()));
            done.drain(..).for_each(|job| job.answer(&lost));
        }
    }
    if !db.is_autocommit() {
        let committed = execute(db, "COMMIT");
        if let Err(error) = &committed {
            log.error(error);
            if !db.is_autocommit() {
                drop(execute(db, "ROLLBACK"));
            }
        }
        done.drain(..).for_each(|job| job.answer(&committed));
    }
    panic
}

fn in_savepoint(db: &Connection, job: &mut BoxedJob) -> Result<(), Failure> {
    if let Err(error) = execute(db, "SAVEPOINT job") {
        return Err(job.fail(error));
    }
    let outcome = job.run(db);
    let end = match &outcome {
        Ok(()) => execute(db, "RELEASE job"),
        Err(_) if db.is_autocommit() => Ok(()),
        Err(_) => execute(db, "ROLLBACK TO job").and_then(|()| execute(db, "RELEASE job")),
    };
    match end {
        Err(error) if outcome.is_ok() => Err(job.fail(error)),
        _ => outcome,
    }
}

fn execute(db: &Connection, sql: &str) -> Result<(), StoreError> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// What goes wrong with the file is said, but not more than once in a while.
pub(super) struct Log<'a> {
    path: &'a Path,
    last: Option<Instant>,
}

impl Log<'_> {
    fn note(&mut self, failure: Failure) -> Option<Panic> {
        match failure {
            Failure::Panic(panic) => return Some(panic),
            Failure::Error(error) => self.error(&error),
        }
        None
    }

    fn error(&mut self, error: &StoreError) {
        let ours = matches!(
            error,
            StoreError::NoRoom(_)
                | StoreError::Corrupt(_)
                | StoreError::Damaged(_)
                | StoreError::Failed(_)
        );
        if ours && self.last.is_none_or(|last| last.elapsed() >= QUIET) {
            self.last = Some(Instant::now());
            tracing::error!(path = %self.path.display(), %error, "the store failed");
        }
    }
}

impl SqliteStore {
    fn connect(&self, role: Role) -> Result<Connection, OpenError> {
        if role == Role::Reader {
            return file::reader(&self.path);
        }
        let mut claim = self.claim.lock();
        if claim.is_none() {
            *claim = Some(file::claim(&self.dir, LOCK)?);
        }
        // another process, or a writer that crashed before it told the caches, may have written
        self.caches.clear();
        file::writer(&self.path, file::STEPS, WRITER_CACHE, self.options.max_bytes)
    }
}
