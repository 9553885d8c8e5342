//! The shared store: a MongoDB replica set, for the nodes of a cluster.
//!
//! In reading order: `options` · `connect` (what the server has to be) · `schema` · `keeper` (the process) · `call` (deadline,
//! errors) with `failure`, `breaker` and `turns` · `transaction` with `numbers` and `abandoned` · `document` · then one file an aggregate.
//!
//! Promises: a write that was acknowledged is in the journals of a majority of the members. An operation is atomic. Every
//! call ends within [`Options::deadline`]: with [`StoreError::Timeout`] if it may have been done, with
//! [`StoreError::Unavailable`] if it was certainly not. After three calls in a row that the database did not answer, all
//! are refused at once until it answers a ping.
//!
//! A replica set is needed for transactions, if only of one member, and MongoDB 5.0 or later. Each operation of a user's
//! that changes more than one document is a transaction that begins with the user's document in `users`: so two of one user
//! conflict and one of them is tried again, limits are exact, and nothing is written for a user without an account. One that a node
//! has left open is undone by whoever it is in the way of, a second after the node was heard of last.
//!
//! | collection | document |
//! |---|---|
//! | `users` | `_id` bare JID, `host`, `created` (ms), `disabled`, `keys` [`{hash, salt, iterations, stored_key, server_key}`], `origin` `{id, fingerprint, gone}` or null; the roster's `ver`, `floor`, `removed` [`{j, v}`], `rev` (another one with every change); `blocked` [JID]; `activity` `{at, status}`; `last` number of a message; `most` `{n, b, at}`, no more than these are kept for the user as long as `at` is `last` (else nobody has counted); `turn`, which counts transactions; `op` `{<node>: {i, n}}`: id of the last operation of that node, numbers of its messages |
//! | `roster` | `_id` `{u, j}`, `u` user, `item` as [`RosterItem`](crate::RosterItem) |
//! | `messages` | `_id` number, `u` user, `at` (ms), `from` bare address or nothing, `b` bytes, `x` XML, `w` waits for nobody, `h` keys of the sessions that hold it, `d` one of them has it, `s` strikes. One that cannot be read has `damaged` instead of `u` |
//! | `sessions` | `_id` key, `u`, `epoch`, `until`, `handled`, `frozen` |
//! | `quarantine` | `_id` number, `u`, `at`, `since`, `from`, `b`, `x` |
//! | `vcards` | `_id` user, `x` |
//! | `private` | `_id` `{u, ns, name}`, `u`, `x` |
//! | `meta` | `schema` with its `version`, `lock` of who brings it up to date, `probe <node>`, `node <node>` with the `process` that has the name |
//!
//! The store works while its [child](MongoStore::child) runs.

mod abandoned;
mod accounts;
mod apply;
mod breaker;
mod call;
mod connect;
mod document;
mod existing;
mod failure;
mod health;
mod keeper;
mod known;
mod lists;
mod messages;
mod numbers;
mod offline;
mod options;
mod quarantine;
mod room;
mod rosters;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod transaction;
mod transfer;

pub use breaker::LastError;
pub use existing::{
    Existing, ExistingChange, ExistingChanges, ExistingOptions, ExistingUser, Unreadable, filter,
};
pub use options::{OpenError, Options, WriteConcern};

use crate::{
    shown::{Asked, Told},
    turns::Turns,
};
use breaker::Breaker;
use health::Health;
use known::Known;
use mongodb::{Client, Collection, Database};
use numbers::Numbers;
use room::Room;
use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// All aggregates, in one database.
pub struct MongoStore {
    /// Told how long each answer took.
    told: OnceLock<Told>,
    options: Options,
    client: Client,
    db: Database,
    concern: mongodb::options::WriteConcern,
    /// The node's name, as that of a field.
    node: String,
    /// The database was found to be one that can be used.
    ready: AtomicBool,
    /// Its process runs.
    kept: AtomicBool,
    breaker: Breaker,
    turns: Turns,
    room: Room,
    numbers: Numbers,
    health: Health,
    /// What was last seen of users, for when the database is away.
    known: Known,
    /// Transactions that were tried again.
    retries: AtomicU64,
    /// Transactions that were undone, since their nodes had died.
    abandoned: AtomicU64,
    /// Somebody looks for such.
    looks: tokio::sync::Mutex<()>,
    /// What it calls itself.
    app: String,
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoStore({:?})", self.options)
    }
}

impl MongoStore {
    /// Has somebody told, in the caller's task, how long each answer took, one that came too late and
    /// none included. The first one only.
    pub fn tell(&self, told: Told) {
        drop(self.told.set(told));
    }

    /// What failed last for want of the database, and when.
    pub fn last_error(&self) -> Option<LastError> {
        self.breaker.last()
    }

    /// Whether calls are refused, since the database does not answer or was never there.
    pub fn is_away(&self) -> bool {
        !self.serves() || self.breaker.is_open()
    }

    /// Waits until calls are let in.
    pub async fn is_back(&self) {
        self.breaker.wait(|| self.is_away()).await;
    }

    fn serves(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.kept.load(Ordering::Acquire)
    }

    fn tell_of(&self, asked: Asked, took: Duration) {
        if let Some(told) = self.told.get() {
            told(asked, took);
        }
    }

    fn of<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.db.collection(name)
    }

    fn users<T: Send + Sync>(&self) -> Collection<T> {
        self.of("users")
    }

    fn messages<T: Send + Sync>(&self) -> Collection<T> {
        self.of("messages")
    }
}
