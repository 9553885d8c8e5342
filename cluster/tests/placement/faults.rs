//! All that can go wrong, drawn from a seed. Whatever it is:
//!
//! - no two act with one key at once, and no two write in one epoch;
//! - what was acknowledged is in the store, what was refused is not;
//! - each request is answered or refused within its deadline, and when all is well again each is answered.

use crate::{
    counter::Ask,
    world::{LATE, Life, SEEN, World, beside, notes, run, s, saw},
};
use cluster::{PlaceError, placement::Spec};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use supervision::{Node, System, Task, testkit};
use tokio::time::{Instant, sleep};

const KEYS: u64 = 4;

/// What clients were told.
#[derive(Default)]
struct Told {
    done: BTreeMap<String, BTreeSet<u64>>,
    not_done: BTreeMap<String, BTreeSet<u64>>,
}

fn was_not_done(error: &PlaceError) -> bool {
    !matches!(error, PlaceError::Ended(_) | PlaceError::Unsure)
}

/// A client of a node adds, now to one and now to another.
async fn client(world: World, life: Arc<Life>, told: Arc<Mutex<Told>>) {
    while world.is_open() {
        sleep(Duration::from_millis(world.below(4000))).await;
        let (key, id) = (format!("key{}", world.below(KEYS)), world.number());
        let deadline = 1 + world.below(25);
        let began = Instant::now();
        let answer = life.placement.call(&key, Ask::Add(id), s(deadline)).await;
        if began.elapsed() > s(deadline) + LATE {
            world.store().is_wrong(format!("{:?} for {deadline} s", began.elapsed()));
        }
        notes(|| format!("{} {key} {id}: {answer:?}", life.node));
        let told = &mut *told.lock();
        match answer {
            Ok(_) => told.done.entry(key).or_default().insert(id),
            Err(error) if was_not_done(&error) => {
                saw("refused");
                told.not_done.entry(key).or_default().insert(id)
            }
            Err(_) => {
                saw("unsure");
                continue;
            }
        };
    }
}

async fn fault(world: &World, names: &[&str]) {
    let lives = world.lives();
    let any = || lives.get(world.below(lives.len().max(1) as u64) as usize).cloned();
    let (Some(a), Some(b)) = (any(), any()) else { return };
    let time = Duration::from_millis(world.below(if world.below(3) == 0 { 20_000 } else { 5_000 }));
    notes(|| format!("at {}, {}, for {time:?}:", a.node, b.node));
    let its = world.clone();
    match world.below(8) {
        0 if a.node != b.node => {
            saw("cut");
            world.cut(a.node, b.node);
            sleep(time).await;
            world.heal(a.node, b.node);
        }
        1 if a.node != b.node => {
            saw("held");
            world.hold(a.node, b.node, true);
            sleep(time.min(s(5))).await;
            world.hold(a.node, b.node, false);
            its.cut(a.node, b.node);
            its.heal(a.node, b.node);
        }
        2 => {
            saw("cut from the authority");
            world.reaches(a.node, false);
            sleep(time).await;
            world.reaches(a.node, true);
        }
        3 => {
            saw("alone");
            world.alone(a.node, true);
            sleep(time).await;
            world.alone(a.node, false);
        }
        4 => {
            saw("killed");
            world.kill(a.node);
            sleep(time).await;
            comes(world, names, a.node).await;
        }
        5 => {
            saw("drained");
            a.view.drain(true);
            sleep(time).await;
            a.view.drain(false);
        }
        6 => {
            saw("drained for a moment");
            for _ in 0..world.below(4) {
                a.view.drain(true);
                sleep(Duration::from_millis(world.below(1000))).await;
                a.view.drain(false);
                sleep(Duration::from_millis(world.below(1000))).await;
            }
        }
        7 => {
            saw("stopped");
            a.is_stopped(true);
            sleep(time).await;
            a.is_stopped(false);
        }
        _ => {}
    }
}

async fn comes(world: &World, names: &[&str], node: Node) {
    if let Some(name) = names.iter().find(|name| ***name == *node.name())
        && world.life(node).is_none()
    {
        world.start(name).await;
    }
}

async fn goes_wrong(world: World) {
    let names = ["a@faults", "b@faults", "c@faults"];
    let told: Arc<Mutex<Told>> = Arc::default();
    let store = world.store();
    let count = 2 + world.below(2) as usize;
    for name in &names[..count] {
        world.start(name).await;
    }
    store.troubles.store(world.below(2) == 0, Relaxed);
    let end = Instant::now() + s(60);
    let clients = |told: &Arc<Mutex<Told>>, seen: &mut BTreeSet<(Node, u64)>| {
        for life in world.lives() {
            let start = (life.node, u64::from(life.system.creation()));
            if seen.insert(start) {
                for _ in 0..2 {
                    let client = client(world.clone(), Arc::clone(&life), Arc::clone(told));
                    beside(&life, "/client", client);
                }
            }
        }
    };
    let mut seen = BTreeSet::new();
    // no node's end ends what goes wrong
    let system = System::scheduled("faults", world.schedule());
    while Instant::now() < end {
        clients(&told, &mut seen);
        let (its, names) = (world.clone(), names);
        Task::alone(&system, "/fault", async move { fault(&its, &names).await });
        world.sleeps(Duration::from_millis(world.below(8000))).await;
        let node = Node::new(names[world.below(3) as usize]).unwrap();
        if world.below(4) == 0 {
            comes(&world, &names, node).await;
        }
    }
    world.sleeps(s(20)).await;
    store.troubles.store(false, Relaxed);
    for name in names {
        comes(&world, &names, Node::new(name).unwrap()).await;
    }
    for life in world.lives() {
        life.view.drain(false);
        life.is_stopped(false);
        world.alone(life.node, false);
    }
    // until all is known again; then until the last request is over
    world.sleeps(s(20)).await;
    world.closes();
    world.sleeps(s(26)).await;
    for key in (0..KEYS).map(|n| format!("key{n}")) {
        let mut owners = BTreeSet::new();
        for life in world.lives() {
            let answer = life.placement.call(&key, Ask::Read, s(10)).await;
            match answer {
                Ok(answer) => drop(owners.insert((answer.node, answer.epoch, answer.count))),
                Err(error) => store.is_wrong(format!("{key} from {}: {error}", life.node)),
            }
        }
        let (truth, told) = (store.truth(&key), told.lock());
        let (done, not_done) = (told.done.get(&key), told.not_done.get(&key));
        let lost: Vec<_> = done.into_iter().flatten().filter(|id| !truth.contains(id)).collect();
        let wrongly: Vec<_> =
            not_done.into_iter().flatten().filter(|id| truth.contains(id)).collect();
        if !lost.is_empty() || !wrongly.is_empty() || owners.len() > 1 {
            store.is_wrong(format!("{key}: {lost:?} lost, {wrongly:?} done, {owners:?}"));
        }
    }
    *SEEN.lock().entry("done").or_default() +=
        told.lock().done.values().map(|ids| ids.len() as u64).sum::<u64>();
    *SEEN.lock().entry("refused by the store").or_default() += *store.refused.lock();
}

/// What has to have happened in so many seeds, so that the test says something.
const KINDS: [&str; 15] = [
    "a node begins anew",
    "a node taken for dead",
    "alone",
    "cut",
    "cut from the authority",
    "done",
    "drained",
    "drained for a moment",
    "held",
    "killed",
    "left: moves",
    "refused",
    "refused by the store",
    "stopped",
    "unsure",
];

#[test]
fn whatever_goes_wrong_no_promise_is_broken() {
    let spec = Spec { idle: s(5), look: s(1), ..Spec::default() };
    testkit::every_seed(0..200, |schedule| run(schedule, spec, goes_wrong));
    let seen = SEEN.lock();
    println!("{seen:?}");
    if std::env::var_os("SEED").is_none() {
        let missing: Vec<_> =
            KINDS.iter().filter(|kind| seen.get(*kind).is_none_or(|n| *n == 0)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}
