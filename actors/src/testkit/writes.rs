//! What is stored of sessions, when a test wants it, or not at all.

use super::World;
use crate::registrar::Modules;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use storage::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession, Stores,
};
use tokio::sync::Semaphore;
use xmpp::{jid::BareJid, stanza::Stanza};

/// Whether writes are done.
#[derive(Debug)]
pub struct Writes {
    gate: Semaphore,
    room: AtomicBool,
}

impl Writes {
    /// A world in which writes are done, or wait until they [go on](Self::go_on).
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn world(modules: Modules, done: bool) -> (World, Arc<Self>) {
        let writes = Arc::new(Self { gate: Semaphore::new(0), room: AtomicBool::new(true) });
        if done {
            writes.go_on();
        }
        let theirs = Arc::clone(&writes);
        let wrap = |stores: Stores| {
            let store = Arc::clone(&stores.sessions);
            Stores { sessions: Arc::new(Written { store, writes: theirs }), ..stores }
        };
        (World::with_stores(modules, wrap).await, writes)
    }

    /// Those that wait are done, and all after them.
    pub fn go_on(&self) {
        self.gate.add_permits(1 << 20);
    }

    /// The disk is full, or has room again.
    pub fn room(&self, there_is: bool) {
        self.room.store(there_is, Ordering::Relaxed);
    }
}

struct Written {
    store: Arc<dyn Sessions>,
    writes: Arc<Writes>,
}

impl Written {
    /// Others get their turn in the middle of it.
    fn after<'a, T: Send + 'a>(&'a self, write: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            // it is never closed
            drop(self.writes.gate.acquire().await);
            if !self.writes.room.load(Ordering::Relaxed) {
                return Err(StoreError::NoRoom("the test took it".to_owned()));
            }
            let done = write.await;
            tokio::task::yield_now().await;
            done
        })
    }
}

impl Sessions for Written {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        self.after(self.store.put(session))
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        self.after(self.store.append(user, holders, messages, limits, by))
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.after(self.store.hold(user, key, ids))
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        self.after(self.store.acknowledge(user, key, ids))
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.after(self.store.take(user, key, epoch))
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        self.store.held(user, key, after, limit, bytes)
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        self.after(self.store.expire(user, key))
    }

    fn page<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<StoredSession>> {
        self.store.page(after, limit)
    }

    fn release(&self, limit: usize) -> StoreFuture<'_, usize> {
        self.store.release(limit)
    }
}
