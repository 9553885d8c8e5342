//! Simulation: a tree in paused time on one thread is deterministic. A seed gives a tree and what
//! happens to it; twice the same seed is twice the same trace, to the millisecond. Whatever
//! happened, in the end nothing is left.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Do, Plan, Puppet, Serving};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Engine, Exit, PoolRef, PoolSpec, Restart, Shutdown, Strategy, SupervisorSpec,
    System, TreeNode, schedule::Fault, sys, system::Change, testkit,
};

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

fn tree(dice: &mut Dice, depth: u32) -> SupervisorSpec {
    let strategy = match dice.roll(3) {
        0 => Strategy::OneForOne,
        1 => Strategy::OneForAll,
        _ => Strategy::RestForOne,
    };
    let mut spec = SupervisorSpec { strategy, ..SupervisorSpec::default() }
        .intensity(u32::try_from(dice.roll(5)).unwrap(), Duration::from_secs(2));
    for n in 0..=dice.roll(4) {
        let id = format!("{depth}-{n}");
        let plan = Plan { trap: dice.roll(2) == 0, ..Plan::default() };
        let child = match dice.roll(if depth < 2 { 5 } else { 3 }) {
            0 => ChildSpec::process::<Puppet>(&id, move || plan.clone()),
            1 => ChildSpec::server::<Serving>(&id, move || plan.clone()),
            2 => ChildSpec::process::<Puppet>(&id, move || plan.clone())
                .backoff(Duration::from_millis(50), Duration::from_secs(1)),
            _ => ChildSpec::supervisor(&id, tree(dice, depth + 1)),
        };
        let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        let child = child.restart(restart[usize::try_from(dice.roll(3)).unwrap()]);
        spec = spec.child(match dice.roll(3) {
            0 => child.shutdown(Shutdown::Timeout(Duration::from_millis(dice.roll(500)))),
            1 => child.shutdown(Shutdown::BrutalKill),
            _ => child,
        });
    }
    spec
}

fn count(system: &System) -> usize {
    system.tree().iter().map(TreeNode::count).sum()
}

async fn run(seed: u64, system: System) -> Vec<String> {
    let mut dice = Dice::new(seed);
    system.set_engine(if seed.is_multiple_of(2) { Engine::Ractor } else { Engine::Lean });
    let trace: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, clock) = (Arc::clone(&trace), tokio::time::Instant::now());
    system.observe(move |change| {
        let at = clock.elapsed().as_millis();
        log.lock().push(match change {
            Change::Started(pid) => format!("{at} + {pid:?}"),
            Change::Ended(pid, exit) => format!("{at} - {pid:?} {exit}"),
        });
    });
    let pool = ChildSpec::pool::<Puppet>("pool", "pool", PoolSpec::default());
    let root = tree(&mut dice, 0).child(pool);
    let root = system.start(root).await.unwrap();
    for _ in 0..30 {
        let mut pids = system.pids();
        pids.sort_by_key(supervision::Local::id);
        if !pids.is_empty() {
            let pid = &pids[usize::try_from(dice.roll(pids.len() as u64)).unwrap()];
            match dice.roll(8) {
                0 => pid.kill(),
                1 => pid.exit(Exit::error("told to")),
                2 => pid.exit(Exit::Shutdown),
                3 => sys::suspend(pid),
                4 => sys::resume(pid),
                5 => pid.link(&pids[0]),
                _ => {
                    if let Some(pool) = PoolRef::<Puppet>::find(&system, "pool")
                        && let Ok(child) = pool.start(Plan::default()).await
                        && dice.roll(2) == 0
                    {
                        child.cast(Do::Panic("boom")).unwrap();
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(300))).await;
        assert_eq!(count(&system), system.alive(), "seed {seed}");
    }
    root.pid().exit(Exit::Shutdown);
    tokio::time::sleep(Duration::from_secs(60)).await;
    if root.pid().is_alive() {
        // it was suspended, or waits for ever for one that was
        root.pid().kill();
    }
    for pid in system.pids() {
        pid.kill();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((system.alive(), count(&system)), (0, 0), "seed {seed}: {:?}", system.pids());
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "seed {seed}");
    std::mem::take(&mut *trace.lock())
}

#[test]
fn the_same_seed_is_the_same_trace_a_thousand_times() {
    let again = |seed| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let run = run(seed, System::new("simulation"));
        runtime.enable_time().start_paused(true).build().unwrap().block_on(run)
    };
    let mut traces = std::collections::HashSet::new();
    for seed in 0..1000 {
        let trace = again(seed);
        assert!(trace.len() >= 4, "seed {seed}");
        assert_eq!(again(seed), trace, "seed {seed}");
        traces.insert(trace);
    }
    assert!(traces.len() > 990, "seeds differ");
}

/// The tree is the seed's, and so is whose turn it is.
#[test]
fn nothing_is_left_whatever_runs_first_and_whatever_goes_wrong() {
    testkit::every_seed(0..150, |schedule| {
        let schedule = schedule.faults("/", 40, Fault::Crash).faults("/", 40, Fault::Kill).faults(
            "/",
            20,
            Fault::Delay(Duration::from_millis(100)),
        );
        let system = System::scheduled("simulation", schedule.clone());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(schedule.seed(), system));
    });
}
