//! Expat and libxml2 judge what the framer takes: it is one element to them, the same before and after
//! it was forwarded, and they refuse none of it.
//!
//! `JUDGED=10000000 cargo test -p xmpp --test judges streams` judges so many streams (`cargo xtask
//! nightly`); without, as many as take some seconds. `JUDGED_FROM` is the first seed.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test all through")]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "the fuzz targets use the rest")]
mod checks;
mod examples;
mod generate;
mod program;

use checks::{in_pieces, judged};
use generate::{Generator, Random};
use program::judge;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use xmpp::{
    framer::{Event, Framer, Limits},
    stanza::Stanza,
};

/// Says which seed failed.
fn of_seed(seed: u64, check: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
        println!("seed {seed}: {:?}", String::from_utf8_lossy(&Generator::stream(seed)));
        resume_unwind(panic);
    }
}

/// The judges' words on all cases of some streams.
fn compare(cases: &[(u64, judged::Case)]) {
    let documents = cases.iter().flat_map(|(_, c)| [c.received.as_slice(), c.forwarded.as_slice()]);
    let said = judge(documents);
    assert_eq!(said.len(), 2 * cases.len(), "the judge ended early");
    for ((seed, case), said) in cases.iter().zip(said.chunks(2)) {
        let [received, forwarded] = said else { panic!("two documents each") };
        let [received, forwarded] = [received, forwarded].map(|s| [s[0].as_str(), s[1].as_str()]);
        of_seed(*seed, || case.compare(received, forwarded));
    }
}

#[test]
fn streams_are_forwarded_as_the_judges_see_them() {
    let number = |name| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let (count, first) = (number("JUDGED").unwrap_or(8_000), number("JUDGED_FROM").unwrap_or(0));
    let small = Limits { max_stanza: 600, max_depth: 6, max_attrs: 6, ..Limits::default() };
    let (mut cases, mut elements) = (Vec::new(), 0);
    for seed in first..first + count {
        let stream = Generator::stream(seed);
        let mut random = Random::new(!seed);
        let limits = if seed % 8 == 0 { small } else { Limits::default() };
        of_seed(seed, || {
            let sizes = [1, 1 + random.below(16), 1 + random.below(stream.len().max(1))];
            let sizes = if stream.len() > 10_000 { &sizes[2..] } else { &sizes };
            in_pieces(&stream, limits, sizes);
        });
        cases.extend(judged::cases(&stream, limits).into_iter().map(|case| (seed, case)));
        if cases.len() >= 2_000 {
            compare(&cases);
            elements += cases.len();
            cases.clear();
        }
    }
    compare(&cases);
    elements += cases.len();
    println!("{count} streams, {elements} elements taken");
    assert!(elements as u64 > count / 2, "most of what is generated is legal: {elements}");
}

fn taken(xml: &str) -> bool {
    Stanza::parse(xml.as_bytes()).is_some()
}

/// All characters, in blocks; beyond the first plane one of 16, and each in the nightly test.
fn blocks() -> impl Iterator<Item = Vec<char>> {
    let step = if std::env::var_os("JUDGED").is_none() { 16 } else { 1 };
    (0..0x1100_u32).map(move |block| {
        let step = if block < 0x100 { 1 } else { step };
        (block << 8..=block << 8 | 0xff).step_by(step).filter_map(char::from_u32).collect()
    })
}

/// The documents are taken by both judges.
fn all_taken(documents: &[String]) {
    let said = judge(documents.iter().map(String::as_bytes));
    assert_eq!(said.len(), documents.len());
    for (document, said) in documents.iter().zip(said) {
        for said in said {
            assert!(!said.starts_with('!'), "{said}: {document}");
        }
    }
}

#[test]
fn characters_of_names_are_those_that_both_judges_take() {
    let mut documents = Vec::new();
    let mut refused = Vec::new();
    for block in blocks() {
        let beyond = block.iter().all(|c| *c >= '\u{10000}');
        let places: &[_] = if beyond {
            // none begins a name that does not go on with it
            &[("a", "")]
        } else {
            &[("", ""), ("a", ""), ("p:", ""), ("", ":p")]
        };
        let mut document = String::from("<message xmlns='jabber:client'>");
        for (before, after) in places {
            for c in &block {
                let name = format!("{before}{c}{after}");
                let prefix = name.strip_suffix(":p").unwrap_or("p");
                let child = format!("<x xmlns:{prefix}='urn:p'><{name} {name}=''/></x>");
                if taken(&format!("<message>{child}</message>")) {
                    document.push_str(&child);
                } else if after.is_empty() && *before != "p:" && ('\u{80}'..='\u{ffff}').contains(c)
                {
                    refused.push(format!("<{name}/>"));
                }
            }
        }
        document.push_str("</message>");
        documents.push(document);
    }
    all_taken(&documents);
    // and no others: none is refused here that both of them take
    let said = judge(refused.iter().map(String::as_bytes));
    let by_none = |said: &[String; 2]| said.iter().all(|s| !s.starts_with('!'));
    let missing: Vec<_> = refused.iter().zip(said).filter(|(_, said)| by_none(said)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn characters_of_text_and_values_are_those_that_both_judges_take() {
    let places: [fn(char) -> String; 6] = [
        |c| format!("<a>{c}</a>"),
        |c| format!("<a b='{c}'/>"),
        |c| format!("<a b=\"{c}\"/>"),
        |c| format!("<a>&#{};</a>", u32::from(c)),
        |c| format!("<a b='&#x{:x};'/>", u32::from(c)),
        |c| format!("<a><![CDATA[{c}]]></a>"),
    ];
    let mut documents = Vec::new();
    for block in blocks() {
        for place in places {
            let document =
                |pieces: &str| format!("<message xmlns='jabber:client'>{pieces}</message>");
            let pieces: Vec<String> = block.iter().map(|c| place(*c)).collect();
            let all = document(&pieces.concat());
            // one by one only where one of them is refused
            documents.push(if taken(&all) {
                all
            } else {
                document(&pieces.into_iter().filter(|p| taken(&document(p))).collect::<String>())
            });
        }
    }
    let empty = documents.iter().filter(|d| d.len() < 100).count();
    assert_eq!(empty, 8 * places.len(), "only the surrogates are none");
    all_taken(&documents);
}

#[test]
fn namespaces_are_those_that_both_judges_take() {
    let mut random = Random::new(1);
    let alphabet: Vec<char> = "ab1-._~:/?#[]@!$&'()*+,;=%{}|^`\\ <>2C\u{e9}\n".chars().collect();
    let starts =
        ["", "", "urn:", "http://", "//", "jabber:", "http://jabber.org/", "http://www.w3.org/"];
    let (mut documents, mut seen) = (Vec::new(), 0);
    for _ in 0..60_000 {
        let mut uri = starts[random.below(starts.len())].to_owned();
        uri.extend((0..random.below(8)).map(|_| alphabet[random.below(alphabet.len())]));
        let uri = uri
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('\n', "&#10;")
            .replace('\'', "&apos;");
        for child in [format!("<x xmlns='{uri}'/>"), format!("<p:x xmlns:p='{uri}' p:a=''/>")] {
            seen += 1;
            let stanza = format!("<message>{child}</message>");
            if taken(&stanza) {
                documents.push(stanza.replace("<message>", "<message xmlns='jabber:client'>"));
            }
        }
    }
    assert!(documents.len() > seen / 10, "{} of {seen}", documents.len());
    all_taken(&documents);
}

#[test]
fn what_was_forged_once_is_one_element_or_refused() {
    let header =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let forged = "<message from='admin@a'><body>pay</body></message>";
    for inner in [
        "<![CDATA[]]>",
        "<![CDATA[]]><![CDATA[]]>",
        "<body/><![CDATA[]]>",
        "<body><![CDATA[]]></body>",
        "<body><![CDATA[]]>x<![CDATA[]]></body><![CDATA[]]>",
        "<a><b><![CDATA[]]></b></a>",
    ] {
        let stream = format!("{header}<message to='b@c'>{inner}</message>{forged}</stream:stream>");
        for size in 1..stream.len() {
            let mut framer = Framer::new(Limits::default());
            let mut stanzas = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                framer.feed(piece);
                while let Some(event) = framer.next().unwrap() {
                    if let Event::Stanza(stanza) = event {
                        stanzas.push(stanza.to_xml());
                    }
                }
            }
            assert_eq!(
                stanzas,
                [format!("<message to='b@c'>{inner}</message>"), forged.to_owned()]
            );
        }
        let cases = judged::cases(stream.as_bytes(), Limits::default());
        assert_eq!(cases.len(), 2);
        compare(&cases.into_iter().map(|case| (0, case)).collect::<Vec<_>>());
    }
}
