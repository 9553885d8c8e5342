//! ractor itself: actors that do the same, without anything of ours. Mailboxes have no bound, and a
//! crash is an error that a handler returns: no panic, no report.

mod many;

use crate::{
    Error, FAN, MESSAGES, Meter, Rounds, flood, report, report_rate, report_restarts, resident,
    until,
};
use parking_lot::Mutex;
use ractor::{
    Actor, ActorProcessingErr, ActorRef, SupervisionEvent, concurrency::JoinHandle, rpc::CallResult,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

/// Counts what it was told.
struct Raw;

enum Msg {
    Note(u64),
    Ask(ractor::RpcReplyPort<u64>),
    Boom,
    Ball(u64, ActorRef<Msg>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for Msg {}

/// How many messages it has handled, for who waits.
type Handled = Arc<AtomicU64>;

impl Actor for Raw {
    type Msg = Msg;
    type State = (u64, Handled);
    type Arguments = Handled;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        handled: Handled,
    ) -> Result<(u64, Handled), ActorProcessingErr> {
        Ok((0, handled))
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        (sum, handled): &mut (u64, Handled),
    ) -> Result<(), ActorProcessingErr> {
        let before = handled.load(Ordering::Relaxed);
        handled.store(before + 1, Ordering::Relaxed);
        match msg {
            Msg::Note(n) => *sum = sum.wrapping_add(n),
            Msg::Ask(reply) => reply.send(*sum)?,
            Msg::Boom => return Err("boom".into()),
            Msg::Ball(0, _) => {}
            Msg::Ball(left, to) => to.cast(Msg::Ball(left - 1, me))?,
        }
        Ok(())
    }
}

type Slot = Arc<Mutex<Option<ActorRef<Msg>>>>;

/// Starts another child when one has failed.
struct Parent;

/// Start a child: as with OTP's supervisors, and ours, the supervisor is called.
struct Start(Handled, ractor::RpcReplyPort<JoinHandle<()>>);

#[cfg(feature = "cluster")]
impl ractor::Message for Start {}

impl Actor for Parent {
    type Msg = Start;
    type State = Slot;
    type Arguments = Slot;

    async fn pre_start(&self, _: ActorRef<Start>, slot: Slot) -> Result<Slot, ActorProcessingErr> {
        Ok(slot)
    }

    async fn handle(
        &self,
        me: ActorRef<Start>,
        Start(handled, reply): Start,
        _: &mut Slot,
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(Actor::spawn_linked(None, Raw, handled, me.get_cell()).await?.1)?)
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Start>,
        event: SupervisionEvent,
        slot: &mut Slot,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            let child = Actor::spawn_linked(None, Raw, Handled::default(), me.get_cell()).await?.0;
            *slot.lock() = Some(child);
        }
        Ok(())
    }
}

async fn processes() -> Result<(), Error> {
    const MANY: u64 = 20_000;
    let mut rounds = Rounds::default();
    for round in Rounds::ALL {
        let (parent, ended) = Actor::spawn(None, Parent, Slot::default()).await?;
        let handled = Handled::default();
        let (memory, spawn) = (resident(), Meter::start());
        let mut tasks = Vec::new();
        for _ in 0..MANY {
            let args = Arc::clone(&handled);
            match parent.call(|reply| Start(args, reply), None).await? {
                CallResult::Success(task) => tasks.push(task),
                _ => return Err("the parent is gone".into()),
            }
        }
        rounds.spawned(round, memory, &spawn, MANY);
        let stop = Meter::start();
        parent.stop(None);
        ended.await?;
        for task in tasks {
            // an error: it was aborted, and has ended as well
            drop(task.await);
        }
        rounds.stopped(round, &stop, MANY);
    }
    rounds.report();
    Ok(())
}

async fn messages(
    to: &ActorRef<Msg>,
    other: &ActorRef<Msg>,
    handled: &Handled,
) -> Result<(), Error> {
    let done = || handled.load(Ordering::Relaxed);
    let empty = Meter::start();
    to.cast(Msg::Ball(MESSAGES, other.clone()))?;
    until(|| done() > MESSAGES / 2).await;
    empty.report("cast_empty", MESSAGES);
    let (full, before) = (Meter::start(), done());
    for n in 0..MESSAGES * 4 {
        to.cast(Msg::Note(n))?;
        if n % 1000 == 0 {
            yield_now().await;
        }
    }
    until(|| done() == before + MESSAGES * 4).await;
    full.report("cast_full", MESSAGES * 4);
    let call = Meter::start();
    for _ in 0..MESSAGES {
        to.call(Msg::Ask, Some(Duration::from_secs(5))).await?;
    }
    call.report("call", MESSAGES);
    Ok(())
}

fn flooding(sink: &ActorRef<Msg>) -> JoinSet<()> {
    let sink = sink.clone();
    flood(move |n| {
        let to = sink.clone();
        async move { drop(to.cast(Msg::Note(n))) }
    })
}

async fn fans(sink: &ActorRef<Msg>, handled: &Handled) -> Result<(), Error> {
    let mut others = Vec::new();
    let theirs = Handled::default();
    for _ in 0..FAN {
        others.push(Actor::spawn(None, Raw, Arc::clone(&theirs)).await?.0);
    }
    let done = || handled.load(Ordering::Relaxed);
    // a message each, again when all were taken
    let (senders, fan_in) = (vec![sink.clone(); usize::try_from(FAN)?], Meter::start());
    for n in 0..FAN {
        let before = done();
        for to in &senders {
            to.cast(Msg::Note(n))?;
        }
        while done() < before + FAN {
            yield_now().await;
        }
    }
    fan_in.report("fan_in", FAN * FAN);
    let (meter, memory, before) = (Meter::start(), resident(), done());
    let mut senders = flooding(sink);
    let most = until(|| done() == before + FAN * FAN).await;
    meter.report("fan_in_flood", FAN * FAN);
    report("flood_memory", most.saturating_sub(memory) >> 10, "KiB");
    while senders.join_next().await.is_some() {}
    let done = || theirs.load(Ordering::Relaxed);
    let (fan_out, before) = (Meter::start(), done());
    for n in 0..FAN {
        for to in &others {
            to.cast(Msg::Note(n))?;
        }
        yield_now().await;
    }
    until(|| done() == before + FAN * FAN).await;
    fan_out.report("fan_out", FAN * FAN);
    others.iter().for_each(|o| o.stop(None));
    Ok(())
}

async fn crashes() -> Result<(), Error> {
    const MANY: u64 = 20_000;
    let slot = Slot::default();
    let (parent, _) = Actor::spawn(None, Parent, Arc::clone(&slot)).await?;
    let first = Actor::spawn_linked(None, Raw, Handled::default(), parent.get_cell()).await?.0;
    *slot.lock() = Some(first);
    let (mut took, meter, all) = (Vec::new(), Meter::start(), Instant::now());
    for _ in 0..MANY {
        let old = slot.lock().clone().ok_or("not there")?;
        let began = Instant::now();
        old.cast(Msg::Boom)?;
        while slot.lock().as_ref().is_some_and(|new| new.get_id() == old.get_id()) {
            yield_now().await;
        }
        took.push(began.elapsed());
    }
    report_rate("restarts", MANY, all);
    meter.report("restart_cpu", MANY);
    report_restarts("restart_storm", took)?;
    parent.stop(None);
    Ok(())
}

pub async fn run(part: &str) -> Result<(), Error> {
    let (handled, theirs) = (Handled::default(), Handled::default());
    let (one, _) = Actor::spawn(None, Raw, Arc::clone(&handled)).await?;
    let (other, _) = Actor::spawn(None, Raw, theirs).await?;
    match part {
        "processes" => processes().await?,
        "messages" => messages(&one, &other, &handled).await?,
        "fans" => fans(&one, &handled).await?,
        "timers" => many::timers(&one, &handled).await?,
        "names" => many::names().await?,
        "calls" => many::calls(&one).await?,
        "cores" => many::cores(&one, &handled).await?,
        "crashes" => crashes().await?,
        _ => return Err("ractor has nothing like it".into()),
    }
    one.stop(None);
    other.stop(None);
    Ok(())
}
