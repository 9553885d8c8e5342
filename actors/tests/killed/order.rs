//! What waited in different places (sent and not acknowledged, in a queue, in the store, in offline storage) comes in the order in
//! which it came.

use super::Scene;
use actors::{
    resource::Durability,
    routing, sessions,
    settings::Settings,
    testkit::{
        World,
        resumable::{ASKED, all, closes, got, has, message, options, resumed},
    },
};
use std::{ops::Range, sync::Arc};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Juliet logs on anew, and her session can be resumed.
const AGAIN: &str = "password juliet@localhost pencil
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
    J C: <presence/>\n";

/// Juliet's session goes on, and these come; it is asked for an acknowledgement after three.
async fn come_in_order(mut scene: Scene, ids: Range<u32>) {
    scene.resumes(1, &resumed(1)).await;
    let (first, rest) = (ids.start..ids.start + 3, ids.start + 3..ids.end);
    let script = all(first, |n| got("K", n)) + ASKED + &all(rest, |n| got("K", n)) + "K S: nothing";
    scene.follow(&script).await;
    scene.world.stop().await;
}

#[test]
fn what_was_stored_before_is_not_overtaken_by_what_waited_in_a_queue() {
    World::block_on(async {
        let mut small = options(Durability::Detached);
        small.settings.queues.queued = 3;
        let mut scene = Scene::with(small).await;
        // a queue that is full is not written while the client acknowledges nothing
        scene.world.env.set_settings(Settings::default());
        let script = "J cut\n".to_owned() + &all(1..9, message) + "R S: nothing";
        scene.follow(&script).await;
        come_in_order(scene.killed().await, 1..9).await;
    });
}

#[test]
fn what_did_not_fit_into_a_queue_comes_after_what_did() {
    World::block_on(async {
        let mut small = options(Durability::Detached);
        (small.settings.queues.queued, small.settings.queues.unacked) = (3, 6);
        let mut scene = Scene::with(small).await;
        // it acknowledges nothing: four are sent, three wait, and the others are in the store at once
        let script = all(1..10, message) + &all(1..4, |n| got("J", n)) + "J S: nothing\nJ cut\n";
        scene.follow(&script).await;
        come_in_order(scene.killed().await, 1..10).await;
    });
}

#[test]
fn what_comes_when_a_connection_is_just_lost_comes_after_what_waited() {
    World::block_on(async {
        let scene = Scene::new(Durability::Detached).await;
        let juliet: BareJid = "juliet@localhost".parse().unwrap();
        let session = scene.world.resource("juliet@localhost/balcony").unwrap();
        let stanza = |n: u32| {
            let xml = format!("<message type='chat' id='{n}'><body>{n}</body></message>");
            Stanza::parse(xml.as_bytes()).unwrap().with_to(Some(juliet.clone().into()))
        };
        // its connection does not come to these before it is lost
        (1..3).for_each(|n| session.deliver(stanza(n)).unwrap());
        assert!(session.detach(1, None));
        let sent = routing::send(&scene.world.env, stanza(3));
        let lost = async { sessions::lost(&scene.world.env, Arc::clone(&session)) };
        tokio::join!(sent, lost);
        drop(session);
        let mut scene = scene.killed().await;
        scene.follow(&("T: 61s\n".to_owned() + &has(1..4))).await;
        scene.world.stop().await;
    });
}

/// It was in the middle of its offline messages when it was cut off, and others had come meanwhile.
#[test]
fn what_offline_storage_has_comes_before_what_waited_behind_it() {
    for durability in [Durability::Detached, Durability::Behind, Durability::Always] {
        for kill in [true, false] {
            World::block_on(async {
                let mut few = options(durability);
                few.settings.queues.unacked = 6;
                let mut scene = Scene::with(few).await;
                let first = closes("J") + &all(1..8, message) + AGAIN + &all(1..5, |n| got("J", n));
                scene.follow(&first).await;
                scene.token = scene.world.token("juliet@localhost/balcony").unwrap();
                scene.follow(&(all(8..10, message) + "R S: nothing\nJ cut")).await;
                let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
                scene.resumes(0, "<resumed xmlns='urn:xmpp:sm:3'/>").await;
                let mut heard = scene.world.messages("K").await;
                // that many are enough without an acknowledgement
                for h in [4, 8] {
                    scene.follow(&format!("K C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>")).await;
                    heard.extend(scene.world.messages("K").await);
                }
                let all: Vec<_> = (1..10).map(|n| n.to_string()).collect();
                assert_eq!(heard, all, "{durability:?}");
                scene.world.stop().await;
            });
        }
    }
}

/// It was sent its offline messages, and what came then, and acknowledged none of it.
#[test]
fn what_was_sent_of_offline_storage_comes_again_in_its_place() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Always).await;
        let script = closes("J")
            + &all(1..4, message)
            + AGAIN
            + &all(1..4, |n| got("J", n))
            + "J S: <r xmlns='urn:xmpp:sm:3'/>
               J S: <presence/>\n"
            + &message(4)
            + &got("J", 4);
        scene.follow(&script).await;
        scene.token = scene.world.token("juliet@localhost/balcony").unwrap();
        let mut scene = scene.killed().await;
        scene.resumes(1, &resumed(1)).await;
        let rest = all(2..4, |n| got("K", n))
            + "K S: <presence/>\n"
            + &got("K", 4)
            + ASKED
            + "K C: <a xmlns='urn:xmpp:sm:3' h='5'/>\n"
            + &closes("K")
            + &has([]);
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}
