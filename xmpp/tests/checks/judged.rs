//! What is forwarded, as other parsers see it: that which they see in what was received.
//!
//! Nothing here reads XML. The judges do, and say what they have found in lines (see
//! `tests/judges/judge.c`): `(` namespace TAB name, `=` namespace TAB name TAB value, `"` text, `)`.

use xmpp::{
    framer::{Event, Framer, Limits},
    ns,
    stream::Opening,
};

/// A first-level element, as a document of its own before and after.
pub struct Case {
    /// The header it came after, its bytes, and an end.
    pub received: Vec<u8>,
    /// A stream of the server with nothing but what is forwarded.
    pub forwarded: Vec<u8>,
    /// The names of its children, if it is a stanza.
    children: Option<Vec<String>>,
    /// How much was received of it.
    bytes: usize,
}

/// Every element that the framer takes.
pub fn cases(data: &[u8], limits: Limits) -> Vec<Case> {
    let mut framer = Framer::new(limits);
    framer.feed(data);
    let mut cases = Vec::new();
    let (mut header, mut end): (&[u8], &[u8]) = (b"", b"");
    let mut at = 0;
    let lines = line_ends(data);
    while let Ok(Some(event)) = framer.next() {
        let before = at;
        // what waits has its lines' ends made
        let taken = lines.len().checked_sub(framer.pending().len()).expect("it is not more");
        at = taken.checked_sub(1).map_or(0, |last| lines[last]);
        let raw = data.get(before..at).expect("pending bytes are the last ones");
        let mut rendered = Vec::new();
        Opening { from: None, to: None, id: "1" }.render(&mut rendered);
        let children = match &event {
            Event::Open(_) => {
                header = raw;
                let bare = !raw.windows(14).any(|w| w == b"<stream:stream");
                end = if bare { b"</stream>" } else { b"</stream:stream>" };
                continue;
            }
            Event::Stanza(stanza) => {
                let header = rendered.len();
                stanza.render(&mut rendered);
                assert!(stanza.body.len() <= limits.max_stanza, "the body's limit");
                let from = stanza.head.from.as_ref().map_or(0, |jid| 8 + 6 * jid.as_str().len());
                let most = (4 * raw.len() + 2048).min(limits.max_stanza + 1024);
                assert!(rendered.len() - header <= most + from, "it has grown");
                super::kept(stanza);
                Some(stanza.head.children.iter().map(|c| line(c.ns(), c.name())).collect())
            }
            Event::Nonza(nonza) => {
                let mut xml = String::new();
                nonza.element().write(&mut xml, ns::CLIENT);
                rendered.extend_from_slice(xml.as_bytes());
                None
            }
            Event::Whitespace | Event::Close => continue,
        };
        rendered.extend_from_slice(b"</stream:stream>");
        let received = [header, raw, end].concat();
        cases.push(Case { received, forwarded: rendered, children, bytes: raw.len() });
    }
    cases
}

/// Where the bytes end that are one when lines' ends are made.
fn line_ends(data: &[u8]) -> Vec<usize> {
    let ends = 1..=data.len();
    ends.filter(|end| data.get(end - 1..=*end) != Some(b"\r\n")).collect()
}

fn line(ns: &str, name: &str) -> String {
    format!("({ns}\t{name}")
}

impl Case {
    /// Compares what the judges say, each of the one document and of the other.
    pub fn compare(&self, received: [&str; 2], forwarded: [&str; 2]) {
        for said in [received, forwarded].concat() {
            assert!(!said.starts_with('!'), "refused: {said}\n{self}");
        }
        let [before, libxml2] = received.map(element);
        assert_eq!(before, libxml2, "the judges do not agree on what was received\n{self}");
        let [after, libxml2] = forwarded.map(element);
        assert_eq!(after, libxml2, "the judges do not agree on what is forwarded\n{self}");
        let (before, after) = (Parts::of(&before), Parts::of(&after));
        if let Some(children) = &self.children {
            assert_eq!(*children, before.children, "the children's names\n{self}");
            // the server writes these by itself
            let written = ["=\tto\t", "=\tfrom\t", "=\ttype\t"];
            let lang = format!("={}\tlang\t", ns::XML);
            let attrs = |parts: &Parts<'_>| {
                let own = |a: &&str| !written.iter().any(|w| a.starts_with(w));
                let mut attrs: Vec<String> =
                    parts.attrs.iter().filter(|a| own(a)).map(|a| (*a).to_owned()).collect();
                // the header's language is inherited
                attrs.retain(|a| !a.starts_with(&lang) || before.attrs.contains(&a.as_str()));
                attrs
            };
            assert_eq!(attrs(&before), attrs(&after), "{self}");
        } else {
            assert_eq!(before.attrs, after.attrs, "{self}");
        }
        assert_eq!(before.name, after.name, "{self}");
        assert_eq!(before.content, after.content, "{self}");
        let grown = self.forwarded.len().saturating_sub(700);
        assert!(grown <= 10 * self.bytes || self.children.is_some(), "{grown} bytes\n{self}");
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes.get(..3_000).unwrap_or(bytes)).into_owned()
        };
        write!(f, "received  {:?}\nforwarded {:?}", text(&self.received), text(&self.forwarded))
    }
}

/// The lines of the one element in the root, which has nothing else.
fn element(said: &str) -> Vec<String> {
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    assert!(lines.first().is_some_and(|l| l.starts_with('(')), "a root");
    assert_eq!(lines.pop().as_deref(), Some(")"), "the root's end");
    let attrs = lines.iter().skip(1).take_while(|l| l.starts_with('=')).count();
    let inner = lines.split_off(1 + attrs);
    let mut depth = 0;
    let mut elements = 0;
    for line in &inner {
        match line.as_bytes().first() {
            Some(b'(') => {
                elements += usize::from(depth == 0);
                depth += 1;
            }
            Some(b')') => depth -= 1,
            _ => assert!(depth > 0, "text in the stream: {line}"),
        }
    }
    assert_eq!((elements, depth), (1, 0), "one element, and nothing beside it: {said}");
    inner
}

/// An element's lines, told apart.
struct Parts<'a> {
    name: &'a str,
    attrs: Vec<&'a str>,
    content: Vec<&'a str>,
    /// Those of the direct children that begin them.
    children: Vec<String>,
}

impl<'a> Parts<'a> {
    fn of(lines: &'a [String]) -> Self {
        let mut rest = lines.iter().map(String::as_str);
        let name = rest.next().unwrap_or_default();
        let rest: Vec<&str> = rest.collect();
        let split = rest.iter().take_while(|l| l.starts_with('=')).count();
        let (attrs, content) = rest.split_at(split);
        let mut children = Vec::new();
        let mut depth = 0;
        for line in content {
            match line.as_bytes().first() {
                Some(b'(') => {
                    if depth == 0 {
                        children.push((*line).to_owned());
                    }
                    depth += 1;
                }
                Some(b')') => depth -= 1,
                _ => {}
            }
        }
        Self { name, attrs: attrs.to_vec(), content: content.to_vec(), children }
    }
}
