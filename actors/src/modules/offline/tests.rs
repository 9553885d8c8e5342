//! Conversations about messages for users who are away.

use super::*;
use crate::{
    registrar::Modules,
    resource::{Ended, QueueLimits, Sending, StreamManagement},
    sessions::{self, end},
    testkit::{World, WorldOptions},
};
use std::fmt::Write as _;

fn offline(messages: usize, keep: Duration) -> impl Fn(&mut Modules) {
    move |modules| {
        modules.add_with::<OfflineModule>(OfflineConfig {
            messages,
            keep,
            sender_share: 100,
            ..OfflineConfig::default()
        });
    }
}

/// Accounts, and `n` messages of Romeo to Juliet, numbered.
pub(super) fn backlog(n: usize) -> String {
    let mut script = "account juliet@localhost pencil
         account romeo@localhost rose
         R = romeo@localhost/orchard
         "
    .to_owned();
    for i in 0..n {
        let _ = writeln!(
            script,
            "R C: <message to='juliet@localhost' id='{i}'><body>b</body></message>"
        );
    }
    script
}

#[test]
fn one_sender_leaves_room_for_others() {
    let message = |who: &str, id: &str| {
        format!("{who} C: <message to='juliet@localhost' id='{id}'><body>b</body></message>\n")
    };
    let refused = |who: &str, id: &str| {
        format!(
            "{who} S: <message type='error' id='{id}'><error type='cancel'>
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>\n"
        )
    };
    let script = [
        "account juliet@localhost pencil
         account romeo@localhost rose
         account nurse@localhost pencil
         R = romeo@localhost/orchard
         Q = romeo@localhost/hall
         N = nurse@localhost/house\n",
        &message("R", "1"),
        &message("Q", "2"),
        &message("R", "3"),
        &refused("R", "3"),
        // another resource is the same sender
        &message("Q", "4"),
        &refused("Q", "4"),
        &message("N", "5"),
        &message("N", "6"),
        &message("N", "7"),
        &refused("N", "7"),
        "J = juliet@localhost/balcony
         J C: <presence/>
         J S: <message id='1'/>
         J S: <message id='2'/>
         J S: <message id='5'/>
         J S: <message id='6'/>
         J S: <presence/>",
    ]
    .concat();
    World::check(&script, |modules| {
        let config = OfflineConfig { messages: 4, sender_share: 50, ..OfflineConfig::default() };
        modules.add_with::<OfflineModule>(config);
    });
}

#[test]
fn messages_are_kept_and_delivered_in_their_order() {
    let script = include_str!("../../../../tests/scripts/offline.xmpp");
    World::check(script, offline(10, secs(0)));
}

#[test]
fn beyond_the_limit_the_sender_is_told() {
    let script = backlog(2)
        + "R S: nothing
           R C: <message to='juliet@localhost' id='x'><body>b</body></message>
           R S: <message type='error' id='x' from='juliet@localhost'><error type='cancel'>
                <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
           R C: <message to='nobody@localhost' id='y'><body>b</body></message>
           R S: <message type='error' id='y' from='nobody@localhost'><error type='cancel'>
                <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    World::check(&script, offline(2, secs(0)));
}

#[test]
fn a_message_that_nobody_fetches_is_forgotten_in_time() {
    let script = backlog(1)
        + "T: 7000s
           R C: <message to='juliet@localhost' id='young'><body>b</body></message>
           T: 300s
           J = juliet@localhost/balcony
           J C: <presence/>
           J S: <message id='young'><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T01:56:40.000Z'/></message>
           J S: <presence/>
           J S: nothing";
    World::check(&script, offline(2, secs(6000)));
}

#[test]
fn a_backlog_larger_than_the_queues_comes_whole_and_in_order() {
    let mut script = backlog(70);
    // XEP-0198: no more is sent than may be unacknowledged, and newer messages wait
    script += "J = juliet@localhost/balcony
         J C: <enable xmlns='urn:xmpp:sm:3'/>
         J S: <enabled xmlns='urn:xmpp:sm:3'/>
         J C: <presence/>
         ";
    let expect = |script: &mut String, ids: std::ops::Range<u32>| {
        for i in ids {
            let _ = writeln!(
                script,
                "J S: <message id='{i}'><delay xmlns='urn:xmpp:delay'/></message>"
            );
        }
    };
    expect(&mut script, 0..20);
    script += "J S: <r xmlns='urn:xmpp:sm:3'/>\n";
    expect(&mut script, 20..26);
    script += "J S: nothing
         R C: <message to='juliet@localhost' id='new'><body>b</body></message>
         J S: nothing
         J C: <a xmlns='urn:xmpp:sm:3' h='26'/>
         ";
    expect(&mut script, 26..46);
    script += "J S: <r xmlns='urn:xmpp:sm:3'/>\n";
    expect(&mut script, 46..52);
    script += "J S: nothing
         J C: <a xmlns='urn:xmpp:sm:3' h='52'/>
         ";
    expect(&mut script, 52..70);
    script += "J S: <r xmlns='urn:xmpp:sm:3'/>
         J S: <presence/>
         J S: <message id='new'/>
         J S: nothing";
    let queues = QueueLimits { queued: 30, unacked: 50, ..QueueLimits::default() };
    let settings = crate::settings::Settings { queues, ..Default::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    World::check_with(&script, &options, offline(100, secs(0)));
}

#[test]
fn what_was_not_taken_by_a_session_that_ends_comes_to_the_next() {
    let script = backlog(30)
        + "J = juliet@localhost/balcony
           J C: <enable xmlns='urn:xmpp:sm:3'/>
           J S: <enabled xmlns='urn:xmpp:sm:3'/>
           J C: <presence/>
           J S: <message id='0'/>
           J cut
           J = juliet@localhost/balcony
           J C: <presence/>
           ";
    let script = (0..30).fold(script, |s, i| format!("{s}J S: <message id='{i}'/>\n"));
    // and they are not kept any longer
    let script = script
        + "J S: <presence/>
           J cut
           J = juliet@localhost/balcony
           J C: <presence/>
           J S: <presence/>
           J S: nothing";
    World::check(&script, offline(100, secs(0)));
}

#[test]
fn what_two_sessions_read_comes_once_to_the_one_that_stays() {
    let script = backlog(2)
        + "J = juliet@localhost/one
           J C: <enable xmlns='urn:xmpp:sm:3'/>
           J S: <enabled xmlns='urn:xmpp:sm:3'/>
           J C: <presence><priority>-1</priority></presence>
           J S: <presence/>
           R C: <message to='juliet@localhost/one' id='before'><body>b</body></message>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J S: <message id='before'/>
           J C: <presence/>
           J S: <message id='0'/>
           J S: <message id='1'/>
           K = juliet@localhost/two
           K C: <enable xmlns='urn:xmpp:sm:3'/>
           K S: <enabled xmlns='urn:xmpp:sm:3'/>
           K C: <presence/>
           T: 3s
           K S: <message id='0'/>
           K S: <message id='1'/>
           K S: <r xmlns='urn:xmpp:sm:3'/>
           K S: <presence from='juliet@localhost/two'/>
           K S: <presence from='juliet@localhost/one'/>
           K S: nothing
           J cut
           K S: <presence type='unavailable'/>
           K S: <message id='before'/>
           K S: nothing
           K cut
           J = juliet@localhost/one
           J C: <presence/>
           J S: <message id='0'/>
           J S: <message id='1'/>
           J S: <message id='before'/>
           J S: <presence/>
           J S: nothing";
    World::check(&script, offline(10, secs(0)));
}

#[test]
fn a_client_that_leaves_at_once_does_not_get_it_again() {
    let script = backlog(2)
        + "J = juliet@localhost/balcony
           J C: <presence/></stream:stream>
           J S: <message id='0'/>
           J S: <message id='1'/>
           J S: </stream:stream>
           J S: eof
           J = juliet@localhost/balcony
           J C: <presence/>
           J S: <presence/>
           J S: nothing";
    World::check(&script, offline(10, secs(0)));
}

#[test]
fn what_is_half_acknowledged_when_another_connection_takes_over_comes_once() {
    let script = backlog(50)
        + "J = juliet@localhost/balcony
           J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
           J C: <presence/>
           ";
    let expect = |script: String, name: &str, ids: std::ops::Range<u32>| {
        ids.fold(script, |s, i| format!("{s}{name} S: <message id='{i}'/>\n"))
    };
    let script = expect(script, "J", 0..20) + "J S: <r xmlns='urn:xmpp:sm:3'/>\n";
    let script = expect(script, "J", 20..26)
        + "J S: nothing
           K ~ juliet@localhost
           K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='10'/>
           K S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           ";
    // the rest of the page follows in the order in which it is counted
    let script = expect(script, "K", 10..36)
        + "K S: <r xmlns='urn:xmpp:sm:3'/>
           K S: nothing
           K C: <a xmlns='urn:xmpp:sm:3' h='36'/>
           ";
    let script = expect(script, "K", 36..50)
        + "K S: <r xmlns='urn:xmpp:sm:3'/>
           K C: <a xmlns='urn:xmpp:sm:3' h='50'/>
           K S: <presence/>
           K S: <r xmlns='urn:xmpp:sm:3'/>
           K S: nothing
           K cut
           T: 301s
           L = juliet@localhost/chamber
           L C: <presence/>
           L S: <presence/>
           L S: nothing";
    let queues = QueueLimits { unacked: 50, ..QueueLimits::default() };
    let settings = crate::settings::Settings { queues, ..Default::default() };
    // a session is resumed where it is
    let places = &[("R", 0), ("J", 1), ("K", 1)];
    let options = WorldOptions { settings, places, ..WorldOptions::default() };
    World::check_with(&script, &options, offline(100, secs(0)));
}

#[test]
fn what_was_acknowledged_at_the_last_moment_does_not_come_again() {
    World::block_on(async {
        let mut modules = Modules::default();
        offline(100, secs(0))(&mut modules);
        let mut world = World::new(modules, WorldOptions::default()).await;
        let script = crate::testkit::script::Script::parse(&backlog(3)).unwrap();
        script.run(&mut world).await.unwrap();
        let (env, user) = (&world.env, "juliet@localhost".parse().unwrap());
        let session = sessions::bind(env, &user, None).await.unwrap().keep();
        let resource = session.resource;
        resource.with_sm(|sm| *sm = Some(StreamManagement::default()));
        for message in env.stores.offline.page(&user, 0, 2, usize::MAX).await.unwrap() {
            assert_eq!(
                resource.sent_kept(session.epoch, &message.stanza, message.id),
                Sending::Now
            );
        }
        assert_eq!(resource.acknowledge(1, 1), Ok(true));
        end(env, &resource, Ended::Conflict).await;
        let left = env.stores.offline.page(&user, 0, 9, usize::MAX).await.unwrap();
        let left: Vec<_> = left.iter().map(|m| m.stanza.head.id.as_deref().unwrap()).collect();
        assert_eq!(left, ["1", "2"]);
        world.stop().await;
    });
}

#[test]
fn what_is_kept_when_the_queue_is_full_comes_after_the_queue() {
    let mut script = backlog(30);
    script += "J = juliet@localhost/balcony
         J C: <enable xmlns='urn:xmpp:sm:3'/>
         J S: <enabled xmlns='urn:xmpp:sm:3'/>
         J C: <presence/>
         ";
    let messages = |script: &mut String, ids: std::ops::Range<u32>| {
        ids.for_each(|i| writeln!(script, "J S: <message id='{i}'/>").unwrap());
    };
    messages(&mut script, 0..20);
    script += "J S: <r xmlns='urn:xmpp:sm:3'/>\n";
    messages(&mut script, 20..26);
    script += "J S: nothing\n";
    for i in 30..35 {
        writeln!(script, "R C: <message to='juliet@localhost' id='{i}'><body>b</body></message>")
            .unwrap();
    }
    script += "J C: <a xmlns='urn:xmpp:sm:3' h='26'/>\n";
    messages(&mut script, 26..30);
    script += "J S: <r xmlns='urn:xmpp:sm:3'/>\nJ S: <presence/>\n";
    messages(&mut script, 30..35);
    script += "J S: nothing";
    let queues = QueueLimits { queued: 4, unacked: 50, ..QueueLimits::default() };
    let settings = crate::settings::Settings { queues, ..Default::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    World::check_with(&script, &options, offline(100, secs(0)));
}

/// What becomes of a message whose account takes none at the moment.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It is there at the next log-on.
    Stored,
    /// Its sender is told.
    Answered,
    /// Neither: where the RFC has it so.
    Silent,
}

/// The content of messages, and what becomes of it in a message of type normal (or none, or one that
/// nobody knows: RFC 6121 section 5.2.2) and of type chat.
const CONTENTS: &[(&str, Fate, Fate)] = &[
    ("", Fate::Stored, Fate::Stored),
    (" \n", Fate::Stored, Fate::Stored),
    ("<body/>", Fate::Stored, Fate::Stored),
    ("<body>b</body>", Fate::Stored, Fate::Stored),
    ("<subject>s</subject>", Fate::Stored, Fate::Stored),
    ("<thread>t</thread>", Fate::Stored, Fate::Stored),
    ("<x xmlns='urn:example:x'/>", Fate::Stored, Fate::Stored),
    ("<origin-id xmlns='urn:xmpp:sid:0' id='o'/>", Fate::Stored, Fate::Stored),
    ("<received xmlns='urn:xmpp:receipts' id='1'/>", Fate::Stored, Fate::Stored),
    ("<store xmlns='urn:xmpp:hints'/>", Fate::Stored, Fate::Stored),
    ("<no-copy xmlns='urn:xmpp:hints'/>", Fate::Stored, Fate::Stored),
    ("<no-store xmlns='urn:xmpp:hints'/>", Fate::Answered, Fate::Answered),
    ("<body>b</body><no-store xmlns='urn:xmpp:hints'/>", Fate::Answered, Fate::Answered),
    (COMPOSING, Fate::Stored, Fate::Silent),
    (
        "<active xmlns='http://jabber.org/protocol/chatstates'/><body>b</body>",
        Fate::Stored,
        Fate::Stored,
    ),
    (
        "<gone xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/>",
        Fate::Answered,
        Fate::Silent,
    ),
];

const COMPOSING: &str =
    "<composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>";

fn fates() -> Vec<(String, Fate)> {
    let mut fates = Vec::new();
    let mut add = |ty: &str, content: &str, fate| {
        fates.push((format!("{ty} id='{{id}}'>{content}</message>"), fate));
    };
    for (content, normal, chat) in CONTENTS {
        for ty in ["", " type='normal'"] {
            add(ty, content, *normal);
        }
        add(" type='chat'", content, *chat);
        add(" type='groupchat'", content, Fate::Answered);
        add(" type='headline'", content, Fate::Silent);
        add(" type='error'", content, Fate::Silent);
    }
    fates
}

const UNAVAILABLE: &str = "<error type='cancel'>\
     <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

#[test]
fn every_message_for_who_is_away_is_stored_or_answered_as_rfc_6121_has_it() {
    // sections 8.5.2.2.1 and, with resources that take nothing for the account, 8.5.2.1.1
    let away = [
        "",
        "J = juliet@localhost/balcony\n",
        "J = juliet@localhost/balcony
         J C: <presence><priority>-1</priority></presence>
         J S: <presence/>\n",
    ];
    for state in away {
        let mut script = format!(
            "account juliet@localhost pencil
             account romeo@localhost rose
             R = romeo@localhost/orchard
             {state}"
        );
        let mut stored = String::new();
        for (n, (message, fate)) in fates().into_iter().enumerate() {
            let message = message.replace("{id}", &n.to_string());
            let _ = writeln!(script, "R C: <message to='juliet@localhost'{message}");
            let _ = match fate {
                Fate::Stored => writeln!(stored, "K S: <message id='{n}'/>"),
                Fate::Silent => writeln!(script, "R S: nothing"),
                Fate::Answered => {
                    writeln!(script, "R S: <message type='error' id='{n}'>{UNAVAILABLE}</message>")
                }
            };
        }
        let end = "R S: nothing\nK = juliet@localhost/chamber\nK C: <presence/>\n";
        World::check(
            &format!("{script}{end}{stored}K S: <presence from='juliet@localhost/chamber'/>"),
            offline(1_000, secs(0)),
        );
    }
}

#[test]
fn every_message_to_nobody_is_answered_as_rfc_6121_has_it() {
    let mut script = "account romeo@localhost rose\nR = romeo@localhost/orchard\n".to_owned();
    // no account (8.5.1), no such domain (RFC 6120 10.4.3), no such part of the server (10.5.2)
    for to in ["nobody@localhost", "a@elsewhere.example", "localhost/part"] {
        for (n, (message, _)) in fates().into_iter().enumerate() {
            let message = message.replace("{id}", &n.to_string());
            let _ = writeln!(script, "R C: <message to='{to}'{message}");
            let silent = message.contains("type='error'")
                || (message.contains("type='headline'") && to == "nobody@localhost");
            let _ = if silent {
                writeln!(script, "R S: nothing")
            } else {
                writeln!(script, "R S: <message type='error' id='{n}' from='{to}'/>")
            };
        }
        for (ty, content) in
            [("get", ""), ("set", ""), ("get", "<a xmlns='urn:x'/>"), ("set", "<a xmlns='urn:x'/>")]
        {
            let _ = writeln!(
                script,
                "R C: <iq type='{ty}' to='{to}' id='q'>{content}</iq>
                 R S: <iq type='error' id='q'/>"
            );
        }
        for ty in ["result", "error"] {
            let _ = writeln!(script, "R C: <iq type='{ty}' to='{to}' id='q'/>\nR S: nothing");
        }
    }
    World::check(&script, offline(1_000, secs(0)));
}
