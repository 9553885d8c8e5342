//! What one start of another node was handed and has not dealt with: kept until it says so, or is dead. Pure.

use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// What an entry costs besides its bytes.
pub(super) const OVERHEAD: usize = 128;

/// What belongs together: the items of one lane are dealt with in their order. A hash, of who sends: two may share one, which costs a
/// little time.
pub type Lane = u64;

/// The way of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Whose turn it takes.
    pub lane: Lane,
    /// Of whom to whom, as a hash: before these two take another way, all that is on this one has to be dealt with
    /// ([`super::Relay::settled`]). 0: of no pair.
    pub pair: u64,
    /// By how many nodes it was passed on. What was by more of them than another item of its pair does not wait for that: it may be what
    /// that one is waiting for.
    pub hops: u8,
}

/// Of a pair, how many items are on their way that were passed on so often, or more often for the last.
type Counts = [u32; 6];

fn place(hops: u8) -> usize {
    usize::from(hops).min(Counts::default().len() - 1)
}

#[derive(Debug)]
struct Handed {
    seq: u64,
    way: Way,
    item: Bytes,
    /// Of what may be replaced by something newer while it has not been sent.
    replaces: Option<u64>,
    at: Instant,
    receipt: Option<oneshot::Sender<()>>,
}

/// What comes back of a start that is dead, oldest first.
#[derive(Debug)]
pub struct Returned {
    /// How it was sent.
    pub way: Way,
    /// What it is.
    pub item: Bytes,
    /// To be dropped when it is dealt with: who waits for that hears it.
    pub receipt: Option<oneshot::Sender<()>>,
}

/// All that is on its way to one start of a node.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// In the order of their numbers, which are without gaps but for those that are done.
    handed: VecDeque<Handed>,
    /// The number of the last; the first is 1.
    last: u64,
    /// Sent over the connection that there is: all up to this number.
    sent: u64,
    bytes: usize,
    pairs: HashMap<u64, Counts>,
    /// What has not been sent and may be replaced, by what it is of.
    replaceable: HashMap<u64, u64>,
}

/// What is said of an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Items.
    pub items: usize,
    /// Their bytes, with what keeps them.
    pub bytes: usize,
    /// Of the items those that the connection has not taken.
    pub unsent: usize,
    /// Since when the oldest waits.
    pub age: Duration,
}

impl Outbox {
    /// Takes an item, if there is room for it in `limit` bytes; else it comes back.
    pub(super) fn push(
        &mut self,
        way: Way,
        item: Bytes,
        replaces: Option<u64>,
        receipt: Option<oneshot::Sender<()>>,
        limit: usize,
    ) -> Result<(), Bytes> {
        if let Some(before) = replaces.and_then(|of| self.replaceable.get(&of)).copied()
            && let Some(waits) = self.find(before)
        {
            let old = std::mem::replace(&mut waits.item, item);
            waits.receipt = receipt;
            let new = waits.item.len();
            self.bytes = (self.bytes + new).saturating_sub(old.len());
            return Ok(());
        }
        let weight = item.len() + OVERHEAD;
        if self.bytes + weight > limit {
            return Err(item);
        }
        self.last += 1;
        self.bytes += weight;
        if way.pair != 0 {
            let counts = self.pairs.entry(way.pair).or_default();
            counts.get_mut(place(way.hops)).into_iter().for_each(|count| *count += 1);
        }
        let (seq, at) = (self.last, Instant::now());
        if let Some(of) = replaces {
            self.replaceable.insert(of, seq);
        }
        self.handed.push_back(Handed { seq, way, item, replaces, at, receipt });
        Ok(())
    }

    /// Where that number is, or would be.
    fn position(&self, seq: u64) -> usize {
        self.handed.partition_point(|handed| handed.seq < seq)
    }

    fn find(&mut self, seq: u64) -> Option<&mut Handed> {
        let at = self.position(seq);
        self.handed.get_mut(at).filter(|handed| handed.seq == seq)
    }

    /// The next to be sent over the connection.
    pub(super) fn next(&self) -> Option<(u64, Lane, Bytes)> {
        let next = self.handed.get(self.position(self.sent + 1))?;
        Some((next.seq, next.way.lane, next.item.clone()))
    }

    /// The connection took it.
    pub(super) fn took(&mut self, seq: u64) {
        self.sent = self.sent.max(seq);
        if let Some(of) = self.find(seq).and_then(|handed| handed.replaces.take()) {
            self.replaceable.remove(&of);
        }
    }

    /// There is another connection: what the node has not dealt with is sent again.
    pub(super) fn begins_anew(&mut self) {
        self.sent = 0;
    }

    /// It goes to the node as from another start of this one: its numbers begin anew.
    pub(super) fn renumber(&mut self) {
        for (seq, handed) in (1..).zip(&mut self.handed) {
            if let Some(of) = handed.replaces {
                self.replaceable.insert(of, seq);
            }
            handed.seq = seq;
        }
        (self.last, self.sent) = (self.handed.len() as u64, 0);
    }

    /// The node has dealt with all up to `upto`, and with these. Who waited for them.
    pub(super) fn done(&mut self, upto: u64, others: &[u64]) {
        while self.handed.front().is_some_and(|handed| handed.seq <= upto) {
            if let Some(handed) = self.handed.pop_front() {
                self.settled(handed);
            }
        }
        for seq in others {
            let at = self.position(*seq);
            if self.handed.get(at).is_some_and(|handed| handed.seq == *seq)
                && let Some(handed) = self.handed.remove(at)
            {
                self.settled(handed);
            }
        }
    }

    fn settled(&mut self, handed: Handed) {
        self.bytes = self.bytes.saturating_sub(handed.item.len() + OVERHEAD);
        let Way { pair, hops, .. } = handed.way;
        if let Some(counts) = self.pairs.get_mut(&pair) {
            counts.get_mut(place(hops)).into_iter().for_each(|count| *count -= 1);
            if *counts == Counts::default() {
                self.pairs.remove(&pair);
            }
        }
        if let Some(of) = handed.replaces {
            self.replaceable.remove(&of);
        }
        // dropped: that tells who waits
        drop(handed.receipt);
    }

    /// Whether something of that pair is on its way for which an item waits.
    pub(super) fn has(&self, Way { pair, hops, .. }: Way) -> bool {
        let counts = self.pairs.get(&pair);
        counts.is_some_and(|counts| counts.iter().skip(place(hops)).any(|count| *count > 0))
    }

    /// The node is dead: all of it, oldest first.
    pub(super) fn give_back(self) -> Vec<Returned> {
        let back = |Handed { way, item, receipt, .. }| Returned { way, item, receipt };
        self.handed.into_iter().map(back).collect()
    }

    pub(super) fn waiting(&self) -> Waiting {
        let unsent = self.handed.len() - self.position(self.sent + 1);
        let age = self.handed.front().map_or(Duration::ZERO, |handed| handed.at.elapsed());
        Waiting { items: self.handed.len(), bytes: self.bytes, unsent, age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn way(pair: u64) -> Way {
        Way { lane: 1, pair, hops: 0 }
    }

    fn push(outbox: &mut Outbox, pair: u64, text: &'static str) {
        outbox.push(way(pair), item(text), None, None, usize::MAX).unwrap();
    }

    fn send_all(outbox: &mut Outbox) -> Vec<(u64, Bytes)> {
        let mut all = Vec::new();
        while let Some((seq, _, item)) = outbox.next() {
            outbox.took(seq);
            all.push((seq, item));
        }
        all
    }

    #[test]
    fn what_was_passed_on_does_not_wait_for_what_waits_for_it() {
        let (mut outbox, of) = (Outbox::default(), |hops| Way { hops, ..way(1) });
        for hops in [1, 1, 2, 200] {
            outbox.push(of(hops), item("x"), None, None, usize::MAX).unwrap();
        }
        assert_eq!([0, 1, 2, 3, 201].map(|hops| outbox.has(of(hops))), [true; 5]);
        outbox.done(0, &[4]);
        assert_eq!(
            [0, 1, 2, 3, 201].map(|hops| outbox.has(of(hops))),
            [true, true, true, false, false]
        );
        outbox.done(0, &[3]);
        assert_eq!([0, 1, 2].map(|hops| outbox.has(of(hops))), [true, true, false]);
        outbox.done(2, &[]);
        assert!(!outbox.has(of(0)) && outbox.pairs.is_empty());
    }

    #[test]
    fn what_is_not_done_is_sent_again_in_its_order_over_the_next_connection() {
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c", "d"] {
            push(&mut outbox, 1, text);
        }
        assert_eq!(send_all(&mut outbox).len(), 4);
        outbox.done(1, &[3]);
        assert!(outbox.next().is_none() && outbox.has(way(1)));
        outbox.begins_anew();
        push(&mut outbox, 2, "e");
        assert_eq!(send_all(&mut outbox), [(2, item("b")), (4, item("d")), (5, item("e"))]);
        outbox.done(5, &[]);
        assert_eq!(outbox.waiting(), Waiting::default());
        assert!(!outbox.has(way(1)) && !outbox.has(way(2)) && outbox.pairs.is_empty());
    }

    #[test]
    fn beyond_its_limit_it_takes_nothing_and_below_it_again() {
        let mut outbox = Outbox::default();
        let limit = 2 * (1 + OVERHEAD);
        for text in ["a", "b"] {
            outbox.push(way(1), item(text), None, None, limit).unwrap();
        }
        assert_eq!(outbox.push(way(1), item("c"), None, None, limit), Err(item("c")));
        outbox.done(1, &[]);
        assert_eq!(outbox.push(way(1), item("c"), None, None, limit), Ok(()));
        assert_eq!(outbox.waiting().bytes, limit);
    }

    #[test]
    fn only_what_is_unsent_is_replaced() {
        let mut outbox = Outbox::default();
        let replacing = |outbox: &mut Outbox, text| {
            outbox.push(way(1), item(text), Some(7), None, usize::MAX).unwrap();
        };
        replacing(&mut outbox, "available");
        assert_eq!(send_all(&mut outbox), [(1, item("available"))]);
        replacing(&mut outbox, "away");
        push(&mut outbox, 1, "message");
        replacing(&mut outbox, "gone");
        assert_eq!(send_all(&mut outbox), [(2, item("gone")), (3, item("message"))]);
        assert!(outbox.replaceable.is_empty());
        outbox.done(3, &[]);
        assert_eq!(outbox.waiting().bytes, 0);
    }

    #[test]
    fn who_waits_hears_of_it_when_it_is_done_or_was_given_back() {
        let mut outbox = Outbox::default();
        let mut waits = Vec::new();
        for text in ["a", "b"] {
            let (tell, told) = oneshot::channel();
            outbox.push(way(1), item(text), None, Some(tell), usize::MAX).unwrap();
            waits.push(told);
        }
        outbox.done(1, &[]);
        let closed = |told: &mut oneshot::Receiver<()>| {
            told.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(closed(&mut waits[0]) && !closed(&mut waits[1]));
        let back = outbox.give_back();
        assert_eq!(back.iter().map(|back| back.item.clone()).collect::<Vec<_>>(), [item("b")]);
        assert!(!closed(&mut waits[1]), "it is not dealt with yet");
        drop(back);
        assert!(closed(&mut waits[1]));
    }
}
