//! Several nodes in one thread and in paused time, and all that can go wrong between them, drawn from one seed.
//!
//! `SEED=7` runs one, `SEEDS=100000` as many.

#![cfg(test)]

mod app;
mod authority;
mod gate;
mod ledger;
mod life;
mod net;
mod seen;
mod world;

use seen::SEEN;
use std::time::Duration;
use supervision::{schedule::Schedule, testkit};
use world::{Plan, World};

fn runs(schedule: Schedule, plan: Plan) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let world = World::new(schedule, plan);
    let outcome = runtime.block_on(world.run(plan));
    outcome.unwrap();
}

/// What has to have happened in so many seeds, so that the test says something.
const KINDS: [&str; 24] = [
    "a connection lost",
    "a node begins anew",
    "a node taken for dead",
    "a session goes on elsewhere",
    "alone",
    "another way",
    "came back",
    "cut both ways",
    "cut from the authority",
    "cut one way",
    "done and not answered",
    "drained",
    "emptied",
    "failed over",
    "full",
    "held until known",
    "killed",
    "left",
    "passed on",
    "refused",
    "stopped",
    "the authority alone away",
    "the authority fails",
    "the authority hangs",
];

#[test]
fn whatever_goes_wrong_no_promise_is_broken() {
    testkit::every_seed(0..1000, |schedule| {
        let authority_alone = schedule.seed() % 10 == 9;
        let plan = Plan { nodes: 3, faults: Duration::from_secs(60), authority_alone };
        runs(schedule, plan);
    });
    let seen = SEEN.lock();
    println!("{seen:?}");
    if std::env::var_os("SEED").is_none() {
        let missing: Vec<_> = KINDS.iter().filter(|kind| !seen.contains_key(*kind)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[test]
fn what_a_node_costs_does_not_grow_with_their_number() {
    let costs = [10, 100].map(|nodes| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let plan = Plan { nodes, faults: Duration::ZERO, authority_alone: false };
            let costs = World::new(Schedule::new(1), plan).idles(60).await.unwrap();
            println!("{nodes} nodes, in 60 s: {costs:?}");
            (nodes as u64, costs)
        })
    });
    for (nodes, costs) in costs {
        // each introduces itself to each, once
        assert!(costs["introductions"] <= nodes * (nodes - 1));
        assert_eq!(costs.get("question"), None);
        // of each node, every 3 s
        assert!((18..=21).contains(&(costs["renew"] / nodes)), "{costs:?}");
        assert_eq!((costs.get("item"), costs.get("reap"), costs.get("sweep")), (None, None, None));
    }
}
