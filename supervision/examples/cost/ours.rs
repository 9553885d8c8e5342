//! Lean processes and servers.

mod cores;
mod many;

use crate::{
    Error, FAN, MESSAGES, Meter, Rounds, flood, report, report_rate, report_restarts, resident,
    until,
};
use std::{path::PathBuf, time::Duration};
use supervision::{
    CastError, ChildSpec, Cx, Engine, Event, Exit, InitError, Next, PoolRef, PoolSpec, Process,
    Ref, Reply, Restart, Server, Started, SupervisorRef, SupervisorSpec, System,
    crash::CrashLogLimits,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Lean,
    Server,
    LeanServer,
}

impl Kind {
    /// What the servers and supervisors of the run are.
    fn engine(self) -> Engine {
        if self == Self::LeanServer { Engine::Lean } else { Engine::Ractor }
    }
}

pub enum Msg {
    Note(u64),
    Ask(Reply<u64>),
    Boom,
    /// To and fro, so often.
    Ball(u64, Ref<Msg>),
    /// What only the process itself may do.
    Run(Run),
}

type Run = Box<dyn FnOnce(&mut Cx<Msg>) + Send>;

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
                Event::Msg(msg) => self.take(msg, cx),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

impl Lean {
    #[expect(clippy::panic, reason = "what is measured")]
    fn take(&mut self, msg: Msg, cx: &mut Cx<Msg>) {
        match msg {
            Msg::Ball(0, _) => {}
            Msg::Ball(left, to) => drop(to.cast(Msg::Ball(left - 1, cx.me().clone()))),
            Msg::Note(n) => self.0 = self.0.wrapping_add(n),
            Msg::Ask(reply) => reply.send(self.0),
            Msg::Boom => panic!("boom"),
            Msg::Run(run) => run(cx),
        }
    }
}

/// A [`Lean`] process as a server.
struct Serving(Lean);

impl Server for Serving {
    type Args = ();
    type Msg = Msg;
    const NAME: &'static str = "serving";
    const INBOX: usize = 1024;

    async fn init((): (), _: &mut Cx<Msg>) -> Result<Self, InitError> {
        Ok(Self(Lean(0)))
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        self.0.take(msg, cx);
        Next::Continue
    }
}

/// A child that has its id as a name.
fn named(kind: Kind, id: &str) -> ChildSpec {
    ChildSpec::new(id, move |place| async move {
        let (system, path) = (place.system.clone(), place.path());
        let me = match kind {
            Kind::Lean => place.process::<Lean>(()).await?,
            Kind::Server | Kind::LeanServer => place.server::<Serving>(()).await?,
        };
        system.register(path.trim_start_matches('/'), &me)?;
        Ok(Started::Up(me.pid().clone()))
    })
}

/// Of lean ones under their pool; of servers, below, under a supervisor.
async fn lean_processes(pool: &PoolRef<Lean>) -> Result<(), Error> {
    const MANY: u64 = 100_000;
    let mut rounds = Rounds::default();
    for round in Rounds::ALL {
        let (memory, spawn) = (resident(), Meter::start());
        for _ in 0..MANY {
            pool.start(()).await?;
        }
        rounds.spawned(round, memory, &spawn, MANY);
        let stop = Meter::start();
        pool.drain(Duration::from_secs(60)).await?;
        rounds.stopped(round, &stop, MANY);
    }
    rounds.report();
    Ok(())
}

async fn servers(engine: Engine) -> Result<(), Error> {
    const MANY: u64 = 20_000;
    let system = System::new("servers");
    system.set_engine(engine);
    let mut rounds = Rounds::default();
    for round in Rounds::ALL {
        let template = ChildSpec::server::<Serving>("instance", || ()).restart(Restart::Temporary);
        let sup = system.start(SupervisorSpec::simple_one_for_one(template)).await?;
        let (memory, spawn) = (resident(), Meter::start());
        for _ in 0..MANY {
            sup.start_instance().await?;
        }
        rounds.spawned(round, memory, &spawn, MANY);
        let stop = Meter::start();
        sup.stop().await;
        rounds.stopped(round, &stop, MANY);
    }
    rounds.report();
    Ok(())
}

async fn messages(to: &Ref<Msg>, other: &Ref<Msg>) -> Result<(), Error> {
    let empty = Meter::start();
    // each has an empty inbox whenever it gets the ball
    to.cast(Msg::Ball(MESSAGES, other.clone())).map_err(|e| e.to_string())?;
    until(|| to.pid().handled() + other.pid().handled() > MESSAGES).await;
    empty.report("cast_empty", MESSAGES);
    let (full, before) = (Meter::start(), to.pid().handled());
    for n in 0..MESSAGES * 4 {
        while let Err(CastError::Full(_)) = to.cast(Msg::Note(n)) {
            yield_now().await;
        }
    }
    until(|| to.pid().handled() == before + MESSAGES * 4).await;
    full.report("cast_full", MESSAGES * 4);
    let call = Meter::start();
    for _ in 0..MESSAGES {
        to.call(Msg::Ask, Duration::from_secs(5)).await?;
    }
    call.report("call", MESSAGES);
    Ok(())
}

/// Who is refused gives way and tries again.
fn flooding(sink: &Ref<Msg>) -> JoinSet<()> {
    let sink = sink.clone();
    flood(move |n| {
        let to = sink.clone();
        async move {
            while let Err(CastError::Full(_)) = to.cast(Msg::Note(n)) {
                yield_now().await;
            }
        }
    })
}

/// A thousand senders, one receiver; and back.
async fn fans(kind: Kind, system: &System) -> Result<(), Error> {
    let sink = system.lookup::<Msg>("one").ok_or("not there")?;
    // a message each, again when all were taken
    let (senders, fan_in) = (vec![sink.clone(); usize::try_from(FAN)?], Meter::start());
    for n in 0..FAN {
        let before = sink.pid().handled();
        for to in &senders {
            drop(to.cast(Msg::Note(n)));
        }
        while sink.pid().handled() < before + FAN {
            yield_now().await;
        }
    }
    fan_in.report("fan_in", FAN * FAN);
    let (meter, memory, before) = (Meter::start(), resident(), sink.pid().handled());
    let mut senders = flooding(&sink);
    let most = until(|| sink.pid().handled() == before + FAN * FAN).await;
    meter.report("fan_in_flood", FAN * FAN);
    report("flood_memory", most.saturating_sub(memory) >> 10, "KiB");
    while senders.join_next().await.is_some() {}
    let names: Vec<String> = (0..FAN).map(|n| format!("receiver-{n}")).collect();
    let children = names.iter().map(|name| named(kind, name)).collect();
    system.start(SupervisorSpec { children, ..SupervisorSpec::default() }).await?;
    let mut receivers = Vec::new();
    for name in names {
        receivers.push(system.lookup::<Msg>(&name).ok_or("not there")?);
    }
    let handled = || receivers.iter().map(|to| to.pid().handled()).sum::<u64>();
    let fan_out = Meter::start();
    for n in 0..FAN {
        for to in &receivers {
            drop(to.cast(Msg::Note(n)));
        }
        yield_now().await;
    }
    until(|| handled() == FAN * FAN).await;
    fan_out.report("fan_out", FAN * FAN);
    Ok(())
}

/// Crashes it and waits until another is in its place.
async fn crash(system: &System) -> Result<Duration, Error> {
    let old = system.lookup::<Msg>("one").ok_or("not there")?;
    let began = Instant::now();
    drop(old.cast(Msg::Boom));
    loop {
        match system.lookup::<Msg>("one") {
            Some(new) if new.pid() != old.pid() => return Ok(began.elapsed()),
            _ => yield_now().await,
        }
    }
}

fn reports() -> PathBuf {
    std::env::temp_dir().join(format!("supervision-cost-{}", std::process::id()))
}

/// A system with its crash reports as files, of one place as many as that.
async fn crashing(kind: Kind, per_place: u32) -> Result<(System, SupervisorRef), Error> {
    let limits = CrashLogLimits { per_place, ..CrashLogLimits::default() };
    let system = System::with_crash_log("cost", limits, Some(reports()));
    system.set_engine(kind.engine());
    let root = SupervisorSpec::one_for_one()
        .intensity(u32::MAX, Duration::from_secs(1))
        .child(ChildSpec::pool::<Lean>("pool", "pool", PoolSpec::default()))
        .child(named(kind, "other"))
        .child(named(kind, "one"));
    let root = system.start(root).await?;
    Ok((system, root))
}

/// With the report of each on disk, then as a storm of which all but a few are counted.
async fn crashes(kind: Kind) -> Result<(), Error> {
    let (system, root) = crashing(kind, u32::MAX).await?;
    let mut took = Vec::new();
    for _ in 0..500 {
        took.push(crash(&system).await?);
        system.crashes().flush();
    }
    report_restarts("restart_reported", took)?;
    root.stop().await;

    const MANY: u64 = 20_000;
    let (system, root) = crashing(kind, CrashLogLimits::default().per_place).await?;
    let (mut took, meter, all) = (Vec::new(), Meter::start(), Instant::now());
    for _ in 0..MANY {
        took.push(crash(&system).await?);
    }
    report_rate("restarts", MANY, all);
    meter.report("restart_cpu", MANY);
    report_restarts("restart_storm", took)?;
    root.stop().await;
    Ok(())
}

pub async fn run(kind: Kind, part: &str) -> Result<(), Error> {
    if part == "crashes" {
        crashes(kind).await?;
        return Ok(std::fs::remove_dir_all(reports())?);
    }
    let (system, root) = crashing(kind, 1).await?;
    let one = system.lookup::<Msg>("one").ok_or("not there")?;
    let other = system.lookup::<Msg>("other").ok_or("not there")?;
    match (part, kind) {
        ("processes", Kind::Lean) => {
            lean_processes(&PoolRef::find(&system, "pool").ok_or("no pool")?).await?;
        }
        ("processes", kind) => servers(kind.engine()).await?,
        ("messages", _) => messages(&one, &other).await?,
        ("fans", kind) => fans(kind, &system).await?,
        ("children", kind) => many::children(kind).await?,
        ("timers", _) => many::timers(&one).await?,
        ("monitors", kind) => many::monitors(kind).await?,
        ("names", kind) => many::names(kind).await?,
        ("calls", _) => cores::calls(&one).await?,
        (_, kind) => cores::cores(kind, &one).await?,
    }
    root.stop().await;
    Ok(std::fs::remove_dir_all(reports())?)
}
