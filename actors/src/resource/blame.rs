//! Over which message a client ends its stream. It is that one of what was written to it and what it has not taken which
//! is the first, if the store keeps it and it has not been the first for long. Whatever stands before it could be to blame
//! as well: then nothing is.

use super::{
    Resource, State,
    kept::{AWAY, PENDING},
};
use crate::clock::Clock;
use std::time::Duration;

/// For how long: a client that reads something for longer did not choke on it.
pub const BLAME: Duration = Duration::from_secs(10);

impl State {
    /// Whether what is written next, which the store keeps under that number, is the first of what was written and not
    /// taken. Without acknowledgements only what is kept is known.
    pub(super) fn would_be_first(&self, kept: u64) -> bool {
        match &self.sm {
            Some(sm) => sm.unacked.is_empty(),
            None => kept != 0 && self.kept.first_written().is_none(),
        }
    }

    /// Another stanza than before is the first of those that were written and not taken.
    pub(super) fn first_is_new(&mut self, clock: &Clock) {
        self.first_since = clock.ticks();
    }
}

impl Resource {
    fn is_recent(&self, s: &State) -> bool {
        let since = Duration::from_millis(self.clock.ticks().wrapping_sub(s.first_since).into());
        since < BLAME
    }

    /// The client ends its stream: the number of the stored message over which it does. Without acknowledgements one that
    /// ends it in order (RFC 6120 section 4.4) has what was written.
    pub fn blamed(&self, in_order: bool) -> Option<u64> {
        let s = self.state.lock();
        let first = match &s.sm {
            Some(sm) if sm.written > sm.acked => sm.unacked.front().map(|arrived| arrived.kept),
            None if !in_order => s.kept.first_written(),
            _ => None,
        };
        first.filter(|id| *id != 0 && id & (AWAY | PENDING) == 0 && self.is_recent(&s))
    }

    /// Whether the client acknowledges what it gets.
    pub fn acknowledges(&self) -> bool {
        self.state.lock().sm.is_some()
    }

    /// Whether there is something that the client is to acknowledge, and over which it may still end its stream.
    pub fn may_blame(&self) -> bool {
        let s = self.state.lock();
        s.sm.as_ref().is_some_and(|sm| !sm.unacked.is_empty()) && self.is_recent(&s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::session::out::{Dialect, Out};

    fn resource(sm: bool) -> Arc<Resource> {
        let jid = "juliet@localhost/balcony".parse().unwrap();
        let resource = Resource::new(jid, 1, QueueLimits::default(), Arc::default());
        resource.with_sm(|of| *of = sm.then(StreamManagement::default));
        resource
    }

    /// All that a session writes, by the numbers under which the store keeps it.
    fn writes(resource: &Resource, numbers: &[u64]) {
        let message = Stanza::parse(b"<message/>").unwrap();
        for id in numbers {
            assert_eq!(resource.sent_kept(1, &message, *id), Sending::Now);
        }
    }

    #[test]
    fn the_first_that_was_not_acknowledged_is_to_blame_if_the_store_keeps_it() {
        let resource = resource(true);
        writes(&resource, &[7, 0, 8, 9 | kept::AWAY]);
        for (h, blamed) in [(0, Some(7)), (1, None), (2, Some(8)), (3, None), (4, None)] {
            assert!(resource.acknowledge(1, h).is_ok());
            assert_eq!([resource.blamed(true), resource.blamed(false)], [blamed; 2], "{h}");
            assert_eq!(resource.may_blame(), h < 4, "{h}");
        }
    }

    #[test]
    fn what_is_written_again_is_to_blame_when_it_is() {
        let resource = resource(true);
        writes(&resource, &[7, 8]);
        assert!(resource.detach(1, None) && resource.attach().is_some());
        assert!(resource.resume(2, 0).is_ok());
        assert_eq!(resource.blamed(false), None);
        let mut out = Out::new(Dialect::Document);
        assert_eq!(resource.write_again(2, 1, 9999, &mut out), Some(true));
        assert_eq!(resource.blamed(false), Some(7));
    }

    #[test]
    fn without_acknowledgements_what_the_connection_took_is_not_to_blame_nor_is_anything_at_an_orderly_end()
     {
        let resource = resource(false);
        writes(&resource, &[7, 8]);
        assert_eq!((resource.blamed(true), resource.blamed(false)), (None, Some(7)));
        resource.takes_more();
        assert_eq!(resource.blamed(false), None);
    }
}
