//! Whether the file can be written and read: tried now and then when somebody asks, and at once after something
//! went wrong. What went well is believed for a while: a load balancer that asks every second costs next to nothing.

use super::{SMALL, SqliteStore, file};
use crate::{StoreError, error::LATER};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What a probe writes: pages of its own, as much as a large message.
const PROBE: i32 = 64 << 10;
/// For how long it is believed that the file can be written, and read.
const BELIEVED: Duration = Duration::from_secs(5);
/// The same of what failed.
const FAILED: Duration = Duration::from_secs(1);
/// Reading the whole file may take one part in so many of the time.
const SHARE: u32 = 50;

/// What was found, and until when it is believed.
#[derive(Debug, Default)]
struct Finding {
    error: Option<StoreError>,
    until: Option<Instant>,
}

impl Finding {
    fn is_due(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn found(&mut self, error: Option<StoreError>, took: Duration, path: &Path) {
        match (&self.error, &error) {
            (None, Some(error)) => {
                tracing::error!(path = %path.display(), %error, "the store is not ready");
            }
            (Some(_), None) => tracing::info!(path = %path.display(), "the store is ready again"),
            _ => {}
        }
        let believed = if error.is_some() { FAILED } else { BELIEVED };
        self.until = Some(Instant::now() + believed.max(took.saturating_mul(SHARE)));
        self.error = error;
    }
}

/// What is known of the file.
#[derive(Debug, Default)]
pub(super) struct Health {
    written: Mutex<Finding>,
    whole: Mutex<Finding>,
    bad: [AtomicU64; TABLES.len()],
}

/// Tables with rows that may be such as no program of this version writes: those that can be read are there all the same.
const TABLES: [&str; 6] =
    ["accounts", "blocklists", "offline", "quarantine", "rosters", "sessions"];

impl Health {
    /// Something was asked of the store: its error may be the file's.
    pub(super) fn note<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Err(StoreError::NoRoom(_) | StoreError::Failed(_)) => self.written.lock().until = None,
            Err(error @ StoreError::Damaged(_)) => {
                let mut whole = self.whole.lock();
                // what nobody has read since is as damaged as it was
                whole.until = whole.until.filter(|_| whole.error.is_some());
                whole.error.get_or_insert_with(|| error.clone());
            }
            _ => {}
        }
    }

    /// So many rows of a table cannot be read.
    pub(super) fn unreadable(&self, table: &str, rows: usize) {
        for (_, bad) in TABLES.iter().zip(&self.bad).filter(|(name, _)| **name == table) {
            bad.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn bad_rows(&self) -> [(&'static str, u64); TABLES.len()] {
        let mut all = TABLES.map(|name| (name, 0));
        for ((_, count), bad) in all.iter_mut().zip(&self.bad) {
            *count = bad.load(Ordering::Relaxed);
        }
        all
    }

    /// Whether it can be written, and read, as far as is known.
    pub(super) fn is_good(&self) -> [bool; 2] {
        [&self.written, &self.whole].map(|finding| finding.lock().error.is_none())
    }
}

fn probe(db: &Connection) -> Result<(), StoreError> {
    // the new row first: what the old one occupies does not count as room
    let mut insert = db.prepare_cached("INSERT INTO probe (filler) VALUES (zeroblob(?))")?;
    let id = insert.insert([PROBE])?;
    db.prepare_cached("DELETE FROM probe WHERE id < ?")?.execute([id])?;
    Ok(())
}

/// Reads the file anew, past all caches: as a whole, if it is not too large for it. One that is was found to be
/// damaged by somebody, if it is.
fn look(path: &Path, before: Option<StoreError>) -> Option<StoreError> {
    let looked = file::reader(path).and_then(|db| file::check(&db, path));
    match looked {
        Err(error) => Some(StoreError::Damaged(error.to_string())),
        Ok(true) => None,
        Ok(false) => before,
    }
}

impl SqliteStore {
    /// Whether what is promised can be kept: something can be written, and what there is can be read.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StoreError> {
        // the readers answer
        crate::AccountStore::is_empty(self).await?;
        if self.health.written.lock().is_due() {
            let result = self.write(SMALL, probe, |_, _| ()).await;
            if result == Err(LATER) {
                // nobody could try
                return result;
            }
            self.health.written.lock().found(result.err(), Duration::ZERO, &self.path);
        }
        if self.health.whole.lock().is_due() {
            let (health, path) = (Arc::clone(&self.health), self.path.clone());
            let work = move |_: &Connection| {
                let since = Instant::now();
                let before = health.whole.lock().error.clone();
                let found = look(&path, before);
                health.whole.lock().found(found, since.elapsed(), &path);
                Ok(())
            };
            self.read(work).await?;
        }
        let known = |finding: &Mutex<Finding>| finding.lock().error.clone().map_or(Ok(()), Err);
        known(&self.health.written)?;
        known(&self.health.whole)
    }
}
