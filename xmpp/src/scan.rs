//! A short cut for usual elements: one pass over the bytes instead of a parser's events.
//!
//! It accepts a subset of XML so plain that nothing can be misunderstood: no prefixes but `xml:lang`,
//! no CDATA, no character references, no odd control characters. Whatever is not in the subset, not
//! complete, or over a limit is *not judged here*: rxml looks at it, and rxml alone refuses. That
//! both see the same in what this accepts is a fuzz target (`tests/checks`).

use crate::{
    Element,
    child::{Child, Name},
    framer::limits::Limits,
    names, ns, reader,
    stanza::Kind,
};
use std::{borrow::Cow, sync::Arc};

/// A complete stanza at the start of some bytes.
pub(crate) struct Scanned<'a> {
    pub(crate) kind: Kind,
    /// Attributes of the start tag: `xml:lang` and those without a prefix, but not `xmlns`.
    pub(crate) attrs: Vec<(&'a str, &'a str)>,
    pub(crate) children: Vec<Child>,
    /// Where the content begins.
    pub(crate) head_end: usize,
    /// Where the content ends.
    pub(crate) end: usize,
    /// Where the stanza ends.
    pub(crate) len: usize,
}

/// Deepest nesting that is looked at.
const DEPTH: usize = 12;
/// Longest attribute value; rxml has a limit of its own.
const VALUE: usize = 4096;

// classes of bytes
const NAME_START: u8 = 1;
const NAME: u8 = 2;
/// May stand in text as it is.
const TEXT: u8 = 4;
/// May stand in an attribute value as it is.
const QUOTED: u8 = 8;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let b = n as u8;
        let letter = b.is_ascii_alphabetic() || b == b'_';
        let mut class = 0;
        if letter {
            class |= NAME_START;
        }
        if letter || b.is_ascii_digit() || b == b'-' || b == b'.' {
            class |= NAME;
        }
        if b >= b' ' && b != b'<' && b != b'&' && b != b'>' && b != 0x7f {
            class |= QUOTED;
        }
        if class & QUOTED != 0 || b == b'\n' || b == b'\t' {
            class |= TEXT;
        }
        table[n] = class;
        n += 1;
    }
    table
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// There are bytes that are not ASCII: they have to be UTF-8.
    wide: bool,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip(&mut self, class: u8) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut high = 0;
        let is = |b: &&u8| {
            high |= **b;
            CLASS.get(usize::from(**b)).is_some_and(|c| c & class != 0)
        };
        self.at += rest.iter().take_while(is).count();
        self.wide |= high >= 0x80;
    }

    fn space(&mut self) -> bool {
        let before = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n')) {
            self.at += 1;
        }
        self.at > before
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let first = CLASS.get(usize::from(self.peek()?))?;
        if first & NAME_START == 0 {
            return None;
        }
        self.skip(NAME);
        self.text.get(start..self.at).filter(|name| name.len() <= names::MAX_NAME)
    }

    /// Text up to the next tag.
    fn text(&mut self) -> Option<()> {
        loop {
            self.skip(TEXT);
            match self.peek()? {
                b'<' => return Some(()),
                b'&' => self.entity()?,
                // a `>` that does not end `]]>`
                b'>' if self.at == 0 || self.text.get(self.at - 1) != Some(&b']') => self.at += 1,
                _ => return None,
            }
        }
    }

    fn entity(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let known = [&b"&lt;"[..], b"&gt;", b"&amp;", b"&apos;", b"&quot;"];
        let entity = known.into_iter().find(|e| rest.starts_with(e))?;
        self.at += entity.len();
        Some(())
    }

    /// `name='value'`, after the space before it.
    fn attribute(&mut self) -> Option<(&'a str, &'a str)> {
        let start = self.at;
        let mut name = self.name()?;
        if self.peek()? == b':' {
            self.at += 1;
            self.name()?;
            name = self.text.get(start..self.at)?;
            if name != b"xml:lang" {
                return None;
            }
        }
        self.take(b'=')?;
        let quote = self.peek().filter(|q| matches!(q, b'\'' | b'"'))?;
        self.at += 1;
        let start = self.at;
        let rest = self.text.get(start..)?;
        let end = rest.iter().take(VALUE).position(|b| *b == quote)?;
        let value = rest.get(..end)?;
        let plain = |b: &u8| CLASS.get(usize::from(*b)).is_some_and(|c| c & QUOTED != 0);
        if !value.iter().all(plain) {
            return None;
        }
        self.wide |= !value.is_ascii();
        self.at = start + end + 1;
        Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
    }

    /// The rest of a start tag after its name; whether it is empty (`/>`).
    fn attributes(&mut self, max: usize, attrs: &mut Vec<(&'a str, &'a str)>) -> Option<bool> {
        attrs.clear();
        loop {
            let space = self.space();
            match self.peek()? {
                b'>' => {
                    self.at += 1;
                    return Some(false);
                }
                b'/' => {
                    self.at += 1;
                    self.take(b'>')?;
                    return Some(true);
                }
                _ if !space || attrs.len() >= max => return None,
                _ => {
                    let (name, value) = self.attribute()?;
                    if attrs.iter().any(|(n, _)| *n == name) {
                        return None;
                    }
                    attrs.push((name, value));
                }
            }
        }
    }
}

/// The namespace an element without a prefix is in; `None` where rxml has to judge.
fn namespace<'a>(attrs: &[(&str, &'a str)]) -> Option<Option<&'a str>> {
    let Some((_, ns)) = attrs.iter().find(|(n, _)| *n == "xmlns") else { return Some(None) };
    // the stream's own, and names that XML reserves
    let special = ns.is_empty() || *ns == ns::STREAM || ns.starts_with("http://www.w3.org/");
    (!special && names::is_namespace(ns)).then_some(Some(*ns))
}

/// Whether what begins there is called as a stanza is.
pub(crate) fn is_stanza(bytes: &[u8]) -> bool {
    let mut s = Scanner { text: bytes, at: 0, wide: false };
    let name = s.take(b'<').and_then(|()| std::str::from_utf8(s.name()?).ok());
    name.is_some_and(|name| Kind::parse(name).is_some())
}

/// The stanza at the start of `bytes`, if it is complete and usual, in a stream in which names are in
/// `default_ns`.
pub(crate) fn stanza<'a>(
    bytes: &'a [u8],
    default_ns: &str,
    limits: &Limits,
) -> Option<Scanned<'a>> {
    // text that ends in the middle of a character is looked at by rxml
    let mut s = Scanner { text: bytes, at: 0, wide: false };
    s.take(b'<')?;
    let name = s.name()?;
    let kind = Kind::parse(std::str::from_utf8(name).ok()?)?;
    let mut attrs = Vec::with_capacity(6);
    let empty = s.attributes(limits.max_attrs, &mut attrs)?;
    if namespace(&attrs)?.unwrap_or(default_ns) != ns::CLIENT {
        return None;
    }
    attrs.retain(|(n, _)| *n != "xmlns");
    let head_end = s.at;
    let mut found =
        Scanned { kind, attrs, children: Vec::new(), head_end, end: head_end, len: head_end };
    if !empty {
        content(&mut s, limits, name, &mut found)?;
    }
    let all = bytes.get(..found.len).filter(|w| w.len() <= limits.max_stanza)?;
    whole(all, s.wide).then_some(found)
}

/// Everything up to the end of the stanza.
fn content<'a>(
    s: &mut Scanner<'a>,
    limits: &Limits,
    root: &'a [u8],
    found: &mut Scanned<'a>,
) -> Option<()> {
    let head_end = found.head_end;
    let offset = |n: usize| u32::try_from(n - head_end).ok();
    let mut open: [&[u8]; DEPTH] = [root; DEPTH];
    let mut depth = 1;
    let mut attrs = Vec::new();
    // the child that is being read: its names and where it starts
    let mut child: Option<(Name, Name, usize)> = None;
    let mut weight = 0;
    loop {
        s.text()?;
        let tag = s.at;
        s.at += 1;
        if s.peek()? == b'/' {
            s.at += 1;
            if s.name()? != *open.get(depth - 1)? {
                return None;
            }
            s.space();
            s.take(b'>')?;
            depth -= 1;
            if depth == 0 {
                (found.end, found.len) = (tag, s.at);
                return Some(());
            }
        } else {
            let name = s.name()?;
            let empty = s.attributes(limits.max_attrs, &mut attrs)?;
            let ns = namespace(&attrs)?;
            if depth >= limits.max_depth.min(DEPTH) {
                return None;
            }
            if depth == 1 {
                let ns = Name::of_namespace(ns.unwrap_or(ns::CLIENT));
                child = Some((ns, Name::of_element(std::str::from_utf8(name).ok()?), tag));
            }
            if !empty {
                *open.get_mut(depth)? = name;
                depth += 1;
            }
        }
        if depth == 1
            && let Some((ns, name, start)) = child.take()
        {
            let child = Child { ns, name, span: offset(start)?..offset(s.at)? };
            weight += child.weight();
            if weight > limits.max_weight() {
                return None;
            }
            found.children.push(child);
        }
    }
}

/// The element at the start of `bytes` as a tree, if it is complete and usual, and its length. Names
/// are in `default_ns` where nothing else is declared.
pub(crate) fn element(bytes: &[u8], default_ns: &str, limits: &Limits) -> Option<(Element, usize)> {
    let mut s = Scanner { text: bytes, at: 0, wide: false };
    let mut attrs = Vec::new();
    let mut open: Vec<(Element, &[u8])> = Vec::new();
    let default_ns: Arc<str> = default_ns.into();
    let mut weight = 0;
    loop {
        if weight > limits.max_weight() {
            return None;
        }
        s.take(b'<')?;
        let done = if s.peek()? == b'/' {
            s.at += 1;
            let (element, name) = open.pop()?;
            if s.name()? != name {
                return None;
            }
            s.space();
            s.take(b'>')?;
            Some(element)
        } else {
            let name = s.name()?;
            let empty = s.attributes(limits.max_attrs, &mut attrs)?;
            let ns = match namespace(&attrs)? {
                Some(ns) => ns.into(),
                None => open.last().map_or_else(|| Arc::clone(&default_ns), |(e, _)| e.namespace()),
            };
            let mut element = Element::in_namespace(ns, std::str::from_utf8(name).ok()?);
            for (name, value) in attrs.iter().filter(|(n, _)| *n != "xmlns") {
                match *name {
                    "xml:lang" => element.push_attr(reader::xml(), "lang", value),
                    name => element.push_attr(reader::none(), name, value),
                }
            }
            weight += element.own_weight();
            if empty {
                Some(element)
            } else {
                if open.len() >= limits.max_depth.min(DEPTH) {
                    return None;
                }
                open.push((element, name));
                None
            }
        };
        if let Some(element) = done {
            match open.last_mut() {
                Some((parent, _)) => parent.push_child(element),
                None => return whole(bytes.get(..s.at)?, s.wide).then_some((element, s.at)),
            }
        }
        let start = s.at;
        s.text()?;
        if s.at > start {
            let text = std::str::from_utf8(bytes.get(start..s.at)?).ok()?;
            let text = unescape(text);
            weight += open.last_mut()?.0.push_text(&text);
        }
    }
}

/// Most attributes of a header.
const MANY: usize = 16;

/// Text without the five entities; others do not get here.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'");
    Cow::Owned(text.replace("&quot;", "\"").replace("&amp;", "&"))
}

/// Whether all of it is text that XML allows; ASCII was looked at on the way.
fn whole(bytes: &[u8], wide: bool) -> bool {
    // U+FFFE and U+FFFF are no characters of XML
    let odd = |w: &[u8]| matches!(w, [0xef, 0xbf, 0xbe | 0xbf]);
    !wide || (std::str::from_utf8(bytes).is_ok() && !bytes.windows(3).any(odd))
}

/// A stream header that declares what it usually does: its attributes without the declarations, and
/// its length.
pub(crate) fn header(bytes: &[u8]) -> Option<(Vec<(&str, &str)>, usize)> {
    let mut s = Scanner { text: bytes, at: 0, wide: false };
    if !bytes.get(s.at..)?.starts_with(b"<stream:stream") {
        return None;
    }
    s.at += b"<stream:stream".len();
    let mut attrs: Vec<(&str, &str)> = Vec::with_capacity(8);
    loop {
        let space = s.space();
        if s.peek()? == b'>' {
            s.at += 1;
            break;
        }
        if !space || attrs.len() >= MANY {
            return None;
        }
        let (name, value) = if bytes.get(s.at..)?.starts_with(b"xmlns:stream=") {
            s.at += b"xmlns:".len();
            ("xmlns:stream", s.attribute()?.1)
        } else {
            s.attribute()?
        };
        if attrs.iter().any(|(n, _)| *n == name) {
            return None;
        }
        attrs.push((name, value));
    }
    let mut declared = |name, ns| {
        let at = attrs.iter().position(|a| *a == (name, ns));
        at.map(|at| attrs.swap_remove(at)).is_some()
    };
    let usual = declared("xmlns", ns::CLIENT) && declared("xmlns:stream", ns::STREAM);
    (usual && whole(bytes.get(..s.at)?, s.wide)).then_some((attrs, s.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(xml: &str) -> Option<Scanned<'_>> {
        stanza(xml.as_bytes(), ns::CLIENT, &Limits::default())
    }

    #[test]
    fn a_usual_stanza_is_found_with_its_parts() {
        let xml = "<message to='a@b' xml:lang=\"de\" ><body>h\u{e9} &lt;</body>\n<x xmlns='y'><z/></x></message ><presence/>";
        let s = scan(xml).unwrap();
        assert_eq!(s.attrs, [("to", "a@b"), ("xml:lang", "de")]);
        let children: Vec<_> = s.children.iter().map(|c| (c.ns(), c.name())).collect();
        assert_eq!(children, [("jabber:client", "body"), ("y", "x")]);
        assert_eq!(xml.get(s.len..), Some("<presence/>"));
        assert_eq!(xml.get(s.end..s.len), Some("</message >"));
    }

    #[test]
    fn what_is_unusual_or_wrong_is_left_to_rxml() {
        for xml in [
            "<message",
            "<message><body>x</message>",
            "<message a='1' a='2'/>",
            "<message a='1'b='2'/>",
            "<message><a:b/></message>",
            "<message xmlns:a='b'/>",
            "<message><![CDATA[x]]></message>",
            "<message><!--x--></message>",
            "<message>&#65;</message>",
            "<message>&foo;</message>",
            "<message>]]></message>",
            "<message>\r</message>",
            "<message>\u{1}</message>",
            "<message>\u{ffff}</message>",
            "<message><x xmlns=''/></message>",
            "<message><x xmlns='http://etherx.jabber.org/streams'/></message>",
            "<message a='<'/>",
            "<message a='&lt;'/>",
            "<other/>",
            "x",
            "",
        ] {
            assert!(scan(xml).is_none(), "{xml}");
        }
        let deep = format!("<iq>{}{}</iq>", "<a>".repeat(20), "</a>".repeat(20));
        assert!(scan(&deep).is_none());
        assert!(stanza(b"<message>\xff</message>", ns::CLIENT, &Limits::default()).is_none());
    }
}
