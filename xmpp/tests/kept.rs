//! What is accepted can be read again from what is kept of it, and is about as large as what came.

#![expect(clippy::panic, reason = "a test all through")]

#[allow(dead_code, reason = "the fuzz targets use the rest")]
mod checks;

use checks::{in_pieces, kept};
use proptest::prelude::*;
use std::fmt::Write as _;
use xmpp::{
    Element,
    error::StreamErrorCondition as Condition,
    framer::{Event, Limits},
    stanza::Stanza,
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// What comes of the one element, whole and in pieces.
fn after(header: &str, xml: &str, limits: Limits) -> Result<Event, Condition> {
    let bytes = format!("{header}{xml}");
    let sizes: &[usize] = if bytes.len() > 10_000 { &[4_096] } else { &[1, 100] };
    let (events, error) = in_pieces(bytes.as_bytes(), limits, sizes);
    match (events.as_slice(), error) {
        ([Event::Open(_), event], None) => Ok(event.clone()),
        ([Event::Open(_)], Some(error)) => Err(error.condition),
        other => panic!("{other:?}"),
    }
}

fn stanza(header: &str, xml: &str) -> Result<Stanza, Condition> {
    match after(header, xml, Limits::default())? {
        Event::Stanza(stanza) => Ok(stanza),
        other => panic!("{other:?}"),
    }
}

/// Declarations ` xmlns:p0='urn:p0'`.
fn declared(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!(" xmlns:{prefix}{n}='urn:{prefix}{n}'")).collect()
}

fn used(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!(" {prefix}{n}:a=''")).collect()
}

#[test]
fn declarations_that_are_taken_can_be_read_again() {
    let mut taken = 0;
    for header in [0, 1, 7, 14] {
        let opened = HEADER.replace('>', &format!("{}>", declared("h", header)));
        for outer in [0, 1, 24, 31, 43, 57] {
            for inner in [0, 1, 26, 33, 43, 57, 63] {
                let uses = used("h", header) + &used("s", outer);
                let xml = format!(
                    "<message{}{uses}><x{uses}><g{}>{}</g></x></message>",
                    declared("s", outer),
                    declared("g", inner),
                    "<i xmlns='urn:i'/>".repeat(3),
                );
                match stanza(&opened, &xml) {
                    Ok(stanza) => {
                        taken += 1;
                        kept(&stanza);
                        let json = serde_json::to_string(&stanza).unwrap();
                        assert_eq!(serde_json::from_str::<Stanza>(&json).unwrap(), stanza);
                    }
                    Err(condition) => assert_eq!(condition, Condition::PolicyViolation),
                }
            }
        }
    }
    assert!(taken > 40, "{taken}");
}

#[test]
fn every_limit_of_what_is_sent_leaves_room_for_what_is_kept() {
    let name = "x".repeat(1_024);
    let value = |piece: &str, bytes: usize| piece.repeat(bytes);
    for xml in [
        format!("<message{}/>", (0..64).map(|n| format!(" a{n}=''")).collect::<String>()),
        format!("<message{}{}/>", declared("p", 32), used("p", 32)),
        format!(
            "<message><x{}/></message>",
            (0..64).map(|n| format!(" a{n}=''")).collect::<String>()
        ),
        format!("<message xmlns:{name}='urn:p' {name}:{name}=''><{name}:{name}/></message>"),
        format!("<message>{}{}</message>", "<a>".repeat(64), "</a>".repeat(64)),
        format!("<message id=\"{}\"/>", value("'", 65_535)),
        format!("<message id=\"{}\"/>", value("'", 65_536)),
        format!("<message id='{}'/>", value("&lt;", 65_536)),
        format!("<message id='{}'/>", value("&#13;", 50_000)),
        format!("<message id='{}'/>", value(">", 60_000)),
        format!("<message a='{}'/>", value("&apos;\"", 30_000)),
        format!("<message xml:lang='{}' xml:id='a'/>", value("&quot;", 30_000)),
        format!("<message><x a='{}'/></message>", value("&gt;", 65_536)),
        format!("<message xmlns:p='{}' p:a=''><p:b/></message>", value("urn:&apos;", 12_000)),
        format!("<message to='b@c/{}'/>", "\u{fdfa}".repeat(31)),
    ] {
        match stanza(HEADER, &xml) {
            Ok(stanza) => kept(&stanza),
            Err(condition) => assert_eq!(condition, Condition::PolicyViolation),
        }
        // not fewer than it can be
        let short = xml.get(..40).unwrap_or_default();
        let taken = stanza(HEADER, &xml).is_ok();
        assert!(
            taken || short.contains('&') || short.contains('>') || xml.contains("urn:&"),
            "{short}"
        );
    }
}

#[test]
fn what_is_parsed_is_not_many_times_what_came() {
    for (xml, limits) in [
        (format!("<message>{}</message>", "<a/>".repeat(60_000)), Limits::default()),
        (format!("<message>{}</message>", "<a></a>t".repeat(30_000)), Limits::default()),
        (format!("<message>{}</message>", "<p:a xmlns:p='u:'/>".repeat(13_000)), Limits::default()),
        (format!("<r xmlns='urn:r'>{}</r>", "<a/>".repeat(60_000)), Limits::default()),
        (format!("<r xmlns='urn:r'>{}</r>", "<a>b</a>".repeat(30_000)), Limits::default()),
        (
            format!("<r xmlns='urn:r'>{}</r>", "<a b='' c='' d='' e=''/>".repeat(10_000)),
            Limits::default(),
        ),
        (
            format!("<r xmlns='urn:r'>{}</r>", "<a/>".repeat(2_400)),
            Limits { max_stanza: 10_000, ..Limits::default() },
        ),
        (
            format!("<message>{}</message>", "<a/>".repeat(2_400)),
            Limits { max_stanza: 10_000, ..Limits::default() },
        ),
    ] {
        // as it is found: nothing waits for the end of it
        let begun = xml.get(..xml.len() - 20).unwrap();
        assert_eq!(after(HEADER, begun, limits).unwrap_err(), Condition::PolicyViolation);
        assert_eq!(after(HEADER, &xml, limits).unwrap_err(), Condition::PolicyViolation);
    }
    // what is deeper in a stanza stays bytes
    let deep = format!("<message><x>{}</x></message>", "<a/>".repeat(60_000));
    assert!(stanza(HEADER, &deep).is_ok());
    let many = format!("<message>{}</message>", "<item xmlns='urn:items'/>".repeat(5_000));
    kept(&stanza(HEADER, &many).unwrap());
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</auth>", "x".repeat(9_000));
    let limits = Limits { max_stanza: 10_000, ..Limits::default() };
    assert!(after(HEADER, &auth, limits).is_ok());
}

#[test]
fn what_is_handed_on_is_about_as_large_as_what_came() {
    let long = HEADER.replace('>', &format!(" xmlns:p='urn:{}'>", "x".repeat(1_990)));
    let grown = |header: &str, xml: &str| {
        let stanza = stanza(header, xml)?;
        kept(&stanza);
        let most = 4 * xml.len() + 2_048;
        assert!(stanza.to_xml().len() <= most, "{} of {}", stanza.to_xml().len(), xml.len());
        Ok(())
    };
    let many = |count: usize| format!("<message to='b@c'>{}</message>", "<p:a/>".repeat(count));
    assert_eq!(grown(&long, &many(1)), Ok(()));
    assert_eq!(grown(&long, &many(100)), Err(Condition::PolicyViolation));
    assert_eq!(grown(&long, "<message p:a=''/>"), Ok(()));
    assert_eq!(grown(&long, "<message p:a=''><p:b/></message>"), Err(Condition::PolicyViolation));
    let quotes = "'".repeat(50_000);
    for xml in [
        format!("<message id=\"{quotes}\"/>"),
        format!(
            "<message {}/>",
            ["a", "b", "c", "d", "e"].map(|a| format!("{a}=\"{quotes}\"")).join(" ")
        ),
        format!("<message id='{}'/>", "\"'".replace('\'', "&apos;").repeat(20_000)),
    ] {
        let stanza = stanza(HEADER, &xml).unwrap();
        assert!(stanza.to_xml().len() <= xml.len() + 16, "{}", stanza.to_xml().len());
        assert_eq!(grown(HEADER, &xml), Ok(()));
    }
    // no more than one of that size can be
    let ends: String = (0..4).map(|n| format!(" a{n}='{}'", ">".repeat(60_000))).collect();
    assert_eq!(grown(HEADER, &format!("<message{ends}/>")), Err(Condition::PolicyViolation));
}

#[test]
fn an_xml_id_is_a_name_and_there_once() {
    for (inner, taken) in [
        ("<a xml:id='b'/><a xml:id='c'/>", true),
        ("<a xml:id='1 2'/>", false),
        ("<a xml:id=''/>", false),
        ("<a xml:id='a:b'/>", false),
        ("<a xml:id='\u{370}'/>", false),
        ("<a xml:id='b'/><a xml:id='b'/>", false),
        ("<a xml:id='b'><a xml:id='b'/></a>", false),
        ("<a xml:id='m'/>", false),
    ] {
        for xml in [
            format!("<message xml:id='m'>{inner}</message>"),
            format!("<r xmlns='urn:r' xml:id='m'>{inner}</r>"),
        ] {
            let judged = after(HEADER, &xml, Limits::default());
            assert_eq!(
                judged.as_ref().err(),
                (!taken).then_some(&Condition::PolicyViolation),
                "{xml}"
            );
            if let Ok(Event::Stanza(stanza)) = judged {
                kept(&stanza);
            }
        }
    }
    let many: String = (0..65).map(|n| format!("<a xml:id='a{n}'/>")).collect();
    assert_eq!(
        stanza(HEADER, &format!("<message>{many}</message>")),
        Err(Condition::PolicyViolation)
    );
    // another stanza may have the same
    let twice = format!("{HEADER}<message xml:id='a'/><message xml:id='a'/>");
    assert_eq!(in_pieces(twice.as_bytes(), Limits::default(), &[1, 50]).0.len(), 3);
}

/// Elements as a client could send them: prefixes of the root, and declarations on the way.
fn tree() -> impl Strategy<Value = String> {
    let attrs = || {
        let one = (0..60_usize, "[a-c]", "[a'\"<\t]{0,3}");
        prop::collection::vec(one, 0..4).prop_map(|attrs| {
            let mut text = String::new();
            for (at, (prefix, name, value)) in attrs.into_iter().enumerate() {
                let value =
                    value.replace('<', "&lt;").replace('\'', "&apos;").replace('\t', "&#9;");
                let _ = write!(text, " p{prefix}:{name}{at}='{value}'");
            }
            text
        })
    };
    let ns = || {
        prop::option::of(prop_oneof![
            (0..9_usize).prop_map(|n| format!("urn:{n}")),
            (0..99_usize).prop_map(|n| format!("urn:long:{}{n}", "x".repeat(40))),
            Just(String::new()),
        ])
    };
    let element =
        move |content: String, (ns, attrs): (Option<String>, String), prefix: Option<usize>| {
            let name = prefix.map_or_else(|| "e".to_owned(), |p| format!("p{p}:e"));
            let ns = ns.map_or_else(String::new, |ns| format!(" xmlns='{ns}'"));
            format!("<{name}{ns}{attrs}>{content}</{name}>")
        };
    let prefix = || prop::option::of(0..60_usize);
    let leaf = ((ns(), attrs()), prefix()).prop_map(move |(own, p)| element(String::new(), own, p));
    let inner = leaf.prop_recursive(40, 80, 3, move |inner| {
        (prop::collection::vec(inner, 1..3), (ns(), attrs()), prefix())
            .prop_map(move |(content, own, p)| element(content.concat(), own, p))
    });
    inner.prop_map(|inner| {
        let short = (0..45).map(|n| format!(" xmlns:p{n}='urn:p{n}'"));
        let long = (45..60).map(|n| format!(" xmlns:p{n}='urn:{}{n}'", "p".repeat(50)));
        format!("<root xmlns='urn:root'{}>{inner}</root>", short.chain(long).collect::<String>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_of_an_element_can_be_read_again(xml in tree()) {
        let element = Element::parse(xml.as_bytes(), "").expect("it is read");
        let written = element.to_xml();
        prop_assert!(element.reads_back(&written), "{written}");
        prop_assert!(written.len() < 3 * xml.len());
    }
}

#[test]
fn attributes_share_what_is_declared() {
    let names = ["p", "q", "r"];
    let nested = |depth: usize| {
        let declared: String = names.iter().map(|p| format!(" xmlns:{p}='urn:{p}'")).collect();
        let start = "<y p:a='' q:a='' r:a=''>".repeat(depth);
        format!("<z xmlns='urn:z'{declared}>{start}{}</z>", "</y>".repeat(depth))
    };
    let element = Element::parse(nested(50).as_bytes(), "").unwrap();
    let written = element.to_xml();
    assert!(element.reads_back(&written));
    assert_eq!(written.matches("xmlns:").count(), 3);
    // each with a declaration of its own
    let many = "<y xmlns:p='urn:p' p:a=''/>".repeat(1_000);
    let element = Element::parse(format!("<z xmlns='urn:z'>{many}</z>").as_bytes(), "").unwrap();
    let written = element.to_xml();
    assert!(element.reads_back(&written));
    assert_eq!(written.matches("xmlns:").count(), 1);
    // a default namespace that changes all the way down
    let depth = 60;
    let down: String = (0..depth).map(|n| format!("<a xmlns='urn:{}'>", n % 2)).collect();
    let element =
        Element::parse(format!("<z>{down}{}</z>", "</a>".repeat(depth)).as_bytes(), "urn:z")
            .unwrap();
    assert!(element.reads_back(&element.to_xml()));
}
