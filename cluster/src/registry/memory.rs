//! The registry of a node that is alone, and of several in one test: maps in memory.

use super::{Binding, Entry, Held, Record, Records, RegistryError, SessionRegistry, Taking, Token};
use crate::{
    BoxFuture,
    members::{Leases, Member, Roll},
};
use parking_lot::Mutex;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    future::ready,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use supervision::Node;
use tokio::time::Instant;

const SHARDS: usize = 64;

#[derive(Clone, Debug, Default)]
struct Users {
    of: HashMap<Arc<str>, Vec<Record>>,
    turns: Turns,
}

/// Whose turn it is, until when. Those that are over go when there are twice as many as were left the last time.
#[derive(Clone, Debug, Default)]
struct Turns {
    of: HashMap<Box<str>, (Token, Instant)>,
    most: usize,
}

impl Turns {
    fn take(&mut self, user: &str, token: Token, lasts: Duration) -> bool {
        let now = Instant::now();
        if self.of.get(user).is_some_and(|(other, until)| *other != token && *until > now) {
            return false;
        }
        if self.of.len() >= self.most {
            self.of.retain(|_, (_, until)| *until > now);
            self.most = (2 * self.of.len()).max(16);
        }
        self.of.insert(user.into(), (token, now + lasts));
        true
    }

    fn ends(&mut self, user: &str, token: Token) {
        if self.of.get(user).is_some_and(|(owner, _)| *owner == token) {
            self.of.remove(user);
        }
    }
}

/// In-memory [`SessionRegistry`] and [`Leases`]: as many entries as there are bound sessions.
#[derive(Debug)]
pub struct MemoryRegistry {
    shards: [Mutex<Users>; SHARDS],
    hasher: RandomState,
    leases: Mutex<BTreeMap<Node, Lease>>,
    emptying: Mutex<Emptying>,
}

/// How often it was emptied, and whether it is complete again.
#[derive(Clone, Copy, Debug)]
struct Emptying {
    epoch: u64,
    /// Until all that had a lease before have one again, or none any more; `None`: it is complete.
    until: Option<Instant>,
}

/// The last that is known of a node.
#[derive(Clone, Debug)]
struct Lease {
    incarnation: u64,
    /// None of a start that was declared dead and never had a lease, or whose lease was lost.
    member: Option<Member>,
    until: Instant,
    dead: bool,
}

impl Lease {
    fn bury(node: Node, incarnation: u64) -> (Node, Self) {
        (node, Self { incarnation, member: None, until: Instant::now(), dead: true })
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            leases: Mutex::default(),
            emptying: Mutex::new(Emptying { epoch: 1, until: None }),
        }
    }
}

impl MemoryRegistry {
    /// All of it as it is now: for tests of an authority that goes on with what it was a while ago.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            shards: std::array::from_fn(|n| {
                Mutex::new(self.shards.get(n).map(|users| users.lock().clone()).unwrap_or_default())
            }),
            hasher: self.hasher.clone(),
            leases: Mutex::new(self.leases.lock().clone()),
            emptying: Mutex::new(*self.emptying.lock()),
        }
    }

    /// It loses all that it has, as Redis by `FLUSHALL`: nobody knows who is where, until all nodes have published their sessions anew.
    pub fn empty(&self) {
        let (mut leases, mut emptying) = (self.leases.lock(), self.emptying.lock());
        let before = leases.values().map(|lease| lease.until).max();
        let until = before.into_iter().chain(emptying.until).max();
        *emptying = Emptying { epoch: emptying.epoch + 1, until };
        leases.clear();
        self.shards.iter().for_each(|users| *users.lock() = Users::default());
    }

    /// Whether it has all sessions of all nodes that are alive.
    pub fn is_complete(&self) -> bool {
        let (leases, mut emptying) = (self.leases.lock(), self.emptying.lock());
        let Emptying { epoch, until: Some(until) } = *emptying else { return true };
        let now = Instant::now();
        let mut live = leases.values().filter(|lease| !lease.dead);
        let complete = until <= now
            && live.all(|lease| lease.member.as_ref().is_some_and(|m| m.confirmed == epoch));
        if complete {
            emptying.until = None;
        }
        complete
    }

    /// All records, in no order: for tests.
    pub fn records(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for users in &self.shards {
            for (user, records) in &users.lock().of {
                let entry =
                    |record: &Record| Entry { user: Arc::clone(user), record: record.clone() };
                all.extend(records.iter().map(entry));
            }
        }
        all
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the array's length")]
    fn shard(&self, user: &str) -> &Mutex<Users> {
        &self.shards[self.hasher.hash_one(user) as usize % SHARDS]
    }

    /// Whether the session's node is alive: until it is declared dead, since without this registry nodes act by promises of one another.
    /// One that never had a lease is alone, and is.
    fn lives(&self, token: Token) -> bool {
        self.leases.lock().get(&token.node).is_none_or(|lease| {
            let this = lease.incarnation == token.incarnation;
            lease.incarnation < token.incarnation || this && !lease.dead
        })
    }

    fn bind_now(
        &self,
        user: &str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> Result<Binding, RegistryError> {
        let mut shard = self.shard(user).lock();
        let known = shard.of.get_mut(user);
        let records = match known {
            Some(records) => records,
            None => shard.of.entry(user.into()).or_default(),
        };
        if let Some(old) = records.iter_mut().find(|r| r.resource == record.resource) {
            let other = old.token != record.token && self.lives(old.token);
            if other && taking == Taking::Keep {
                return Err(RegistryError::Taken(old.clone()));
            }
            // of the same session, tried again: what it was updated to since is newer
            if old.token == record.token && record.seq < old.seq {
                return Ok(Binding { replaced: None });
            }
            let before = std::mem::replace(old, record);
            return Ok(Binding { replaced: Some(before).filter(|_| other) });
        }
        if records.iter().filter(|r| self.lives(r.token)).count() >= limit {
            return Err(RegistryError::ResourceLimit { limit });
        }
        records.push(record);
        Ok(Binding { replaced: None })
    }

    fn update_now(
        &self,
        user: &str,
        resource: &str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> Held {
        let mut shard = self.shard(user).lock();
        let records = shard.of.get_mut(user);
        let record = records.and_then(|rs| rs.iter_mut().find(|r| &*r.resource == resource));
        match record {
            None => Held::Nobody,
            Some(other) if other.token != token => Held::Other(other.clone()),
            Some(record) => {
                if record.seq < seq {
                    (record.seq, record.priority) = (seq, priority);
                }
                Held::Yes
            }
        }
    }

    fn unbind_now(&self, user: &str, resource: &str, token: Token) -> bool {
        let mut shard = self.shard(user).lock();
        shard.turns.ends(user, token);
        let Some(records) = shard.of.get_mut(user) else { return false };
        let before = records.len();
        records.retain(|r| &*r.resource != resource || r.token != token);
        let removed = records.len() < before;
        if records.is_empty() {
            shard.of.remove(user);
        }
        removed
    }

    fn look(&self, user: &str) -> Records {
        let shard = self.shard(user).lock();
        let records = shard.of.get(user).into_iter().flatten();
        records.filter(|r| self.lives(r.token)).cloned().collect()
    }

    fn confirm_now(&self, Entry { user, record }: Entry) -> Option<Entry> {
        match self.bind_now(&user, record, usize::MAX, Taking::Keep) {
            Err(RegistryError::Taken(record)) => Some(Entry { user, record }),
            _ => None,
        }
    }
}

impl SessionRegistry for MemoryRegistry {
    fn bind<'a>(
        &'a self,
        user: &'a str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>> {
        Box::pin(ready(self.bind_now(user, record, limit, taking)))
    }

    fn update<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<Held, RegistryError>> {
        Box::pin(ready(Ok(self.update_now(user, resource, token, seq, priority))))
    }

    fn unbind<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(ready(Ok(self.unbind_now(user, resource, token))))
    }

    fn turn<'a>(
        &'a self,
        user: &'a str,
        token: Token,
        lasts: Duration,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(ready(Ok(self.shard(user).lock().turns.take(user, token, lasts))))
    }

    fn lookup<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Records, RegistryError>> {
        let known = self.is_complete().then(|| self.look(user));
        let away = RegistryError::Unavailable { retry_after: Duration::from_secs(1) };
        Box::pin(ready(known.ok_or(away)))
    }

    fn cached(&self, user: &str) -> Option<Records> {
        self.is_complete().then(|| self.look(user))
    }

    fn forget(&self, _: &str) {}

    fn confirm(&self, mine: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        let others = mine.into_iter().filter_map(|entry| self.confirm_now(entry)).collect();
        Box::pin(ready(Ok(others)))
    }
}

impl Leases for MemoryRegistry {
    fn renew<'a>(
        &'a self,
        me: &'a Member,
        term: Duration,
    ) -> BoxFuture<'a, Result<Roll, RegistryError>> {
        let (mut leases, now) = (self.leases.lock(), Instant::now());
        if let Some(known) = leases.get(&me.node) {
            let error = match known.incarnation.cmp(&me.incarnation) {
                Ordering::Greater => Some(RegistryError::Fenced),
                Ordering::Equal if known.dead => Some(RegistryError::Dead),
                _ => None,
            };
            if let Some(error) = error {
                return Box::pin(ready(Err(error)));
            }
        }
        let (incarnation, member) = (me.incarnation, Some(me.clone()));
        let lease = Lease { incarnation, member, until: now + term, dead: false };
        leases.insert(me.node, lease);
        let live = leases.values().filter(|lease| !lease.dead);
        let left = |lease: &Lease| lease.until.saturating_duration_since(now);
        let member = |lease: &Lease| Some((lease.member.clone()?, left(lease)));
        let members = live.filter_map(member).collect();
        Box::pin(ready(Ok(Roll { epoch: self.emptying.lock().epoch, members })))
    }

    fn leave<'a>(&'a self, me: &'a Member) -> BoxFuture<'a, Result<(), RegistryError>> {
        let mut leases = self.leases.lock();
        if leases.get(&me.node).is_none_or(|lease| lease.incarnation <= me.incarnation) {
            leases.extend([Lease::bury(me.node, me.incarnation)]);
        }
        Box::pin(ready(Ok(())))
    }

    fn reap(&self, node: Node, incarnation: u64) -> BoxFuture<'_, Result<bool, RegistryError>> {
        let (mut leases, now) = (self.leases.lock(), Instant::now());
        let lost = Lease { incarnation, member: None, until: now, dead: true };
        let lease = leases.entry(node).or_insert_with(|| lost.clone());
        if lease.incarnation < incarnation {
            // the one before has its lease
            if !lease.dead && lease.until > now {
                return Box::pin(ready(Ok(false)));
            }
            *lease = lost;
        }
        lease.dead |= lease.incarnation == incarnation && lease.until <= now;
        Box::pin(ready(Ok(lease.dead || lease.incarnation > incarnation)))
    }

    fn sweep(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        let mut gone = Vec::new();
        let swept = |t: Token| t.node == node && t.incarnation <= incarnation;
        for shard in &self.shards {
            shard.lock().of.retain(|user, records| {
                records.retain(|record| {
                    let goes = gone.len() < limit && swept(record.token);
                    if goes {
                        gone.push(Entry { user: Arc::clone(user), record: record.clone() });
                    }
                    !goes
                });
                !records.is_empty()
            });
        }
        Box::pin(ready(Ok(gone)))
    }
}
