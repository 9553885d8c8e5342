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

#[test]
fn a_session_that_goes_on_sees_who_is_there_now() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let (juliet, romeo) = ("juliet@localhost".parse().unwrap(), "romeo@localhost");
        let mut item = RosterItem::new(romeo.parse().unwrap());
        item.subscription = Subscription::Both;
        let rosters = &scene.world.env.stores.rosters;
        rosters.change(&juliet, 0, RosterChange::Put(item), 9).await.unwrap();
        let mut item = RosterItem::new("juliet@localhost".parse().unwrap());
        item.subscription = Subscription::Both;
        let romeo = romeo.parse().unwrap();
        rosters.change(&romeo, 0, RosterChange::Put(item), 9).await.unwrap();
        scene
            .follow(
                "R C: <presence/>
                 R S: <presence from='romeo@localhost/orchard'/>
                 R S: <presence from='juliet@localhost/balcony'/>
                 J S: <presence from='romeo@localhost/orchard'/>
                 J cut",
            )
            .await;
        let mut scene = scene.killed().await;
        scene.resumes(2, &resumed(1)).await;
        let rest = "K S: <presence from='romeo@localhost' type='unavailable'/>
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
