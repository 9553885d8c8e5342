//! Tests: a message that is sent while sessions of its user end does not overtake what they leave
//! behind, whoever is killed over it.

use crate::{
    env::Env,
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Ended, Keeping, Resource, StreamManagement},
    routing::{divert, send},
    sessions::{self, end},
    testkit::{
        World, WorldOptions,
        script::{Wire, follow},
        slow::{Slow, SlowConfig, open},
    },
};
use std::{collections::BTreeSet, sync::Arc};
use storage::OfflineLimits;
use tokio::task::yield_now;
use xmpp::{
    jid::{BareJid, FullJid},
    stanza::{Stanza, Type},
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
async fn session<const N: usize>(env: &Arc<Env>, name: &str, messages: [u32; N]) -> Arc<Resource> {
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

/// Puts messages into the store for a session; their numbers.
async fn held(env: &Arc<Env>, messages: &[u32]) -> Vec<u64> {
    let new = messages.iter().map(|id| (0, message(*id))).collect();
    let (store, limits) = (&env.stores.sessions, OfflineLimits::messages(9));
    store.append(&user(), vec!["key".to_owned()], new, limits, None).await.unwrap()
}

/// A session for which these messages wait, which the store keeps for it, with a presence before each.
async fn apart(env: &Arc<Env>, messages: &[(u32, u64)]) -> Arc<Resource> {
    let one = session(env, "one", []).await;
    one.keep_as(|| "key".to_owned(), None);
    one.was_told();
    for (id, kept) in messages {
        let presence = Stanza::presence(Type::Available);
        one.deliver(presence.with_from("a@localhost/a".parse().ok())).unwrap();
        one.deliver_as(message(*id), None, Keeping::Stored(*kept)).unwrap();
    }
    one
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
fn what_a_session_leaves_behind_is_not_taken_for_what_came_after_it() {
    World::block_on(async {
        let world = world().await;
        let (env, limits) = (&world.env, OfflineLimits::messages(9));
        let newer = env.stores.offline.push(&user(), 0, message(3), limits).await.unwrap();
        let ids = held(env, &[1, 2]).await;
        env.stores
            .offline
            .move_back_after(&user(), newer - 1, ids[0], BTreeSet::new())
            .await
            .unwrap();
        let one = apart(env, &[(1, ids[0]), (2, ids[1])]).await;
        one.divert("offline", newer);
        open(9);
        end(env, &one, Ended::Closed).await;
        assert_eq!(stored(env).await, ["1", "2", "3"]);
        world.stop().await;
    });
}

#[test]
fn what_is_on_its_way_into_the_store_when_a_session_ends_comes_after_what_it_leaves_behind() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let ids = held(env, &[2, 1]).await;
        let one = apart(env, &[(1, ids[1]), (2, ids[0])]).await;
        one.with_sm(|sm| {
            *sm = Some(StreamManagement { token: Some("key".to_owned()), ..Default::default() });
        });
        assert!(one.detach(1, None));
        let (key, coming) = one.holds_as().unwrap();
        let late = held(env, &[3]).await;
        open(9);
        let slowly = async {
            for _ in 0..5 {
                yield_now().await;
            }
            env.stores.sessions.expire(&user(), &key).await.unwrap();
            divert(env, &user(), "offline", late[0]).await;
            drop(coming);
        };
        tokio::join!(end(env, &one, Ended::Conflict), slowly);
        assert_eq!(stored(env).await, ["1", "2", "3"]);
        assert!(one.holds_as().is_none() && env.table.is_empty());
        world.stop().await;
    });
}

#[test]
fn a_session_that_begins_meanwhile_gets_what_was_left_behind_once_and_in_order() {
    World::block_on(async {
        let mut world = world().await;
        let env = Arc::clone(&world.env);
        follow("password b@localhost x\nJ = b@localhost/two", &mut world).await.unwrap();
        let one = session(&env, "one", [1]).await;
        one.keep_as(|| "key".to_owned(), None);
        one.was_told();
        let ids = held(&env, &[2]).await;
        one.deliver_as(message(2), None, Keeping::Stored(ids[0])).unwrap();
        begin_to_end(&env, &one).await;
        let slowly = async {
            // it looks into the store, and no time passes
            for _ in 0..99 {
                yield_now().await;
            }
            sessions::lost(&env, one);
            open(9);
        };
        tokio::join!(world.send("J", "<presence/>", false), slowly);
        let script = "J S: <presence/>
            J S: <message id='1'/>
            J S: <message id='2'/>
            J S: nothing";
        follow(script, &mut world).await.unwrap();
        world.stop().await;
    });
}

#[test]
fn messages_with_something_between_them_keep_their_order() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        let ids = held(env, &[2, 4, 1, 3]).await;
        let one = apart(env, &[(1, ids[2]), (2, ids[0]), (3, ids[3]), (4, ids[1])]).await;
        open(9);
        end(env, &one, Ended::Closed).await;
        assert_eq!(stored(env).await, ["1", "2", "3", "4"]);
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
