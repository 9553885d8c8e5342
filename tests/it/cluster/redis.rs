//! Redis fails in every way it can while users of three nodes write to one another: nobody notices.

use super::{
    Shared,
    traffic::{Talk, Talks, log_ons},
};
use crate::support::block_on;
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

const USERS: [&[&str]; 3] = [&["a1", "a2", "a3"], &["b1", "b2", "b3"], &["c1", "c2", "c3"]];

/// For how long Redis hangs: several leases.
const HANGS: Duration = Duration::from_secs(10);
/// Between one thing and the next.
const CALM: Duration = Duration::from_secs(2);

/// Something happens to Redis while all talk, and some log on.
fn nobody_notices(what: impl AsyncFnOnce(&Shared)) {
    block_on(async {
        let shared = Shared::new("").await;
        let names: Vec<&str> = USERS.concat().into_iter().chain(["guest"]).collect();
        let nodes = shared.nodes::<3>(&names).await;
        let at: Vec<SocketAddr> = nodes.iter().map(super::Node::c2s).collect();
        let (talk, mut tasks) = (Talk::default(), Talks::default());
        let who: Vec<_> = at.iter().copied().zip(USERS).collect();
        talk.with(&mut tasks, &who).await;
        let ((count, _), ()) = tokio::join!(log_ons(talk.clone(), at, "guest"), async {
            sleep(CALM).await;
            what(&shared).await;
            sleep(CALM).await;
            talk.end(tasks).await;
        });
        talk.is_exact();
        assert!(count > nodes.len(), "so few log-ons: {count}");
    });
}

#[test]
fn nobody_notices_that_redis_is_emptied() {
    nobody_notices(async |shared| {
        for _ in 0..3 {
            shared.redis.say("FLUSHALL").unwrap();
            sleep(CALM).await;
        }
    });
}

#[test]
fn nobody_notices_that_redis_is_killed_and_comes_back_empty() {
    nobody_notices(async |shared| {
        shared.redis.kill().unwrap();
        sleep(CALM).await;
        shared.redis.restart().await.unwrap();
        sleep(CALM).await;
        // at once
        shared.redis.kill().unwrap();
        shared.redis.restart().await.unwrap();
    });
}

#[test]
fn nobody_notices_that_redis_hangs_for_several_leases() {
    nobody_notices(async |shared| {
        shared.redis.stop().unwrap();
        sleep(HANGS).await;
        shared.redis.go_on().unwrap();
    });
}
