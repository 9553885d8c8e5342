//! Members of a replica set are killed, hang and step down while nodes write: nothing that was acknowledged is lost, nothing is
//! there twice, and it goes on by itself.

use super::{Running, conformance, message};
use crate::{
    Account, AccountStore, OfflineLimits, OfflineStore, Sessions, StoreError,
    journal::{Op, OpId},
    testkit::ReplicaSet,
};
use mongodb::bson::{Document, doc};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use xmpp::jid::BareJid;

/// Who writes at the same time.
const WRITERS: usize = 4;

/// Goes on writing until it is told to stop and the database is there again: each operation is tried again under its id until it
/// is known to be done, as a journal does it. The numbers.
async fn write(
    node: &Running,
    user: &BareJid,
    over: &AtomicBool,
    done: &watch::Sender<usize>,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let holders = vec!["k".to_owned()];
        let text = format!("{user} {}", numbers.len());
        let messages = vec![(node.store.numbers.take(1)[0], 1, message(&text))];
        let op = Op::Append { user: user.clone(), holders, messages, by: None, since: None };
        let id = OpId::fresh();
        loop {
            match node.store.apply(&op, &id, None).await {
                Ok(applied) => {
                    numbers.extend(applied.numbers);
                    done.send_modify(|n| *n += 1);
                    break;
                }
                Err(StoreError::Timeout | StoreError::Unavailable { .. }) => {
                    node.store.is_back().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    numbers
}

/// Runs writers, breaks something once each of them has written, and waits until each has written again.
async fn under_fire(set: &ReplicaSet, node: &Running, fault: impl AsyncFnOnce()) -> Duration {
    let mut users = Vec::new();
    for n in 0..WRITERS {
        let name = format!("w{n}-{}@x", node.store.numbers.take(1)[0]);
        let user: BareJid = name.parse().unwrap();
        while let Err(error) = node.store.create(vec![(user.clone(), Account::default())]).await {
            assert!(
                matches!(error, StoreError::Unavailable { .. } | StoreError::Timeout),
                "{error}"
            );
            node.store.is_back().await;
        }
        users.push(user);
    }
    let over = AtomicBool::new(false);
    let done: Vec<watch::Sender<usize>> = users.iter().map(|_| watch::Sender::new(0)).collect();
    let more = async |than: usize| {
        let targets: Vec<usize> = done.iter().map(|n| *n.borrow() + than).collect();
        for (done, target) in done.iter().zip(targets) {
            done.subscribe().wait_for(|n| *n >= target).await.unwrap();
        }
    };
    let breaking = async {
        more(5).await;
        let since = Instant::now();
        fault().await;
        more(5).await;
        over.store(true, Ordering::Relaxed);
        since.elapsed()
    };
    let writing = users.iter().zip(&done).map(|(user, done)| {
        let writing: crate::BoxFuture<'_, _> = Box::pin(write(node, user, &over, done));
        writing
    });
    let (took, written) = tokio::join!(breaking, conformance::all(writing));
    for (user, numbers) in users.iter().zip(written) {
        let held = loop {
            match node.store.held(user, "k", 0, usize::MAX, usize::MAX).await {
                Err(StoreError::Unavailable { .. }) => node.store.is_back().await,
                held => break held.unwrap(),
            }
        };
        let there: Vec<u64> = held.iter().map(|m| m.id).collect();
        assert_eq!(there, numbers, "in order, each once");
        let bodies: BTreeSet<_> = held.iter().filter_map(|m| m.stanza.text_of("body")).collect();
        assert_eq!(bodies.len(), numbers.len());
    }
    assert!(set.primary().await.is_ok());
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_lose_nothing_when_one_is_killed_hangs_or_steps_down() {
    let set = ReplicaSet::start(3).await.unwrap();
    let node = Running::start_hasty(set.options("one")).await;
    node.store.is_back().await;

    let took = under_fire(&set, &node, async || {
        let primary = set.primary().await.unwrap();
        set.members()[primary].kill().unwrap();
        set.members()[primary].restart().await.unwrap();
    });
    let killed = took.await;

    let took = under_fire(&set, &node, async || set.step_down().await.unwrap());
    let stepped_down = took.await;

    let stopped = AtomicUsize::new(0);
    let took = under_fire(&set, &node, async || {
        let primary = set.primary().await.unwrap();
        stopped.store(primary, Ordering::Relaxed);
        set.members()[primary].stop().unwrap();
    });
    let hung = took.await;
    set.members()[stopped.load(Ordering::Relaxed)].cont().unwrap();

    println!(
        "until all wrote again: {killed:?} killed, {stepped_down:?} stepped down, {hung:?} hung"
    );

    // all that a cluster of this kind promises is there as before
    let running = Running::start(set.options("two")).await;
    conformance::suite(&running.stores).await;
    running.root.stop().await;
    node.root.stop().await;
}

/// Nobody knows whether a transaction was committed whose answer was lost; it is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let set = ReplicaSet::start(1).await.unwrap();
    let node = Running::start(set.options("one")).await;
    let user = node.account("a@x").await;
    let limits = OfflineLimits::messages(100);
    let mut kept = Vec::new();
    for fault in [
        // it was not committed
        doc! { "failCommands": ["commitTransaction"], "closeConnection": true },
        // it was
        doc! { "failCommands": ["commitTransaction"], "writeConcernError": { "code": 91, "errmsg": "stops" } },
        doc! { "failCommands": ["findAndModify"], "closeConnection": true },
        doc! { "failCommands": ["insert"], "errorCode": 112, "errorLabels": ["TransientTransactionError"] },
        doc! { "failCommands": ["insert", "commitTransaction"], "errorCode": 10_107, "closeConnection": true },
    ] {
        for times in [1, 2, 3] {
            set.fail(times, fault.clone()).await.unwrap();
            let pushed = node.store.push(&user, 1, message("x"), limits).await;
            kept.push(pushed.unwrap_or_else(|error| panic!("{fault}: {error}")));
            set.fail(0, doc! {}).await.unwrap();
        }
    }
    let page = node.stores.offline.page(&user, 0, 100, usize::MAX).await.unwrap();
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), kept);
    // the driver tries it again itself, once
    for (times, answer) in [(1, Ok(())), (2, Err(StoreError::Timeout))] {
        let fault = doc! { "failCommands": ["delete"], "closeConnection": true };
        set.fail(times, fault).await.unwrap();
        let gone = vec![kept.remove(0)];
        assert_eq!(node.store.acknowledge(&user, "k", gone.clone()).await, answer);
        node.store.acknowledge(&user, "k", gone).await.unwrap();
        assert_eq!(node.store.count(&user).await, Ok(kept.len()));
    }
    node.root.stop().await;
}

/// After three calls that were not answered none is waited for, until the database answers again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_database_that_hangs() {
    let set = ReplicaSet::start(1).await.unwrap();
    let options = super::Options { deadline: Duration::from_millis(300), ..set.options("one") };
    let node = Running::start_hasty(options).await;
    let user: BareJid = "a@x".parse().unwrap();
    let users = node.store.users::<Document>();
    users.insert_one(doc! { "_id": user.as_str() }).await.unwrap();
    set.members()[0].stop().unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(node.store.push(&user, 1, message("x"), OfflineLimits::messages(9)).await);
    }
    let later = Err(StoreError::Unavailable { retry_after: Duration::from_secs(1) });
    assert!(answers.iter().all(|answer| *answer == later), "nothing was sent: {answers:?}");
    assert!(node.store.breaker.is_open());
    let set_keys = AccountStore::set_keys(&*node.store, &user, Vec::new()).await;
    assert_eq!(set_keys, Err(StoreError::Unavailable { retry_after: Duration::from_secs(1) }));
    set.members()[0].cont().unwrap();
    node.store.is_back().await;
    while node.store.push(&user, 1, message("x"), OfflineLimits::messages(9)).await.is_err() {
        node.store.is_back().await;
    }
    // what was given up is not there
    assert_eq!(node.store.count(&user).await, Ok(1));
    node.root.stop().await;
}
