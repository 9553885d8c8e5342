//! What behaviours can do: timers, continuing, priority, overflow, tasks, topics, and how their
//! supervisors wait for what is not there yet.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{BOTH, Plan, Puppet, SECOND, What};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{
    CallError, CastError, ChildSpec, ChildState, Cx, Event, Exit, InitError, Next, Overflow,
    PoolSpec, Process, Ref, Reply, Server, StartError, SupervisorSpec, Task, TaskError, Tasks,
    Timer, Topic, sys,
    testkit::{self, Kit, Probe, ended, restarted},
};
use tokio::time::Instant;

/// Writes down what it is told, and when.
#[derive(Default)]
struct Diary {
    lines: Vec<(u64, &'static str)>,
    timer: Option<Timer>,
}

enum Say {
    Line(&'static str),
    After(u64, &'static str),
    Every(u64, &'static str),
    Cancel(Reply<bool>),
    Idle(u64, &'static str),
    Continue(&'static str, &'static str),
    Read(Reply<Vec<(u64, &'static str)>>),
}

/// Milliseconds of the test's clock.
fn now() -> u64 {
    BEGAN.with(|began| u64::try_from(began.elapsed().as_millis()).unwrap())
}

thread_local! {
    static BEGAN: Instant = Instant::now();
}

impl Diary {
    fn take(&mut self, say: Say, cx: &mut Cx<Say>) {
        let ms = Duration::from_millis;
        match say {
            Say::Line(text) => self.lines.push((now(), text)),
            Say::After(n, text) => self.timer = Some(cx.send_after(ms(n), Say::Line(text))),
            Say::Every(n, text) => {
                self.timer = Some(cx.send_every(ms(n), move || Say::Line(text)));
            }
            Say::Cancel(reply) => reply.send(self.timer.is_some_and(|t| cx.cancel(t))),
            Say::Idle(n, text) => cx.idle_after(ms(n), Say::Line(text)),
            Say::Continue(first, second) => {
                cx.continue_with(Say::Line(first));
                cx.continue_with(Say::Line(second));
            }
            Say::Read(reply) => reply.send(std::mem::take(&mut self.lines)),
        }
    }
}

impl Process for Diary {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "diary";

    async fn init((): (), cx: &mut Cx<Say>) -> Result<Self, InitError> {
        cx.continue_with(Say::Line("continued"));
        Ok(Self::default())
    }

    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(say) => self.take(say, cx),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

struct Ledger(Diary);

impl Server for Ledger {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "ledger";

    async fn init((): (), cx: &mut Cx<Say>) -> Result<Self, InitError> {
        <Diary as Process>::init((), cx).await.map(Self)
    }

    async fn handle(&mut self, say: Say, cx: &mut Cx<Say>) -> Next {
        self.0.take(say, cx);
        Next::Continue
    }
}

async fn diary(what: What) -> Kit<Say> {
    match what {
        What::Process => testkit::process::<Diary>("diary", || ()).await,
        What::Server => common::server::<Ledger>("diary", || ()).await,
    }
}

async fn lines(me: &Ref<Say>) -> Vec<(u64, &'static str)> {
    me.call(Say::Read, SECOND).await.unwrap()
}

async fn words(me: &Ref<Say>) -> Vec<&'static str> {
    lines(me).await.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test(start_paused = true)]
async fn timers_fire_in_order_and_can_be_cancelled() {
    for what in BOTH {
        let kit = diary(what).await;
        let me = &kit.me;
        assert_eq!(words(me).await, ["continued"]);
        let began = now();
        me.cast(Say::After(300, "c")).unwrap();
        me.cast(Say::After(100, "a")).unwrap();
        me.cast(Say::After(200, "b")).unwrap();
        tokio::time::sleep(SECOND).await;
        let said = lines(me).await;
        assert_eq!(said, [(began + 100, "a"), (began + 200, "b"), (began + 300, "c")], "{what:?}");
        assert_eq!(me.call(Say::Cancel, SECOND).await, Ok(false), "it has fired");
        me.cast(Say::After(100, "never")).unwrap();
        assert_eq!(me.call(Say::Cancel, SECOND).await, Ok(true));
        tokio::time::sleep(SECOND).await;
        assert_eq!(words(me).await, [""; 0]);
        me.cast(Say::Every(100, "tick")).unwrap();
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert_eq!(words(me).await, ["tick"; 3]);
        assert_eq!(me.call(Say::Cancel, SECOND).await, Ok(true));
        tokio::time::sleep(SECOND).await;
        assert_eq!(words(me).await, [""; 0]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn timers_wait_while_it_is_suspended_and_end_with_it() {
    for what in BOTH {
        let kit = diary(what).await;
        kit.me.cast(Say::After(100, "late")).unwrap();
        assert_eq!(words(&kit.me).await, ["continued"]);
        sys::suspend(kit.me.pid());
        tokio::time::sleep(SECOND).await;
        let before = now();
        sys::resume(kit.me.pid());
        assert_eq!(lines(&kit.me).await, [(before, "late")], "{what:?}");
        kit.me.cast(Say::After(100, "of the old one")).unwrap();
        words(&kit.me).await;
        kit.me.pid().kill();
        let new = restarted(kit.me.pid()).await;
        tokio::time::sleep(SECOND).await;
        assert_eq!(new.handled(), 1, "only what it continues with");
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_time_out_is_taken_back_by_a_message() {
    for what in BOTH {
        let kit = diary(what).await;
        words(&kit.me).await;
        kit.me.cast(Say::Idle(100, "idle")).unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        kit.me.cast(Say::Line("here")).unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(words(&kit.me).await, ["here"], "{what:?}");
        kit.me.cast(Say::Idle(100, "idle")).unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(words(&kit.me).await, ["idle"]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_continued_and_what_is_urgent_comes_first() {
    for what in BOTH {
        let kit = diary(what).await;
        let me = &kit.me;
        words(me).await;
        me.cast(Say::Continue("one", "two")).unwrap();
        me.cast(Say::Line("d")).unwrap();
        me.cast(Say::Line("e")).unwrap();
        me.cast_urgent(Say::Line("a")).unwrap();
        me.cast_urgent(Say::Line("b")).unwrap();
        assert_eq!(words(me).await, ["a", "b", "one", "two", "d", "e"], "{what:?}");
        kit.root.stop().await;
    }
}

struct Small<const POLICY: u8>;

impl<const POLICY: u8> Process for Small<POLICY> {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "small";
    const INBOX: usize = 2;
    const OVERFLOW: Overflow = match POLICY {
        0 => Overflow::Reject,
        1 => Overflow::DropOldest,
        _ => Overflow::Close,
    };

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self)
    }

    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        <Diary as Process>::run(&mut Diary::default(), cx).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_does_what_its_behaviour_says() {
    let system = common::system("test");
    let reject = system.spawn::<Small<0>>("/reject", ()).await.unwrap();
    let drop_oldest = system.spawn::<Small<1>>("/drop", ()).await.unwrap();
    let close = system.spawn::<Small<2>>("/close", ()).await.unwrap();
    for to in [&reject, &drop_oldest, &close] {
        sys::suspend(to.pid());
        to.cast(Say::Line("a")).unwrap();
    }
    let dropped = drop_oldest.call(Say::Read, SECOND);
    let more = async {
        tokio::task::yield_now().await;
        drop_oldest.cast(Say::Line("b")).unwrap();
        drop_oldest.cast(Say::Line("c")).unwrap();
        sys::resume(drop_oldest.pid());
        tokio::time::sleep(SECOND).await;
    };
    let (dropped, ()) = tokio::join!(dropped, more);
    assert_eq!(dropped, Err(CallError::Gone(None)), "it was the oldest");
    assert_eq!(words(&drop_oldest).await, ["b", "c"]);

    reject.cast(Say::Line("b")).unwrap();
    assert!(matches!(reject.cast(Say::Line("c")), Err(CastError::Full(Say::Line("c")))));
    assert!(matches!(reject.cast_urgent(Say::Line("c")), Err(CastError::Full(_))));
    sys::resume(reject.pid());
    tokio::time::sleep(SECOND).await;
    assert_eq!(words(&reject).await, ["a", "b"]);

    close.cast(Say::Line("b")).unwrap();
    assert!(matches!(close.cast(Say::Line("c")), Err(CastError::Full(_))));
    assert_eq!(ended(close.pid()).await.to_string(), "inbox overflow");
    for rest in [reject, drop_oldest] {
        rest.pid().kill();
        ended(rest.pid()).await;
    }
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_are_awaited_killed_and_reported() {
    let system = common::system("test");
    let tasks = ChildSpec::tasks("tasks", "tasks", PoolSpec { max: 3, ..PoolSpec::default() });
    let root = system.start(SupervisorSpec::one_for_one().child(tasks)).await.unwrap();
    let tasks = Tasks::find(&system, "tasks").unwrap();
    let sum: Task<u8> = tasks.start(async { 1 + 1 }).await.unwrap();
    assert_eq!(sum.join(SECOND).await.unwrap(), 2);
    let slow = tasks.start(std::future::pending::<()>()).await.unwrap();
    let pid = slow.pid().clone();
    assert!(matches!(slow.join(SECOND).await, Err(TaskError::Timeout)));
    assert!(matches!(ended(&pid).await, Exit::Killed));
    let bad: Task<()> = tasks.start(async { panic!("boom") }).await.unwrap();
    let Err(TaskError::Ended(Exit::Crash(report))) = bad.join(SECOND).await else { panic!() };
    assert_eq!((&*report.reason, &*report.process), ("boom", "task"));
    // nobody waits: it runs all the same, and counts
    let done = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&done);
    drop(
        tasks
            .start(async move {
                tokio::time::sleep(SECOND).await;
                flag.store(true, Ordering::Release);
            })
            .await
            .unwrap(),
    );
    assert_eq!(tasks.len(), 1);
    tokio::time::sleep(SECOND * 2).await;
    assert!(done.load(Ordering::Acquire) && tasks.is_empty());
    let _busy: Vec<_> = [
        tasks.start(std::future::pending::<()>()).await.unwrap(),
        tasks.start(std::future::pending::<()>()).await.unwrap(),
        tasks.start(std::future::pending::<()>()).await.unwrap(),
    ]
    .into();
    assert!(matches!(tasks.start(async {}).await, Err(StartError::Full)));
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_tells_all_and_waits_for_none() {
    let system = common::system("test");
    let topic: Topic<u32> = Topic::new(3);
    let mut one: Probe<String> = Probe::start(&system).await;
    let mut two: Probe<u32> = Probe::start(&system).await;
    let slow = system.spawn::<Small<0>>("/slow", ()).await.unwrap();
    sys::suspend(slow.pid());
    topic.subscribe(one.me(), |n| n.to_string()).unwrap();
    topic.subscribe(two.me(), |n| n * 2).unwrap();
    topic.subscribe(&slow, |_| Say::Line("event")).unwrap();
    assert!(topic.subscribe(two.me(), |n| n).is_err(), "a fourth");
    for n in 1..=3 {
        let published = topic.publish(&n);
        assert_eq!((published.told, published.full), if n < 3 { (3, 0) } else { (2, 1) });
    }
    assert_eq!((one.message().await, two.message().await), ("1".to_owned(), 2));
    slow.pid().kill();
    ended(slow.pid()).await;
    assert_eq!((topic.publish(&4).told, topic.len()), (2, 2));
    topic.unsubscribe(one.pid());
    assert_eq!(topic.publish(&5).told, 1);
}

/// What makes the message is the subscriber's, and runs where it is published.
#[tokio::test(start_paused = true)]
async fn a_topic_goes_on_whatever_a_subscriber_makes_of_its_events() {
    let system = common::system("test");
    let topic: Topic<u32> = Topic::new(9);
    let [bad, mut once, mut good]: [Probe<u32>; 3] =
        [Probe::start(&system).await, Probe::start(&system).await, Probe::start(&system).await];
    topic.subscribe(bad.me(), |n| panic!("no {n}")).unwrap();
    let (leaves, pid) = (topic.clone(), once.pid().clone());
    topic
        .subscribe(once.me(), move |n| {
            leaves.unsubscribe(&pid);
            n
        })
        .unwrap();
    topic.subscribe(good.me(), |n| n).unwrap();
    assert_eq!((topic.publish(&1).told, topic.len()), (2, 1));
    assert_eq!((topic.publish(&2).told, topic.len()), (1, 1));
    assert_eq!((once.message().await, good.message().await, good.message().await), (1, 1, 2));
    assert!(once.pending().is_none() && bad.pid().is_alive());
    let reports = system.crashes().list();
    assert_eq!((reports.len(), &*reports[0].reason, &*reports[0].path), (1, "no 1", "/probe"));
    assert!(reports[0].inputs[0].starts_with("the message of a topic's event"));
}

/// Starts when its dependency is there, ends when it goes.
struct Client(Arc<AtomicBool>);

impl Process for Client {
    type Args = (Arc<AtomicBool>, Arc<AtomicUsize>);
    type Msg = ();
    const NAME: &'static str = "client";

    async fn init((there, tries): Self::Args, _: &mut Cx<()>) -> Result<Self, InitError> {
        tries.fetch_add(1, Ordering::AcqRel);
        if !there.load(Ordering::Acquire) {
            return Err(InitError::failed("not there"));
        }
        Ok(Self(there))
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        loop {
            tokio::select! {
                event = cx.next() => match event {
                    Event::Exit { reason, .. } => return reason,
                    Event::Msg(()) | Event::Down { .. } => {}
                },
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    if !self.0.load(Ordering::Acquire) {
                        return Exit::error("lost it");
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_backs_off_waits_longer_each_time_and_costs_no_restarts() {
    let (there, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let args = (Arc::clone(&there), Arc::clone(&tries));
    let client = ChildSpec::process::<Client>("client", move || args.clone())
        .backoff(Duration::from_millis(100), SECOND);
    let other = ChildSpec::process::<Puppet>("other", Plan::default);
    let root = SupervisorSpec::one_for_one().intensity(0, SECOND).child(client).child(other);
    let system = common::system("test");
    // the tree starts, though the dependency is not there
    let root = system.start(root).await.unwrap();
    assert!(system.find("/other").is_some());
    assert!(matches!(root.which_children().await.unwrap()[1].state, ChildState::Restarting));
    let after = async |ms| {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        tries.load(Ordering::Acquire)
    };
    // tries at 0, 100, 300, 700, 1500, then every second
    assert_eq!(after(50).await, 1);
    assert_eq!(after(100).await, 2);
    assert_eq!(after(200).await, 3);
    assert_eq!(after(400).await, 4);
    assert_eq!(after(800).await, 5);
    assert_eq!(after(5000).await, 10);
    there.store(true, Ordering::Release);
    tokio::time::sleep(SECOND).await;
    let pid = system.find("/client").unwrap();
    // it lived for long: the waits begin anew
    tokio::time::sleep(SECOND * 10).await;
    let before = tries.load(Ordering::Acquire);
    there.store(false, Ordering::Release);
    assert_eq!(ended(&pid).await.to_string(), "lost it");
    assert_eq!(after(50).await, before);
    assert_eq!(after(100).await, before + 1);
    // stopped while it waits, it is not tried again
    root.terminate_child("client").await.unwrap();
    assert_eq!(after(60_000).await, before + 1);
    there.store(true, Ordering::Release);
    root.restart_child("client").await.unwrap();
    assert_eq!(system.alive(), 3);
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn those_that_depend_on_it_start_when_it_is_ready() {
    let (there, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let args = (Arc::clone(&there), tries);
    let client = ChildSpec::process::<Client>("client", move || args.clone())
        .backoff(Duration::from_millis(100), SECOND);
    let root = SupervisorSpec::rest_for_one()
        .child(ChildSpec::process::<Puppet>("before", Plan::default))
        .child(client)
        .child(ChildSpec::process::<Puppet>("after", Plan::default));
    let system = common::system("test");
    let root = system.start(root).await.unwrap();
    let before = system.find("/before").unwrap();
    assert!(system.find("/after").is_none());
    there.store(true, Ordering::Release);
    tokio::time::sleep(SECOND).await;
    let after = system.find("/after").unwrap();
    there.store(false, Ordering::Release);
    tokio::time::sleep(SECOND).await;
    there.store(true, Ordering::Release);
    tokio::time::sleep(SECOND * 2).await;
    assert!(before.is_alive() && !after.is_alive(), "the rest was started again");
    assert!(system.find("/after").is_some());
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

struct Slow;

impl Process for Slow {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "slow";

    async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
        tokio::time::sleep(SECOND * 60).await;
        Ok(Self)
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        cx.next().await;
        Exit::Normal
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_may_have_a_limit() {
    let slow = || ChildSpec::process::<Slow>("slow", || ());
    let system = common::system("test");
    let root = SupervisorSpec::one_for_one().child(slow().ready_within(SECOND));
    let Err(StartError::Child { child, error }) = system.start(root).await else { panic!() };
    assert!(&*child == "slow" && matches!(*error, StartError::Timeout(SECOND)));
    assert_eq!(system.alive(), 0, "the late one was killed");
    let began = Instant::now();
    let root = system.start(SupervisorSpec::one_for_one().child(slow())).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 60, "those after it would have waited");
    root.stop().await;
}
