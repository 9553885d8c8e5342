//! The fuzz targets' checks on stable Rust, for a bounded time: pieces of real conversations, put
//! together and damaged at random. The open-ended run is `cargo fuzz run framer` (see `fuzz/`).

#[allow(dead_code, reason = "the judges' test uses the rest")]
mod checks;

use proptest::prelude::*;

const PIECES: &[&str] = &[
    "<?xml version='1.0'?>",
    "<stream:stream to='a' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='y' xml:lang='de'>",
    "<message to='a@b/c' type='chat' id='1'>",
    "<message xmlns='jabber:client' xmlns:q='urn:q' q:a='1' from='a@b'>",
    "<presence>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'>",
    "</auth>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<presence/>",
    "<iq type='get' id='&quot;&apos;'>",
    "<body>",
    "h\u{e9}&#x1F600;&lt;",
    "<![CDATA[<a>]]&gt;]]>",
    "<q:b xmlns:q='urn:q'>",
    "<x:y/>",
    "<stream:error/>",
    "<c xmlns='jabber:client'/>",
    "<d xmlns=''>",
    "</d>",
    "</q:b>",
    "</body>",
    "</message>",
    "</presence>",
    "</iq>",
    "</stream:stream>",
    "<!--",
    "-->",
    "<!DOCTYPE a>",
    "<?p?>",
    "&foo;",
    " \r\n\t",
    "<a xml:lang='en' b=\"1\">",
    "</a>",
    "]]>",
    "\u{0}",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES).prop_map(|p| p.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    let part = prop_oneof![12 => piece, 1 => noise];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

fn in_stream() -> impl Strategy<Value = Vec<u8>> {
    (1..3_usize, bytes()).prop_map(|(header, rest)| [PIECES[header].as_bytes(), &rest].concat())
}

fn scram() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "n,",
        "y,",
        "p=tls-exporter,",
        "a=b",
        ",",
        "n=user",
        "r=abc",
        "=2C",
        "=",
        "\n",
        "c=biws",
        "p=AAAA",
        "m=1",
        "\0",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..12)
        .prop_map(|parts| parts.concat().into_bytes())
}

/// What `cargo fuzz` once found; every check gets all of it.
const FOUND: &[&[u8]] = &[
    b"<message><![CDATA[]]></message><presence/>",
    b"<message><a b='\r'/></message>",
    b"<message><a xmlns='b' xmlns='c'/></message>",
    b"<message xmlns:p='urn:p'><xml:a/></message>",
    b"<x<!--",
    b"<message xms='lnbajber:cl2/ient' xmlns:q='urn:q' q:a='1' from='a@`'><q:b xmlns:q='urn:q'/></message>",
    b"<message ty='\"a@b/c' idx='0'>x</message>",
    b"<message to='a@b/xmlns:a b=\"' id='0'>ob'/>></message>",
    b"<message id='&#9;' x='&#10;'><a xmlns:b='c' b:d='e&#9;f'/></message>",
    b"<message xmlns:b='c'><a b:d='e&#9;f&#10;&#13;'>&#13;</a></message>",
];

#[test]
fn what_was_found_once_stays_mended() {
    for data in FOUND {
        checks::framer(data);
        checks::framer(&[PIECES[1].as_bytes(), data].concat());
        checks::head(data);
        checks::scram(data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_framed_the_same_in_any_pieces(data in prop_oneof![bytes(), in_stream()]) {
        checks::framer(&data);
    }

    #[test]
    fn any_stanza_survives_forwarding(data in bytes()) {
        checks::head(&data);
    }

    #[test]
    fn no_message_makes_sasl_panic_or_succeed(data in prop_oneof![scram(), bytes()]) {
        checks::scram(&data);
    }
}
