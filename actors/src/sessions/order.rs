//! Tests: a message that is sent while sessions of its user end does not overtake what they leave
//! behind, whoever is killed over it.

use crate::{
    env::Env,
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Ended, Resource},
    routing::send,
    sessions::{self, end},
    testkit::{
        World, WorldOptions,
        script::Wire,
        slow::{Slow, SlowConfig, open},
    },
};
use std::sync::Arc;
use tokio::task::yield_now;
use xmpp::{
    jid::{BareJid, FullJid},
    stanza::Stanza,
};

fn user() -> BareJid {
    "b@localhost".parse().unwrap()
}

fn message(id: u32) -> Stanza {
    let xml = format!("<message from='a@localhost/a' to='b@localhost' id='{id}'><body/></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

async fn world() -> World {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<Slow>(SlowConfig {});
    let mut world = World::new(modules, WorldOptions::default()).await;
    world.account("b@localhost", "x").await;
    world
}

/// A session for which these messages wait.
async fn session(env: &Arc<Env>, name: &str, messages: [u32; 2]) -> Arc<Resource> {
    let jid: FullJid = format!("b@localhost/{name}").parse().unwrap();
    let bound = sessions::bind(env, &user(), Some(jid)).await.unwrap().keep();
    for id in messages {
        bound.resource.deliver(message(id)).unwrap();
    }
    bound.resource
}

async fn stored(env: &Arc<Env>) -> Vec<String> {
    let page = env.stores.offline.page(&user(), 0, 10, usize::MAX).await.unwrap();
    page.iter().map(|m| m.stanza.head.id.as_deref().unwrap().to_owned()).collect()
}

/// Begins the end of a session, and is killed in the middle.
async fn begin_to_end(env: &Arc<Env>, session: &Arc<Resource>) {
    tokio::select! {
        biased;
        _ = end(env, session, Ended::Closed) => panic!("the gate is shut"),
        () = yield_now() => {}
    }
}

#[test]
fn a_message_does_not_overtake_what_ending_sessions_leave_behind() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let one = session(env, "one", [1, 2]).await;
        let two = session(env, "two", [3, 4]).await;
        let slowly = async {
            for _ in 0..5 {
                yield_now().await;
                open(1);
            }
        };
        let (first, second) = (end(env, &one, Ended::Closed), end(env, &two, Ended::Closed));
        tokio::join!(first, second, send(env, message(5)), slowly);
        assert_eq!(stored(env).await, ["1", "2", "3", "4", "5"]);
        assert!(env.table.is_empty());
        world.stop().await;
    });
}

#[test]
fn a_sender_waits_where_the_end_of_a_session_was_killed() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let one = session(env, "one", [1, 2]).await;
        begin_to_end(env, &one).await;
        sessions::lost(env, one);
        open(3);
        send(env, message(3)).await;
        assert_eq!(stored(env).await, ["1", "2", "3"]);
        assert!(env.table.is_empty());
        world.stop().await;
    });
}

#[test]
fn a_manager_goes_on_where_the_end_of_a_session_was_killed() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let one = session(env, "one", [1, 2]).await;
        begin_to_end(env, &one).await;
        open(2);
        sessions::lost(env, one);
        while !env.table.is_empty() {
            yield_now().await;
        }
        assert_eq!(stored(env).await, ["1", "2"]);
        world.stop().await;
    });
}

#[test]
fn a_new_session_of_the_name_begins_meanwhile() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let one = session(env, "one", [1, 2]).await;
        begin_to_end(env, &one).await;
        let again = session(env, "one", [3, 4]).await;
        assert_eq!((again.queued(), env.table.len()), (2, 2));
        let found = env.table.find(&user(), "one");
        assert_eq!(found.map(|r| r.id()), Some(again.id()));
        open(2);
        sessions::lost(env, one);
        while env.table.len() > 1 {
            yield_now().await;
        }
        assert_eq!((again.queued(), stored(env).await), (2, vec!["1".to_owned(), "2".to_owned()]));
        world.stop().await;
    });
}
