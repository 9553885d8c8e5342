//! A bounded queue between tasks, which never wait for room, and threads, which wait for work. A closed
//! queue (nobody takes from it) refuses at once.

use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What waits for the threads that take from it: [`Thread::queue`](super::Thread::queue).
///
/// Example: [`Thread`](super::Thread).
pub struct Queue<J> {
    state: Mutex<State<J>>,
    ready: Condvar,
    limit: usize,
    limit_bytes: usize,
}

struct State<J> {
    /// With the time since when they wait, and their size in bytes.
    jobs: VecDeque<(Instant, usize, J)>,
    bytes: usize,
    /// Threads that take from it and were not told to stop.
    takers: usize,
}

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "Queue({} jobs, {} bytes)", state.jobs.len(), state.bytes)
    }
}

impl<J> Queue<J> {
    /// A closed one that holds at most `limit` jobs, of at most `limit_bytes` together; one alone may be
    /// as large as it is.
    pub fn new(limit: usize, limit_bytes: usize) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, takers: 0 };
        Self { state: Mutex::new(state), ready: Condvar::new(), limit, limit_bytes }
    }

    /// Adds a job of that many bytes.
    ///
    /// # Errors
    /// The job, when the queue is full or closed.
    pub fn push(&self, job: J, bytes: usize) -> Result<(), J> {
        let mut state = self.state.lock();
        let heavy = !state.jobs.is_empty() && state.bytes.saturating_add(bytes) > self.limit_bytes;
        if state.takers == 0 || state.jobs.len() >= self.limit || heavy {
            return Err(job);
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.jobs.push_back((Instant::now(), bytes, job));
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
                for (_, bytes, job) in state.jobs.drain(..most).collect::<Vec<_>>() {
                    state.bytes = state.bytes.saturating_sub(bytes);
                    into.push(job);
                }
                return true;
            }
            self.ready.wait(&mut state);
        }
    }

    /// How long the oldest job has waited.
    pub fn age(&self) -> Duration {
        self.state.lock().jobs.front().map_or(Duration::ZERO, |(since, ..)| since.elapsed())
    }

    /// Drops what waits when there is nobody left to take it.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.takers == 0 {
            let left = std::mem::take(&mut state.jobs);
            state.bytes = 0;
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
        let queue = Arc::new(Queue::new(1, 99));
        assert_eq!(queue.push(1, 1), Err(1));
        assert_eq!(queue.age(), Duration::ZERO);
        let seat = Seat::new(&queue);
        assert_eq!((queue.push(1, 1), queue.push(2, 1)), (Ok(()), Err(2)));
        assert!(queue.age() > Duration::ZERO);
        drop(seat);
        assert_eq!(queue.push(3, 1), Err(3));
    }

    #[test]
    fn jobs_have_a_limit_in_bytes_but_one_alone_may_be_large() {
        let queue = Arc::new(Queue::new(9, 100));
        let seat = Seat::new(&queue);
        assert_eq!((queue.push(1, 1_000), queue.push(2, 1)), (Ok(()), Err(2)));
        let mut taken = Vec::new();
        assert!(queue.take(&seat.stop(), 9, &mut taken));
        let pushed = [queue.push(3, 60), queue.push(4, 40), queue.push(5, 1)];
        assert_eq!((taken, pushed), (vec![1], [Ok(()), Ok(()), Err(5)]));
    }

    #[test]
    fn the_last_taker_leaves_nothing_behind() {
        let queue = Arc::new(Queue::new(9, 99));
        let (one, two) = (Seat::new(&queue), Seat::new(&queue));
        let (stop_one, stop_two) = (one.stop(), two.stop());
        for job in 0..3 {
            queue.push(job, 1).unwrap();
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
