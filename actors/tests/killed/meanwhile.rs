//! What others changed while a session waited: presence, a roster, who is blocked.

use super::Scene;
use actors::{
    resource::Durability,
    testkit::{
        World,
        resumable::{ASKED, all, got, message, resumed},
    },
};
use storage::{RosterChange, RosterItem, Subscription};
use xmpp::jid::BareJid;

/// Juliet and Romeo see each other.
async fn befriend(scene: &Scene) {
    let rosters = &scene.world.env.stores.rosters;
    for (user, contact) in [("juliet", "romeo"), ("romeo", "juliet")] {
        let jid = |name: &str| format!("{name}@localhost").parse::<BareJid>().unwrap();
        let mut item = RosterItem::new(jid(contact).into());
        item.subscription = Subscription::Both;
        rosters.change(&jid(user), 0, RosterChange::Put(item), 9).await.unwrap();
    }
}

/// And both are there.
async fn friends() -> Scene {
    let mut scene = Scene::new(Durability::Detached).await;
    befriend(&scene).await;
    let romeo_comes = "R C: <presence/>
        R S: <presence from='romeo@localhost/orchard'/>
        R S: <presence from='juliet@localhost/balcony'/>";
    scene.follow(romeo_comes).await;
    scene
}

#[test]
fn a_session_that_goes_on_sees_who_is_there_now() {
    World::block_on(async {
        let mut scene = friends().await;
        scene.follow("J S: <presence from='romeo@localhost/orchard'/>\nJ cut").await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(1)).await;
        let rest = "K S: <presence from='romeo@localhost/orchard' type='unavailable'/>
            K S: <presence from='romeo@localhost' type='unavailable'/>
            K S: <r xmlns='urn:xmpp:sm:3'/>
            password romeo@localhost rose
            R = romeo@localhost/garden
            R C: <presence/>
            R S: <presence from='romeo@localhost/garden'/>
            R S: <presence from='juliet@localhost/balcony'/>
            K S: <presence from='romeo@localhost/garden'/>
            K S: nothing";
        scene.follow(rest).await;
        scene.world.stop().await;
    });
}

/// RFC 6121 section 4.5: those who have no session in the next process went without a word.
#[test]
fn a_session_that_goes_on_hears_who_of_several_is_gone() {
    for kill in [true, false] {
        World::block_on(async {
            let mut scene = Scene::new(Durability::Detached).await;
            befriend(&scene).await;
            let script = "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
                R C: <presence/>
                R S: <presence from='romeo@localhost/orchard'/>
                R S: <presence from='juliet@localhost/balcony'/>
                J S: <presence from='romeo@localhost/orchard'/>
                J S: <r xmlns='urn:xmpp:sm:3'/>
                password romeo@localhost rose
                S = romeo@localhost/garden
                S C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
                S S: <enabled xmlns='urn:xmpp:sm:3'/>
                S C: <presence/>
                J S: <presence from='romeo@localhost/garden'/>
                password juliet@localhost pencil
                L = juliet@localhost/garden
                L C: <presence/>
                J S: <presence from='juliet@localhost/garden'/>
                account nurse@localhost angelica
                N = nurse@localhost/house
                N C: <presence to='juliet@localhost/balcony'/>
                J S: <presence from='nurse@localhost/house'/>
                J C: <a xmlns='urn:xmpp:sm:3' h='5'/>
                S cut
                J cut
                N S: nothing";
            scene.follow(script).await;
            let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
            // one of them is back already
            scene
                .follow(
                    "password nurse@localhost angelica
                     N = nurse@localhost/house
                     N C: <presence/>
                     N C: <presence to='juliet@localhost/balcony'/>",
                )
                .await;
            scene.resumes(5, &resumed(1)).await;
            let rest = "K S: <presence from='nurse@localhost/house'/>
                K S: <presence from='juliet@localhost/garden' type='unavailable'/>
                K S: <presence from='romeo@localhost/orchard' type='unavailable'/>
                K S: <presence from='romeo@localhost/garden'/>
                K S: <r xmlns='urn:xmpp:sm:3'/>
                K S: nothing";
            scene.follow(rest).await;
            scene.world.stop().await;
        });
    }
}

/// Whenever its client asked for that.
#[test]
fn so_does_one_that_could_be_resumed_only_when_it_saw_them() {
    World::block_on(async {
        let mut scene = friends().await;
        let script = "password juliet@localhost pencil
            L = juliet@localhost/garden
            L C: <presence/>
            L S: <presence from='juliet@localhost/garden'/>
            L S: <presence from='juliet@localhost/balcony'/>
            L S: <presence from='romeo@localhost/orchard'/>
            L C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
            L S: <enabled xmlns='urn:xmpp:sm:3'/>
            L cut
            R S: <presence from='juliet@localhost/garden'/>
            R S: nothing";
        scene.follow(script).await;
        scene.token = scene.world.token("juliet@localhost/garden").unwrap();
        let mut scene = scene.killed().await;
        scene.resumes(0, &resumed(0)).await;
        let rest = "K S: <presence from='juliet@localhost/balcony' type='unavailable'/>
            K S: <presence from='romeo@localhost/orchard' type='unavailable'/>";
        scene.follow(rest).await;
        scene.world.stop().await;
    });
}

/// XEP-0198 section 5: it does not ask for the roster again, so it is told what changed.
#[test]
fn a_session_that_goes_on_hears_what_changed_in_the_roster_while_it_was_in_the_store() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let change = |name: &str, id: &str| {
            format!(
                "L C: <iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>
                   <item jid='romeo@localhost' name='{name}'/></query></iq>
                 L S: <iq type='result' id='{id}'/>\n"
            )
        };
        let script = "J C: <iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>
            J S: <iq type='result' id='g'/>
            J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
            J cut
            password juliet@localhost pencil
            L = juliet@localhost/garden\n"
            .to_owned()
            + &change("one", "a")
            + &change("two", "b");
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(2)).await;
        let pushed = |name: &str| {
            format!(
                "K S: <iq type='set'><query xmlns='jabber:iq:roster'>
                   <item jid='romeo@localhost' name='{name}' subscription='none'/></query></iq>\n"
            )
        };
        let rest = pushed("one") + &pushed("two") + ASKED + "K S: nothing";
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn who_is_blocked_meanwhile_is_refused_and_not_heard() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let script = "J cut\n".to_owned()
            + &all(1..3, message)
            + "R S: nothing
               password juliet@localhost pencil
               L = juliet@localhost/garden
               L C: <iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>
                 <item jid='romeo@localhost'/></block></iq>
               L S: <iq type='result' id='b'/>
               R S: <message type='error' id='1'/>
               R S: <message type='error' id='2'/>
               R C: <message to='juliet@localhost/balcony' id='3'><body>3</body></message>
               R S: <message type='error' id='3'/>";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(1, &resumed(1)).await;
        let script = "K S: nothing
            password romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <message to='juliet@localhost' id='4'><body>4</body></message>
            R S: <message type='error' id='4'/>
            K S: nothing";
        scene.follow(script).await;
        scene.world.stop().await;
    });
}

#[test]
fn who_is_not_blocked_any_more_is_heard_by_a_session_that_was_stored_before() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let script = "J C: <iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>
              <item jid='romeo@localhost'/></block></iq>
            J S: <iq type='result' id='b'/>
            J cut
            password juliet@localhost pencil
            L = juliet@localhost/garden
            L C: <iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'>
              <item jid='romeo@localhost'/></unblock></iq>
            L S: <iq type='result' id='u'/>";
        scene.follow(script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(2)).await;
        let script = "password romeo@localhost rose
            R = romeo@localhost/orchard\n"
            .to_owned()
            + &message(1)
            + &got("K", 1);
        scene.follow(&script).await;
        scene.world.stop().await;
    });
}

/// Section 4.6: those whose directed presence it saw are there if their sessions go on with it.
#[test]
fn one_that_showed_itself_to_it_alone_is_there() {
    for durability in [Durability::Detached, Durability::Behind, Durability::Always] {
        World::block_on(async {
            let mut scene = Scene::new(durability).await;
            let script = "account nurse@localhost angelica
                N = nurse@localhost/house
                N C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
                N S: <enabled xmlns='urn:xmpp:sm:3'/>
                N C: <presence to='juliet@localhost/balcony'/>
                J S: <presence from='nurse@localhost/house'/>
                J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
                J S: nothing
                N cut
                J cut";
            scene.follow(script).await;
            let mut scene = scene.killed().await;
            scene.resumes(2, &resumed(1)).await;
            scene.follow("K S: nothing").await;
            scene.world.stop().await;
        });
    }
}

/// Somebody may have an address that does not show itself to those who saw the one that had it before.
#[test]
fn one_that_came_back_and_hides_is_gone() {
    World::block_on(async {
        let mut scene = friends().await;
        let script = "J S: <presence from='romeo@localhost/orchard'/>
            account nurse@localhost angelica
            N = nurse@localhost/house
            N C: <presence to='juliet@localhost/balcony'/>
            J S: <presence from='nurse@localhost/house'/>
            J C: <a xmlns='urn:xmpp:sm:3' h='3'/>
            J S: nothing
            J cut";
        scene.follow(script).await;
        let mut scene = scene.killed().await;
        let script = "password romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='juliet@localhost'/></block></iq>
            R S: <iq type='result' id='b'/>
            R C: <presence/>
            R S: <presence from='romeo@localhost/orchard'/>
            password nurse@localhost angelica
            N = nurse@localhost/house
            N C: <presence/>
            N S: <presence from='nurse@localhost/house'/>";
        scene.follow(script).await;
        scene.resumes(3, &resumed(1)).await;
        let rest = "K S: <presence from='nurse@localhost/house' type='unavailable'/>
            K S: <presence from='romeo@localhost/orchard' type='unavailable'/>
            K S: <r xmlns='urn:xmpp:sm:3'/>
            K S: nothing";
        scene.follow(rest).await;
        scene.world.stop().await;
    });
}
