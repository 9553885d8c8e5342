//! Whose turn it is, drawn from a seed: for tests.
//!
//! On one thread and in paused time a system is deterministic, but it has one order only: who is woken first runs first.
//! In a system that has a [`Schedule`] what is up to chance elsewhere comes from a number:
//!
//! - which of the processes that can run does so next, when it starts, and whatever woke it: a message, a timer that is due
//!   with those of others, an answer, a store;
//! - how much a process does before others come: between two messages, and wherever it awaits;
//! - faults: a message is late or dropped, a process crashes at a message, or is killed ([`Fault`]).
//!
//! What is promised holds under every seed: between two processes all comes in the order of sending.
//! The same seed is the same run. A race that one order in a hundred shows is found by a few hundred seeds.
//!
//! ```
//! use std::time::Duration;
//! use supervision::{System, Task, testkit::{self, Probe}};
//! use supervision::schedule::{Fault, Schedule};
//!
//! /// Which of two is first.
//! async fn race(schedule: Schedule) -> [u8; 2] {
//!     let system = System::scheduled("race", schedule);
//!     let mut probe: Probe<u8> = Probe::start(&system).await;
//!     for number in [1, 2] {
//!         let to = probe.me().clone();
//!         let says = async move { drop(to.cast(number)) };
//!         Task::alone(&system, "/racer", says);
//!     }
//!     [probe.message().await, probe.message().await]
//! }
//!
//! let run = |schedule: Schedule| {
//!     let mut runtime = tokio::runtime::Builder::new_current_thread();
//!     runtime.enable_time().start_paused(true).build().unwrap().block_on(race(schedule))
//! };
//! let found = testkit::first_failure(0..1000, |schedule| assert_eq!(run(schedule), [1, 2]));
//! let seed = found.expect("a seed in which the second is first").seed;
//! assert_eq!(run(Schedule::new(seed)), run(Schedule::new(seed)));
//!
//! // the first message comes late, and one in a thousand crashes whom it reaches
//! let late = Fault::Delay(Duration::from_secs(1));
//! let faulty = Schedule::new(7).fault_at("/probe", 1, late).faults("/else", 9, Fault::Crash);
//! run(faulty.clone());
//! assert_eq!((faulty.seed(), &*faulty.happened()[0]), (7, "Delay(1s): message 1 to /probe"));
//! assert!(faulty.below(6) < 6);
//! assert!(faulty.steps() > 0 && faulty.digest() != 0 && !faulty.trace().is_empty());
//! ```

mod dice;
mod fault;
mod pacing;

pub use fault::Fault;
pub(crate) use pacing::Pacing;

use dice::Dice;
use fault::Plan;
use parking_lot::Mutex;
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

/// So many steps are kept to be shown.
const KEPT: usize = 200;

/// What a run is drawn from, and what it was so far; clones are the same one.
///
/// Example: [`crate::schedule`].
#[derive(Clone)]
pub struct Schedule(Arc<Inner>);

struct Inner {
    seed: u64,
    run: Mutex<Run>,
}

struct Run {
    dice: Dice,
    /// Whose steps these are, by the number with which it came.
    names: Vec<Arc<str>>,
    /// The last of them, each with how often in a row.
    last: VecDeque<(usize, u64)>,
    steps: u64,
    digest: u64,
    plan: Plan,
    /// Whose turn it is stands still after it.
    wait: Option<Duration>,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule of seed {}", self.0.seed)
    }
}

impl Schedule {
    /// The schedule of a seed, without faults.
    pub fn new(seed: u64) -> Self {
        let run = Run {
            dice: Dice::new(seed),
            names: Vec::new(),
            last: VecDeque::new(),
            steps: 0,
            digest: 0,
            plan: Plan::default(),
            wait: None,
        };
        Self(Arc::new(Inner { seed, run: Mutex::new(run) }))
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// A number less than `n`, from the same seed: for what a test itself decides. 0 when there is none.
    pub fn below(&self, n: u64) -> u64 {
        self.0.run.lock().dice.below(n)
    }

    /// That happens at the `nth` message to the process at `path`, counted over all that live there one after the other.
    #[must_use]
    pub fn fault_at(self, path: &str, nth: u64, fault: Fault) -> Self {
        self.0.run.lock().plan.at(path, nth, fault);
        self
    }

    /// That happens at one in so many messages to processes at `path` and below.
    #[must_use]
    pub fn faults(self, path: &str, one_in: u64, fault: Fault) -> Self {
        self.0.run.lock().plan.often(path, one_in, fault);
        self
    }

    /// The faults there were, in their order.
    pub fn happened(&self) -> Vec<String> {
        self.0.run.lock().plan.happened.clone()
    }

    /// How many times something was run.
    pub fn steps(&self) -> u64 {
        self.0.run.lock().steps
    }

    /// Two runs with the same are the same, step by step.
    pub fn digest(&self) -> u64 {
        self.0.run.lock().digest
    }

    /// Who ran, the last steps: to look at.
    pub fn trace(&self) -> Vec<String> {
        let run = self.0.run.lock();
        let steps = |(number, times): &(usize, u64)| {
            let name = run.names.get(*number)?;
            Some(if *times > 1 { format!("{name}*{times}") } else { name.to_string() })
        };
        run.last.iter().filter_map(steps).collect()
    }

    /// A process takes a message; what is to happen.
    pub(crate) fn message(&self, path: &str) -> Option<Fault> {
        let run = &mut *self.0.run.lock();
        if run.dice.below(2) == 0 {
            pacing::pause();
        }
        let fault = run.plan.fault(path, &mut run.dice)?;
        if let Fault::Delay(time) = fault {
            run.wait = Some(time);
        }
        Some(fault)
    }
}
