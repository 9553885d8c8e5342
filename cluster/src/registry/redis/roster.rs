//! What this node knows of the others, by its own clock; and whether the registry has everybody.
//!
//! Another node is alive until it was declared dead, or has left: when its lease is over it may act by promises of others, and after a
//! hang of Redis all leases are over. Redis forgets who is alive and who is dead when it is emptied; this node does not.

use super::record::Lease;
use crate::{
    Token,
    members::{Member, Roll},
};
use parking_lot::RwLock;
use std::{collections::HashMap, time::Duration};
use supervision::Node;
use tokio::time::Instant;

/// For how long what Redis said of leases is good for reading by. Less than a lease is.
const FRESH: Duration = Duration::from_secs(3);

/// What Redis says of leases.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) epoch: u64,
    /// How long ago the epoch was made.
    pub(super) age: Duration,
    /// The servers it was made on.
    pub(super) servers: String,
    pub(super) leases: Vec<(Node, Lease)>,
}

#[derive(Clone, Debug)]
struct Known {
    incarnation: u64,
    dead: bool,
    /// When its lease is over, by this node's clock.
    until: Instant,
    confirmed: u64,
    member: Option<Member>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: u64,
    nodes: HashMap<Node, Known>,
    heard: Option<Instant>,
    /// All who had a lease when it last heard of them were known.
    knows: bool,
    /// From when on those who had a lease before the epoch are known.
    all_known: Option<Instant>,
    /// From when on all have published what they have, or are dead; `None`: not all have.
    complete: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Roster {
    grace: Duration,
    inner: RwLock<Inner>,
}

impl Inner {
    fn lives(&self, token: Token) -> bool {
        self.nodes.get(&token.node).is_none_or(|known| {
            token.incarnation > known.incarnation
                || token.incarnation == known.incarnation && !known.dead
        })
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.duration_since(heard) < FRESH)
    }

    fn learn(&mut self, node: Node, lease: &Lease, now: Instant) {
        let new = Known {
            incarnation: lease.incarnation,
            dead: lease.dead,
            until: now + lease.left,
            confirmed: lease.confirmed,
            member: lease.member.clone(),
        };
        let known = self.nodes.entry(node).or_insert_with(|| new.clone());
        if known.incarnation < new.incarnation {
            *known = new;
        } else if known.incarnation == new.incarnation {
            // a lease that was once granted is not shortened by an authority that forgot it
            let until = known.until.max(new.until);
            *known = Known { dead: known.dead || new.dead, until, ..new };
        }
    }

    /// Whether everybody has confirmed, or is dead.
    fn judge(&mut self) {
        let missing = |known: &Known| !known.dead && known.confirmed != self.epoch;
        self.complete = self.all_known.filter(|_| !self.nodes.values().any(missing));
    }
}

impl Roster {
    /// `grace`: no node's lease is longer than that.
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, inner: RwLock::default() }
    }

    /// Redis said this.
    pub(super) fn hear(&self, heard: &Heard) {
        let now = Instant::now();
        let mut inner = self.inner.write();
        let lately = inner.heard.is_some_and(|then| now.duration_since(then) <= self.grace);
        inner.knows = lately && (inner.knows || inner.all_known.is_some_and(|then| then <= now));
        if inner.epoch != heard.epoch {
            let wait = self.grace.saturating_sub(heard.age);
            // who was there before knows the others; who was not, waits until none can be left that has not said so
            let from = if inner.knows { now } else { now + wait };
            inner.all_known = (heard.epoch != 0).then_some(from);
            inner.epoch = heard.epoch;
        }
        inner.heard = Some(now);
        for (node, lease) in &heard.leases {
            inner.learn(*node, lease, now);
        }
        inner.judge();
    }

    /// 0: none yet.
    pub(super) fn epoch(&self) -> u64 {
        self.inner.read().epoch
    }

    /// The epoch, if the registry has everybody.
    pub(super) fn complete(&self) -> Option<u64> {
        let (inner, now) = (self.inner.read(), Instant::now());
        let complete = inner.complete.is_some_and(|then| then <= now);
        (complete && inner.is_fresh(now)).then_some(inner.epoch)
    }

    /// Whether the session's node is alive. One that this node has not heard of is.
    pub(super) fn lives(&self, token: Token) -> bool {
        self.inner.read().lives(token)
    }

    /// Whether all of them are.
    pub(super) fn all_live(&self, mut tokens: impl Iterator<Item = Token>) -> bool {
        let inner = self.inner.read();
        tokens.all(|token| inner.lives(token))
    }

    /// Of each node that is known, the first start that is not dead.
    pub(super) fn first_alive(&self) -> Vec<(Node, u64)> {
        let inner = self.inner.read();
        let first = |known: &Known| known.incarnation.saturating_add(u64::from(known.dead));
        inner.nodes.iter().map(|(node, known)| (*node, first(known))).collect()
    }

    /// Whether the lease of that start is good as far as this node knows.
    pub(super) fn has_lease(&self, node: Node, incarnation: u64) -> bool {
        let (inner, now) = (self.inner.read(), Instant::now());
        let known = inner.nodes.get(&node).filter(|known| known.incarnation == incarnation);
        known.is_some_and(|known| !known.dead && known.until > now)
    }

    /// All that are not dead, those too that Redis has forgotten: so that somebody has them declared dead if they do not come back.
    pub(super) fn roll(&self) -> Roll {
        let (inner, now) = (self.inner.read(), Instant::now());
        let live = inner.nodes.values().filter(|known| !known.dead);
        let member = |known: &Known| {
            Some((known.member.clone()?, known.until.saturating_duration_since(now)))
        };
        let mut members: Vec<(Member, Duration)> = live.filter_map(member).collect();
        members.sort_by_key(|(member, _)| member.node.name());
        Roll { epoch: inner.epoch, members }
    }

    /// That start was declared dead, or has left.
    pub(super) fn bury(&self, node: Node, incarnation: u64) {
        let (mut inner, now) = (self.inner.write(), Instant::now());
        let left = Duration::ZERO;
        let dead = Lease { incarnation, dead: true, left, confirmed: 0, member: None };
        inner.learn(node, &dead, now);
        inner.judge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::conformance::{member, node};

    const SECOND: Duration = Duration::from_secs(1);
    const TERM: Duration = Duration::from_secs(10);

    fn lease(incarnation: u64, left: Duration, confirmed: u64) -> Lease {
        Lease { incarnation, dead: false, left, confirmed, member: None }
    }

    fn heard(epoch: u64, age: Duration, leases: Vec<(Node, Lease)>) -> Heard {
        Heard { epoch, age, servers: String::new(), leases }
    }

    fn token(node: Node, incarnation: u64) -> Token {
        Token { node, incarnation, session: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn who_just_started_waits_until_no_lease_from_before_can_be_good() {
        let (roster, a) = (Roster::new(TERM), node("roster-a"));
        assert_eq!(roster.complete(), None);
        let say = |age| roster.hear(&heard(7, age, vec![(a, lease(1, TERM, 7))]));
        say(4 * SECOND);
        assert_eq!(roster.complete(), None);
        for second in 5..10 {
            tokio::time::advance(SECOND).await;
            say(second * SECOND);
            assert_eq!(roster.complete(), None);
        }
        tokio::time::advance(SECOND).await;
        say(TERM);
        assert_eq!(roster.complete(), Some(7));
        tokio::time::advance(FRESH).await;
        assert_eq!(roster.complete(), None, "nothing was heard for too long");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_there_waits_for_those_that_were_there_too() {
        let (roster, a, b) = (Roster::new(TERM), node("roster-a"), node("roster-b"));
        roster.hear(&heard(7, TERM, vec![(a, lease(1, TERM, 7)), (b, lease(1, TERM, 7))]));
        assert_eq!(roster.complete(), Some(7));
        // emptied: only this node has been back
        roster.hear(&heard(0, Duration::ZERO, vec![]));
        assert_eq!(roster.complete(), None, "there is no epoch");
        let back = || vec![(a, lease(1, TERM, 8))];
        roster.hear(&heard(8, SECOND, back()));
        assert_eq!(roster.complete(), None, "b has not confirmed");
        assert!(roster.lives(token(b, 1)));
        tokio::time::advance(2 * TERM).await;
        roster.hear(&heard(8, TERM, back()));
        assert_eq!(roster.complete(), None, "b may act by promises of others");
        assert!(roster.lives(token(b, 1)) && !roster.has_lease(b, 1));
        let dead = Lease { dead: true, ..lease(1, Duration::ZERO, 0) };
        roster.hear(&heard(8, TERM, back().into_iter().chain([(b, dead)]).collect()));
        assert_eq!(roster.complete(), Some(8), "b was declared dead");
        assert!(!roster.lives(token(b, 1)));
        roster.hear(&heard(9, SECOND, vec![(a, lease(1, TERM, 8)), (b, lease(2, TERM, 9))]));
        assert_eq!(roster.complete(), None, "a has not confirmed");
        roster.hear(&heard(9, SECOND, vec![(a, lease(1, TERM, 9))]));
        assert_eq!(roster.complete(), Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_starts_and_those_declared_dead_are_dead() {
        let (roster, a) = (Roster::new(TERM), node("roster-a"));
        assert!(roster.lives(token(a, 1)), "nobody said that it is dead");
        roster.hear(&heard(7, TERM, vec![(a, lease(2, TERM, 7))]));
        let lives = |incarnation| roster.lives(token(a, incarnation));
        assert_eq!((lives(1), lives(2), lives(3)), (false, true, true));
        assert_eq!(roster.first_alive(), [(a, 2)]);
        tokio::time::advance(TERM).await;
        assert!(lives(2) && !roster.has_lease(a, 2), "its lease is over");
        assert_eq!(roster.first_alive(), [(a, 2)]);
        roster.bury(a, 2);
        assert_eq!((lives(2), lives(3)), (false, true));
        assert_eq!(roster.first_alive(), [(a, 3)]);
        roster.hear(&heard(7, TERM, vec![(a, lease(2, TERM, 7))]));
        assert!(!lives(2), "what is dead stays so");
    }

    #[tokio::test(start_paused = true)]
    async fn the_roll_has_all_that_are_not_dead() {
        let (roster, a, b) = (Roster::new(TERM), node("roster-a"), node("roster-b"));
        let of = |name: &str| Lease { member: Some(member(name, 1)), ..lease(1, TERM, 7) };
        roster.hear(&heard(7, TERM, vec![(a, of("roster-a")), (b, of("roster-b"))]));
        let roll = || {
            let members = roster.roll().members.into_iter();
            members.map(|(member, left)| (member.node, left)).collect::<Vec<_>>()
        };
        assert_eq!(roll(), [(a, TERM), (b, TERM)]);
        tokio::time::advance(2 * TERM).await;
        roster.hear(&heard(8, TERM, vec![(a, of("roster-a"))]));
        assert_eq!(roll(), [(a, TERM), (b, Duration::ZERO)], "Redis has forgotten b");
        roster.bury(b, 1);
        assert_eq!(roll(), [(a, TERM)]);
        let stranger = node("roster-stranger");
        roster.bury(stranger, 2);
        let lives = |incarnation| roster.lives(token(stranger, incarnation));
        assert_eq!((lives(2), lives(3)), (false, true), "nobody but this node has heard of it");
    }
}
