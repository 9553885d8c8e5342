//! A test under many seeds.

use super::fail;
use crate::schedule::Schedule;
use std::{
    any::Any,
    env, fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The first seed under which a test fails; shown, it says how to have it again.
///
/// ```
/// use supervision::testkit::{self, Failure};
///
/// let fails = |schedule: supervision::schedule::Schedule| assert!(schedule.seed() < 3, "three");
/// let Some(Failure { seed, why, .. }) = testkit::first_failure(0..10, fails) else { panic!() };
/// assert_eq!((seed, &*why), (3, "three"));
/// ```
#[derive(Debug)]
pub struct Failure {
    /// That one.
    pub seed: u64,
    /// What the test says.
    pub why: String,
    /// What it was drawn from.
    pub schedule: Schedule,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, why, schedule } = self;
        writeln!(f, "seed {seed}: {why}")?;
        for fault in schedule.happened() {
            writeln!(f, "  fault: {fault}")?;
        }
        writeln!(f, "  {} steps, the last: {}", schedule.steps(), schedule.trace().join(" "))?;
        write!(f, "The same once more: SEED={seed} cargo test, and the name of this test")
    }
}

/// Runs a test under each of the seeds until it fails under one. It is to make its runtime, of one thread and with paused
/// time, and its system ([`crate::System::scheduled`]) each time.
///
/// Example: [`crate::schedule`].
pub fn first_failure(seeds: Range<u64>, test: impl Fn(Schedule)) -> Option<Failure> {
    seeds.into_iter().find_map(|seed| {
        let schedule = Schedule::new(seed);
        let run = catch_unwind(AssertUnwindSafe(|| test(schedule.clone())));
        run.err().map(|panic| Failure { seed, why: said(&*panic), schedule })
    })
}

/// Runs a test under each of the seeds. The first failure fails it, with its seed and how to have it again: the variable `SEED`
/// is the one to run, `SEEDS` is how many to run instead (a night's, say).
///
/// ```
/// use supervision::testkit;
///
/// testkit::every_seed(0..10, |schedule| {
///     let system = supervision::System::scheduled("test", schedule);
///     assert_eq!(system.alive(), 0);
/// });
/// ```
#[track_caller]
pub fn every_seed(seeds: Range<u64>, test: impl Fn(Schedule)) {
    let set = |name| env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match (set("SEED"), set("SEEDS")) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some(count)) => seeds.start..seeds.start.saturating_add(count),
        (None, None) => seeds,
    };
    if let Some(failure) = first_failure(seeds, test) {
        fail(&failure.to_string());
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
