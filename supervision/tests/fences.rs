//! What a process is given to call may panic: it is reported, the thing is switched off, and nothing else comes to harm.
#![expect(clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, SECOND, Serving, world};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{
    CallError, ChildError, ChildSpec, Cx, Event, Exit, InitError, Next, Process, Reply, Server,
    StartError, Started, SupervisorSpec, Topic, sys,
    testkit::{self, Probe},
};

/// A child whose start panics from then on.
fn fragile(id: &str, how: &'static str, starts: &Arc<AtomicUsize>, from: usize) -> ChildSpec {
    let starts = Arc::clone(starts);
    let panics = move || assert!(starts.fetch_add(1, Ordering::Relaxed) < from, "no start");
    match how {
        "args" => ChildSpec::server::<Serving>(id, move || {
            panics();
            Plan::default()
        }),
        "function" => ChildSpec::new(id, move |place| {
            panics();
            async { Ok(Started::Up(place.server::<Serving>(Plan::default()).await?.pid().clone())) }
        }),
        "future" => {
            let panics = Arc::new(panics);
            ChildSpec::new(id, move |place| {
                let panics = Arc::clone(&panics);
                async move {
                    panics();
                    Ok(Started::Up(place.server::<Serving>(Plan::default()).await?.pid().clone()))
                }
            })
        }
        // after the child was started
        _ => {
            let panics = Arc::new(panics);
            ChildSpec::new(id, move |place| {
                let panics = Arc::clone(&panics);
                async move {
                    let started = place.server::<Serving>(Plan::default()).await?;
                    panics();
                    Ok(Started::Up(started.pid().clone()))
                }
            })
        }
    }
}

const HOW: [&str; 4] = ["args", "function", "future", "late"];

#[tokio::test]
async fn a_start_that_panics_is_a_start_that_failed() {
    for how in HOW {
        let world = world().await;
        let sibling = world.puppet(BOTH[0], "sibling", Plan::default()).await;
        let failed =
            world.root.start_child(fragile("a", how, &Arc::default(), 0)).await.unwrap_err();
        let ChildError::Start(StartError::Exited(Exit::Crash(report))) = failed else {
            panic!("{how}: {failed}");
        };
        assert_eq!((&*report.reason, &*report.path), ("no start", "/"), "{how}");
        assert!(report.location.contains("fences.rs"), "{how}: {}", report.location);
        assert_eq!(report.inputs, ["start of /a"]);
        assert!(sibling.pid().is_alive() && world.root.pid().is_alive(), "{how}");
        // nothing of it is left
        assert_eq!((world.system.alive(), world.root.pid().links(9).len()), (2, 1), "{how}");
        world.stop().await;
    }
}

/// In OTP it would go on, linked to the supervisor and known to nobody.
#[tokio::test(start_paused = true)]
async fn what_a_start_function_has_started_ends_when_it_brings_nothing() {
    for ignores in [false, true] {
        let start = move |place: supervision::Place| async move {
            place.server::<Serving>(Plan { trap: true, ..Plan::default() }).await?;
            if ignores { Ok(Started::Ignored) } else { Err(StartError::Failed("after".into())) }
        };
        let world = world().await;
        let sibling = world.puppet(BOTH[0], "sibling", Plan::default()).await;
        let failed = world.root.start_child(ChildSpec::new("a", start)).await;
        assert_eq!(failed.is_ok(), ignores, "{failed:?}");
        assert_eq!((world.system.alive(), world.root.pid().links(9).len()), (2, 1), "{ignores}");
        assert!(sibling.pid().is_alive() && world.system.find("/a").is_none());
        world.stop().await;
        // instances, which are known by a number
        let system = common::system("test");
        let rooms = SupervisorSpec::simple_one_for_one(ChildSpec::new("room", start));
        let rooms = system.start(rooms).await.unwrap();
        for _ in 0..3 {
            assert_eq!(rooms.start_instance().await.is_ok(), ignores);
        }
        assert_eq!((system.alive(), rooms.pid().links(9).len()), (1, 0), "{ignores}");
        rooms.stop().await;
    }
}

#[tokio::test]
async fn a_tree_with_such_a_child_does_not_start_and_leaves_nothing() {
    for how in HOW {
        let system = common::system("test");
        let good = ChildSpec::server::<Serving>("good", Plan::default);
        let spec =
            SupervisorSpec::one_for_one().child(good).child(fragile("a", how, &Arc::default(), 0));
        let Err(StartError::Child { child, .. }) = system.start(spec).await else {
            panic!("{how}")
        };
        assert_eq!((&*child, system.alive()), ("a", 0), "{how}");
    }
}

/// What one panics with may panic when it is dropped, with another one.
struct Matryoshka(u8);

impl Drop for Matryoshka {
    fn drop(&mut self) {
        if let Some(inner) = self.0.checked_sub(1) {
            std::panic::panic_any(Self(inner));
        }
    }
}

#[tokio::test]
async fn whatever_it_panics_with() {
    let world = world().await;
    let child = ChildSpec::server::<Serving>("a", || std::panic::panic_any(Matryoshka(3)));
    let failed = world.root.start_child(child).await.unwrap_err();
    let ChildError::Start(StartError::Exited(Exit::Crash(report))) = failed else {
        panic!("{failed}");
    };
    assert_eq!(report.reason, "a panic without a text");
    assert_eq!((world.root.pid().is_alive(), world.system.alive()), (true, 1));
    world.stop().await;
}

#[tokio::test]
async fn a_restart_that_panics_is_tried_again_until_it_is_one_too_many() {
    for how in HOW {
        let (system, starts) = (common::system("test"), Arc::default());
        let spec = SupervisorSpec::one_for_one()
            .intensity(3, SECOND * 60)
            .child(fragile("a", how, &starts, 1));
        let root = system.start(spec).await.unwrap();
        system.find("/a").unwrap().kill();
        assert_eq!(testkit::ended(root.pid()).await.word(), "shutdown", "{how}");
        assert_eq!(starts.load(Ordering::Relaxed), 4, "{how}: three restarts");
        // that it was killed is one too
        assert_eq!((system.alive(), system.crashes().count()), (0, 4), "{how}");
    }
}

/// Shows its messages badly.
struct Shy(usize);

enum Say {
    Hello(Reply<usize>),
    Every,
    Tick,
}

impl Server for Shy {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "shy";

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self(0))
    }

    async fn handle(&mut self, msg: Say, cx: &mut Cx<Say>) -> Next {
        match msg {
            Say::Hello(reply) => reply.send(self.0),
            Say::Every => {
                let mut left = 2;
                cx.send_every(Duration::from_secs(1), move || {
                    left -= 1;
                    assert!(left >= 0, "no tick");
                    Say::Tick
                });
            }
            Say::Tick => self.0 += 1,
        }
        Next::Continue
    }

    fn describe(_: &Say) -> Cow<'static, str> {
        panic!("no word")
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Say>) {}
}

impl Process for Shy {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "shy";

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self(0))
    }

    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(msg) => drop(self.handle(msg, cx).await),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }

    fn describe(_: &Say) -> Cow<'static, str> {
        panic!("no word")
    }
}

async fn shy() -> [testkit::Kit<Say>; 2] {
    [testkit::process::<Shy>("shy", || ()).await, common::server::<Shy>("shy", || ()).await]
}

#[tokio::test]
async fn what_watches_a_process_and_panics_watches_it_no_more() {
    for kit in shy().await {
        let pid = kit.me.pid();
        // a word for a message, and a sink that does not take it
        for watch in [
            (|pid| sys::log(pid, 10)) as fn(&_),
            |pid| sys::trace(pid, 10, |_| panic!("no room")),
            |pid| sys::trace(pid, 10, |event| panic!("{event}")),
        ] {
            let before = kit.system.crashes().count();
            watch(pid);
            for _ in 0..3 {
                assert_eq!(kit.me.call(Say::Hello, SECOND).await, Ok(0));
            }
            assert_eq!(kit.system.crashes().count(), before + 1);
            assert_eq!(sys::last_events(pid), []);
        }
        let reports = kit.system.crashes().list();
        for report in &reports {
            assert_eq!(report.path, "/shy");
            assert_eq!(report.inputs, ["a trace or a log: it has ended"]);
        }
        let reasons: Vec<_> = reports.iter().rev().map(|report| &*report.reason).collect();
        assert_eq!(reasons[..2], ["no word", "no room"]);
        // there is no word any more: its type
        let word = format!(" message: {}", std::any::type_name::<Say>());
        assert!(reasons[2].ends_with(&word), "{reasons:?}");
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_repeats_and_panics_is_gone() {
    for kit in shy().await {
        kit.me.cast(Say::Every).unwrap();
        tokio::time::sleep(SECOND * 10).await;
        assert_eq!(kit.me.call(Say::Hello, SECOND).await, Ok(2));
        let reports = kit.system.crashes().list();
        let reasons: Vec<_> = reports.iter().map(|report| &*report.reason).collect();
        assert_eq!(reasons.iter().filter(|reason| **reason == "no tick").count(), 1);
        // of a server each message is described
        assert!(reasons.iter().all(|reason| ["no tick", "no word"].contains(reason)));
        kit.root.stop().await;
    }
}

#[tokio::test]
async fn an_observer_that_panics_is_told_no_more() {
    let (system, seen) = (common::system("test"), Arc::new(AtomicUsize::new(0)));
    let sees = Arc::clone(&seen);
    system.observe(move |change| {
        assert!(sees.fetch_add(1, Ordering::Relaxed) < 2, "it saw {change:?}");
    });
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    for n in 0..3 {
        root.start_child(ChildSpec::server::<Serving>(&format!("{n}"), Plan::default))
            .await
            .unwrap();
    }
    assert_eq!((seen.load(Ordering::Relaxed), system.alive()), (3, 4));
    root.stop().await;
    assert_eq!((seen.load(Ordering::Relaxed), system.alive(), system.crashes().count()), (3, 0, 1));
}

/// Overrides `event`, and does not end with its parent there.
struct Stubborn;

impl Server for Stubborn {
    type Args = ();
    type Msg = Do;
    const NAME: &'static str = "stubborn";

    async fn init((): (), cx: &mut Cx<Do>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        Ok(Self)
    }

    async fn handle(&mut self, _: Do, _: &mut Cx<Do>) -> Next {
        Next::Continue
    }

    async fn event(&mut self, _: Event<Do>, _: &mut Cx<Do>) -> Next {
        Next::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_ends_with_its_parent_whatever_it_does_with_events() {
    let kit = common::server::<Stubborn>("stubborn", || ()).await;
    kit.root.stop().await;
    assert_eq!(kit.me.pid().exit_reason().unwrap().word(), "shutdown", "it was not killed");
}

/// What it notes cannot be printed.
struct Unprintable;

impl std::fmt::Debug for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text")
    }
}

/// Drops the first reply, and sends the second.
enum Pair {
    Note(Reply<()>),
    Both(Reply<()>, Reply<()>),
    /// Many timers that repeat, whose closures panic all at once.
    Timers(usize),
    Hang,
}

struct Paired;

impl Server for Paired {
    type Args = ();
    type Msg = Pair;
    const NAME: &'static str = "paired";

    async fn init((): (), _: &mut Cx<Pair>) -> Result<Self, InitError> {
        Ok(Self)
    }

    async fn handle(&mut self, msg: Pair, cx: &mut Cx<Pair>) -> Next {
        match msg {
            Pair::Note(_reply) => {
                cx.record(Arc::new(Unprintable));
                panic!("noted")
            }
            Pair::Both(dropped, answered) => {
                drop(dropped);
                answered.send(());
            }
            Pair::Timers(many) => {
                for _ in 0..many {
                    cx.send_every(SECOND, || panic!("no message"));
                }
            }
            Pair::Hang => std::future::pending().await,
        }
        Next::Continue
    }
}

#[tokio::test]
async fn what_is_noted_and_cannot_be_printed_hides_nothing() {
    let kit = common::server::<Paired>("paired", || ()).await;
    let called = kit.me.call(Pair::Note, SECOND).await;
    let Exit::Crash(report) = testkit::ended(kit.me.pid()).await else { panic!() };
    assert_eq!(called, Err(CallError::Gone(Some(Exit::Crash(Arc::clone(&report))))));
    assert_eq!(
        (&*report.reason, &*report.inputs),
        ("noted", &["without a text: no text".into()][..])
    );
    kit.root.stop().await;
}

/// What makes the answer a message runs as the asker, which hangs: the call that was dropped before is none of its.
#[tokio::test(start_paused = true)]
async fn who_waits_for_what_was_dropped_is_told_whatever_another_does() {
    let (kit, asker) = (
        common::server::<Paired>("paired", || ()).await,
        common::server::<Paired>("paired", || ()).await,
    );
    asker.me.cast(Pair::Hang).unwrap();
    let began = tokio::time::Instant::now();
    let called = kit.me.call(
        |first| {
            let both = Arc::new(parking_lot::Mutex::new(None));
            let second = Arc::clone(&both);
            kit.me.send_request(
                &asker.me,
                move |reply| {
                    *second.lock() = Some(reply);
                    Pair::Timers(0)
                },
                |_| Pair::Hang,
            );
            let second = both.lock().take().unwrap();
            Pair::Both(first, second)
        },
        SECOND * 60,
    );
    assert_eq!(called.await, Err(CallError::Gone(None)));
    assert!(began.elapsed() < SECOND);
    kit.root.stop().await;
    asker.root.stop().await;
}

/// As deep as there are many, they would overflow the stack.
#[tokio::test(start_paused = true)]
async fn however_many_timers_panic_at_once() {
    let kit = common::server::<Paired>("paired", || ()).await;
    kit.me.cast(Pair::Timers(20_000)).unwrap();
    tokio::time::sleep(SECOND * 3).await;
    assert_eq!(kit.system.crashes().count(), 20_000);
    assert!(kit.me.pid().is_alive());
    kit.root.stop().await;
}

/// Its subscribers are not the publisher's concern, and what they do there they may: look at it, leave it, come to it.
#[tokio::test]
async fn a_topic_survives_what_its_subscribers_give_it_to_call() {
    let system = common::system("test");
    let topic: Topic<u32> = Topic::new(9);
    let mut probes: [Probe<u32>; 3] =
        [Probe::start(&system).await, Probe::start(&system).await, Probe::start(&system).await];
    let [one, two, three] = &probes;
    topic.subscribe(one.me(), |n| if n == 2 { panic!("no two") } else { n }).unwrap();
    topic.subscribe(one.me(), |n| n + 100).unwrap();
    let (there, leaves) = (topic.clone(), two.pid().clone());
    topic
        .subscribe(two.me(), move |n| {
            there.unsubscribe(&leaves);
            n + u32::try_from(there.len()).unwrap()
        })
        .unwrap();
    let (there, other) = (topic.clone(), three.me().clone());
    topic
        .subscribe(three.me(), move |n| {
            there.subscribe(&other, |n| n * 10).unwrap_or_default();
            n
        })
        .unwrap();
    let told = [1, 2, 3].map(|n| topic.publish(&n).told);
    assert_eq!(told, [4, 3, 4]);
    let reports = system.crashes().list();
    assert_eq!((reports.len(), &*reports[0].path, &*reports[0].reason), (1, "/probe", "no two"));
    assert!(reports[0].inputs[0].starts_with("the message of a topic's event"));
    for expected in [1, 101, 102, 103] {
        assert_eq!(probes[0].message().await, expected);
    }
    assert_eq!(probes[1].message().await, 4);
    for expected in [1, 2, 20, 3, 30, 30] {
        assert_eq!(probes[2].message().await, expected);
    }
}

/// Looks at the process that it watched when it goes, and panics.
struct Last(supervision::Local, &'static str);

impl Last {
    fn told(&self) {
        assert!(self.1 != "panics", "no room");
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        assert!(sys::status(&self.0).alive, "it has ended");
        panic!("{}", self.1);
    }
}

/// It is not dropped under a lock of the process, nor by who has nothing to do with it.
#[tokio::test(start_paused = true)]
async fn a_trace_that_is_replaced_or_ends_may_look_at_the_process() {
    let kit = common::server::<Paired>("paired", || ()).await;
    let pid = kit.me.pid();
    let trace = |word| {
        let last = Last(pid.clone(), word);
        sys::trace(pid, 9, move |_| last.told());
    };
    trace("replaced");
    trace("panics");
    kit.me.cast(Pair::Timers(0)).unwrap();
    tokio::time::sleep(SECOND / 10).await;
    assert!(pid.is_alive());
    trace("ends");
    kit.root.stop().await;
    // of one that has ended nothing is kept
    sys::trace(pid, 9, |_| ());
    sys::log(pid, 9);
    assert_eq!(sys::last_events(pid), []);
    let reports = kit.system.crashes().list();
    let reasons: Vec<_> = reports.iter().rev().map(|report| &*report.reason).collect();
    assert_eq!(reasons, ["replaced", "no room", "panics", "it has ended"]);
}
