//! How fast a client may send: token buckets for each connection and each address, and how many
//! connections an address may have.
//!
//! Whoever is too fast is read from later (TCP holds it back); nothing is dropped.

use crate::hasher::Hasher;
use crate::throttle::address_of;
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::BuildHasher,
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

    /// When it is as if nothing had been taken; `None`: it is.
    fn full(&self, rate: Rate, now: Instant) -> Option<Instant> {
        let missing = (rate.burst as f64 - self.tokens) / rate.bytes as f64;
        if rate.bytes == 0 || missing <= 0.0 {
            return None;
        }
        let at = self.at + Duration::from_secs_f64(missing.min(86_400.0));
        (at > now).then_some(at)
    }
}

#[derive(Debug)]
struct Address {
    connections: usize,
    bucket: Bucket,
    /// By which it fills.
    rate: Rate,
    /// When it is full again, if there are no connections: until then it is remembered.
    full: Option<Instant>,
}

const SHARDS: usize = 16;
/// Addresses without connections that a shard remembers until their buckets are full again. At the
/// limit that which is full first makes room.
const REMEMBERED: usize = 4_096;
/// Those that are full again and are forgotten whenever one is remembered.
const FORGET: usize = 8;

#[derive(Debug, Default)]
struct Shard {
    addresses: HashMap<IpAddr, Address>,
    /// Those of them that have no connections, by when they are full.
    remembered: BTreeSet<(Instant, IpAddr)>,
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
        let Some(full) = address.bucket.full(address.rate, now) else {
            self.addresses.remove(&ip);
            return;
        };
        address.full = Some(full);
        self.remembered.insert((full, ip));
        let too_many = self.remembered.len().saturating_sub(REMEMBERED);
        for n in 0..too_many.max(FORGET) {
            match self.remembered.first().copied() {
                Some((full, first)) if full <= now || n < too_many => {
                    self.remembered.remove(&(full, first));
                    self.addresses.remove(&first);
                }
                _ => break,
            }
        }
    }
}

/// The addresses that have connections, or have had and sent a lot. As large as there are
/// connections, and a limited number besides.
#[derive(Debug)]
pub struct Addresses {
    shards: [Mutex<Shard>; SHARDS],
    hasher: Hasher,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: Hasher::default() }
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
                if let Some(full) = address.full.take() {
                    shard.remembered.remove(&(full, ip));
                }
            }
            Entry::Vacant(place) => {
                let bucket = Bucket::new(rate, Instant::now());
                place.insert(Address { connections: 1, bucket, rate, full: None });
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
        let counted: usize = all.shards.iter().map(|s| s.lock().remembered.len()).sum();
        assert_eq!(counted, REMEMBERED * SHARDS);
        // who owes most stays, however many come after
        let (ip, debt) = ("192.0.2.1".parse().unwrap(), Duration::from_secs(900));
        all.admit(ip, 1, rate).unwrap().take(rate, 1_000, Instant::now());
        (many..many * 2).for_each(visit);
        let back = all.admit(ip, 1, rate).unwrap();
        assert_eq!(back.take(rate, 0, Instant::now()), debt);
        drop(back);
        assert_eq!(entries(&all), REMEMBERED * SHARDS);
        tokio::time::advance(Duration::from_secs(60)).await;
        (0..many).for_each(|n| {
            let ip = std::net::Ipv4Addr::from(n).into();
            drop(all.admit(ip, 1, Rate { bytes: 0, burst: 0 }));
            visit(n);
        });
        assert_eq!(entries(&all), REMEMBERED * SHARDS, "what is full again makes room");
    }
}
