//! A node is killed, and another that has the same store goes on with its sessions.

use super::{Scene, cut_off, modules};
use actors::{
    resource::Durability,
    sessions::take_over,
    testkit::{
        World, WorldOptions,
        resumable::{ASKED, FAILED, got, has, options, resume, resumed},
        script::follow,
    },
};
use std::sync::Arc;
use storage::Whose;
use tokio::join;

fn node(name: &'static str, durability: Durability) -> WorldOptions {
    WorldOptions { node: Some(name), ..options(durability) }
}

/// Juliet's session waits on a node that is gone without a word, with three messages.
async fn gone(durability: Durability) -> Scene {
    cut_off(node("a", durability)).await
}

/// The next one.
async fn beside(scene: &Scene, name: &'static str) -> World {
    scene.world.beside(modules(), node(name, scene.durability)).await
}

fn rest() -> String {
    got("K", 2) + ASKED + &got("K", 3) + &got("K", 4) + &got("K", 5)
}

/// All that the store has are sessions of that node, and so many.
async fn all_are_of(world: &World, name: &str, count: usize) {
    let store = &world.env.stores.sessions;
    let every = store.page(Whose::All, "", 9).await.unwrap();
    assert_eq!(every.len(), count, "{every:?}");
    assert_eq!(store.page(Whose::Node(name), "", 9).await.unwrap(), every);
}

#[test]
fn a_session_goes_on_on_another_node() {
    for durability in [Durability::Detached, Durability::Behind, Durability::Always] {
        World::block_on(async {
            let scene = gone(durability).await;
            let mut b = beside(&scene, "b").await;
            // it starts, and leaves alone what is not its own
            follow(&resume(&scene.token, 2, FAILED), &mut b).await.unwrap();
            all_are_of(&b, "a", 1).await;
            assert_eq!(take_over(&b.env, "a").await, 1);
            all_are_of(&b, "b", 1).await;
            follow(&(resume(&scene.token, 2, &resumed(1)) + &rest()), &mut b).await.unwrap();
            // once is enough
            assert_eq!(take_over(&b.env, "a").await, 0);
            follow("K C: <a xmlns='urn:xmpp:sm:3' h='6'/>\nK S: nothing", &mut b).await.unwrap();
            b.stop().await;
        });
    }
}

/// Also one of a node that was alone before, or of a program that knew no other.
#[test]
fn a_node_goes_on_with_its_own_sessions_and_with_nobodys() {
    for name in ["a", "b"] {
        World::block_on(async {
            let scene = match name {
                "a" => gone(Durability::Detached).await,
                _ => cut_off(options(Durability::Detached)).await,
            };
            let mut next = beside(&scene, name).await;
            all_are_of(&next, name, 1).await;
            follow(&(resume(&scene.token, 2, &resumed(1)) + &rest()), &mut next).await.unwrap();
            next.stop().await;
        });
    }
}

#[test]
fn a_node_that_is_alone_goes_on_with_what_others_left() {
    World::block_on(async {
        let scene = gone(Durability::Detached).await;
        let mut alone = scene.world.beside(modules(), options(Durability::Detached)).await;
        follow(&(resume(&scene.token, 2, &resumed(1)) + &rest()), &mut alone).await.unwrap();
        alone.stop().await;
    });
}

#[test]
fn nodes_that_take_over_at_once_share_what_there_is() {
    World::block_on(async {
        let mut scene = gone(Durability::Detached).await;
        for n in 0..20 {
            let script = format!(
                "account u{n}@localhost p{n}
                 U{n} = u{n}@localhost/r
                 U{n} C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
                 U{n} S: <enabled xmlns='urn:xmpp:sm:3'/>
                 U{n} cut"
            );
            scene.follow(&script).await;
        }
        let (b, c) = (beside(&scene, "b").await, beside(&scene, "c").await);
        let both = join!(take_over(&b.env, "a"), take_over(&c.env, "a"), take_over(&b.env, "a"));
        assert_eq!(both.0 + both.1 + both.2, 21);
        assert_eq!(b.env.table.len() + c.env.table.len(), 21);
        for (world, name) in [(&b, "b"), (&c, "c")] {
            let own = world.env.stores.sessions.page(Whose::Node(name), "", 99).await.unwrap();
            assert_eq!(own.len(), world.env.table.len());
        }
        b.stop().await;
        c.stop().await;
    });
}

/// MongooseIM's issue 4788: there the new session and what cleaned up after the old one got into each other's way.
#[test]
fn who_resumes_while_a_node_is_cleaned_up_after_gets_the_session_once() {
    World::block_on(async {
        let scene = gone(Durability::Detached).await;
        let mut b = beside(&scene, "b").await;
        let env = Arc::clone(&b.env);
        let script = resume(&scene.token, 2, &resumed(1)) + &rest();
        let (taken, followed) = join!(take_over(&env, "a"), follow(&script, &mut b));
        followed.unwrap();
        assert!(taken <= 1);
        assert_eq!(b.env.table.len(), 1);
        b.stop().await;
    });
}

/// What was held for a session that is nowhere else is an offline message.
#[test]
fn what_a_session_held_that_is_lost_is_offline() {
    World::block_on(async {
        let mut scene = gone(Durability::Detached).await;
        // she has some of it, and has not said so; it was taken out of the store then
        let token = scene.token.clone();
        scene.follow(&(resume(&token, 2, &resumed(1)) + &rest())).await;
        let mut b = beside(&scene, "b").await;
        assert_eq!(take_over(&b.env, "a").await, 0);
        follow(&has(2..6), &mut b).await.unwrap();
        b.stop().await;
    });
}

/// The node was taken for dead, or was away with a journal: it hears that its session is another's.
#[test]
fn a_session_that_was_taken_over_is_not_its_node_s_when_that_comes_back() {
    World::block_on(async {
        let scene = gone(Durability::Detached).await;
        let b = beside(&scene, "b").await;
        assert_eq!(take_over(&b.env, "a").await, 1);
        // what it had not yet written
        let store = &b.env.stores.sessions;
        let [taken] = &*store.page(Whose::Node("b"), "", 9).await.unwrap() else { panic!() };
        let late = storage::StoredSession {
            key: Whose::Node("a").key(&scene.token),
            epoch: 77,
            ..taken.clone()
        };
        store.put(late).await.unwrap();
        let mut a = beside(&scene, "a").await;
        assert!(a.env.table.is_empty());
        all_are_of(&b, "b", 1).await;
        follow(&resume(&scene.token, 2, FAILED), &mut a).await.unwrap();
        a.stop().await;
        b.stop().await;
    });
}

#[test]
fn a_window_is_not_longer_for_having_moved() {
    World::block_on(async {
        let mut scene = gone(Durability::Detached).await;
        scene.follow("T: 40s").await;
        let mut b = beside(&scene, "b").await;
        assert_eq!(take_over(&b.env, "a").await, 1);
        follow(&("T: 21s\n".to_owned() + &has(2..6)), &mut b).await.unwrap();
        assert_eq!(b.env.table.len(), 1, "who logged on now");
        b.stop().await;
    });
}
