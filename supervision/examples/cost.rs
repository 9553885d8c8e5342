//! What a process costs: bytes when idle, CPU per spawn, cast, call and restart. One line a figure,
//! `name value unit`; `bench/otp/run.sh` prints Erlang's beside them. Run it with `--release`.
#![allow(missing_docs, clippy::print_stdout, reason = "a program")]

use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use supervision::{
    CastError, ChildSpec, Cx, Event, Exit, InitError, Next, PoolRef, PoolSpec, Process, Ref, Reply,
    Server, SupervisorSpec, System, crash::CrashLogLimits,
};
use tokio::{task::yield_now, time::Instant};

type Error = Box<dyn std::error::Error>;

enum Msg {
    Note(u64),
    Ask(Reply<u64>),
    Boom,
    /// To and fro, so often.
    Ball(u64, Ref<Msg>),
}

/// Counts; lean.
struct Lean(u64);

impl Process for Lean {
    type Args = ();
    type Msg = Msg;
    const NAME: &'static str = "lean";
    const INBOX: usize = 1024;

    async fn init((): (), _: &mut Cx<Msg>) -> Result<Self, InitError> {
        Ok(Self(0))
    }

    async fn run(&mut self, cx: &mut Cx<Msg>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(msg) => {
                    let me = cx.me().clone();
                    self.take(msg, &me);
                }
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

impl Lean {
    #[expect(clippy::panic, reason = "what is measured")]
    fn take(&mut self, msg: Msg, me: &Ref<Msg>) {
        match msg {
            Msg::Ball(0, _) => {}
            Msg::Ball(left, to) => drop(to.cast(Msg::Ball(left - 1, me.clone()))),
            Msg::Note(n) => self.0 = self.0.wrapping_add(n),
            Msg::Ask(reply) => reply.send(self.0),
            Msg::Boom => panic!("boom"),
        }
    }
}

/// The same as a server.
struct Serving(Lean);

impl Server for Serving {
    type Args = &'static str;
    type Msg = Msg;
    const NAME: &'static str = "serving";
    const INBOX: usize = 1024;

    async fn init(name: &'static str, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(name);
        Ok(Self(Lean(0)))
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        self.0.take(msg, cx.me());
        Next::Continue
    }
}

/// CPU time of all threads of the program, in ns.
fn cpu() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

fn report(name: &str, value: u64, unit: &str) {
    println!("{name} {value} {unit}");
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn processes(pool: &PoolRef<Lean>) -> Result<(), Error> {
    const MANY: u64 = 100_000;
    // the second time memory is there already: what is measured is what stays
    for round in 0..2 {
        let (memory, began) = (resident(), cpu());
        let mut all = Vec::new();
        for _ in 0..MANY {
            all.push(pool.start(()).await?);
        }
        if round == 0 {
            drop(all);
            report("idle", (resident() - memory) / MANY, "bytes");
        } else {
            report("spawn", (cpu() - began) / MANY, "ns");
        }
        let began = cpu();
        pool.drain(Duration::from_secs(60)).await?;
        if round == 1 {
            report("stop", (cpu() - began) / MANY, "ns");
        }
    }
    Ok(())
}

async fn messages(kind: &str, to: &Ref<Msg>, other: &Ref<Msg>) -> Result<(), Error> {
    const MANY: u64 = 500_000;
    let began = cpu();
    // each has an empty inbox whenever it gets the ball
    to.cast(Msg::Ball(MANY, other.clone())).map_err(|e| e.to_string())?;
    while to.pid().handled() + other.pid().handled() <= MANY {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    report(&format!("cast_empty_{kind}"), (cpu() - began) / MANY, "ns");
    let began = cpu();
    for n in 0..MANY * 4 {
        if let Err(CastError::Full(_)) = to.cast(Msg::Note(n)) {
            yield_now().await;
        }
    }
    report(&format!("cast_full_{kind}"), (cpu() - began) / (MANY * 4), "ns");
    settle().await;
    let began = cpu();
    for _ in 0..MANY {
        to.call(Msg::Ask, Duration::from_secs(5)).await?;
    }
    report(&format!("call_{kind}"), (cpu() - began) / MANY, "ns");
    Ok(())
}

/// ractor itself: an actor that does the same.
struct Raw;

enum RawMsg {
    Note(u64),
    Ask(ractor::RpcReplyPort<u64>),
    Ball(u64, ActorRef<RawMsg>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for RawMsg {}

impl Actor for Raw {
    type Msg = RawMsg;
    type State = (u64, Arc<AtomicU64>);
    type Arguments = Arc<AtomicU64>;

    async fn pre_start(
        &self,
        _: ActorRef<RawMsg>,
        balls: Arc<AtomicU64>,
    ) -> Result<(u64, Arc<AtomicU64>), ActorProcessingErr> {
        Ok((0, balls))
    }

    async fn handle(
        &self,
        me: ActorRef<RawMsg>,
        msg: RawMsg,
        (sum, balls): &mut (u64, Arc<AtomicU64>),
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            RawMsg::Note(n) => *sum = sum.wrapping_add(n),
            RawMsg::Ask(reply) => reply.send(*sum)?,
            RawMsg::Ball(left, to) => {
                balls.store(left, Ordering::Relaxed);
                if left > 0 {
                    to.cast(RawMsg::Ball(left - 1, me))?;
                }
            }
        }
        Ok(())
    }
}

async fn ractor_itself() -> Result<(), Error> {
    const MANY: u64 = 500_000;
    let balls = Arc::new(AtomicU64::new(MANY));
    let (one, _) = Actor::spawn(None, Raw, Arc::clone(&balls)).await?;
    let (two, _) = Actor::spawn(None, Raw, Arc::clone(&balls)).await?;
    let began = cpu();
    one.cast(RawMsg::Ball(MANY, two.clone()))?;
    while balls.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    report("cast_empty_ractor", (cpu() - began) / MANY, "ns");
    let began = cpu();
    for n in 0..MANY * 4 {
        one.cast(RawMsg::Note(n))?;
        if n % 1000 == 0 {
            one.call(RawMsg::Ask, None).await?;
        }
    }
    report("cast_full_ractor", (cpu() - began) / (MANY * 4), "ns");
    let began = cpu();
    for _ in 0..MANY {
        one.call(RawMsg::Ask, Some(Duration::from_secs(5))).await?;
    }
    report("call_ractor", (cpu() - began) / MANY, "ns");
    one.stop(None);
    two.stop(None);
    Ok(())
}

/// A thousand senders, a receiver, and back.
async fn fans(pool: &PoolRef<Lean>) -> Result<(), Error> {
    const ROUNDS: u64 = 1000;
    let sink = pool.start(()).await?;
    let began = cpu();
    let memory = resident();
    for n in 0..1000 * ROUNDS {
        while let Err(CastError::Full(_)) = sink.cast(Msg::Note(n)) {
            yield_now().await;
        }
    }
    report("fan_in_1000", (cpu() - began) / (1000 * ROUNDS), "ns");
    report("fan_in_memory", resident().saturating_sub(memory) >> 10, "KiB");
    let mut all = Vec::new();
    for _ in 0..1000 {
        all.push(pool.start(()).await?);
    }
    let began = cpu();
    for n in 0..ROUNDS {
        for to in &all {
            drop(to.cast(Msg::Note(n)));
        }
        yield_now().await;
    }
    report("fan_out_1000", (cpu() - began) / (1000 * ROUNDS), "ns");
    Ok(())
}

async fn crashes(system: &System) -> Result<(), Error> {
    const MANY: usize = 5000;
    let (mut took, began, all) = (Vec::new(), cpu(), Instant::now());
    for _ in 0..MANY {
        let old = system.lookup::<Msg>("serving").ok_or("not there")?;
        let began = Instant::now();
        drop(old.cast(Msg::Boom));
        loop {
            match system.lookup::<Msg>("serving") {
                Some(new) if new.pid() != old.pid() => break,
                _ => yield_now().await,
            }
        }
        took.push(began.elapsed());
    }
    took.sort();
    let median = took.get(MANY / 2).copied().unwrap_or_default();
    report("restart_p50", u64::try_from(median.as_nanos())?, "ns");
    report("restart_cpu", (cpu() - began) / MANY as u64, "ns");
    let rate = MANY as f64 / all.elapsed().as_secs_f64();
    println!("restarts {rate:.0} /s");
    Ok(())
}

async fn run() -> Result<(), Error> {
    let dir = std::env::temp_dir().join(format!("supervision-cost-{}", std::process::id()));
    let system = System::with_crash_log("cost", CrashLogLimits::default(), Some(dir.clone()));
    let root = SupervisorSpec::one_for_one()
        .intensity(u32::MAX, Duration::from_secs(1))
        .child(ChildSpec::pool::<Lean>("pool", "pool", PoolSpec::default()))
        .child(ChildSpec::server::<Serving>("other", || "other"))
        .child(ChildSpec::server::<Serving>("serving", || "serving"));
    let root = system.start(root).await?;
    let pool = PoolRef::<Lean>::find(&system, "pool").ok_or("no pool")?;
    processes(&pool).await?;
    messages("lean", &pool.start(()).await?, &pool.start(()).await?).await?;
    let other = system.lookup::<Msg>("other").ok_or("no server")?;
    messages("server", &system.lookup::<Msg>("serving").ok_or("no server")?, &other).await?;
    ractor_itself().await?;
    fans(&pool).await?;
    crashes(&system).await?;
    root.stop().await;
    fs::remove_dir_all(dir)?;
    Ok(())
}

fn main() -> Result<(), Error> {
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
