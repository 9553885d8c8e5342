//! What is known of the leases, and what follows from it. Pure: times come from outside.

use super::{Member, Roll};
use crate::relay::Start;
use std::{collections::BTreeMap, time::Duration};
use supervision::Node;
use tokio::time::Instant;

/// How long leases are good, and how wrong clocks may be.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// For how long a lease is good from when it was asked for.
    pub lease: Duration,
    /// How much earlier a node stops acting, and how much later others take it for dead.
    pub margin: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { lease: s(10), margin: s(1), renew: s(3) }
    }
}

#[derive(Clone, Debug)]
struct Known {
    member: Member,
    until: Instant,
    /// By how many ms its wall clock is ahead.
    skew: i64,
}

/// What has become of the nodes since it was looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This start of a node is there.
    Up(Start),
    /// There is a later start of the node: this one is no more.
    Over(Start),
}

/// What this node knows of the others' leases, and of its own.
#[derive(Debug)]
pub(super) struct Book {
    terms: Terms,
    known: BTreeMap<Node, Known>,
    epoch: u64,
    /// Until when this node may act.
    mine: Option<Instant>,
}

impl Book {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, known: BTreeMap::new(), epoch: 0, mine: None }
    }

    /// The authority renewed the lease of this node, asked for at that time, and read the roll. `now` is this moment, also by the wall
    /// clock.
    pub(super) fn renewed(
        &mut self,
        me: Node,
        asked: Instant,
        now: (Instant, u64),
        roll: &Roll,
    ) -> Vec<Change> {
        self.mine = Some(asked + self.terms.lease - self.terms.margin);
        self.reads(me, now, roll)
    }

    /// By how many ms a clock is ahead of this node's (`clock`), of which a lease says what it was when it was renewed.
    fn skew(&self, (member, left): &(Member, Duration), clock: u64) -> i64 {
        let age = self.terms.lease.saturating_sub(*left).as_millis();
        let theirs = i128::from(member.clock) + i128::try_from(age).unwrap_or_default();
        i64::try_from(theirs - i128::from(clock)).unwrap_or_default()
    }

    /// The roll, read just now.
    fn reads(&mut self, me: Node, (now, clock): (Instant, u64), roll: &Roll) -> Vec<Change> {
        self.epoch = roll.epoch;
        let mut changes = Vec::new();
        for of @ (member, left) in roll.members.iter().filter(|(member, _)| member.node != me) {
            let (until, skew) = (now + *left, self.skew(of, clock));
            let start = start(member);
            match self.known.get_mut(&member.node) {
                Some(known) if known.member.incarnation > member.incarnation => {}
                Some(known) if known.member.incarnation == member.incarnation => {
                    known.member = member.clone();
                    known.until = known.until.max(until);
                    known.skew = skew;
                }
                Some(known) => {
                    let before = self::start(&known.member);
                    *known = Known { member: member.clone(), until, skew };
                    changes.extend([Change::Over(before), Change::Up(start)]);
                }
                None => {
                    self.known.insert(member.node, Known { member: member.clone(), until, skew });
                    changes.push(Change::Up(start));
                }
            }
        }
        changes
    }

    /// Without the authority, all others that are alive have promised not to take this node for dead, asked at that time.
    pub(super) fn all_promised(&mut self, asked: Instant) {
        self.mine = self.mine.max(Some(asked + self.terms.lease - self.terms.margin));
    }

    /// This node promises another not to take it for dead for the length of a lease. `false`: that start is not known, or no more.
    pub(super) fn promises(&mut self, other: Start, now: Instant) -> bool {
        let Some(known) = self.known.get_mut(&other.node) else { return false };
        if known.member.incarnation != other.incarnation {
            return false;
        }
        known.until = known.until.max(now + self.terms.lease);
        true
    }

    /// That start of a node is no more.
    pub(super) fn buries(&mut self, dead: Start) {
        if self.known.get(&dead.node).is_some_and(|known| start(&known.member) == dead) {
            self.known.remove(&dead.node);
        }
    }

    /// Those whose leases are over, so that the authority may be asked to declare them dead.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Start> {
        let over = |known: &&Known| known.until + self.terms.margin <= now;
        self.known.values().filter(over).map(|known| start(&known.member)).collect()
    }

    /// Each with the end of its lease, and by how many ms its clock is ahead.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Member, Instant, i64)> {
        self.known.values().map(|known| (&known.member, known.until, known.skew))
    }

    /// Until when this node may act; `None`: it has no lease.
    pub(super) fn mine(&self) -> Option<Instant> {
        self.mine
    }

    /// Which emptying of the authority this is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

pub(super) fn start(member: &Member) -> Start {
    Start { node: member.node, incarnation: member.incarnation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Standing;

    fn member(name: &str, incarnation: u64, confirmed: u64) -> Member {
        Member {
            node: Node::new(name).unwrap(),
            incarnation,
            address: String::new(),
            version: String::new(),
            digest: 0,
            clock: 0,
            standing: Standing::Up,
            sessions: 0,
            confirmed,
        }
    }

    fn roll(epoch: u64, members: &[(&str, u64, u64)]) -> Roll {
        let of = |(name, incarnation, confirmed): &(&str, u64, u64)| {
            (member(name, *incarnation, *confirmed), Duration::from_secs(10))
        };
        Roll { epoch, members: members.iter().map(of).collect() }
    }

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn at(name: &str, incarnation: u64) -> Start {
        Start { node: Node::new(name).unwrap(), incarnation }
    }

    #[test]
    fn a_node_acts_for_less_than_others_wait() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        assert_eq!(book.mine(), None);
        // the answer took a second
        let changes = book.renewed(me, now, (now + s(1), 0), &roll(1, &[("a", 1, 1), ("b", 1, 1)]));
        assert_eq!(changes, [Change::Up(at("b", 1))]);
        assert_eq!(book.mine(), Some(now + s(9)));
        assert_eq!(book.overdue(now + s(11)), []);
        assert_eq!(book.overdue(now + s(12)), [at("b", 1)]);
        book.buries(at("b", 1));
        assert_eq!((book.overdue(now + s(99)), book.others().count()), (vec![], 0));
    }

    #[test]
    fn a_promise_is_kept_and_only_of_the_start_that_is_known() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)]));
        assert!(!book.promises(at("b", 1), now) && !book.promises(at("c", 1), now));
        assert!(book.promises(at("b", 2), now + s(8)));
        assert_eq!(book.overdue(now + s(18)), []);
        assert_eq!(book.overdue(now + s(19)), [at("b", 2)]);
        // without the authority
        book.all_promised(now + s(5));
        assert_eq!(book.mine(), Some(now + s(14)));
        book.all_promised(now);
        assert_eq!(book.mine(), Some(now + s(14)));
    }

    #[test]
    fn of_two_starts_the_later_one_is_there() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)]));
        let later = book.renewed(me, now, (now, 0), &roll(1, &[("b", 3, 1)]));
        assert_eq!(later, [Change::Over(at("b", 2)), Change::Up(at("b", 3))]);
        assert_eq!(book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)])), []);
        book.buries(at("b", 2));
        assert_eq!(book.others().count(), 1);
    }

    #[test]
    fn how_far_a_clock_is_ahead_counts_from_when_it_was_told() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        let mut old = roll(1, &[("b", 1, 1)]);
        old.members[0].0.clock = 100_000;
        // renewed three seconds ago
        old.members[0].1 = s(7);
        book.renewed(me, now, (now, 101_500), &old);
        assert_eq!(book.others().map(|(_, _, skew)| skew).collect::<Vec<_>>(), [1_500]);
        book.renewed(me, now, (now, 104_000), &old);
        assert_eq!(book.others().map(|(_, _, skew)| skew).collect::<Vec<_>>(), [-1_000]);
    }
}
