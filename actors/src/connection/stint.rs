//! How much a connection does in one go: others on its thread have to wait meanwhile.

use std::time::Duration;
use tokio::time::Instant;

/// Turns in one go. A turn is at most [`EVENTS`] of the client's, as many stanzas for it, or what one job has
/// brought.
///
/// [`EVENTS`]: crate::session::turn::EVENTS
const TURNS: u32 = 4;
/// No further turn after so long.
const LONG: Duration = Duration::from_micros(500);

/// What a connection has done since it had nothing to do, or others had their turn.
#[derive(Debug, Default)]
pub(super) struct Stint {
    turns: u32,
    began: Option<Instant>,
}

impl Stint {
    /// It begins anew.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }

    /// One more turn is done; whether that is enough.
    pub(super) fn is_enough(&mut self) -> bool {
        self.turns += 1;
        if self.turns == 1 {
            // the usual one, after which there is nothing to do: the clock is not read for it
            return false;
        }
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        self.turns >= TURNS || now.duration_since(began) >= LONG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_enough_after_some_turns_or_some_time() {
        let mut stint = Stint { turns: 1, began: Some(Instant::now() + 1_000 * LONG) };
        let enough: Vec<_> = (0..4).map(|_| stint.is_enough()).collect();
        assert_eq!(enough, [false, false, true, true], "by number");
        let mut stint = Stint { turns: 1, began: Instant::now().checked_sub(LONG) };
        assert!(stint.is_enough(), "by time");
        stint.rest();
        assert!(!stint.is_enough());
    }
}
