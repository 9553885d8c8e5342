//! What the server writes is what the examples of the standards show: expat sees the same elements in both. And
//! what clients write in those examples is read as the standards mean it.

use super::judge;
use xmpp::{
    Element,
    error::{ErrorType, StanzaError, StanzaErrorCondition, StreamError, StreamErrorCondition},
    jid::{FullJid, Jid},
    ns,
    payload::{
        Payload, PayloadError,
        bind::Bind,
        blocking::{self, Block, ListQuery, Unblock},
        delay::delay,
        disco::{self, InfoQuery, ItemsQuery},
        last::{LastQuery, last},
        limits,
        register::{self, Register},
        sid::stanza_id,
        simple::{Ping, PrivateQuery, SessionRequest, TimeQuery, VersionQuery, time, version},
        sm::{self, Enabled},
    },
    stream::Opening,
};

/// An example of a specification, and what we write where it says that.
#[expect(clippy::too_many_lines, reason = "a table")]
fn answers() -> Vec<(&'static str, &'static str, String)> {
    let jids: Vec<Jid> =
        ["romeo@montague.net", "iago@shakespeare.lit"].map(|jid| jid.parse().unwrap()).into();
    let bound: FullJid = "juliet@im.example.com/balcony".parse().unwrap();
    let features = [
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/muc",
    ];
    let rooms = "Play-Specific Chatrooms";
    let identities = [("conference", "text", rooms), ("directory", "chatroom", rooms)];
    let commands = "http://jabber.org/protocol/commands";
    let mut limited = Vec::new();
    limits::render(&mut limited, 10_000, 1_800);
    let limited = String::from_utf8(limited).unwrap();
    let enabled = |id: Option<&str>| {
        Enabled { id: id.map(str::to_owned), max: None, location: None }.to_xml()
    };
    vec![
        (
            "RFC 6120 section 7.6.1",
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@im.example.com/balcony</jid></bind>",
            String::from_utf8(Bind::result(&bound)).unwrap(),
        ),
        (
            "XEP-0012 section 2",
            "<query xmlns='jabber:iq:last' seconds='903'/>",
            last(903, "").to_xml(),
        ),
        (
            "XEP-0012 section 3",
            "<query xmlns='jabber:iq:last' seconds='903'>Heading Home</query>",
            last(903, "Heading Home").to_xml(),
        ),
        (
            "XEP-0030 section 3.1",
            "<query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='conference' type='text' name='Play-Specific Chatrooms'/>\
             <identity category='directory' type='chatroom' name='Play-Specific Chatrooms'/>\
             <feature var='http://jabber.org/protocol/disco#info'/>\
             <feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='http://jabber.org/protocol/muc'/></query>",
            disco::info(None, &identities, &features).to_xml(),
        ),
        (
            "XEP-0030 section 3.2",
            "<query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/commands'>\
             <identity category='automation' type='command-list'/>\
             <feature var='http://jabber.org/protocol/disco#info'/></query>",
            disco::info(Some(commands), &[("automation", "command-list", "")], &features[..1])
                .to_xml(),
        ),
        (
            "XEP-0030 section 4.1: empty result set",
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            disco::items(None, []).to_xml(),
        ),
        (
            "XEP-0030 section 4.1",
            "<query xmlns='http://jabber.org/protocol/disco#items'>\
             <item jid='people.shakespeare.lit'/><item jid='plays.shakespeare.lit'/></query>",
            disco::items(None, ["people", "plays"].map(|of| format!("{of}.shakespeare.lit")))
                .to_xml(),
        ),
        (
            "XEP-0077 section 3.1, with our words",
            "<query xmlns='jabber:iq:register'><instructions>Choose a username and password.</instructions>\
             <username/><password/></query>",
            register::form(None).to_xml(),
        ),
        (
            "XEP-0077 section 3.1: somebody registered, whose password may be left empty",
            "<query xmlns='jabber:iq:register'><registered/><instructions>Choose a new password.</instructions>\
             <username>juliet</username><password/></query>",
            register::form(Some("juliet")).to_xml(),
        ),
        (
            "XEP-0092 section 3",
            "<query xmlns='jabber:iq:version'><name>Exodus</name><version>0.7.0.4</version>\
             <os>Windows-XP 5.01.2600</os></query>",
            version("Exodus", "0.7.0.4", Some("Windows-XP 5.01.2600")).to_xml(),
        ),
        (
            "XEP-0092 section 2: the operating system is optional",
            "<query xmlns='jabber:iq:version'><name>Exodus</name><version>0.7.0.4</version></query>",
            version("Exodus", "0.7.0.4", None).to_xml(),
        ),
        (
            "XEP-0191 section 3.2",
            "<blocklist xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/>\
             <item jid='iago@shakespeare.lit'/></blocklist>",
            blocking::items("blocklist", &jids).to_xml(),
        ),
        (
            "XEP-0191 section 3.2: empty",
            "<blocklist xmlns='urn:xmpp:blocking'/>",
            blocking::items("blocklist", &[]).to_xml(),
        ),
        (
            "XEP-0191 section 3.3: push",
            "<block xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/></block>",
            blocking::items("block", &jids[..1]).to_xml(),
        ),
        ("XEP-0198 section 3", "<enabled xmlns='urn:xmpp:sm:3'/>", enabled(None)),
        (
            "XEP-0198 section 5",
            "<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' resume='true'/>",
            enabled(Some("some-long-sm-id")),
        ),
        ("XEP-0198 section 4", "<r xmlns='urn:xmpp:sm:3'/>", sm::REQUEST.to_owned()),
        ("XEP-0198 section 4", "<a xmlns='urn:xmpp:sm:3' h='1'/>", sm::ack(1)),
        (
            "XEP-0198 section 5",
            "<resumed xmlns='urn:xmpp:sm:3' h='17' previd='some-long-sm-id'/>",
            sm::resumed("some-long-sm-id", 17),
        ),
        (
            "XEP-0198 section 5: timed out",
            "<failed xmlns='urn:xmpp:sm:3' h='17'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
            sm::failed(Some(17), StanzaErrorCondition::ItemNotFound),
        ),
        (
            "XEP-0198 section 6",
            "<failed xmlns='urn:xmpp:sm:3'>\
             <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
            sm::failed(None, StanzaErrorCondition::UnexpectedRequest),
        ),
        (
            "XEP-0202 section 3",
            "<time xmlns='urn:xmpp:time'><tzo>-06:00</tzo><utc>2006-12-19T17:58:35Z</utc></time>",
            time("-06:00", "2006-12-19T17:58:35Z").to_xml(),
        ),
        (
            "XEP-0203 section 3: its second, which the example gives without a fraction, as XEP-0082 allows",
            "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25.000Z'>Offline Storage</delay>",
            delay("capulet.com", 1_031_699_305_000, "Offline Storage").to_xml(),
        ),
        (
            "XEP-0359 section 3.1",
            "<stanza-id xmlns='urn:xmpp:sid:0' id='de305d54-75b4-431b-adb2-eb6b9e546013' by='room@muc.example.com'/>",
            stanza_id("de305d54-75b4-431b-adb2-eb6b9e546013", "room@muc.example.com").to_xml(),
        ),
        (
            "XEP-0478 section 2.1",
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>\
             <idle-seconds>1800</idle-seconds></limits>",
            limited,
        ),
    ]
}

/// What expat makes of documents.
fn seen<'a>(documents: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let said = judge(documents.into_iter().map(str::as_bytes));
    said.into_iter().map(|[expat, _]| expat).collect()
}

#[test]
fn answers_are_what_the_examples_show() {
    let answers = answers();
    let examples = seen(answers.iter().map(|(_, example, _)| *example));
    let ours = seen(answers.iter().map(|(.., ours)| ours.as_str()));
    for (((section, example, written), seen), ours) in answers.iter().zip(&examples).zip(&ours) {
        assert!(!seen.starts_with('!'), "{section}: {seen} in {example}");
        assert_eq!(ours, seen, "{section}: {written}");
    }
}

fn element(error: &StreamError) -> String {
    let mut out = Vec::new();
    error.render_content(&mut out);
    format!("<stream:error>{}</stream:error>", String::from_utf8(out).unwrap())
}

/// RFC 6120 section 4.9.1.1, 4.9.3.x: an error stands in the stream's namespace, its condition in its own.
#[test]
fn an_error_ends_the_stream_that_a_header_began() {
    let mut header = Vec::new();
    let id = "++TR84Sm6A3hnt3Q065SnAbbk3Y=";
    Opening { from: Some("im.example.com"), to: None, id }.render(&mut header);
    let header = String::from_utf8(header).unwrap();
    let mut documents = Vec::new();
    let mut expected = Vec::new();
    for condition in StreamErrorCondition::ALL {
        documents
            .push(format!("{header}{}</stream:stream>", element(&StreamError::new(*condition))));
        expected.push(format!(
            "<s:stream xmlns:s='http://etherx.jabber.org/streams' from='im.example.com' \
             id='++TR84Sm6A3hnt3Q065SnAbbk3Y=' version='1.0' xml:lang='en'><s:error>\
             <{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error></s:stream>",
            condition.as_str()
        ));
    }
    // section 4.9.3.19 and XEP-0198 section 6: a text, and a condition of an application's own
    let error = element(&StreamError::handled_count_too_high(10, 8));
    documents.push(format!("{header}{error}</stream:stream>"));
    expected.push(
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' from='im.example.com' \
         id='++TR84Sm6A3hnt3Q065SnAbbk3Y=' version='1.0' xml:lang='en'><s:error>\
         <undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>\
         10 stanzas were acknowledged, but only 8 were sent</text>\
         <handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/></s:error></s:stream>"
            .to_owned(),
    );
    let ours = seen(documents.iter().map(String::as_str));
    let expected = seen(expected.iter().map(String::as_str));
    for ((document, ours), expected) in documents.iter().zip(ours).zip(expected) {
        assert_eq!(ours, expected, "{document}");
    }
}

/// What clients may put into attributes and text comes out as it was, whatever quotes are around it.
#[test]
fn what_an_error_says_is_read_as_it_was_said() {
    let texts = ["a < b & c > d", "it's \"both\"", "]]>", "line\nend\ttab", "\u{e9}\u{1f600}"];
    let written = texts.map(|text| {
        let mut out = Vec::new();
        StanzaError::new(ErrorType::Wait, StanzaErrorCondition::ResourceConstraint)
            .with_text(text)
            .render(&mut out);
        let header = Element::new("", "x").with_attr("a", text).to_xml();
        (String::from_utf8(out).unwrap(), header)
    });
    for ((error, attribute), text) in written.iter().zip(texts) {
        let text = text.replace('\n', "\\n").replace('\t', "\\t");
        let [error, attribute] =
            <[String; 2]>::try_from(seen([error.as_str(), attribute])).unwrap();
        assert!(error.lines().any(|line| line == format!("\"{text}")), "{error}");
        assert!(attribute.lines().any(|line| line == format!("=\ta\t{text}")), "{attribute}");
    }
}

fn read<P: Payload>(xml: &str) -> Result<P, PayloadError> {
    let element = Element::parse(xml.as_bytes(), ns::CLIENT).unwrap();
    assert!(element.is(P::NS, P::NAME), "{xml}");
    P::from_element(&element)
}

#[test]
fn requests_are_read_as_the_examples_mean_them() {
    // RFC 6120 sections 7.6.1 and 7.7.1
    let bind = |resource: Option<&str>| Bind { resource: resource.map(str::to_owned) };
    assert_eq!(read("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"), Ok(bind(None)));
    let xml =
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\n<resource>balcony</resource>\n</bind>";
    assert_eq!(read(xml), Ok(bind(Some("balcony"))));
    // an element of that name in another namespace is none of ours
    let xml =
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource xmlns='x'>b</resource></bind>";
    assert_eq!(read(xml), Ok(bind(None)));

    // XEP-0030 sections 3.1, 3.2, 4.1 and 4.2
    let info = |node: Option<&str>| InfoQuery { node: node.map(str::to_owned) };
    assert_eq!(read("<query xmlns='http://jabber.org/protocol/disco#info'/>"), Ok(info(None)));
    let xml = "<query xmlns='http://jabber.org/protocol/disco#info'\n node='http://jabber.org/protocol/commands'/>";
    assert_eq!(read(xml), Ok(info(Some("http://jabber.org/protocol/commands"))));
    let xml = "<query xmlns='http://jabber.org/protocol/disco#items' node='music'/>";
    assert_eq!(read(xml), Ok(ItemsQuery { node: Some("music".to_owned()) }));

    // XEP-0077 sections 3.1, 3.2 and 3.3
    let given = |name: &str, password: &str| Register {
        username: Some(name.to_owned()),
        password: Some(password.to_owned()),
        remove: false,
    };
    assert_eq!(read("<query xmlns='jabber:iq:register'/>"), Ok(Register::default()));
    let xml = "<query xmlns='jabber:iq:register'>\n<username>bill</username>\n<password>Calliope</password>\n\
               <email>bard@shakespeare.lit</email>\n</query>";
    assert_eq!(read(xml), Ok(given("bill", "Calliope")));
    let xml = "<query xmlns='jabber:iq:register'><username>bill</username><password>newpass</password></query>";
    assert_eq!(read(xml), Ok(given("bill", "newpass")));
    // 3.3: must not change the password to nothing, so it has to be seen that there is none
    let xml = "<query xmlns='jabber:iq:register'><username>bill</username><password/></query>";
    assert_eq!(read(xml), Ok(given("bill", "")));
    let xml = "<query xmlns='jabber:iq:register'>\n<remove/>\n</query>";
    assert_eq!(read(xml), Ok(Register { remove: true, ..Register::default() }));

    // XEP-0191 sections 3.2 to 3.5
    let jids = |jids: &[&str]| jids.iter().map(|jid| jid.parse().unwrap()).collect::<Vec<Jid>>();
    assert_eq!(read("<blocklist xmlns='urn:xmpp:blocking'/>"), Ok(ListQuery));
    let xml = "<block xmlns='urn:xmpp:blocking'>\n<item jid='romeo@montague.net'/>\n</block>";
    assert_eq!(read(xml), Ok(Block(jids(&["romeo@montague.net"]))));
    // 3.3: "MAY contain more than one"; section 8: an address of any form
    let xml = "<block xmlns='urn:xmpp:blocking'><item jid='a@b/c'/><item jid='b'/><item jid='b/c'/></block>";
    assert_eq!(read(xml), Ok(Block(jids(&["a@b/c", "b", "b/c"]))));
    // 3.3: "MUST return a bad-request"
    assert!(read::<Block>("<block xmlns='urn:xmpp:blocking'/>").is_err());
    assert!(read::<Block>("<block xmlns='urn:xmpp:blocking'><item/></block>").is_err());
    let twice = "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/><item jid='@'/></block>";
    assert!(read::<Block>(twice).is_err(), "all of it or nothing");
    let xml = "<unblock xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/></unblock>";
    assert_eq!(read(xml), Ok(Unblock(jids(&["romeo@montague.net"]))));
    // 3.5: without an item all are meant; an item that cannot be read is not "without"
    assert_eq!(read("<unblock xmlns='urn:xmpp:blocking'/>"), Ok(Unblock(Vec::new())));
    assert!(
        read::<Unblock>("<unblock xmlns='urn:xmpp:blocking'><item jid=''/></unblock>").is_err()
    );

    // XEP-0012 section 2, XEP-0092 section 3, XEP-0199 section 4, XEP-0202 section 3, RFC 3921 section 3
    assert_eq!(read("<query xmlns='jabber:iq:last'/>"), Ok(LastQuery));
    assert_eq!(read("<query xmlns='jabber:iq:version'/>"), Ok(VersionQuery));
    assert_eq!(read("<ping xmlns='urn:xmpp:ping'/>"), Ok(Ping));
    assert_eq!(read("<time xmlns='urn:xmpp:time'/>"), Ok(TimeQuery));
    assert_eq!(read("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"), Ok(SessionRequest));
    // XEP-0049 section 3: the content is the client's
    let xml = "<query xmlns=\"jabber:iq:private\"><exodus xmlns=\"exodus:prefs\"><defaultnick>Hamlet</defaultnick></exodus></query>";
    let PrivateQuery(private) = read(xml).unwrap();
    let nick = private.child("exodus:prefs", "exodus").unwrap();
    assert_eq!(nick.child("exodus:prefs", "defaultnick").unwrap().text(), "Hamlet");
}
