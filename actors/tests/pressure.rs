//! Memory is short: what waits for clients that do not read goes to the store or back to its senders, the largest
//! queues first, memory stays below its limit, and of what was accepted nothing is lost (law 11).

#![allow(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    env::{Env, Settings},
    modules::offline::{OfflineConfig, OfflineModule},
    pressure::{Gauge, Level, Watcher},
    registrar::Modules,
    resource::{Item, Owner, Resource, StreamManagement, Verdict},
    routing::{self, manager},
    testkit::{World, WorldOptions},
};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::Account;
use supervision::{SupervisorSpec, System};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

const QUEUES: usize = 2_000;
/// Those who send read what comes back: their queues are never the largest.
const SENDERS: usize = 100;
const LIMIT: usize = 40 << 20;
/// Messages that are kept for a user: some come back.
const KEPT: usize = 8;

fn user(n: usize) -> BareJid {
    BareJid::new(&format!("u{n}"), "localhost").unwrap()
}

fn all(env: &Env) -> impl Iterator<Item = Arc<Resource>> {
    (0..).map_while(|shard| env.table.page(shard)).flatten()
}

/// What waits for clients, in bytes; and the most that was seen.
fn gauge(env: &Arc<Env>, most: &Arc<AtomicUsize>) -> Gauge {
    let (env, most): (Weak<Env>, _) = (Arc::downgrade(env), Arc::clone(most));
    Gauge::new(move || {
        let used = all(&*env.upgrade()?).map(|resource| resource.bytes()).sum();
        most.fetch_max(used, Ordering::Relaxed);
        Some(used)
    })
}

async fn bound(env: &Arc<Env>, user: &BareJid) -> Arc<Resource> {
    let new = vec![(user.clone(), Account::default())];
    env.stores.accounts.create(new).await.unwrap();
    let resource = manager::bind(env, user, None).await.unwrap().resource;
    resource.set_presence(Some((Stanza::presence(Type::Available), 0)));
    resource
}

/// Takes what came for the sender: the errors.
fn errors(sender: &Resource) -> usize {
    let mut count = 0;
    sender.drain(1, usize::MAX, |item| {
        if let Item::Stanza(stanza) = item {
            assert_eq!((stanza.head.kind, stanza.head.ty), (Kind::Message, Type::Error));
            count += 1;
        }
        Verdict::Sent
    });
    count
}

#[test]
fn two_thousand_queues_are_flooded_and_memory_stays_below_its_limit() {
    World::block_on(async {
        let mut modules = Modules::default();
        let config =
            OfflineConfig { messages: KEPT, sender_share: 100, ..OfflineConfig::default() };
        modules.add_with::<OfflineModule>(config);
        let settings = Settings { memory: LIMIT, ..Settings::default() };
        let world = World::new(modules, WorldOptions { settings, ..WorldOptions::default() }).await;
        let (env, most) = (&world.env, Arc::new(AtomicUsize::new(0)));
        let tree = SupervisorSpec::one_for_one().child(Watcher::child(env, &gauge(env, &most)));
        let memory = System::new("memory").start(tree).await.unwrap();
        let mut senders = Vec::new();
        for n in 0..SENDERS {
            senders.push(bound(env, &BareJid::new(&format!("s{n}"), "localhost").unwrap()).await);
        }
        let errors = || senders.iter().map(|sender| errors(sender)).sum::<usize>();
        let mut queues = Vec::new();
        for n in 0..QUEUES {
            let resource = bound(env, &user(n)).await;
            // half of them read, and acknowledge nothing (XEP-0198)
            if n % 2 == 0 {
                resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
            }
            queues.push(resource);
        }
        let body = format!("<body>{}</body>", "x".repeat(4_000));
        let message = Stanza::new(Kind::Message, Type::Chat).append(&body);
        let (mut sent, mut bounced) = (0, 0);
        for _ in 0..16 {
            for (n, queue) in queues.iter().enumerate() {
                let to = Some(user(n).into());
                let from = senders.get(n % SENDERS).map(|sender| sender.jid().clone().into());
                routing::send(env, message.with_to(to).with_from(from)).await;
                sent += 1;
                if n % 2 == 0 {
                    queue.drain(1, 1, |_| Verdict::Sent);
                }
                if sent % 500 == 0 {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    bounced += errors();
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        bounced += errors();
        let most = most.load(Ordering::Relaxed);
        assert!(most > LIMIT / 100 * 90 && most < LIMIT, "{most}");
        assert!(env.pressure.level() < Level::Critical);
        let (mut stored, mut waiting, mut ended) = (0, 0, 0);
        for (n, queue) in queues.iter().enumerate() {
            stored += env.stores.offline.count(&user(n)).await.unwrap();
            waiting +=
                queue.queued() + queue.with_sm(|sm| sm.as_ref().map_or(0, |s| s.unacked.len()));
            ended += usize::from(queue.owner() == Owner::Ended);
            assert!(queue.leaving().is_none());
        }
        assert_eq!(stored + waiting + bounced, sent, "{stored} + {waiting} + {bounced}");
        assert!(stored > 0 && waiting > 0 && bounced > 0, "{stored} + {waiting} + {bounced}");
        assert!(ended > 0 && ended < QUEUES, "{ended}");
        memory.stop().await;
        world.stop().await;
    });
}
