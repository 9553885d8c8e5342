//! ractor's timers, names and groups where there are many, how long its calls take, and what it does on two threads. It has no
//! children by ids.

use super::{Handled, Msg, Raw, flooding};
use crate::{
    CALLS, Error, FAN, LATER, MORE_TIMERS, Meter, PAIRS, THERE, THROWS, TIMERS, mixed,
    report_calls, report_rate, until,
};
use ractor::{
    Actor, ActorRef, MessagingErr, concurrency::JoinHandle, pg, registry, rpc::CallResult,
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::{task::yield_now, time::Instant};

/// One is a task.
type Timer = JoinHandle<Result<(), MessagingErr<Msg>>>;

fn set(of: &ActorRef<Msg>, times: &[u64]) -> Vec<Timer> {
    let later = |n: u64| LATER + Duration::from_millis(n);
    times.iter().copied().map(|n| of.send_after(later(n), move || Msg::Note(n))).collect()
}

/// Those that were cancelled are to have ended.
async fn cancel(timers: Vec<Timer>) {
    timers.iter().for_each(JoinHandle::abort);
    for timer in timers {
        drop(timer.await);
    }
}

pub(super) async fn timers(of: &ActorRef<Msg>, handled: &Handled) -> Result<(), Error> {
    let times = mixed(&(0..TIMERS).collect::<Vec<_>>());
    let there = set(of, &times);
    yield_now().await;
    let start = Meter::start();
    let more = set(of, &mixed(&(0..MORE_TIMERS).collect::<Vec<_>>()));
    // each has been polled once
    yield_now().await;
    start.report("timer_start", MORE_TIMERS);
    let meter = Meter::start();
    cancel(more).await;
    meter.report("timer_cancel", MORE_TIMERS);
    let meter = Meter::start();
    cancel(there).await;
    meter.report("timer_cancel_all", TIMERS);
    let (due, before) = (Meter::start(), handled.load(Ordering::Relaxed));
    for n in times {
        of.send_after(Duration::from_millis(n % 1000), move || Msg::Note(n));
    }
    tokio::time::sleep(Duration::from_millis(1001)).await;
    until(|| handled.load(Ordering::Relaxed) == before + TIMERS).await;
    due.report("timer_due", TIMERS);
    Ok(())
}

pub(super) async fn names() -> Result<(), Error> {
    const TIMES: usize = 100_000;
    let names: Vec<String> = (0..THERE).map(|n| format!("name-{n}")).collect();
    let mut all = Vec::new();
    for name in &names {
        all.push(Actor::spawn(Some(name.clone()), Raw, Handled::default()).await?.0);
    }
    let (names, look_up) = (mixed(&names), Meter::start());
    for name in names.iter().cycle().take(TIMES) {
        let found = registry::where_is(name).ok_or("not there")?;
        drop(ActorRef::<Msg>::from(found));
    }
    look_up.report("look_up", TIMES as u64);
    pg::join("all".to_owned(), all.iter().map(ActorRef::get_cell).collect());
    let other = Actor::spawn(None, Raw, Handled::default()).await?.0;
    let join = Meter::start();
    for _ in 0..TIMES {
        pg::join("all".to_owned(), vec![other.get_cell()]);
        pg::leave("all".to_owned(), vec![other.get_cell()]);
    }
    join.report("join", TIMES as u64);
    Ok(())
}

pub(super) async fn calls(to: &ActorRef<Msg>) -> Result<(), Error> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        let CallResult::Success(_) = to.call(Msg::Ask, Some(Duration::from_secs(5))).await? else {
            return Err("no answer".into());
        };
        took.push(began.elapsed());
    }
    report_calls(took)
}

pub(super) async fn cores(sink: &ActorRef<Msg>, handled: &Handled) -> Result<(), Error> {
    let (meter, began) = (Meter::start(), Instant::now());
    let mut senders = flooding(sink);
    until(|| handled.load(Ordering::Relaxed) == FAN * FAN).await;
    report_rate("cores_fan_in_rate", FAN * FAN, began);
    meter.report("cores_fan_in", FAN * FAN);
    while senders.join_next().await.is_some() {}

    let (mut players, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS * 2 {
        let count = Handled::default();
        players.push(Actor::spawn(None, Raw, Handled::clone(&count)).await?.0);
        counts.push(count);
    }
    let (meter, began) = (Meter::start(), Instant::now());
    for pair in players.chunks(2) {
        if let [one, other] = pair {
            one.cast(Msg::Ball(THROWS - 1, other.clone()))?;
        }
    }
    let thrown = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    until(|| thrown() == PAIRS * THROWS).await;
    report_rate("cores_pairs_rate", PAIRS * THROWS, began);
    meter.report("cores_pairs", PAIRS * THROWS);
    Ok(())
}
