//! How fast a client may send: token buckets for each connection and each address, and how many
//! connections an address may have.
//!
//! Whoever is too fast is read from later (TCP holds it back); nothing is dropped.

use crate::throttle::address_of;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Bytes a second, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes a second; 0: no limit.
    pub bytes: usize,
    /// The most that may come at once, in bytes.
    pub burst: usize,
}

/// A token bucket. May go into debt: a read is not cut in the middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst as f64, at: now }
    }

    /// Takes `n` bytes; how long to wait before the next read.
    pub(crate) fn take(&mut self, rate: Rate, n: usize, now: Instant) -> Duration {
        if rate.bytes == 0 {
            return Duration::ZERO;
        }
        let earned = now.duration_since(self.at).as_secs_f64() * rate.bytes as f64;
        self.at = now;
        self.tokens = (self.tokens + earned).min(rate.burst as f64) - n as f64;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((-self.tokens / rate.bytes as f64).min(3600.0))
    }
}

#[derive(Debug)]
struct Address {
    connections: usize,
    bucket: Bucket,
}

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<IpAddr, Address>>;

/// The addresses that have connections. As large as there are connections.
#[derive(Debug)]
pub struct Addresses {
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

/// A connection's place among those of its address; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    addresses: Arc<Addresses>,
    ip: IpAddr,
}

impl Addresses {
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the array's length")]
    fn shard(&self, ip: IpAddr) -> &Shard {
        &self.shards[self.hasher.hash_one(ip) as usize % SHARDS]
    }

    /// Admits one more connection of `ip`; `None` when it has `max` already.
    pub fn admit(self: &Arc<Self>, ip: IpAddr, max: usize, rate: Rate) -> Option<Admission> {
        let ip = address_of(ip);
        let mut shard = self.shard(ip).lock();
        let address = shard.entry(ip).or_insert_with(|| Address {
            connections: 0,
            bucket: Bucket::new(rate, Instant::now()),
        });
        if address.connections >= max {
            return None;
        }
        address.connections += 1;
        drop(shard);
        Some(Admission { addresses: Arc::clone(self), ip })
    }
}

impl Admission {
    /// Takes `n` bytes from the address's bucket; how long to wait before the next read.
    pub(crate) fn take(&self, rate: Rate, n: usize, now: Instant) -> Duration {
        if rate.bytes == 0 {
            return Duration::ZERO;
        }
        let mut shard = self.addresses.shard(self.ip).lock();
        shard.get_mut(&self.ip).map_or(Duration::ZERO, |a| a.bucket.take(rate, n, now))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.ip).lock();
        if let Some(address) = shard.get_mut(&self.ip) {
            address.connections = address.connections.saturating_sub(1);
            if address.connections == 0 {
                shard.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let rate = Rate { bytes: 100, burst: 1_000 };
        let start = Instant::now();
        let mut b = Bucket::new(rate, start);
        assert_eq!(b.take(rate, 1_000, start), Duration::ZERO);
        assert_eq!(b.take(rate, 200, start), Duration::from_secs(2));
        assert_eq!(b.take(rate, 0, start + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(b.take(Rate { bytes: 0, burst: 0 }, usize::MAX, start), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_so_many_connections_and_one_bucket() {
        let all = Arc::new(Addresses::default());
        let rate = Rate { bytes: 10, burst: 10 };
        let ip = "10.0.0.1".parse().unwrap();
        let a = all.admit(ip, 2, rate).unwrap();
        let b = all.admit(ip, 2, rate).unwrap();
        assert!(all.admit(ip, 2, rate).is_none());
        assert!(all.admit("10.0.0.2".parse().unwrap(), 2, rate).is_some());
        let now = Instant::now();
        assert_eq!(a.take(rate, 10, now), Duration::ZERO);
        assert_eq!(b.take(rate, 10, now), Duration::from_secs(1));
        drop(a);
        assert!(all.admit(ip, 2, rate).is_some());
        drop(b);
        assert!(all.shards.iter().all(|s| s.lock().is_empty()), "nothing is kept");
    }
}
