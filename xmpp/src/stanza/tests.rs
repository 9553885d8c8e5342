//! Stanzas are read, changed, answered and rendered.

use super::*;
use crate::work::{self, Work};

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).unwrap()
}

#[test]
fn a_stanza_keeps_its_content_to_the_byte() {
    let xml = "<message from='a@b/c' to='d@e' id='1' type='chat' xml:lang='de'>\
               <body>h&#xe9; &lt;<![CDATA[<x>]]></body><x xmlns='y' a=\"1\"/></message>";
    let s = stanza(xml);
    assert_eq!(s.to_xml(), xml);
    assert_eq!(s.text_of("body").unwrap(), "h\u{e9} <<x>");
    let names: Vec<_> = s.head.children.iter().map(|c| (c.ns(), c.name())).collect();
    assert_eq!(names, [("jabber:client", "body"), ("y", "x")]);
    assert_eq!(s.child("y", "x").unwrap(), "<x xmlns='y' a=\"1\"/>");
}

#[test]
fn other_attributes_survive_with_their_namespaces() {
    let s = stanza("<iq id='1' type='get' foo='b&apos;r' p:q='1' xmlns:p='urn:p'/>");
    let again = stanza(&s.to_xml());
    assert_eq!(again.head.extra, s.head.extra);
    assert!(s.to_xml().contains("foo=\"b'r\""));
    assert!(s.to_xml().contains("='urn:p'"));
    let s = stanza("<iq id='1&#9;2' type='get' foo='b&#10;c&#13;d'/>");
    let again = stanza(&s.to_xml());
    assert_eq!((again.head.id.as_deref(), &again.head.extra), (Some("1\t2"), &s.head.extra));
    assert_eq!(&*s.head.extra, " foo='b&#10;c&#13;d'");
}

#[test]
fn children_can_be_added_and_removed() {
    let s = stanza("<message><a xmlns='x'/>text<b xmlns='y'>1</b></message>");
    let more = s.append("<c xmlns='z'/>");
    assert!(more.has("z", "c") && more.has("x", "a"));
    let less = more.without(|c, _| c.ns() == "x" || c.ns() == "z");
    assert_eq!(less.to_xml(), "<message>text<b xmlns='y'>1</b></message>");
    assert_eq!(less.child("y", "b").unwrap(), "<b xmlns='y'>1</b>");
    // places are those that parsing would find
    let cut = more.without(|c, _| c.ns() == "y").append("<d xmlns='w'/><e xmlns='v'/>");
    for changed in [&more, &less, &cut, &cut.without(|_, _| true)] {
        assert_eq!(*changed, stanza(&changed.to_xml()));
    }
}

#[test]
fn text_on_both_sides_of_what_is_removed_stays_text() {
    for (content, left) in [
        ("]]<a xmlns='x'/>>", "]]&gt;"),
        ("]<a xmlns='x'/>]><b xmlns='y'/>", "]]&gt;<b xmlns='y'/>"),
        ("]]]<a xmlns='x'/>]>]", "]]]]&gt;]"),
        (
            "<b xmlns='y'/>]<a xmlns='x'/>]<a xmlns='x'/>><b xmlns='y'/>",
            "<b xmlns='y'/>]]&gt;<b xmlns='y'/>",
        ),
        ("]]<a xmlns='x'/><a xmlns='x'/>><a xmlns='x'/>>", "]]&gt;>"),
        ("]]<a xmlns='x'/><b xmlns='y'/>>", "]]<b xmlns='y'/>>"),
        ("]<a xmlns='x'/>>", "]>"),
        ("]]<a xmlns='x'/>]", "]]]"),
        ("]]<a xmlns='x'/>", "]]"),
        ("<a xmlns='x'/>>", ">"),
        ("<![CDATA[]]]]><a xmlns='x'/>>", "<![CDATA[]]]]>>"),
    ] {
        let less = stanza(&format!("<message>{content}</message>")).without(|c, _| c.ns() == "x");
        assert_eq!(less.to_xml(), format!("<message>{left}</message>"));
        assert_eq!(less, stanza(&less.to_xml()));
    }
}

#[test]
fn text_is_read_with_and_without_a_parser() {
    for (xml, text, parsed) in [
        ("<body>h\u{e9} ></body>", "h\u{e9} >", 0),
        ("<body></body>", "", 0),
        ("<body/>", "", 1),
        ("<body>a&lt;b</body>", "a<b", 1),
        ("<body>a\r\nb</body>", "a\nb", 0),
        ("<body>a<b>c</b>d</body>", "ad", 1),
        ("<body a='1'>x</body>", "x", 1),
        ("<body><![CDATA[x]]></body>", "x", 1),
    ] {
        let s = stanza(&format!("<message>{xml}</message>"));
        work::take();
        assert_eq!(s.text_of("body").as_deref(), Some(text), "{xml}");
        assert_eq!(work::take(), Work { parsed, serialised: 0 }, "{xml}");
    }
    assert_eq!(stanza("<message><bodyx>1</bodyx></message>").text_of("body"), None);
}

#[test]
fn replies_exchange_the_addresses() {
    let iq = stanza("<iq from='a@b/c' to='b' id='7' type='get'><q xmlns='q'/></iq>");
    assert_eq!(
        iq.reply_result(b"<q xmlns='q'/>").to_xml(),
        "<iq from='b' to='a@b/c' id='7' type='result'><q xmlns='q'/></iq>"
    );
    work::take();
    assert_eq!(iq.reply_result(b"").to_xml(), "<iq from='b' to='a@b/c' id='7' type='result'/>");
    assert_eq!(work::take().parsed, 0, "there is nothing to look into");
    let error = iq.reply_error(&StanzaError::forbidden());
    assert_eq!((error.head.ty, error.has(ns::CLIENT, "error")), (Type::Error, true));
    assert!(!error.has("q", "q"));
    assert_eq!(error, stanza(&error.to_xml()));
}

#[test]
fn a_message_comes_back_with_its_error_unless_it_is_large() {
    let names = |xml: &str| {
        let error = stanza(xml).reply_error(&StanzaError::forbidden());
        let names: Vec<_> = error.head.children.iter().map(|c| c.name().to_owned()).collect();
        (names.join(" "), error.head.lang.clone())
    };
    let (children, lang) = names("<message xml:lang='it'><error/><body>ciao</body></message>");
    assert_eq!((children.as_str(), lang.as_deref()), ("body error", Some("it")));
    let large = format!("<message><body>{}</body></message>", "x".repeat(MAX_RETURNED));
    assert_eq!(names(&large), ("error".to_owned(), None));
}

#[test]
fn types_are_those_of_their_kind() {
    assert_eq!(stanza("<message type='strange'/>").head.ty, Type::Normal);
    assert_eq!(stanza("<presence type='strange'/>").head.problem, Some(Problem::Type));
    assert_eq!(stanza("<iq type='chat' id='1'/>").head.problem, Some(Problem::Type));
    assert_eq!(stanza("<iq type='get' to='a@@b'/>").head.problem, Some(Problem::To));
    assert_eq!(stanza("<iq type='get' from='@'/>").head.problem, Some(Problem::From));
}

#[test]
fn a_serialised_stanza_comes_back_the_same() {
    let s = stanza("<message id='1'><body>x</body></message>");
    let json = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<Stanza>(&json).unwrap(), s);
}
