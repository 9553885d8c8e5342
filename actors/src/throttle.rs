//! Failed logins: whoever fails too often has to wait (RFC 6120 section 13.12 on brute force).
//!
//! Counted for each pair of account and address, and for each address over all accounts. An account
//! alone is not counted: anybody could lock its owner out.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// When it is too often.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleLimits {
    /// Failures of one account from one address within the window; 0: no throttle.
    pub per_pair: u32,
    /// Failures from one address, whatever the account; 0: no limit.
    pub per_address: u32,
    /// How long failures count, from the first on.
    pub window: Duration,
    /// Pairs and addresses that are remembered; at the limit those whose window is over are
    /// forgotten, and if there are none, the newest are not counted.
    pub entries: usize,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        let window = Duration::from_secs(300);
        Self { per_pair: 10, per_address: 100, window, entries: 100_000 }
    }
}

/// `None`: all accounts of the address.
type Key = (Option<String>, IpAddr);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count {
    since: u64,
    failures: u32,
}

/// What a [`Throttle`] has seen, as data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FrozenThrottle(Vec<(Key, Count)>);

/// Failures by account and address.
#[derive(Debug)]
pub struct Throttle {
    limits: ThrottleLimits,
    counts: Mutex<HashMap<Key, Count>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(ThrottleLimits::default())
    }
}

/// What counts as one address: for IPv6 the /64, which one customer usually has to himself.
pub fn address_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & (!0_u128 << 64))),
        },
    }
}

impl Throttle {
    /// A throttle that has seen nothing.
    pub fn new(limits: ThrottleLimits) -> Self {
        Self { limits, counts: Mutex::default() }
    }

    /// What it has seen, for another process.
    pub fn freeze(&self) -> FrozenThrottle {
        FrozenThrottle(self.counts.lock().iter().map(|(k, c)| (k.clone(), c.clone())).collect())
    }

    /// Takes over what another process has seen, as much as this one remembers.
    pub fn thaw(&self, FrozenThrottle(counts): FrozenThrottle) {
        self.counts.lock().extend(counts.into_iter().take(self.limits.entries));
    }

    fn keys(&self, user: &str, ip: IpAddr) -> [(Key, u32); 2] {
        let ip = address_of(ip);
        [((Some(user.to_owned()), ip), self.limits.per_pair), ((None, ip), self.limits.per_address)]
    }

    fn window(&self) -> u64 {
        u64::try_from(self.limits.window.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long this client has to wait; `None`: it may try. `now` in milliseconds of the epoch.
    pub fn wait(&self, user: &str, ip: IpAddr, now: u64) -> Option<Duration> {
        let window = self.window();
        let counts = self.counts.lock();
        if counts.is_empty() {
            return None;
        }
        let until = self.keys(user, ip).into_iter().filter_map(|(key, limit)| {
            let count = counts.get(&key).filter(|c| limit > 0 && c.failures >= limit)?;
            Some(count.since.saturating_add(window)).filter(|until| *until > now)
        });
        until.max().map(|until| Duration::from_millis(until - now))
    }

    /// Counts a failure.
    pub fn failed(&self, user: &str, ip: IpAddr, now: u64) {
        let window = self.window();
        let over = |c: &Count| c.since.saturating_add(window) <= now;
        let mut counts = self.counts.lock();
        for (key, limit) in self.keys(user, ip) {
            if limit == 0 {
                continue;
            }
            if counts.len() >= self.limits.entries && !counts.contains_key(&key) {
                counts.retain(|_, c| !over(c));
                if counts.len() >= self.limits.entries {
                    continue;
                }
            }
            let count = counts.entry(key).or_insert(Count { since: now, failures: 0 });
            if over(count) {
                *count = Count { since: now, failures: 0 };
            }
            count.failures = count.failures.saturating_add(1);
        }
    }

    /// A success of the pair: its failures are forgotten (the address's are not).
    pub fn succeeded(&self, user: &str, ip: IpAddr) {
        let mut counts = self.counts.lock();
        if !counts.is_empty() {
            counts.remove(&(Some(user.to_owned()), address_of(ip)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(entries: usize) -> Throttle {
        let window = Duration::from_secs(10);
        Throttle::new(ThrottleLimits { per_pair: 2, per_address: 3, window, entries })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pair_waits_until_its_window_is_over_and_others_do_not() {
        let t = throttle(100);
        t.failed("a", ip("10.0.0.1"), 1_000);
        assert_eq!(t.wait("a", ip("10.0.0.1"), 1_500), None);
        t.failed("a", ip("10.0.0.1"), 2_000);
        assert_eq!(t.wait("a", ip("10.0.0.1"), 3_000), Some(Duration::from_secs(8)));
        assert_eq!(t.wait("b", ip("10.0.0.1"), 3_000), None);
        assert_eq!(
            t.wait("a", ip("10.0.0.2"), 3_000),
            None,
            "the owner elsewhere is not locked out"
        );
        assert_eq!(t.wait("a", ip("10.0.0.1"), 11_000), None);
        t.failed("a", ip("10.0.0.1"), 11_000);
        assert_eq!(t.wait("a", ip("10.0.0.1"), 11_000), None, "counting began anew");
    }

    #[test]
    fn an_address_waits_whatever_the_account() {
        let t = throttle(100);
        for user in ["a", "b", "c"] {
            t.failed(user, ip("2001:db8::1"), 0);
        }
        assert!(t.wait("d", ip("2001:db8::2"), 1).is_some(), "the same /64");
        assert_eq!(t.wait("d", ip("2001:db8:0:1::2"), 1), None);
        t.succeeded("d", ip("2001:db8::2"));
        assert!(t.wait("d", ip("2001:db8::2"), 1).is_some());
    }

    #[test]
    fn a_success_forgives_the_pair() {
        let t = throttle(100);
        t.failed("a", ip("::ffff:10.0.0.1"), 0);
        t.succeeded("a", ip("10.0.0.1"));
        t.failed("a", ip("10.0.0.1"), 1);
        assert_eq!(t.wait("a", ip("10.0.0.1"), 2), None);
    }

    #[test]
    fn what_was_seen_holds_in_another_process_too() {
        let t = throttle(100);
        t.failed("a", ip("10.0.0.1"), 0);
        t.failed("a", ip("10.0.0.1"), 0);
        let bytes = serde_json::to_vec(&t.freeze()).unwrap();
        let other = throttle(100);
        other.thaw(serde_json::from_slice(&bytes).unwrap());
        assert_eq!(other.wait("a", ip("10.0.0.1"), 1_000), Some(Duration::from_secs(9)));
        let small = throttle(1);
        small.thaw(t.freeze());
        assert_eq!(small.counts.lock().len(), 1);
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let t = throttle(4);
        for n in 0..10_u8 {
            t.failed("a", IpAddr::from([10, 0, 0, n]), 0);
        }
        assert_eq!(t.counts.lock().len(), 4);
        t.failed("a", ip("10.0.1.0"), 20_000);
        assert_eq!(t.counts.lock().len(), 2, "what is over made room");
    }
}
