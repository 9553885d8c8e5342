//! What a specification says, what its instances are started with, and what becomes of one that is changed while its child runs. OTP 25: `get_childspec` knows children by id, and
//! a template by its id or an instance's pid; a child of others by its pid is `not_found`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::talk::{Room, Talk, rooms};
use common::{BOTH, Do, Plan, Puppet, SECOND, Serving, What};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use supervision::{
    AutoShutdown, Backoff, ChildError, ChildSpec, ChildSpecInfo, Engine, Exit, Kind, Local, Place,
    Ref, RefError, Restart, Shutdown, StartError, Started, SupervisorSpec,
    testkit::{ended, restarted},
};

fn child(what: What, id: &str, plan: Plan) -> ChildSpec {
    match what {
        What::Process => ChildSpec::process::<Puppet>(id, move || plan.clone()),
        What::Server => ChildSpec::server::<Serving>(id, move || plan.clone()),
    }
}

fn told(pid: &Local, what: Do) {
    Ref::of::<Do>(pid).unwrap().cast(what).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_specification_is_shown_as_data() {
    let system = common::system("test");
    let full = child(What::Server, "full", Plan::default())
        .restart(Restart::Transient)
        .shutdown(Shutdown::BrutalKill)
        .significant(true)
        .backoff(SECOND, SECOND * 8)
        .ready_within(SECOND * 3)
        .engine(Engine::Lean);
    let below = SupervisorSpec::simple_one_for_one(ChildSpec::process_with::<Puppet>("many"));
    let root = SupervisorSpec::one_for_one()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(full)
        .child(ChildSpec::supervisor("below", below));
    let root = system.start(root).await.unwrap();
    let full = ChildSpecInfo {
        id: "full".into(),
        restart: Restart::Transient,
        shutdown: Shutdown::BrutalKill,
        kind: Kind::Worker,
        significant: true,
        backoff: Some(Backoff { first: SECOND, max: SECOND * 8 }),
        ready_within: Some(SECOND * 3),
        engine: Some(Engine::Lean),
        takes_args: false,
    };
    assert_eq!(root.get_childspec("full").await.unwrap(), full);
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<ChildSpecInfo>(&text).unwrap(), full);
    let plain = ChildSpecInfo {
        id: "below".into(),
        restart: Restart::Permanent,
        shutdown: Shutdown::Infinity,
        kind: Kind::Supervisor,
        significant: false,
        backoff: None,
        ready_within: None,
        engine: None,
        takes_args: false,
    };
    assert_eq!(root.get_childspec("below").await.unwrap(), plain);
    let not_found = |answer| matches!(answer, Err(ChildError::NotFound));
    assert!(not_found(root.get_childspec("none").await));
    assert!(not_found(root.instance_childspec(&system.find("/full").unwrap()).await));
    // a template, by its id and by an instance
    let below = supervision::SupervisorRef::of(system.find("/below").unwrap()).unwrap();
    let template = below.get_childspec("many").await.unwrap();
    assert_eq!((&*template.id, template.takes_args), ("many", true));
    let Started::Up(one) = below.start_instance_with(Plan::default()).await.unwrap() else {
        panic!("ignored")
    };
    assert_eq!(below.instance_childspec(&one).await.unwrap(), template);
    assert!(not_found(below.instance_childspec(root.pid()).await));
    assert!(not_found(below.get_childspec("#1").await));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_specification_is_in_force_at_the_next_end_and_start() {
    for what in BOTH {
        let system = common::system("test");
        let plan = |trap| Plan { trap, ..Plan::default() };
        let root = SupervisorSpec::one_for_one().intensity(9, SECOND);
        let root = system.start(root.child(child(what, "a", plan(false)))).await.unwrap();
        let first = system.find("/a").unwrap();
        // the start function: what runs goes on, the next one is the new
        root.update_childspec(child(what, "a", plan(true))).await.unwrap();
        assert!(first.is_alive() && !first.traps_exits());
        first.kill();
        let second = restarted(&first).await;
        assert!(second.traps_exits());
        // restart: not after a normal end any more
        root.update_childspec(child(what, "a", plan(true)).restart(Restart::Transient))
            .await
            .unwrap();
        told(&second, Do::Exit(Exit::Normal));
        ended(&second).await;
        assert_eq!(root.count_children().await.unwrap().active, 0);
        // shutdown: it hangs, and is killed at once instead of after its time
        root.restart_child("a").await.unwrap();
        let third = system.find("/a").unwrap();
        told(&third, Do::Hang);
        root.update_childspec(child(what, "a", plan(true)).shutdown(Shutdown::BrutalKill))
            .await
            .unwrap();
        let before = tokio::time::Instant::now();
        root.terminate_child("a").await.unwrap();
        assert_eq!((ended(&third).await, before.elapsed().as_secs()), (Exit::Killed, 0));
        // back-off: the next restart waits
        root.restart_child("a").await.unwrap();
        root.update_childspec(child(what, "a", plan(true)).backoff(SECOND * 7, SECOND * 9))
            .await
            .unwrap();
        let fourth = system.find("/a").unwrap();
        let before = tokio::time::Instant::now();
        fourth.kill();
        restarted(&fourth).await;
        assert_eq!(before.elapsed().as_secs(), 7);
        // errors change nothing
        let none = root.update_childspec(child(what, "b", plan(true))).await;
        assert!(matches!(none, Err(ChildError::NotFound)));
        let wrong = child(what, "a", plan(true)).significant(true);
        let wrong = root.update_childspec(wrong).await;
        assert!(matches!(wrong, Err(ChildError::InvalidSpec(_))), "{wrong:?}");
        assert!(root.get_childspec("a").await.unwrap().backoff.is_some());
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_is_so_from_its_change_on() {
    let system = common::system("test");
    let spec = |significant| {
        let child = child(What::Server, "a", Plan::default()).restart(Restart::Transient);
        child.significant(significant)
    };
    let root = SupervisorSpec::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
    let root = system.start(root.child(spec(false))).await.unwrap();
    root.update_childspec(spec(true)).await.unwrap();
    told(&system.find("/a").unwrap(), Do::Exit(Exit::Normal));
    assert_eq!(ended(root.pid()).await, Exit::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_is_for_the_next_start_of_each_instance() {
    let system = common::system("test");
    let plan = |trap| Plan { trap, ..Plan::default() };
    let root = SupervisorSpec::simple_one_for_one(child(What::Server, "t", plan(false)));
    let root = system.start(root.intensity(9, SECOND)).await.unwrap();
    let Started::Up(old) = root.start_instance().await.unwrap() else { panic!("ignored") };
    root.update_childspec(child(What::Server, "t", plan(true))).await.unwrap();
    old.kill();
    assert!(restarted(&old).await.traps_exits());
    let Started::Up(new) = root.start_instance().await.unwrap() else { panic!("ignored") };
    assert!(new.traps_exits());
    let other = root.update_childspec(child(What::Server, "u", plan(true))).await;
    assert!(matches!(other, Err(ChildError::NotFound)));
    root.stop().await;
    // with arguments: they stay, and what else is said changes
    let template = ChildSpec::server_with::<Serving>("t");
    let root = SupervisorSpec::simple_one_for_one(template.clone()).intensity(9, SECOND);
    let root = system.start(root).await.unwrap();
    let Started::Up(one) = root.start_instance_with(plan(true)).await.unwrap() else {
        panic!("ignored")
    };
    root.update_childspec(template.restart(Restart::Transient)).await.unwrap();
    one.kill();
    let again = restarted(&one).await;
    assert!(again.traps_exits());
    told(&again, Do::Exit(Exit::Normal));
    ended(&again).await;
    assert_eq!(root.count_children().await.unwrap().active, 0);
    root.stop().await;
}

/// As OTP's `{restarting, Pid}`: an instance whose restart failed is known by the process it had, until it has another.
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_to_be_started_again_is_stopped_by_its_old_process() {
    for backs_off in [false, true] {
        let (fails, starts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (failing, started) = (Arc::clone(&fails), Arc::clone(&starts));
        let template = ChildSpec::new("room", move |place: Place| {
            started.fetch_add(1, Ordering::Relaxed);
            let fails = failing.load(Ordering::Relaxed);
            async move {
                // so that what is asked meanwhile has its turn
                tokio::time::sleep(SECOND).await;
                if fails {
                    return Err(StartError::Failed("not now".into()));
                }
                Ok(Started::Up(place.server::<Serving>(Plan::default()).await?.pid().clone()))
            }
        });
        let template = if backs_off { template.backoff(SECOND, SECOND) } else { template };
        let rooms = SupervisorSpec::simple_one_for_one(template).intensity(1_000, SECOND * 9);
        let rooms = common::system("test").start(rooms).await.unwrap();
        let [one, two]: [Local; 2] = [rooms.start_instance().await, rooms.start_instance().await]
            .map(|started| {
                let Ok(Started::Up(pid)) = started else { panic!("{started:?}") };
                pid
            });
        fails.store(true, Ordering::Relaxed);
        one.kill();
        tokio::time::sleep(SECOND * 5).await;
        let count = rooms.count_children().await.unwrap();
        assert_eq!((count.active, count.workers), (1, 2), "{backs_off}");
        assert!(rooms.instance_childspec(&one).await.is_ok());
        rooms.terminate_instance(&one).await.unwrap();
        let count = rooms.count_children().await.unwrap();
        assert_eq!((count.active, count.workers), (1, 1), "{backs_off}");
        let before = starts.load(Ordering::Relaxed);
        assert!(before > 3);
        tokio::time::sleep(SECOND * 20).await;
        assert_eq!(starts.load(Ordering::Relaxed), before, "{backs_off}: it is not tried again");
        assert!(two.is_alive());
        rooms.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn instances_have_arguments_of_their_own_and_keep_them() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let mut refs: Vec<Ref<Talk>> = Vec::new();
    for name in ["hall", "garden"] {
        refs.push(rooms.start_instance_with(name.to_owned()).await.unwrap().to_ref().unwrap());
    }
    for (room, name) in refs.iter().zip(["hall", "garden"]) {
        assert_eq!(room.ask(Talk::Name).await.unwrap(), name);
    }
    refs[0].cast(Talk::Crash).unwrap();
    let again: Local = restarted(refs[0].pid()).await;
    let again: Ref<Talk> = Ref::of(&again).unwrap();
    assert_eq!(again.ask(Talk::Name).await.unwrap(), "hall");
    assert!(matches!(rooms.start_instance_with(7).await, Err(ChildError::WrongArgs)));
    assert!(matches!(rooms.start_instance().await, Err(ChildError::WrongArgs)));
    let nothing = rooms.start_instance_with(String::new()).await.unwrap();
    assert!(matches!(nothing, Started::Ignored));
    assert_eq!(nothing.to_ref::<Talk>().unwrap_err(), RefError::Gone(Some(Exit::NoProc)));
    assert_eq!(rooms.count_children().await.unwrap().active, 2);
    rooms.terminate_instance(again.pid()).await.unwrap();
    assert_eq!(rooms.count_children().await.unwrap().active, 1);

    // a template that takes none, and no template
    let plain = ChildSpec::server::<Room>("room", || "one".to_owned());
    let others = system.start(SupervisorSpec::simple_one_for_one(plain.clone())).await.unwrap();
    let args = || "x".to_owned();
    assert!(matches!(others.start_instance_with(args()).await, Err(ChildError::WrongArgs)));
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    assert!(matches!(root.start_instance_with(args()).await, Err(ChildError::InvalidSpec(_))));
    let child: Ref<Talk> = root.start_child(plain).await.unwrap().to_ref().unwrap();
    assert_eq!(child.ask(Talk::Name).await.unwrap(), "one");
    // and a template that wants some is no child of its own
    let child = root.start_child(ChildSpec::server_with::<Room>("alone")).await;
    assert!(matches!(child, Err(ChildError::Start(StartError::InvalidSpec(_)))), "{child:?}");
}
