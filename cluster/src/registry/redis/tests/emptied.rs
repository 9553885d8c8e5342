//! What is lost is not taken for "nobody".

use super::{Running, at};
use crate::{
    Entry, Member, Records, RegistryError, SessionRegistry, Taking,
    members::{Leases, Roll},
    registry::{
        conformance::{TERM, entry, eventually, member, record, token},
        redis::{Options, RedisRegistry, Servers, keys::bucket},
    },
    testkit::{RedisServer, redis_cluster},
};
use std::time::Duration;

/// How often it is tried, 5 ms apart.
const TRIES: usize = 4000;

/// A node that publishes what it has when the registry was emptied, as its owner is to.
struct Owner {
    running: Running,
    me: Member,
    mine: Vec<Entry>,
    /// In which it has published what it has.
    epoch: u64,
}

impl Owner {
    async fn start(options: Options, name: &str) -> Self {
        let running = Running::start(options).await;
        let (me, mine) = (member(name, 5), Vec::new());
        let epoch = running.registry.renew(&me, TERM).await.unwrap().epoch;
        Self { running, me, mine, epoch }
    }

    fn registry(&self) -> &RedisRegistry {
        &self.running.registry
    }

    async fn bind(&mut self, user: &str) {
        let record = record("r", token(&self.me.node.name(), 5, 1));
        self.registry().bind(user, record.clone(), 5, Taking::Keep).await.unwrap();
        self.mine.push(entry(user, record));
        self.me.sessions += 1;
    }

    async fn renew(&self) -> Result<Roll, RegistryError> {
        self.registry().renew(&self.me, TERM).await
    }

    /// Publishes again as soon as there is another epoch than at the last time, whatever fails on the way.
    async fn publish(&mut self) {
        let before = self.epoch;
        for _ in 0..TRIES {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let Ok(roll) = self.renew().await else { continue };
            if [0, before].contains(&roll.epoch) {
                continue;
            }
            if roll.epoch == self.me.confirmed {
                self.epoch = roll.epoch;
                return;
            }
            if self.registry().confirm(self.mine.clone()).await.is_ok() {
                self.me.confirmed = roll.epoch;
            }
        }
        panic!("nothing could be published");
    }

    /// Reads until the registry answers; nothing that it says before is "nobody".
    async fn find(&self, user: &str) -> Records {
        for _ in 0..TRIES {
            match self.registry().lookup(user).await {
                Ok(found) => return found,
                Err(error) => assert!(matches!(error, RegistryError::Unavailable { .. })),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody could be found");
    }

    async fn unavailable(&self, user: &str) {
        let away = async || self.registry().lookup(user).await.is_err();
        eventually("it is unavailable", away).await;
        assert!(self.registry().cached(user).is_none());
    }
}

#[tokio::test]
async fn an_emptied_registry_knows_nobody_until_all_have_published_again() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (mut a, mut b) =
        (Owner::start(at(&server), "a").await, Owner::start(at(&server), "b").await);
    for n in 0..20 {
        a.bind(&format!("a{n}@x")).await;
        b.bind(&format!("b{n}@x")).await;
    }
    eventually("they know one another", async || a.renew().await.unwrap().members.len() == 2).await;
    for n in 0..100 {
        server.say("FLUSHALL").unwrap();
        // at once: nobody has noticed yet; a look-up that is not answered is not remembered
        let found = b.registry().lookup(&format!("a{}@x", n % 20)).await;
        assert!(found.is_err() || found.unwrap().len() == 1);
        let new = record("r", token("b", 5, 9));
        let bound = b.registry().bind("new@x", new, 5, Taking::Keep).await;
        assert!(matches!(bound, Err(RegistryError::Unavailable { .. })), "{bound:?}");
        if n % 20 > 0 {
            continue;
        }
        a.publish().await;
        b.unavailable("nobody@x").await;
        b.publish().await;
        assert!(b.find("nobody@x").await.is_empty());
        assert_eq!(b.find("a3@x").await.len(), 1);
        assert_eq!(a.find("b3@x").await.len(), 1);
    }
    assert!(a.registry().shown().epochs >= 5);
}

#[tokio::test]
async fn a_server_that_was_killed_and_came_back_empty_knows_nobody() {
    let server = RedisServer::start(&[]).await.unwrap();
    let (mut a, mut b) =
        (Owner::start(at(&server), "a").await, Owner::start(at(&server), "b").await);
    a.bind("a@x").await;
    assert_eq!(b.find("a@x").await.len(), 1);
    assert!(b.find("nobody@x").await.is_empty());
    server.kill().unwrap();
    b.unavailable("nobody@x").await;
    server.restart().await.unwrap();
    for _ in 0..100 {
        assert!(b.registry().lookup("a@x").await.is_err(), "a has not published yet");
    }
    tokio::join!(a.publish(), b.publish());
    assert_eq!(b.find("a@x").await.len(), 1);
    assert!(b.find("nobody@x").await.is_empty());
}

#[tokio::test]
async fn a_server_that_kept_most_of_it_is_not_believed_either() {
    let server = RedisServer::start(&["--appendonly", "yes"]).await.unwrap();
    let mut a = Owner::start(at(&server), "a").await;
    a.bind("a@x").await;
    server.kill().unwrap();
    a.unavailable("a@x").await;
    server.restart().await.unwrap();
    a.publish().await;
    assert_eq!(a.find("a@x").await.len(), 1);
}

#[tokio::test]
async fn a_third_of_a_cluster_that_was_emptied_knows_nobody() {
    let servers = redis_cluster().await.unwrap();
    let members = servers.iter().map(|one| ("127.0.0.1".to_owned(), one.port())).collect();
    let options =
        Options { servers: Servers::Cluster(members), grace: Duration::ZERO, ..Options::default() };
    let (mut a, mut b) =
        (Owner::start(options.clone(), "a").await, Owner::start(options, "b").await);
    for n in 0..30 {
        a.bind(&format!("a{n}@x")).await;
    }
    eventually("they know one another", async || b.renew().await.unwrap().members.len() == 2).await;
    for server in &servers {
        server.say("FLUSHALL").unwrap();
        for n in 0..30 {
            let found = b.registry().lookup(&format!("a{n}@x")).await;
            assert!(found.is_err() || found.unwrap().len() == 1);
        }
        eventually("it is noticed", async || b.registry().lookup("nobody@x").await.is_err()).await;
        a.publish().await;
        b.publish().await;
        for n in 0..30 {
            assert_eq!(b.find(&format!("a{n}@x")).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn one_bucket_without_its_mark_is_enough() {
    let server = RedisServer::start(&[]).await.unwrap();
    let mut a = Owner::start(at(&server), "a").await;
    a.bind("a@x").await;
    server.say(&format!("DEL e:{{mangrove:{}}}", bucket("b@x"))).unwrap();
    assert!(a.registry().lookup("b@x").await.is_err());
    a.publish().await;
    assert!(a.find("b@x").await.is_empty());
    assert_eq!(a.find("a@x").await.len(), 1);
}

#[tokio::test]
async fn who_starts_after_that_does_not_believe_it_for_a_while() {
    let server = RedisServer::start(&[]).await.unwrap();
    let first = Owner::start(at(&server), "a").await;
    let slow = Options { grace: TERM, ..at(&server) };
    let late = Running::start_hasty(slow).await;
    let knows = async || late.registry.shown().epoch == first.registry().shown().epoch;
    eventually("it knows the epoch", knows).await;
    late.registry.renew(&member("late", 5), TERM).await.unwrap();
    assert!(late.registry.lookup("a@x").await.is_err());
    assert!(first.find("a@x").await.is_empty());
}
