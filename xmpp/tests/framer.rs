//! The framer from outside: what it finds, what it refuses, and that chunking makes no difference.

use proptest::prelude::*;
use xmpp::{
    error::StreamErrorCondition as Condition,
    framer::{Event, Framer, Limits},
    stanza::Kind,
};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' \
    xml:lang='de' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn limits() -> Limits {
    Limits { max_stanza: 2_000, max_depth: 10, max_attrs: 8, ..Limits::default() }
}

fn run(chunks: &[&[u8]]) -> Result<Vec<Event>, Condition> {
    let mut framer = Framer::new(limits());
    let mut events = Vec::new();
    for chunk in chunks {
        framer.feed(chunk);
        while let Some(event) = framer.next().map_err(|e| e.condition)? {
            events.push(event);
        }
    }
    Ok(events)
}

fn after_header(xml: &str) -> Result<Vec<Event>, Condition> {
    run(&[HEADER.as_bytes(), xml.as_bytes()]).map(|mut events| events.split_off(1))
}

#[test]
fn a_conversation_is_cut_into_its_parts() {
    let events = after_header(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth> \n\
         <message to='a@b'><body>hi</body></message><presence/></stream:stream>",
    )
    .unwrap();
    let [Event::Nonza(auth), Event::Whitespace, Event::Stanza(m), Event::Stanza(p), Event::Close] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (auth.name(), auth.attr("mechanism"), auth.text().as_str()),
        ("auth", Some("PLAIN"), "AGE=")
    );
    assert_eq!(m.head.lang.as_deref(), Some("de"), "inherited from the stream");
    assert_eq!((m.text_of("body").as_deref(), p.head.kind), (Some("hi"), Kind::Presence));
}

#[test]
fn what_the_rfc_forbids_ends_the_stream_with_the_error_it_names() {
    for (xml, condition) in [
        ("<!-- c --><presence/>", Condition::RestrictedXml),
        ("<message><!-- c --></message>", Condition::RestrictedXml),
        ("<?php x ?>", Condition::RestrictedXml),
        ("<!DOCTYPE foo><presence/>", Condition::RestrictedXml),
        ("<message><body>&foo;</body></message>", Condition::RestrictedXml),
        ("<message><body></message>", Condition::NotWellFormed),
        ("<message a='1' a='2'/>", Condition::NotWellFormed),
        ("<message><x:y/></message>", Condition::NotWellFormed),
        ("<message><body>&#0;</body></message>", Condition::NotWellFormed),
        ("<message a=b/>", Condition::NotWellFormed),
        ("text<presence/>", Condition::BadFormat),
        ("<message><stream:error/></message>", Condition::InvalidXml),
        ("<stream:stream to='localhost' version='1.0'>", Condition::InvalidXml),
        ("\u{c}<presence/>", Condition::BadFormat),
    ] {
        assert_eq!(after_header(xml), Err(condition), "{xml}");
    }
    let bad = [HEADER.as_bytes(), b"<message><body>\xff\xfe</body></message>"];
    assert_eq!(run(&bad), Err(Condition::UnsupportedEncoding));
}

#[test]
fn limits_hold_before_an_element_is_complete() {
    let long = format!("<message><body>{}", "x".repeat(2_000));
    assert_eq!(after_header(&long), Err(Condition::PolicyViolation));
    let deep = format!("<message>{}", "<a>".repeat(11));
    assert_eq!(after_header(&deep), Err(Condition::PolicyViolation));
    let wide: String = (0..9).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(after_header(&format!("<message{wide}/>")), Err(Condition::PolicyViolation));
    let name = format!("<{}", "x".repeat(3_000));
    assert_eq!(after_header(&name), Err(Condition::PolicyViolation));
}

#[test]
fn headers_that_are_not_of_a_client_stream_are_refused() {
    let streams = "http://etherx.jabber.org/streams";
    for (xml, condition) in [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://wrong'>".to_owned(),
            Condition::InvalidNamespace,
        ),
        (
            format!("<stream:stream xmlns='jabber:server' xmlns:stream='{streams}'>"),
            Condition::InvalidNamespace,
        ),
        (
            format!("<stream:foo xmlns='jabber:client' xmlns:stream='{streams}'>"),
            Condition::BadFormat,
        ),
        (
            format!("<foobar:stream xmlns='jabber:client' xmlns:foobar='{streams}'>"),
            Condition::BadNamespacePrefix,
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Condition::NotWellFormed),
        ("<?xml version='1.0' encoding='latin-1'?>".to_owned(), Condition::UnsupportedEncoding),
        (
            format!("<stream:stream xmlns='jabber:client' xmlns:stream='{streams}'/>"),
            Condition::BadFormat,
        ),
        (
            format!(
                "<stream:stream xmlns='urn:wrong' xmlns:c='jabber:client' xmlns:stream='{streams}'>"
            ),
            Condition::InvalidNamespace,
        ),
    ] {
        assert_eq!(run(&[xml.as_bytes()]), Err(condition), "{xml}");
    }
}

#[test]
fn one_namespace_of_two_prefixes_is_one_also_in_another_process() {
    let header = HEADER.replace(" xml:lang", " xmlns:p='urn:a' xmlns:q='urn:a' xml:lang");
    let mut framer = Framer::new(Limits::default());
    framer.feed(header.as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Event::Open(_)))));
    let frozen = serde_json::to_string(&framer.freeze()).unwrap();
    for xml in [
        "<message><x p:b='' q:b=''/></message>",
        "<message xmlns:r='urn:a'><x p:b='' r:b=''/></message>",
        "<message><x xmlns:p='urn:b' xmlns:q='urn:b'><y p:b='' q:b=''/></x></message>",
        "<message p:b='' q:b=''/>",
    ] {
        let mut framer = Framer::thaw(serde_json::from_str(&frozen).unwrap(), Limits::default());
        framer.feed(xml.as_bytes());
        let judged = framer.next().map_err(|error| error.condition);
        assert_eq!(judged, Err(Condition::NotWellFormed), "{xml}");
    }
}

#[test]
fn an_attribute_may_be_long_but_not_as_long_as_a_stanza() {
    for (length, result) in [(60_000, Ok(1)), (70_000, Err(Condition::PolicyViolation))] {
        let mut framer = Framer::new(Limits::default());
        let value = "x".repeat(length);
        framer
            .feed(format!("{HEADER}<message><x xmlns='urn:x' a='{value}'/></message>").as_bytes());
        assert!(matches!(framer.next(), Ok(Some(Event::Open(_)))));
        let children = framer.next().map(|event| match event {
            Some(Event::Stanza(stanza)) => stanza.head.children.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(children.map_err(|e| e.condition), result, "{length}");
    }
}

#[test]
fn other_encodings_than_utf_8_are_told_from_what_is_no_xml() {
    let utf16 = |units: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "<?xml version='1.0'?>".encode_utf16().flat_map(units).collect()
    };
    let (big, little) = (utf16(u16::to_be_bytes), utf16(u16::to_le_bytes));
    for bytes in
        [&big, &little, &[&b"\xfe\xff"[..], &big].concat(), &[&b"\xff\xfe"[..], &little].concat()]
    {
        assert_eq!(run(&[bytes]), Err(Condition::UnsupportedEncoding), "{bytes:?}");
    }
}

#[test]
fn a_stream_may_leave_the_content_namespace_to_its_stanzas() {
    let streams = "http://etherx.jabber.org/streams";
    for (header, end) in [
        (format!("<stream xmlns='{streams}' version='1.0'>"), "</stream>"),
        (format!("<stream:stream xmlns:stream='{streams}' version='1.0'>"), "</stream:stream>"),
    ] {
        let xml = format!("<message xmlns='jabber:client'><body>x</body></message>{end}");
        let events = run(&[header.as_bytes(), xml.as_bytes()]).unwrap();
        let Event::Stanza(s) = &events[1] else { panic!("{events:?}") };
        assert_eq!(s.text_of("body").as_deref(), Some("x"));
        assert_eq!(events[2], Event::Close);
    }
}

#[test]
fn content_that_depends_on_outer_prefixes_is_made_to_stand_for_itself() {
    let header = HEADER.replace("xmlns='jabber:client'", "xmlns='jabber:client' xmlns:p='urn:p'");
    let events = run(&[header.as_bytes(), b"<message><p:x p:a='1'>t</p:x></message>"]).unwrap();
    let Event::Stanza(s) = &events[1] else { panic!() };
    let x = s.element("urn:p", "x").unwrap();
    assert_eq!((x.attr_ns("urn:p", "a"), x.text().as_str()), (Some("1"), "t"));
    for xml in [
        "<message xmlns:q='urn:q'><q:x/></message>",
        "<c:message xmlns:c='jabber:client'><x xmlns='urn:q'/></c:message>",
    ] {
        let events = after_header(xml).unwrap();
        let Event::Stanza(s) = &events[0] else { panic!() };
        assert!(s.element("urn:q", "x").is_some(), "{s:?}");
    }
}

#[test]
fn a_prefixed_content_namespace_is_understood() {
    for (header, end) in
        [("<stream:stream xmlns:stream=", "</stream:stream>"), ("<stream xmlns=", "</stream>")]
    {
        let header = format!(
            "{header}'http://etherx.jabber.org/streams' xmlns:c='jabber:client' version='1.0'>"
        );
        let xml = format!("<c:message><c:body>x</c:body></c:message>{end}");
        let events = run(&[header.as_bytes(), xml.as_bytes()]).unwrap();
        let Event::Stanza(s) = &events[1] else { panic!("{events:?}") };
        assert_eq!(s.text_of("body").as_deref(), Some("x"));
        assert_eq!(events[2], Event::Close);
    }
}

#[test]
fn bytes_sent_before_tls_are_forgotten_and_those_after_sasl_are_not() {
    let mut framer = Framer::new(limits());
    framer.feed(format!("{HEADER}<starttls xmlns='t'/><presence/>").as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Event::Open(_)))));
    assert!(matches!(framer.next(), Ok(Some(Event::Nonza(_)))));
    framer.restart_secure();
    assert_eq!(framer.next(), Ok(None));
    framer.feed(format!("{HEADER}<auth xmlns='a'/>{HEADER}<presence/>").as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Event::Open(_)))));
    assert!(matches!(framer.next(), Ok(Some(Event::Nonza(_)))));
    framer.restart();
    assert!(matches!(framer.next(), Ok(Some(Event::Open(_)))));
    assert!(matches!(framer.next(), Ok(Some(Event::Stanza(_)))));
}

fn conversation() -> impl Strategy<Value = String> {
    let text = "[ a-z<>&'\u{e9}\u{1f600}]{0,40}"
        .prop_map(|t: String| t.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    let stanza = (text, 0_usize..4).prop_map(|(t, n)| match n {
        0 => format!("<message to='a@b'><body>{t}</body><x xmlns='y'><z/></x></message>"),
        1 => format!("<presence><status xml:lang='de'>{t}</status></presence> "),
        2 => "<r xmlns='urn:xmpp:sm:3'/>".to_owned(),
        _ => format!("<iq id='1' type='get'><q xmlns='q' a=\"'\"><![CDATA[{}]]></q></iq>", t.len()),
    });
    prop::collection::vec(stanza, 1..6).prop_map(|v| format!("{HEADER}{}", v.concat()))
}

fn significant(events: Vec<Event>) -> Vec<Event> {
    events.into_iter().filter(|e| *e != Event::Whitespace).collect()
}

proptest! {
    #[test]
    fn chunking_makes_no_difference(xml in conversation(), size in 1_usize..80, cut in any::<prop::sample::Index>()) {
        let bytes = xml.as_bytes();
        let whole = significant(run(&[bytes]).unwrap());
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        prop_assert_eq!(&whole, &significant(run(&chunks).unwrap()));

        // frozen and thawed anywhere, with the bytes since the last boundary
        let (a, b) = bytes.split_at(cut.index(bytes.len()));
        let mut framer = Framer::new(limits());
        let mut events = Vec::new();
        framer.feed(a);
        while let Some(e) = framer.next().unwrap() { events.push(e); }
        let frozen = serde_json::to_string(&framer.freeze()).unwrap();
        let mut framer = Framer::thaw(serde_json::from_str(&frozen).unwrap(), limits());
        framer.feed(b);
        while let Some(e) = framer.next().unwrap() { events.push(e); }
        prop_assert_eq!(whole, significant(events));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), xmlish in "[<>/a-z='&;!?: \\[\\]-]{0,200}") {
        let _ = run(&[&bytes]);
        let _ = run(&[HEADER.as_bytes(), &bytes]);
        let _ = after_header(&xmlish);
    }

    #[test]
    fn what_comes_out_of_a_stanza_goes_in_again(xml in conversation()) {
        for event in run(&[xml.as_bytes()]).unwrap() {
            if let Event::Stanza(s) = event {
                let again = xmpp::stanza::Stanza::parse(s.to_xml().as_bytes()).unwrap();
                prop_assert_eq!(again, s);
            }
        }
    }
}
