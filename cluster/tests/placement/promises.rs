//! What is promised, one at a time, each in several orders.

use crate::{
    counter::{Ask, Counter, Here},
    world::{Life, World, beside, keys_of, run, s},
};
use cluster::{
    PlaceError, Placement,
    placement::{KEY, NoAuthority, Refused, Spec, rank},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use supervision::{Node, System, testkit};
use tokio::time::Instant;

const NAMES: [&str; 3] = ["a@placement", "b@placement", "c@placement"];

fn nodes(lives: &[Arc<Life>]) -> Vec<Node> {
    lives.iter().map(|life| life.node).collect()
}

fn promised<F: Future<Output = ()>>(spec: Spec, test: impl Fn(World) -> F) {
    testkit::every_seed(0..20, |schedule| run(schedule, spec, &test));
}

#[test]
fn a_key_has_one_process_wherever_it_is_asked() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        for key in (0..20).map(|n| format!("key{n}")) {
            let owner = rank::owner(&key, nodes(&lives)).unwrap();
            for (n, life) in lives.iter().enumerate() {
                let answer = life.adds(&world, &key).await;
                assert_eq!((answer.node, answer.epoch, answer.count), (owner, 1, n + 1));
            }
        }
        let started: u64 = lives.iter().map(|life| life.placement.info().starts).sum();
        assert_eq!(started, 20);
    });
}

#[test]
fn requests_at_once_start_one_process() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let all = lives.iter().map(|life| life.adds(&world, "key"));
        let counts: Vec<_> = futures_util::future::join_all(all).await;
        let mut counts: Vec<_> = counts.into_iter().map(|a| (a.count, a.epoch)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [(1, 1), (2, 1), (3, 1)]);
    });
}

#[test]
fn what_nobody_asks_ends_and_is_started_again() {
    let spec = Spec { idle: s(60), ..Spec::default() };
    promised(spec, |world| async move {
        let lives = world.start_all(NAMES).await;
        lives[0].adds(&world, "key").await;
        world.sleeps(s(50)).await;
        lives[1].adds(&world, "key").await;
        world.sleeps(s(50)).await;
        assert_eq!(lives.iter().map(|life| life.keys()).sum::<usize>(), 1);
        world.until("it ends", || lives.iter().all(|life| life.keys() == 0)).await;
        // its address is remembered, and it is there no more
        let again = lives[0].adds(&world, "key").await;
        assert_eq!((again.epoch, again.count, again.moved), (2, 3, false));
    });
}

#[test]
fn when_a_node_comes_its_share_moves_to_it() {
    promised(Spec::default(), |world| async move {
        let [a, b] = world.start_all([NAMES[0], NAMES[1]]).await;
        let keys: Vec<_> = (0..60).map(|n| format!("key{n}")).collect();
        for key in &keys {
            a.adds(&world, key).await;
            a.asks(key, Ask::Takes(100), 5).await.unwrap();
        }
        assert_eq!(a.keys() + b.keys(), 60);
        let c = world.start(NAMES[2]).await;
        let all = [a.node, b.node, c.node];
        let moves = keys.iter().filter(|key| rank::owner(key, all) == Some(c.node)).count();
        world.until("they leave", || a.keys() + b.keys() == 60 - moves).await;
        assert_eq!(c.keys(), 0, "on first use");
        for (n, key) in keys.iter().enumerate() {
            let owner = rank::owner(key, all).unwrap();
            let answer = [&a, &b, &c][n % 3].adds(&world, key).await;
            let moved = owner == c.node;
            let expected = (owner, 1 + u64::from(moved), 2, moved);
            assert_eq!((answer.node, answer.epoch, answer.count, answer.moved), expected);
        }
        let moved = a.placement.info().moved + b.placement.info().moved;
        assert_eq!((moved, c.placement.info().states), (moves as u64, moves as u64));
    });
}

#[test]
fn a_node_that_drains_hands_over_and_gets_back_what_is_its_own() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let [a, b, c] = &lives;
        let keys: Vec<_> = keys_of(b.node, &nodes(&lives)).take(10).collect();
        for key in &keys {
            assert_eq!(a.adds(&world, key).await.node, b.node);
        }
        b.view.drain(true);
        let began = Instant::now();
        for key in &keys {
            let answer = b.adds(&world, key).await;
            assert_eq!(Some(answer.node), rank::owner(key, [a.node, c.node]));
            assert_eq!((answer.epoch, answer.count), (2, 2));
        }
        // what it says of itself is in its lease, which is renewed each 3 s, and read as often
        assert!(began.elapsed() < s(8), "as soon as all have heard: {:?}", began.elapsed());
        assert_eq!(b.keys(), 0);
        b.view.drain(false);
        world.until("they leave", || a.keys() + c.keys() == 0).await;
        for key in &keys {
            assert_eq!(c.adds(&world, key).await.node, b.node);
        }
    });
}

#[test]
fn a_node_that_stops_leaves_at_once() {
    promised(Spec::default(), |world| async move {
        let [a, b, _] = world.start_all(NAMES).await;
        let key = keys_of(b.node, &[a.node, b.node]).next().unwrap();
        a.adds(&world, &key).await;
        let root = b.root.lock().take().unwrap();
        root.stop().await;
        world.kill(b.node);
        let began = Instant::now();
        assert_eq!(a.adds(&world, &key).await.count, 2);
        // it has given its lease back; the others read the roll each 3 s, and believe what they knew of its lease
        assert!(began.elapsed() < s(15));
    });
}

#[test]
fn when_a_node_dies_its_keys_wait_until_its_lease_is_over() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let [a, b, c] = &lives;
        let key = keys_of(b.node, &nodes(&lives)).next().unwrap();
        a.adds(&world, &key).await;
        // its lease was renewed at the latest now
        world.sleeps(s(3)).await;
        world.kill(b.node);
        let (began, acts) = (Instant::now(), b.view.left().unwrap());
        let refused = c.asks(&key, Ask::Read, 1).await;
        assert_eq!(refused, Err(PlaceError::NoOwner(Refused::NotReached(b.node))));
        let answer = a.adds(&world, &key).await;
        assert!(began.elapsed() >= acts && began.elapsed() < s(15), "{:?}", began.elapsed());
        assert_ne!(answer.node, b.node);
        assert_eq!((answer.epoch, answer.count), (2, 2));
        // and one that comes back is another start
        world.start(NAMES[1]).await;
        world.until("it moves", || a.keys() + c.keys() == 0).await;
        let answer = c.adds(&world, &key).await;
        assert_eq!((answer.node, answer.epoch, answer.count), (b.node, 3, 3));
    });
}

#[test]
fn a_node_that_is_cut_off_stops_before_another_starts() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let [a, b, c] = &lives;
        let key = keys_of(b.node, &nodes(&lives)).next().unwrap();
        a.adds(&world, &key).await;
        world.alone(b.node, true);
        // it has the key, and acts while it may
        assert_eq!(b.adds(&world, &key).await.count, 2);
        let stopped: Arc<Mutex<Option<Instant>>> = Arc::default();
        let (last, there, asked, its) =
            (Arc::clone(&stopped), Arc::clone(b), key.clone(), world.clone());
        beside(b, "/client", async move {
            while there.asks(&asked, Ask::Add(its.number()), 1).await.is_ok() {
                *last.lock() = Some(Instant::now());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let answer = a.adds(&world, &key).await;
        let started = Instant::now();
        let stopped = stopped.lock().unwrap();
        assert!(stopped + Spec::default().margin < started);
        assert_eq!((answer.epoch, b.keys()), (2, 0));
        assert!(answer.count > 10, "nothing that it did is lost");
        assert!(matches!(b.asks(&key, Ask::Read, 1).await, Err(PlaceError::NoOwner(_))));
        world.alone(b.node, false);
        world.until("it begins anew", || b.view.may_act() && a.keys() + c.keys() == 0).await;
        let back = b.adds(&world, &key).await;
        assert_eq!((back.node, back.epoch, back.count), (b.node, 3, answer.count + 1));
    });
}

#[test]
fn one_that_hangs_while_its_lease_ends_is_ended_and_its_caller_told() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let [a, b, _] = &lives;
        let key = keys_of(b.node, &nodes(&lives)).next().unwrap();
        a.adds(&world, &key).await;
        let (there, asked) = (Arc::clone(b), key.clone());
        let answer: Arc<Mutex<Option<_>>> = Arc::default();
        let told = Arc::clone(&answer);
        beside(b, "/client", async move {
            let hung = there.asks(&asked, Ask::Hang, 100).await;
            *told.lock() = Some(hung);
        });
        world.sleeps(s(1)).await;
        world.alone(b.node, true);
        world.until("it is told", || answer.lock().is_some()).await;
        assert_eq!(*answer.lock(), Some(Err(PlaceError::Unsure)));
        assert!(b.view.left().unwrap() > Duration::ZERO, "before the end of the lease");
        assert_eq!(a.adds(&world, &key).await.count, 2);
    });
}

#[test]
fn one_that_hangs_is_killed_when_it_is_to_move() {
    promised(Spec::default(), |world| async move {
        let [a, b] = world.start_all([NAMES[0], NAMES[1]]).await;
        let c = Node::new(NAMES[2]).unwrap();
        let key = keys_of(c, &[a.node, b.node, c]).next().unwrap();
        a.adds(&world, &key).await;
        let (there, asked) = (Arc::clone(&a), key.clone());
        beside(&a, "/client", async move {
            let hung = there.asks(&asked, Ask::Hang, 100).await;
            assert!(matches!(hung, Err(PlaceError::Ended(_) | PlaceError::Unsure)), "{hung:?}");
        });
        world.sleeps(s(1)).await;
        world.start(NAMES[2]).await;
        world.until("it is killed", || a.keys() + b.keys() == 0).await;
        let answer = b.adds(&world, &key).await;
        assert_eq!((answer.node, answer.count), (c, 2));
    });
}

#[test]
fn a_crash_is_told_and_the_next_request_starts_it_anew() {
    promised(Spec::default(), |world| async move {
        let lives = world.start_all(NAMES).await;
        let [a, b, _] = &lives;
        a.adds(&world, "key").await;
        for life in [a, b] {
            let crashed = life.asks("key", Ask::Crash, 5).await;
            assert!(matches!(crashed, Err(PlaceError::Ended(_))), "{crashed:?}");
        }
        let answer = b.adds(&world, "key").await;
        assert_eq!((answer.epoch, answer.count), (3, 2));
    });
}

#[test]
fn limits_are_kept() {
    let spec = Spec { keys: 3, state: 1000, states: 1500, waiting: 1, ..Spec::default() };
    promised(spec, |world| async move {
        let [a] = world.start_all([NAMES[0]]).await;
        let b = Node::new(NAMES[1]).unwrap();
        let keys: Vec<_> = keys_of(b, &[a.node, b]).take(4).collect();
        for (key, bytes) in keys.iter().zip([1001, 1000, 900]) {
            a.asks(key, Ask::Takes(bytes), 5).await.unwrap();
        }
        assert_eq!(a.asks(&keys[3], Ask::Read, 5).await, Err(PlaceError::Full));
        for key in [String::new(), "x".repeat(KEY + 1)] {
            assert_eq!(a.asks(&key, Ask::Read, 5).await, Err(PlaceError::Key));
        }
        let b = world.start(NAMES[1]).await;
        world.until("they leave", || a.keys() == 0).await;
        let mut moved = Vec::new();
        for key in keys.iter().take(3) {
            moved.push(b.asks(key, Ask::Read, 5).await.unwrap().moved);
        }
        // one is too large, and of the others one has room
        assert_eq!((moved[0], moved.iter().filter(|moved| **moved).count()), (false, 1));
        // one waits for an owner
        world.alone(a.node, true);
        let key = keys_of(a.node, &[a.node, b.node]).next().unwrap();
        let asks = || b.asks(&key, Ask::Read, 1);
        let both = tokio::join!(asks(), asks());
        assert!(matches!(both, (Err(PlaceError::NoOwner(_)), Err(PlaceError::Full))), "{both:?}");
        assert_eq!(b.placement.info().waiting, 0);
    });
}

#[test]
fn a_cast_is_done_by_the_owner() {
    promised(Spec::default(), |world| async move {
        let [a, b, c] = world.start_all(NAMES).await;
        for (n, life) in [&a, &b, &c].into_iter().enumerate() {
            let cast = life.placement.cast("key", Ask::Add(world.number()), s(5)).await;
            cast.unwrap();
            let store = world.store();
            world.until("it is done", || store.truth("key").len() == n + 1).await;
        }
        assert_eq!(world.store().epoch("key"), 1);
    });
}

#[test]
fn without_an_authority_there_are_groups_and_no_names() {
    promised(Spec::default(), |world| async move {
        let system = System::new("alone");
        let here = Here { node: system.node(), world: world.clone() };
        let named = Placement::<Counter>::new(&system, None, world.store(), here, Spec::default());
        assert_eq!(named.err(), Some(NoAuthority));
        let probe: testkit::Probe<()> = testkit::Probe::start(&system).await;
        system.join("group", probe.pid());
        assert_eq!(system.group("group").len(), 1);
    });
}
