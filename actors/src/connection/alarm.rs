//! One timer for all deadlines of a connection.

use std::{future::pending, pin::Pin};
use tokio::time::{Instant, Sleep, sleep_until};

/// Moving a deadline back costs nothing: the timer that runs goes off once too early.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(super) fn new(now: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(now)) }
    }

    /// Resolves at that time, or before it. Can be cancelled.
    pub(super) async fn at(&mut self, time: Option<Instant>) {
        let Some(time) = time else { return pending().await };
        if self.sleep.is_elapsed() || time < self.sleep.deadline() {
            self.sleep.as_mut().reset(time);
        }
        self.sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_in_time_though_deadlines_move() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut alarm = Alarm::new(start);
        let mut came = Vec::new();
        for (first, then) in [(10, 20), (50, 30), (40, 40)] {
            tokio::select! {
                biased;
                () = alarm.at(Some(at(first))) => {}
                () = tokio::task::yield_now() => {}
            }
            while Instant::now() < at(then) {
                alarm.at(Some(at(then))).await;
            }
            came.push(start.elapsed().as_secs());
        }
        assert_eq!(came, [20, 30, 40]);
    }
}
