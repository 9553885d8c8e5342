//! Who has not answered several times in a row is left alone for a while: nobody waits for a deadline that will not be met.

use std::time::{Duration, Instant};

pub(super) struct Breaker {
    most: u32,
    pause: Duration,
    /// In a row.
    failures: u32,
    /// Nobody asks before; then one does, and the others wait for another pause.
    until: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(most: u32, pause: Duration) -> Self {
        Self { most: most.max(1), pause, failures: 0, until: None }
    }

    /// Whether somebody may ask now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + self.pause);
                true
            }
            None => true,
        }
    }

    /// What came of asking. Whether a pause begins that was not there.
    pub(super) fn note(&mut self, failed: bool, now: Instant) -> bool {
        if !failed {
            (self.failures, self.until) = (0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= self.most;
        let begins = opens && self.until.is_none();
        if opens {
            self.until = Some(now + self.pause);
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_in_a_row_make_a_pause_and_one_success_ends_it() {
        let pause = Duration::from_secs(10);
        let (mut breaker, start) = (Breaker::new(3, pause), Instant::now());
        for failed in [true, true, false, true, true] {
            assert!(breaker.allows(start) && !breaker.note(failed, start));
        }
        assert!(breaker.note(true, start), "the third in a row");
        assert!(!breaker.allows(start) && !breaker.allows(start + pause / 2));
        let later = start + pause;
        assert!(breaker.allows(later), "one tries");
        assert!(!breaker.allows(later), "the others wait for what comes of it");
        assert!(!breaker.note(true, later), "it was there already");
        assert!(!breaker.allows(later + pause / 2) && breaker.allows(later + pause));
        assert!(!breaker.note(false, later + pause));
        assert!(breaker.allows(later + pause) && breaker.allows(later + pause));
    }

    #[test]
    fn one_that_tries_and_never_comes_back_blocks_nobody_for_good() {
        let pause = Duration::from_secs(10);
        let (mut breaker, start) = (Breaker::new(1, pause), Instant::now());
        assert!(breaker.note(true, start));
        assert!(breaker.allows(start + pause) && !breaker.allows(start + pause));
        assert!(breaker.allows(start + pause * 2));
    }
}
