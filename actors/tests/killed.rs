//! The process is killed and another starts: what waited for a session that could be resumed is there, once and in order
//! (`delivery.durability`), whether it is resumed then, or not in time.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    modules::{
        blocking::{BlockingConfig, BlockingModule},
        offline::{OfflineConfig, OfflineModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    resource::{Durability, QueueLimits},
    routing, sessions,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, follow},
    },
};
use std::sync::Arc;
use storage::{RosterChange, RosterItem, Subscription};
use xmpp::{jid::BareJid, stanza::Stanza};

const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    R = romeo@localhost/orchard
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    ";

const ASKED: &str = "K S: <r xmlns='urn:xmpp:sm:3'/>\n";

const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'>
    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    modules.add_with::<BlockingModule>(BlockingConfig::default());
    modules
}

fn options(durability: Durability) -> WorldOptions {
    let queues = QueueLimits { durability, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    WorldOptions { settings, ..WorldOptions::default() }
}

/// A scene in which the process is killed between two scripts.
struct Scene {
    world: World,
    durability: Durability,
    token: String,
}

impl Scene {
    async fn new(durability: Durability) -> Self {
        Self::with(options(durability)).await
    }

    async fn with(options: WorldOptions) -> Self {
        let durability = options.settings.queues.durability;
        let mut world = World::new(modules(), options).await;
        follow(PAIR, &mut world).await.unwrap();
        let mut scene = Self { world, durability, token: String::new() };
        scene.token = scene.token_of("balcony");
        scene
    }

    /// With which a session of Juliet's can be resumed.
    fn token_of(&self, resource: &str) -> String {
        let session = self.world.env.table.find(&"juliet@localhost".parse().unwrap(), resource);
        session.unwrap().with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap()
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    async fn killed(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.killed(modules(), options(durability)).await, durability, token }
    }

    /// The node is stopped in good order, and started.
    async fn stopped(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.stopped(modules(), options(durability)).await, durability, token }
    }

    /// The ids of the messages that a client was sent.
    async fn heard(&mut self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match self.world.next(name, false).await {
                Got::Element(message) if message.name() == "message" => {
                    ids.extend(message.attr("id").map(str::to_owned));
                }
                Got::Element(_) => {}
                _ => return ids,
            }
        }
    }

    /// The client resumes its session, and has got `h`.
    async fn resumes(&mut self, h: u32, answer: &str) {
        let Self { world, token, .. } = self;
        // passwords are those of the world before
        let script = format!(
            "password juliet@localhost pencil
             K ~ juliet@localhost
             K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>
             K S: {answer}"
        );
        follow(&script, world).await.unwrap();
    }
}

fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

fn got(name: &str, n: u32) -> String {
    format!("{name} S: <message id='{n}'><body>{n}</body></message>\n")
}

fn all(of: impl IntoIterator<Item = u32>, line: impl Fn(u32) -> String) -> String {
    of.into_iter().map(line).collect()
}

/// Two that the client got, one that it acknowledged; two that came when it was cut off.
async fn cut_off(durability: Durability) -> Scene {
    let mut scene = Scene::new(durability).await;
    let script = all(1..3, message)
        + &all(1..3, |n| got("J", n))
        + "J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J cut\n"
        + &all(3..5, message)
        + "R C: <message to='juliet@localhost/balcony' id='5'><body>5</body></message>
           R S: nothing";
    scene.follow(&script).await;
    scene
}

#[test]
fn a_session_that_waits_is_resumed_in_the_next_process() {
    for durability in [Durability::Detached, Durability::Always] {
        for kill in [true, false] {
            World::block_on(async {
                let scene = cut_off(durability).await;
                let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
                scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
                // the second is the first that it has not
                let rest = got("K", 2)
                    + ASKED
                    + &all(3..6, |n| got("K", n))
                    + "K C: <a xmlns='urn:xmpp:sm:3' h='6'/>
                       K S: nothing
                       password juliet@localhost pencil
                       password romeo@localhost rose
                       R = romeo@localhost/orchard\n"
                    + &message(6)
                    + &got("K", 6)
                    + "K S: <r xmlns='urn:xmpp:sm:3'/>
                       K C: <a xmlns='urn:xmpp:sm:3' h='7'/>
                       K C: </stream:stream>
                       K S: </stream:stream>
                       K S: eof
                       L = juliet@localhost/garden
                       L C: <presence/>
                       L S: <presence/>
                       L S: nothing";
                scene.follow(&rest).await;
                scene.world.stop().await;
            });
        }
    }
}

#[test]
fn what_waits_for_one_that_nobody_resumes_in_time_is_in_offline_storage() {
    World::block_on(async {
        let mut scene = cut_off(Durability::Detached).await.killed().await;
        let rest = "password juliet@localhost pencil
            T: 61s
            L = juliet@localhost/garden
            L C: <presence/>\n"
            .to_owned()
            + &all(2..6, |n| got("L", n))
            + "L S: <presence/>
               L S: nothing";
        scene.follow(&rest).await;
        scene.resumes(2, FAILED).await;
        scene.world.stop().await;
    });
}

#[test]
fn a_clock_that_was_set_back_meanwhile_makes_no_window_longer() {
    World::block_on(async {
        let mut scene = cut_off(Durability::Detached).await;
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
        let mut scene = cut_off(Durability::Detached).await;
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        let script = got("K", 2)
            + ASKED
            + &all(3..6, |n| got("K", n))
            + "K C: <a xmlns='urn:xmpp:sm:3' h='4'/>
               K S: <r xmlns='urn:xmpp:sm:3'/>\n";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(4, FAILED).await;
        // what it had not acknowledged was in the store
        let rest = "password juliet@localhost pencil
            L = juliet@localhost/garden
            L C: <presence/>\n"
            .to_owned()
            + &all(4..6, |n| got("L", n))
            + "L S: <presence/>
               L S: nothing";
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn without_durability_what_is_in_memory_is_lost() {
    World::block_on(async {
        let mut scene = cut_off(Durability::Memory).await.killed().await;
        scene.resumes(2, FAILED).await;
        scene
            .follow(
                "password juliet@localhost pencil
                 L = juliet@localhost/garden
                 L C: <presence/>
                 L S: <presence/>
                 L S: nothing",
            )
            .await;
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
        let sender = scene.world.env.table.find(&"romeo@localhost".parse().unwrap(), "orchard");
        let sender = sender.unwrap().with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap();
        let mut scene = scene.killed().await;
        // of its messages one was acknowledged, and it has two
        scene.resumes(3, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
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
               K C: <a xmlns='urn:xmpp:sm:3' h='5'/>
               K C: </stream:stream>
               K S: </stream:stream>
               K S: eof
               password juliet@localhost pencil
               L = juliet@localhost/garden
               L C: <presence/>
               L S: <presence/>
               L S: nothing");
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
        let sender = scene.world.env.table.find(&"romeo@localhost".parse().unwrap(), "orchard");
        let sender = sender.unwrap().with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap();
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
fn without_acknowledgements_what_was_not_written_is_kept() {
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
        let session = world.env.table.find(&juliet, "balcony").unwrap();
        let key = session.stored_as().unwrap();
        let held = world.env.stores.sessions.held(&juliet, &key, 0, 9, usize::MAX).await.unwrap();
        assert_eq!(held.len(), 0, "it has them");
        assert_eq!(world.env.stores.offline.count(&juliet).await, Ok(0));
        world.stop().await;
    });
}

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
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
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
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='2'/>").await;
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

/// Juliet has two sessions of the same priority, and the second can be resumed too: its token.
async fn second_session(scene: &mut Scene) -> String {
    scene
        .follow(
            "password juliet@localhost pencil
             L = juliet@localhost/garden
             L C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
             L S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
             L C: <presence/>
             L S: <presence from='juliet@localhost/garden'/>
             L S: <presence from='juliet@localhost/balcony'/>
             L S: <r xmlns='urn:xmpp:sm:3'/>
             L C: <a xmlns='urn:xmpp:sm:3' h='2'/>
             J S: <presence from='juliet@localhost/garden'/>
             J C: <a xmlns='urn:xmpp:sm:3' h='2'/>",
        )
        .await;
    scene.token_of("garden")
}

#[test]
fn each_of_two_sessions_that_wait_gets_it_and_nobody_twice() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        let second = second_session(&mut scene).await;
        // one before they are cut off, one when one of them is, one when both are
        let script = message(1)
            + "J S: <message id='1'/>
               J S: <r xmlns='urn:xmpp:sm:3'/>
               L S: <message id='1'/>
               L S: <r xmlns='urn:xmpp:sm:3'/>
               J cut\n"
            + &message(2)
            + "L S: <message id='2'/>
               L cut\n"
            + &message(3)
            + "R S: nothing";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        let rest = got("K", 1)
            + ASKED
            + &all(2..4, |n| got("K", n))
            + "K S: <presence from='juliet@localhost/garden'/>
               K C: <a xmlns='urn:xmpp:sm:3' h='6'/>
               K S: nothing
               password juliet@localhost pencil
               M ~ juliet@localhost\n"
            + &format!("M C: <resume xmlns='urn:xmpp:sm:3' previd='{second}' h='3'/>\n")
            + "M S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>\n"
            + &got("M", 2)
            + "M S: <r xmlns='urn:xmpp:sm:3'/>\n"
            + &got("M", 3)
            + "M S: <presence from='juliet@localhost/balcony'/>
               M C: <a xmlns='urn:xmpp:sm:3' h='6'/>
               M C: </stream:stream>
               M S: </stream:stream>
               M S: eof
               K S: <presence type='unavailable' from='juliet@localhost/garden'/>
               K S: <r xmlns='urn:xmpp:sm:3'/>
               K C: </stream:stream>
               K S: </stream:stream>
               K S: eof
               N = juliet@localhost/orchard
               N C: <presence/>
               N S: <presence/>
               N S: nothing";
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_one_of_two_sessions_got_does_not_come_again_when_the_other_ends() {
    World::block_on(async {
        let mut scene = Scene::new(Durability::Detached).await;
        second_session(&mut scene).await;
        let script = "J cut
            L cut\n"
            .to_owned()
            + &all(1..3, message)
            + "R S: nothing";
        scene.follow(&script).await;
        let mut scene = scene.killed().await;
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        assert_eq!(scene.heard("K").await, ["1", "2"]);
        let rest = "K C: <a xmlns='urn:xmpp:sm:3' h='5'/>
               K C: </stream:stream>
               K S: </stream:stream>
               K S: eof
               T: 61s
               password juliet@localhost pencil
               N = juliet@localhost/orchard
               N C: <presence/>
               N S: <presence/>
               N S: nothing";
        scene.follow(rest).await;
        scene.world.stop().await;
    });
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
        let mut scene = scene.killed().await;
        scene.resumes(1, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        let rest =
            all(1..4, |n| got("K", n)) + ASKED + &all(4..9, |n| got("K", n)) + "K S: nothing";
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
        scene.resumes(1, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
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
        scene.resumes(2, "<resumed xmlns='urn:xmpp:sm:3' h='2'/>").await;
        let script = "password romeo@localhost rose
            R = romeo@localhost/orchard\n"
            .to_owned()
            + &message(1)
            + &got("K", 1);
        scene.follow(&script).await;
        scene.world.stop().await;
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
        let mut scene = scene.killed().await;
        scene.resumes(1, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        let rest =
            all(1..4, |n| got("K", n)) + ASKED + &all(4..10, |n| got("K", n)) + "K S: nothing";
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}

#[test]
fn what_comes_when_a_connection_is_just_lost_comes_after_what_waited() {
    World::block_on(async {
        let scene = Scene::new(Durability::Detached).await;
        let juliet: BareJid = "juliet@localhost".parse().unwrap();
        let session = scene.world.env.table.find(&juliet, "balcony").unwrap();
        let stanza = |n: u32| {
            let xml = format!("<message type='chat' id='{n}'><body/></message>");
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
        let rest = "password juliet@localhost pencil
            T: 61s
            L = juliet@localhost/garden
            L C: <presence/>
            L S: <message id='1'/>
            L S: <message id='2'/>
            L S: <message id='3'/>
            L S: <presence/>
            L S: nothing";
        scene.follow(rest).await;
        scene.world.stop().await;
    });
}

/// What another session had held is older than what this one has and did not acknowledge.
#[test]
fn what_a_session_held_that_ended_goes_to_one_that_has_newer_messages() {
    let script = PAIR.to_owned()
        + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
           J C: <presence><priority>-1</priority></presence>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J cut
           R C: <message to='juliet@localhost/balcony' id='1'><body>1</body></message>
           R C: <message to='juliet@localhost/balcony' id='2'><body>2</body></message>\n"
        + &message(3)
        + "R S: nothing
           L = juliet@localhost/garden
           L C: <enable xmlns='urn:xmpp:sm:3'/>
           L S: <enabled xmlns='urn:xmpp:sm:3'/>
           L C: <presence/>\n"
        + &got("L", 3)
        + "L S: <r xmlns='urn:xmpp:sm:3'/>
           L S: <presence from='juliet@localhost/garden'/>
           L S: <presence from='juliet@localhost/balcony'/>
           L S: nothing
           T: 61s
           L S: <presence type='unavailable' from='juliet@localhost/balcony'/>\n"
        + &all(1..3, |n| got("L", n))
        + "L S: nothing
           L C: <a xmlns='urn:xmpp:sm:3' h='6'/>
           L C: </stream:stream>
           L S: </stream:stream>
           L S: eof
           K = juliet@localhost/orchard
           K C: <presence/>
           K S: <presence/>
           K S: nothing";
    World::check(&script, |modules| {
        modules.add_with::<OfflineModule>(OfflineConfig::default());
    });
}

/// It was in the middle of its offline messages when it was cut off, and others had come meanwhile.
#[test]
fn what_offline_storage_has_comes_before_what_waited_behind_it() {
    for durability in [Durability::Detached, Durability::Always] {
        for kill in [true, false] {
            World::block_on(async {
                let mut few = options(durability);
                few.settings.queues.unacked = 6;
                let mut scene = Scene::with(few).await;
                let first = "J C: </stream:stream>
                    J S: </stream:stream>
                    J S: eof\n"
                    .to_owned()
                    + &all(1..8, message)
                    + "password juliet@localhost pencil
                       J = juliet@localhost/balcony
                       J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
                       J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
                       J C: <presence/>\n"
                    + &all(1..5, |n| got("J", n));
                scene.follow(&first).await;
                scene.token = scene.token_of("balcony");
                scene.follow(&(all(8..10, message) + "R S: nothing\nJ cut")).await;
                let mut scene = if kill { scene.killed().await } else { scene.stopped().await };
                scene.resumes(0, "<resumed xmlns='urn:xmpp:sm:3'/>").await;
                let mut heard = scene.heard("K").await;
                // that many are enough without an acknowledgement
                for h in [4, 8] {
                    scene.follow(&format!("K C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>")).await;
                    heard.extend(scene.heard("K").await);
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
        let script = "J C: </stream:stream>
            J S: </stream:stream>
            J S: eof\n"
            .to_owned()
            + &all(1..4, message)
            + "password juliet@localhost pencil
               J = juliet@localhost/balcony
               J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
               J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
               J C: <presence/>\n"
            + &all(1..4, |n| got("J", n))
            + "J S: <r xmlns='urn:xmpp:sm:3'/>
               J S: <presence/>\n"
            + &message(4)
            + &got("J", 4);
        scene.follow(&script).await;
        scene.token = scene.token_of("balcony");
        let mut scene = scene.killed().await;
        scene.resumes(1, "<resumed xmlns='urn:xmpp:sm:3' h='1'/>").await;
        let rest = all(2..4, |n| got("K", n))
            + "K S: <presence/>\n"
            + &got("K", 4)
            + ASKED
            + "K C: <a xmlns='urn:xmpp:sm:3' h='5'/>
               K C: </stream:stream>
               K S: </stream:stream>
               K S: eof
               password juliet@localhost pencil
               L = juliet@localhost/garden
               L C: <presence/>
               L S: <presence/>
               L S: nothing";
        scene.follow(&rest).await;
        scene.world.stop().await;
    });
}
