//! What might cost more where there are many: children, timers, monitors, names and groups.

use super::{Kind, Lean, Msg, Serving};
use crate::{Error, LATER, MORE_TIMERS, Meter, OPERATIONS, THERE, TIMERS, mixed, until};
use std::{ops::Range, time::Duration};
use supervision::{
    ChildSpec, Cx, Exit, Ref, Restart, SupervisorRef, SupervisorSpec, System, Timer,
};
use tokio::{sync::oneshot, task::JoinSet};

fn child(kind: Kind, id: &str) -> ChildSpec {
    match kind {
        Kind::Lean => ChildSpec::process::<Lean>(id, || ()),
        Kind::Server | Kind::LeanServer => ChildSpec::server::<Serving>(id, || ()),
    }
}

/// A system with nothing in it but that.
async fn under(kind: Kind, spec: SupervisorSpec) -> Result<(System, SupervisorRef), Error> {
    let system = System::new("many");
    system.set_engine(kind.engine());
    let root = system.start(spec).await?;
    Ok((system, root))
}

/// As many of a kind.
async fn crowd(kind: Kind, count: u64) -> Result<(System, SupervisorRef, Vec<Ref<Msg>>), Error> {
    let template = child(kind, "one").restart(Restart::Temporary);
    let (system, root) = under(kind, SupervisorSpec::simple_one_for_one(template)).await?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(root.start_instance().await?.to_ref()?);
    }
    Ok((system, root, all))
}

/// Dynamic ones, beside those that are there.
pub(super) async fn children(kind: Kind) -> Result<(), Error> {
    const CALLERS: u64 = 3000;
    let ids = |which: Range<u64>| which.map(|n| format!("child-{n}")).collect::<Vec<_>>();
    let specs = |ids: &[String]| ids.iter().map(|id| child(kind, id)).collect::<Vec<_>>();
    let there = ids(0..THERE);
    let children = specs(&there);
    let (system, root) =
        under(kind, SupervisorSpec { children, ..SupervisorSpec::default() }).await?;

    let more = ids(THERE..THERE + OPERATIONS);
    let (children, start) = (specs(&more), Meter::start());
    for child in children {
        root.start_child(child).await?;
    }
    start.report("start_child", OPERATIONS);
    let terminate = Meter::start();
    for id in &more {
        root.terminate_child(id).await?;
    }
    terminate.report("terminate_child", OPERATIONS);
    let delete = Meter::start();
    for id in &more {
        root.delete_child(id).await?;
    }
    delete.report("delete_child", OPERATIONS);

    let (children, at_once) = (specs(&ids(THERE..THERE + CALLERS)), Meter::start());
    let mut callers = JoinSet::new();
    for child in children {
        let root = root.clone();
        callers.spawn(async move { root.start_child(child).await });
    }
    while let Some(started) = callers.join_next().await {
        started??;
    }
    at_once.report("start_at_once", CALLERS);

    let paths: Vec<String> = mixed(&there).iter().map(|id| format!("/{id}")).collect();
    let find = Meter::start();
    for path in &paths {
        system.find(path).ok_or("no such child")?;
    }
    find.report("find", THERE);
    root.stop().await;
    Ok(())
}

/// What it does itself.
async fn inside<T: Send + 'static>(
    it: &Ref<Msg>,
    run: impl FnOnce(&mut Cx<Msg>) -> T + Send + 'static,
) -> Result<T, Error> {
    let (done, result) = oneshot::channel();
    let run = Msg::Run(Box::new(move |cx| drop(done.send(run(cx)))));
    it.cast(run).map_err(|e| e.to_string())?;
    Ok(result.await?)
}

/// Timers that would be due long after.
fn set(cx: &mut Cx<Msg>, times: &[u64]) -> Vec<Timer> {
    let later = |n: &u64| LATER + Duration::from_millis(*n);
    times.iter().map(|n| cx.send_after(later(n), Msg::Note(*n))).collect()
}

/// Of one process.
pub(super) async fn timers(of: &Ref<Msg>) -> Result<(), Error> {
    let times = mixed(&(0..TIMERS).collect::<Vec<_>>());
    let (many, more) = (times.clone(), mixed(&(0..MORE_TIMERS).collect::<Vec<_>>()));
    let running = inside(of, move |cx| {
        let there = set(cx, &many);
        let start = Meter::start();
        let some = set(cx, &more);
        start.report("timer_start", MORE_TIMERS);
        let (some, cancel) = (mixed(&some), Meter::start());
        for timer in some {
            cx.cancel(timer);
        }
        cancel.report("timer_cancel", MORE_TIMERS);
        there
    });
    let running = mixed(&running.await?);
    inside(of, move |cx| {
        let cancel = Meter::start();
        for timer in running {
            cx.cancel(timer);
        }
        cancel.report("timer_cancel_all", TIMERS);
    })
    .await?;
    // all within a second; the last one says that it is over
    let (done, over) = oneshot::channel();
    inside(of, move |cx| {
        let due = Meter::start();
        for n in times {
            cx.send_after(Duration::from_millis(n % 1000), Msg::Note(n));
        }
        let last = Msg::Run(Box::new(move |_| drop(done.send(due))));
        cx.send_after(Duration::from_millis(1001), last);
    })
    .await?;
    over.await?.report("timer_due", TIMERS);
    Ok(())
}

/// Many watch one.
pub(super) async fn monitors(kind: Kind) -> Result<(), Error> {
    const WATCHERS: u64 = 100_000;
    let (_system, root, mut all) = crowd(kind, WATCHERS + 2).await?;
    let (watched, other) = all.pop().zip(all.pop()).ok_or("nobody")?;
    let (watched, other) = (watched.pid(), other.pid());
    for watcher in &all {
        watched.monitor(watcher.pid());
    }
    let monitor = Meter::start();
    for _ in 0..WATCHERS {
        watched.demonitor(watched.monitor(other));
    }
    monitor.report("monitor", WATCHERS);
    let down = Meter::start();
    watched.exit(Exit::Shutdown);
    until(|| all.last().is_some_and(|last| last.pid().handled() == 1)).await;
    until(|| all.iter().all(|watcher| watcher.pid().handled() == 1)).await;
    down.report("down", WATCHERS);
    root.stop().await;
    Ok(())
}

/// Names and groups.
pub(super) async fn names(kind: Kind) -> Result<(), Error> {
    const TIMES: usize = 100_000;
    let (system, root, mut all) = crowd(kind, THERE + 1).await?;
    let other = all.pop().ok_or("nobody")?;
    let names: Vec<String> = (0..THERE).map(|n| format!("name-{n}")).collect();
    for (name, process) in names.iter().zip(&all) {
        system.register(name, process)?;
        system.join("all", process.pid());
    }
    let register = Meter::start();
    for _ in 0..TIMES {
        system.register("other", &other)?;
        system.unregister("other");
    }
    register.report("register", TIMES as u64);
    let (names, look_up) = (mixed(&names), Meter::start());
    for name in names.iter().cycle().take(TIMES) {
        system.lookup::<Msg>(name).ok_or("not there")?;
    }
    look_up.report("look_up", TIMES as u64);
    let join = Meter::start();
    for _ in 0..TIMES {
        system.join("all", other.pid());
        system.leave_group("all", other.pid());
    }
    join.report("join", TIMES as u64);
    root.stop().await;
    Ok(())
}
