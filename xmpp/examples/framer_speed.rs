//! What the framer costs: nanoseconds for each stanza of some usual sizes, found in a stream and
//! rendered for another one; and for each byte of what a hostile client sends, in one piece and byte by
//! byte. `cargo run --release -p xmpp --example framer_speed`

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measuring tool")]

use std::time::Instant;
use xmpp::framer::{Event, Framer, Limits};

fn main() {
    let header = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let body = |n: usize| "Wherefore art thou, Romeo? ".chars().cycle().take(n).collect::<String>();
    let message = |n| {
        format!(
            "<message to='romeo@localhost/orchard' type='chat' id='abc123'><body>{}</body></message>",
            body(n)
        )
    };
    let cases = [
        ("presence", "<presence/>".to_owned()),
        ("message, 20", message(20)),
        ("message, 120", message(120)),
        ("message, 1000", message(1000)),
        (
            "message, xeps",
            "<message to='romeo@localhost/orchard' type='chat' id='abc123' xml:lang='en'>\
             <body>Hello there, how are you?</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
             <request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='abc123'/>\
             <markable xmlns='urn:xmpp:chat-markers:0'/></message>"
                .to_owned(),
        ),
    ];
    for (name, xml) in cases {
        let rounds: u32 = 100_000;
        let mut framer = Framer::new(Limits::default());
        framer.feed(header.as_bytes());
        let Ok(Some(Event::Open(_))) = framer.next() else { panic!("no header") };
        let start = Instant::now();
        let mut out = Vec::new();
        for _ in 0..rounds {
            framer.feed(xml.as_bytes());
            match framer.next().unwrap() {
                Some(Event::Stanza(stanza)) => {
                    out.clear();
                    stanza.render(&mut out);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(framer.next(), Ok(None));
        }
        println!(
            "{name:>14}: {:>4} bytes {:>6} ns",
            xml.len(),
            (start.elapsed() / rounds).as_nanos()
        );
    }
    hostile(header);
}

/// What is dear to a parser: each of 200 KB, but for the first one.
fn hostile(header: &str) {
    let fill = |piece: &str| piece.repeat(200_000 / piece.len());
    let of = |declared: &str, inner: &str| format!("<message{declared}>{inner}</message>");
    let wide: String = (0..60).map(|n| format!(" a{n}=''")).collect();
    let prefixes: String = (0..60).map(|n| format!(" xmlns:p{n}='urn:p'")).collect();
    let cases = [
        ("small elements of SM", "<r xmlns='urn:xmpp:sm:3'/>".repeat(7_000)),
        ("small presences", "<presence/>".repeat(18_000)),
        ("a long text", of("", &format!("<body>{}</body>", fill("x")))),
        ("entities", of("", &fill("&lt;"))),
        ("character references", of("", &fill("&#65;"))),
        ("CDATA", of("", &fill("<![CDATA[]]>"))),
        ("children", of("", &fill("<a/>"))),
        ("attributes", of("", &fill(&format!("<a{wide}/>")))),
        ("prefixes", of(&prefixes, &format!("<x>{}</x>", fill("<p0:a/>")))),
        ("prefixes of children", of(" xmlns:p='urn:p'", &"<p:a/>".repeat(9_000))),
        ("brackets", of("", &fill("]]&gt;"))),
        ("carriage returns", of("", &fill("\r"))),
    ];
    for (name, xml) in cases {
        for size in [xml.len(), 1] {
            let mut framer = Framer::new(Limits::default());
            framer.feed(header.as_bytes());
            let Ok(Some(Event::Open(_))) = framer.next() else { panic!("no header") };
            let start = Instant::now();
            for piece in xml.as_bytes().chunks(size) {
                framer.feed(piece);
                while framer.next().unwrap().is_some() {}
            }
            let each = start.elapsed().as_nanos() / xml.len() as u128;
            let how = if size == 1 { "byte by byte" } else { "in one piece" };
            println!("{name:>21}, {how}: {each:>4} ns a byte");
        }
    }
}
