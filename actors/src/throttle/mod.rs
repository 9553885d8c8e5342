//! Tries to log on: whoever fails too often has to wait (RFC 6120 section 13.12 on brute force).
//!
//! Counted for each pair of account and address, and for each address over all accounts. An account
//! alone is not counted: anybody could lock its owner out.
//!
//! A try counts for its pair from its first message on ([`Throttle::begin`]), so that nobody gets more
//! of them by making them side by side. One that is given up is given back: nothing was guessed, and a
//! bad network is no attack. When the proof comes it is looked at again and counts as failed before it
//! is checked ([`Attempt::prove`]), for the address too; one that was right is forgiven
//! ([`Proof::right`]).
//!
//! Its time is monotonic: a wall clock that is set makes no wait longer or shorter.

mod table;

use parking_lot::Mutex;
use ring::digest;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, OnceLock},
    time::Duration,
};
pub(crate) use table::Key;
use table::Table;
use tokio::time::Instant;

/// When it is too often.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleLimits {
    /// Failures of one account from one address within the window; 0: no throttle.
    pub per_pair: u32,
    /// Failures from one address, whatever the account; 0: no limit.
    pub per_address: u32,
    /// How long failures count, from the first on.
    pub window: Duration,
    /// Pairs that are remembered, and as many addresses; at the limit that with the fewest failures
    /// makes room. 100 bytes each.
    pub entries: usize,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        let window = Duration::from_secs(300);
        Self { per_pair: 10, per_address: 100, window, entries: 100_000 }
    }
}

/// What a [`Throttle`] has seen, as data: failures and for how much longer they count. Tries that are
/// open move with their sessions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FrozenThrottle {
    pairs: Vec<(Key, u32, Duration)>,
    addresses: Vec<(Key, u32, Duration)>,
}

/// What other nodes are told: the pair, the address, and whether it failed.
type Teller = dyn Fn(Key, Key, bool) + Send + Sync;

/// Failures by account and address.
pub struct Throttle {
    /// Tells other nodes what failed, and what did not.
    teller: OnceLock<Box<Teller>>,
    started: Instant,
    tables: Mutex<Tables>,
}

#[derive(Debug)]
struct Tables {
    pairs: Table,
    addresses: Table,
}

/// A try that has begun. Dropped, it was given up and costs nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    who: Who,
    /// `None` on the way to another process.
    #[serde(skip)]
    throttle: Option<Arc<Throttle>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Who {
    pair: Key,
    address: Key,
}

/// A try whose proof is here. Dropped, it has failed.
#[derive(Debug)]
#[must_use = "what is not right has failed"]
pub struct Proof {
    who: Who,
    throttle: Arc<Throttle>,
    right: bool,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Throttle({})", self.entries())
    }
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

fn key(address: IpAddr, user: Option<&str>) -> Key {
    let text = format!("{address} {}", user.unwrap_or_default());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Who {
    fn of(user: &str, ip: IpAddr) -> Self {
        let address = address_of(ip);
        Self { pair: key(address, Some(user)), address: key(address, None) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Throttle {
    /// A throttle that has seen nothing.
    pub fn new(limits: ThrottleLimits) -> Self {
        let ThrottleLimits { per_pair, per_address, window, entries } = limits;
        let table = |limit| Table::new(limit, millis(window), entries);
        let tables = Tables { pairs: table(per_pair), addresses: table(per_address) };
        Self { teller: OnceLock::new(), started: Instant::now(), tables: Mutex::new(tables) }
    }

    /// From here on other nodes hear of failures, and of what was right after some. How many tries are open is this node's alone.
    pub(crate) fn tells(&self, teller: impl Fn(Key, Key, bool) + Send + Sync + 'static) {
        drop(self.teller.set(Box::new(teller)));
    }

    /// That happened on another node.
    pub(crate) fn heard(&self, pair: Key, address: Key, failed: bool) {
        let (now, mut tables) = (self.now(), self.tables.lock());
        if failed {
            tables.pairs.change(pair, now, |count| count.failures += 1);
            tables.addresses.change(address, now, |count| count.failures += 1);
        } else {
            tables.pairs.change(pair, now, |count| count.failures = 0);
        }
    }

    fn tell(&self, who: Who, failed: bool) {
        if let Some(teller) = self.teller.get() {
            teller(who.pair, who.address, failed);
        }
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// What it has seen, for another process.
    pub fn freeze(&self) -> FrozenThrottle {
        let (now, tables) = (self.now(), self.tables.lock());
        let freeze = |table: &Table| {
            let left = |until: u64| Duration::from_millis(until.saturating_sub(now));
            table.live(now).map(|(key, c)| (key, c.failures, left(c.until))).collect()
        };
        FrozenThrottle { pairs: freeze(&tables.pairs), addresses: freeze(&tables.addresses) }
    }

    /// Takes over what another process has seen, as much as this one remembers.
    pub fn thaw(&self, FrozenThrottle { pairs, addresses }: FrozenThrottle) {
        let (now, mut tables) = (self.now(), self.tables.lock());
        let thaw = |table: &mut Table, counts: Vec<(Key, u32, Duration)>| {
            for (key, failures, left) in counts {
                table.change(key, now, |count| {
                    count.failures = failures;
                    count.until = now.saturating_add(millis(left));
                });
            }
        };
        thaw(&mut tables.pairs, pairs);
        thaw(&mut tables.addresses, addresses);
    }

    /// Pairs and addresses that it remembers.
    pub fn entries(&self) -> usize {
        let tables = self.tables.lock();
        tables.pairs.len() + tables.addresses.len()
    }

    /// A try begins.
    ///
    /// # Errors
    /// How long this client has to wait first.
    pub fn begin(self: &Arc<Self>, user: &str, ip: IpAddr) -> Result<Attempt, Duration> {
        let (who, now) = (Who::of(user, ip), self.now());
        let mut tables = self.tables.lock();
        tables.refuse(who, now, true)?;
        tables.pairs.change(who.pair, now, |count| count.open += 1);
        drop(tables);
        Ok(Attempt { who, throttle: Some(Arc::clone(self)) })
    }
}

impl Tables {
    /// The longer of the waits there are.
    fn refuse(&self, who: Who, now: u64, open: bool) -> Result<(), Duration> {
        let pair = self.pairs.wait(who.pair, now, open);
        // many users behind one address may log on at once: only what has failed counts for it
        let address = self.addresses.wait(who.address, now, false);
        pair.max(address).map_or(Ok(()), Err)
    }
}

impl Attempt {
    /// The proof is here and is about to be checked: it counts as failed until it is found right.
    ///
    /// # Errors
    /// Too many others have failed since this one began; how long to wait. It is given back then.
    pub fn prove(&mut self) -> Result<Proof, Duration> {
        let who = self.who;
        // only on its way between processes it is without, and nothing is checked there
        let throttle = self.throttle.as_ref().ok_or(Duration::ZERO)?;
        let now = throttle.now();
        let mut tables = throttle.tables.lock();
        tables.refuse(who, now, false)?;
        tables.pairs.change(who.pair, now, |count| count.failures += 1);
        tables.addresses.change(who.address, now, |count| count.failures += 1);
        drop(tables);
        Ok(Proof { who, throttle: Arc::clone(throttle), right: false })
    }

    /// Goes on in this process, whatever has failed meanwhile.
    pub(crate) fn thaw(&mut self, throttle: &Arc<Throttle>) {
        let now = throttle.now();
        throttle.tables.lock().pairs.change(self.who.pair, now, |count| count.open += 1);
        self.throttle = Some(Arc::clone(throttle));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(throttle) = &self.throttle {
            let give_back = |count: &mut table::Count| count.open = count.open.saturating_sub(1);
            throttle.tables.lock().pairs.change(self.who.pair, throttle.now(), give_back);
        }
    }
}

impl Proof {
    /// It was right: the failures of the pair are forgotten, those of the address are not.
    pub fn right(mut self) {
        self.right = true;
        let now = self.throttle.now();
        let mut tables = self.throttle.tables.lock();
        let mut others = 0;
        // this one is among them
        tables.pairs.change(self.who.pair, now, |count| {
            others = count.failures.saturating_sub(1);
            count.failures = 0;
        });
        let forgive = |count: &mut table::Count| count.failures = count.failures.saturating_sub(1);
        tables.addresses.change(self.who.address, now, forgive);
        drop(tables);
        if others > 0 {
            self.throttle.tell(self.who, false);
        }
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        if !self.right {
            self.throttle.tell(self.who, true);
        }
    }
}

#[cfg(test)]
mod tests;
