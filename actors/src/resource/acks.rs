//! XEP-0198 as a resource keeps it: counters, and what the client has not acknowledged. Pure.

use super::{Arrived, copies::Share, kept::Kept, leftovers::Leaving, weight};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

/// XEP-0198 counters and the stanzas the client has not acknowledged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamManagement {
    /// The `previd` of a resume; `None`: acknowledgements only.
    pub token: Option<String>,
    /// How long after a lost connection the session can be resumed.
    pub window: Duration,
    /// Stanzas handled from the client, modulo 2^32.
    pub handled: u32,
    /// What the client has acknowledged, modulo 2^32.
    pub acked: u32,
    /// Sent after `acked`, oldest first.
    pub unacked: VecDeque<Arrived>,
    /// The size of those, in bytes.
    pub bytes: usize,
    /// Which of them other resources of the user got too: what had been sent with each, modulo 2^32.
    #[serde(skip)]
    pub(crate) shares: VecDeque<(u32, Share)>,
    /// An `<r/>` of ours is not answered yet.
    pub requested: bool,
    /// What had been sent, modulo 2^32, when we last asked: nothing newer, no reason to ask again.
    pub asked: u32,
}

impl StreamManagement {
    /// What has been sent, modulo 2^32.
    pub fn sent(&self) -> u32 {
        // the limit of the queue is far below 2^32
        self.acked.wrapping_add(u32::try_from(self.unacked.len()).unwrap_or(u32::MAX))
    }

    /// A stanza was sent.
    pub(super) fn push(&mut self, arrived: Arrived, share: Option<Share>) {
        self.bytes += weight(&arrived.stanza);
        self.unacked.push_back(arrived);
        if let Some(share) = share {
            self.shares.push_back((self.sent(), share));
        }
    }

    /// Drops what the client has acknowledged.
    ///
    /// # Errors
    /// When it acknowledged more than was sent (XEP-0198 section 4): what was sent.
    pub(super) fn acknowledge(&mut self, h: u32) -> Result<(), u32> {
        let count = h.wrapping_sub(self.acked) as usize;
        if count > self.unacked.len() {
            return Err(self.sent());
        }
        let acked: usize = self.unacked.drain(..count).map(|a| weight(&a.stanza)).sum();
        self.bytes = self.bytes.saturating_sub(acked);
        if self.unacked.is_empty() {
            self.unacked.shrink_to(8);
        }
        let acked = self.acked;
        let shares = std::mem::take(&mut self.shares).into_iter();
        let (had, waiting) = shares.partition(|(n, _)| n.wrapping_sub(acked) as usize <= count);
        self.shares = waiting;
        for (_, share) in Vec::from(had) {
            share.delivered();
        }
        self.acked = h;
        self.requested = false;
        Ok(())
    }

    /// What is lost when the session ends now: without what offline storage keeps, and what another
    /// resource has or will have.
    pub(super) fn remains(self, kept: &Kept, left: &mut Leaving) {
        let mut shares = self.shares.into_iter().peekable();
        let mut n = self.acked;
        for arrived in self.unacked {
            n = n.wrapping_add(1);
            let share = shares.next_if(|(m, _)| *m == n);
            if let Some(id) = kept.number_of(n) {
                left.push_kept(id);
            } else if share.is_none_or(|(_, share)| share.given_up()) {
                left.push(arrived);
            }
        }
    }

    /// Whether to send an `<r/>` now; if so, it counts as sent.
    pub fn ask(&mut self) -> bool {
        let ask = !self.requested && !self.unacked.is_empty() && self.asked != self.sent();
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
    use xmpp::stanza::Stanza;

    fn state(acked: u32, n: usize) -> StreamManagement {
        let stanza = Stanza::parse(b"<message xmlns='jabber:client'/>").unwrap();
        let mut state = StreamManagement { acked, ..StreamManagement::default() };
        let arrived = Arrived { stanza, at: 0 };
        std::iter::repeat_n(arrived, n).for_each(|a| state.push(a, None));
        state
    }

    #[test]
    fn counters_wrap_at_two_to_the_thirty_two() {
        let mut sm = state(u32::MAX, 3);
        assert_eq!(sm.acknowledge(1), Ok(()));
        assert_eq!(sm.unacked.len(), 1);
        assert_eq!(sm.acknowledge(2), Ok(()));
        assert!(sm.unacked.is_empty() && sm.bytes == 0);
    }

    #[test]
    fn a_count_higher_than_what_was_sent_is_refused_and_so_is_one_that_goes_back() {
        assert_eq!(state(5, 2).acknowledge(8), Err(7));
        assert_eq!(state(5, 2).acknowledge(4), Err(7));
    }
}
