//! The processes of the store: each owns one thread with one connection, because SQLite blocks.
//!
//! The writer takes what is queued as one transaction, each job in a savepoint of its own, and
//! answers after the commit: one `fsync` for all. A job that panics is undone and its caller told;
//! the batch is finished, and then the thread ends with the panic, the process with it, and its
//! supervisor starts another.

use super::{
    OpenError, SqliteStore, file,
    job::{BoxedJob, Failure},
    queue::Seat,
};
use crate::StoreError;
use rusqlite::Connection;
use std::{
    any::Any,
    convert::Infallible,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use supervision::{ChildSpec, Cx, Exit, InitError, Process, Shutdown, SupervisorSpec};
use tokio::sync::oneshot;

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
        let store = Arc::clone(store);
        ChildSpec::process::<Worker>(id, move || (Arc::clone(&store), role))
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

type Thread = (oneshot::Receiver<()>, JoinHandle<()>);

/// A process that owns a thread.
pub(super) struct Worker {
    store: Arc<SqliteStore>,
    role: Role,
    seat: Option<Seat<BoxedJob>>,
    /// With what ends when the thread does.
    thread: Option<Thread>,
}

impl Process for Worker {
    type Args = (Arc<SqliteStore>, Role);
    type Msg = Infallible;
    const NAME: &'static str = "sqlite";

    async fn init((store, role): Self::Args, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let queue = store.queue(role);
        let seat = Seat::new(queue);
        let (alive, ended) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let (theirs, stop) = (Arc::clone(&store), seat.stop());
        let body = move || {
            let _alive = alive;
            live(&theirs, role, &stop, ready);
        };
        let name = format!("sqlite-{role:?}").to_lowercase();
        let thread = thread::Builder::new().name(name).spawn(body);
        let thread = thread.map_err(|e| InitError::failed(format!("no thread: {e}")))?;
        let started = is_ready.await;
        cx.publish(&format!("{role:?} of {}", store.path.display()));
        let mut worker = Self { store, role, seat: Some(seat), thread: Some((ended, thread)) };
        match started {
            Ok(Ok(())) => Ok(worker),
            failed => {
                worker.leave().await;
                Err(InitError::failed(match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "its thread ended".to_owned(),
                }))
            }
        }
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let Some((ended, _)) = &mut self.thread else { return Exit::error("it has no thread") };
        loop {
            tokio::select! {
                biased;
                _ = &mut *ended => break,
                _ = cx.next() => {}
            }
        }
        match self.thread.take().map(|(_, thread)| thread.join()) {
            // so that the crash report is this process's
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => Exit::error("its thread ended"),
        }
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Infallible>) {
        self.leave().await;
        if self.role == Role::Writer && !why.is_abnormal() {
            self.store.claim.lock().take();
        }
    }
}

impl Worker {
    /// Tells the thread to stop, waits for it, and refuses what nobody will take any more.
    async fn leave(&mut self) {
        drop(self.seat.take());
        if let Some((ended, thread)) = self.thread.take() {
            // an error: the sender is gone, and so is the thread
            drop(ended.await);
            if thread.join().is_err() {
                tracing::error!(path = %self.store.path.display(), "the thread panicked");
            }
        }
        self.store.queue(self.role).abandon();
    }
}

/// A thread's life.
fn live(
    store: &SqliteStore,
    role: Role,
    stop: &AtomicBool,
    ready: oneshot::Sender<Result<(), OpenError>>,
) {
    // the thread of a writer that was killed may still be in its last transaction
    let _only = (role == Role::Writer).then(|| store.writing.lock());
    let db = match store.connect(role) {
        Ok(db) => db,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    let queue = store.queue(role);
    let mut log = Log { path: &store.path, last: None };
    let mut jobs = Vec::new();
    let most = if role == Role::Writer { BATCH } else { 1 };
    while queue.take(stop, most, &mut jobs) {
        let panic = match role {
            Role::Writer => write(&db, &mut jobs, &mut log),
            Role::Reader => read(&db, &mut jobs, &mut log),
        };
        if let Some(panic) = panic {
            drop(db);
            std::panic::resume_unwind(panic);
        }
    }
    if role == Role::Writer {
        let folded = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            // nothing is lost: it is done at the next start
            tracing::warn!(path = %store.path.display(), %error, "no checkpoint at the end");
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
struct Log<'a> {
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
            *claim = Some(file::claim(&self.dir)?);
        }
        // another process, or a writer that crashed before it told the caches, may have written
        self.caches.clear();
        file::writer(&self.path, &self.options)
    }
}
