//! Conversations about messages over which clients end their streams.

use super::{tests::backlog, *};
use crate::{
    registrar::Modules,
    resource::Durability,
    testkit::{
        World,
        resumable::{DURABILITIES, options},
        script::follow,
    },
};

const ERROR: &str = "<stream:error><bad-format xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
const CLOSE: &str = "</stream:stream>";
const ASKED: &str = "J S: <r xmlns='urn:xmpp:sm:3'/>\n";

fn modules(modules: &mut Modules) {
    modules.add_with::<OfflineModule>(OfflineConfig {
        sender_share: 100,
        quarantine: kib(64),
        ..OfflineConfig::default()
    });
}

/// Juliet logs on with XEP-0198.
fn enabled() -> String {
    "J = juliet@localhost/balcony
     J C: <enable xmlns='urn:xmpp:sm:3'/>
     J S: <enabled xmlns='urn:xmpp:sm:3'/>\n"
        .to_owned()
}

/// And is available, and gets these, all that there are.
fn gets(ids: &[usize]) -> String {
    enabled() + "J C: <presence/>\n" + &got(ids) + "J S: <presence/>\nJ S: nothing\n"
}

/// The same, and nothing more before it has them.
fn gets_only(ids: &[usize]) -> String {
    enabled() + "J C: <presence/>\n" + &got(ids) + "J S: nothing\n"
}

/// These, and the question whether it has them.
fn got(ids: &[usize]) -> String {
    ids.iter().map(|id| format!("J S: <message id='{id}'/>\n")).collect::<String>() + ASKED
}

fn ack(h: usize) -> String {
    format!("J C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>\n")
}

fn ends(how: &str) -> String {
    format!("J C: {how}\nJ S: </stream:stream>\nJ S: eof\n")
}

/// After the script: the messages that wait, with their strikes, and those in quarantine.
async fn left(world: &World) -> (String, Vec<u64>) {
    let stores = &world.env.stores;
    let user = "juliet@localhost".parse().unwrap();
    let page = stores.offline.page(&user, 0, 99, usize::MAX).await.unwrap();
    let id = |m: &storage::OfflineMessage| m.stanza.head.id.clone().unwrap_or_default();
    let waiting = page.iter().map(|m| format!("{}:{} ", id(m), m.strikes)).collect();
    let kept = stores.quarantine.quarantined(Some(&user), 0, 99).await.unwrap();
    (waiting, kept.iter().map(|kept| kept.id).collect())
}

fn after(script: &str, durability: Durability) -> (String, Vec<u64>) {
    World::block_on(async {
        let mut all = Modules::default();
        modules(&mut all);
        let mut world = World::new(all, options(durability)).await;
        follow(script, &mut world).await.unwrap();
        let left = left(&world).await;
        world.stop().await;
        left
    })
}

#[test]
fn a_message_goes_last_and_then_into_quarantine_and_its_sender_is_told() {
    for end in [ERROR, CLOSE] {
        let script = [
            backlog(3),
            gets(&[0, 1, 2]) + &ends(end),
            // it goes alone now
            gets_only(&[0]) + &ends(end),
            gets_only(&[0]) + &ends(end),
            gets_only(&[1, 2]) + &ack(2) + &got(&[0]) + &ends(end),
            gets_only(&[0]) + &ends(end),
            "R S: nothing\n".to_owned(),
            gets_only(&[0]) + &ends(end),
            "R S: <message type='error' id='0' from='juliet@localhost'><error type='modify'>
                 <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>the recipient's client ends its stream over this message</text>
             </error></message>
             R C: <message to='juliet@localhost' id='9'><body>b</body></message>\n"
                .to_owned(),
            gets(&[9]),
        ]
        .concat();
        let (waiting, kept) = after(&script, Durability::Detached);
        assert_eq!((waiting.as_str(), kept.len()), ("9:0 ", 1), "{end}");
    }
}

#[test]
fn the_one_that_deserves_it_is_found_among_others() {
    let script = [
        backlog(5),
        // it chokes on the third, and has said nothing of those before
        gets(&[0, 1, 2, 3, 4]) + &ends(ERROR),
        gets_only(&[0]) + &ack(1) + &got(&[1]) + &ack(2) + &got(&[2]) + &ends(ERROR),
        gets_only(&[2]) + &ends(ERROR),
        gets_only(&[2]) + &ends(ERROR),
        gets_only(&[3, 4]) + &ack(2) + &got(&[2]) + &ends(ERROR),
    ]
    .concat();
    World::check(&script, modules);
    assert_eq!(after(&script, Durability::Detached), ("2:4 ".to_owned(), vec![]));
}

#[test]
fn what_is_not_the_message_s_fault_does_not_count() {
    let page = || gets(&[0, 1]);
    let asks = "J C: <iq type='get' id='q' to='localhost'><a xmlns='urn:x'/></iq>
        J S: <iq type='error' id='q'/>\n";
    let over = "J S: </stream:stream>\nJ S: eof\n";
    let twice =
        format!("J C: <presence/>{CLOSE}\nJ S: <message id='0'/>\nJ S: <message id='1'/>\n");
    for (what, round, strikes) in [
        ("the end of a stream", page() + &ends(CLOSE), 1),
        ("an error", page() + &ends(ERROR), 1),
        ("just in time", page() + "T: 9s\n" + &ends(ERROR), 1),
        ("too late", page() + "T: 10s\n" + &ends(ERROR), 0),
        ("a lost connection", page() + "J cut\n", 0),
        ("our own error", page() + "J C: <a></b>\nJ S: <stream:error/>\n" + over, 0),
        ("before it was there", enabled() + &twice + ASKED + over, 0),
        (
            "what it asked for itself",
            enabled()
                + asks
                + ASKED
                + "J C: <presence/>\nJ S: <message id='0'/>\nJ S: <message id='1'/>\nJ S: <presence/>\n"
                + &ends(ERROR),
            0,
        ),
    ] {
        for durability in DURABILITIES {
            let script = backlog(2) + &round;
            let left = after(&script, durability);
            assert_eq!(left, (format!("0:{strikes} 1:0 "), vec![]), "{what} {durability:?}");
        }
    }
}

/// The next one waits until it cannot be to blame for what the client has not acknowledged besides.
#[test]
fn what_it_has_is_forgotten_though_the_next_one_waits() {
    let script = [
        backlog(3),
        gets(&[0, 1, 2]) + &ends(ERROR),
        gets_only(&[0]),
        "J C: <iq type='get' id='q' to='localhost'><a xmlns='urn:x'/></iq>
         J S: <iq type='error' id='q'/>\n"
            .to_owned(),
        ack(1),
        ASKED.to_owned() + "J S: nothing",
    ]
    .concat();
    assert_eq!(after(&script, Durability::Detached), ("1:0 2:0 ".to_owned(), vec![]));
}

/// Whether it acknowledges, or closes its stream in order.
#[test]
fn a_client_that_takes_what_it_gets_leaves_nothing_and_counts_nothing() {
    let visit = "J = juliet@localhost/balcony
        J C: <presence/>
        J S: <message id='0'/>
        J S: <message id='1'/>
        J S: <presence/>
        T: 2s\n"
        .to_owned();
    for round in [visit + &ends(CLOSE), gets(&[0, 1]) + "T: 2s\n" + &ack(3) + &ends(CLOSE)] {
        let again = "R C: <message to='juliet@localhost' id='0'><body>b</body></message>
            R C: <message to='juliet@localhost' id='1'><body>b</body></message>\n";
        let rounds = vec![round.clone(); 7].join(again);
        for durability in DURABILITIES {
            let left = after(&(backlog(2) + &rounds), durability);
            assert_eq!(left, (String::new(), vec![]), "{durability:?}: {round}");
        }
    }
}

/// Without acknowledgements an error says that what was not taken did not arrive.
#[test]
fn without_acknowledgements_an_error_counts_against_the_first_that_was_not_taken() {
    let script = backlog(2)
        + &format!("J = juliet@localhost/balcony\nJ C: <presence/>{ERROR}\n")
        + "J S: <message id='0'/>
           J S: <message id='1'/>
           J S: </stream:stream>
           J S: eof\n";
    for durability in DURABILITIES {
        // written and not sent: nobody has choked on it
        assert_eq!(after(&script, durability), ("0:0 1:0 ".to_owned(), vec![]), "{durability:?}");
    }
}

#[test]
fn what_goes_alone_waits_for_the_one_before_no_longer_than_that_can_be_blamed() {
    let script = [
        backlog(3),
        gets(&[0, 1, 2]) + &ends(ERROR),
        gets_only(&[0]) + "T: 9s\nJ S: nothing\nT: 2s\n",
        "J S: <message id='1'/>
         J S: <message id='2'/>
         J S: <presence/>\n"
            .to_owned(),
        ack(4),
        "J S: nothing\n".to_owned() + &ends(CLOSE),
        "J = juliet@localhost/balcony
         J C: <presence/>
         J S: <presence/>
         J S: nothing"
            .to_owned(),
    ]
    .concat();
    World::check(&script, modules);
}

/// What a session holds that was resumed, too.
#[test]
fn a_strike_counts_in_whatever_session_it_comes() {
    let script = backlog(0)
        + "J = juliet@localhost/balcony
           J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
           J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
           J C: <presence/>
           J S: <presence/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
           J cut
           R C: <message to='juliet@localhost' id='0'><body>b</body></message>
           R C: <message to='juliet@localhost' id='1'><body>b</body></message>
           J ~ juliet@localhost
           J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
           J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}'/>
           J S: <message id='0'/>
           J S: <message id='1'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>\n"
        + &ends(ERROR);
    let again = script.clone() + &gets_only(&[0]) + &ends(ERROR);
    World::check(&again, modules);
    for durability in [Durability::Detached, Durability::Behind, Durability::Always] {
        assert_eq!(after(&again, durability), ("0:2 1:0 ".to_owned(), vec![]), "{durability:?}");
    }
    // it was not stored before it came back
    assert_eq!(after(&script, Durability::Memory), ("0:0 1:0 ".to_owned(), vec![]));
}

/// With the quarantine full it stays where it was, behind the others.
#[test]
fn nothing_is_lost_when_the_quarantine_is_full() {
    let body = "b".repeat(50_000);
    let large = |id: &str| {
        format!("R C: <message to='juliet@localhost' id='{id}'><body>{body}</body></message>\n")
    };
    let three = |id: usize| (gets_only(&[id]) + &ends(ERROR)).repeat(3);
    let six = |id: usize| {
        gets(&[id]) + &ends(ERROR) + &(gets_only(&[id]) + &ends(ERROR)).repeat(2) + &three(id)
    };
    let script = backlog(0)
        + &large("0")
        + &six(0)
        + "R S: <message type='error' id='0'/>\n"
        + &large("1")
        + &six(1)
        + "R S: nothing\n"
        + "R C: <message to='juliet@localhost' id='2'><body>b</body></message>\n"
        // behind what comes later only when it has three more
        + &three(1)
        + &gets_only(&[2])
        + &ends(ERROR);
    let (waiting, kept) = after(&script, Durability::Detached);
    assert_eq!((waiting.as_str(), kept.len()), ("2:1 1:3 ", 1));
}
