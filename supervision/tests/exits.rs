//! Exit signals, links, monitors, trapping and kill, in both engines: what `erlang(3)` says.

mod common;

use common::{BOTH, Do, Plan, SECOND, Serving, What, world};
use std::convert::Infallible;
use supervision::{
    CallError, CastError, ChildError, ChildSpec, Cx, Event, Exit, InitError, Process, StartError,
    SupervisorSpec, testkit,
    testkit::{Probe, ended},
};

fn same(left: &Exit, right: &Exit) -> bool {
    left.to_string() == right.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_link_takes_an_abnormal_end_along_and_not_a_normal_one() {
    for what in BOTH {
        let world = world().await;
        for (reason, dies) in [
            (Exit::Normal, false),
            (Exit::Shutdown, true),
            (Exit::shutdown("why"), true),
            (Exit::error("bad"), true),
        ] {
            let a = world.puppet(what, "a", Plan::default()).await;
            let b = world.puppet(what, "b", Plan::default()).await;
            a.cast(Do::Link(b.pid().clone())).unwrap();
            assert_eq!(a.call(|r| Do::Echo(1, r), SECOND).await, Ok(1));
            b.cast(Do::Exit(reason.clone())).unwrap();
            assert!(same(&ended(b.pid()).await, &reason));
            if dies {
                assert!(same(&ended(a.pid()).await, &reason), "{what:?} {reason}");
            } else {
                assert_eq!(a.call(|r| Do::Echo(2, r), SECOND).await, Ok(2));
                world.root.terminate_child("a").await.unwrap();
            }
        }
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_traps_exits_gets_them_as_events() {
    for what in BOTH {
        let world = world().await;
        let mut probe: Probe<()> = Probe::start(&world.system).await;
        for reason in [Exit::Normal, Exit::shutdown("why"), Exit::error("bad")] {
            let a = world.puppet(what, "a", Plan::default()).await;
            a.pid().link(probe.pid());
            a.cast(Do::Exit(reason.clone())).unwrap();
            let (from, told) = probe.exit().await;
            assert!(from == *a.pid() && same(&told, &reason));
        }
        // killed over a link is a reason like another, and can be trapped
        let a = world.puppet(what, "a", Plan::default()).await;
        probe.pid().link(a.pid());
        a.pid().kill();
        assert!(matches!(probe.exit().await.1, Exit::Killed));
        // without the link nothing is told
        let b = world.puppet(what, "b", Plan::default()).await;
        b.pid().link(probe.pid());
        b.cast(Do::Unlink(probe.pid().clone())).unwrap();
        b.cast(Do::Exit(Exit::error("bad"))).unwrap();
        ended(b.pid()).await;
        assert!(probe.pending().is_none());
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_to_what_has_ended_says_noproc() {
    for what in BOTH {
        let world = world().await;
        let gone = world.puppet(what, "gone", Plan::default()).await;
        gone.pid().kill();
        ended(gone.pid()).await;
        let a = world.puppet(what, "a", Plan::default()).await;
        a.cast(Do::Link(gone.pid().clone())).unwrap();
        assert!(matches!(ended(a.pid()).await, Exit::NoProc));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_monitor_tells_the_reason_once_and_nothing_else() {
    for what in BOTH {
        let world = world().await;
        let mut probe: Probe<()> = Probe::start(&world.system).await;
        let a = world.puppet(what, "a", Plan::default()).await;
        let first = a.pid().monitor(probe.pid());
        let second = a.pid().monitor(probe.pid());
        assert_ne!(first, second);
        a.pid().demonitor(second);
        a.cast(Do::Exit(Exit::error("bad"))).unwrap();
        let Event::Down { monitor, pid, reason } = probe.event().await else {
            panic!("an exit signal");
        };
        assert!(monitor == first && pid == *a.pid() && reason.to_string() == "bad");
        assert!(probe.pending().is_none(), "the other monitor was taken back");
        a.pid().monitor(probe.pid());
        assert!(matches!(probe.exit().await.1, Exit::NoProc), "it had ended already");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_cannot_be_trapped_and_skips_terminate() {
    for what in BOTH {
        let world = world().await;
        let (tell, mut told) = tokio::sync::mpsc::channel(4);
        let plan = Plan { trap: true, ended: Some(tell), ..Plan::default() };
        for busy in [false, true] {
            let a = world.puppet(what, "a", plan.clone()).await;
            if busy {
                a.cast(Do::Hang).unwrap();
                tokio::task::yield_now().await;
            }
            a.pid().kill();
            assert!(matches!(ended(a.pid()).await, Exit::Killed));
            assert!(told.try_recv().is_err(), "terminate ran");
        }
        // a shutdown runs it
        let a = world.puppet(what, "a", plan.clone()).await;
        world.root.terminate_child("a").await.unwrap();
        assert!(matches!(a.pid().exit_reason(), Some(Exit::Shutdown)));
        assert!(matches!(told.recv().await, Some(Exit::Shutdown)));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exit_signal_interrupts_a_handler_of_one_that_does_not_trap() {
    for what in BOTH {
        let world = world().await;
        let a = world.puppet(what, "a", Plan::default()).await;
        a.cast(Do::Hang).unwrap();
        a.pid().exit(Exit::error("enough"));
        assert_eq!(ended(a.pid()).await.to_string(), "enough");
        // normal is no reason to end, unless it is one's own
        let b = world.puppet(what, "b", Plan::default()).await;
        b.pid().exit(Exit::Normal);
        assert_eq!(b.call(|r| Do::Echo(3, r), SECOND).await, Ok(3));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_and_casts_fail_at_once_and_say_why() {
    for what in BOTH {
        let world = world().await;
        let a = world.puppet(what, "a", Plan::default()).await;
        assert_eq!(a.call(Do::Ignore, SECOND).await, Err(CallError::Timeout));
        // it is in that handler for ever: four more fit
        for n in 0..4 {
            a.cast(Do::Record("x")).unwrap_or_else(|e| panic!("{n}: {e:?}"));
        }
        assert_eq!(a.depth(), 4);
        assert!(matches!(a.cast(Do::Record("y")), Err(CastError::Full(Do::Record("y")))));
        assert_eq!(a.call(|r| Do::Echo(1, r), SECOND).await, Err(CallError::Full));
        a.pid().kill();
        ended(a.pid()).await;
        assert_eq!(a.depth(), 0);
        assert!(matches!(a.cast(Do::Hang), Err(CastError::Gone(Do::Hang, Some(Exit::Killed)))));
        assert_eq!(
            a.call(|r| Do::Echo(1, r), SECOND).await,
            Err(CallError::Gone(Some(Exit::Killed)))
        );
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_while_calls_wait_answers_gone_at_once() {
    let long = SECOND * 1000;
    for what in BOTH {
        for end in [|| Do::Panic("boom"), || Do::Exit(Exit::Normal), || Do::Hang] {
            let world = world().await;
            let a = world.puppet(what, "a", Plan::default()).await;
            let began = tokio::time::Instant::now();
            let in_handler = a.call(Do::Ignore, long);
            let queued = a.call(|r| Do::Echo(1, r), long);
            let end = async {
                tokio::task::yield_now().await;
                drop(a.cast(end()));
                a.pid().exit(Exit::error("over"));
            };
            let over = || Err(CallError::Gone(Some(Exit::error("over"))));
            let (first, second, ()) = tokio::join!(in_handler, queued, end);
            assert_eq!((first, second), (over(), over()));
            assert_eq!(began.elapsed().as_secs(), 0, "nobody waited for the deadline");
            world.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    for what in BOTH {
        let world = world().await;
        let plan = |init| Plan { init: Some(init), ..Plan::default() };
        let Err(ChildError::Start(StartError::Failed(why))) =
            world.start(what, "a", plan("refuse")).await
        else {
            panic!("started");
        };
        assert_eq!(&*why, "refused");
        let Err(ChildError::Start(StartError::Exited(Exit::Crash(report)))) =
            world.start(what, "a", plan("boom")).await
        else {
            panic!("started");
        };
        assert_eq!(report.reason, "boom");
        assert_eq!(world.system.alive(), 1, "the supervisor");
        assert!(world.root.which_children().await.unwrap().is_empty());
        world.stop().await;
    }
}

/// The tasks of a runtime that is gone are dropped: their processes have ended, killed.
#[test]
fn a_task_that_is_dropped_is_a_process_that_was_killed() {
    for what in BOTH {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (a, system) = runtime.block_on(async {
            let world = world().await;
            (world.puppet(what, "a", Plan::default()).await, world.system)
        });
        drop(runtime);
        assert!(matches!(a.pid().exit_reason(), Some(Exit::Killed)), "{what:?}");
        assert_eq!(system.alive(), 0);
        assert!(matches!(a.cast(Do::Hang), Err(CastError::Gone(_, Some(Exit::Killed)))));
    }
}

/// A process that never awaits cannot be ended from outside; it ends when it awaits again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_waits_for_a_process_that_blocks() {
    struct Blocks;
    impl supervision::Process for Blocks {
        type Args = std::sync::mpsc::Receiver<()>;
        type Msg = ();
        const NAME: &'static str = "blocks";
        async fn init(
            gate: Self::Args,
            _: &mut supervision::Cx<()>,
        ) -> Result<Self, supervision::InitError> {
            // in init already: the starter waits too
            gate.recv().unwrap();
            Ok(Self)
        }
        async fn run(&mut self, cx: &mut supervision::Cx<()>) -> Exit {
            cx.next().await;
            Exit::Normal
        }
    }
    let system = common::system("test");
    let (open, gate) = std::sync::mpsc::sync_channel(1);
    let starting = system.spawn::<Blocks>("/blocks", gate);
    let kill = async {
        let pid = loop {
            match system.find("/blocks") {
                Some(pid) => break pid,
                None => tokio::task::yield_now().await,
            }
        };
        pid.kill();
        assert!(pid.is_alive());
        open.send(()).unwrap();
        assert!(matches!(ended(&pid).await, Exit::Killed));
    };
    let (started, ()) = tokio::join!(starting, kill);
    // whether it was started before it was killed is a matter of luck
    assert!(matches!(started, Ok(_) | Err(StartError::Exited(Exit::Killed))));
    assert_eq!(system.alive(), 0);
}

/// Many at once on two threads: nobody waits for an end that has happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_end_is_missed() {
    let world = world().await;
    for round in 0..300 {
        let what = if round % 2 == 0 { What::Process } else { What::Server };
        let a = world.puppet(what, "a", Plan::default()).await;
        let waiting = (ended(a.pid()), ended(a.pid()), a.call(Do::Ignore, SECOND * 30));
        a.pid().kill();
        let (one, two, call) = tokio::join!(waiting.0, waiting.1, waiting.2);
        assert!(matches!((one, two), (Exit::Killed, Exit::Killed)));
        assert_eq!(call, Err(CallError::Gone(Some(Exit::Killed))));
        assert!(!a.pid().is_alive());
        assert!(world.system.find("/a").is_none());
    }
    world.root.stop().await;
    assert_eq!(world.system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tree_stops_in_the_reverse_of_its_start() {
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let system = common::system("test");
    let order = std::sync::Arc::new(parking_lot::Mutex::new((Vec::new(), Vec::new())));
    let seen = std::sync::Arc::clone(&order);
    system.observe(move |change| match change {
        supervision::system::Change::Started(pid) => seen.lock().0.push(pid.path().to_string()),
        supervision::system::Change::Ended(pid, _) => seen.lock().1.push(pid.path().to_string()),
    });
    let leaf = |id: &str| {
        let tell = tell.clone();
        ChildSpec::server::<Serving>(id, move || Plan {
            ended: Some(tell.clone()),
            ..Plan::default()
        })
    };
    let inner = SupervisorSpec::rest_for_one().child(leaf("b")).child(leaf("c"));
    let root = SupervisorSpec::one_for_one()
        .child(leaf("a"))
        .child(ChildSpec::supervisor("inner", inner))
        .child(leaf("d"));
    let root = system.start(root).await.unwrap();
    root.stop().await;
    let (started, mut stopped) = order.lock().clone();
    assert_eq!(started, ["/", "/a", "/inner", "/inner/b", "/inner/c", "/d"]);
    // a supervisor ends after its children
    stopped.reverse();
    assert_eq!(stopped, started);
    for _ in 0..4 {
        assert!(matches!(told.recv().await, Some(Exit::Shutdown)));
    }
}

/// Does nothing until its parent stops it.
struct Sitter;

impl Process for Sitter {
    type Args = ();
    type Msg = Infallible;
    const NAME: &'static str = "sitter";

    async fn init((): (), cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        Ok(Self)
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        cx.stopped().await
    }
}

#[tokio::test(start_paused = true)]
async fn only_its_parent_stops_one_that_waits_to_be_stopped() {
    let sitter = testkit::process::<Sitter>("sitter", || ()).await;
    let pid = sitter.me.pid();
    // without a sender, over a link, and the end of one that it watches
    let other = sitter.system.spawn::<Sitter>("/other", ()).await.unwrap();
    pid.link(other.pid());
    other.pid().monitor(pid);
    for reason in [Exit::Shutdown, Exit::shutdown("why"), Exit::error("bad")] {
        pid.exit(reason);
    }
    other.pid().kill();
    ended(other.pid()).await;
    // signals are taken in their order
    assert!(pid.is_alive());
    sitter.root.stop().await;
    assert!(matches!(pid.exit_reason(), Some(Exit::Shutdown)), "{:?}", pid.exit_reason());
    assert_eq!(pid.handled(), 6, "three, what the link and the monitor brought, and its parent's");
}
