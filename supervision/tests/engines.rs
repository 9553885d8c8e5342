//! On what a server runs: its specification says it, else the system; and what differs in who polls it makes no difference.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Do, Plan, SECOND};
use supervision::{
    Actions, ChildSpec, Cx, Engine, Exit, InitError, Next, PoolRef, PoolSpec, Reply, Server,
    StartError, StateMachine, Step, SupervisorSpec, System, server::Serving, testkit,
};

const ENGINES: [Engine; 2] = [Engine::Ractor, Engine::Lean];

/// As on a stack of 2 MiB, which a thread of a test has.
#[tokio::test(start_paused = true)]
async fn a_tree_is_as_deep_as_it_likes_on_either() {
    for engine in ENGINES {
        let system = System::new("deep");
        system.set_engine(engine);
        let deep = (0..300).fold(SupervisorSpec::one_for_one(), |below, _| {
            SupervisorSpec::one_for_one().child(ChildSpec::supervisor("s", below))
        });
        let root = system.start(deep).await.unwrap();
        assert_eq!(system.alive(), 301, "{engine:?}");
        root.stop().await;
        assert_eq!(system.alive(), 0, "{engine:?}");
    }
}

/// Knows in which task its `init` ran: an actor's runs in that of its supervisor, before it has one.
struct Born(Option<tokio::task::Id>);

type Ask = Reply<bool>;

impl Born {
    /// Whether it has a task of its own since its `init`.
    fn is_lean(&self) -> bool {
        self.0 == tokio::task::try_id()
    }
}

impl Server for Born {
    type Args = ();
    type Msg = Ask;
    const NAME: &'static str = "born";

    async fn init((): (), cx: &mut Cx<Ask>) -> Result<Self, InitError> {
        cx.register("born")?;
        Ok(Self(tokio::task::try_id()))
    }

    async fn handle(&mut self, ask: Ask, _: &mut Cx<Ask>) -> Next {
        ask.send(self.is_lean());
        Next::Continue
    }
}

impl StateMachine for Born {
    type Args = ();
    type Msg = Ask;
    type State = ();
    const NAME: &'static str = "born";

    async fn init((): (), cx: &mut Cx<Ask>) -> Result<((), Self), InitError> {
        cx.register("born")?;
        Ok(((), Self(tokio::task::try_id())))
    }

    async fn enter(&mut self, (): &(), _: &mut Cx<Ask>) -> Actions<Ask> {
        Actions::new()
    }

    async fn handle(&mut self, (): &(), ask: Ask, _: &mut Cx<Ask>) -> Step<(), Ask> {
        ask.send(self.is_lean());
        Step::keep()
    }
}

async fn is_lean(system: &System) -> bool {
    system.lookup::<Ask>("born").unwrap().call(|ask| ask, SECOND).await.unwrap()
}

type Make = fn() -> ChildSpec;

#[tokio::test]
async fn the_specification_says_what_a_child_runs_on_else_the_system() {
    let children: [Make; 3] = [
        || ChildSpec::server::<Born>("born", || ()),
        || ChildSpec::state_machine::<Born>("born", || ()),
        || {
            ChildSpec::new("born", |place| async {
                let born = place.server::<Born>(()).await?;
                Ok(supervision::Started::Up(born.pid().clone()))
            })
        },
    ];
    for child in children {
        for (default, own) in ENGINES.iter().flat_map(|default| {
            [None, Some(Engine::Ractor), Some(Engine::Lean)].map(|own| (*default, own))
        }) {
            let system = System::new("test");
            system.set_engine(default);
            let child = own.map_or_else(child, |own| child().engine(own));
            let expected = own.unwrap_or(default) == Engine::Lean;
            let spec = SupervisorSpec::one_for_one().child(child.clone());
            let root = system.start(spec).await.unwrap();
            assert_eq!(is_lean(&system).await, expected, "{default:?} {own:?}");
            // the next one too
            let old = system.whereis("born").unwrap();
            old.kill();
            testkit::restarted(&old).await;
            assert_eq!(is_lean(&system).await, expected, "{default:?} {own:?}");
            root.stop().await;
            // and a template's instances
            let root = system.start(SupervisorSpec::simple_one_for_one(child)).await.unwrap();
            root.start_instance().await.unwrap();
            assert_eq!(is_lean(&system).await, expected, "{default:?} {own:?}");
            root.stop().await;
            assert_eq!(system.alive(), 0);
        }
    }
}

#[tokio::test]
async fn a_kit_is_on_the_engine_that_is_asked_for() {
    for engine in ENGINES {
        let lean = engine == Engine::Lean;
        let kit = testkit::server_on::<Born>(engine, "born", || ()).await;
        assert_eq!(is_lean(&kit.system).await, lean);
        let kit = testkit::state_machine_on::<Born>(engine, "born", || ()).await;
        assert_eq!(is_lean(&kit.system).await, lean);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_servers_too() {
    let system = System::new("test");
    let pool = ChildSpec::pool::<Serving<common::Serving>>("pool", "pool", PoolSpec::default());
    let root = system.start(SupervisorSpec::one_for_one().child(pool)).await.unwrap();
    let pool = PoolRef::<Serving<common::Serving>>::find(&system, "pool").unwrap();
    let (tell, mut told) = tokio::sync::mpsc::channel(9);
    let plan = Plan { ended: Some(tell), ..Plan::default() };
    let (a, b) = (pool.start(plan.clone()).await.unwrap(), pool.start(plan).await.unwrap());
    assert_eq!(a.pid().kind(), "serving");
    a.cast(Do::Panic("boom")).unwrap();
    assert!(
        matches!(testkit::ended(a.pid()).await, Exit::Crash(report) if report.reason == "boom")
    );
    assert!(matches!(told.recv().await, Some(Exit::Crash(_))), "it was terminated");
    assert_eq!(b.call(|reply| Do::Echo(7, reply), SECOND).await, Ok(7));
    assert_eq!((pool.len(), system.restarts()), (1, 0));
    root.stop().await;
    assert!(matches!(told.recv().await, Some(Exit::Shutdown)));
    assert_eq!(system.alive(), 0);
}

/// Takes for ever to start.
struct Never;

impl Server for Never {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "never";

    async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
        std::future::pending().await
    }

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        Next::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_leaves_nothing_on_either() {
    for engine in ENGINES {
        let system = System::new("test");
        let slow = ChildSpec::server::<Never>("never", || ()).engine(engine).ready_within(SECOND);
        let spec = SupervisorSpec::one_for_one().child(slow);
        let start = tokio::time::timeout(SECOND * 60, system.start(spec)).await;
        let Ok(Err(StartError::Child { error, .. })) = start else { panic!("{engine:?}") };
        assert!(matches!(*error, StartError::Timeout(SECOND)), "{engine:?}: {error}");
        assert_eq!((system.alive(), system.crashes().count()), (0, 0), "{engine:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_its_own_start_function_gives_up_leaves_nothing_on_either() {
    for engine in ENGINES {
        let system = System::new("test");
        let gives_up = ChildSpec::new("never", |place| async {
            match tokio::time::timeout(SECOND, place.server::<Never>(())).await {
                Ok(_) => panic!("it has started"),
                Err(_) => Err(StartError::Failed("gave up".into())),
            }
        });
        let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
        assert!(root.start_child(gives_up.engine(engine)).await.is_err());
        // the one that was killed may still have to notice
        tokio::time::sleep(SECOND).await;
        let left = (system.alive(), root.pid().links(9).len(), system.crashes().count());
        assert_eq!(left, (1, 0, 0), "{engine:?}");
        root.stop().await;
    }
}

/// Supervisors below one another, with one at the bottom that does not start.
fn stuck() -> SupervisorSpec {
    let bottom = SupervisorSpec::one_for_one().child(ChildSpec::server::<Never>("never", || ()));
    (0..3).fold(bottom, |below, _| {
        let beside = ChildSpec::server::<common::Serving>("beside", Plan::default);
        SupervisorSpec::one_for_one().child(beside).child(ChildSpec::supervisor("s", below))
    })
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_given_up_in_the_middle_of_its_start_leaves_nothing_on_either() {
    for engine in ENGINES {
        let system = System::new("test");
        system.set_engine(engine);
        // its supervisor gives it up
        let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
        let slow = ChildSpec::supervisor("slow", stuck()).ready_within(SECOND);
        assert!(root.start_child(slow).await.is_err());
        common::until(|| system.alive() == 1).await;
        // its supervisor is killed while it waits
        let starting = root.clone();
        let waits = async move { starting.start_child(ChildSpec::supervisor("s", stuck())).await };
        let killed = async {
            common::until(|| system.alive() > 4).await;
            root.pid().kill();
        };
        let (answer, ()) = tokio::join!(waits, killed);
        assert!(answer.is_err());
        common::until(|| system.alive() == 0).await;
        // who starts it waits no more
        assert!(tokio::time::timeout(SECOND, system.start(stuck())).await.is_err());
        common::until(|| system.alive() == 0).await;
    }
}
