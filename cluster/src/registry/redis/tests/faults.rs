//! Servers that hang, die and forget whom they tell.

use super::{Running, at};
use crate::{
    Member, RegistryError, SessionRegistry, Taking,
    members::Leases,
    registry::{
        conformance::{TERM, entry, eventually, member, node, record, token},
        redis::{CacheLimit, Options, RedisRegistry, Servers, record::encode, scripts},
    },
    testkit::RedisServer,
};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use supervision::id::NODES;
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_millis(500);

async fn join(running: &Running, name: &str) {
    running.registry.renew(&member(name, 5), TERM).await.unwrap();
}

#[tokio::test]
async fn every_call_of_a_server_that_hangs_ends_and_it_is_used_again() {
    let server = RedisServer::start(&[]).await.unwrap();
    let running = Running::start_hasty(Options { deadline: DEADLINE, ..at(&server) }).await;
    running.complete().await;
    let registry = &running.registry;
    join(&running, "a").await;
    let record = record("r", token("a", 5, 1));
    registry.bind("a@x", record.clone(), 5, Taking::Keep).await.unwrap();
    server.stop().unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let call = Instant::now();
        let (a, b, c, d, e) = tokio::join!(
            registry.lookup("b@x"),
            registry.bind("b@x", record.clone(), 5, Taking::Keep),
            registry.unbind("c@x", "r", record.token),
            registry.confirm(vec![entry("a@x", record.clone())]),
            async { registry.renew(&member("a", 5), TERM).await.map(drop) },
        );
        assert!(a.is_err() && b.is_err() && c.is_err() && d.is_err() && e.is_err());
        // ten times what it is: this machine has other things to do
        assert!(call.elapsed() < DEADLINE * 10, "{:?}", call.elapsed());
        tokio::time::sleep(DEADLINE / 10).await;
    }
    let shown = registry.shown();
    assert!(shown.timeouts > 0 && shown.refused > 0, "{shown:?}");
    server.go_on().unwrap();
    let back = async || registry.lookup("a@x").await.is_ok_and(|found| *found == [record.clone()]);
    eventually("it is used again", back).await;
    assert_eq!(registry.shown().in_flight, 0);
}

#[tokio::test]
async fn who_is_alive_stays_so_when_the_server_hangs_for_longer_than_a_lease() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (one, two) = (Running::start(at(&server)).await, Running::start(at(&server)).await);
    let (term, mine) = (Duration::from_millis(1), record("r", token("a", 5, 1)));
    let renew = async || one.registry.renew(&member("a", 5), term).await;
    renew().await.unwrap();
    one.registry.bind("a@x", mine.clone(), 5, Taking::Keep).await.unwrap();
    two.registry.renew(&member("b", 5), term).await.unwrap();
    // unavailable is all else that it may be; whether it was found
    let found = async || {
        let mut all = Vec::new();
        for registry in [&one.registry, &two.registry] {
            assert!(registry.cached("a@x").is_none_or(|cached| *cached == [mine.clone()]));
            let seen = registry.lookup("a@x").await;
            all.push(seen.is_ok_and(|seen| *seen == [mine.clone()] || panic!("{seen:?}")));
        }
        all == [true, true]
    };
    let over = async || {
        let roll = two.registry.renew(&member("b", 5), TERM).await.unwrap();
        roll.members.iter().any(|(of, left)| of.node == node("a") && left.is_zero())
    };
    eventually("the lease is over", over).await;
    eventually("it is found all the same", found).await;
    server.stop().unwrap();
    let away = async || !found().await && two.registry.lookup("a@x").await.is_err();
    eventually("nothing is known of anybody", away).await;
    server.go_on().unwrap();
    eventually("it is found again", found).await;
    renew().await.unwrap();
    eventually("it is found when its lease is renewed", found).await;
}

#[tokio::test]
async fn a_lease_that_another_node_renews_stays_confirmed_and_is_not_taken_for_new() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (one, two) = (Running::start(at(&server)).await, Running::start(at(&server)).await);
    let confirmed = async |by: &Running, me: &Member| {
        let roll = by.registry.renew(me, TERM).await.unwrap();
        let mut members = roll.members.into_iter();
        members.find(|(member, _)| member.node == me.node).map(|(member, _)| member.confirmed)
    };
    let epoch = one.registry.shown().epoch;
    let mut new = member("a", 5);
    assert_eq!(confirmed(&one, &new).await, Some(epoch));
    new.sessions = 1;
    assert_eq!(confirmed(&two, &new).await, Some(epoch), "as it has begun in it");
    // it has no sessions at the moment, but not since it began
    let old = Member { confirmed: epoch + 1, ..member("b", 5) };
    assert_eq!(confirmed(&two, &old).await, Some(0), "of another epoch");
}

#[tokio::test]
async fn calls_of_a_server_that_is_gone_end_at_once() {
    let server = RedisServer::start(&[]).await.unwrap();
    let running = Running::start(at(&server)).await;
    server.kill().unwrap();
    let gone = async || running.registry.shown().connected == 0;
    eventually("it is known to be gone", gone).await;
    let asked = running.registry.unbind("a@x", "r", token("a", 5, 1)).await;
    assert!(matches!(asked, Err(RegistryError::Unavailable { .. })));
    assert!(running.registry.shown().refused > 0, "it was not asked");
    server.restart().await.unwrap();
    running.complete().await;
    running.registry.unbind("a@x", "r", token("a", 5, 1)).await.unwrap();
}

#[tokio::test]
async fn a_node_may_start_before_its_server() {
    let server = RedisServer::start(&[]).await.unwrap();
    server.kill().unwrap();
    let running = Running::start_hasty(at(&server)).await;
    assert!(running.registry.lookup("a@x").await.is_err());
    server.restart().await.unwrap();
    running.complete().await;
    assert!(running.registry.lookup("a@x").await.unwrap().is_empty());
}

#[tokio::test]
async fn who_is_told_no_more_remembers_nothing_old() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (one, two) = (Running::start(at(&server)).await, Running::start(at(&server)).await);
    join(&one, "a").await;
    let mut now = record("r", token("a", 5, 1));
    one.registry.bind("a@x", now.clone(), 5, Taking::Keep).await.unwrap();
    for round in 2..20 {
        let told = async || {
            two.registry.cached("a@x").is_some() || {
                drop(two.registry.lookup("a@x").await);
                false
            }
        };
        eventually("it is remembered", told).await;
        server.say("CLIENT KILL TYPE normal").unwrap();
        (now.seq, now.priority) = (round, Some(1));
        let changed = async || {
            let changed = one.registry.update("a@x", "r", now.token, round, now.priority);
            changed.await.is_ok()
        };
        eventually("it changes", changed).await;
        let seen =
            async || two.registry.lookup("a@x").await.is_ok_and(|seen| *seen == [now.clone()]);
        eventually("that is seen", seen).await;
        assert!(two.registry.cached("a@x").is_none_or(|cached| *cached == [now.clone()]));
    }
    assert!(two.registry.shown().flushes > 0);
}

#[tokio::test]
async fn what_is_remembered_is_what_is_there() {
    let server = RedisServer::start(&[]).await.unwrap();
    let few = CacheLimit { entries: 50, bytes: 1 << 20 };
    let (one, two) = (
        Running::start(at(&server)).await,
        Running::start(Options { cache: few, ..at(&server) }).await,
    );
    join(&one, "a").await;
    let users: Vec<String> = (0..100).map(|n| format!("a{n}@x")).collect();
    for round in 0..10 {
        let bind =
            |user| one.registry.bind(user, record("r", token("a", 5, round)), 5, Taking::Replace);
        // readers at the same time
        let (bound, _) = tokio::join!(
            join_all(users.iter().map(|user| bind(user))),
            join_all(users.iter().map(|user| two.registry.lookup(user)))
        );
        assert!(bound.iter().all(Result::is_ok));
        for user in &users {
            let seen = async || {
                let seen = two.registry.lookup(user).await.unwrap();
                seen.iter().map(|r| r.token.session).eq([round])
            };
            eventually("the last is seen", seen).await;
        }
    }
    let shown = two.registry.shown();
    assert!(shown.hits > 0 && shown.invalidations > 0 && shown.cached <= 50, "{shown:?}");
}

#[tokio::test]
async fn beyond_so_many_calls_at_once_they_are_refused() {
    let server = RedisServer::start(&[]).await.unwrap();
    let running = Running::start(Options { calls: 3, ..at(&server) }).await;
    let registry = &running.registry;
    let all = (0..10).map(|_| registry.unbind("a@x", "r", token("a", 5, 1)));
    let done = join_all(all).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 3);
    assert_eq!(registry.shown().refused, 7);
}

#[tokio::test]
async fn a_node_that_was_swept_enters_nothing_any_more() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (zombie, other) = (Running::start(at(&server)).await, Running::start(at(&server)).await);
    join(&zombie, "zombie").await;
    let mine = record("r", token("zombie", 5, 1));
    zombie.registry.bind("a@x", mine.clone(), 5, Taking::Keep).await.unwrap();
    // it is dead for another, and does not know
    other.registry.leave(&member("zombie", 5)).await.unwrap();
    let swept = other.registry.sweep(node("zombie"), 5, 10).await.unwrap();
    assert_eq!(swept, [entry("a@x", mine.clone())]);
    assert!(other.registry.sweep(node("zombie"), 5, 10).await.unwrap().is_empty());
    let bound = zombie.registry.bind("b@x", mine.clone(), 5, Taking::Replace).await;
    assert_eq!(bound, Err(RegistryError::Fenced));
    let confirmed = zombie.registry.confirm(vec![entry("a@x", mine.clone())]).await;
    assert_eq!(confirmed, Err(RegistryError::Fenced));
    let renewed = zombie.registry.renew(&member("zombie", 5), TERM).await;
    assert_eq!(renewed, Err(RegistryError::Dead));
    let next = record("r", token("zombie", 6, 1));
    zombie.registry.bind("b@x", next, 5, Taking::Replace).await.unwrap();
}

/// Redis may do it twice, and later: what a caller did not wait for is done all the same.
#[tokio::test]
async fn scripts_may_run_again() {
    let server = RedisServer::start(&[]).await.unwrap();
    let running = Running::start(at(&server)).await;
    let registry: &Arc<RedisRegistry> = &running.registry;
    join(&running, "a").await;
    let (old, new) = (record("r", token("a", 5, 1)), record("r", token("a", 5, 2)));
    for _ in 0..2 {
        registry.bind("a@x", old.clone(), 1, Taking::Keep).await.unwrap();
    }
    for _ in 0..2 {
        registry.bind("a@x", new.clone(), 1, Taking::Replace).await.unwrap();
    }
    for seq in [3, 3, 2] {
        registry.update("a@x", "r", new.token, seq, Some(seq as i8)).await.unwrap();
    }
    assert_eq!(registry.unbind("a@x", "r", old.token).await, Ok(false));
    let found = registry.lookup("a@x").await.unwrap();
    assert_eq!((found.len(), found[0].token, found[0].priority), (1, new.token, Some(3)));
    for removed in [true, false] {
        assert_eq!(registry.unbind("a@x", "r", new.token).await, Ok(removed));
    }
    // nothing is left behind, in the index neither
    assert_eq!(server.say("EVAL \"return #redis.call('keys','[sn]:*')\" 0").unwrap(), ":0");
    assert_eq!(encode(&old)[11..].len(), 16 + "a".len());
    // and a server that forgot the scripts learns them again
    server.say("SCRIPT FLUSH").unwrap();
    registry.bind("a@x", old, 1, Taking::Keep).await.unwrap();
    assert_eq!(server.say(&format!("SCRIPT EXISTS {}", scripts::BIND.sha)).unwrap(), "*1");
}

#[tokio::test]
async fn beyond_so_many_nodes_none_gets_a_lease() {
    let server = RedisServer::start(&[]).await.unwrap();
    let running = Running::start(at(&server)).await;
    join(&running, "a").await;
    let one_more = async |name| running.registry.renew(&member(name, 5), TERM).await;
    // names that are none, so that this process does not know them from now on
    let fill = format!(
        "EVAL \"for i = 2, {NODES} do redis.call('HSET', KEYS[1], string.rep('n', 300) .. i, 'x') end\" 1 l:{{mangrove}}"
    );
    server.say(&fill).unwrap();
    assert!(matches!(one_more("too-many").await, Err(RegistryError::Unavailable { .. })));
    assert_eq!(server.say("HEXISTS l:{mangrove} too-many").unwrap(), ":0");
    drop(one_more("a").await);
    server.say("HDEL l:{mangrove} a").unwrap();
    drop(one_more("too-many").await);
    assert_eq!(server.say("HEXISTS l:{mangrove} too-many").unwrap(), ":1");
}

#[tokio::test]
async fn where_nobody_listens_is_said_by_the_calls() {
    let nowhere = Servers::One("127.0.0.1".to_owned(), 1);
    let running = Running::start_hasty(Options { servers: nowhere, ..Options::default() }).await;
    let asked = running.registry.lookup("a@x").await;
    assert!(matches!(asked, Err(RegistryError::Unavailable { .. })));
    assert!(running.registry.shown().last_error.is_some());
}
