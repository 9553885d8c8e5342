//! Conversations about which way stanzas go, and what becomes of them when a session is lost.

use crate::{
    modules::{
        blocking::{BlockingConfig, BlockingModule},
        offline::{OfflineConfig, OfflineModule},
        ping::{PingConfig, PingModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    resource::{Ended, QueueLimits},
    routing::presence,
    sessions::{self, end},
    settings::Settings,
    testkit::{World, WorldOptions},
};
use storage::{Account, RosterChange, RosterItem, Subscription};
use xmpp::{
    jid::BareJid,
    stanza::{Stanza, Type},
};

fn modules(modules: &mut Modules) {
    modules.add_with::<BlockingModule>(BlockingConfig::default());
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<PingModule>(PingConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
}

#[test]
fn every_cell_of_the_tables_of_rfc_6121_section_8_5() {
    World::check(include_str!("../../../tests/scripts/routing.xmpp"), modules);
}

#[test]
fn a_session_is_resumed() {
    // a session is resumed where it is
    let places = &[("R", 0), ("J", 1), ("K", 1)];
    World::check_at(include_str!("../../../tests/scripts/resume.xmpp"), places, modules);
}

const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    R = romeo@localhost/orchard
    J = juliet@localhost/balcony
    ";

/// The connection of an available session is lost.
const LOST: &str = "J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    J cut
    ";

#[test]
fn what_waits_for_a_session_that_is_not_resumed_in_time_goes_to_offline_storage() {
    let script = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true' max='60'/>
           J C: <presence/>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           R C: <message to='juliet@localhost' id='1'><body>sent</body></message>
           J S: <message id='1'/>
           J cut
           R C: <message to='juliet@localhost' type='chat' id='2'><body>queued</body></message>
           R C: <message to='juliet@localhost/balcony' id='3'><body>queued</body></message>
           R C: <message to='juliet@localhost/balcony' type='groupchat' id='4'><body>queued</body></message>
           R C: <iq to='juliet@localhost/balcony' type='get' id='5'><x xmlns='urn:example:x'/></iq>
           R S: nothing
           T: 20s
           R C: <message to='juliet@localhost' type='chat' id='6'><body>queued later</body></message>
           R S: nothing
           T: 39s
           R S: nothing
           T: 2s
           R S: <message type='error' id='4'><error type='cancel'>
                <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
           R S: <iq type='error' id='5'><error type='cancel'>
                <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
           J = juliet@localhost/chamber
           J C: <presence/>
           J S: <message id='1'><body>sent</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00.000Z'/></message>
           J S: <message id='2'><body>queued</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00.000Z'/></message>
           J S: <message id='3' to='juliet@localhost/balcony'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <message id='6'><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:20.000Z'/></message>
           J S: <presence/>
           J S: nothing
           K ~ juliet@localhost
           K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           K S: <failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    World::check(&script, modules);
}

#[test]
fn or_to_another_resource_and_contacts_learn_only_then_that_it_is_gone() {
    let script = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3' resume='1' max='60'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' max='60'/>
           J C: <presence><priority>5</priority></presence>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           K = juliet@localhost/chamber
           K C: <presence/>
           K S: <presence from='juliet@localhost/chamber'/>
           K S: <presence from='juliet@localhost/balcony'/>
           J S: <presence from='juliet@localhost/chamber'/>
           J cut
           R C: <message to='juliet@localhost' id='1'><body>for the best one</body></message>
           K S: nothing
           T: 59s
           K S: nothing
           T: 1s
           K S: <presence type='unavailable' from='juliet@localhost/balcony'/>
           K S: <message id='1' to='juliet@localhost'><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00.000Z'/></message>
           R S: nothing";
    World::check(&script, modules);
}

#[test]
fn each_loss_of_a_session_has_a_window_of_its_own() {
    let again = "J ~ juliet@localhost
        J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>\n";
    let resumed = "J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}'/>\n";
    let script = [
        PAIR,
        "J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
         J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' max='60'/>
         J cut
         T: 40s\n",
        again,
        resumed,
        "J cut\nT: 40s\n",
        again,
        resumed,
        "J cut\nT: 59s\n",
        again,
        resumed,
        "J cut\nT: 61s\n",
        again,
        "J S: <failed xmlns='urn:xmpp:sm:3'>
           <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    ];
    World::check(&script.concat(), modules);
}

#[test]
fn what_does_not_fit_into_a_queue_is_not_overtaken_by_what_would() {
    let large = "x".repeat(2_000);
    let script = PAIR.to_owned()
        + LOST
        + "R C: <message to='juliet@localhost' id='1'><body>b</body></message>
           R C: <message to='juliet@localhost' id='2'><body>LARGE</body></message>
           R C: <message to='juliet@localhost' id='3'><body>b</body></message>
           J ~ juliet@localhost
           J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}'/>
           J S: <message id='1'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J S: <message id='2'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <message id='3'><delay xmlns='urn:xmpp:delay'/></message>
           J S: nothing";
    let queues = QueueLimits { queued_bytes: 1_000, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    World::check_with(&script.replace("LARGE", &large), &options, modules);
}

#[test]
fn a_session_that_cannot_be_resumed_ends_with_its_connection() {
    let script = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' absent-id='' absent-resume='' absent-max=''/>
           J C: <presence/>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           R C: <message to='juliet@localhost' id='1'><body>b</body></message>
           J S: <message id='1'/>
           J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           R C: <message to='juliet@localhost' id='2'><body>b</body></message>
           J S: <message id='2'/>
           J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J cut
           J = juliet@localhost/balcony
           J C: <presence/>
           J S: <message id='2'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <presence/>
           J S: nothing";
    World::check(&script, modules);
}

#[test]
fn who_closes_the_stream_ends_the_session_and_a_new_bind_ends_the_old_one() {
    let script = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{first}'/>
           R C: <message to='juliet@localhost/balcony' id='1'><body>b</body></message>
           J S: <message id='1'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J C: </stream:stream>
           J S: </stream:stream>
           J S: eof
           J = juliet@localhost/balcony
           J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{second}'/>
           J C: <presence/>
           J S: <message id='1'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J S: <presence/>
           K = juliet@localhost/balcony
           J S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
           J S: </stream:stream>
           J S: eof
           K C: <presence/>
           K S: <message id='1'><delay xmlns='urn:xmpp:delay'/></message>
           K S: <presence/>
           K S: nothing";
    World::check(&script, modules);
}

#[test]
fn a_client_that_never_acknowledges_is_let_go_and_loses_nothing() {
    let script = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
           J S: <enabled xmlns='urn:xmpp:sm:3'/>
           R C: <message to='juliet@localhost/balcony' id='1'><body>b</body></message>
           J S: <message id='1'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           R C: <message to='juliet@localhost/balcony' id='2'><body>b</body></message>
           J S: <message id='2'/>
           R C: <message to='juliet@localhost/balcony' id='3'><body>b</body></message>
           J S: nothing
           T: 21s
           J S: <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
           J S: </stream:stream>
           J S: eof
           J = juliet@localhost/balcony
           J C: <presence/>
           J S: <message id='1'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <message id='2'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <message id='3'><delay xmlns='urn:xmpp:delay'/></message>
           J S: <presence/>";
    let queues = QueueLimits { unacked: 2, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    World::check_with(&script, &WorldOptions { settings, ..WorldOptions::default() }, modules);
}

#[test]
fn a_full_queue_refuses_and_messages_go_to_offline_storage() {
    let script = PAIR.to_owned()
        + LOST
        + "R C: <message to='juliet@localhost' id='1'><body>b</body></message>
           R C: <message to='juliet@localhost' id='2'><body>b</body></message>
           R C: <message to='juliet@localhost' id='3'><body>b</body></message>
           R C: <iq to='juliet@localhost/balcony' type='get' id='4'><x xmlns='urn:example:x'/></iq>
           R S: <iq type='error' id='4'><error type='wait'>
                <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
           J ~ juliet@localhost
           J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <message id='1'><body>b</body></message>
           J S: <message id='2'><body>b</body></message>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J S: <message id='3'><body>b</body><delay xmlns='urn:xmpp:delay'/></message>
           J S: nothing";
    let queues = QueueLimits { queued: 2, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    World::check_with(&script, &WorldOptions { settings, ..WorldOptions::default() }, modules);
}

#[test]
fn what_a_session_leaves_behind_stands_before_what_was_kept_after_it() {
    let begin = PAIR.to_owned()
        + "J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
           J C: <presence/>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
           J cut
           R C: <message to='juliet@localhost' id='1'><body>queued</body></message>
           R C: <message to='juliet@localhost' id='2'><body>queued</body></message>
           R C: <message to='juliet@localhost' id='3'><body>kept</body></message>
           R C: <message to='juliet@localhost' id='4'><body>kept</body></message>
           ";
    let resumed = "J ~ juliet@localhost
           J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <message id='1'/>
           J S: <message id='2'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J S: <message id='3'/>
           J S: <message id='4'/>
           R C: <message to='juliet@localhost' id='5'><body>sent</body></message>
           J S: <message id='5'/>
           J cut
           R C: <message to='juliet@localhost' id='6'><body>queued</body></message>
           R C: <message to='juliet@localhost' id='7'><body>queued</body></message>
           R C: <message to='juliet@localhost' id='8'><body>kept</body></message>
           ";
    let queues = QueueLimits { queued: 2, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    for (between, count) in [("", 4), (resumed, 8)] {
        let again = "T: 61s\nM = juliet@localhost/garden\nM C: <presence/>\n";
        let script = (1..=count).fold(format!("{begin}{between}{again}"), |s, id| {
            format!("{s}M S: <message id='{id}'><delay xmlns='urn:xmpp:delay'/></message>\n")
        });
        World::check_with(&(script + "M S: <presence/>\nM S: nothing"), &options, modules);
    }
}

const TWO: &str = "J C: <enable xmlns='urn:xmpp:sm:3' resume='1' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    K = juliet@localhost/chamber
    K C: <presence/>
    K S: <presence from='juliet@localhost/chamber'/>
    K S: <presence from='juliet@localhost/balcony'/>
    J S: <presence from='juliet@localhost/chamber'/>
    ";

#[test]
fn what_one_of_two_resources_got_does_not_come_again_when_the_other_ends() {
    let script = PAIR.to_owned()
        + TWO
        + "R C: <message to='juliet@localhost' id='1'><body>written to both</body></message>
           J S: <message id='1'/>
           K S: <message id='1'/>
           J cut
           R C: <message to='juliet@localhost' id='2'><body>queued for one</body></message>
           K S: <message id='2'/>
           T: 61s
           K S: <presence type='unavailable' from='juliet@localhost/balcony'/>
           K S: nothing
           R S: nothing";
    // a node does not know what a client of another one has got of it: it may come again
    let places = &[("R", 0), ("J", 1), ("K", 1)];
    World::check_at(&script, places, modules);
}

#[test]
fn what_neither_got_goes_on_its_way_once() {
    let script = PAIR.to_owned()
        + TWO
        + "K C: <enable xmlns='urn:xmpp:sm:3' resume='1' max='30'/>
           K S: <enabled xmlns='urn:xmpp:sm:3' id='{second}' max='30'/>
           J cut
           K cut
           R C: <message to='juliet@localhost' id='1'><body>for nobody</body></message>
           T: 61s
           M = juliet@localhost/garden
           M C: <presence/>
           M S: <message id='1'><delay xmlns='urn:xmpp:delay' from='localhost'/></message>
           M S: <presence from='juliet@localhost/garden'/>
           M S: nothing";
    World::check(&script, modules);
}

/// How often a future has to be polled until it is done: others have their turn in between.
async fn polls<T>(future: impl Future<Output = T>) -> usize {
    let (mut future, mut polls) = (std::pin::pin!(future), 0);
    std::future::poll_fn(|task| {
        polls += 1;
        future.as_mut().poll(task).map(|_| polls)
    })
    .await
}

#[test]
fn what_concerns_thousands_is_done_a_part_at_a_time() {
    const MANY: usize = 1_000;
    // tokio's budget of one poll is 128
    const PARTS: usize = MANY / 128;
    World::block_on(async {
        let queues = QueueLimits { directed: MANY, ..QueueLimits::default() };
        let settings = Settings { queues, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let world = World::new(Modules::default(), options).await;
        let env = &world.env;
        let user: BareJid = "b@localhost".parse().unwrap();
        env.stores.accounts.create(vec![(user.clone(), Account::default())]).await.unwrap();
        for n in 0..MANY {
            let mut item = RosterItem::new(format!("{n}@localhost").parse().unwrap());
            item.subscription = Subscription::Both;
            let put = RosterChange::Put(item);
            env.stores.rosters.change(&user, n as u64, put, MANY).await.unwrap();
        }
        let jid = Some("b@localhost/one".parse().unwrap());
        let one = sessions::bind(env, &user, jid).await.unwrap().keep().resource;
        for n in 0..MANY {
            one.directed_add(&format!("x{n}@localhost").parse().unwrap());
        }
        one.withdraw();
        let gone = Stanza::presence(Type::Unavailable).with_from(Some(one.jid().clone().into()));
        assert!(polls(presence::gone(env, &one, &gone)).await > PARTS, "directed");
        let presence = Stanza::presence(Type::Available).with_from(Some(one.jid().clone().into()));
        one.set_presence(presence.clone(), -1);
        let broadcast = presence::broadcast(env, &one, &presence, false);
        assert!(polls(broadcast).await > PARTS, "presence");
        one.with_sm(|sm| *sm = Some(crate::resource::StreamManagement::default()));
        let message = Stanza::parse(b"<message to='b@localhost/one'/>").unwrap();
        for _ in 0..MANY {
            one.sent(1, &message);
        }
        assert!(polls(end(env, &one, Ended::Closed)).await > PARTS, "what is left");
        world.stop().await;
    });
}
