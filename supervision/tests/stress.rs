//! Two threads, many processes, everything at once: no end is missed, nothing is left, nothing hangs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{Do, Plan, Puppet, SECOND};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use supervision::{
    CallError, ChildSpec, Exit, PoolRef, PoolSpec, Ref, SupervisorSpec, TreeNode, sys,
    testkit::ended,
};
use tokio::task::{JoinSet, yield_now};

/// What one driver does; every process it starts has ended when it returns.
async fn drive(seed: u64, pool: PoolRef<Puppet>, downs: Arc<AtomicU64>) {
    let mut dice = seed | 1;
    let mut roll = move |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let killed = || Err(CallError::Gone(Some(Exit::Killed)));
    let mut mine: Vec<Ref<Do>> = Vec::new();
    for _ in 0..1500 {
        match roll(9) {
            0..=2 => {
                let plan = Plan { trap: roll(2) == 0, ..Plan::default() };
                mine.push(pool.start(plan).await.unwrap());
            }
            3 => {
                if let Some(child) = mine.pop() {
                    child.pid().kill();
                    assert!(matches!(ended(child.pid()).await, Exit::Killed));
                    assert_eq!(child.call(Do::Ignore, SECOND * 60).await, killed());
                }
            }
            4 => {
                if let Some(child) = mine.pop() {
                    drop(child.cast(Do::Panic("boom")));
                    ended(child.pid()).await;
                }
            }
            5 => {
                // a call that waits while its process is ended by somebody else
                if let Some(child) = mine.pop() {
                    let waits = child.call(Do::Ignore, SECOND * 60);
                    let kills = async {
                        yield_now().await;
                        child.pid().kill();
                    };
                    let (answer, ()) = tokio::join!(waits, kills);
                    assert_eq!(answer, killed());
                    ended(child.pid()).await;
                }
            }
            6 => {
                // two that end together
                if mine.len() > 1
                    && let (Some(one), Some(two)) = (mine.pop(), mine.pop())
                {
                    one.pid().link(two.pid());
                    one.pid().kill();
                    ended(one.pid()).await;
                    two.pid().kill();
                    ended(two.pid()).await;
                }
            }
            7 => {
                if let Some(child) = mine.last() {
                    sys::suspend(child.pid());
                    sys::resume(child.pid());
                    match child.call(|r| Do::Echo(5, r), SECOND * 60).await {
                        // a linked one may have taken it along
                        Ok(5) | Err(CallError::Gone(Some(Exit::Killed))) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            _ => {
                if let Some(child) = mine.last() {
                    child.pid().monitor(pool.pid());
                    downs.fetch_add(1, Ordering::Relaxed);
                }
                yield_now().await;
            }
        }
    }
    for child in mine {
        drop(child.cast(Do::Exit(Exit::Normal)));
        ended(child.pid()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_and_nothing_is_left() {
    let system = common::system("test");
    let pool = ChildSpec::pool::<Puppet>("pool", "pool", PoolSpec::default());
    let root = system.start(SupervisorSpec::one_for_one().child(pool)).await.unwrap();
    let pool = PoolRef::<Puppet>::find(&system, "pool").unwrap();
    let downs = Arc::new(AtomicU64::new(0));
    let mut drivers = JoinSet::new();
    for seed in 0..8 {
        drivers.spawn(drive(seed * 7919, pool.clone(), Arc::clone(&downs)));
    }
    while let Some(driver) = drivers.join_next().await {
        driver.unwrap();
    }
    assert!(pool.pid().is_alive() && downs.load(Ordering::Relaxed) > 0);
    assert_eq!((pool.len(), system.alive()), (0, 2));
    assert_eq!(system.tree().iter().map(TreeNode::count).sum::<usize>(), 2);
    assert!(pool.pid().links(10).is_empty(), "no link to what has ended");
    root.stop().await;
    assert_eq!(system.alive(), 0);
}
