//! The wall clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Where the wall clock comes from: the system, or a test. It can be set, so how long something takes
/// is measured with tokio's.
#[derive(Debug)]
pub struct Clock {
    fixed: Option<AtomicU64>,
    made: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { fixed: None, made: Instant::now() }
    }
}

impl Clock {
    /// Milliseconds since the epoch.
    pub fn millis(&self) -> u64 {
        match &self.fixed {
            Some(at) => at.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Whole seconds since it was made, whatever it was set to: what is kept of a time where an `Instant`
    /// would cost too much. Differences wrap.
    pub(crate) fn seconds(&self) -> u32 {
        u32::try_from(self.made.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// Milliseconds since it was made, whatever it was set to, for differences of less than a month: they wrap.
    pub(crate) fn ticks(&self) -> u32 {
        u32::try_from(self.made.elapsed().as_millis() % (1 << 32)).unwrap_or_default()
    }

    /// A clock that stands until it is told to go on.
    pub fn fixed(millis: u64) -> Self {
        Self { fixed: Some(AtomicU64::new(millis)), ..Self::default() }
    }

    /// Sets a fixed clock, also back.
    pub fn set(&self, millis: u64) {
        if let Some(at) = &self.fixed {
            at.store(millis, Ordering::Relaxed);
        }
    }

    /// Moves a fixed clock.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.fixed {
            at.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}
