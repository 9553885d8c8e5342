//! What is kept of processes goes with them: monitors and links with either end, names and groups when they are left.

mod common;

use common::{BOTH, Plan, Puppet, SECOND, Serving, world};
use supervision::{
    ChildSpec, Event, Local, PoolRef, PoolSpec, Started, SupervisorSpec, System, testkit::Probe,
};

const MANY: usize = 1_000;

#[tokio::test]
async fn a_monitor_goes_with_either_end() {
    for what in BOTH {
        let world = world().await;
        let long = world.puppet(what, "long", Plan::default()).await;
        let mut probe: Probe<()> = Probe::start(&world.system).await;
        for n in 0..MANY {
            let short = world.puppet(what, &format!("{n}"), Plan::default()).await;
            long.pid().monitor(short.pid());
            short.pid().monitor(probe.pid());
            assert_eq!((long.pid().watchers(), probe.pid().watching()), (1, 1));
            world.root.terminate_child(&format!("{n}")).await.unwrap();
            let Event::Down { pid, .. } = probe.event().await else { panic!("no down") };
            assert_eq!(pid, *short.pid());
            assert_eq!((long.pid().watchers(), probe.pid().watching()), (0, 0));
        }
        // one that has ended is not watched, and does not watch
        let (gone, me) = (world.puppet(what, "gone", Plan::default()).await, probe.pid().clone());
        world.root.terminate_child("gone").await.unwrap();
        gone.pid().monitor(&me);
        long.pid().monitor(gone.pid());
        assert!(matches!(probe.event().await, Event::Down { .. }));
        assert_eq!((me.watching(), long.pid().watchers()), (0, 0));
        // its own end tells nobody
        me.monitor(&me);
        assert_eq!((me.watching(), me.watchers()), (1, 1));
        me.kill();
        me.wait().await;
        assert_eq!((me.watching(), me.watchers()), (0, 0));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_monitor_that_is_taken_back_is_gone_at_both_ends() {
    let world = world().await;
    let long = world.puppet(BOTH[0], "long", Plan::default()).await;
    let probe: Probe<()> = Probe::start(&world.system).await;
    let monitors: Vec<_> = (0..MANY).map(|_| long.pid().monitor(probe.pid())).collect();
    assert_eq!((long.pid().watchers(), probe.pid().watching()), (MANY, MANY));
    for monitor in monitors {
        long.pid().demonitor(monitor);
    }
    assert_eq!((long.pid().watchers(), probe.pid().watching()), (0, 0));
    world.stop().await;
}

#[tokio::test]
async fn a_link_goes_with_either_end() {
    for what in BOTH {
        let world = world().await;
        let long = world.puppet(what, "long", Plan { trap: true, ..Plan::default() }).await;
        for n in 0..MANY {
            let short = world.puppet(what, &format!("{n}"), Plan::default()).await;
            long.pid().link(short.pid());
            world.root.terminate_child(&format!("{n}")).await.unwrap();
            assert_eq!((long.pid().links(9).len(), world.root.pid().links(9).len()), (0, 1));
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn who_leaves_a_group_or_a_name_leaves_nothing() {
    let world = world().await;
    let me = world.puppet(BOTH[0], "me", Plan::default()).await;
    for n in 0..MANY {
        let name = format!("{n}");
        world.system.join(&name, me.pid());
        world.system.join(&name, me.pid());
        world.system.register(&name, &me).unwrap();
        assert_eq!((me.pid().groups().len(), me.pid().names().len()), (1, 1));
        world.system.leave_group(&name, me.pid());
        world.system.leave_group(&name, me.pid());
        assert!(world.system.unregister(&name) && !world.system.unregister(&name));
        assert_eq!((me.pid().groups(), me.pid().names()), (vec![], vec![]));
    }
    world.stop().await;
}

/// Each is found where it is, and nowhere when it is gone.
fn is_found(system: &System, pid: &Local, path: &str) {
    assert_eq!(&**pid.path(), path);
    assert_eq!(system.find(path).as_ref(), Some(pid));
}

#[tokio::test]
async fn processes_are_found_by_their_paths_while_they_live() {
    let system = common::system("test");
    let template = ChildSpec::process::<Puppet>("t", Plan::default);
    let below = SupervisorSpec::one_for_one()
        .child(ChildSpec::server::<Serving>("a", Plan::default))
        .child(ChildSpec::supervisor("many", SupervisorSpec::simple_one_for_one(template.clone())))
        .child(ChildSpec::pool::<Puppet>("pool", "pool", PoolSpec::default()));
    let root =
        system.start(SupervisorSpec::one_for_one().child(ChildSpec::supervisor("b", below))).await;
    let root = root.unwrap();
    is_found(&system, root.pid(), "/");
    let a = system.find("/b/a").unwrap();
    is_found(&system, &a, "/b/a");
    let pool = PoolRef::<Puppet>::find(&system, "pool").unwrap();
    let (first, second) =
        (pool.start(Plan::default()).await.unwrap(), pool.start(Plan::default()).await.unwrap());
    is_found(&system, first.pid(), "/b/pool/#1");
    is_found(&system, second.pid(), "/b/pool/#2");
    for path in
        ["/b/pool/#3", "/b/pool/x#1", "/b/pool#1", "/b/pool/#", "/b/pool/#x", "/c", "", "#1", "/#1"]
    {
        assert_eq!(system.find(path), None, "{path}");
    }
    first.pid().kill();
    first.pid().wait().await;
    assert_eq!(system.find("/b/pool/#1"), None);
    a.kill();
    a.wait().await;
    let again = supervision::testkit::restarted(&a).await;
    is_found(&system, &again, "/b/a");
    root.stop().await;
    assert_eq!(system.find("/b/a"), None);
    // of a root that is a template
    let root = system.start(SupervisorSpec::simple_one_for_one(template)).await.unwrap();
    let Started::Up(pid) = root.start_instance().await.unwrap() else { panic!("ignored") };
    is_found(&system, &pid, "/t#1");
    tokio::time::timeout(SECOND, root.stop()).await.unwrap();
    assert_eq!(system.find("/t#1"), None);
}
