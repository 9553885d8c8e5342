//! What has to hold for any bytes at all: used by the fuzz targets and by `tests/fuzz.rs`.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed check is a panic")]

pub mod judged;

use quick_xml::{events::Event as Quick, reader::NsReader};
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition},
    framer::{Event, Framer, Limits},
    jid::{BareJid, Jid},
    ns,
    sasl::{Bindings, First, Hash, ScramKeys, plain::Plain},
    stanza::Stanza,
};

const LIMITS: Limits = Limits { max_stanza: 4096, max_depth: 16, max_attrs: 16, max_bindings: 60 };

/// What is found in bytes, and how the stream ends.
type Found = (Vec<Event>, Option<StreamError>);

/// What is found in the pieces; `moved`: each by another process.
fn events<'a>(chunks: impl Iterator<Item = &'a [u8]>, limits: Limits, moved: bool) -> Found {
    let mut framer = Framer::new(limits);
    let mut found: Vec<Event> = Vec::new();
    for chunk in chunks {
        if moved && found.last() != Some(&Event::Close) {
            framer = Framer::thaw(framer.freeze(), limits);
        }
        framer.feed(chunk);
        loop {
            match framer.next() {
                // how whitespace falls into chunks is no difference
                Ok(Some(Event::Whitespace)) => {}
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// However a client's bytes fall into pieces, the same is found in them, and the stream ends with the
/// same error; and every stanza that is found can be put into another client's stream.
pub fn framer(data: &[u8]) {
    let cut = usize::from(data.last().copied().unwrap_or_default()) + 1;
    for event in in_pieces(data, LIMITS, &[1, cut]).0 {
        if let Event::Stanza(stanza) = event {
            forwarded(&stanza);
            kept(&stanza);
        }
    }
}

/// What was accepted is read again from what is kept of it, also after what a server does to it.
pub fn kept(stanza: &Stanza) {
    let server: BareJid = "a.example".parse().expect("an address");
    let from: Jid =
        format!("{}@b.example/{}", "u".repeat(1000), "r".repeat(1000)).parse().expect("an address");
    let delay =
        "<delay xmlns='urn:xmpp:delay' from='a.example' stamp='2026-01-01T00:00:00Z'>x</delay>";
    for changed in [
        stanza.clone(),
        stanza.with_from(Some(from)),
        stanza.with_to(Some(server.into())),
        stanza.with_id("1"),
        stanza.append(delay),
        stanza.reply_error(&StanzaError::forbidden()),
        stanza.without(|child, _| child.ns() == ns::CLIENT),
        stanza.append(delay).without(|child, _| child.name() == "delay"),
    ] {
        let xml = changed.to_xml();
        let again = Stanza::parse(xml.as_bytes())
            .unwrap_or_else(|| panic!("what is kept is not read again: {xml}"));
        // an address or type that is none is answered with an error, and not kept
        if changed.head.problem.is_none() {
            assert_eq!(again, changed);
        } else {
            assert_eq!(again.body, changed.body);
        }
    }
    assert_ne!(stanza.append(delay), *stanza, "it was appended");
}

/// What is found in the bytes, the same in pieces of each size as in one, and by two processes.
pub fn in_pieces(data: &[u8], limits: Limits, sizes: &[usize]) -> Found {
    let whole = events([data].into_iter(), limits, false);
    // single bytes keep the framer's short cut for whole stanzas out: rxml sees everything
    for size in sizes {
        assert_eq!(events(data.chunks(*size), limits, false), whole, "in pieces of {size}");
    }
    assert_eq!(events(data.chunks(data.len() / 2 + 1), limits, true), whole, "moved");
    let condition = whole.1.as_ref().map(|error| error.condition);
    assert_ne!(condition, Some(StreamErrorCondition::InternalServerError), "the client's fault");
    whole
}

/// A stanza as it is forwarded: our parser finds exactly it, another parser exactly one element,
/// and nothing in it belongs to the stream.
fn forwarded(stanza: &Stanza) {
    let xml = stanza.to_xml();
    let again = Stanza::parse(xml.as_bytes()).expect("a forwarded stanza is one stanza");
    assert_eq!(again.body, stanza.body);
    assert_eq!(again.to_xml(), xml, "rendering is stable");
    let stream = format!(
        "<stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>{xml}</stream:stream>"
    );
    let mut reader = NsReader::from_str(&stream);
    let (mut depth, mut first_level) = (0_usize, 0_usize);
    loop {
        let (ns, event) = reader.read_resolved_event().expect("another parser reads it too");
        let in_stream = matches!(ns, quick_xml::name::ResolveResult::Bound(n)
            if n.as_ref() == xmpp::ns::STREAM.as_bytes());
        match event {
            Quick::Start(_) => {
                assert!(!in_stream || depth == 0, "an element of the stream inside a stanza");
                first_level += usize::from(depth == 1);
                depth += 1;
            }
            Quick::Empty(_) => {
                assert!(!in_stream);
                first_level += usize::from(depth == 1);
            }
            Quick::End(_) => depth -= 1,
            Quick::Eof => break,
            Quick::Text(_) | Quick::CData(_) | Quick::GeneralRef(_) => assert!(depth > 1),
            other => panic!("{other:?} has no place in a stream"),
        }
    }
    assert_eq!((depth, first_level), (0, 1), "{xml}");
}

/// One stanza of any content keeps what it says through rendering.
pub fn head(data: &[u8]) {
    if let Some(stanza) = Stanza::parse(data) {
        forwarded(&stanza);
        // an address or type that is none is answered with an error, and not kept
        if stanza.head.problem.is_none() {
            let again = Stanza::parse(stanza.to_xml().as_bytes()).expect("it parses");
            assert_eq!(again.head, stanza.head);
        }
    }
}

/// Messages of SASL: no bytes make the server panic, and none but the right proof is accepted.
pub fn scram(data: &[u8]) {
    drop(Plain::parse(data));
    let keys = ScramKeys::fake(Hash::Sha256, b"secret", "user");
    let cut = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (first, last) = data.split_at(cut);
    for plus in [false, true] {
        let Ok(first) = First::parse(first, plus, true) else { continue };
        let bindings = Bindings { exporter: Some(b"exporter"), end_point: None };
        if let Ok((exchange, challenge)) = first.challenge(keys.clone(), "nonce", &bindings) {
            assert!(challenge.starts_with("r="));
            let last = last.strip_prefix(b"\n").unwrap_or(last);
            assert!(exchange.finish(last).is_err(), "nobody knows the proof of fake keys");
        }
    }
}
