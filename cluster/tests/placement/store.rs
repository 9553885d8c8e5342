//! The store that all nodes share: what is written takes its time, arrives although nobody waits for it any more, and may not be answered. And
//! what of it would break a promise.

use cluster::{
    BoxFuture,
    placement::{EpochError, Epochs, OldEpoch},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use supervision::{System, Task, schedule::Schedule};
use tokio::{sync::oneshot, time::sleep};

/// The increments of a key, by their numbers.
pub type Ids = BTreeSet<u64>;

#[derive(Default)]
struct Row {
    epoch: u64,
    ids: Ids,
    /// Who has written in which epoch.
    writers: BTreeMap<u64, u64>,
}

pub struct Store {
    schedule: Schedule,
    rows: Mutex<BTreeMap<String, Row>>,
    pub wrong: Mutex<Vec<String>>,
    /// Writes that were refused.
    pub refused: Mutex<u64>,
    /// It is slow at times, and does not answer.
    pub troubles: AtomicBool,
    /// Its own process, which no node's end ends.
    system: OnceLock<System>,
    this: Weak<Store>,
}

impl Store {
    pub fn new(schedule: &Schedule) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            schedule: schedule.clone(),
            rows: Mutex::default(),
            wrong: Mutex::default(),
            refused: Mutex::default(),
            troubles: AtomicBool::new(false),
            system: OnceLock::new(),
            this: Weak::clone(this),
        })
    }

    pub fn is_wrong(&self, what: String) {
        self.wrong.lock().push(what);
    }

    fn troubled(&self, of: u64) -> bool {
        self.troubles.load(Relaxed) && self.schedule.below(of) == 0
    }

    async fn takes_time(&self) {
        let most = if self.troubled(40) { 15_000 } else { 10 };
        sleep(Duration::from_millis(self.schedule.below(most))).await;
    }

    pub async fn read(&self, key: &str) -> Ids {
        self.takes_time().await;
        self.rows.lock().get(key).map(|row| row.ids.clone()).unwrap_or_default()
    }

    /// What there is at last.
    pub fn truth(&self, key: &str) -> Ids {
        self.rows.lock().get(key).map(|row| row.ids.clone()).unwrap_or_default()
    }

    pub fn epoch(&self, key: &str) -> u64 {
        self.rows.lock().get(key).map_or(0, |row| row.epoch)
    }

    fn writes(&self, key: &str, writer: u64, epoch: u64, ids: Ids) -> Result<(), OldEpoch> {
        let mut rows = self.rows.lock();
        let row = rows.entry(key.to_owned()).or_default();
        if row.epoch != epoch {
            *self.refused.lock() += 1;
            return Err(OldEpoch { mine: epoch, now: row.epoch });
        }
        let first = *row.writers.entry(epoch).or_insert(writer);
        if first != writer {
            self.is_wrong(format!("two write {key} in epoch {epoch}"));
        }
        row.ids = ids;
        Ok(())
    }

    /// Writes all of a key: whoever waits for it may be gone meanwhile. `None`: there is no answer.
    pub async fn write(
        &self,
        key: &str,
        writer: u64,
        epoch: u64,
        ids: Ids,
    ) -> Option<Result<(), OldEpoch>> {
        let (done, answer) = oneshot::channel();
        let (store, key) = (self.this.upgrade()?, key.to_owned());
        let system = self.system.get_or_init(|| System::scheduled("store", self.schedule.clone()));
        Task::alone(system, "/write", async move {
            store.takes_time().await;
            let written = store.writes(&key, writer, epoch, ids);
            if !store.troubled(20) {
                // nobody waits for it, it may be
                let _heard = done.send(written);
            }
        });
        answer.await.ok()
    }
}

impl Epochs for Store {
    fn begin<'a>(&'a self, _: &'a str, key: &'a str) -> BoxFuture<'a, Result<u64, EpochError>> {
        Box::pin(async move {
            self.takes_time().await;
            if self.troubled(20) {
                return Err(EpochError("away".into()));
            }
            let mut rows = self.rows.lock();
            let row = rows.entry(key.to_owned()).or_default();
            row.epoch += 1;
            Ok(row.epoch)
        })
    }
}
