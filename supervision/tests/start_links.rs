//! What a process starts itself, and what it watches: `start_link`, monitors taken back, monitors of names. What OTP 25 did is said with
//! each.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, Puppet, SECOND, Serving, World, world};
use supervision::{
    CallError, ChildSpec, Cx, Engine, Event, Exit, InitError, Local, Monitor, Next, Ref, Reply,
    Server, StartError, SupervisorRef, SupervisorSpec,
    testkit::{Probe, ended},
};

const ENGINES: [Engine; 2] = [Engine::Ractor, Engine::Lean];

/// Does in its loop what it is told.
struct Starter {
    events: Vec<String>,
}

type Started = Result<Ref<Do>, StartError>;

enum Ask {
    Start(Engine, &'static str, Plan, Reply<Started>),
    Process(Plan, Reply<Started>),
    Supervisor(SupervisorSpec, Reply<Result<SupervisorRef, StartError>>),
    Monitor(Local, Reply<Monitor>),
    Name(&'static str, Reply<Monitor>),
    /// With `flush` or without.
    TakeBack(Monitor, bool, Reply<bool>),
    /// Ends that one while it looks on, then takes its monitor back.
    Race(Local, Monitor, bool, Reply<bool>),
    /// Kills that one and throws its `Down` away at once, sent or not.
    Flush(Local, Monitor, Reply<bool>),
    Events(Reply<Vec<String>>),
    Stop(Exit),
}

impl Server for Starter {
    type Args = bool;
    type Msg = Ask;
    const NAME: &'static str = "starter";

    async fn init(trap: bool, cx: &mut Cx<Ask>) -> Result<Self, InitError> {
        cx.trap_exit(trap);
        Ok(Self { events: Vec::new() })
    }

    async fn handle(&mut self, ask: Ask, cx: &mut Cx<Ask>) -> Next {
        match ask {
            Ask::Start(engine, id, plan, reply) => {
                let started = if engine == common::engine() {
                    cx.start_link::<Serving>(id, plan).await
                } else {
                    cx.place(id).engine(engine).server::<Serving>(plan).await
                };
                reply.send(started);
            }
            Ask::Process(plan, reply) => {
                reply.send(cx.place("process").process::<Puppet>(plan).await);
            }
            Ask::Supervisor(spec, reply) => reply.send(cx.place("sup").supervisor(spec).await),
            Ask::Monitor(pid, reply) => reply.send(cx.monitor(&pid)),
            Ask::Name(name, reply) => reply.send(cx.monitor_name(name)),
            Ask::TakeBack(monitor, flush, reply) => reply.send(match flush {
                true => cx.demonitor_flush(monitor),
                false => cx.demonitor(monitor),
            }),
            Ask::Race(pid, monitor, flush, reply) => {
                pid.kill();
                pid.wait().await;
                reply.send(match flush {
                    true => cx.demonitor_flush(monitor),
                    false => cx.demonitor(monitor),
                });
            }
            Ask::Flush(pid, monitor, reply) => {
                pid.kill();
                reply.send(cx.demonitor_flush(monitor));
            }
            Ask::Events(reply) => reply.send(self.events.clone()),
            Ask::Stop(exit) => return Next::Stop(exit),
        }
        Next::Continue
    }

    async fn event(&mut self, event: Event<Ask>, _: &mut Cx<Ask>) -> Next {
        self.events.push(match event {
            Event::Exit { reason, .. } => format!("EXIT {reason}"),
            Event::Down { pid, reason, .. } => match pid.name() {
                Some((name, node)) => format!("DOWN {{{name},{node}}} {reason}"),
                None => format!("DOWN {reason}"),
            },
            Event::Msg(_) => "no event".to_owned(),
        });
        Next::Continue
    }
}

async fn starter(world: &World, trap: bool) -> Ref<Ask> {
    let spec = ChildSpec::server::<Starter>("starter", move || trap);
    let spec = spec.restart(supervision::Restart::Temporary);
    world.root.start_child(spec).await.unwrap().to_ref().unwrap()
}

async fn events(starter: &Ref<Ask>) -> Vec<String> {
    starter.ask(Ask::Events).await.unwrap()
}

fn plan(trap: bool) -> Plan {
    Plan { trap, ..Plan::default() }
}

fn inits(what: &'static str) -> Plan {
    Plan { init: Some(what), ..Plan::default() }
}

#[tokio::test(start_paused = true)]
async fn what_a_process_starts_is_linked_to_it_below_it_and_its_child() {
    for engine in ENGINES {
        let world = world().await;
        let starter = starter(&world, true).await;
        let child =
            starter.ask(|r| Ask::Start(engine, "helper", plan(false), r)).await.unwrap().unwrap();
        assert_eq!(&**child.pid().path(), "/starter/helper");
        assert_eq!(child.pid().parent(), Some(starter.pid()));
        assert_eq!(world.system.find("/starter/helper").as_ref(), Some(child.pid()));
        assert_eq!(starter.pid().links(10), [supervision::Pid::from(child.pid())]);
        assert_eq!(world.system.tree()[0].children[0].children[0].process.path, "/starter/helper");
        assert_eq!(child.call(|r| Do::Echo(7, r), SECOND).await, Ok(7));
        // its end is an exit signal to its starter
        child.cast(Do::Exit(Exit::error("err"))).unwrap();
        ended(child.pid()).await;
        assert_eq!(events(&starter).await, ["EXIT err"]);
        assert!(starter.pid().links(10).is_empty());
        // which one that does not trap ends with
        world.root.terminate_child("starter").await.unwrap();
        let starter = self::starter(&world, false).await;
        let child =
            starter.ask(|r| Ask::Start(engine, "h", plan(false), r)).await.unwrap().unwrap();
        child.cast(Do::Exit(Exit::shutdown("enough"))).unwrap();
        assert_eq!(ended(starter.pid()).await, Exit::shutdown("enough"));
        world.stop().await;
    }
}

/// OTP 25, of `gen_server:start_link` in a process that traps: `{error, no}` and `{'EXIT', _, no}`; `ignore` and `{'EXIT', _, normal}`;
/// `{error, {boom, _}}` and that as a signal. In one that does not: it ends with `no`; lives and gets `ignore`; ends with `{boom, _}`.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_an_answer_and_an_exit_signal() {
    for engine in ENGINES {
        let world = world().await;
        for (what, answer, signal) in [
            ("refuse", "refused", "EXIT refused"),
            ("ignore", "ignore", "EXIT normal"),
            ("boom", "ended while starting: boom", "EXIT boom"),
        ] {
            let trapping = starter(&world, true).await;
            let started = trapping.ask(|r| Ask::Start(engine, "c", inits(what), r)).await.unwrap();
            assert_eq!(started.unwrap_err().to_string(), answer);
            assert_eq!(events(&trapping).await, [signal], "{engine:?}");
            assert!(trapping.pid().links(10).is_empty());
            world.root.terminate_child("starter").await.unwrap();

            let plain = starter(&world, false).await;
            let started = plain.ask(|r| Ask::Start(engine, "c", inits(what), r)).await;
            if what == "ignore" {
                assert!(matches!(started, Ok(Err(StartError::Ignore))));
                assert!(events(&plain).await.is_empty());
                world.root.terminate_child("starter").await.unwrap();
            } else {
                let why = ended(plain.pid()).await;
                assert_eq!(why.to_string(), signal.trim_start_matches("EXIT "));
                // an actor's `init` runs in its starter's step, which may answer yet
                assert!(matches!(started, Err(CallError::Gone(_)) | Ok(Err(_))), "{started:?}");
            }
            assert_eq!(world.system.find("/starter/c"), None);
        }
        world.stop().await;
    }
}

/// OTP 25: a child that does not trap lives on after `normal`, and ends with `shutdown` and `err`; one that traps ends with each of them,
/// after its `terminate`.
#[tokio::test(start_paused = true)]
async fn what_a_process_started_ends_with_it() {
    for engine in ENGINES {
        for why in [Exit::Normal, Exit::Shutdown, Exit::error("err")] {
            for trap in [false, true] {
                let world = world().await;
                let starter = starter(&world, false).await;
                let (sender, mut told) = tokio::sync::mpsc::channel(1);
                let plan = Plan { trap, ended: Some(sender), ..Plan::default() };
                let child =
                    starter.ask(|r| Ask::Start(engine, "c", plan, r)).await.unwrap().unwrap();
                starter.cast(Ask::Stop(why.clone())).unwrap();
                ended(starter.pid()).await;
                if why == Exit::Normal && !trap {
                    assert_eq!(child.call(|r| Do::Echo(7, r), SECOND).await, Ok(7));
                    child.pid().kill();
                } else {
                    assert_eq!(ended(child.pid()).await, why);
                    assert_eq!(told.recv().await, Some(why.clone()));
                }
                child.pid().wait().await;
                world.stop().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_starts_processes_and_supervisors_too() {
    let world = world().await;
    let starter = starter(&world, true).await;
    let process = starter.ask(|r| Ask::Process(plan(false), r)).await.unwrap().unwrap();
    assert_eq!(&**process.pid().path(), "/starter/process");
    let child = ChildSpec::server::<Serving>("a", || plan(false));
    let spec = SupervisorSpec::one_for_one().child(child);
    let sup = starter.ask(|r| Ask::Supervisor(spec, r)).await.unwrap().unwrap();
    let a = world.system.find("/starter/sup/a").unwrap();
    a.kill();
    assert!(supervision::testkit::restarted(&a).await.is_alive());
    assert!(events(&starter).await.is_empty());
    world.root.terminate_child("starter").await.unwrap();
    assert_eq!(ended(sup.pid()).await, Exit::Shutdown);
    ended(process.pid()).await;
    // one that does not come up: the answer and the signal
    let starter = self::starter(&world, true).await;
    let child = ChildSpec::server::<Serving>("a", || inits("refuse"));
    let spec = SupervisorSpec::one_for_one().child(child);
    let sup = starter.ask(|r| Ask::Supervisor(spec, r)).await.unwrap();
    assert!(matches!(sup, Err(StartError::Child { .. })));
    let [event] = &*events(&starter).await else { panic!("no event") };
    assert!(event.starts_with("EXIT {shutdown, "), "{event}");
    world.stop().await;
}

/// OTP 25: `demonitor(Ref, [info, flush])` is `false` of one whose `DOWN` waits, which does not come; `true` before; then `false`.
#[tokio::test(start_paused = true)]
async fn after_a_flush_no_down_comes() {
    for what in BOTH {
        let world = world().await;
        let starter = starter(&world, true).await;
        for (flush, expected) in [(true, 0), (false, 1)] {
            let victim = world.puppet(what, "victim", plan(false)).await.pid().clone();
            let monitor = starter.ask(|r| Ask::Monitor(victim.clone(), r)).await.unwrap();
            assert_eq!(starter.ask(|r| Ask::Race(victim, monitor, flush, r)).await, Ok(false));
            assert_eq!(events(&starter).await.len(), expected);
            let victim = world.puppet(what, "victim", plan(false)).await.pid().clone();
            let monitor = starter.ask(|r| Ask::Monitor(victim.clone(), r)).await.unwrap();
            for early in [true, false] {
                let back = starter.ask(|r| Ask::TakeBack(monitor, flush, r)).await;
                assert_eq!(back, Ok(early));
                assert_eq!((victim.watchers(), starter.pid().watching()), (0, 0));
            }
            world.root.terminate_child("victim").await.unwrap();
            assert_eq!(events(&starter).await.len(), expected);
        }
        world.stop().await;
    }
}

/// Another thread is just telling: it comes before the flush, which throws it away, or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_while_the_down_is_being_sent_leaves_none() {
    let world = world().await;
    let starter = starter(&world, true).await;
    for round in 0..200 {
        let id = format!("victim {round}");
        let victim = world.puppet(BOTH[round % 2], &id, plan(false)).await.pid().clone();
        let monitor = starter.ask(|r| Ask::Monitor(victim.clone(), r)).await.unwrap();
        starter.ask(|r| Ask::Flush(victim.clone(), monitor, r)).await.unwrap();
        victim.wait().await;
        assert_eq!(events(&starter).await, <[String; 0]>::default(), "{round}");
        assert_eq!((victim.watchers(), starter.pid().watching()), (0, 0));
    }
    world.stop().await;
}

/// OTP 25: `{'DOWN', _, process, {nobody, nonode@nohost}, noproc}`; of who had the name when it was monitored, whoever has it then.
#[tokio::test(start_paused = true)]
async fn a_monitor_by_name_is_of_who_has_it_now_and_says_the_name() {
    for what in BOTH {
        let world = world().await;
        let starter = starter(&world, true).await;
        starter.ask(|r| Ask::Name("who", r)).await.unwrap();
        assert_eq!(events(&starter).await, ["DOWN {who,nonode@nohost} noproc"]);
        let first = world.puppet(what, "first", plan(false)).await;
        let second = world.puppet(what, "second", plan(false)).await;
        world.system.register("who", &first).unwrap();
        starter.ask(|r| Ask::Name("who", r)).await.unwrap();
        starter.ask(|r| Ask::Monitor(first.pid().clone(), r)).await.unwrap();
        assert!(world.system.unregister("who"));
        world.system.register("who", &second).unwrap();
        second.pid().exit(Exit::error("second"));
        ended(second.pid()).await;
        assert_eq!(events(&starter).await.len(), 1);
        first.pid().exit(Exit::error("first"));
        ended(first.pid()).await;
        let heard = events(&starter).await;
        assert_eq!(heard[1..], ["DOWN {who,nonode@nohost} first", "DOWN first"]);
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_address_of_a_monitored_name_is_that_of_its_process() {
    let world = world().await;
    let mut probe: Probe<()> = Probe::start(&world.system).await;
    let a = world.puppet(BOTH[0], "a", plan(false)).await;
    world.system.register("a", &a).unwrap();
    let monitor = world.system.monitor_name("a", probe.pid());
    a.pid().kill();
    let Event::Down { monitor: of, pid, reason } = probe.event().await else { panic!() };
    assert_eq!(
        (of, &pid, pid.id(), reason),
        (monitor, &supervision::Pid::from(a.pid()), a.pid().id(), Exit::Killed)
    );
    assert_eq!((pid.local(), format!("{pid:?}")), (Some(a.pid()), "{a, nonode@nohost}".to_owned()));
    world.system.monitor_name("b", probe.pid());
    let Event::Down { pid, reason, .. } = probe.event().await else { panic!() };
    assert_eq!((pid.local(), pid.id().number, reason), (None, 0, Exit::NoProc));
    assert_eq!(pid.name(), Some(("b", world.system.node())));
    world.stop().await;
}
