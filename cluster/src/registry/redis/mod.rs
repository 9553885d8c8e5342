//! The registry and the leases in Redis: one server, a primary that Sentinels name, or a Redis Cluster; 6.0 or later.
//!
//! In reading order: `options` · `connect` (clients) · `keys`, `record` and `scripts` (what is in Redis) · `call` (deadline, errors) ·
//! `roster` (who is alive, as this node has heard) · `epoch` (Redis found empty) · `cache` · `sessions` and `leases` (the traits) ·
//! `keeper` and `tracker` (the processes) · `stats`.
//!
//! | key | what |
//! |---|---|
//! | `s:{prefix:bucket}:user` | hash: resource to record |
//! | `n:{prefix:bucket}:node` | set: records of that node in the bucket, for the sweep |
//! | `e:{prefix:bucket}` | hash: the epoch that the bucket belongs to; of nodes, the last start that was swept |
//! | `l:{prefix}` | hash: node to its last lease |
//! | `c:{prefix}` | hash: the epoch, when it was made, and on which servers |
//! | `m:{prefix}` | who makes a new epoch |
//!
//! Nothing in it expires. It must not evict (`maxmemory-policy noeviction`, its default).
//!
//! **What Redis forgets.** A registry that was emptied looks as if nobody were there. So each epoch has a random number, and each of the
//! 1,024 buckets is marked with it before it is published: a bucket without the mark was emptied, and nobody is told "nobody" from it. Who
//! finds that makes a new epoch. Until all nodes that are alive have [confirmed](crate::Member::confirmed) it, look-ups and binds are
//! [unavailable](RegistryError::Unavailable). The same goes when another server answers than before (a failover, a restart): it may lack
//! what was written last.
//!
//! **Who is alive** each reader knows by what it has heard: whoever has not left and was not [declared dead](crate::Leases::reap). A lease
//! that is over says no more than that this may be done. A record of a dead node is no record, whether it was swept or not.
//!
//! Every script may run twice, and later than its caller waited for it: records carry token and number.
//!
//! The registry works while its [children](RedisRegistry::child) run.

mod cache;
mod call;
mod connect;
mod epoch;
mod keeper;
mod keys;
mod leases;
mod listed;
mod options;
mod record;
mod roster;
mod scripts;
mod sessions;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;
mod tracker;

pub use options::{CacheLimit, OpenError, Options, Servers, Tls};
pub use stats::{Operation, Shown, Told};

use crate::RegistryError;
use cache::Cache;
use call::Breaker;
use connect::Clients;
use fred::{clients::Client, interfaces::ClientLike};
use keys::Keys;
use parking_lot::Mutex;
use roster::Roster;
use stats::{Stats, read};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
};
use supervision::{ChildSpec, Node, SupervisorSpec};
use tokio::sync::{Notify, Semaphore};

/// See the module.
pub struct RedisRegistry {
    options: Options,
    keys: Keys,
    /// Calls of one bucket go by one of them, and so in their order.
    callers: Vec<Client>,
    /// Reads, and hears of changes of what it has read.
    listener: Client,
    seats: Semaphore,
    breaker: Breaker,
    roster: Roster,
    cache: Cache,
    stats: Stats,
    /// What the listener reads is of a server that was looked at since it connected.
    sure: AtomicBool,
    /// The epoch in which a bucket without its mark was met.
    lost: AtomicU64,
    /// Somebody met one just now.
    wake: Notify,
    /// Which buckets were looked at.
    glanced: AtomicU16,
    /// One at a time looks.
    looking: tokio::sync::Mutex<()>,
    /// Of nodes whose leases were renewed here: which start, and the epoch in which it had no sessions yet.
    joined: Mutex<HashMap<Node, (u64, String)>>,
    /// Where sweeps of starts of nodes go on.
    sweeps: Mutex<HashMap<(Node, u64), usize>>,
}

impl fmt::Debug for RedisRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisRegistry({:?})", self.options)
    }
}

impl RedisRegistry {
    /// Looks whether Redis can be used. One that cannot be reached is warned of: the children go on trying.
    ///
    /// # Errors
    /// See [`OpenError`]: what trying again does not mend.
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let clients = Clients::new(&options)?;
        let callers =
            (0..options.connections).map(|_| clients.caller()).collect::<Result<_, _>>()?;
        let registry = Self {
            keys: Keys::new(&options.prefix),
            callers,
            listener: clients.listener()?,
            seats: Semaphore::new(options.calls),
            breaker: Breaker::default(),
            roster: Roster::new(options.grace),
            cache: Cache::new(options.cache),
            stats: Stats::default(),
            sure: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            wake: Notify::new(),
            glanced: AtomicU16::new(0),
            looking: tokio::sync::Mutex::default(),
            joined: Mutex::default(),
            sweeps: Mutex::default(),
            options,
        };
        match Box::pin(clients.probe(registry.lease_keys())).await {
            Err(OpenError::Away { why }) => {
                tracing::warn!(why, "Redis cannot be reached: going on without it until it can");
                registry.breaker.note(why);
            }
            probed => probed?,
        }
        Ok(Arc::new(registry))
    }

    /// The processes that connect, look whether Redis answers, and listen.
    pub fn child(registry: &Arc<Self>) -> ChildSpec {
        let (one, two) = (Arc::clone(registry), Arc::clone(registry));
        let tree = SupervisorSpec::one_for_one()
            .child(ChildSpec::process::<tracker::Tracker>("tracker", move || Arc::clone(&one)))
            .child(ChildSpec::server::<keeper::Keeper>("keeper", move || Arc::clone(&two)));
        ChildSpec::supervisor("redis", tree)
    }

    /// Has somebody told of each call. The first one only.
    pub fn tell(&self, told: Told) {
        drop(self.stats.told.set(told));
    }

    /// What it is doing.
    pub fn shown(&self) -> Shown {
        let clients = || self.callers.iter().chain([&self.listener]);
        let calls = Operation::ALL.iter().zip(&self.stats.calls);
        Shown {
            at: self.options.place(),
            calls: calls.map(|(operation, calls)| (*operation, read(calls))).collect(),
            errors: read(&self.stats.errors),
            timeouts: read(&self.stats.timeouts),
            refused: read(&self.stats.refused),
            hits: read(&self.stats.hits),
            misses: read(&self.stats.misses),
            invalidations: read(&self.stats.invalidations),
            flushes: read(&self.stats.flushes),
            epochs: read(&self.stats.epochs),
            in_flight: self.options.calls.saturating_sub(self.seats.available_permits()),
            connected: clients().filter(|client| client.is_connected()).count(),
            connections: clients().count(),
            epoch: self.roster.epoch(),
            complete: self.complete().is_ok(),
            cached: self.cache.entries(),
            cached_bytes: self.cache.bytes(),
            last_error: self.breaker.last(),
        }
    }

    /// The epoch, if it is known who is where.
    fn complete(&self) -> Result<u64, RegistryError> {
        let sure = self.sure.load(Ordering::Acquire);
        let epoch = self.roster.complete().filter(|epoch| sure && !self.is_lost(*epoch));
        epoch.ok_or(call::AWAY)
    }

    fn is_lost(&self, epoch: u64) -> bool {
        self.lost.load(Ordering::Acquire) == epoch
    }

    /// A bucket is not of that epoch.
    fn lose(&self, epoch: u64) -> RegistryError {
        self.lost.store(epoch, Ordering::Release);
        self.wake.notify_one();
        call::AWAY
    }

    /// The client for a bucket.
    fn caller(&self, bucket: u16) -> &Client {
        let caller = usize::from(bucket).checked_rem(self.callers.len());
        caller.and_then(|caller| self.callers.get(caller)).unwrap_or(&self.listener)
    }
}
