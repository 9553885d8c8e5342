//! What every registry promises, whatever keeps it. Two nodes look at one.

use crate::{
    Binding, Entry, Held, Member, Record, RegistryError, SessionRegistry, Standing, Taking, Token,
    members::Leases,
};
use futures_util::future::join_all;
use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};
use supervision::Node;

/// Both traits.
pub(crate) trait Registry: SessionRegistry + Leases {}
impl<T: SessionRegistry + Leases> Registry for T {}

/// A registry as two nodes see it.
pub(crate) struct Pair {
    pub(crate) a: Arc<dyn Registry>,
    pub(crate) b: Arc<dyn Registry>,
}

/// Longer than a test.
pub(crate) const TERM: Duration = Duration::from_secs(600);

pub(crate) fn node(name: &str) -> Node {
    Node::new(name).unwrap()
}

pub(crate) fn member(name: &str, incarnation: u64) -> Member {
    Member {
        node: node(name),
        incarnation,
        address: "127.0.0.1:1".to_owned(),
        version: "1".to_owned(),
        digest: u64::MAX,
        clock: 1,
        standing: Standing::Up,
        sessions: 0,
        confirmed: 0,
    }
}

pub(crate) fn token(name: &str, incarnation: u64, session: u64) -> Token {
    Token { node: node(name), incarnation, session }
}

pub(crate) fn record(resource: &str, token: Token) -> Record {
    Record { resource: resource.into(), token, priority: None, seq: 1 }
}

pub(crate) fn entry(user: &str, record: Record) -> Entry {
    Entry { user: user.into(), record }
}

/// Waits until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let waited = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "never: {what}");
}

impl Pair {
    async fn bind(&self, user: &str, record: &Record) -> Binding {
        self.a.bind(user, record.clone(), 10, Taking::Replace).await.unwrap()
    }

    /// What both come to see.
    async fn see(&self, user: &str, records: &[&Record]) {
        for registry in [&self.a, &self.b] {
            let same = || async {
                let Ok(seen) = registry.lookup(user).await else { return false };
                let known = records.iter().all(|record| seen.contains(record));
                known && seen.len() == records.len()
            };
            eventually(&format!("{user} is seen with {records:?}"), same).await;
        }
    }

    async fn join(&self, name: &str, incarnation: u64) {
        self.a.renew(&member(name, incarnation), TERM).await.unwrap();
    }

    /// A start whose lease is over, but which is not dead and may come back.
    async fn expire(&self, name: &str, incarnation: u64) {
        self.a.renew(&member(name, incarnation), Duration::from_millis(1)).await.unwrap();
        let over = || async {
            let roll = self.a.renew(&member("observer", 1), TERM).await.unwrap();
            let mut members = roll.members.iter();
            members.any(|(member, left)| member.node == node(name) && left.is_zero())
        };
        eventually("the lease is over", over).await;
    }

    async fn reaped(&self, name: &str, incarnation: u64) {
        let dead = || async { self.a.reap(node(name), incarnation).await.unwrap() };
        eventually("it is dead", dead).await;
    }
}

/// All of it.
pub(crate) async fn all(pair: &Pair) {
    binding(pair).await;
    taking(pair).await;
    limit(pair).await;
    race(pair).await;
    updating(pair).await;
    unbinding(pair).await;
    turns(pair).await;
    confirming(pair).await;
    leases(pair).await;
    reaping(pair).await;
    the_overdue(pair).await;
    the_dead(pair).await;
    sweeping(pair).await;
    sweeping_together(pair).await;
    anything_is_a_name(pair).await;
}

async fn turns(pair: &Pair) {
    let (user, short) = ("turns@x", Duration::from_millis(300));
    let [one, two] = [1, 2].map(|session| token("turns", 5, session));
    assert_eq!(pair.a.turn(user, one, TERM).await, Ok(true));
    assert_eq!(pair.b.turn(user, two, TERM).await, Ok(false));
    assert_eq!(pair.b.turn("another@x", two, TERM).await, Ok(true));
    // whose it is not ends nothing
    assert_eq!(pair.b.unbind(user, "two", two).await, Ok(false));
    assert_eq!(pair.b.turn(user, two, TERM).await, Ok(false));
    assert_eq!(pair.a.unbind(user, "one", one).await, Ok(false), "it was not bound");
    assert_eq!(pair.b.turn(user, two, short).await, Ok(true));
    assert_eq!(pair.b.turn(user, two, short).await, Ok(true), "again");
    eventually("over", || async { pair.a.turn(user, one, TERM).await == Ok(true) }).await;
    let many = (0..50).map(|n| pair.b.turn("many@x", token("turns", 5, n), TERM));
    let had = join_all(many).await.into_iter().filter(|had| *had == Ok(true)).count();
    assert_eq!(had, 1, "of many at once one has it");
}

async fn binding(pair: &Pair) {
    pair.join("binding", 5).await;
    let user = "binding@x";
    assert!(pair.b.lookup(user).await.unwrap().is_empty());
    let one = Record { priority: Some(-3), ..record("one", token("binding", 5, 1)) };
    assert_eq!(pair.bind(user, &one).await, Binding { replaced: None });
    assert_eq!(pair.bind(user, &one).await, Binding { replaced: None }, "again");
    let two = record("two", token("binding", 5, 2));
    pair.bind(user, &two).await;
    pair.see(user, &[&one, &two]).await;
    assert_eq!(pair.a.cached(user).unwrap().len(), 2);
    pair.a.forget(user);
    pair.see(user, &[&one, &two]).await;
}

async fn taking(pair: &Pair) {
    pair.join("taking", 5).await;
    let (user, old) = ("taking@x", record("r", token("taking", 5, 1)));
    pair.bind(user, &old).await;
    let new = record("r", token("taking", 5, 2));
    let kept = pair.b.bind(user, new.clone(), 10, Taking::Keep).await;
    assert_eq!(kept, Err(RegistryError::Taken(old.clone())));
    pair.see(user, &[&old]).await;
    let took = pair.b.bind(user, new.clone(), 10, Taking::Replace).await;
    assert_eq!(took, Ok(Binding { replaced: Some(old) }));
    let again = pair.b.bind(user, new.clone(), 10, Taking::Replace).await;
    assert_eq!(again, Ok(Binding { replaced: None }));
    pair.see(user, &[&new]).await;
}

async fn limit(pair: &Pair) {
    pair.join("limit", 5).await;
    pair.join("limit-dies", 5).await;
    let user = "limit@x";
    for (session, resource) in (1..).zip(["one", "two"]) {
        pair.bind(user, &record(resource, token("limit", 5, session))).await;
    }
    pair.bind(user, &record("three", token("limit-dies", 5, 3))).await;
    let more =
        |resource| pair.a.bind(user, record(resource, token("limit", 5, 4)), 3, Taking::Replace);
    assert_eq!(more("four").await, Err(RegistryError::ResourceLimit { limit: 3 }));
    assert!(more("two").await.unwrap().replaced.is_some(), "what replaces is no more");
    pair.a.leave(&member("limit-dies", 5)).await.unwrap();
    assert_eq!(more("four").await, Ok(Binding { replaced: None }), "a dead node's does not count");
    assert_eq!(more("five").await, Err(RegistryError::ResourceLimit { limit: 3 }));
}

/// Many at once, from both nodes: never more than the limit.
async fn race(pair: &Pair) {
    pair.join("race", 5).await;
    let bind = |n: u64| {
        let registry = if n.is_multiple_of(2) { &pair.a } else { &pair.b };
        let record = record(&format!("r{n}"), token("race", 5, n));
        registry.bind("race@x", record, 5, Taking::Replace)
    };
    let bound = join_all((0..50).map(bind)).await;
    let full = Err(RegistryError::ResourceLimit { limit: 5 });
    assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 5);
    assert_eq!(bound.iter().filter(|bound| **bound == full).count(), 45);
    assert_eq!(pair.a.lookup("race@x").await.unwrap().len(), 5);
}

async fn updating(pair: &Pair) {
    pair.join("updating", 5).await;
    let (user, mine) = ("updating@x", token("updating", 5, 1));
    let update = |token, seq, priority| pair.a.update(user, "r", token, seq, priority);
    assert_eq!(update(mine, 2, Some(1)).await, Ok(Held::Nobody));
    let mut now = record("r", mine);
    pair.bind(user, &now).await;
    assert_eq!(update(mine, 3, Some(7)).await, Ok(Held::Yes));
    (now.seq, now.priority) = (3, Some(7));
    pair.see(user, &[&now]).await;
    for overtaken in [2, 3] {
        assert_eq!(update(mine, overtaken, None).await, Ok(Held::Yes));
    }
    // a bind that is tried again is overtaken too
    pair.bind(user, &record("r", mine)).await;
    assert!(pair.a.confirm(vec![entry(user, record("r", mine))]).await.unwrap().is_empty());
    pair.see(user, &[&now]).await;
    let other = Token { session: 2, ..mine };
    assert_eq!(update(other, 9, None).await, Ok(Held::Other(now.clone())));
    assert_eq!(update(mine, 1 << 60, None).await, Ok(Held::Yes));
    assert_eq!(update(mine, (1 << 60) - 1, Some(1)).await, Ok(Held::Yes), "exact beyond 53 bits");
    (now.seq, now.priority) = (1 << 60, None);
    pair.see(user, &[&now]).await;
}

async fn unbinding(pair: &Pair) {
    pair.join("unbinding", 5).await;
    let (user, first) = ("unbinding@x", token("unbinding", 5, 1));
    let unbind = |token| pair.a.unbind(user, "r", token);
    assert_eq!(unbind(first).await, Ok(false));
    pair.bind(user, &record("r", first)).await;
    let second = record("r", token("unbinding", 5, 2));
    pair.bind(user, &second).await;
    assert_eq!(unbind(first).await, Ok(false), "a late one does not remove the successor");
    pair.see(user, &[&second]).await;
    assert_eq!(unbind(second.token).await, Ok(true));
    assert_eq!(unbind(second.token).await, Ok(false));
    pair.see(user, &[]).await;
}

async fn confirming(pair: &Pair) {
    for name in ["confirming", "confirming-other"] {
        pair.join(name, 5).await;
    }
    let taken = record("taken", token("confirming-other", 5, 1));
    pair.bind("confirming1@x", &taken).await;
    let mine: Vec<Entry> = (0..300)
        .map(|n| {
            entry(
                &format!("confirming{}@x", n % 7),
                record(&format!("r{n}"), token("confirming", 5, n)),
            )
        })
        .collect();
    let mut all = mine.clone();
    all.push(entry("confirming1@x", record("taken", token("confirming", 5, 1000))));
    for _ in 0..2 {
        let others = pair.a.confirm(all.clone()).await.unwrap();
        assert_eq!(others, [entry("confirming1@x", taken.clone())]);
    }
    let seen = pair.b.lookup("confirming1@x").await.unwrap();
    let there = mine.iter().filter(|entry| &*entry.user == "confirming1@x");
    assert_eq!(seen.len(), there.count() + 1, "whatever the limit");
    assert!(pair.a.confirm(Vec::new()).await.unwrap().is_empty());
}

async fn leases(pair: &Pair) {
    let (one, two) = (member("leases-one", 5), member("leases-two", u64::MAX));
    pair.a.renew(&one, TERM).await.unwrap();
    let roll = pair.b.renew(&two, TERM).await.unwrap();
    assert_ne!(roll.epoch, 0);
    for me in [&one, &two] {
        let (said, left) = roll.members.iter().find(|(member, _)| member.node == me.node).unwrap();
        assert_eq!(said, &Member { confirmed: said.confirmed, ..me.clone() });
        assert!(*left <= TERM && *left > TERM / 2);
    }
    assert_eq!(pair.a.renew(&one, TERM).await.unwrap().epoch, roll.epoch);
    let before = member("leases-one", 4);
    assert_eq!(pair.b.renew(&before, TERM).await, Err(RegistryError::Fenced));
    let after = Member { incarnation: 6, ..one.clone() };
    pair.b.renew(&after, TERM).await.unwrap();
    assert_eq!(pair.a.renew(&one, TERM).await, Err(RegistryError::Fenced));
    // an earlier start that gives back what it has no more changes nothing
    pair.a.leave(&one).await.unwrap();
    pair.b.renew(&after, TERM).await.unwrap();
    pair.b.leave(&after).await.unwrap();
    assert_eq!(pair.b.renew(&after, TERM).await, Err(RegistryError::Dead), "it has left");
    let roll = pair.a.renew(&two, TERM).await.unwrap();
    assert!(roll.members.iter().all(|(member, _)| member.node != one.node));
}

async fn reaping(pair: &Pair) {
    let name = "reaping";
    pair.join(name, 5).await;
    assert_eq!(pair.b.reap(node(name), 5).await, Ok(false), "its lease is good");
    assert_eq!(pair.b.reap(node(name), 4).await, Ok(true), "an earlier start is dead");
    assert_eq!(pair.b.reap(node(name), 6).await, Ok(false), "the one before has its lease");
    pair.join(name, 5).await;
    for _ in 0..2 {
        // it may be late, as long as nobody declared it dead
        pair.expire("reaping-late", 5).await;
    }
    pair.reaped("reaping-late", 5).await;
    let late = pair.a.renew(&member("reaping-late", 5), TERM).await;
    assert_eq!(late, Err(RegistryError::Dead), "it was declared dead");
    pair.join("reaping-late", 6).await;
    assert_eq!(pair.b.reap(node("reaping-never"), 5).await, Ok(true), "nobody has a lease");
    let never = pair.a.renew(&member("reaping-never", 5), TERM).await;
    assert_eq!(never, Err(RegistryError::Dead), "it can never renew it");
}

/// A lease that is over changes nothing before somebody declares the node dead.
async fn the_overdue(pair: &Pair) {
    let (name, user) = ("overdue", "overdue@x");
    pair.expire(name, 5).await;
    let held = record("r", token(name, 5, 1));
    pair.bind(user, &held).await;
    pair.join("overdue-other", 5).await;
    let other = |resource| record(resource, token("overdue-other", 5, 1));
    for registry in [&pair.a, &pair.b] {
        // they hear that the lease is over
        registry.renew(&member("overdue-other", 5), TERM).await.unwrap();
        let kept = registry.bind(user, other("r"), 10, Taking::Keep).await;
        assert_eq!(kept, Err(RegistryError::Taken(held.clone())));
        let more = registry.bind(user, other("s"), 1, Taking::Replace).await;
        assert_eq!(more, Err(RegistryError::ResourceLimit { limit: 1 }));
        let others = registry.confirm(vec![entry(user, other("r"))]).await.unwrap();
        assert_eq!(others, [entry(user, held.clone())]);
        assert_eq!(&*registry.lookup(user).await.unwrap(), std::slice::from_ref(&held));
        assert!(registry.cached(user).is_none_or(|cached| *cached == [held.clone()]));
    }
    pair.reaped(name, 5).await;
    pair.b.renew(&member("overdue-other", 5), TERM).await.unwrap();
    pair.see(user, &[]).await;
    let roll = pair.b.renew(&member("overdue-other", 5), TERM).await.unwrap();
    assert!(roll.members.iter().all(|(member, _)| member.node != node(name)));
    let taken = pair.b.bind(user, other("r"), 1, Taking::Keep).await;
    assert_eq!(taken, Ok(Binding { replaced: None }));
}

/// Records of dead nodes are no records.
async fn the_dead(pair: &Pair) {
    let user = "dead@x";
    for name in ["dead-old", "dead-over", "dead-left", "dead-not"] {
        if name != "dead-over" {
            pair.join(name, 5).await;
        }
        pair.bind(user, &record(name, token(name, 5, 1))).await;
    }
    let lives = record("dead-not", token("dead-not", 5, 1));
    pair.join("dead-old", 6).await;
    pair.expire("dead-over", 5).await;
    pair.a.leave(&member("dead-left", 5)).await.unwrap();
    // both hear of it
    pair.b.renew(&member("dead-not", 5), TERM).await.unwrap();
    pair.reaped("dead-over", 5).await;
    let gone = || async { pair.a.lookup(user).await.unwrap().len() == 1 };
    eventually("the dead are gone", gone).await;
    assert_eq!(&*pair.a.lookup(user).await.unwrap(), std::slice::from_ref(&lives));
    let again = record("dead-left", token("dead-not", 5, 2));
    let bound = pair.a.bind(user, again.clone(), 10, Taking::Keep).await;
    assert_eq!(bound, Ok(Binding { replaced: None }), "nobody has it");
    let old = entry(user, record("dead-old", token("dead-not", 5, 3)));
    assert_eq!(pair.a.confirm(vec![old.clone()]).await, Ok(Vec::new()));
    let seen = || async { pair.a.lookup(user).await.unwrap().len() == 3 };
    eventually("what lives is seen", seen).await;
}

async fn die(pair: &Pair, name: &str, incarnation: u64) {
    pair.a.leave(&member(name, incarnation)).await.unwrap();
    assert_eq!(pair.a.reap(node(name), incarnation).await, Ok(true));
}

async fn sweep_all(
    registry: &dyn Registry,
    name: &str,
    incarnation: u64,
    limit: usize,
) -> Vec<Entry> {
    let mut gone = Vec::new();
    loop {
        let some = registry.sweep(node(name), incarnation, limit).await.unwrap();
        assert!(some.len() <= limit);
        if some.is_empty() {
            return gone;
        }
        gone.extend(some);
    }
}

async fn sweeping(pair: &Pair) {
    let name = "sweeping";
    pair.join(name, 5).await;
    let of = |incarnation: u64, n: u64| {
        entry(
            &format!("sweeping{n}@x"),
            record(&format!("r{incarnation}"), token(name, incarnation, n)),
        )
    };
    let first: Vec<Entry> = (0..150).map(|n| of(5, n)).collect();
    pair.a.confirm(first.clone()).await.unwrap();
    pair.join(name, 6).await;
    let later: Vec<Entry> = (0..150).map(|n| of(6, n)).collect();
    pair.a.confirm(later.clone()).await.unwrap();
    let names = |entries: &[Entry]| -> HashSet<Entry> { entries.iter().cloned().collect() };
    let gone = sweep_all(&*pair.b, name, 5, 40).await;
    assert_eq!((gone.len(), names(&gone)), (150, names(&first)), "of that start only");
    pair.see("sweeping3@x", &[&later[3].record]).await;
    die(pair, name, 6).await;
    let gone = sweep_all(&*pair.a, name, 6, 1000).await;
    assert_eq!(names(&gone), names(&later));
    assert!(sweep_all(&*pair.b, "sweeping-nobody", 5, 10).await.is_empty());
}

async fn sweeping_together(pair: &Pair) {
    let name = "together";
    pair.join(name, 5).await;
    let of = |n: u64| entry(&format!("together{n}@x"), record("r", token(name, 5, n)));
    pair.a.confirm((0..500).map(of).collect()).await.unwrap();
    die(pair, name, 5).await;
    let (a, b) = tokio::join!(sweep_all(&*pair.a, name, 5, 30), sweep_all(&*pair.b, name, 5, 30));
    let all: HashSet<Entry> = a.iter().chain(&b).cloned().collect();
    assert_eq!((a.len() + b.len(), all.len()), (500, 500), "each gets others");
}

async fn anything_is_a_name(pair: &Pair) {
    let long = "n".repeat(255);
    for name in ["na}m{e:1", "ä", &long] {
        pair.join(name, 5).await;
        for user in ["", "a}:{b", "\0", "💧@x"] {
            let record = record("\0 }{ ä", token(name, 5, 1));
            pair.bind(user, &record).await;
            pair.see(user, &[&record]).await;
        }
        die(pair, name, 5).await;
        assert_eq!(sweep_all(&*pair.a, name, 5, 10).await.len(), 4);
    }
}

#[tokio::test]
async fn of_memory() {
    let registry = Arc::new(crate::MemoryRegistry::default());
    let (a, b): (Arc<dyn Registry>, Arc<dyn Registry>) = (Arc::clone(&registry) as _, registry);
    all(&Pair { a, b }).await;
}
