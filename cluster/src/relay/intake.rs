//! What came from one start of another node: each item is taken once and in its order, however often it is sent. Pure.

use std::collections::BTreeSet;

/// How far it is with the items of one start of a node, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// The last that came.
    came: u64,
    /// All up to this one are done.
    upto: u64,
    /// Beyond that.
    done: BTreeSet<u64>,
    /// Done, and not said yet.
    unsaid: Vec<u64>,
    /// What is done is to be said once more: it was sent again.
    again: bool,
    /// One was missing, and that was said.
    missed: bool,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// The next.
    New,
    /// It came before.
    Old,
    /// One before it has not come: it will come again, after that. `true`: the sender is to be told.
    TooEarly(bool),
}

/// What has been dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// All up to this one,
    pub(super) upto: u64,
    /// and these.
    pub(super) others: Vec<u64>,
}

impl Intake {
    /// An item came.
    pub(super) fn comes(&mut self, seq: u64) -> Comes {
        if seq <= self.came {
            self.again = true;
            return Comes::Old;
        }
        if seq > self.came + 1 {
            return Comes::TooEarly(!std::mem::replace(&mut self.missed, true));
        }
        (self.came, self.missed) = (seq, false);
        Comes::New
    }

    /// The sender could not be told that one is missing.
    pub(super) fn untold(&mut self) {
        self.missed = false;
    }

    /// It is dealt with.
    pub(super) fn done(&mut self, seq: u64) {
        if seq > self.upto && self.done.insert(seq) {
            self.unsaid.push(seq);
        }
    }

    /// What was said did not go out: all of it is to be said once more.
    pub(super) fn unsaid(&mut self) {
        self.again = true;
    }

    /// What is to be said of it, if there is something.
    pub(super) fn say(&mut self) -> Option<Done> {
        if self.unsaid.is_empty() && !self.again {
            return None;
        }
        while self.done.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
        let others = if self.again {
            self.done.iter().copied().collect()
        } else {
            self.unsaid.iter().copied().filter(|seq| *seq > self.upto).collect()
        };
        (self.again, self.unsaid) = (false, Vec::new());
        Some(Done { upto: self.upto, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_is_taken_once_and_said_once_more() {
        let mut intake = Intake::default();
        assert!((1..=4).all(|seq| intake.comes(seq) == Comes::New));
        intake.done(3);
        assert_eq!(intake.say(), Some(Done { upto: 0, others: vec![3] }));
        assert_eq!(intake.say(), None);
        intake.done(1);
        assert_eq!(intake.say(), Some(Done { upto: 1, others: vec![] }));
        // the connection was lost: all that it does not know of comes again
        assert!((2..=4).all(|seq| intake.comes(seq) == Comes::Old));
        assert_eq!(intake.comes(5), Comes::New);
        assert_eq!(intake.say(), Some(Done { upto: 1, others: vec![3] }));
        intake.done(2);
        intake.done(4);
        assert_eq!(intake.say(), Some(Done { upto: 4, others: vec![] }));
        intake.done(5);
        assert_eq!(intake.say(), Some(Done { upto: 5, others: vec![] }));
        assert!(intake.done.is_empty());
    }

    #[test]
    fn what_is_missing_comes_first() {
        let mut intake = Intake::default();
        assert_eq!(intake.comes(1), Comes::New);
        assert_eq!(intake.comes(3), Comes::TooEarly(true));
        assert_eq!(intake.comes(4), Comes::TooEarly(false));
        assert!((2..=4).all(|seq| intake.comes(seq) == Comes::New));
        assert_eq!(intake.comes(6), Comes::TooEarly(true));
    }
}
