//! Pools: many children that come and go, and the tree and the counts while they do.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Do, Plan, Puppet, SECOND};
use supervision::{
    ChildSpec, Exit, PoolRef, PoolSpec, StartError, SupervisorRef, SupervisorSpec, System, Task,
    TreeNode,
    testkit::{ended, restarted},
};

async fn pool(spec: PoolSpec) -> (System, SupervisorRef, PoolRef<Puppet>) {
    let system = System::new("test");
    let root = SupervisorSpec::one_for_one().child(ChildSpec::pool::<Puppet>("pool", "pool", spec));
    let root = system.start(root).await.unwrap();
    let pool = PoolRef::find(&system, "pool").unwrap();
    (system, root, pool)
}

fn counted(system: &System) -> usize {
    system.tree().iter().map(TreeNode::count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_come_and_go() {
    const MANY: usize = 100_000;
    let (system, root, pool) = pool(PoolSpec { max: MANY, ..PoolSpec::default() }).await;
    let mut children = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        children.push(pool.start(Plan::default()).await.unwrap());
    }
    assert_eq!((pool.len(), system.alive(), counted(&system)), (MANY, MANY + 2, MANY + 2));
    assert!(matches!(pool.start(Plan::default()).await, Err(StartError::Full)));
    assert_eq!(pool.len(), MANY);
    for child in children.iter().step_by(2) {
        child.cast(Do::Exit(Exit::Normal)).unwrap();
    }
    for child in children.iter().step_by(2) {
        assert!(matches!(ended(child.pid()).await, Exit::Normal));
    }
    assert_eq!((pool.len(), counted(&system)), (MANY / 2, MANY / 2 + 2));
    assert!(children[1].pid().path().starts_with("/pool/#"));
    root.stop().await;
    assert_eq!((system.alive(), counted(&system), pool.len()), (0, 0, 0));
    assert!(children.iter().all(|c| !c.pid().is_alive()));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_the_childs_alone() {
    let (system, root, pool) = pool(PoolSpec::default()).await;
    let pid = pool.pid().clone();
    assert!(PoolRef::<supervision::task::Job>::find(&system, "pool").is_none(), "of another kind");
    let stays = pool.start(Plan::default()).await.unwrap();
    for n in 0..20 {
        let child = pool.start(Plan::default()).await.unwrap();
        match n % 4 {
            0 => child.cast(Do::Panic("boom")).unwrap(),
            1 => child.pid().kill(),
            2 => child.cast(Do::Exit(Exit::error("bad"))).unwrap(),
            _ => child.cast(Do::Exit(Exit::Normal)).unwrap(),
        }
        ended(child.pid()).await;
        assert!(pool.start(Plan { init: Some("refuse"), ..Plan::default() }).await.is_err());
        assert!(pool.start(Plan { init: Some("boom"), ..Plan::default() }).await.is_err());
        assert_eq!(pool.len(), 1);
    }
    assert!(pid.is_alive() && stays.pid().is_alive());
    assert_eq!(stays.call(|r| Do::Echo(7, r), SECOND).await, Ok(7));
    assert_eq!(system.restarts(), 0);
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_nobody_waits_for_any_more_is_counted_right() {
    let (system, root, pool) = pool(PoolSpec::default()).await;
    for init in [None, Some("refuse"), Some("boom")] {
        let mut starting = Box::pin(pool.start(Plan { init, ..Plan::default() }));
        // the task is born, its init has not run
        assert!(futures_poll(&mut starting).await);
        drop(starting);
    }
    // all that can run has run
    tokio::time::sleep(SECOND).await;
    assert_eq!((pool.len(), system.alive()), (1, 3));
    root.stop().await;
    assert_eq!((pool.len(), system.alive()), (0, 0));
}

/// Polls once; whether it is pending.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_drained_pool_is_empty_and_goes_on() {
    let (system, root, pool) = pool(PoolSpec::default()).await;
    let (tell, mut told) = tokio::sync::mpsc::channel(100);
    for trap in [false, true] {
        for _ in 0..10 {
            let plan = Plan { trap, ended: Some(tell.clone()), ..Plan::default() };
            pool.start(plan).await.unwrap();
        }
    }
    let deaf = pool.start(Plan { trap: true, ..Plan::default() }).await.unwrap();
    deaf.cast(Do::Hang).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(pool.drain(SECOND * 60).await, Ok(21));
    assert_eq!(began.elapsed().as_secs(), 5, "one timer for all, for the one that does not listen");
    assert!(matches!(deaf.pid().exit_reason(), Some(Exit::Killed)));
    for _ in 0..20 {
        assert!(matches!(told.recv().await, Some(Exit::Shutdown)));
    }
    assert_eq!(pool.len(), 0);
    pool.start(Plan::default()).await.unwrap();
    assert_eq!((pool.len(), system.alive()), (1, 3));
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

/// Whoever starts one while the pool waits for the others: it would outlive the tree.
#[tokio::test(start_paused = true)]
async fn a_pool_that_stops_takes_no_more_children() {
    let (system, root, pool) = pool(PoolSpec::default()).await;
    let deaf = pool.start(Plan { trap: true, ..Plan::default() }).await.unwrap();
    deaf.cast(Do::Hang).unwrap();
    let late = async || {
        tokio::time::sleep(SECOND).await;
        assert!(pool.pid().is_alive() && deaf.pid().is_alive());
        (pool.start(Plan::default()).await.map(drop), pool.spawn(Plan::default()).map(drop))
    };
    let (_, late) = tokio::join!(root.stop(), late());
    let refused = |start| matches!(start, Err(StartError::Exited(Exit::NoProc)));
    assert!(refused(late.0) && refused(late.1));
    assert_eq!((pool.len(), system.alive()), (0, 0));
}

/// On two threads: one is refused, or stopped with the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_while_the_pool_stops_leaves_nothing() {
    for _ in 0..10 {
        let (system, root, pool) = pool(PoolSpec::default()).await;
        let starting = Task::alone(&System::new("starts"), "/starts", async move {
            while pool.spawn(Plan { trap: true, ..Plan::default() }).is_ok() {}
        });
        tokio::task::yield_now().await;
        root.stop().await;
        assert_eq!(system.alive(), 0);
        starting.join(SECOND * 30).await.unwrap();
        assert_eq!(system.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_killed_takes_its_children_along_and_is_back() {
    let (system, root, old) = pool(PoolSpec::default()).await;
    let child = old.start(Plan::default()).await.unwrap();
    old.pid().kill();
    assert!(matches!(ended(child.pid()).await, Exit::Killed));
    restarted(old.pid()).await;
    assert!(matches!(old.start(Plan::default()).await, Err(StartError::Exited(Exit::NoProc))));
    let new: PoolRef<Puppet> = PoolRef::find(&system, "pool").unwrap();
    assert!(new.start(Plan::default()).await.is_ok());
    assert_eq!((old.len(), new.len(), system.alive()), (0, 1, 3));
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_tree_shows_what_there_is() {
    let system = System::new("test");
    let inner = SupervisorSpec::one_for_all()
        .child(ChildSpec::pool::<Puppet>("pool", "pool", PoolSpec::default()))
        .child(ChildSpec::process::<Puppet>("lean", Plan::default));
    let root = SupervisorSpec::one_for_one()
        .child(ChildSpec::supervisor("inner", inner))
        .child(ChildSpec::server::<common::Serving>("server", Plan::default));
    let root = system.start(root).await.unwrap();
    let pool: PoolRef<Puppet> = PoolRef::find(&system, "pool").unwrap();
    for _ in 0..3 {
        pool.start(Plan::default()).await.unwrap();
    }
    fn print(node: &TreeNode, depth: usize, out: &mut String) {
        let pooled = if node.pooled > 0 { format!(" x{}", node.pooled) } else { String::new() };
        *out +=
            &format!("{}{} {}{pooled}\n", "  ".repeat(depth), node.process.path, node.process.kind);
        for child in &node.children {
            print(child, depth + 1, out);
        }
    }
    let mut shown = String::new();
    let tree = system.tree();
    tree.iter().for_each(|node| print(node, 0, &mut shown));
    assert_eq!(
        shown,
        "/ supervisor\n  /inner supervisor\n    /inner/pool pool x3\n    /inner/lean puppet\n  /server serving\n"
    );
    assert_eq!(counted(&system), system.alive());
    assert_eq!(system.processes(100).len(), system.alive());
    // there is no task that is no process
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, system.alive());
    root.stop().await;
    assert_eq!(system.alive(), 0);
}
