//! Epochs: how a store tells the owner of a key from one before it, whatever each of them believes.

use crate::BoxFuture;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt, future::ready, sync::Arc};
use thiserror::Error;

/// The store did not answer; what it says.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the store has no epoch: {0}")]
pub struct EpochError(pub Arc<str>);

/// Where epochs come from: the store that has what the owners write. Never from a registry, which may forget them.
///
/// What a store has to do: it keeps a number with each key, beginning at 0. [`Epochs::begin`] adds 1 and returns it, as one operation, on
/// disk before it answers. Each write of an owner names its epoch and is refused when the key's is larger, in the operation that writes.
/// In SQLite: `UPDATE .. SET epoch = epoch + 1 .. RETURNING epoch`, and `.. WHERE epoch = ?` with each write in its transaction; in
/// MongoDB: `findOneAndUpdate` with `$inc` and `upsert`, majority write concern, and the epoch in the filter of each write.
/// [`MemoryStore`] is the model.
pub trait Epochs: Send + Sync + 'static {
    /// Another owner of that key begins: its epoch, larger than any before. From then on no write of an earlier one is taken.
    ///
    /// # Errors
    /// When the store does not answer. It may have counted nevertheless: numbers may be left out.
    fn begin<'a>(&'a self, kind: &'a str, key: &'a str) -> BoxFuture<'a, Result<u64, EpochError>>;
}

/// Another owner has begun since.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("epoch {mine} is over, it is {now}")]
pub struct OldEpoch {
    /// Of who wanted to write.
    pub mine: u64,
    /// Of the owner that began last.
    pub now: u64,
}

/// A store in memory, for tests and examples: a value of any size for each key, as many as are written.
#[derive(Default)]
pub struct MemoryStore(Mutex<BTreeMap<(String, String), (u64, Bytes)>>);

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} keys)", self.0.lock().len())
    }
}

fn row(kind: &str, key: &str) -> (String, String) {
    (kind.to_owned(), key.to_owned())
}

impl MemoryStore {
    /// What was written last, and the key's epoch. Empty and 0 of a key that nobody has begun.
    pub fn read(&self, kind: &str, key: &str) -> (u64, Bytes) {
        self.0.lock().get(&row(kind, key)).cloned().unwrap_or_default()
    }

    /// Writes as the owner with that epoch.
    ///
    /// # Errors
    /// When another has begun since.
    pub fn write(&self, kind: &str, key: &str, epoch: u64, value: Bytes) -> Result<(), OldEpoch> {
        let mut rows = self.0.lock();
        let row = rows.entry(row(kind, key)).or_default();
        if row.0 != epoch {
            return Err(OldEpoch { mine: epoch, now: row.0 });
        }
        row.1 = value;
        Ok(())
    }
}

impl Epochs for MemoryStore {
    fn begin<'a>(&'a self, kind: &'a str, key: &'a str) -> BoxFuture<'a, Result<u64, EpochError>> {
        let mut rows = self.0.lock();
        let row = rows.entry(row(kind, key)).or_default();
        row.0 += 1;
        Box::pin(ready(Ok(row.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_owner_before_does_not_write() {
        let store = MemoryStore::default();
        assert_eq!(store.begin("room", "tea").await, Ok(1));
        store.write("room", "tea", 1, "one".into()).unwrap();
        assert_eq!(store.begin("room", "tea").await, Ok(2));
        let refused = store.write("room", "tea", 1, "late".into());
        assert_eq!(refused, Err(OldEpoch { mine: 1, now: 2 }));
        assert_eq!(store.read("room", "tea"), (2, "one".into()));
        assert_eq!(store.read("node", "tea"), (0, Bytes::new()));
    }
}
