//! XEP-0198 as a resource keeps it: counters, and what the client has not acknowledged. Pure.

use super::{
    Arrived,
    copies::Share,
    kept::{AWAY, Kept},
    leftovers::Leaving,
    seen::Seen,
    weight,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};
use xmpp::stanza::Stanza;

/// XEP-0198 counters and the stanzas the client has not acknowledged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamManagement {
    /// The `previd` of a resume; `None`: acknowledgements only.
    pub token: Option<String>,
    /// How long after a lost connection the session can be resumed.
    pub window: Duration,
    /// Stanzas handled from the client, modulo 2^32.
    pub handled: u32,
    /// What the client has acknowledged, ever: on the wire modulo 2^32.
    pub acked: u64,
    /// Sent after `acked`, oldest first.
    pub unacked: VecDeque<Arrived>,
    /// The size of those, in bytes.
    pub bytes: usize,
    /// Which of them other resources of the user got too: what had been sent with each, oldest first.
    #[serde(skip)]
    pub(crate) shares: VecDeque<(u64, Share)>,
    /// An `<r/>` of ours is not answered yet.
    pub requested: bool,
    /// What had been sent when we last asked: nothing newer, no reason to ask again.
    pub asked: u64,
    /// What has been written over the present connection, or acknowledged: less than what was sent while a
    /// resumed session gets the rest again.
    pub written: u64,
    /// Whom the client was told to be available.
    #[serde(default)]
    pub(crate) seen: Seen,
}

/// A count as it stands in `h`.
pub(super) fn on_wire(count: u64) -> u32 {
    u32::try_from(count % (1 << 32)).unwrap_or_default()
}

impl StreamManagement {
    /// What has been sent, ever.
    pub fn sent(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    /// Whether some of it has to be written again before anything else is.
    pub fn behind(&self) -> bool {
        self.written < self.sent()
    }

    /// A stanza is sent. Whether it is to be written at once: not while others have to be written again
    /// before it.
    pub(super) fn push(&mut self, arrived: Arrived, share: Option<Share>) -> bool {
        let at_once = !self.behind();
        self.bytes += weight(&arrived.stanza);
        self.unacked.push_back(arrived);
        if let Some(share) = share {
            self.shares.push_back((self.sent(), share));
        }
        if at_once {
            self.written = self.sent();
        }
        at_once
    }

    /// The next one to be written again; it counts as written.
    pub(super) fn again(&mut self) -> Option<Stanza> {
        let at = usize::try_from(self.written.saturating_sub(self.acked)).ok()?;
        let stanza = self.unacked.get(at)?.stanza.clone();
        self.written += 1;
        Some(stanza)
    }

    /// How far `h` is behind what was acknowledged before; `None`: it was never acknowledged.
    fn behind_acked(&self, h: u32) -> Option<u64> {
        let behind = on_wire(self.acked).wrapping_sub(h);
        (behind < 1 << 31).then_some(u64::from(behind)).filter(|n| *n <= self.acked)
    }

    /// Drops what the client has acknowledged, and notes what of it the store keeps. Less than before is an old answer: it
    /// says nothing new (XEP-0198 section 4).
    ///
    /// # Errors
    /// When it acknowledged more than was sent (section 4): what was sent.
    pub(super) fn acknowledge(&mut self, h: u32, kept: &mut Kept) -> Result<(), u32> {
        let count = h.wrapping_sub(on_wire(self.acked)) as usize;
        if count > self.unacked.len() {
            let old = self.behind_acked(h).is_some();
            self.requested &= !old;
            return if old { Ok(()) } else { Err(on_wire(self.sent())) };
        }
        for (n, arrived) in (self.acked + 1..).zip(self.unacked.drain(..count)) {
            self.bytes = self.bytes.saturating_sub(weight(&arrived.stanza));
            let share = self.shares.pop_front_if(|(m, _)| *m <= n).map(|(_, share)| share);
            kept.done_with(arrived.kept, share);
        }
        if self.unacked.is_empty() {
            self.unacked.shrink_to(8);
        }
        self.acked += count as u64;
        self.written = self.written.max(self.acked);
        self.requested = false;
        Ok(())
    }

    /// The client resumes the session and has got `h` (section 5): what comes after that is written again.
    /// If it says less than it had acknowledged it has lost count: it gets what is left, counted as
    /// it counts.
    ///
    /// # Errors
    /// As [`StreamManagement::acknowledge`].
    pub(super) fn resume(&mut self, h: u32, kept: &mut Kept) -> Result<(), u32> {
        self.acknowledge(h, kept)?;
        let lost = self.behind_acked(h).unwrap_or_default();
        self.acked -= lost;
        self.shares.iter_mut().for_each(|(n, _)| *n = n.saturating_sub(lost));
        // the client counts on from `h`: what follows may be less than it was
        let before = self.unacked.len();
        self.unacked.retain(|arrived| arrived.kept & AWAY == 0);
        if self.unacked.len() < before {
            self.shares.clear();
            self.bytes = self.unacked.iter().map(|a| weight(&a.stanza)).sum();
        }
        self.written = self.acked;
        self.asked = self.acked;
        Ok(())
    }

    /// What is lost when the session ends now: without what another resource has or will have.
    pub(super) fn remains(self, kept: &mut Kept, left: &mut Leaving) {
        let mut shares = self.shares.into_iter().peekable();
        for (n, arrived) in (self.acked + 1..).zip(self.unacked) {
            let share = shares.next_if(|(m, _)| *m == n).map(|(_, share)| share);
            left.push(arrived, share, kept);
        }
    }

    /// Whether to send an `<r/>` now; if so, it counts as sent.
    pub fn ask(&mut self) -> bool {
        let new = !self.unacked.is_empty() && self.asked != self.sent();
        let ask = new && !self.requested && !self.behind();
        if ask {
            self.requested = true;
            self.asked = self.sent();
        }
        ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAP: u64 = 1 << 32;

    fn state(acked: u64, n: usize) -> StreamManagement {
        let stanza = Stanza::parse(b"<message xmlns='jabber:client'/>").unwrap();
        let (written, asked) = (acked, acked);
        let mut state = StreamManagement { acked, written, asked, ..StreamManagement::default() };
        let arrived = Arrived { stanza, at: 0, kept: 0 };
        for arrived in std::iter::repeat_n(arrived, n) {
            assert!(state.push(arrived, None), "nothing is to be written again");
        }
        state
    }

    #[test]
    fn counters_wrap_at_two_to_the_thirty_two() {
        let mut sm = state(WRAP - 1, 3);
        assert_eq!(sm.acknowledge(1, &mut Kept::default()), Ok(()));
        assert_eq!((sm.acked, sm.unacked.len()), (WRAP + 1, 1));
        assert_eq!(
            sm.acknowledge(u32::MAX, &mut Kept::default()),
            Ok(()),
            "an old one, from before the wrap"
        );
        assert_eq!((sm.acked, sm.unacked.len()), (WRAP + 1, 1));
        assert_eq!(sm.acknowledge(3, &mut Kept::default()), Err(2));
        assert_eq!(sm.acknowledge(2, &mut Kept::default()), Ok(()));
        assert!(sm.unacked.is_empty() && sm.bytes == 0);
    }

    #[test]
    fn a_count_higher_than_what_was_sent_is_refused() {
        assert_eq!(state(5, 2).acknowledge(8, &mut Kept::default()), Err(7));
        // never was so much sent: not an old count from before a wrap
        assert_eq!(state(5, 2).acknowledge(u32::MAX, &mut Kept::default()), Err(7));
        assert_eq!(state(WRAP + 5, 2).acknowledge(8, &mut Kept::default()), Err(7));
        assert_eq!(state(WRAP - 2, 2).acknowledge(1, &mut Kept::default()), Err(0));
        // of two readings the nearer one
        assert_eq!(state(WRAP, 2).acknowledge(1 << 30, &mut Kept::default()), Err(2));
    }

    #[test]
    fn a_count_lower_than_before_says_nothing_new() {
        for (acked, old) in [(5, 4), (5, 0), (WRAP + 5, 5), (WRAP + 5, u32::MAX)] {
            let mut sm = state(acked, 2);
            assert!(sm.ask());
            assert_eq!(sm.acknowledge(old, &mut Kept::default()), Ok(()), "{old} after {acked}");
            assert_eq!((sm.acked, sm.unacked.len(), sm.requested), (acked, 2, false));
        }
    }

    #[test]
    fn shares_are_given_up_and_delivered_across_the_wrap() {
        let mut sm = state(WRAP - 2, 0);
        let stanza = Stanza::parse(b"<message xmlns='jabber:client'/>").unwrap();
        let others: Vec<_> = (0..4).map(|_| Share::default()).collect();
        for share in &others {
            sm.push(Arrived { stanza: stanza.clone(), at: 0, kept: 0 }, Some(share.clone()));
        }
        assert_eq!(sm.acknowledge(1, &mut Kept::default()), Ok(()));
        assert_eq!(sm.shares.len(), 1);
        let mut left = Leaving::new(1);
        sm.remains(&mut Kept::default(), &mut left);
        assert!(left.is_empty(), "the others of each message still may deliver it");
        let last: Vec<_> = others.into_iter().map(Share::given_up).collect();
        assert_eq!(last, [false, false, false, true], "three had been delivered here");
    }

    #[test]
    fn a_resumed_session_gets_the_rest_again_before_anything_new() {
        let mut sm = state(WRAP - 1, 3);
        assert_eq!(sm.resume(0, &mut Kept::default()), Ok(()));
        assert!(sm.behind() && !sm.ask());
        let arrived = sm.unacked[0].clone();
        assert!(!sm.push(arrived.clone(), None), "in its turn");
        assert!(sm.again().is_some());
        // what is acknowledged meanwhile needs not be written
        assert_eq!(sm.acknowledge(2, &mut Kept::default()), Ok(()));
        assert!(sm.again().is_some() && sm.again().is_none());
        assert!(!sm.behind() && sm.ask());
        assert!(sm.push(arrived, None));
        assert_eq!((sm.sent(), sm.acknowledge(4, &mut Kept::default())), (WRAP + 4, Ok(())));
    }

    #[test]
    fn a_client_that_lost_count_gets_the_rest_counted_as_it_counts() {
        for (acked, h) in [(5, 3), (WRAP + 1, u32::MAX)] {
            let mut sm = state(acked, 2);
            assert_eq!(sm.resume(h, &mut Kept::default()), Ok(()));
            assert!(sm.again().is_some() && sm.again().is_some() && sm.again().is_none());
            assert_eq!(
                sm.acknowledge(h.wrapping_add(3), &mut Kept::default()),
                Err(h.wrapping_add(2))
            );
            assert_eq!(sm.acknowledge(h.wrapping_add(2), &mut Kept::default()), Ok(()));
            assert!(sm.unacked.is_empty());
        }
        assert_eq!(state(5, 2).resume(8, &mut Kept::default()), Err(7));
    }
}
