//! rxml's events with their names resolved, and what rxml lets pass refused.
//!
//! rxml validates the bytes one after the other, so that what is found, and what is wrong, does not
//! depend on the pieces they come in. It takes names and namespaces that other parsers refuse (see
//! [`names`](crate::names)), and knows no limits on declarations: both are looked at here. The
//! namespaces of a stream header are resolved once and given to every reader of that stream.

use crate::{
    error::{StreamError, StreamErrorCondition as Condition},
    names, ns,
};
use rxml::{
    Error as XmlError, NcName, Options, Parse, RawEvent, RawParser, error::EndOrError,
    parser::WithOptions,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, LazyLock},
};

/// Longest attribute value: room for a small picture as a `data:` address; longer text is handed on
/// in pieces.
const MAX_TOKEN: usize = 64 << 10;
/// How much more rxml takes: whether it counts an escape while it reads it is not to make a difference.
const SLACK: usize = 64;
/// Most namespace declarations around one place, those of the stream header with them, of what is read
/// that was judged before: each name with a prefix is looked for among them, and `used` has a bit for each
/// and one for no namespace.
pub(crate) const MAX_BINDINGS: usize = 127;
/// Most namespace declarations around one place of what clients send. What is handed on can declare once more what attributes of its start tag
/// use, and what children use: 2 of any stream, twice 60, and it can still be read again.
pub(crate) const MAX_SENT_BINDINGS: usize = 60;
/// Most attributes `xml:id` in one first-level element: each is compared with those before.
const MAX_IDS: usize = 64;
/// Parsers that stand ready on each thread, for each of the two names a stream's root may have.
const POOL: usize = 32;
/// How the namespace of declarations is called (Namespaces in XML 1.0 section 3): nothing may be in it.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// One declaration: `xmlns` where the prefix is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) prefix: Box<str>,
    pub(crate) ns: Arc<str>,
}

impl Binding {
    pub(crate) fn new(prefix: &str, ns: &str) -> Self {
        Self { prefix: prefix.into(), ns: ns.into() }
    }

    /// The declaration as an attribute, with a space before it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let name = if self.prefix.is_empty() { "xmlns" } else { "xmlns:" };
        crate::stream::attr(out, &[name, &self.prefix].concat(), &self.ns);
    }
}

/// A start tag.
pub(crate) struct Start {
    pub(crate) ns: Arc<str>,
    pub(crate) prefix: Option<NcName>,
    pub(crate) name: NcName,
    pub(crate) attrs: Vec<Attr>,
}

impl Start {
    /// How long the name is in the tag.
    pub(crate) fn name_len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |p| p.len() + 1) + self.name.len()
    }

    /// The attributes: namespace, name, value.
    pub(crate) fn attrs(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attrs.iter().map(|a| (&*a.ns, a.name.as_str(), a.value.as_str()))
    }
}

/// An attribute that is no declaration.
pub(crate) struct Attr {
    pub(crate) ns: Arc<str>,
    pub(crate) name: NcName,
    pub(crate) value: String,
}

pub(crate) enum Event {
    Start(Start),
    End,
    Text(String),
}

type QName = (Option<NcName>, NcName);

/// A start tag that is being read.
struct Tag {
    name: QName,
    attrs: Vec<(QName, String)>,
}

/// The parsers after `<stream:stream>` and those after `<stream>`: they know no namespaces, so they
/// are alike whatever a header declares.
#[derive(Default)]
struct Pool([Vec<RawParser>; 2]);

thread_local! {
    static PARSERS: RefCell<Pool> = RefCell::default();
}

pub(crate) struct Reader {
    raw: RawParser,
    bindings: Vec<Binding>,
    /// How many bindings there were before each open element.
    marks: Vec<usize>,
    tag: Option<Tag>,
    used: u128,
    max_bindings: usize,
    /// The values of `xml:id` since the first-level element began.
    ids: Vec<String>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("bindings", &self.bindings).finish_non_exhaustive()
    }
}

pub(crate) fn refuse(condition: Condition, text: &str) -> StreamError {
    StreamError::new(condition).with_text(text)
}

fn fresh() -> RawParser {
    RawParser::with_options(Options { max_token_length: MAX_TOKEN + SLACK, ..Options::default() })
}

impl Reader {
    /// A reader at the beginning of a document.
    pub(crate) fn document() -> Self {
        Self::of(fresh(), &[])
    }

    /// A reader inside of a stream whose root element has no prefix (`bare`), or is `stream:stream`.
    pub(crate) fn inside(bare: bool, bindings: &[Binding]) -> Self {
        let ready = PARSERS.with_borrow_mut(|pool| pool.of(bare)?.pop());
        let raw = ready.unwrap_or_else(|| {
            let mut raw = fresh();
            let mut root: &[u8] = if bare { b"<stream>" } else { b"<stream:stream>" };
            while let Ok(Some(_)) = raw.parse(&mut root, false) {}
            raw
        });
        Self::of(raw, bindings)
    }

    fn of(raw: RawParser, bindings: &[Binding]) -> Self {
        // names are in no namespace where nothing is declared
        let mut all = Vec::with_capacity(bindings.len() + 5);
        all.push(Binding { prefix: "".into(), ns: none() });
        let (marks, ids) = (Vec::new(), Vec::new());
        let mut reader =
            Self { raw, bindings: all, marks, tag: None, used: 0, max_bindings: MAX_BINDINGS, ids };
        bindings.iter().for_each(|binding| reader.bind(binding.clone()));
        reader
    }

    /// With fewer declarations around one place.
    pub(crate) fn with_max_bindings(self, max: usize) -> Self {
        Self { max_bindings: max.min(MAX_BINDINGS), ..self }
    }

    /// Keeps the parser for the next reader that is made [`inside`](Self::inside): all that it began it
    /// has to have ended.
    pub(crate) fn give_back(self, bare: bool) {
        PARSERS.with_borrow_mut(|pool| {
            if let Some(pool) = pool.of(bare).filter(|pool| pool.len() < POOL) {
                pool.push(self.raw);
            }
        });
    }

    /// The declarations that hold here, the outermost first.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Which of the declarations were used since this was asked last: a bit for each.
    pub(crate) fn take_used(&mut self) -> u128 {
        std::mem::take(&mut self.used)
    }

    /// The next event; `None` when more bytes are needed.
    ///
    /// It comes with the last of its bytes: the tag's `>`, or the `<` after a text.
    pub(crate) fn next(
        &mut self,
        bytes: &mut &[u8],
        max_attrs: usize,
    ) -> Result<Option<Event>, StreamError> {
        loop {
            let event = match self.raw.parse(bytes, false) {
                Ok(Some(event)) => event,
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(refused(error)),
            };
            match event {
                // it is read elsewhere, where it may stand
                RawEvent::XmlDeclaration(..) => {
                    return Err(refuse(Condition::RestrictedXml, "processing instructions"));
                }
                RawEvent::ElementHeadOpen(_, name) => {
                    check_name(&name)?;
                    self.tag = Some(Tag { name, attrs: Vec::new() });
                }
                RawEvent::Attribute(_, name, value) => {
                    check_name(&name)?;
                    let Some(tag) = &mut self.tag else { continue };
                    if value.len() > MAX_TOKEN {
                        return Err(refuse(Condition::PolicyViolation, "a long attribute"));
                    }
                    if tag.attrs.len() >= max_attrs {
                        return Err(refuse(Condition::PolicyViolation, "too many attributes"));
                    }
                    // rxml does not look at `xmlns` twice
                    if tag.attrs.iter().any(|(other, _)| *other == name) {
                        return Err(refuse(Condition::NotWellFormed, "an attribute twice"));
                    }
                    tag.attrs.push((name, value));
                }
                RawEvent::ElementHeadClose(_) => {
                    let Some(tag) = self.tag.take() else { continue };
                    return self.start(tag).map(|start| Some(Event::Start(start)));
                }
                RawEvent::ElementFoot(_) => {
                    if let Some(mark) = self.marks.pop() {
                        self.bindings.truncate(mark);
                    }
                    if self.marks.is_empty() {
                        self.ids.clear();
                    }
                    return Ok(Some(Event::End));
                }
                RawEvent::Text(_, text) => return Ok(Some(Event::Text(text))),
            }
        }
    }

    fn start(&mut self, Tag { name: (prefix, name), attrs }: Tag) -> Result<Start, StreamError> {
        self.marks.push(self.bindings.len());
        let mut others = Vec::new();
        for ((prefix, name), value) in attrs {
            match prefix.as_ref().map(|p| p.as_str()) {
                None if name.as_str() == "xmlns" => self.declare("", &value)?,
                Some("xmlns") => self.declare(&name, &value)?,
                _ => others.push(((prefix, name), value)),
            }
        }
        let ns = self.resolve(prefix.as_ref().map_or("", |p| p.as_str()))?;
        let mut attrs: Vec<Attr> = Vec::with_capacity(others.len());
        for ((prefix, name), value) in others {
            // an attribute without a prefix is in no namespace
            let ns = prefix.map_or_else(|| Ok(none()), |prefix| self.resolve(&prefix))?;
            if !ns.is_empty() && attrs.iter().any(|a| a.name == name && Arc::ptr_eq(&a.ns, &ns)) {
                return Err(refuse(Condition::NotWellFormed, "an attribute twice"));
            }
            if *ns == *ns::XML && name.as_str() == "id" {
                self.identify(&value)?;
            }
            attrs.push(Attr { ns, name, value });
        }
        Ok(Start { ns, prefix, name, attrs })
    }

    /// An `xml:id` is a name, and no other's (xml:id 1.0 section 4): see [`names`].
    fn identify(&mut self, id: &str) -> Result<(), StreamError> {
        if !names::is_name(id) || self.ids.len() >= MAX_IDS || self.ids.iter().any(|i| i == id) {
            return Err(refuse(Condition::PolicyViolation, "an xml:id that is none"));
        }
        self.ids.push(id.to_owned());
        Ok(())
    }

    /// Takes a declaration over (Namespaces in XML 1.0 section 3: rxml has looked at the prefixes).
    fn declare(&mut self, prefix: &str, ns: &str) -> Result<(), StreamError> {
        if ns == XMLNS {
            return Err(refuse(Condition::NotWellFormed, "a namespace that may not be declared"));
        }
        if !names::is_namespace(ns) {
            return Err(refuse(Condition::PolicyViolation, "a namespace that is not a URI"));
        }
        if prefix == "xml" {
            return Ok(());
        }
        // the first is none of them
        if self.bindings.len() > self.max_bindings {
            return Err(refuse(Condition::PolicyViolation, "too many namespace declarations"));
        }
        self.bind(Binding::new(prefix, ns));
        Ok(())
    }

    /// A namespace is one `Arc` in the whole scope: attributes of long ones are told apart without reading
    /// those for each of them.
    fn bind(&mut self, mut binding: Binding) {
        if let Some(known) = self.bindings.iter().find(|b| b.ns == binding.ns) {
            binding.ns = Arc::clone(&known.ns);
        }
        self.bindings.push(binding);
    }

    fn resolve(&mut self, prefix: &str) -> Result<Arc<str>, StreamError> {
        if prefix == "xml" {
            return Ok(xml());
        }
        let at = self.bindings.iter().rposition(|b| *b.prefix == *prefix);
        let Some((at, binding)) = at.and_then(|at| Some((at, self.bindings.get(at)?))) else {
            return Err(refuse(Condition::NotWellFormed, "a prefix that is not declared"));
        };
        self.used |= 1 << at;
        Ok(Arc::clone(&binding.ns))
    }
}

impl Pool {
    fn of(&mut self, bare: bool) -> Option<&mut Vec<RawParser>> {
        self.0.get_mut(usize::from(bare))
    }
}

/// No namespace.
pub(crate) fn none() -> Arc<str> {
    static NONE: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
    Arc::clone(&NONE)
}

/// The namespace of `xml:`.
pub(crate) fn xml() -> Arc<str> {
    static XML: LazyLock<Arc<str>> = LazyLock::new(|| ns::XML.into());
    Arc::clone(&XML)
}

/// Whether two namespaces are the same; usually that is told without reading them.
pub(crate) fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}

fn check_name((prefix, local): &QName) -> Result<(), StreamError> {
    let long = |name: &NcName| name.len() > names::MAX_NAME;
    if long(local) || prefix.as_ref().is_some_and(long) {
        return Err(refuse(Condition::PolicyViolation, "a long name"));
    }
    if names::is_name(local) && prefix.as_ref().is_none_or(|p| names::is_name(p)) {
        return Ok(());
    }
    Err(refuse(Condition::NotWellFormed, "not a name by both editions of XML 1.0"))
}

/// The stream error for what rxml refuses.
fn refused(error: XmlError) -> StreamError {
    let condition = match error {
        // longer than MAX_TOKEN: a limit of ours (RFC 6120 section 4.9.3.14)
        XmlError::RestrictedXml(what) if what.contains("long") => Condition::PolicyViolation,
        // section 4.9.3.18: constructs that XMPP forbids (section 11.1)
        XmlError::RestrictedXml(_) | XmlError::UndeclaredEntity => Condition::RestrictedXml,
        // `<!` and neither a comment nor CDATA: a DTD
        XmlError::InvalidSyntax("malformed cdata or comment section start") => {
            Condition::RestrictedXml
        }
        // section 4.9.3.22: or has otherwise improperly encoded the stream
        XmlError::InvalidUtf8Byte(_) => Condition::UnsupportedEncoding,
        // section 4.9.3.13: not well-formed or not namespace-well-formed
        _ => Condition::NotWellFormed,
    };
    refuse(condition, &error.to_string())
}

/// Hands bytes on with line feeds for their lines' ends, as XML has it (XML 1.0 section 2.11): rxml drops
/// or refuses some carriage returns. `after` is whether a carriage return came last, whose line feed may
/// follow.
pub(crate) fn line_ends(bytes: &[u8], after: &mut bool, mut push: impl FnMut(&[u8])) {
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if std::mem::take(after) && *first == b'\n' {
            rest = rest.get(1..).unwrap_or_default();
        }
        let Some(at) = rest.iter().position(|b| *b == b'\r') else {
            push(rest);
            return;
        };
        push(rest.get(..at).unwrap_or_default());
        push(b"\n");
        *after = true;
        rest = rest.get(at + 1..).unwrap_or_default();
    }
}

/// Whitespace as XML has it.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_a_line_feed() {
        for (before, after) in [
            ("", ""),
            ("\r", "\n"),
            ("\n", "\n"),
            ("a\rb", "a\nb"),
            ("\r\r\n\r", "\n\n\n"),
            ("\r\n\n", "\n\n"),
            ("a\r\nb\n\rc", "a\nb\n\nc"),
        ] {
            for size in 1..4 {
                let (mut bytes, mut cr) = (Vec::new(), false);
                for piece in before.as_bytes().chunks(size) {
                    line_ends(piece, &mut cr, |piece| bytes.extend_from_slice(piece));
                }
                assert_eq!(bytes, after.as_bytes(), "{before:?}");
            }
        }
    }
}
