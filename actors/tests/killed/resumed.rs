//! A session is resumed in the next process as far as durability says, with what it has not got; or not in time.

use super::{Scene, cut_off, modules};
use actors::{
    resource::{Durability, QueueLimits},
    routing,
    testkit::{
        World,
        resumable::{ASKED, FAILED, all, closes, got, has, limited, message, options, resumed},
        script::follow,
    },
};
use xmpp::stanza::Stanza;

#[test]
fn a_session_that_waits_is_resumed_in_the_next_process() {
    for durability in [Durability::Detached, Durability::Behind, Durability::Always] {
        for kill in [true, false] {
            World::block_on(async {
                let scene = cut_off(options(durability)).await;
                let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
                scene.resumes(2, &resumed(1)).await;
                // the second is the first that it has not
                let rest = got("K", 2)
                    + ASKED
                    + &all(3..6, |n| got("K", n))
                    + "K C: <a xmlns='urn:xmpp:sm:3' h='6'/>
                       K S: nothing
                       password romeo@localhost rose
                       R = romeo@localhost/orchard\n"
                    + &message(6)
                    + &got("K", 6)
                    + "K S: <r xmlns='urn:xmpp:sm:3'/>
                       K C: <a xmlns='urn:xmpp:sm:3' h='7'/>\n"
                    + &closes("K")
                    + &has([]);
                scene.follow(&rest).await;
                scene.world.stop().await;
            });
        }
    }
}

#[test]
fn what_waits_for_one_that_nobody_resumes_in_time_is_in_offline_storage() {
    World::block_on(async {
        let mut scene = cut_off(options(Durability::Detached)).await.killed().await;
        scene.follow(&("T: 61s\n".to_owned() + &has(2..6))).await;
        scene.resumes(2, FAILED).await;
        scene.world.stop().await;
    });
}

#[test]
fn a_clock_that_was_set_back_meanwhile_makes_no_window_longer() {
    World::block_on(async {
        let mut scene = cut_off(options(Durability::Detached)).await;
        scene.follow("T: 30s").await;
        let clock = &scene.world.env.clock;
        clock.set(clock.millis() - 30 * 24 * 60 * 60 * 1000);
        let mut scene = scene.killed().await;
        scene.follow("T: 61s").await;
        scene.resumes(1, FAILED).await;
        scene.world.stop().await;
    });
}

#[test]
fn one_that_was_resumed_is_not_resumed_from_what_the_store_had() {
    World::block_on(async {
        let mut scene = cut_off(options(Durability::Detached)).await;
        scene.resumes(2, &resumed(1)).await;
        let script = got("K", 2)
            + ASKED
            + &all(3..6, |n| got("K", n))
            + "K C: <a xmlns='urn:xmpp:sm:3' h='4'/>
               K S: <r xmlns='urn:xmpp:sm:3'/>\n";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(4, FAILED).await;
        // what it had not acknowledged was in the store
        scene.follow(&has(4..6)).await;
        scene.world.stop().await;
    });
}

#[test]
fn without_durability_what_is_in_memory_is_lost() {
    World::block_on(async {
        let mut scene = cut_off(options(Durability::Memory)).await.killed().await;
        scene.resumes(2, FAILED).await;
        scene.follow(&has([])).await;
        scene.world.stop().await;
    });
}

#[test]
fn who_is_connected_is_resumed_if_all_is_kept() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Always).await;
        let enable = "R C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            R S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>\n";
        let script = enable.to_owned()
            + &all(1..4, message)
            + &all(1..4, |n| got("J", n))
            + "J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
               J S: <r xmlns='urn:xmpp:sm:3'/>
               R S: nothing";
        scene.follow(&script).await;
        let sender = scene.world.token("romeo@localhost/orchard").unwrap();
        let mut scene = scene.killed().await;
        // of its messages one was acknowledged, and it has two
        scene.resumes(3, &resumed(1)).await;
        let rest = got("K", 3)
            + ASKED
            + "K S: nothing
               K C: <a xmlns='urn:xmpp:sm:3' h='4'/>
               password romeo@localhost rose
               S ~ romeo@localhost\n"
            // it is not told to send any of them again
            + &format!("S C: <resume xmlns='urn:xmpp:sm:3' previd='{sender}' h='0'/>
               S S: <resumed xmlns='urn:xmpp:sm:3' h='3'/>
               S C: <message to='juliet@localhost' type='chat' id='4'><body>4</body></message>
               K S: <message id='4'/>
               K S: <r xmlns='urn:xmpp:sm:3'/>
               S S: nothing
               K C: <a xmlns='urn:xmpp:sm:3' h='5'/>\n")
            + &closes("K")
            + &has([]);
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn who_has_written_to_somebody_without_a_session_is_not_told_to_do_so_again() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Always).await;
        let script = "account nurse@localhost angelica
            R C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            R S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
            R C: <message to='nurse@localhost' type='chat' id='1'><body>1</body></message>
            R S: nothing";
        scene.follow(script).await;
        let sender = scene.world.token("romeo@localhost/orchard").unwrap();
        let mut scene = scene.killed().await;
        let rest = format!(
            "password romeo@localhost rose
             S ~ romeo@localhost
             S C: <resume xmlns='urn:xmpp:sm:3' previd='{sender}' h='0'/>
             S S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>
             password nurse@localhost angelica
             N = nurse@localhost/house
             N C: <presence/>
             N S: <message id='1'><body>1</body></message>
             N S: <presence/>
             N S: nothing"
        );
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn without_acknowledgements_it_is_kept_until_it_is_written() {
    World::block_on(async {
        let mut world = World::new(modules(), options(Durability::Always)).await;
        let script = "account juliet@localhost pencil
            account romeo@localhost rose
            J = juliet@localhost/balcony
            R = romeo@localhost/orchard
            J C: <presence/>
            J S: <presence/>\n"
            .to_owned()
            + &all(1..4, message)
            + &all(1..4, |n| got("J", n))
            + "R S: nothing";
        follow(&script, &mut world).await.unwrap();
        let juliet = "juliet@localhost".parse().unwrap();
        let session = world.resource("juliet@localhost/balcony").unwrap();
        let key = session.stored_as().unwrap();
        let stores = world.env.stores.clone();
        let kept = async || {
            let held = stores.sessions.held(&juliet, &key, 0, 9, usize::MAX).await.unwrap();
            (held.len(), stores.offline.count(&juliet).await)
        };
        assert_eq!(kept().await, (0, Ok(0)), "it has them");
        let message = "<message to='juliet@localhost' type='chat' id='4'><body>4</body></message>";
        // its connection does not come to this before the kill
        routing::send(&world.env, Stanza::parse(message.as_bytes()).unwrap()).await;
        assert_eq!(kept().await, (1, Ok(0)));
        drop(session);
        let mut world = world.killed(modules(), options(Durability::Always)).await;
        follow(&has([4]), &mut world).await.unwrap();
        world.stop().await;
    });
}

/// However much waits for it to acknowledge more.
#[test]
fn what_it_acknowledged_after_it_was_resumed_does_not_come_again() {
    World::block_on(async {
        let queues =
            QueueLimits { durability: Durability::Detached, unacked: 8, ..QueueLimits::default() };
        let mut scene = Scene::with(limited(queues)).await;
        scene.follow(&("J cut\n".to_owned() + &all(1..11, message) + "R S: nothing")).await;
        scene.resumes(1, &resumed(1)).await;
        let script = all(1..6, |n| got("K", n))
            + ASKED
            + "K C: <a xmlns='urn:xmpp:sm:3' h='3'/>\n"
            + ASKED
            + &got("K", 6)
            + &got("K", 7)
            + "K S: nothing";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(3, FAILED).await;
        scene.follow(&has(3..11)).await;
        scene.world.stop().await;
    });
}
