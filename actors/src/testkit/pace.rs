//! A store of sessions that is as slow, or as full, as a test wants it.

use super::World;
use crate::registrar::Modules;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use storage::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession, Stores, Whose,
};
use tokio::{task::yield_now, time::sleep};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Longer than anybody waits for a store.
pub const LONG: Duration = Duration::from_secs(20);

/// It is done late.
pub const DONE_LATE: [Duration; 2] = [LONG, Duration::ZERO];

/// It is done at once, and that is said late.
pub const SAID_LATE: [Duration; 2] = [Duration::ZERO, LONG];

/// How long the store takes, until something is done and from then on until it says so; what it has begun goes on as it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// [`Sessions::put`].
    pub put: [Duration; 2],
    /// [`Sessions::append`].
    pub append: [Duration; 2],
    /// [`Sessions::take`].
    pub take: [Duration; 2],
    /// Nothing can be written: there is no room.
    pub full: bool,
    /// How many [`Sessions::append`] have begun since this was set.
    pub appends: usize,
    /// How many [`Sessions::put`].
    pub puts: usize,
}

impl Pace {
    /// A world whose store has a pace that a test sets.
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn world(modules: Modules) -> (World, Arc<Mutex<Self>>) {
        let pace: Arc<Mutex<Self>> = Arc::default();
        let wrap = |stores| Self::of(&pace, stores);
        (World::with_stores(modules, wrap).await, pace)
    }

    /// Stores that have this pace.
    pub fn of(pace: &Arc<Mutex<Self>>, stores: Stores) -> Stores {
        let paced = Paced { store: Arc::clone(&stores.sessions), pace: Arc::clone(pace) };
        Stores { sessions: Arc::new(paced), ..stores }
    }
}

struct Paced {
    store: Arc<dyn Sessions>,
    pace: Arc<Mutex<Pace>>,
}

impl Paced {
    /// Others get their turn in the middle of it.
    fn at<'a, T: Send + 'a>(
        &'a self,
        takes: fn(&Pace) -> [Duration; 2],
        write: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let pace = *self.pace.lock();
            if pace.full {
                return Err(StoreError::NoRoom("the test took it".to_owned()));
            }
            let [before, after] = takes(&pace);
            sleep(before).await;
            let done = write.await;
            yield_now().await;
            sleep(after).await;
            done
        })
    }

    fn at_once<'a, T: Send + 'a>(&'a self, write: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        self.at(|_| [Duration::ZERO; 2], write)
    }
}

impl Sessions for Paced {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        self.pace.lock().puts += 1;
        self.at(|pace| pace.put, self.store.put(session))
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        self.pace.lock().appends += 1;
        self.at(|pace| pace.append, self.store.append(user, holders, messages, limits, by))
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.at_once(self.store.hold(user, key, ids))
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        self.at_once(self.store.acknowledge(user, key, ids))
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.at(|pace| pace.take, self.store.take(user, key, epoch))
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
        self.at_once(self.store.expire(user, key))
    }

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        self.store.page(whose, after, limit)
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        self.store.release(whose, limit)
    }

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.store.find(user, token)
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.at_once(self.store.adopt(user, key, epoch, new))
    }
}
