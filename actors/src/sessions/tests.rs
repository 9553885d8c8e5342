//! Tests: whoever ends sessions holds up nobody, and loses nothing when it crashes or is killed.

use super::{BindError, ends::AT_ONCE, lost};
use crate::{
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::{Module, Modules, Registrar, Xep},
    resource::{Ended, Owner, PATIENCE, Resource, StreamManagement},
    sessions,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        metrics::values,
        script::{Wire, follow},
        slow::{Slow, SlowConfig, open},
    },
};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};
use xmpp::{jid::BareJid, stanza::Stanza};

config::section! {
    /// Nothing to configure.
    pub struct PoisonConfig {}
}

/// Panics over a message with a certain id.
#[derive(Debug)]
struct Poison;

impl Module for Poison {
    const NAME: &'static str = "poison";
    const XEPS: &'static [Xep] = &[];
    type Config = PoisonConfig;

    fn new(_: PoisonConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.offline(Order::First, Self::look);
    }
}

impl Poison {
    fn look(&self, _: &Arc<Env>, _: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        Box::pin(async move {
            assert_ne!(message.head.id.as_deref(), Some("poison"));
            Offline::Pass(message)
        })
    }
}

async fn world(slow: bool) -> World {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig { messages: 10_000, ..Default::default() });
    modules.add_with::<Poison>(PoisonConfig {});
    if slow {
        modules.add_with::<Slow>(SlowConfig {});
    }
    World::new(modules, WorldOptions::default()).await
}

fn message(to: &BareJid, id: &str) -> Stanza {
    let xml = format!("<message from='r@localhost/r' to='{to}' id='{id}'><body/></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// Users of the same manager, each with an account.
async fn neighbours(world: &mut World, count: usize) -> Vec<BareJid> {
    let all = (0..).map(|n| BareJid::new(&format!("u{n}"), "localhost").unwrap());
    let same: Vec<_> =
        all.filter(|user| world.env.managers.number_of(user) == 0).take(count).collect();
    for user in &same {
        world.account(user.as_str(), "x").await;
    }
    same
}

/// A session that is lost, and for which so many messages wait.
async fn loses(env: &Arc<Env>, user: &BareJid, ids: &[String]) -> Arc<Resource> {
    let session = sessions::bind(env, user, None).await.unwrap().keep();
    let resource = session.resource;
    for id in ids {
        resource.deliver(message(user, id)).unwrap();
    }
    assert!(resource.detach(session.epoch, None));
    lost(env, Arc::clone(&resource));
    resource
}

async fn stored(env: &Arc<Env>, user: &BareJid) -> Vec<String> {
    let page = env.stores.offline.page(user, 0, 10_000, usize::MAX).await.unwrap();
    page.iter().map(|m| m.stanza.head.id.as_deref().unwrap().to_owned()).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

async fn a_while() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn a_store_that_does_not_answer_holds_up_no_bind_and_no_resumption() {
    World::block_on(async {
        let mut world = world(true).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 2 * AT_ONCE + 1).await;
        let (binds, loses_all) = users.split_last().unwrap();
        for user in loses_all {
            loses(&env, user, &ids(500)).await;
        }
        a_while().await;
        assert_eq!(env.managers.ending(), loses_all.len());
        // nothing is written meanwhile, and time does not pass
        let soon = Duration::from_millis(1);
        let bound = timeout(soon, sessions::bind(&env, binds, None)).await.unwrap().unwrap().keep();
        let sm =
            StreamManagement { token: Some("tok".into()), window: 9 * soon, ..Default::default() };
        bound.resource.with_sm(|state| *state = Some(sm));
        assert!(bound.resource.detach(bound.epoch, None));
        lost(&env, bound.resource);
        let resumed = timeout(soon, sessions::resume(&env, binds, "tok")).await.unwrap();
        assert_eq!(resumed.unwrap().keep().epoch, 2);
        // what none of the running tasks has to do with is not waited for either
        let again = timeout(soon, sessions::bind(&env, &loses_all[0], None)).await.unwrap();
        drop(again.unwrap());
        open(500 * loses_all.len());
        while env.managers.ending() > 0 {
            a_while().await;
        }
        for user in loses_all {
            assert_eq!(stored(&env, user).await, ids(500));
        }
        world.stop().await;
    });
}

#[test]
fn who_takes_the_name_of_a_session_is_bound_when_everybody_knows_that_it_is_gone() {
    World::block_on(async {
        let mut world = world(true).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 1).await;
        let jid = Some(users[0].with_resource("one").unwrap());
        let one = sessions::bind(&env, &users[0], jid.clone()).await.unwrap().keep().resource;
        one.deliver(message(&users[0], "1")).unwrap();
        let bind = sessions::bind(&env, &users[0], jid);
        let late = async {
            a_while().await;
            assert_eq!(one.ended(), Some(Ended::Conflict));
            assert_eq!(env.table.len(), 2, "the one that waits has its place already");
            open(1);
        };
        let (bound, ()) = tokio::join!(bind, late);
        assert!(one.leaving().is_none());
        assert_eq!((env.table.len(), stored(&env, &users[0]).await), (1, ids(2).split_off(1)));
        drop(bound.unwrap());
        world.stop().await;
    });
}

#[test]
fn a_message_that_crashes_the_end_of_a_session_is_answered_and_the_others_go_on() {
    World::block_on(async {
        let mut world = world(false).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 1).await;
        follow("account r@localhost x\nR = r@localhost/r", &mut world).await.unwrap();
        let all = ["1", "poison", "2"].map(str::to_owned);
        loses(&env, &users[0], &all).await;
        let answer = "R S: <message type='error' id='poison'><error type='cancel'>
            <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
            R S: nothing";
        follow(answer, &mut world).await.unwrap();
        assert_eq!(stored(&env, &users[0]).await, ["1", "2"]);
        assert_eq!((env.table.len(), env.managers.ending()), (1, 0));
        world.stop().await;
    });
}

#[test]
fn an_end_that_is_killed_goes_on_in_another_task() {
    World::block_on(async {
        let mut world = world(true).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 1).await;
        loses(&env, &users[0], &ids(4)).await;
        for n in 0..3 {
            a_while().await;
            let tasks: Vec<_> =
                world.pids().into_iter().filter(|p| p.path().contains("/ends/")).collect();
            assert_eq!(tasks.len(), 1, "{n}");
            tasks[0].kill();
            a_while().await;
            open(1);
        }
        open(1);
        a_while().await;
        assert_eq!(stored(&env, &users[0]).await, ids(4));
        assert!(env.table.is_empty());
        world.stop().await;
    });
}

#[test]
fn a_manager_that_did_not_take_a_lost_session_looks_for_it() {
    World::block_on(async {
        let mut world = world(false).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 1).await;
        let session = sessions::bind(&env, &users[0], None).await.unwrap().keep();
        assert!(session.resource.detach(session.epoch, None));
        env.managers.of(&users[0]).unwrap().miss();
        a_while().await;
        assert_eq!(session.resource.owner(), Owner::Ended);
        assert!(env.table.is_empty());
        world.stop().await;
    });
}

#[test]
fn a_node_that_stops_waits_for_whoever_ends_a_session_slowly() {
    World::block_on(async {
        let mut world = world(true).await;
        let env = Arc::clone(&world.env);
        let users = neighbours(&mut world, 1).await;
        let one = sessions::bind(&env, &users[0], None).await.unwrap().keep().resource;
        for id in ids(3) {
            one.deliver(message(&users[0], &id)).unwrap();
        }
        let mut slow = Box::pin(sessions::end(&env, &one, Ended::Closed));
        let waits = poll_fn(|cx| Poll::Ready(slow.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "for the store");
        let late = async {
            // of paused time: whoever waits for it has given up once by then
            sleep(2 * PATIENCE).await;
            open(3);
            drop(slow);
        };
        tokio::join!(world.stop(), late);
        assert_eq!(stored(&env, &users[0]).await, ids(3));
        assert!(env.table.is_empty());
    });
}

/// A client that cannot resume and gets another name each time would lock its user out until the windows are over.
#[test]
fn of_sessions_that_wait_to_be_resumed_the_first_makes_room_for_one_that_comes() {
    let settings = Settings { max_resources: 2, ..Settings::default() };
    // a session is resumed where it is
    let places = &[("R", 0), ("J", 1), ("K", 1), ("L", 1), ("M", 1), ("N", 1)];
    let options = WorldOptions { settings, places, ..WorldOptions::default() };
    let script = "account juliet@localhost pencil
        account romeo@localhost rose
        R = romeo@localhost/orchard
        J = juliet@localhost/a
        J C: <presence/>
        J S: <presence/>
        J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
        J S: <enabled xmlns='urn:xmpp:sm:3' id='{first}'/>
        J cut
        T: 10s
        K = juliet@localhost/b
        K C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
        K S: <enabled xmlns='urn:xmpp:sm:3' id='{second}'/>
        R C: <message to='juliet@localhost/a' id='1'><body/></message>
          <message to='juliet@localhost/b' id='2'><body/></message>
        K S: <message id='2'/>
        K S: <r xmlns='urn:xmpp:sm:3'/>
        K cut
        L = juliet@localhost/c
        R S: <message type='error' id='1'/>
        M ~ juliet@localhost
        M C: <resume xmlns='urn:xmpp:sm:3' previd='{first}' h='0'/>
        M S: <failed xmlns='urn:xmpp:sm:3'/>
        M C: <resume xmlns='urn:xmpp:sm:3' previd='{second}' h='1'/>
        M S: <resumed xmlns='urn:xmpp:sm:3' previd='{second}' h='0'/>
        M S: nothing
        N ~ juliet@localhost
        N C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
        N S: <iq type='error' id='b'><error type='wait'>
          <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
        L C: <iq type='get' id='p' to='romeo@localhost/orchard'><x xmlns='n:x'/></iq>
        R S: <iq id='p'/>";
    World::check_with(script, &options, |_| {});
}

/// Of sessions that wait to be resumed, the one that was lost first makes room; who is connected does not.
#[test]
fn a_session_that_waits_to_be_resumed_makes_room_for_another_of_its_user() {
    let settings = Settings { max_resources: 3, ..Settings::default() };
    // of those that wait, the node on which another comes takes its own first
    let places = &[("R", 0), ("A", 1), ("B", 1), ("C", 1), ("D", 1), ("X", 1)];
    let options = WorldOptions { settings, places, ..WorldOptions::default() };
    let enable = |name: &str, window: u32| {
        format!(
            "{name} C: <enable xmlns='urn:xmpp:sm:3' resume='1' max='{window}'/>
             {name} S: <enabled xmlns='urn:xmpp:sm:3' id='{{{name}}}' resume='true'/>\n"
        )
    };
    let script = [
        "account juliet@localhost pencil
         account romeo@localhost rose
         R = romeo@localhost/orchard
         A = juliet@localhost/a\n",
        // the window of the one that is lost first ends last
        &enable("A", 300),
        "A C: <presence/>
         A S: <presence from='juliet@localhost/a'/>
         B = juliet@localhost/b\n",
        &enable("B", 60),
        "C = juliet@localhost/c
         A cut
         T: 2s
         B cut
         T: 2s
         R C: <message type='chat' to='juliet@localhost/a' id='1'><body>for a</body></message>
         D = juliet@localhost/d
         D C: <presence/>
         D S: <message id='1'><body>for a</body></message>
         D S: <presence from='juliet@localhost/d'/>
         X ~ juliet@localhost
         X C: <resume xmlns='urn:xmpp:sm:3' previd='{A}' h='0'/>
         X S: <failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>
         X C: <resume xmlns='urn:xmpp:sm:3' previd='{B}' h='0'/>
         X S: <resumed xmlns='urn:xmpp:sm:3' previd='{B}'/>
         Y ~ juliet@localhost
         Y C: <iq type='set' id='y'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
         Y S: <iq type='error' id='y'><error type='wait'>
              <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         C C: <iq type='get' id='p' to='localhost'/>
         C S: <iq type='error' id='p'/>",
    ]
    .concat();
    World::check_with(&script, &options, |modules| {
        modules.add_with::<OfflineModule>(OfflineConfig::default());
    });
}

/// Nobody is ended for nothing: where the limit was lowered, as many go as it takes, or none.
#[test]
fn as_many_sessions_make_room_as_it_takes_or_none() {
    World::block_on(async {
        let world = World::new(Modules::default(), WorldOptions::default()).await;
        let env = &world.env;
        let user: BareJid = "juliet@localhost".parse().unwrap();
        for n in 0..4 {
            let jid = Some(user.with_resource(&format!("r{n}")).unwrap());
            let claim = sessions::bind(env, &user, jid).await.unwrap().keep();
            let sm = StreamManagement {
                token: Some(format!("t{n}")),
                window: Duration::from_secs(300),
                ..StreamManagement::default()
            };
            claim.resource.with_sm(|of| *of = Some(sm));
            if n < 2 {
                claim.resource.detach(claim.epoch, None);
                lost(env, claim.resource);
            }
        }
        let bind = async |max_resources| {
            env.set_settings(Settings { max_resources, ..Settings::default() });
            sessions::bind(env, &user, None).await.map(super::Claim::keep)
        };
        let ended = || {
            let ended = |n| env.table.find(&user, n).is_none_or(|r| r.owner() == Owner::Ended);
            ["r0", "r1", "r2", "r3"].map(ended)
        };
        assert!(matches!(bind(2).await, Err(BindError::TooMany)));
        assert_eq!(ended(), [false; 4]);
        assert!(bind(3).await.is_ok());
        assert_eq!(ended(), [true, true, false, false]);
        assert_eq!(values(env).get("mangrove_displaced_sessions_total"), Some(&2.0));
        world.stop().await;
    });
}
