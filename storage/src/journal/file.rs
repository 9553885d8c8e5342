//! The journal's file, `journal.sqlite`, and the thread that reads and writes it: many jobs share one transaction, and one
//! `fsync`.

use super::{
    Options,
    op::{Op, OpId},
    rows::{Place, Row, Rows},
};
use crate::{
    StoreError,
    error::LATER,
    offline::Kept,
    sqlite::{OpenError, file, int, uint},
};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use supervision::{Exit, InitError, Queue, Thread};
use tokio::sync::{Notify, oneshot};
use xmpp::jid::BareJid;

const FILE: &str = "journal.sqlite";
const LOCK: &str = "journal.lock";
const STEPS: &[&str] = &[include_str!("schema-1.sql")];

/// Page cache in KiB.
const CACHE: u32 = 8 << 10;

/// The most jobs of one transaction.
const BATCH: usize = 256;

/// How an operation ended that was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Done {
    /// It is in the database, or will never be.
    Away(u64),
    /// It could not be read.
    Aside(u64),
}

/// What was found under a number.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Op(OpId, Op),
    Damaged,
    Nothing,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Job {
    Append { place: Place, row: Row, name: OpId, text: String, frozen: Vec<u8>, reply: Answer<()> },
    Step { done: Option<Done>, next: Option<u64>, reply: Answer<Found> },
}

/// The file, for whoever asks.
pub(super) struct Log {
    dir: PathBuf,
    pub(super) path: PathBuf,
    options: Options,
    /// The lock on the file; given back when the thread was stopped in good order.
    claim: Mutex<Option<File>>,
    /// Held by the thread that writes.
    writing: Mutex<()>,
    pub(super) rows: Arc<Mutex<Rows>>,
    /// There is something in it.
    pub(super) filled: Notify,
    queue: Arc<Queue<Job>>,
}

impl Log {
    pub(super) fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let claim = file::claim(dir, LOCK)?;
        let path = dir.join(FILE);
        file::make(&path)?;
        let db = file::writer(&path, STEPS, CACHE, None)?;
        file::check(&db, &path)?;
        let rows = load(&db, &path)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            claim: Mutex::new(Some(claim)),
            writing: Mutex::new(()),
            rows: Arc::new(Mutex::new(rows)),
            filled: Notify::new(),
            queue: Arc::new(Queue::new(options.queue, options.max_bytes)),
            options,
        })
    }

    /// Writes an operation behind all others of its user: it is on the disk when this returns.
    pub(super) async fn append(&self, name: OpId, op: Op) -> Result<(), StoreError> {
        let (user, kept, at) = (op.user().clone(), op.kept(), now());
        let (text, frozen) = op.encode()?;
        let row = Row { user, at, bytes: text.len() + frozen.len(), kept };
        let bytes = row.bytes;
        let place = Place::reserve(&self.rows, row.clone(), self.options.max_bytes).ok_or(LATER)?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Append { place, row, name, text, frozen, reply };
        self.ask(job, bytes, answer).await
    }

    /// Forgets what is done, and reads what is next, in one transaction.
    pub(super) async fn step(
        &self,
        done: Option<Done>,
        next: Option<u64>,
    ) -> Result<Found, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Step { done, next, reply }, size_of::<Job>(), answer).await
    }

    async fn ask<T>(
        &self,
        job: Job,
        bytes: usize,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.queue.push(job, bytes).map_err(|_| LATER)?;
        match tokio::time::timeout(self.options.deadline, answer).await {
            Ok(Ok(result)) => result,
            // dropped: it was not done
            Ok(Err(_)) => Err(LATER),
            Err(_) => Err(StoreError::Timeout),
        }
    }
}

/// What the thread has.
pub(super) struct Open<'a> {
    db: Connection,
    /// The thread of one that was killed may still be in its last transaction.
    _only: MutexGuard<'a, ()>,
}

impl Thread for Log {
    type Job = Job;
    type State<'a> = Open<'a>;
    const NAME: &'static str = "journal";

    fn queue(&self) -> &Arc<Queue<Job>> {
        &self.queue
    }

    fn open(&self) -> Result<Open<'_>, InitError> {
        let only = self.writing.lock();
        let open = || -> Result<Connection, OpenError> {
            let mut claim = self.claim.lock();
            if claim.is_some() {
                return file::writer(&self.path, STEPS, CACHE, None);
            }
            // another process may have had it meanwhile
            let new = file::claim(&self.dir, LOCK)?;
            let db = file::writer(&self.path, STEPS, CACHE, None)?;
            *self.rows.lock() = load(&db, &self.path)?;
            *claim = Some(new);
            Ok(db)
        };
        let db = open().map_err(|error| InitError::failed(error.to_string()))?;
        Ok(Open { db, _only: only })
    }

    fn most(&self) -> usize {
        BATCH
    }

    fn work(&self, Open { db, .. }: &mut Open<'_>, jobs: &mut Vec<Job>) {
        let mut done = Vec::with_capacity(jobs.len());
        let mut committed = execute(db, "BEGIN IMMEDIATE");
        for job in jobs.drain(..) {
            let result = committed.clone().and_then(|()| job.run(db));
            if committed.is_ok() && db.is_autocommit() {
                // SQLite gave the whole transaction up (disk full, I/O error): nothing of it remains
                committed = Err(StoreError::Failed("the transaction was rolled back".to_owned()));
            }
            done.push((job, result));
        }
        committed = committed.and_then(|()| execute(db, "COMMIT"));
        if let Err(error) = &committed {
            tracing::error!(path = %self.path.display(), %error, "the journal failed");
            if !db.is_autocommit() {
                drop(execute(db, "ROLLBACK"));
            }
        }
        for (job, result) in done {
            job.answer(self, committed.clone().and(result));
        }
    }

    fn status(&self) -> String {
        self.path.display().to_string()
    }

    fn close(&self, Open { db, .. }: Open<'_>) {
        let folded = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            // nothing is lost: it is done at the next start
            tracing::warn!(path = %self.path.display(), %error, "no checkpoint at the end");
        }
    }

    fn ended(&self, why: &Exit) {
        if !why.is_abnormal() {
            self.claim.lock().take();
        }
    }
}

impl Job {
    fn run(&self, db: &Connection) -> Result<Found, StoreError> {
        match self {
            Self::Append { place, row, name, text, frozen, .. } => {
                let sql = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
                db.prepare_cached(sql)?.execute(params![
                    int(place.id),
                    row.user.as_str(),
                    int(row.at),
                    name.0,
                    int(row.bytes as u64),
                    int(row.kept.messages as u64),
                    int(row.kept.bytes as u64),
                    text,
                    frozen,
                ])?;
                Ok(Found::Nothing)
            }
            Self::Step { done, next, .. } => {
                match done {
                    Some(Done::Away(id)) => delete(db, *id)?,
                    Some(Done::Aside(id)) => put_aside(db, *id)?,
                    None => {}
                }
                next.map_or(Ok(Found::Nothing), |id| read(db, id))
            }
        }
    }

    /// `result` is that of a commit.
    fn answer(self, log: &Log, result: Result<Found, StoreError>) {
        // who asked may have gone
        match self {
            Self::Append { place, reply, .. } => {
                let result = result.map(|_| place.fill());
                log.filled.notify_one();
                drop(reply.send(result));
            }
            Self::Step { done, reply, .. } => {
                if let (Ok(_), Some(Done::Away(id) | Done::Aside(id))) = (&result, done) {
                    log.rows.lock().remove(id);
                }
                drop(reply.send(result));
            }
        }
    }
}

fn execute(db: &Connection, sql: &str) -> Result<(), StoreError> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn delete(db: &Connection, id: u64) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM journal WHERE id = ?")?.execute([int(id)])?;
    Ok(())
}

fn put_aside(db: &Connection, id: u64) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO damaged SELECT id, user, at, name, op, frozen FROM journal
               WHERE id = ?";
    db.prepare_cached(sql)?.execute([int(id)])?;
    delete(db, id)
}

fn read(db: &Connection, id: u64) -> Result<Found, StoreError> {
    let sql = "SELECT name, op, frozen, user FROM journal WHERE id = ?";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_row([int(id)], |row| {
        let (name, text, frozen): (Option<[u8; 16]>, _, Option<Vec<u8>>) =
            (row.get(0).ok(), row.get_ref(1)?, row.get(2).ok());
        let op = text.as_str().ok().zip(frozen).and_then(|(text, bytes)| Op::decode(text, bytes));
        // one that became another user's is nobody's
        let op = op.filter(|op| row.get_ref(3).is_ok_and(|u| u.as_str() == Ok(op.user().as_str())));
        Ok(name.zip(op).map_or(Found::Damaged, |(name, op)| Found::Op(OpId(name), op)))
    });
    Ok(found.optional()?.unwrap_or(Found::Nothing))
}

/// What the last process left. What belongs to nobody is put aside.
fn load(db: &Connection, path: &Path) -> Result<Rows, OpenError> {
    let load = || -> Result<Rows, StoreError> {
        let sql = "SELECT id, user, at, bytes, messages, weight FROM journal ORDER BY id";
        let (mut rows, mut damaged) = (Rows::default(), Vec::new());
        let mut select = db.prepare(sql)?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let id = uint(row.get(0)?);
            let number = |n| row.get(n).map_or(0, uint);
            let size = |n| usize::try_from(number(n)).unwrap_or_default();
            match row.get_ref(1)?.as_str().ok().and_then(|user| user.parse::<BareJid>().ok()) {
                Some(user) => {
                    let kept = Kept { messages: size(4), bytes: size(5) };
                    rows.insert(id, Row { user, at: number(2), bytes: size(3), kept });
                }
                None => damaged.push(id),
            }
        }
        for id in damaged {
            tracing::error!(path = %path.display(), id, "journaled for nobody: see the table damaged");
            put_aside(db, id)?;
        }
        Ok(rows)
    };
    load().map_err(|error| match error {
        StoreError::Damaged(why) => OpenError::Damaged { path: path.to_owned(), why },
        error => OpenError::Failed { path: path.to_owned(), why: error.to_string() },
    })
}

/// In milliseconds of the epoch.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
