//! Which keys this node may start, as data: who owns what by this node's view, and who of the others has yielded to it.
//!
//! Views differ for a moment, so a node that is the owner of a key by its own asks the others once to *yield*: to end what they have of the
//! keys for which it outranks them. Who has answered holds none of these, and starts none while the asker is alive and not draining: its
//! own view had to say so before it answered, and each that starts something looks at its view then. So an answer is good for all
//! keys, until one of the two starts anew or drains, and a start of a key costs no message. Who does not answer holds up what it may have; when it is
//! dead, its lease is over.
//!
//! A node that comes is asked too, though it starts nothing before it was yielded to: this node may act by another's renewal of its lease, and
//! not have read the roll since that one came (seed 69).

use super::rank;
use crate::{Standing, members::Other, relay::Start};
use std::collections::BTreeMap;
use supervision::Node;

/// Another node, as far as keys are concerned.
#[derive(Clone, Copy, Debug)]
struct Peer {
    start: Start,
    up: bool,
    /// It holds no key for which this node outranks it.
    lesser: bool,
    /// It drains, and holds none at all.
    all: bool,
    /// The number of the question that it has not answered.
    asked: Option<u64>,
}

impl Peer {
    fn owes(&self) -> bool {
        !self.lesser || !self.up && !self.all
    }
}

/// What is known of the others.
#[derive(Debug)]
pub(super) struct Claims {
    me: Start,
    up: bool,
    number: u64,
    peers: BTreeMap<Node, Peer>,
}

/// Whether a key may be started here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// It may.
    Start,
    /// Not before that node has yielded, or is dead.
    Wait(Node),
    /// It is another's.
    Elsewhere(Node),
    /// All nodes drain.
    Nobody,
}

impl Claims {
    pub(super) fn new(me: Start) -> Self {
        Self { me, up: false, number: 0, peers: BTreeMap::new() }
    }

    /// The nodes as they are now. Whether another node may own something by now.
    pub(super) fn look(&mut self, (me, up): (Start, bool), others: &BTreeMap<Node, Other>) -> bool {
        let anew = (me, up) != (self.me, self.up);
        if anew {
            // others went on with what it had
            (self.me, self.up) = (me, up);
            self.peers.clear();
        }
        let before = self.peers.len();
        self.peers.retain(|node, _| others.contains_key(node));
        let mut changed = anew || before != self.peers.len();
        for (node, other) in others {
            let (start, up) = (other.start(), other.member.standing == Standing::Up);
            match self.peers.get_mut(node) {
                Some(peer) if peer.start == start && peer.up == up => continue,
                Some(peer) if peer.start == start => {
                    (peer.up, peer.all, peer.asked) = (up, false, None);
                }
                _ => {
                    let peer = Peer { start, up, lesser: false, all: false, asked: None };
                    self.peers.insert(*node, peer);
                }
            }
            changed = true;
        }
        changed
    }

    /// This start of this node, when it was last looked at.
    pub(super) fn me(&self) -> Start {
        self.me
    }

    /// Whether it takes keys.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Who owns that key.
    pub(super) fn owner(&self, key: &str) -> Option<Node> {
        let others = self.peers.iter().filter(|(_, peer)| peer.up).map(|(node, _)| *node);
        rank::owner(key, others.chain(self.up.then_some(self.me.node)))
    }

    pub(super) fn may_start(&self, key: &str) -> May {
        match self.owner(key) {
            None => May::Nobody,
            Some(node) if node != self.me.node => May::Elsewhere(node),
            Some(me) => {
                let owes = |(node, peer): &(&Node, &Peer)| match rank::outranks(key, me, **node) {
                    true => !peer.lesser,
                    false => !peer.all,
                };
                self.peers.iter().find(owes).map_or(May::Start, |(node, _)| May::Wait(*node))
            }
        }
    }

    /// Whether that start of a node is alive and takes keys: it is yielded to.
    pub(super) fn admits(&self, start: Start) -> bool {
        self.peers.get(&start.node).is_some_and(|peer| peer.up && peer.start == start)
    }

    /// Who is to be asked to yield, each with the number of the question.
    pub(super) fn asks(&mut self) -> Vec<(Node, u64)> {
        let mut asked = Vec::new();
        let owes = |peer: &Peer| peer.asked.is_none() && peer.owes();
        for (node, peer) in self.peers.iter_mut().filter(|(_, peer)| owes(peer)) {
            self.number += 1;
            peer.asked = Some(self.number);
            asked.push((*node, self.number));
        }
        asked
    }

    /// What it answered: which start of it, and whether it is up; `None`: nothing.
    pub(super) fn answered(&mut self, node: Node, number: u64, answer: Option<(Start, bool)>) {
        let peer = self.peers.get_mut(&node).filter(|peer| peer.asked == Some(number));
        let Some(peer) = peer else { return };
        peer.asked = None;
        if answer == Some((peer.start, peer.up)) {
            (peer.lesser, peer.all) = (true, !peer.up);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Member;
    use std::time::Duration;
    use tokio::time::Instant;

    fn start(name: &str, incarnation: u64) -> Start {
        Start { node: Node::new(name).unwrap(), incarnation }
    }

    fn others(all: &[(Start, Standing)]) -> BTreeMap<Node, Other> {
        let other = |(start, standing): &(Start, Standing)| {
            let (node, incarnation) = (start.node, start.incarnation);
            let (address, version) = (String::new(), String::new());
            let member = Member {
                node,
                incarnation,
                address,
                version,
                digest: 0,
                clock: 0,
                standing: *standing,
                sessions: 0,
                confirmed: 0,
            };
            let until = Instant::now() + Duration::from_secs(10);
            (node, Other { member, until, skew: 0, connected: true })
        };
        all.iter().map(other).collect()
    }

    fn yields(claims: &mut Claims, who: Start, up: bool) {
        let asked = claims.asks();
        claims.answered(who.node, asked[0].1, Some((who, up)));
    }

    /// A key for which the first comes before the second.
    fn key(one: Start, other: Start) -> String {
        (0..).map(|n| n.to_string()).find(|key| rank::outranks(key, one.node, other.node)).unwrap()
    }

    #[test]
    fn nothing_is_started_before_those_that_were_there_have_yielded() {
        let (a, b) = (start("a@claims", 1), start("b@claims", 1));
        let (mine, theirs) = (key(a, b), key(b, a));
        let mut claims = Claims::new(a);
        assert!(claims.look((a, true), &others(&[(b, Standing::Up)])));
        assert_eq!(claims.may_start(&mine), May::Wait(b.node));
        assert_eq!(claims.may_start(&theirs), May::Elsewhere(b.node));
        let asked = claims.asks();
        assert!(claims.asks().is_empty(), "once");
        // of another number, of another start, of one that says that it drains
        claims.answered(b.node, asked[0].1 + 1, Some((b, true)));
        claims.answered(b.node, asked[0].1, Some((start("b@claims", 2), true)));
        let again = claims.asks();
        claims.answered(b.node, again[0].1, Some((b, false)));
        assert_eq!(claims.may_start(&mine), May::Wait(b.node));
        let again = claims.asks();
        claims.answered(b.node, again[0].1, Some((b, true)));
        assert_eq!(claims.may_start(&mine), May::Start);
        assert!(!claims.look((a, true), &others(&[(b, Standing::Up)])));
        // it is declared dead
        assert!(claims.look((a, true), &others(&[])));
        assert_eq!(claims.may_start(&theirs), May::Start);
    }

    #[test]
    fn of_one_that_drains_what_it_may_have_is_waited_for_and_nothing_else() {
        let (a, b) = (start("a@claims", 1), start("b@claims", 1));
        let (mine, theirs) = (key(a, b), key(b, a));
        let mut claims = Claims::new(a);
        claims.look((a, true), &others(&[]));
        claims.look((a, true), &others(&[(b, Standing::Up)]));
        yields(&mut claims, b, true);
        assert_eq!((claims.may_start(&mine), claims.asks().len()), (May::Start, 0));
        claims.look((a, true), &others(&[(b, Standing::Draining)]));
        assert_eq!(claims.may_start(&mine), May::Start);
        assert_eq!(claims.may_start(&theirs), May::Wait(b.node));
        yields(&mut claims, b, false);
        assert_eq!(claims.may_start(&theirs), May::Start);
        // and once more
        claims.look((a, true), &others(&[(b, Standing::Up)]));
        claims.look((a, true), &others(&[(b, Standing::Draining)]));
        assert_eq!(claims.may_start(&theirs), May::Wait(b.node));
    }

    #[test]
    fn who_begins_anew_or_has_drained_asks_all_again() {
        let (a, b) = (start("a@claims", 1), start("b@claims", 1));
        let mine = key(a, b);
        let mut claims = Claims::new(a);
        let all = others(&[(b, Standing::Up)]);
        claims.look((a, true), &all);
        yields(&mut claims, b, true);
        assert_eq!(claims.may_start(&mine), May::Start);
        claims.look((a, false), &all);
        assert_eq!(claims.may_start(&mine), May::Elsewhere(b.node));
        claims.look((a, true), &all);
        assert_eq!(claims.may_start(&mine), May::Wait(b.node));
        let asked = claims.asks();
        claims.answered(b.node, asked[0].1, Some((b, true)));
        assert_eq!(claims.may_start(&mine), May::Start);
        let anew = start("a@claims", 2);
        claims.look((anew, true), &all);
        assert_eq!(claims.may_start(&mine), May::Wait(b.node));
        claims.look((anew, true), &others(&[]));
        assert_eq!(claims.may_start(&mine), May::Start);
        claims.look((anew, true), &all);
        assert_eq!(claims.may_start(&mine), May::Wait(b.node));
        claims.look((anew, false), &others(&[(b, Standing::Draining)]));
        assert_eq!(claims.may_start(&mine), May::Nobody);
    }
}
