//! What a hostile client sends: what it may not do to others, and what it may not cost.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test all through")]

#[allow(dead_code, reason = "the fuzz targets use the rest")]
mod checks;

use checks::in_pieces;
use xmpp::{
    Element,
    error::StreamErrorCondition as Condition,
    framer::{Event, Limits, StreamHeader},
    ns,
    stanza::Stanza,
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// What comes of the bytes, in one piece and in pieces of every size: the same.
fn run(bytes: &[u8], limits: Limits) -> Result<Vec<Event>, Condition> {
    let every: Vec<usize> = (1..bytes.len()).collect();
    let sizes = if bytes.len() > 2_000 { &[7, 4_096] } else { every.as_slice() };
    match in_pieces(bytes, limits, sizes) {
        (events, None) => Ok(events),
        (_, Some(error)) => Err(error.condition),
    }
}

fn after(header: &str, xml: &str) -> Result<Vec<Event>, Condition> {
    let events = run(format!("{header}{xml}").as_bytes(), Limits::default());
    events.map(|mut events| events.split_off(1))
}

fn stanza(header: &str, xml: &str) -> Stanza {
    match after(header, xml).unwrap().as_slice() {
        [Event::Stanza(stanza)] => stanza.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_without_an_event_are_counted() {
    let forged = "<message from='admin@a'><body>pay</body></message>";
    for inner in [
        "<![CDATA[]]>",
        "<![CDATA[]]><![CDATA[]]><body/>",
        "<body><![CDATA[]]></body><![CDATA[]]>",
        "<body>a<![CDATA[]]>b</body><x xmlns='y'/>",
    ] {
        let stanza = format!("<message to='b@c'>{inner}</message>");
        let events = after(HEADER, &format!("{stanza}{forged}")).unwrap();
        let xml: Vec<String> = events
            .iter()
            .map(|event| match event {
                Event::Stanza(stanza) => stanza.to_xml(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(xml, [stanza, forged.to_owned()]);
    }
    for xml in
        ["<![CDATA[]]><presence/>", "<![CDATA[]]></stream:stream>", "<![CDATA[ ]]><presence/>"]
    {
        assert_eq!(after(HEADER, xml), Err(Condition::BadFormat), "{xml}");
    }
    for xml in ["<![CDATA[]]>", "<?xml version='1.0'?><![CDATA[]]>"] {
        let xml = format!("{xml}{HEADER}");
        assert_eq!(run(xml.as_bytes(), Limits::default()), Err(Condition::NotWellFormed), "{xml}");
    }
    assert_eq!(Element::parse(b"<a/>x", ""), None, "text after it");
    assert_eq!(Element::parse(b"<![CDATA[]]><a/>", ""), None);
}

#[test]
fn the_condition_depends_on_the_bytes_alone() {
    for (xml, condition) in [
        ("<x<!--", Condition::NotWellFormed),
        ("<message><x<!--", Condition::NotWellFormed),
        ("<message><!D", Condition::RestrictedXml),
        ("<message><!-", Condition::NotWellFormed),
        ("<message><!x", Condition::RestrictedXml),
        ("<message>]]><!--", Condition::NotWellFormed),
        ("<message>\u{1}<!--", Condition::NotWellFormed),
        ("<message><a b='<!--", Condition::NotWellFormed),
        ("<message>&x;<!--", Condition::RestrictedXml),
    ] {
        let expected = if xml.ends_with("<!-") { Ok(Vec::new()) } else { Err(condition) };
        assert_eq!(after(HEADER, xml), expected, "{xml}");
    }
    for (bytes, condition) in [
        (&b"\0"[..], Condition::UnsupportedEncoding),
        (b"\0<\0?", Condition::UnsupportedEncoding),
        (b"<\0?\0", Condition::UnsupportedEncoding),
        (b"\xff\xfe<\0", Condition::UnsupportedEncoding),
        (b"\xef\xbb\xbf<stream:stream>", Condition::NotWellFormed),
        (b"x", Condition::NotWellFormed),
        (b"<!DOCTYPE a>", Condition::RestrictedXml),
        (b"<!-- -->", Condition::RestrictedXml),
        (b"<?p?>", Condition::RestrictedXml),
    ] {
        assert_eq!(run(bytes, Limits::default()), Err(condition), "{bytes:?}");
    }
    // a fault behind the limit is not looked for, wherever the pieces end
    let limits = Limits { max_stanza: 200, ..Limits::default() };
    for length in 150..200 {
        let xml = format!("{HEADER}<message><body>{}<!--", "x".repeat(length));
        let condition = run(xml.as_bytes(), limits).unwrap_err();
        let at = "<message><body><!--".len() + length;
        let expected =
            if at <= 200 { Condition::RestrictedXml } else { Condition::PolicyViolation };
        assert_eq!(condition, expected, "{length}");
    }
}

#[test]
fn a_header_declares_few_namespaces() {
    let header = |count: usize, ns: &str| {
        let more: String = (0..count).map(|n| format!(" xmlns:p{n}='{ns}'")).collect();
        HEADER.replace('>', &format!("{more}>"))
    };
    let judged =
        |header: String| run(header.as_bytes(), Limits::default()).map(|events| events.len());
    assert_eq!(judged(header(14, "urn:a")), Ok(1));
    assert_eq!(judged(header(15, "urn:a")), Err(Condition::PolicyViolation));
    let long = format!("urn:{}", "x".repeat(200));
    assert_eq!(judged(header(9, &long)), Ok(1));
    assert_eq!(judged(header(11, &long)), Err(Condition::PolicyViolation));
    let declared: String = (0..57).map(|n| format!(" xmlns:p{n}='urn:a'")).collect();
    assert!(after(HEADER, &format!("<message><a b=''{declared}/></message>")).is_ok());
    let deep = format!("<message><a{declared}><b{declared}><c{declared}/></b></a></message>");
    assert_eq!(after(HEADER, &deep), Err(Condition::PolicyViolation), "171 declarations around it");
}

#[test]
fn names_and_namespaces_are_those_that_every_client_takes() {
    for inner in [
        "<\u{370}/>",
        "<\u{10000}/>",
        "<a \u{370}=''/>",
        "<a\u{370}:b xmlns:a\u{370}='urn:a'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:xml='urn:a'/>",
        "<a xmlns:xmlns='urn:a'/>",
        "<a xmlns:p=''/>",
        "<xmlns:a/>",
        "<p:a/>",
        "<a p:b=''/>",
        "<a xmlns='urn:a' xmlns='urn:b'/>",
        "<a xmlns:p='urn:a' xmlns:p='urn:b'/>",
        "<a xmlns:p='urn:a' xmlns:q='urn:a' p:b='' q:b=''/>",
        "<a b='' b=''/>",
        "<a:b:c xmlns:a='urn:a'/>",
        "<:a/>",
        "<a:/>",
        "<a b='<'/>",
        "<a b='\u{ffff}'/>",
        "]]>",
        "\u{fffe}",
        "&#xFFFE;",
        "&#11;",
    ] {
        for xml in [format!("<message>{inner}</message>"), format!("<r xmlns='urn:r'>{inner}</r>")]
        {
            assert_eq!(after(HEADER, &xml), Err(Condition::NotWellFormed), "{xml}");
        }
        assert_eq!(
            Element::parse(format!("<x>{inner}</x>").as_bytes(), ns::CLIENT),
            None,
            "{inner}"
        );
        assert_eq!(Stanza::parse(format!("<message>{inner}</message>").as_bytes()), None);
    }
    for declared in
        ["xmlns:\u{370}='urn:a'", "xmlns:p='http://www.w3.org/2000/xmlns/'", "\u{370}=''"]
    {
        let header = HEADER.replace('>', &format!(" {declared}>"));
        assert_eq!(run(header.as_bytes(), Limits::default()), Err(Condition::NotWellFormed));
    }
    let limits = Limits { max_depth: 1_000, ..Limits::default() };
    for (depth, taken) in [(239, true), (241, false)] {
        let deep =
            format!("{HEADER}<message>{}{}</message>", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(run(deep.as_bytes(), limits).is_ok(), taken, "libxml2 takes 256: {depth}");
    }
    // well-formed, but not what all read
    let long = format!("<{}/>", "x".repeat(2_000));
    for inner in [&long, "<a xmlns='a}b'/>", "<a xmlns='a b'/>", "<a xmlns:p='urn:\u{e9}'/>"] {
        let xml = format!("<message>{inner}</message>");
        assert_eq!(after(HEADER, &xml), Err(Condition::PolicyViolation), "{inner}");
        assert_eq!(Stanza::parse(xml.as_bytes()), None, "{inner}");
    }
    for inner in [
        "<\u{438}\u{43c}\u{44f} \u{e9}='1'/>",
        "<\u{540d}\u{b7}/>",
        "<a xmlns=''/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
    ] {
        assert!(after(HEADER, &format!("<message>{inner}</message>")).is_ok(), "{inner}");
    }
}

#[test]
fn what_is_declared_outside_does_not_grow() {
    let long = format!("urn:{}", "x".repeat(20_000));
    // once, it is declared where it is used
    let one = stanza(
        HEADER,
        &format!("<message xmlns:p='{long}'><p:x><p:y/><p:y p:z='1'/></p:x></message>"),
    );
    assert_eq!(one.body, format!("<p:x xmlns:p='{long}'><p:y/><p:y p:z='1'/></p:x>"));
    assert_eq!(one.head.children[0].ns(), long);
    // a child that does not use it does not pay for it
    let mixed = stanza(
        HEADER,
        "<message xmlns:p='urn:p' xmlns:q='urn:q'>a<b/><p:c/>d<e q:f=''/><g/></message>",
    );
    assert_eq!(mixed.body, "a<b/><p:c xmlns:p='urn:p'/>d<e xmlns:q='urn:q' q:f=''/><g/>");
    let raw: Vec<&[u8]> = mixed.head.children.iter().map(|c| mixed.raw(c)).collect();
    let expected: [&[u8]; 4] =
        [b"<b/>", b"<p:c xmlns:p='urn:p'/>", b"<e xmlns:q='urn:q' q:f=''/>", b"<g/>"];
    assert_eq!(raw, expected);
    // many times, the stanza is too large
    let many = format!("<message xmlns:p='{long}'>{}</message>", "<p:x/>".repeat(20_000));
    assert_eq!(after(HEADER, &many), Err(Condition::PolicyViolation));
    // an attribute's namespace once for all of them
    let attrs: String = (0..60).map(|n| format!(" p:a{n}=''")).collect();
    let extra = stanza(HEADER, &format!("<message xmlns:p='{long}'{attrs}/>"));
    assert!(extra.to_xml().len() < 22_000, "{}", extra.to_xml().len());
}

#[test]
fn a_tree_is_written_about_as_large_as_it_was_read() {
    let long = format!("urn:{}", "x".repeat(20_000));
    let quotes = "'\"".repeat(10_000);
    for xml in [
        format!("<q xmlns='urn:q' xmlns:p='{long}'>{}</q>", "<p:x/>".repeat(10_000)),
        format!("<q xmlns='urn:q' xmlns:p='{long}'>{}</q>", "<x p:a='' p:b=''/>".repeat(5_000)),
        format!("<p:q xmlns='urn:q' xmlns:p='{long}'>{}</p:q>", "<x><p:y/></x>".repeat(5_000)),
        format!("<q xmlns='{long}'>{}</q>", "<x/>".repeat(10_000)),
        format!("<q xmlns='urn:q'>{quotes}</q>"),
    ] {
        let element = Element::parse(xml.as_bytes(), ns::CLIENT).unwrap();
        let written = element.to_xml();
        assert!(written.len() < 3 * xml.len(), "{} of {}", written.len(), xml.len());
        assert_eq!(Element::parse(written.as_bytes(), "").as_ref(), Some(&element));
        // a child alone declares for itself
        let child = element.children().next().map(Element::to_xml).unwrap_or_default();
        assert!(
            child.is_empty()
                || Element::parse(child.as_bytes(), "").as_ref() == element.children().next()
        );
    }
    // more of them than can be declared at one place
    let many: String =
        (0..100).map(|n| format!("<p:x xmlns:p='urn:{n}:{}'/>", "x".repeat(40))).collect();
    assert_eq!(Element::parse(format!("<q xmlns='urn:q'>{many}</q>").as_bytes(), ""), None);
}

#[test]
fn the_prefix_xml_is_always_declared() {
    for xml in [
        "<message xmlns:p='urn:p'><xml:foo/></message>",
        "<message><xml:foo><p:bar xmlns:p='urn:p'/><baz/></xml:foo></message>",
        "<message xmlns:p='urn:p'><xml:foo xml:a='1' p:b='2'><baz/></xml:foo></message>",
    ] {
        let stanza = stanza(HEADER, xml);
        let foo = stanza.element(ns::XML, "foo").unwrap();
        assert_eq!(
            Element::parse(foo.to_xml().as_bytes(), "").as_ref().map(Element::name),
            Some("foo")
        );
        let mut inside = String::new();
        foo.write(&mut inside, ns::CLIENT);
        assert_eq!(Element::parse(inside.as_bytes(), ns::CLIENT), Some(foo));
    }
    assert!(matches!(after(HEADER, "<xml:message/>").unwrap().as_slice(), [Event::Nonza(_)]));
}

fn header(xml: &str) -> Result<StreamHeader, Condition> {
    run(xml.as_bytes(), Limits::default()).map(|mut events| match events.remove(0) {
        Event::Open(header) => header,
        other => panic!("{other:?}"),
    })
}

#[test]
fn an_xml_declaration_may_say_that_it_stands_alone() {
    for declaration in [
        "<?xml version='1.0' standalone='no'?>",
        "<?xml version='1.0' standalone='yes'?>",
        "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"no\"?>\r\n",
        "\n<?xml\tversion = '1.0'\nencoding='UTF-8'\r\nstandalone\t=\t'yes' ?>\n",
    ] {
        assert!(header(&format!("{declaration}{HEADER}")).is_ok(), "{declaration}");
        let unusual = HEADER.replace('>', " xmlns:p='urn:p'>");
        assert!(header(&format!("{declaration}{unusual}")).is_ok(), "{declaration}");
    }
    for (declaration, condition) in [
        ("<?xml version='1.1'?>", Condition::RestrictedXml),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>", Condition::UnsupportedEncoding),
        ("<?xml version='1.0' encoding='UTF-16'?>", Condition::UnsupportedEncoding),
        ("<?xml version='1.0' standalone='1'?>", Condition::NotWellFormed),
        ("<?xml standalone='no' version='1.0'?>", Condition::NotWellFormed),
        ("<?xml version='1.0'?><?xml version='1.0'?>", Condition::RestrictedXml),
    ] {
        assert_eq!(header(&format!("{declaration}{HEADER}")), Err(condition), "{declaration}");
    }
}

#[test]
fn a_version_is_two_numbers() {
    for (version, read) in [
        ("1.0", Some((1, 0))),
        ("01.010", Some((1, 10))),
        ("+1.0", None),
        ("1.+0", None),
        ("1.", None),
        ("1", None),
        ("1.0.0", None),
        (" 1.0", None),
    ] {
        let opened = HEADER.replace('>', &format!(" version='{version}'>"));
        assert_eq!(header(&opened).unwrap().version, read, "{version}");
    }
}

#[test]
fn a_language_of_the_stream_is_a_tag() {
    for (lang, kept) in
        [("de", true), ("sr-Latn-RS", true), ("", false), ("a b", false), ("de_DE", false)]
    {
        let opened = HEADER.replace('>', &format!(" xml:lang='{lang}'>"));
        assert_eq!(header(&opened).unwrap().lang.is_some(), kept, "{lang}");
    }
    let long = "x".repeat(60_000);
    for more in ["", " xmlns:p='urn:p'"] {
        let header = HEADER.replace('>', &format!("{more} xml:lang='{long}'>"));
        assert_eq!(stanza(&header, "<message/>").to_xml(), "<message/>");
    }
}

#[test]
fn a_stanza_is_not_torn_by_what_a_module_appends() {
    let stanza = stanza(HEADER, "<message><body>x</body></message>");
    for xml in ["</message><message>", "<a>", "<!-- -->", "<a xmlns:p=''/>"] {
        assert_eq!(stanza.append(xml), stanza, "{xml}");
    }
    let iq = Stanza::parse(b"<iq id='1' type='get' from='a@b/c'><q xmlns='q'/></iq>").unwrap();
    let reply = iq.reply_result("<\u{370} xmlns='urn:a'/>".as_bytes());
    assert!(reply.has(ns::CLIENT, "error"), "kept since before names were judged: {reply:?}");
}

#[test]
fn a_carriage_return_in_a_value_is_a_space() {
    for (value, read) in [
        ("a\rb", "a b"),
        ("\r", " "),
        ("a\r\nb", "a b"),
        ("\r\r\n", "  "),
        ("a\r&amp;", "a &"),
        ("&#13;", "\r"),
    ] {
        let stanza = stanza(
            HEADER,
            &format!("<message id='{value}'><x a=\"{value}\">{value}</x></message>"),
        );
        assert_eq!(stanza.head.id.as_deref(), Some(read), "{value:?}");
        let x = stanza.element(ns::CLIENT, "x").unwrap();
        assert_eq!(x.attr("a"), Some(read));
        assert!(value == "&#13;" || !x.text().contains('\r'));
    }
}
