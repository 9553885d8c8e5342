//! What is known of the leases, and what follows from it. Pure: times come from outside.

use super::{Member, Roll};
use crate::relay::Start;
use std::{cmp::Ordering, collections::BTreeMap, time::Duration};
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
    /// For how long nodes act by promises of one another, without the authority.
    pub promised: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { lease: s(10), margin: s(1), renew: s(3), promised: s(600) }
    }
}

#[derive(Clone, Debug)]
struct Known {
    member: Member,
    until: Instant,
    /// By how many ms its wall clock is ahead.
    skew: i64,
    /// It knows this start of this node, so it does not act by the promises of others alone.
    knows_me: bool,
}

/// What has become of the nodes since it was looked at before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This start of a node is there.
    Up(Box<Member>),
    /// There is a later start of the node: this one is no more.
    Over(Start),
}

/// What this node knows of the others' leases, and of its own.
#[derive(Debug)]
pub(super) struct Book {
    terms: Terms,
    known: BTreeMap<Node, Known>,
    /// Of each node the last start that was declared dead: whoever has forgotten it.
    dead: BTreeMap<Node, u64>,
    epoch: u64,
    /// Since when the authority has answered each time, and has lost nothing.
    in_touch: Option<Instant>,
    /// Until when this node may act.
    mine: Option<Instant>,
    /// Until when by promises.
    at_most: Option<Instant>,
}

impl Book {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            known: BTreeMap::new(),
            dead: BTreeMap::new(),
            epoch: 0,
            in_touch: None,
            mine: None,
            at_most: None,
        }
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
        self.by_authority(asked);
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
        if std::mem::replace(&mut self.epoch, roll.epoch) != roll.epoch {
            self.in_touch = None;
        }
        self.in_touch.get_or_insert(now);
        let mut changes = Vec::new();
        for of @ (member, left) in roll.members.iter().filter(|(member, _)| member.node != me) {
            changes.extend(self.meets(member, (now, now + *left), self.skew(of, clock)));
        }
        changes
    }

    /// A node is there, until then at least.
    fn meets(
        &mut self,
        member: &Member,
        (now, until): (Instant, Instant),
        skew: i64,
    ) -> Vec<Change> {
        if self.is_dead(start(member)) {
            return Vec::new();
        }
        let (member, knows_me) = (member.clone(), false);
        let met = Known { member, until, skew, knows_me };
        let member = met.member.clone();
        let Some(known) = self.known.get_mut(&member.node) else {
            self.known.insert(member.node, met);
            return vec![Change::Up(Box::new(member))];
        };
        match known.member.incarnation.cmp(&member.incarnation) {
            Ordering::Greater => Vec::new(),
            Ordering::Equal => {
                // one that is over says nothing of when it was: each look at the roll would put it off
                if until > now {
                    known.until = known.until.max(until);
                }
                (known.member, known.skew) = (met.member, skew);
                Vec::new()
            }
            Ordering::Less => {
                let before = start(&known.member);
                *known = met;
                vec![Change::Over(before), Change::Up(Box::new(member))]
            }
        }
    }

    /// Another has introduced itself, just now.
    pub(super) fn hears_of(&mut self, other: &Member, (now, clock): (Instant, u64)) -> Vec<Change> {
        let until = now + self.terms.lease;
        self.meets(other, (now, until), self.skew(&(other.clone(), self.terms.lease), clock))
    }

    /// That start of a node knows this one, and takes no promises of others without one of this node.
    /// What it was promised before is good for a lease.
    pub(super) fn is_known_to(&mut self, other: Start, now: Instant) {
        let known = self.known.get_mut(&other.node);
        if let Some(known) = known.filter(|known| start(&known.member) == other)
            && !std::mem::replace(&mut known.knows_me, true)
        {
            known.until = known.until.max(now + self.terms.lease);
        }
    }

    /// Those that have not said that they know this node.
    pub(super) fn strangers(&self) -> Vec<Start> {
        let strangers = self.known.values().filter(|known| !known.knows_me);
        strangers.map(|known| start(&known.member)).collect()
    }

    /// The authority has renewed the lease of this node, asked by whomever at that time.
    pub(super) fn by_authority(&mut self, asked: Instant) {
        self.mine = self.mine.max(Some(asked + self.terms.lease - self.terms.margin));
        self.at_most = self.at_most.max(Some(asked + self.terms.promised));
    }

    /// Without the authority, all others that are alive have promised not to take this node for dead, asked at that time.
    pub(super) fn all_promised(&mut self, asked: Instant) {
        let until = Some(asked + self.terms.lease - self.terms.margin);
        self.mine = self.mine.max(until.min(self.at_most));
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

    pub(super) fn is_dead(&self, start: Start) -> bool {
        self.dead.get(&start.node).is_some_and(|dead| start.incarnation <= *dead)
    }

    /// That start of a node is no more.
    pub(super) fn buries(&mut self, dead: Start) {
        let last = self.dead.entry(dead.node).or_default();
        *last = dead.incarnation.max(*last);
        if self.known.get(&dead.node).is_some_and(|known| start(&known.member) == dead) {
            self.known.remove(&dead.node);
        }
    }

    /// The authority did not renew the lease.
    pub(super) fn loses_touch(&mut self) {
        self.in_touch = None;
    }

    /// Those whose leases are over, so that the authority may be asked to declare them dead. None of them while it may be that they act
    /// by promises of others or by a lease that the authority has lost: until it has been there for as long as those may be good. One that
    /// has not said that it knows this node may act by promises of others alone for longer.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Start> {
        let settled = self.terms.lease + self.terms.margin;
        let in_touch = self.in_touch.is_some_and(|since| since + settled <= now);
        let over = |known: &&Known| {
            let promised = if known.knows_me { Duration::ZERO } else { self.terms.promised };
            in_touch && known.until + self.terms.margin + promised <= now
        };
        self.known.values().filter(over).map(|known| start(&known.member)).collect()
    }

    /// Each with the end of its lease, and by how many ms its clock is ahead.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Member, Instant, i64)> {
        self.known.values().map(|known| (&known.member, known.until, known.skew))
    }

    /// This node had a lease, and that is over: it may have been declared dead, whoever has forgotten that.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.mine.is_some_and(|until| until + self.terms.margin <= now)
    }

    /// This node goes on with another incarnation, which has no lease yet.
    pub(super) fn begins_anew(&mut self) {
        (self.mine, self.at_most) = (None, None);
        self.known.values_mut().for_each(|known| known.knows_me = false);
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
        assert_eq!(changes, [Change::Up(Box::new(member("b", 1, 1)))]);
        assert_eq!(book.mine(), Some(now + s(9)));
        assert_eq!(book.strangers(), [at("b", 1)]);
        assert_eq!(book.overdue(now + s(12)), []);
        book.is_known_to(at("b", 1), now + s(3));
        // it may have acted by promises of others just before
        assert_eq!((book.strangers(), book.overdue(now + s(13))), (vec![], vec![]));
        assert_eq!(book.overdue(now + s(14)), [at("b", 1)]);
        book.buries(at("b", 1));
        assert_eq!((book.overdue(now + s(99)), book.others().count()), (vec![], 0));
        // an authority that has forgotten that
        assert_eq!(book.renewed(me, now, (now, 0), &roll(1, &[("b", 1, 1)])), []);
        assert_eq!(book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)])).len(), 1);
    }

    #[test]
    fn nobody_is_overdue_to_one_whose_authority_was_away_or_has_lost_what_it_had() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        let b = [at("b", 1)];
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 1, 1)]));
        book.is_known_to(at("b", 1), now);
        book.loses_touch();
        assert_eq!(book.overdue(now + s(99)), []);
        book.renewed(me, now, (now + s(100), 0), &roll(1, &[]));
        assert_eq!((book.overdue(now + s(110)), book.overdue(now + s(111))), (vec![], b.to_vec()));
        book.renewed(me, now, (now + s(103), 0), &roll(2, &[]));
        assert_eq!((book.overdue(now + s(113)), book.overdue(now + s(114))), (vec![], b.to_vec()));
        book.renewed(me, now, (now + s(106), 0), &roll(2, &[]));
        assert_eq!(book.overdue(now + s(114)), b);
    }

    #[test]
    fn a_lease_that_is_over_on_the_roll_is_not_put_off_by_looking_at_it() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 1, 1)]));
        book.is_known_to(at("b", 1), now);
        let mut over = roll(1, &[("b", 1, 1)]);
        over.members[0].1 = Duration::ZERO;
        for later in [10, 12, 15, 18] {
            book.renewed(me, now, (now + s(later), 0), &over);
        }
        assert_eq!(book.overdue(now + s(18)), [at("b", 1)]);
    }

    #[test]
    fn a_promise_is_kept_and_only_of_the_start_that_is_known() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)]));
        assert!(!book.promises(at("b", 1), now) && !book.promises(at("c", 1), now));
        assert!(book.promises(at("b", 2), now + s(8)));
        book.is_known_to(at("b", 1), now);
        assert_eq!(book.overdue(now + s(618)), []);
        assert_eq!(book.overdue(now + s(619)), [at("b", 2)]);
        book.is_known_to(at("b", 2), now);
        assert_eq!(book.overdue(now + s(18)), []);
        assert_eq!(book.overdue(now + s(19)), [at("b", 2)]);
        // without the authority
        book.all_promised(now + s(5));
        assert_eq!(book.mine(), Some(now + s(14)));
        book.all_promised(now);
        assert_eq!(book.mine(), Some(now + s(14)));
        assert!(!book.is_over(now + s(14)) && book.is_over(now + s(15)));
        book.all_promised(now + s(595));
        assert_eq!(book.mine(), Some(now + s(600)));
        book.begins_anew();
        assert!(book.mine().is_none() && !book.is_over(now + s(99)));
    }

    #[test]
    fn of_two_starts_the_later_one_is_there() {
        let (now, me) = (Instant::now(), Node::new("a").unwrap());
        let mut book = Book::new(Terms::default());
        book.renewed(me, now, (now, 0), &roll(1, &[("b", 2, 1)]));
        let later = book.renewed(me, now, (now, 0), &roll(1, &[("b", 3, 1)]));
        let there = Change::Up(Box::new(member("b", 3, 1)));
        assert_eq!(later, [Change::Over(at("b", 2)), there]);
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
