//! One process under a schedule: when it runs of those that can, and how far.

use super::{KEPT, Schedule};
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::{
    task::coop::{consume_budget, has_budget_remaining},
    time::{Sleep, sleep},
};

/// What tokio lets a task do before others come, in its own units; a test here notices should that change.
const BUDGET: u64 = 128;

/// How often a process may be put behind the others when it could run. Drawn once for each: some are slow in all that they do,
/// and fall far behind those that are not.
const LAZY: [u64; 6] = [0, 1, 2, 3, 7, 31];

/// How many units a process does in one go, if no message makes an end of it: whatever of tokio's it has waited for is one.
const UNITS: [u64; 6] = [1, 2, BUDGET, BUDGET, BUDGET, BUDGET];

/// One that runs when the schedule lets it.
pub(crate) struct Pacing {
    schedule: Schedule,
    number: usize,
    lazy: u64,
    /// It can run, and is put back so many times.
    back: Option<u64>,
    /// It stands still until then.
    wait: Option<Pin<Box<Sleep>>>,
    go_on: Box<dyn Fn() + Send>,
}

impl Schedule {
    /// The number of another one, and how lazy it is.
    fn enter(&self, name: Arc<str>) -> (usize, u64) {
        let run = &mut *self.0.run.lock();
        run.names.push(name);
        (run.names.len() - 1, run.dice.one_of(&LAZY))
    }

    /// One runs: for how many units.
    fn step(&self, number: usize) -> u64 {
        let run = &mut *self.0.run.lock();
        match run.last.back_mut() {
            Some((last, times)) if *last == number => *times += 1,
            _ => {
                if run.last.len() >= KEPT {
                    run.last.pop_front();
                }
                run.last.push_back((number, 1));
            }
        }
        run.steps += 1;
        // FNV-1a
        run.digest = (run.digest ^ (number as u64 + 1)).wrapping_mul(0x0100_0000_01b3);
        run.dice.one_of(&UNITS)
    }
}

/// Takes so many units of what the task may do before others come.
fn spend(units: u64, cx: &mut Context<'_>) {
    for _ in 0..units {
        let _spent = pin!(consume_budget()).poll(cx);
    }
}

/// A message is taken: others come before what its handler waits for, and before the next.
pub(super) fn pause() {
    let nobody = &mut Context::from_waker(Waker::noop());
    while has_budget_remaining() {
        spend(1, nobody);
    }
}

impl Pacing {
    /// `go_on` is called when it has stood still for as long as it was to.
    pub(crate) fn new(
        schedule: &Schedule,
        name: Arc<str>,
        go_on: impl Fn() + Send + 'static,
    ) -> Self {
        let (number, lazy) = schedule.enter(name);
        let (schedule, go_on) = (schedule.clone(), Box::new(go_on));
        Self { schedule, number, lazy, back: None, wait: None, go_on }
    }

    pub(crate) fn poll<F: Future>(
        &mut self,
        work: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let Self { schedule, lazy, back, .. } = self;
        let put_back = back.get_or_insert_with(|| schedule.below(*lazy + 1));
        if let Some(left) = put_back.checked_sub(1) {
            *put_back = left;
            // behind all that can run now
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.back = None;
        if self.wait.as_mut().is_some_and(|wait| wait.as_mut().poll(cx).is_ready()) {
            self.wait = None;
            (self.go_on)();
        }
        let units = self.schedule.step(self.number);
        spend(BUDGET - units, cx);
        let done = work.poll(cx);
        if done.is_pending() {
            let wait = self.schedule.0.run.lock().wait.take();
            if let Some(time) = wait {
                self.wait = Some(Box::pin(sleep(time)));
            }
            // tokio would have it come after all others; here it comes among them
            if wait.is_some() || !has_budget_remaining() {
                cx.waker().wake_by_ref();
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicU64, Ordering},
    };

    #[tokio::test]
    async fn it_does_as_many_units_in_one_go_as_are_drawn() {
        let mut most = Vec::new();
        for seed in 0..100 {
            let schedule = Schedule::new(seed);
            let (steps, in_one) = (AtomicU64::new(0), AtomicU64::new(0));
            let work = async {
                for _ in 0..BUDGET {
                    consume_budget().await;
                    let now = schedule.steps();
                    if steps.swap(now, Ordering::Relaxed) != now {
                        most.push(in_one.swap(0, Ordering::Relaxed));
                    }
                    in_one.fetch_add(1, Ordering::Relaxed);
                }
            };
            let mut pacing = Pacing::new(&schedule, "work".into(), || ());
            let mut work = pin!(work);
            poll_fn(|cx| pacing.poll(work.as_mut(), cx)).await;
            // the next one begins with all that may be done
            tokio::task::yield_now().await;
        }
        most.sort_unstable();
        most.dedup();
        assert_eq!(most, [0, 1, 2]);
    }
}
