//! A store that is slow, or full for a while: what waits for a session that loses its connection then, is resumed, or ends, is there
//! after a kill, once and in order.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Durability, Ended, QueueLimits, Resource},
    sessions,
    settings::Settings,
    testkit::{World, WorldOptions, script::follow},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use storage::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession, Stores,
};
use tokio::time::{sleep, timeout};
use xmpp::{jid::BareJid, stanza::Stanza};

const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    R = romeo@localhost/orchard
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    J C: <a xmlns='urn:xmpp:sm:3' h='1'/>\n";

const ASKED: &str = "K S: <r xmlns='urn:xmpp:sm:3'/>\n";

/// Longer than anybody waits for a store.
const LONG: Duration = Duration::from_secs(20);

/// How long the store takes before it does something, and before it says so; and whether it is full.
#[derive(Clone, Copy, Default)]
struct Pace {
    put: [Duration; 2],
    append: [Duration; 2],
    take: [Duration; 2],
    full: bool,
}

/// A store of sessions with a pace.
struct Slow {
    inner: Arc<dyn Sessions>,
    pace: Arc<Mutex<Pace>>,
}

impl Slow {
    async fn at<T>(
        &self,
        pace: fn(&Pace) -> [Duration; 2],
        work: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        let (Pace { full, .. }, [before, after]) = {
            let now = self.pace.lock();
            (*now, pace(&now))
        };
        if full {
            return Err(StoreError::NoRoom("no room".to_owned()));
        }
        sleep(before).await;
        let done = work.await;
        sleep(after).await;
        done
    }
}

impl Sessions for Slow {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        Box::pin(self.at(|pace| pace.put, self.inner.put(session)))
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        let work = self.inner.append(user, holders, messages, limits, by);
        Box::pin(self.at(|pace| pace.append, work))
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.inner.hold(user, key, ids)
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        self.inner.acknowledge(user, key, ids)
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        Box::pin(self.at(|pace| pace.take, self.inner.take(user, key, epoch)))
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        self.inner.held(user, key, after, limit, bytes)
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        self.inner.expire(user, key)
    }

    fn page<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<StoredSession>> {
        self.inner.page(after, limit)
    }

    fn release(&self, limit: usize) -> StoreFuture<'_, usize> {
        self.inner.release(limit)
    }
}

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules
}

fn settings(durability: Durability) -> Settings {
    let queues = QueueLimits { durability, ..QueueLimits::default() };
    Settings { queues, ..Settings::default() }
}

struct Scene {
    world: World,
    pace: Arc<Mutex<Pace>>,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let pace: Arc<Mutex<Pace>> = Arc::default();
        let slow = |stores: Stores| {
            let (inner, pace) = (Arc::clone(&stores.sessions), Arc::clone(&pace));
            Stores { sessions: Arc::new(Slow { inner, pace }), ..stores }
        };
        let mut world = World::with_stores(modules(), slow).await;
        follow(PAIR, &mut world).await.unwrap();
        let token = token(&session(&world, "juliet@localhost", "balcony"));
        Self { world, pace, token }
    }

    fn set(&self, pace: Pace) {
        *self.pace.lock() = pace;
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    /// The process is killed, or stopped in good order. The store of the next one is not slow.
    async fn ends(self, kill: bool) -> Self {
        let Self { world, pace, token } = self;
        let options = WorldOptions::default();
        let world = match kill {
            true => world.killed(modules(), options).await,
            false => world.stopped(modules(), options).await,
        };
        Self { world, pace, token }
    }

    /// Juliet's first session is asked for; she has got what the server had sent when she said so.
    async fn resumes(&mut self, answer: &str) {
        let script = format!(
            "password juliet@localhost pencil
             K ~ juliet@localhost
             K C: <resume xmlns='urn:xmpp:sm:3' previd='{}' h='1'/>
             K S: <{answer} xmlns='urn:xmpp:sm:3'/>\n",
            self.token
        );
        self.follow(&script).await;
    }
}

fn session(world: &World, user: &str, resource: &str) -> Arc<Resource> {
    world.env.table.find(&user.parse().unwrap(), resource).unwrap()
}

fn token(session: &Resource) -> String {
    session.with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap()
}

fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

/// Juliet logs on, and these are all messages that there are.
fn has(ids: &[u32]) -> String {
    let mut script = "password juliet@localhost pencil
        L = juliet@localhost/garden
        L C: <presence/>\n"
        .to_owned();
    for id in ids {
        script += &format!("L S: <message id='{id}'/>\n");
    }
    script + "L S: <presence/>\nL S: nothing"
}

#[test]
fn who_resumes_while_the_session_is_stored_can_be_cut_off_again() {
    for (put, kill) in [([LONG, Duration::ZERO], true), ([Duration::ZERO, LONG], false)] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.set(Pace { put, ..Pace::default() });
            scene.follow("J cut").await;
            scene.resumes("resumed").await;
            scene.set(Pace::default());
            let script =
                "T: 30s\n".to_owned() + &message(1) + "K S: <message id='1'/>\n" + ASKED + "K cut";
            scene.follow(&script).await;
            let mut scene = scene.ends(kill).await;
            scene.resumes("resumed").await;
            scene.follow(&("K S: <message id='1'/>\n".to_owned() + ASKED)).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn a_session_that_was_resumed_while_it_was_stored_is_not_there_after_a_kill() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.set(Pace { put: [LONG, Duration::ZERO], ..Pace::default() });
        scene.follow("J cut").await;
        scene.resumes("resumed").await;
        scene.follow("T: 30s").await;
        let mut scene = scene.ends(true).await;
        scene.resumes("failed").await;
        scene.world.stop().await;
    });
}

#[test]
fn who_is_gone_before_the_session_is_resumed_can_resume_it() {
    for take in [[LONG, Duration::ZERO], [Duration::ZERO, LONG]] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.follow("J cut").await;
            scene.set(Pace { take, ..Pace::default() });
            let juliet = "juliet@localhost".parse().unwrap();
            let resume = sessions::resume(&scene.world.env, &juliet, &scene.token);
            assert!(timeout(Duration::from_secs(1), resume).await.is_err());
            scene.set(Pace::default());
            scene.follow("T: 1s").await;
            let mut scene = scene.ends(true).await;
            scene.resumes("resumed").await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn what_a_session_that_ends_is_storing_comes_once() {
    for append in [[LONG, Duration::ZERO], [Duration::ZERO, LONG]] {
        World::block_on(async {
            let mut scene = Scene::new().await;
            scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
            scene.set(Pace { append, ..Pace::default() });
            scene.follow("J cut").await;
            scene.set(Pace::default());
            scene
                .follow("password juliet@localhost pencil\nL = juliet@localhost/balcony\nT: 30s")
                .await;
            let mut scene = scene.ends(true).await;
            scene.follow(&has(&[1])).await;
            scene.world.stop().await;
        });
    }
}

#[test]
fn a_session_for_which_there_was_no_room_is_stored_when_there_is() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
        scene.set(Pace { full: true, ..Pace::default() });
        scene.follow("J cut").await;
        scene.set(Pace::default());
        scene.follow("T: 30s").await;
        let mut scene = scene.ends(true).await;
        scene.resumes("resumed").await;
        scene.follow(&("K S: <message id='1'/>\n".to_owned() + ASKED)).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_there_was_no_room_for_comes_before_what_came_when_there_was() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
        scene.set(Pace { full: true, ..Pace::default() });
        scene.follow("J cut").await;
        scene.set(Pace::default());
        scene.follow(&(message(2) + "R S: nothing")).await;
        let mut scene = scene.ends(true).await;
        scene.follow(&("T: 61s\n".to_owned() + &has(&[1, 2]))).await;
        scene.world.stop().await;
    });
}

/// What another session leaves behind is on its way while its sender sends something else.
#[test]
fn a_stanza_counts_with_its_own_message_and_no_other() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.follow(&(message(1) + "J S: <message id='1'/>")).await;
        scene.world.env.set_settings(settings(Durability::Always));
        let script = "account nurse@localhost angelica
            R C: </stream:stream>
            R S: </stream:stream>
            R S: eof
            password romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            R S: <enabled xmlns='urn:xmpp:sm:3'/>";
        scene.follow(script).await;
        let env = Arc::clone(&scene.world.env);
        let juliet = session(&scene.world, "juliet@localhost", "balcony");
        let romeo = token(&session(&scene.world, "romeo@localhost", "orchard"));
        scene.set(Pace { append: [LONG, Duration::ZERO], ..Pace::default() });
        let pace = Arc::clone(&scene.pace);
        let ends = async {
            sleep(Duration::from_secs(1)).await;
            *pace.lock() = Pace::default();
            sessions::kick(&env, &juliet, Ended::Kicked).await;
        };
        let sends = scene.follow(
            "R C: <message to='nurse@localhost' type='chat' id='2'><body>2</body></message>",
        );
        let both = Box::pin(async { tokio::join!(sends, ends) });
        assert!(timeout(Duration::from_secs(2), both).await.is_err(), "the second is stored");
        drop((env, juliet));
        let mut scene = scene.ends(true).await;
        let rest = format!(
            "password romeo@localhost rose
             S ~ romeo@localhost
             S C: <resume xmlns='urn:xmpp:sm:3' previd='{romeo}' h='0'/>
             S S: <resumed xmlns='urn:xmpp:sm:3' h='0'/>\n"
        );
        scene.follow(&(rest + &has(&[1]))).await;
        scene.world.stop().await;
    });
}

/// One that comes back and one that is stored: after a kill it is not known that both were handled without the error for the first.
#[test]
fn a_message_counts_when_its_error_can_be_told() {
    World::block_on(async {
        let mut scene = Scene::new().await;
        scene.world.env.set_settings(settings(Durability::Always));
        let script = "account nurse@localhost angelica
            R C: </stream:stream>
            R S: </stream:stream>
            R S: eof
            password romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            R S: <enabled xmlns='urn:xmpp:sm:3'/>";
        scene.follow(script).await;
        let romeo = token(&session(&scene.world, "romeo@localhost", "orchard"));
        scene.set(Pace { put: [LONG, Duration::ZERO], ..Pace::default() });
        let sends = scene.follow(
            "R C: <message to='nobody@localhost' type='chat' id='1'><body>1</body></message>\
               <message to='nurse@localhost' type='chat' id='2'><body>2</body></message>",
        );
        drop(timeout(Duration::from_secs(2), Box::pin(sends)).await);
        let mut scene = scene.ends(true).await;
        let rest = format!(
            "password romeo@localhost rose
             S ~ romeo@localhost
             S C: <resume xmlns='urn:xmpp:sm:3' previd='{romeo}' h='0'/>
             S S: <resumed xmlns='urn:xmpp:sm:3' h='0'/>
             S S: nothing"
        );
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}
