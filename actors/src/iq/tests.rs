//! Who has no session is answered as a client is, and refused what takes one.

use super::*;
use crate::{
    modules::{
        self,
        register::{RegisterConfig, RegisterModule},
    },
    testkit::{
        World,
        script::{Got, Wire, follow},
    },
};
use config::Sections;
use xmpp::Element;

const STRANGER: &str = "nurse@elsewhere.example/house";

/// Juliet, who sees nobody; Romeo, who may see her; and a stranger in her roster who may too.
async fn world() -> World {
    let mut modules = modules::all(&mut Sections::default());
    modules.add_with::<RegisterModule>(RegisterConfig::default());
    let mut world = World::new(modules, Default::default()).await;
    let begin = "account juliet@localhost pencil
        account romeo@localhost rose
        J = juliet@localhost/balcony
        J C: <iq type='set' id='1'><vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard></iq>
        J S: <iq type='result' id='1'/>
        R = romeo@localhost/orchard";
    follow(begin, &mut world).await.unwrap();
    let (juliet, stores) = ("juliet@localhost".parse().unwrap(), world.env.stores.clone());
    for contact in ["romeo@localhost", "nurse@elsewhere.example"] {
        let mut item = storage::RosterItem::new(contact.parse().unwrap());
        item.subscription = storage::Subscription::From;
        let ver = stores.rosters.get(&juliet).await.unwrap().ver;
        let put = storage::RosterChange::Put(item);
        stores.rosters.change(&juliet, ver, put, 10).await.unwrap();
    }
    world
}

fn iq(ty: &str, to: &str, payload: &str) -> String {
    format!("<iq type='{ty}' id='q' to='{to}'>{payload}</iq>")
}

fn from(iq: &str, from: &str) -> Stanza {
    let from = Some(from.parse().unwrap());
    Stanza::parse(iq.as_bytes()).unwrap().with_from(from)
}

/// Type and content of what R gets.
async fn got(world: &mut World) -> (String, Vec<String>) {
    let Got::Element(element) = world.next("R", true).await else { panic!("no answer") };
    let children = element.children().map(Element::to_xml).collect();
    (element.attr("type").unwrap().to_owned(), children)
}

/// The same of an answer.
fn said(answer: &Stanza) -> (String, Vec<String>) {
    let children = answer.head.children.iter();
    let child = |c: &Child| Element::parse(answer.raw(c), ns::CLIENT).unwrap().to_xml();
    (answer.head.ty.as_str().unwrap().to_owned(), children.map(child).collect())
}

#[test]
fn who_has_no_session_is_answered_as_a_client_is() {
    World::block_on(async {
        let mut world = world().await;
        let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
        let last = "<query xmlns='jabber:iq:last'/>";
        let requests = [
            ("localhost", "<ping xmlns='urn:xmpp:ping'/>"),
            ("juliet@localhost", "<ping xmlns='urn:xmpp:ping'/>"),
            ("localhost", info),
            ("juliet@localhost", info),
            ("localhost", items),
            ("juliet@localhost", items),
            ("localhost", "<query xmlns='jabber:iq:version'/>"),
            ("localhost", "<time xmlns='urn:xmpp:time'/>"),
            ("localhost", last),
            ("juliet@localhost", last),
            ("localhost", "<vCard xmlns='vcard-temp'/>"),
            ("juliet@localhost", "<vCard xmlns='vcard-temp'/>"),
        ];
        for (to, payload) in requests {
            let request = iq("get", to, payload);
            world.send("R", &request, false).await;
            let expected = got(&mut world).await;
            assert_eq!(expected.0, "result", "{request}");
            let env = Arc::clone(&world.env);
            let answer = respond(&env, &from(&request, STRANGER)).await;
            assert_eq!(said(&answer), expected, "{request}");
            assert_eq!(answer.head.to.as_ref().map(Jid::as_str), Some(STRANGER));
            assert_eq!(answer.head.from.as_ref().map(Jid::as_str), Some(to));
            // and what comes by another way than the client's session is answered on its way
            routing::send(&env, from(&request, "romeo@localhost/orchard")).await;
            assert_eq!(got(&mut world).await, expected, "{request}");
        }
        world.stop().await;
    });
}

#[test]
fn what_is_not_for_strangers_is_refused() {
    World::block_on(async {
        let world = world().await;
        let env = Arc::clone(&world.env);
        let juliet = "juliet@localhost".parse().unwrap();
        let blocked = ["blocked@elsewhere.example".parse().unwrap()].into();
        env.stores.blocklists.add(&juliet, blocked, 10).await.unwrap();
        let check = async |iq: &str, who: &str, condition: &str| {
            let answer = respond(&env, &from(iq, who)).await;
            let error = answer.payload().unwrap();
            assert_eq!((answer.head.ty, error.name()), (Type::Error, "error"), "{iq}");
            assert_eq!(error.children().next().unwrap().name(), condition, "{iq}");
        };
        let (roster, mine) = ("<query xmlns='jabber:iq:roster'/>", "juliet@localhost");
        let remove = "<query xmlns='jabber:iq:register'><remove/></query>";
        let private = "<query xmlns='jabber:iq:private'><a xmlns='n:a'/></query>";
        let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        let account = "<query xmlns='jabber:iq:register'>\
            <username>x</username><password>y</password></query>";
        for (ty, to, payload, condition) in [
            ("get", mine, roster, "forbidden"),
            ("get", "nobody@localhost", roster, "forbidden"),
            ("set", mine, "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>", "forbidden"),
            ("get", mine, "<blocklist xmlns='urn:xmpp:blocking'/>", "forbidden"),
            (
                "set",
                mine,
                "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
                "forbidden",
            ),
            ("get", mine, private, "forbidden"),
            ("set", mine, private, "forbidden"),
            ("set", mine, "<vCard xmlns='vcard-temp'/>", "forbidden"),
            ("set", mine, remove, "forbidden"),
            ("set", "localhost", remove, "forbidden"),
            ("get", "localhost", "<query xmlns='jabber:iq:register'/>", "forbidden"),
            // what a client of ours may before it logs on is not for another server's
            ("set", "localhost", account, "forbidden"),
            ("set", "localhost", session, "not-allowed"),
            (
                "set",
                "localhost",
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
                "service-unavailable",
            ),
            ("set", "localhost", ping, "bad-request"),
            ("set", mine, ping, "service-unavailable"),
            ("get", mine, "<query xmlns='n:x'/>", "service-unavailable"),
            ("get", "localhost", "<query xmlns='n:x'/>", "service-unavailable"),
            ("get", mine, "<query xmlns='jabber:iq:version'/>", "service-unavailable"),
            ("get", "nobody@localhost", ping, "service-unavailable"),
            ("get", "nobody@localhost", "<vCard xmlns='vcard-temp'/>", "service-unavailable"),
            ("get", "localhost/x", ping, "service-unavailable"),
            ("get", "localhost", "", "bad-request"),
        ] {
            check(&iq(ty, to, payload), STRANGER, condition).await;
        }
        let unseen = "paris@elsewhere.example/hall";
        let info = iq("get", mine, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
        check(&info, unseen, "service-unavailable").await;
        check(&iq("get", mine, "<query xmlns='jabber:iq:last'/>"), unseen, "forbidden").await;
        check(&iq("get", mine, ping), "blocked@elsewhere.example/x", "service-unavailable").await;
        // her own, as another node may say: what takes her session is not done without it
        check(&iq("get", mine, roster), "juliet@localhost/elsewhere", "not-allowed").await;
        check(&iq("set", mine, remove), "juliet@localhost/elsewhere", "not-allowed").await;
        check(&iq("set", "localhost", remove), "juliet@localhost/elsewhere", "not-allowed").await;
        assert!(env.stores.accounts.get(&juliet).await.unwrap().is_some());
        // an answer is not answered
        let result = from("<iq type='result' id='q' to='localhost'/>", STRANGER);
        assert!(responded(&env, result).is_none());
        world.stop().await;
    });
}
