//! One message for several resources of a user (RFC 6121 section 8.5.2.1.1): delivered when one of
//! them has it, and on its way again only when none has and none will.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[derive(Debug, Default)]
struct Message {
    delivered: AtomicBool,
    /// The number under which the store keeps it for one of them; 0: it does not.
    kept: AtomicU64,
}

/// One resource's share in such a message. Whether a client has it yet is known to all of them, and under which number the
/// store keeps it.
#[derive(Clone, Debug, Default)]
pub struct Share(Arc<Message>);

impl Share {
    /// The client of this resource has it.
    pub fn delivered(&self) {
        self.0.delivered.store(true, Ordering::SeqCst);
    }

    /// Whether the client of some resource has it.
    pub fn is_delivered(&self) -> bool {
        self.0.delivered.load(Ordering::SeqCst)
    }

    /// The number under which the store keeps it; 0: it does not.
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::SeqCst)
    }

    /// The store keeps it under that number. Whoever delivers it and whoever keeps it see one another: one of them
    /// tells the store.
    pub fn keep(&self, id: u64) {
        self.0.kept.store(id, Ordering::SeqCst);
    }

    /// See [`Seen`].
    pub(super) fn seen(&self) -> Seen {
        Seen(Arc::downgrade(&self.0))
    }

    /// This resource will not deliver it. Whether no other has and no other will: exactly one share
    /// of a message that nobody got says so.
    pub fn given_up(self) -> bool {
        Arc::into_inner(self.0).is_some_and(|message| !message.delivered.into_inner())
    }
}

/// The message of a share, seen by who has none: whether all have given it up does not depend on it.
#[derive(Clone, Debug)]
pub(super) struct Seen(Weak<Message>);

impl Seen {
    /// A share, if somebody still has one.
    pub(super) fn share(&self) -> Option<Share> {
        self.0.upgrade().map(Share)
    }
}

/// A share as data: which message's it is, by a number that holds for one hand-over, whether
/// a client has it, and what the store keeps it under.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct FrozenShare {
    message: usize,
    delivered: bool,
    kept: u64,
}

impl Share {
    /// Valid as long as all shares of the node live.
    pub(super) fn freeze(&self) -> FrozenShare {
        let message = Arc::as_ptr(&self.0).addr();
        FrozenShare { message, delivered: self.is_delivered(), kept: self.kept() }
    }
}

/// The shares that one hand-over has thawed so far. It has to be dropped at its end: while it lives
/// nobody is the last to give up.
#[derive(Debug, Default)]
pub struct Shares(HashMap<usize, Share>);

impl Shares {
    pub(super) fn thaw(&mut self, frozen: FrozenShare) -> Share {
        let FrozenShare { message, delivered, kept } = frozen;
        let new = || {
            let (delivered, kept) = (AtomicBool::new(delivered), AtomicU64::new(kept));
            Share(Arc::new(Message { delivered, kept }))
        };
        self.0.entry(message).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_give_up_has_it_if_nobody_got_it() {
        let (a, b) = (Share::default(), Share::default());
        let (a2, b2) = (a.clone(), b.clone());
        assert!(!a.given_up());
        assert!(a2.given_up());
        b.delivered();
        assert!(!b2.given_up());
    }
}
