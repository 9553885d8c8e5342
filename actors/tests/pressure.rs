//! Memory is short: what waits for clients that do not read goes to the store or back to its senders, the largest
//! queues first, memory stays below its limit, and of what was accepted nothing is lost (law 11). What one user holds keeps
//! nobody else out.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    env::Env,
    modules::offline::{OfflineConfig, OfflineModule},
    pressure::Level,
    registrar::Modules,
    relief::{Gauge, Relief, Relieved, Watcher},
    resource::{Drained, Ended, Item, Owner, Resource, StreamManagement},
    routing,
    sessions::{self, calm},
    settings::Settings,
    testkit::{
        World, WorldOptions,
        slow::{Slow, SlowConfig, open},
    },
};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::Account;
use supervision::{SupervisorRef, SupervisorSpec, System};
use tokio::{sync::Semaphore, time::timeout};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// All that is due in that time happens: time is paused, and goes on when nobody has anything to do.
async fn passes(time: Duration) {
    tokio::time::sleep(time).await;
}

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

async fn relieve(env: &Env, excess: usize) -> Relieved {
    let relief = Relief::begin(env, excess);
    loop {
        if let Some(relieved) = relief.over(env) {
            return relieved;
        }
        passes(Duration::from_millis(10)).await;
    }
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
    let resource = sessions::bind(env, user, None).await.unwrap().keep().resource;
    resource.set_presence(Stanza::presence(Type::Available), 0);
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
        Drained::Sent
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
                    queue.drain(1, 1, |_| Drained::Sent);
                }
                if sent % 500 == 0 {
                    passes(Duration::from_millis(150)).await;
                    bounced += errors();
                }
            }
        }
        passes(MINUTE).await;
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

/// A node that has little memory: in use is what waits for clients, and something else.
struct Small {
    world: World,
    other: Arc<AtomicUsize>,
    memory: SupervisorRef,
}

/// One percent of it.
const PERCENT: usize = 40 << 10;

impl Small {
    async fn start() -> Self {
        let mut modules = Modules::default();
        modules.add_with::<OfflineModule>(OfflineConfig::default());
        modules.add_with::<Slow>(SlowConfig {});
        let settings = Settings { memory: 100 * PERCENT, ..Settings::default() };
        let world = World::new(modules, WorldOptions { settings, ..WorldOptions::default() }).await;
        let (env, other) = (Arc::downgrade(&world.env), Arc::<AtomicUsize>::default());
        let more = Arc::clone(&other);
        let gauge = Gauge::new(move || {
            let waits: usize = all(&*env.upgrade()?).map(|resource| resource.bytes()).sum();
            Some(waits + more.load(Ordering::Relaxed))
        });
        let tree = SupervisorSpec::one_for_one().child(Watcher::child(&world.env, &gauge));
        let memory = System::new("memory").start(tree).await.unwrap();
        Self { world, other, memory }
    }

    async fn other(&self, percent: usize) {
        self.other.store(percent * PERCENT, Ordering::Relaxed);
        passes(SECOND).await;
    }

    /// A session of a user that does not acknowledge so much.
    async fn holds(&self, user: &str, percent: usize) -> Arc<Resource> {
        let user = BareJid::new(user, "localhost").unwrap();
        // the second time there is one
        drop(self.world.env.stores.accounts.create(vec![(user.clone(), Account::default())]).await);
        let resource = sessions::bind(&self.world.env, &user, None).await.unwrap().keep().resource;
        resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
        let body = format!("<body>{}</body>", "x".repeat(4_000));
        while resource.bytes() < percent * PERCENT {
            let message = Stanza::new(Kind::Message, Type::Chat).append(&body);
            resource.deliver(message.with_to(Some(user.clone().into()))).unwrap();
            resource.drain(1, 1, |_| Drained::Sent);
        }
        resource
    }

    async fn log_on(&self) -> bool {
        calm(&self.world.env, self.world.env.settings().negotiation_timeout / 2).await
    }

    async fn stop(self) {
        self.memory.stop().await;
        self.world.stop().await;
    }
}

fn ended<'a>(sessions: impl IntoIterator<Item = &'a Arc<Resource>>) -> usize {
    sessions.into_iter().filter(|session| session.owner() == Owner::Ended).count()
}

#[test]
fn what_one_account_holds_keeps_no_log_on_out() {
    World::block_on(async {
        open(Semaphore::MAX_PERMITS >> 4);
        let small = Small::start().await;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(small.holds("a", 17).await);
        }
        passes(MINUTE).await;
        assert_eq!(small.world.env.pressure.level(), Level::High);
        assert_eq!(ended(&sessions), 0, "while nobody waits");
        assert!(small.log_on().await);
        assert_eq!(ended(&sessions), 1, "as many as it takes");
        assert_eq!(small.world.env.pressure.waiting(), 0);
        // for ever: each is a log-on later
        for _ in 0..10 {
            sessions.push(small.holds("a", 17).await);
            passes(SECOND).await;
            assert!(small.log_on().await);
        }
        small.stop().await;
    });
}

#[test]
fn who_holds_much_with_many_sessions_goes_before_one_that_is_slow() {
    World::block_on(async {
        open(Semaphore::MAX_PERMITS >> 4);
        let small = Small::start().await;
        let slow = small.holds("b", 18).await;
        let mut sessions = Vec::new();
        for percent in [13, 12, 14, 13, 13] {
            sessions.push(small.holds("a", percent).await);
        }
        small.other(0).await;
        assert!(small.log_on().await);
        assert_eq!((ended(&sessions), ended([&slow])), (1, 0));
        assert_eq!(sessions[2].owner(), Owner::Ended, "the largest");
        // all of them go before it does
        relieve(&small.world.env, 48 * PERCENT).await;
        assert_eq!((ended(&sessions), ended([&slow])), (5, 0));
        small.stop().await;
    });
}

#[test]
fn many_sessions_that_hold_little_count_together() {
    World::block_on(async {
        open(Semaphore::MAX_PERMITS >> 4);
        let small = Small::start().await;
        let few = [small.holds("b", 0).await, small.holds("a", 0).await];
        let message = Stanza::new(Kind::Message, Type::Chat);
        for session in &few {
            let small = message.append(&format!("<body>{}</body>", "x".repeat(2_000)));
            session.deliver(small).unwrap();
        }
        let another = small.holds("a", 0).await;
        another.deliver(message.append(&format!("<body>{}</body>", "x".repeat(3_000)))).unwrap();
        let relieved = relieve(&small.world.env, usize::MAX).await;
        assert_eq!((relieved.sessions, relieved.enough), (2, false));
        assert_eq!(few[0].owner(), Owner::Attached(1), "too little");
        small.stop().await;
    });
}

#[test]
fn memory_that_no_session_holds_keeps_no_log_on_out() {
    World::block_on(async {
        open(Semaphore::MAX_PERMITS >> 4);
        let small = Small::start().await;
        small.other(82).await;
        assert_eq!(small.world.env.pressure.level(), Level::High);
        assert!(small.log_on().await);
        // a part of it is a session's, which comes back each time
        for _ in 0..10 {
            small.other(50).await;
            small.other(82).await;
            let session = small.holds("a", 3).await;
            assert!(small.log_on().await);
            assert_eq!(ended([&session]), 1);
        }
        small.other(95).await;
        assert!(!small.log_on().await, "it is short indeed");
        // not only below 85 %
        small.other(89).await;
        assert!(small.log_on().await);
        small.stop().await;
    });
}

#[test]
fn sessions_that_somebody_else_ended_do_not_count() {
    World::block_on(async {
        let small = Small::start().await;
        let env = &small.world.env;
        let one = small.holds("a", 20).await;
        let two = small.holds("b", 10).await;
        let relief = Relief::begin(env, usize::MAX);
        // before its manager comes to it
        let other = sessions::end(env, &two, Ended::Closed);
        assert!(timeout(SECOND, other).await.is_err());
        assert_eq!(ended([&one, &two]), 2);
        assert_eq!(relief.over(env), None, "nothing is stored");
        open(Semaphore::MAX_PERMITS >> 4);
        passes(SECOND).await;
        let relieved = relief.over(env).unwrap();
        assert_eq!((relieved.sessions, relieved.enough), (1, false));
        assert!(relieved.bytes >= 20 * PERCENT && relieved.bytes < 30 * PERCENT);
        assert!(env.table.is_empty());
        small.stop().await;
    });
}

#[test]
fn a_store_that_is_slow_holds_up_neither_looks_nor_the_next_relief() {
    World::block_on(async {
        let small = Small::start().await;
        let first = small.holds("a", 20).await;
        small.other(92).await;
        assert_eq!((ended([&first]), small.world.env.pressure.level()), (1, Level::Critical));
        let next = small.holds("b", 20).await;
        passes(SECOND).await;
        assert_eq!(ended([&next]), 0, "what ends will be enough");
        small.other(10).await;
        assert_eq!(small.world.env.pressure.level(), Level::Calm, "it is looked at meanwhile");
        small.other(72).await;
        passes(SECOND * 10).await;
        assert_eq!(ended([&next]), 1, "the first takes too long");
        open(Semaphore::MAX_PERMITS >> 4);
        small.stop().await;
        assert!([first, next].iter().all(|session| session.leaving().is_none()));
    });
}

/// What is said in the log, from a level on.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() <= tracing::Level::INFO {
            event.record(&mut self.clone());
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_log_says_that_memory_is_short_each_time_it_gets_shorter_and_who_went() {
    let lines = Lines::default();
    // were there only one, a place that a thread without any comes to first would be silent for all
    let _second = tracing::Dispatch::new(lines.clone());
    let _log = tracing::subscriber::set_default(lines.clone());
    World::block_on(async {
        open(Semaphore::MAX_PERMITS >> 4);
        let small = Small::start().await;
        drop(small.holds("a", 20).await);
        lines.said();
        small.other(62).await;
        assert_eq!(lines.said(), ["memory is short: new log-ons wait"]);
        small.other(72).await;
        let ended = "sessions were ended since memory was short";
        assert_eq!(lines.said(), ["memory is short: queues are moved to the store", ended]);
        small.other(95).await;
        let small_limit =
            "limits.memory is too small: it is not what waits for clients that takes it";
        let said = lines.said();
        assert_eq!(said.iter().filter(|line| *line == small_limit).count(), 1, "{said:?}");
        small.other(10).await;
        passes(SECOND * 20).await;
        assert_eq!(lines.said(), ["there is enough memory again"]);
        small.stop().await;
    });
}
