//! What a process costs: bytes when idle, CPU per spawn, cast, call and restart. One line a figure,
//! `name value unit`. One kind and one part a run, in fresh memory: `cost KIND PART`, the kind `lean`,
//! `server`, `lean_server` or `ractor` (ractor itself), the part one of `PARTS`. `bench/otp/run.sh` prints all of
//! them with Erlang's beside them.
#![expect(clippy::print_stdout, reason = "a program")]

mod ours;
mod raw;

use rustix::time::{ClockId, clock_gettime};
use std::{fs, time::Duration};
use tokio::{runtime::Builder, task::JoinSet, time::Instant};

type Error = Box<dyn std::error::Error>;

const PARTS: [&str; 10] = [
    "processes",
    "messages",
    "fans",
    "crashes",
    "children",
    "timers",
    "monitors",
    "names",
    "calls",
    "cores",
];

/// Messages of a measurement.
const MESSAGES: u64 = 500_000;
/// Senders, or receivers, of a fan; each sends, or gets, as many messages.
const FAN: u64 = 1000;
/// Calls whose time is taken.
const CALLS: u64 = 200_000;
/// Processes, names, or members of a group, that are there already.
const THERE: u64 = 16_000;
/// Timers that run already, and those of a measurement.
const TIMERS: u64 = 40_000;
const MORE_TIMERS: u64 = 20_000;
/// When they would be due.
const LATER: Duration = Duration::from_secs(3600);
/// Children of a measurement with so many there.
const OPERATIONS: u64 = 4000;
/// Of the part that runs on several.
const CORES: usize = 2;
/// Pairs that throw a ball there, and how often each.
const PAIRS: u64 = 100;
const THROWS: u64 = 20_000;

/// CPU time of all threads of the program, in ns.
fn cpu() -> u64 {
    let used = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    u64::try_from(used.as_nanos()).unwrap_or_default()
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

fn report(name: &str, value: u64, unit: &str) {
    println!("{name} {value} {unit}");
}

/// CPU of what is done `count` times since it was made.
struct Meter(u64);

impl Meter {
    fn start() -> Self {
        Self(cpu())
    }

    fn each(&self, count: u64) -> u64 {
        (cpu() - self.0) / count
    }

    fn report(&self, name: &str, count: u64) {
        report(name, self.each(count), "ns");
    }
}

/// Idle memory, start and stop. From the second round on memory is there already: what is measured
/// then is what stays, the median of the rounds.
#[derive(Default)]
struct Rounds {
    spawns: Vec<u64>,
    stops: Vec<u64>,
}

impl Rounds {
    /// How many there are.
    const ALL: std::ops::Range<u32> = 0..8;

    fn spawned(&mut self, round: u32, memory: u64, spawn: &Meter, count: u64) {
        if round == 0 {
            report("idle", (resident() - memory) / count, "bytes");
        } else {
            self.spawns.push(spawn.each(count));
        }
    }

    fn stopped(&mut self, round: u32, stop: &Meter, count: u64) {
        if round > 0 {
            self.stops.push(stop.each(count));
        }
    }

    fn report(mut self) {
        for (name, figures) in [("spawn", &mut self.spawns), ("stop", &mut self.stops)] {
            figures.sort_unstable();
            report(name, figures.get(figures.len() / 2).copied().unwrap_or_default(), "ns");
        }
    }
}

/// A thousand senders that send as fast as they can. Plain tasks: what is measured is the message,
/// not its sender.
fn flood<F, S>(send: S) -> JoinSet<()>
where
    S: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let sender = || {
        let send = send.clone();
        async move {
            for n in 0..FAN {
                send(n).await;
            }
        }
    };
    (0..FAN).map(|_| sender()).collect()
}

/// Waits until it is so; how much memory there was in the meantime, at most.
async fn until(mut done: impl FnMut() -> bool) -> u64 {
    let mut memory = resident();
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        memory = memory.max(resident());
    }
    memory
}

/// How long the restarts took, and how many there were a second.
fn report_restarts(name: &str, mut took: Vec<Duration>) -> Result<(), Error> {
    took.sort();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    report(name, u64::try_from(median.as_nanos())?, "ns");
    Ok(())
}

/// How long calls took: of so many in a thousand at most that.
fn report_calls(mut took: Vec<Duration>) -> Result<(), Error> {
    took.sort();
    for (name, part) in [("call_p50", 500), ("call_p99", 990), ("call_p999", 999)] {
        let at = took.get(took.len() * part / 1000).copied().unwrap_or_default();
        report(name, u64::try_from(at.as_nanos())?, "ns");
    }
    Ok(())
}

fn report_rate(name: &str, count: u64, began: Instant) {
    println!("{name} {:.0} /s", count as f64 / began.elapsed().as_secs_f64());
}

/// In no order.
fn mixed<T: Clone>(all: &[T]) -> Vec<T> {
    // a prime that divides none of the counts
    let order = (0..all.len()).map(|n| n * 7919 % all.len());
    order.filter_map(|n| all.get(n).cloned()).collect()
}

fn main() -> Result<(), Error> {
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default())?;
    let mut args = std::env::args().skip(1);
    let (kind, part) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    if !PARTS.contains(&part.as_str()) {
        return Err(format!("which part: {}?", PARTS.join(", ")).into());
    }
    let runtime = match part.as_str() {
        "cores" => Builder::new_multi_thread().worker_threads(CORES).enable_all().build()?,
        _ => Builder::new_current_thread().enable_all().build()?,
    };
    match kind.as_str() {
        "lean" => runtime.block_on(ours::run(ours::Kind::Lean, &part)),
        "server" => runtime.block_on(ours::run(ours::Kind::Server, &part)),
        "lean_server" => runtime.block_on(ours::run(ours::Kind::LeanServer, &part)),
        "ractor" => runtime.block_on(raw::run(&part)),
        _ => Err("which kind: lean, server, lean_server or ractor?".into()),
    }
}
