//! The embedded store: one SQLite file, `core.sqlite`, in the data directory.
//!
//! In reading order: `file` (opening, locking, schema) · `job` · `worker` (the processes that
//! own the threads) · `cache` · then one file an aggregate.
//!
//! Promises: a write that was acknowledged is on the disk (`fsync` before the answer; many writes
//! share one). An operation is atomic. A full queue refuses at once; a call that is not answered
//! within [`Options::deadline`] ends with [`StoreError::Timeout`]. One process at a time uses a
//! directory. Who changes the file with other tools does so while the node is stopped.
//!
//! The store works while its [child](SqliteStore::child) runs, in a node's tree or in a small
//! system of its own:
//!
//! ```
//! use storage::{Account, AccountStore, SqliteStore, sqlite::Options};
//! use supervision::{SupervisorSpec, System};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let temp = tempfile::tempdir().unwrap();
//! # let dir = temp.path();
//! let store = SqliteStore::open(dir, Options::default()).unwrap();
//! let tree = SupervisorSpec::one_for_one().child(SqliteStore::child(&store));
//! let root = System::new("tool").start(tree).await.unwrap();
//! let new = vec![("romeo@example.org".parse().unwrap(), Account::default())];
//! assert_eq!(store.create(new).await, Ok(1));
//! root.stop().await; // finishes what is queued and closes the file
//! # });
//! ```

mod accounts;
pub(crate) mod file;
mod health;
mod job;
mod lists;
mod offline;
mod quarantine;
mod rosters;
mod sessions;
#[cfg(test)]
mod tests;
mod transfer;
mod worker;

use crate::{
    StoreError,
    cache::{Cache, Caches},
    error::LATER,
    shown::{Asked, Status, Told},
};
use health::Health;
use job::{BoxedJob, Task};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use supervision::{ChildSpec, Queue};
use thiserror::Error;
use tokio::sync::oneshot;
use worker::Role;
use xmpp::jid::BareJid;

/// The name of the file.
const FILE: &str = "core.sqlite";

/// That of its lock.
const LOCK: &str = "core.lock";

/// The writer's page cache in KiB.
const WRITER_CACHE: u32 = 64 << 10;

/// What a job holds that has no content of a client's making: addresses, keys, a change of a roster.
const SMALL: usize = 8 << 10;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that read.
    pub readers: usize,
    /// Jobs that wait for the writer, and as many for the readers; more are refused.
    pub queue: usize,
    /// What the jobs that wait hold together, in bytes; more are refused.
    pub queue_bytes: usize,
    /// How long a call waits for its answer.
    pub deadline: Duration,
    /// Users whose accounts are cached, of ordinary size.
    pub cached_users: usize,
    /// Contacts in cached rosters, of ordinary size (256 bytes), and as much room for blocklists.
    pub cached_contacts: usize,
    /// The most bytes the file may have; writes beyond it fail with [`StoreError::NoRoom`].
    pub max_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 2,
            queue: 4096,
            queue_bytes: 64 << 20,
            deadline: Duration::from_secs(10),
            cached_users: 50_000,
            cached_contacts: 200_000,
            max_bytes: None,
        }
    }
}

/// Why the file cannot be used, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or directory cannot be made or opened.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data directory {} is in use by a running process: stop it first, or ask it instead",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer version of the program wrote it.
    #[error(
        "{} has schema version {found}, this program knows versions up to {known}: run the version \
         that wrote it, or restore a backup made before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: usize,
    },
    /// It is no SQLite file, or not whole.
    #[error(
        "{} is damaged ({why}): restore it from a backup, or rescue what is readable with \
         `sqlite3 {0} .recover | sqlite3 rescued.sqlite` and put rescued.sqlite in its place, or \
         move it away to start with an empty store",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// There is no room for it.
    #[error(
        "no room for {}: {why}; make room on the disk that is mounted at {}",
        path.display(), disk.display()
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Where the disk is mounted that it is on.
        disk: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Anything else.
    #[error("cannot open {}: {why}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// All aggregates of one node, in one file.
pub struct SqliteStore {
    /// Told how long each answer took.
    told: OnceLock<Told>,
    dir: PathBuf,
    path: PathBuf,
    options: Options,
    /// The lock on the directory; given back when the writer was stopped in good order.
    claim: Mutex<Option<File>>,
    /// Held by the thread that writes.
    writing: Mutex<()>,
    caches: Arc<Caches>,
    health: Arc<Health>,
    writes: Arc<Queue<BoxedJob>>,
    reads: Arc<Queue<BoxedJob>>,
}

impl SqliteStore {
    /// Takes the directory for this process, makes the file if it is not there (mode 0600, the
    /// directory 0700), checks it and brings its schema up to date. Blocks for it.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the file.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        let claim = file::claim(dir, LOCK)?;
        let path = dir.join(FILE);
        file::make(&path)?;
        let db = file::writer(&path, file::STEPS, WRITER_CACHE, options.max_bytes)?;
        file::check(&db, &path)?;
        drop(db);
        Ok(Arc::new(Self {
            told: OnceLock::new(),
            dir: dir.to_owned(),
            path,
            claim: Mutex::new(Some(claim)),
            writing: Mutex::new(()),
            health: Arc::default(),
            caches: Arc::new(Caches::new(options.cached_users, options.cached_contacts)),
            writes: Arc::new(Queue::new(options.queue, options.queue_bytes)),
            reads: Arc::new(Queue::new(options.queue, options.queue_bytes)),
            options,
        }))
    }

    /// Whether there is a store in that directory, as far as can be told: one that may not be looked into is for
    /// [`SqliteStore::open`] to say so.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FILE).try_exists().unwrap_or(true)
    }

    /// The supervisor of its writer and readers. While it does not run, every call is answered
    /// with [`StoreError::Unavailable`]. Stopped, it finishes what is queued, folds the log into
    /// the file, closes it, and gives the directory back.
    pub fn child(store: &Arc<Self>) -> ChildSpec {
        worker::tree(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has somebody told, in the caller's task, how long each answer took, one that came too late and
    /// none included. The first one only.
    pub fn tell(&self, told: Told) {
        drop(self.told.set(told));
    }

    /// How long the oldest job has waited for the writer, and for the readers.
    pub fn queue_ages(&self) -> [Duration; 2] {
        [self.writes.age(), self.reads.age()]
    }

    /// How many rows could not be read, by table, each time that they were met.
    pub fn bad_rows(&self) -> [(&'static str, u64); 6] {
        self.health.bad_rows()
    }

    /// Whether something can be written, and what is there be read, as far as is known.
    pub fn is_good(&self) -> [bool; 2] {
        self.health.is_good()
    }

    /// How it is, for people.
    pub fn status(&self) -> Status {
        let size = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        let [writes, reads] = self.queue_ages().map(|age| format!("{:.3} s", age.as_secs_f64()));
        let bad: u64 = self.bad_rows().iter().map(|(_, rows)| rows).sum();
        vec![
            ("backend", "sqlite".to_owned()),
            ("file", self.path.display().to_string()),
            ("size", format!("{size} bytes")),
            ("oldest write that waits", writes),
            ("oldest read that waits", reads),
            ("rows that could not be read", bad.to_string()),
        ]
    }

    fn queue(&self, role: Role) -> &Arc<Queue<BoxedJob>> {
        match role {
            Role::Writer => &self.writes,
            Role::Reader => &self.reads,
        }
    }

    /// Has `work`, which holds about as many bytes, done in a transaction; `after` tells the caches in the
    /// order of the commits.
    async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        after: impl FnOnce(&Caches, Option<&T>) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Role::Writer, bytes, work, after).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Role::Reader, SMALL, work, |_, _| ()).await
    }

    /// Reads through a cache.
    async fn cached<V: Clone + Send + 'static>(
        &self,
        cache: &Cache<V>,
        user: &BareJid,
        load: impl FnOnce(&Connection, &BareJid) -> Result<V, StoreError> + Send + 'static,
    ) -> Result<V, StoreError> {
        if let Some(value) = cache.get(user) {
            return Ok(value);
        }
        let mark = cache.mark(user);
        let key = user.clone();
        let value = self.read(move |db| load(db, &key)).await?;
        cache.fill(user, mark, value.clone());
        Ok(value)
    }

    async fn ask<T: Send + 'static>(
        &self,
        role: Role,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        after: impl FnOnce(&Caches, Option<&T>) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let caches = Arc::clone(&self.caches);
        let task = Task { work: Some(work), after, caches, result: None, reply };
        if self.queue(role).push(Box::new(task), bytes).is_err() {
            return Err(LATER);
        }
        let since = Instant::now();
        let result = match tokio::time::timeout(self.options.deadline, answer).await {
            Ok(Ok(result)) => result,
            // dropped: it was not done
            Ok(Err(_)) => Err(LATER),
            Err(_) => Err(StoreError::Timeout),
        };
        self.health.note(&result);
        if let Some(told) = self.told.get() {
            let asked = match role {
                Role::Writer => Asked::Write,
                Role::Reader => Asked::Read,
            };
            told(asked, since.elapsed());
        }
        result
    }
}

/// SQLite's integers have a sign; nothing here comes near the end of them.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn uint(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// A limit on rows.
fn rows(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
