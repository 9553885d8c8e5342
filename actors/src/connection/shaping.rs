//! How fast a client may send: token buckets for each connection and each address, and how many
//! connections an address may have.
//!
//! Whoever is too fast is read from later (TCP holds it back); nothing is dropped.

use crate::throttle::address_of;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
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

    /// Whether it is as if nothing had been taken.
    fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let earned = now.duration_since(self.at).as_secs_f64() * rate.bytes as f64;
        rate.bytes == 0 || self.tokens + earned >= rate.burst as f64
    }
}

#[derive(Debug)]
struct Address {
    connections: usize,
    bucket: Bucket,
    /// By which it fills.
    rate: Rate,
}

const SHARDS: usize = 16;
/// Addresses without connections that a shard remembers until their buckets are full again. At the
/// limit those that are full are forgotten, and if there are none, the newest.
const REMEMBERED: usize = 4_096;
/// How long a shard whose limit is reached does not look for those that are full again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shard {
    addresses: HashMap<IpAddr, Address>,
    /// How many of them have no connections.
    remembered: usize,
    /// When those that were full were forgotten last.
    swept: Option<Instant>,
}

impl Shard {
    /// A connection of `ip` is gone: whoever has used up what may come at once does not get it again
    /// by connecting anew.
    fn leave(&mut self, ip: IpAddr, now: Instant) {
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        address.connections = address.connections.saturating_sub(1);
        if address.connections > 0 {
            return;
        }
        let waited = |at: Instant| now.duration_since(at) >= PAUSE;
        if self.remembered >= REMEMBERED && self.swept.is_none_or(waited) {
            self.swept = Some(now);
            let used = |a: &Address| a.connections > 0 || !a.bucket.is_full(a.rate, now);
            self.addresses.retain(|other, a| *other == ip || used(a));
            self.remembered =
                self.addresses.iter().filter(|(o, a)| **o != ip && a.connections == 0).count();
        }
        let full = self.addresses.get(&ip).is_none_or(|a| a.bucket.is_full(a.rate, now));
        if full || self.remembered >= REMEMBERED {
            self.addresses.remove(&ip);
        } else {
            self.remembered += 1;
        }
    }
}

/// The addresses that have connections, or have had and sent a lot. As large as there are
/// connections, and a limited number besides.
#[derive(Debug)]
pub struct Addresses {
    shards: [Mutex<Shard>; SHARDS],
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
    fn shard(&self, ip: IpAddr) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(ip) as usize % SHARDS]
    }

    /// Admits one more connection of `ip`; `None` when it has `max` already.
    pub fn admit(self: &Arc<Self>, ip: IpAddr, max: usize, rate: Rate) -> Option<Admission> {
        let ip = address_of(ip);
        let mut shard = self.shard(ip).lock();
        if max == 0 || shard.addresses.get(&ip).is_some_and(|a| a.connections >= max) {
            return None;
        }
        match shard.addresses.entry(ip) {
            Entry::Occupied(address) => {
                let address = address.into_mut();
                address.connections += 1;
                if address.connections == 1 {
                    shard.remembered -= 1;
                }
            }
            Entry::Vacant(place) => {
                let bucket = Bucket::new(rate, Instant::now());
                place.insert(Address { connections: 1, bucket, rate });
            }
        }
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
        shard.addresses.get_mut(&self.ip).map_or(Duration::ZERO, |address| {
            address.rate = rate;
            address.bucket.take(rate, n, now)
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.addresses.shard(self.ip).lock().leave(self.ip, Instant::now());
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
    }

    fn entries(all: &Addresses) -> usize {
        all.shards.iter().map(|s| s.lock().addresses.len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_anew_does_not_get_a_full_bucket() {
        let all = Arc::new(Addresses::default());
        let rate = Rate { bytes: 10, burst: 100 };
        let ip = "10.0.0.1".parse().unwrap();
        let a = all.admit(ip, 2, rate).unwrap();
        assert_eq!(a.take(rate, 150, Instant::now()), Duration::from_secs(5));
        drop(a);
        tokio::time::advance(Duration::from_secs(2)).await;
        let a = all.admit(ip, 2, rate).unwrap();
        assert_eq!(a.take(rate, 0, Instant::now()), Duration::from_secs(3));
        drop(a);
        tokio::time::advance(Duration::from_secs(13)).await;
        // what is full again is like new
        let a = all.admit(ip, 2, rate).unwrap();
        assert_eq!(a.take(rate, 100, Instant::now()), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(a);
        assert_eq!(entries(&all), 0);
        let none = Rate { bytes: 0, burst: 0 };
        let a = all.admit(ip, 2, none).unwrap();
        a.take(none, 1_000, Instant::now());
        drop(a);
        assert_eq!(entries(&all), 0, "without a rate there is nothing to remember");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_addresses_is_limited() {
        let all = Arc::new(Addresses::default());
        let rate = Rate { bytes: 1, burst: 100 };
        let visit = |n: u32| {
            let ip = std::net::Ipv4Addr::from(n).into();
            all.admit(ip, 1, rate).unwrap().take(rate, 50, Instant::now());
        };
        let many = u32::try_from(REMEMBERED * SHARDS * 2).unwrap();
        (0..many).for_each(visit);
        assert_eq!(entries(&all), REMEMBERED * SHARDS);
        let counted: usize = all.shards.iter().map(|s| s.lock().remembered).sum();
        assert_eq!(counted, REMEMBERED * SHARDS);
        tokio::time::advance(Duration::from_secs(60)).await;
        (many..many + 1_000).for_each(visit);
        assert_eq!(entries(&all), 1_000, "what is full again made room");
    }
}
