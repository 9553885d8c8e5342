//! The local table: user to bound resources. Written by the session managers, read by everybody
//! without asking them (law 3). Sharded; a lookup takes one read lock and one hash.

use crate::hasher::Hasher;
use crate::resource::Resource;
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use xmpp::jid::BareJid;

const SHARDS: usize = 64;

type Users = HashMap<BareJid, Vec<Arc<Resource>>, Hasher>;

/// Every session bound on this node. As large as there are sessions; the listeners limit those.
#[derive(Debug)]
pub struct Table {
    shards: Box<[RwLock<Users>]>,
    hasher: Hasher,
    count: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, hasher: Hasher::default(), count: AtomicUsize::new(0) }
    }
}

impl Table {
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length")]
    fn shard(&self, user: &BareJid) -> &RwLock<Users> {
        &self.shards[self.hasher.hash_one(user) as usize % SHARDS]
    }

    /// Adds a resource. The session manager of the user is the only caller.
    pub fn insert(&self, resource: Arc<Resource>) {
        let mut shard = self.shard(resource.user()).write();
        shard.entry(resource.user().clone()).or_default().push(resource);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes this very resource; `false` when it is not there any more.
    pub fn remove(&self, resource: &Resource) -> bool {
        let mut shard = self.shard(resource.user()).write();
        let Some(list) = shard.get_mut(resource.user()) else { return false };
        let before = list.len();
        list.retain(|r| r.id() != resource.id());
        let removed = list.len() < before;
        if list.is_empty() {
            shard.remove(resource.user());
        }
        if removed {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// The resource of that name; of several the last: those before have ended, and leave something
    /// behind.
    pub fn find(&self, user: &BareJid, resource: &str) -> Option<Arc<Resource>> {
        self.with_user(user, |rs| rs.iter().rfind(|r| r.jid().resource() == resource).cloned())
    }

    /// Whether this very resource is there.
    pub fn has(&self, resource: &Resource) -> bool {
        self.with_user(resource.user(), |all| all.iter().any(|r| r.id() == resource.id()))
    }

    /// Looks at all resources of a user; `f` must be short, a lock is held.
    pub fn with_user<R>(&self, user: &BareJid, f: impl FnOnce(&[Arc<Resource>]) -> R) -> R {
        let shard = self.shard(user).read();
        f(shard.get(user).map_or(&[], Vec::as_slice))
    }

    /// The resources of a user.
    pub fn resources(&self, user: &BareJid) -> Vec<Arc<Resource>> {
        self.with_user(user, <[_]>::to_vec)
    }

    /// How many pages there are: see [`Table::page`].
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// How many sessions are bound.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether no session is bound.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session, a shard at a time: those that come or go meanwhile may be among them.
    pub fn all(&self) -> impl Iterator<Item = Arc<Resource>> {
        (0..).map_while(|shard| self.page(shard)).flatten()
    }

    /// A page of the sessions for the shell: those of `shard`, and whether there is a next shard.
    /// Never all at once (law 10).
    pub fn page(&self, shard: usize) -> Option<Vec<Arc<Resource>>> {
        Some(self.shards.get(shard)?.read().values().flatten().cloned().collect())
    }
}
