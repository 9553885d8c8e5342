//! Numbers of messages, which grow with time whichever node gives them.
//!
//! A number is the milliseconds since 2024 (41 bits), a tag of this process (10 bits, random) and a count (12 bits): two
//! nodes hardly ever give the same. Where they do, the database refuses the second, who takes another.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// 2024-01-01, in milliseconds of the epoch.
const BEGIN: u64 = 1_704_067_200_000;

/// The latest clock that is believed, in milliseconds since `BEGIN`: 2058. Beyond it numbers only count, and none comes near the
/// end of the database's integers, behind which there would be no other.
const LATEST: u64 = 1 << 40;

/// Gives numbers: each greater than those before.
#[derive(Debug)]
pub(super) struct Numbers {
    last: AtomicU64,
    /// In its place.
    tag: u64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        let tag = RandomState::new().hash_one(std::process::id()) % (1 << 10);
        Self { last: AtomicU64::new(0), tag: tag << 12 }
    }

    /// So many numbers that follow one another.
    pub(super) fn take(&self, count: usize) -> Vec<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.take_at(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), count)
    }

    fn take_at(&self, millis: u64, count: usize) -> Vec<u64> {
        let now = (millis.saturating_sub(BEGIN).min(LATEST) << 22) | self.tag;
        let count = u64::try_from(count).unwrap_or_default();
        let mut first = 0;
        let _ = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            first = now.max(last + 1);
            Some(first + count.saturating_sub(1))
        });
        (first..first + count).collect()
    }

    /// Those to come are greater than this one, which somebody else gave.
    pub(super) fn after(&self, other: u64) {
        self.last.fetch_max(other, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_does_not_use_numbers_up() {
        let numbers = Numbers::new();
        let mut last = 0;
        for millis in [0, BEGIN, u64::MAX >> 1, u64::MAX, BEGIN + 7, u64::MAX] {
            let taken = numbers.take_at(millis, 2);
            assert!(taken[0] > last && taken[1] == taken[0] + 1, "{millis}: {taken:?}");
            assert!(i64::try_from(taken[1]).is_ok_and(|n| n < i64::MAX / 2 + (1 << 22)));
            last = taken[1];
        }
    }

    #[test]
    fn numbers_grow_and_follow_one_another_and_those_of_others() {
        let numbers = Numbers::new();
        let mut last = 0;
        for count in [1, 3, 5000, 0, 1] {
            let taken = numbers.take(count);
            assert_eq!(taken.len(), count);
            assert!(taken.windows(2).all(|two| two[1] == two[0] + 1));
            assert!(taken.first().is_none_or(|first| *first > last));
            last = taken.last().copied().unwrap_or(last);
        }
        let ahead = last + (1 << 40);
        numbers.after(ahead);
        assert_eq!(numbers.take(1), [ahead + 1]);
        numbers.after(1);
        assert_eq!(numbers.take(1), [ahead + 2]);
        assert!(i64::try_from(ahead).is_ok(), "the database's numbers have a sign");
    }
}
