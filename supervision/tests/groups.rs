//! Who monitors a group hears of every join and leave, in order, from the members of that moment on. OTP 25.1's `pg:monitor/1` did the
//! same: `{Ref, Members}`, then `{Ref, join | leave, Group, [Pid]}`; after `pg:demonitor/1` none, be it queued.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Plan, World, world};
use supervision::{
    ChildSpec, Cx, Exit, GroupEvent, InitError, Local, Monitor, Next, Pid, Ref, Reply, Restart,
    Server, pid::GROUP_EVENTS, testkit::ended,
};
use tokio::sync::oneshot;

/// Keeps what it hears.
#[derive(Default)]
struct Watcher(Vec<String>);

enum Ask {
    Watch(&'static str, Reply<(Monitor, Vec<Pid>)>),
    /// Makes no message of what it hears, but panics.
    Panic(&'static str, Reply<Monitor>),
    Forget(Monitor, Reply<bool>),
    Heard(GroupEvent),
    Note(&'static str),
    /// Is busy until then.
    Busy(oneshot::Receiver<()>),
    /// The same, then does not want to hear any more.
    BusyThenForget(oneshot::Receiver<()>, Monitor),
    Notes(Reply<Vec<String>>),
}

impl Server for Watcher {
    type Args = ();
    type Msg = Ask;
    const NAME: &'static str = "watcher";
    const INBOX: usize = 4;

    async fn init((): (), _: &mut Cx<Ask>) -> Result<Self, InitError> {
        Ok(Self::default())
    }

    async fn handle(&mut self, ask: Ask, cx: &mut Cx<Ask>) -> Next {
        match ask {
            Ask::Watch(group, reply) => reply.send(cx.monitor_group(group, Ask::Heard)),
            Ask::Panic(group, reply) => {
                reply.send(cx.monitor_group(group, |_| -> Ask { panic!("no message") }).0);
            }
            Ask::Forget(monitor, reply) => reply.send(cx.demonitor_group(monitor)),
            Ask::Heard(GroupEvent::Join { group, pid }) => {
                self.0.push(format!("{group} + {}", pid.local().unwrap().path()));
            }
            Ask::Heard(GroupEvent::Leave { group, pid }) => {
                self.0.push(format!("{group} - {}", pid.local().unwrap().path()));
            }
            Ask::Note(text) => self.0.push(text.to_owned()),
            Ask::Busy(until) => until.await.unwrap(),
            Ask::BusyThenForget(until, monitor) => {
                until.await.unwrap();
                assert!(cx.demonitor_group(monitor));
            }
            Ask::Notes(reply) => reply.send(self.0.clone()),
        }
        Next::Continue
    }
}

async fn watcher(world: &World, id: &str) -> Ref<Ask> {
    let spec = ChildSpec::server::<Watcher>(id, || ()).restart(Restart::Temporary);
    world.root.start_child(spec).await.unwrap().to_ref().unwrap()
}

async fn notes(watcher: &Ref<Ask>) -> Vec<String> {
    watcher.ask(Ask::Notes).await.unwrap()
}

async fn puppet(world: &World, n: usize, id: &str) -> Local {
    world.puppet(BOTH[n % 2], id, Plan::default()).await.pid().clone()
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_are_told_from_the_members_of_that_moment_on() {
    let world = world().await;
    let (a, b) = (puppet(&world, 0, "a").await, puppet(&world, 1, "b").await);
    let [one, two] = [watcher(&world, "one").await, watcher(&world, "two").await];
    world.system.join("g", &a);
    let (monitor, members) = one.ask(|r| Ask::Watch("g", r)).await.unwrap();
    assert_eq!(members, [Pid::from(&a)]);
    world.system.join("g", &b);
    world.system.join("g", &b);
    world.system.join("h", &b);
    let (_, members) = two.ask(|r| Ask::Watch("g", r)).await.unwrap();
    assert_eq!(members, [Pid::from(&a), Pid::from(&b)]);
    world.system.leave_group("g", &b);
    world.system.leave_group("g", &b);
    a.exit(Exit::error("over"));
    ended(&a).await;
    world.system.join("g", &a);
    world.system.join("g", &b);
    assert_eq!(notes(&one).await, ["g + /b", "g - /b", "g - /a", "g + /b"]);
    assert_eq!(notes(&two).await, ["g - /b", "g - /a", "g + /b"]);
    assert_eq!(one.ask(|r| Ask::Forget(monitor, r)).await, Ok(true));
    assert_eq!(one.ask(|r| Ask::Forget(monitor, r)).await, Ok(false));
    world.system.leave_group("g", &b);
    assert_eq!((notes(&one).await.len(), notes(&two).await.len()), (4, 4));
    world.stop().await;
}

/// It is one order with the messages of who joins: what was sent before comes before.
#[tokio::test(start_paused = true)]
async fn what_a_busy_one_is_told_waits_in_its_turn_and_needs_no_room() {
    let world = world().await;
    let (a, watcher) = (puppet(&world, 0, "a").await, watcher(&world, "watcher").await);
    let (monitor, _) = watcher.ask(|r| Ask::Watch("g", r)).await.unwrap();
    let (done, until) = oneshot::channel();
    watcher.cast(Ask::Busy(until)).unwrap();
    tokio::task::yield_now().await;
    watcher.cast(Ask::Note("before")).unwrap();
    world.system.join("g", &a);
    watcher.cast(Ask::Note("between")).unwrap();
    world.system.leave_group("g", &a);
    for _ in 0..10 {
        world.system.join("g", &a);
        world.system.leave_group("g", &a);
    }
    done.send(()).unwrap();
    let heard = notes(&watcher).await;
    assert_eq!(heard[..4], ["before", "g + /a", "between", "g - /a"]);
    assert_eq!(heard.len(), 24);
    assert!(heard[4..].chunks(2).all(|two| two == ["g + /a", "g - /a"]));

    // what waits does not come after it is taken back
    let (done, until) = oneshot::channel();
    watcher.cast(Ask::BusyThenForget(until, monitor)).unwrap();
    tokio::task::yield_now().await;
    world.system.join("g", &a);
    done.send(()).unwrap();
    assert_eq!(notes(&watcher).await.len(), 24);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_monitor_of_a_group_goes_with_its_process_and_the_group_with_both() {
    let world = world().await;
    let before = world.system.groups();
    let a = puppet(&world, 0, "a").await;
    for n in 0..1_000 {
        let watcher = watcher(&world, "watcher").await;
        watcher.ask(|r| Ask::Watch("empty", r)).await.unwrap();
        let (monitor, _) = watcher.ask(|r| Ask::Watch("g", r)).await.unwrap();
        assert_eq!(world.system.groups(), before + 2);
        world.system.join("g", &a);
        world.system.leave_group("g", &a);
        if n % 2 == 0 {
            watcher.ask(|r| Ask::Forget(monitor, r)).await.unwrap();
            assert_eq!(world.system.groups(), before + 1);
        }
        // it is no member by it
        assert_eq!((watcher.pid().groups().len(), world.system.group("g").len()), (0, 0));
        world.root.terminate_child("watcher").await.unwrap();
        assert_eq!(world.system.groups(), before);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_too_many_events_waiting_ends() {
    let world = world().await;
    let (a, watcher) = (puppet(&world, 0, "a").await, watcher(&world, "watcher").await);
    watcher.ask(|r| Ask::Watch("g", r)).await.unwrap();
    let (_done, until) = oneshot::channel();
    watcher.cast(Ask::Busy(until)).unwrap();
    tokio::task::yield_now().await;
    for _ in 0..GROUP_EVENTS / 2 {
        world.system.join("g", &a);
        world.system.leave_group("g", &a);
    }
    tokio::task::yield_now().await;
    assert!(watcher.pid().is_alive());
    world.system.join("g", &a);
    assert_eq!(ended(watcher.pid()).await, Exit::error("inbox overflow"));
    assert!(a.is_alive());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_makes_the_message_ends_the_monitor_only() {
    let world = world().await;
    let (a, watcher) = (puppet(&world, 0, "a").await, watcher(&world, "watcher").await);
    let monitor = watcher.ask(|r| Ask::Panic("g", r)).await.unwrap();
    world.system.join("g", &a);
    world.system.leave_group("g", &a);
    assert!(notes(&watcher).await.is_empty());
    let reports = world.system.crashes().list();
    assert_eq!((reports.len(), &*reports[0].reason), (1, "no message"));
    assert_eq!(watcher.ask(|r| Ask::Forget(monitor, r)).await, Ok(false));
    assert_eq!(world.system.groups(), 0);
    world.stop().await;
}
