//! A backend as a node sees it: stores, the processes that serve them, what it shows of itself. Whoever puts a
//! node together knows no more of it, whichever it is.

use crate::{
    MemoryStore, MongoStore, SqliteStore, StoreError, StoreFuture, Stores,
    journal::{self, Journaled},
    mongo,
    shown::{Asked, Gauge, Status, Told},
    sqlite,
};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use supervision::ChildSpec;
use thiserror::Error;

/// How long the store may take to answer when somebody asks whether it does.
const READY: Duration = Duration::from_secs(2);

/// Why a backend cannot be used, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// SQLite's file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The database.
    #[error(transparent)]
    Mongo(#[from] mongo::OpenError),
}

/// A backend that was opened.
pub struct Backend {
    stores: Stores,
    children: Vec<ChildSpec>,
    gauges: Box<dyn Fn() -> Vec<Gauge> + Send + Sync>,
    tell: Box<dyn Fn(Told) + Send + Sync>,
    check: Box<dyn Fn() -> StoreFuture<'static, ()> + Send + Sync>,
    status: Box<dyn Fn() -> Status + Send + Sync>,
    why: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({:?})", self.children)
    }
}

fn gauges(
    [writes, reads]: [Duration; 2],
    [written, whole]: [bool; 2],
    bad: &[(&'static str, u64)],
) -> Vec<Gauge> {
    let mut all = vec![
        Gauge::queue_age("store_writes", writes),
        Gauge::queue_age("store_reads", reads),
        Gauge::good("written", written),
        Gauge::good("whole", whole),
    ];
    all.extend(bad.iter().map(|(table, rows)| Gauge::bad_rows(table, *rows)));
    all
}

impl Backend {
    /// A store in memory: nobody waits for it, and it forgets.
    pub fn memory() -> Self {
        Self {
            stores: Stores::of(Arc::new(MemoryStore::new())),
            children: Vec::new(),
            gauges: Box::new(|| gauges([Duration::ZERO; 2], [true; 2], &[])),
            tell: Box::new(drop),
            check: Box::new(|| Box::pin(async { Ok(()) })),
            status: Box::new(|| vec![("backend", "memory".to_owned())]),
            why: Box::new(|| None),
        }
    }

    /// One SQLite file in that directory. Blocks while it is opened and checked.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn sqlite(dir: &Path) -> Result<Self, BackendError> {
        let store = SqliteStore::open(dir, sqlite::Options::default())?;
        Ok(Self {
            stores: Stores::of(Arc::clone(&store)),
            children: vec![SqliteStore::child(&store)],
            gauges: {
                let store = Arc::clone(&store);
                Box::new(move || gauges(store.queue_ages(), store.is_good(), &store.bad_rows()))
            },
            tell: {
                let store = Arc::clone(&store);
                Box::new(move |told| store.tell(told))
            },
            status: {
                let store = Arc::clone(&store);
                Box::new(move || store.status())
            },
            why: Box::new(|| None),
            check: Box::new(move || {
                let store = Arc::clone(&store);
                Box::pin(async move { store.check().await })
            }),
        })
    }

    /// A MongoDB replica set, and a journal in that directory, of so many bytes, for what is accepted while it is away. One that
    /// cannot be reached is waited for while the children run. Blocks while the journal is opened.
    ///
    /// # Errors
    /// When waiting for it would be in vain, or the journal cannot be used.
    pub async fn mongo(
        options: mongo::Options,
        dir: &Path,
        journal_bytes: usize,
    ) -> Result<Self, BackendError> {
        let store = MongoStore::open(options).await?;
        let journal = journal::Options { max_bytes: journal_bytes, ..journal::Options::default() };
        let journaled = Journaled::open(dir, journal, Arc::clone(&store))?;
        Ok(Self {
            stores: Stores {
                offline: Arc::clone(&journaled) as _,
                sessions: Arc::clone(&journaled) as _,
                accounts: Arc::clone(&journaled) as _,
                quarantine: Arc::clone(&journaled) as _,
                transfer: Arc::clone(&journaled) as _,
                ..Stores::of(Arc::clone(&store))
            },
            children: vec![MongoStore::child(&store), Journaled::child(&journaled)],
            gauges: {
                let (store, journaled) = (Arc::clone(&store), Arc::clone(&journaled));
                Box::new(move || store.gauges().into_iter().chain(journaled.gauges()).collect())
            },
            tell: {
                let store = Arc::clone(&store);
                Box::new(move |told| store.tell(told))
            },
            status: {
                let store = Arc::clone(&store);
                Box::new(move || store.status().into_iter().chain(journaled.status()).collect())
            },
            why: {
                let store = Arc::clone(&store);
                Box::new(move || store.last_error().map(|last| last.why))
            },
            check: Box::new(move || {
                let store = Arc::clone(&store);
                Box::pin(async move { store.check().await })
            }),
        })
    }

    /// Whether [`Backend::sqlite`] would find a store there; else it makes one.
    pub fn sqlite_is_in(dir: &Path) -> bool {
        SqliteStore::is_in(dir)
    }

    /// The stores. They answer while the children run.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The processes that serve them, in the order of their start.
    pub fn children(&self) -> Vec<ChildSpec> {
        self.children.clone()
    }

    /// What it shows of itself at this moment: takes no lock for long, and asks nobody.
    pub fn gauges(&self) -> Vec<Gauge> {
        (self.gauges)()
    }

    /// How it is at this moment, for people.
    pub fn status(&self) -> Status {
        (self.status)()
    }

    /// Has somebody told, in the caller's task, how long each answer took, one that came too late and none
    /// included. The first one only; a store in memory has nothing to tell.
    pub fn tell(&self, told: impl Fn(Asked, Duration) + Send + Sync + 'static) {
        (self.tell)(Box::new(told));
    }

    /// Whether it can keep what it promises to: it is written and read, and says so within two seconds. What it
    /// found out is believed for some seconds.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn check(&self) -> Result<(), StoreError> {
        tokio::time::timeout(READY, (self.check)()).await.unwrap_or(Err(StoreError::Timeout))
    }

    /// The same for people.
    ///
    /// # Errors
    /// What it says instead, and what it last heard of a database that does not answer.
    pub async fn ready(&self) -> Result<(), String> {
        let Err(error) = self.check().await else { return Ok(()) };
        match (self.why)().filter(|_| error.is_away()) {
            Some(why) => Err(format!("{error}: {why}")),
            None => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supervision::{SupervisorSpec, System};

    fn rows(backend: &Backend) -> Vec<(&'static str, &'static str)> {
        backend.gauges().iter().map(|gauge| (gauge.name, gauge.label.1)).collect()
    }

    #[tokio::test]
    async fn every_backend_answers_while_its_children_run_and_shows_the_same_ages() {
        const TABLES: [&str; 6] =
            ["accounts", "blocklists", "offline", "quarantine", "rosters", "sessions"];
        let temp = tempfile::tempdir().unwrap();
        let sqlite = Backend::sqlite(temp.path()).unwrap();
        for (backend, tables) in [(Backend::memory(), &[][..]), (sqlite, &TABLES)] {
            let group = SupervisorSpec::one_for_one();
            let spec = backend.children().into_iter().fold(group, SupervisorSpec::child);
            let root = System::new("tool").start(spec).await.unwrap();
            assert_eq!(backend.check().await, Ok(()));
            let name = "mangrove_queue_age";
            let good = "mangrove_store_good";
            let expected =
                [(name, "store_writes"), (name, "store_reads"), (good, "written"), (good, "whole")];
            let tables = tables.iter().map(|table| ("mangrove_store_bad_rows", *table));
            assert_eq!(rows(&backend), expected.into_iter().chain(tables).collect::<Vec<_>>());
            root.stop().await;
            let served = backend.children().is_empty();
            assert_eq!(backend.check().await.is_ok(), served, "{backend:?} without its children");
        }
    }

    #[test]
    fn a_directory_that_is_in_use_is_an_error_that_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let _first = Backend::sqlite(temp.path()).unwrap();
        let error = Backend::sqlite(temp.path()).unwrap_err().to_string();
        assert!(error.contains("is in use by a running process"), "{error}");
    }
}
