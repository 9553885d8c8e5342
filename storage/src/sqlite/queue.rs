//! A bounded queue between tasks, which never wait for room, and the database's threads, which
//! wait for work. A closed queue (nobody takes from it) refuses at once.

use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The queue.
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    ready: Condvar,
    limit: usize,
}

struct State<J> {
    /// With the time since when they wait.
    jobs: VecDeque<(Instant, J)>,
    /// Threads that take from it and were not told to stop.
    takers: usize,
}

impl<J> Queue<J> {
    /// A closed one that holds at most `limit` jobs.
    pub(super) fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::new(), takers: 0 };
        Self { state: Mutex::new(state), ready: Condvar::new(), limit }
    }

    /// Adds a job. It comes back when the queue is full or closed.
    pub(super) fn push(&self, job: J) -> Result<(), J> {
        let mut state = self.state.lock();
        if state.takers == 0 || state.jobs.len() >= self.limit {
            return Err(job);
        }
        state.jobs.push_back((Instant::now(), job));
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for jobs and moves up to `most` of them into `into`. `false`: the taker was told to
    /// stop, and what is left, if anything, is for another; the last one leaves nothing behind.
    pub(super) fn take(&self, stop: &AtomicBool, most: usize, into: &mut Vec<J>) -> bool {
        let mut state = self.state.lock();
        loop {
            let stopping = stop.load(Ordering::Acquire);
            if stopping && (state.jobs.is_empty() || state.takers > 0) {
                return false;
            }
            if !state.jobs.is_empty() {
                let most = most.min(state.jobs.len());
                into.extend(state.jobs.drain(..most).map(|(_, job)| job));
                return true;
            }
            self.ready.wait(&mut state);
        }
    }

    /// How long the oldest job has waited.
    pub(super) fn age(&self) -> Duration {
        self.state.lock().jobs.front().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// Drops what waits when there is nobody left to take it.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.takers == 0 {
            let left = std::mem::take(&mut state.jobs);
            drop(state);
            drop(left);
        }
    }
}

/// The place of one taker; dropped, it tells its thread to stop.
pub(super) struct Seat<J> {
    queue: Arc<Queue<J>>,
    stop: Arc<AtomicBool>,
}

impl<J> Seat<J> {
    /// Opens the queue, if it was closed.
    pub(super) fn new(queue: &Arc<Queue<J>>) -> Self {
        queue.state.lock().takers += 1;
        Self { queue: Arc::clone(queue), stop: Arc::default() }
    }

    /// What its thread gives to [`Queue::take`].
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

impl<J> Drop for Seat<J> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.takers = state.takers.saturating_sub(1);
        // under the lock: a taker that is about to wait sees it
        self.stop.store(true, Ordering::Release);
        drop(state);
        self.queue.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_or_closed_queue_gives_the_job_back() {
        let queue = Arc::new(Queue::new(1));
        assert_eq!(queue.push(1), Err(1));
        assert_eq!(queue.age(), Duration::ZERO);
        let seat = Seat::new(&queue);
        assert_eq!((queue.push(1), queue.push(2)), (Ok(()), Err(2)));
        assert!(queue.age() > Duration::ZERO);
        drop(seat);
        assert_eq!(queue.push(3), Err(3));
    }

    #[test]
    fn the_last_taker_leaves_nothing_behind() {
        let queue = Arc::new(Queue::new(9));
        let (one, two) = (Seat::new(&queue), Seat::new(&queue));
        let (stop_one, stop_two) = (one.stop(), two.stop());
        for job in 0..3 {
            queue.push(job).unwrap();
        }
        let mut taken = Vec::new();
        drop(one);
        assert!(!queue.take(&stop_one, 9, &mut taken));
        drop(two);
        assert!(queue.take(&stop_two, 2, &mut taken) && queue.take(&stop_two, 2, &mut taken));
        assert!(!queue.take(&stop_two, 2, &mut taken));
        assert_eq!(taken, [0, 1, 2]);
    }
}
