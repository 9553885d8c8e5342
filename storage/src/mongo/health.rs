//! Whether the database can be written, tried now and then when somebody asks; and what the store shows of itself.

use super::{LastError, MongoStore};
use crate::{Gauge, StoreError, shown::Status};
use mongodb::bson::{DateTime, Document, doc};
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// For how long it is believed that the database can be written.
const BELIEVED: Duration = Duration::from_secs(5);

/// Collections with documents that may be such as no program of this version writes: those that can be read are there
/// all the same.
const COLLECTIONS: [&str; 6] =
    ["accounts", "blocklists", "offline", "quarantine", "rosters", "sessions"];

/// What is known of the database.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When it was written last.
    written: Mutex<Option<Instant>>,
    bad: [AtomicU64; COLLECTIONS.len()],
}

impl Health {
    /// So many documents of an aggregate cannot be read.
    pub(super) fn unreadable(&self, aggregate: &str, documents: usize) {
        for (_, bad) in COLLECTIONS.iter().zip(&self.bad).filter(|(name, _)| **name == aggregate) {
            bad.fetch_add(documents as u64, Ordering::Relaxed);
        }
    }
}

impl MongoStore {
    /// Whether what is promised can be kept: a majority of the members writes.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StoreError> {
        let known = *self.health.written.lock();
        if known.is_some_and(|then| then.elapsed() < BELIEVED) && !self.is_away() {
            return Ok(());
        }
        let call = self.writes(0);
        let written = call.run(async {
            call.sent();
            let probe = doc! { "_id": format!("probe {}", self.node) };
            let now = doc! { "$set": { "at": DateTime::now() } };
            self.of::<Document>("meta").update_one(probe, now).upsert(true).await?;
            Ok(())
        });
        let written = written.await;
        *self.health.written.lock() = written.is_ok().then(Instant::now);
        written
    }

    /// How many documents could not be read, by aggregate, each time that they were met.
    pub fn bad_rows(&self) -> [(&'static str, u64); COLLECTIONS.len()] {
        let mut all = COLLECTIONS.map(|name| (name, 0));
        for ((_, count), bad) in all.iter_mut().zip(&self.health.bad) {
            *count = bad.load(Ordering::Relaxed);
        }
        all
    }

    /// How it is, for people.
    pub(crate) fn status(&self) -> Status {
        let calls = format!(
            "{}, of which {} wait for another of the same user",
            self.room.calls(),
            self.turns.waiting()
        );
        let bad: u64 = self.bad_rows().iter().map(|(_, rows)| rows).sum();
        let last = self.last_error().map_or_else(
            || "none".to_owned(),
            |LastError { at, why }| {
                let ago = at.elapsed().unwrap_or_default().as_secs();
                format!("{ago} s ago: {why}")
            },
        );
        vec![
            ("backend", "mongodb".to_owned()),
            ("at", self.options.place()),
            ("database", self.db.name().to_owned()),
            (
                "breaker",
                if self.is_away() { "open: calls are refused" } else { "closed" }.to_owned(),
            ),
            ("calls", calls),
            ("transactions tried again", self.retries.load(Ordering::Relaxed).to_string()),
            ("transactions of dead nodes", self.abandoned.load(Ordering::Relaxed).to_string()),
            ("documents that could not be read", bad.to_string()),
            ("last error", last),
        ]
    }

    /// What it shows of itself.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let mut all = vec![
            Gauge::good("reached", !self.is_away()),
            Gauge::calls("asking", self.room.calls()),
            Gauge::calls("waiting", self.turns.waiting()),
            Gauge::retries("transactions", self.retries.load(Ordering::Relaxed)),
            Gauge::retries("abandoned", self.abandoned.load(Ordering::Relaxed)),
        ];
        all.extend(self.bad_rows().iter().map(|(table, rows)| Gauge::bad_rows(table, *rows)));
        all
    }
}
