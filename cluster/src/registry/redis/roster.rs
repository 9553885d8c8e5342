//! What this node knows of the others, by its own clock; and whether the registry has everybody.
//!
//! Another node is dead when its lease is over by the clock of this one, which heard of it later than Redis granted it. Redis forgets
//! leases when it is emptied; this node does not.

use super::record::Lease;
use crate::{Member, Token, members::Roll};
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
    until: Instant,
    confirmed: u64,
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
    /// When all have published what they have, or are dead.
    complete: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Roster {
    grace: Duration,
    inner: RwLock<Inner>,
}

impl Known {
    fn lives(&self, now: Instant) -> bool {
        !self.dead && self.until > now
    }
}

impl Inner {
    fn lives(&self, token: Token, now: Instant) -> bool {
        self.nodes.get(&token.node).is_none_or(|known| {
            token.incarnation > known.incarnation
                || token.incarnation == known.incarnation && known.lives(now)
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

    /// When everybody is known and has confirmed, or is dead.
    fn judge(&mut self, now: Instant) {
        let missing = |known: &&Known| known.lives(now) && known.confirmed != self.epoch;
        let over = self.nodes.values().filter(missing).map(|known| known.until).max();
        self.complete = self.all_known.map(|known| over.map_or(known, |over| over.max(known)));
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
        inner.judge(now);
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

    /// Whether the session's node is alive. One that has no lease that this node knows of is.
    pub(super) fn lives(&self, token: Token) -> bool {
        self.inner.read().lives(token, Instant::now())
    }

    /// Whether all of them are.
    pub(super) fn all_live(&self, mut tokens: impl Iterator<Item = Token>) -> bool {
        let (inner, now) = (self.inner.read(), Instant::now());
        tokens.all(|token| inner.lives(token, now))
    }

    /// Of each node that is known, the first start that is not dead.
    pub(super) fn first_alive(&self) -> Vec<(Node, u64)> {
        let (inner, now) = (self.inner.read(), Instant::now());
        let first = |known: &Known| match known.lives(now) {
            true => known.incarnation,
            false => known.incarnation.saturating_add(1),
        };
        inner.nodes.iter().map(|(node, known)| (*node, first(known))).collect()
    }

    /// Whether the lease of that start is good as far as this node knows.
    pub(super) fn has_lease(&self, node: Node, incarnation: u64) -> bool {
        let (inner, now) = (self.inner.read(), Instant::now());
        let known = inner.nodes.get(&node).filter(|known| known.incarnation == incarnation);
        known.is_some_and(|known| known.lives(now))
    }

    /// That start has no lease any more.
    pub(super) fn bury(&self, node: Node, incarnation: u64) {
        let (mut inner, now) = (self.inner.write(), Instant::now());
        let known = inner.nodes.get_mut(&node).filter(|known| known.incarnation == incarnation);
        if let Some(known) = known {
            known.dead = true;
        }
        inner.judge(now);
    }
}

impl Heard {
    /// As those who have a lease see it.
    pub(super) fn roll(self) -> Roll {
        let good = |lease: &Lease| !lease.dead && !lease.left.is_zero();
        let members = self.leases.into_iter().filter(|(_, lease)| good(lease));
        let member = |lease: Lease| Some((lease.member?, lease.left));
        let mut members: Vec<(Member, Duration)> =
            members.filter_map(|(_, lease)| member(lease)).collect();
        members.sort_by_key(|(member, _)| member.node.name());
        Roll { epoch: self.epoch, members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TERM: Duration = Duration::from_secs(10);

    fn node(name: &str) -> Node {
        Node::new(name).unwrap()
    }

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
        tokio::time::advance(TERM).await;
        roster.hear(&heard(8, TERM, back()));
        assert_eq!(roster.complete(), Some(8), "b's lease is over");
        assert!(!roster.lives(token(b, 1)));
        roster.hear(&heard(9, SECOND, vec![(a, lease(1, TERM, 8)), (b, lease(2, TERM, 9))]));
        assert_eq!(roster.complete(), None, "a has not confirmed");
        roster.hear(&heard(9, SECOND, vec![(a, lease(1, TERM, 9))]));
        assert_eq!(roster.complete(), Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_starts_and_leases_that_are_over_are_dead() {
        let (roster, a) = (Roster::new(TERM), node("roster-a"));
        assert!(roster.lives(token(a, 1)), "nobody said that it is dead");
        roster.hear(&heard(7, TERM, vec![(a, lease(2, TERM, 7))]));
        let lives = |incarnation| roster.lives(token(a, incarnation));
        assert_eq!((lives(1), lives(2), lives(3)), (false, true, true));
        assert_eq!(roster.first_alive(), [(a, 2)]);
        tokio::time::advance(TERM).await;
        assert_eq!((lives(2), lives(3)), (false, true));
        assert_eq!(roster.first_alive(), [(a, 3)]);
        roster.hear(&heard(7, TERM, vec![(a, lease(2, TERM, 7))]));
        assert!(lives(2));
        roster.bury(a, 2);
        roster.hear(&heard(7, TERM, vec![(a, lease(2, TERM, 7))]));
        assert!(!lives(2), "what is dead stays so");
    }
}
