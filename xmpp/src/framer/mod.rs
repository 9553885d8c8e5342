//! Bytes to stream events, within limits (RFC 6120 sections 4 and 11).
//!
//! `rxml` validates every byte once; here the stanzas are cut out of the stream. What rxml refuses
//! (DTDs, processing instructions, comments, custom entities, bad UTF-8) ends the stream with the
//! error the RFC names. An idle framer holds nothing but its header: parsers stand ready in a small
//! pool per thread, since after the usual header all of them are in the same state.

mod namespaces;

use crate::{
    Element,
    child::{Child, Name},
    error::{StreamError, StreamErrorCondition as Condition},
    jid::Jid,
    nonza::Nonza,
    ns, number, scan,
    stanza::{Head, Kind, Stanza},
    work,
};
use bytes::{Buf, Bytes, BytesMut};
use namespaces::{Declared, declares_prefix, normalise};
use rxml::{
    AttrMap, Error as XmlError, Event as XmlEvent, Namespace, NcName, Options, Parse, Parser,
    error::EndOrError, parser::WithOptions,
};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, fmt, sync::Arc};

/// What one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest first-level element or stream header, in bytes.
    pub max_stanza: usize,
    /// Deepest nesting of elements inside a stanza.
    pub max_depth: usize,
    /// Most attributes of one element.
    pub max_attrs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_stanza: 256 << 10, max_depth: 64, max_attrs: 64 }
    }
}

/// The client's stream header (RFC 6120 section 4.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// The host it wants.
    pub to: Option<Jid>,
    /// Who it says it is.
    pub from: Option<Jid>,
    /// The stream's id, of a server's header.
    pub id: Option<String>,
    /// Major and minor version; 0.9 when not given (section 4.7.5).
    pub version: Option<(u32, u32)>,
    /// The default language of what it sends.
    pub lang: Option<Arc<str>>,
    /// `to` or `from` is no address (section 4.9.3.7).
    pub malformed_address: bool,
}

impl StreamHeader {
    /// Takes one attribute over.
    fn set(&mut self, ns: &str, name: &str, value: &str) {
        match (ns, name) {
            ("", "to") => match value.parse() {
                Ok(jid) => self.to = Some(jid),
                Err(_) => self.malformed_address = true,
            },
            ("", "from") => match value.parse() {
                Ok(jid) => self.from = Some(jid),
                Err(_) => self.malformed_address = true,
            },
            ("", "id") => self.id = Some(value.to_owned()),
            ("", "version") => self.version = number::version(value),
            (ns::XML, "lang") => self.lang = Some(value.into()),
            _ => {}
        }
    }

    /// Whether the client speaks version 1.0 or later.
    pub fn version_1(&self) -> bool {
        self.version.is_some_and(|(major, _)| major >= 1)
    }
}

/// What was found in a client's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream header.
    Open(StreamHeader),
    /// A complete stanza.
    Stanza(Stanza),
    /// Another complete first-level element.
    Nonza(Nonza),
    /// Whitespace between stanzas (section 4.6.1).
    Whitespace,
    /// The stream's closing tag.
    Close,
}

/// What has to be remembered of a header.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Opened {
    /// The header as received, unless it is the usual one.
    raw: Option<Vec<u8>>,
    lang: Option<Arc<str>>,
}

/// A framer as bytes can carry it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenFramer {
    opened: Option<Opened>,
    pending: Vec<u8>,
}

/// The header after which all parsers of a thread are alike.
const USUAL: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
/// Parsers that stand ready on each thread.
const POOL: usize = 32;
/// Longest attribute value or name: room for a small picture as a `data:` address; longer text is
/// handed on in pieces.
const MAX_TOKEN: usize = 64 << 10;

thread_local! {
    static PARSERS: RefCell<Vec<Parser>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn options() -> Options {
    Options { max_token_length: MAX_TOKEN, ..Options::default() }
}

fn fresh() -> Parser {
    Parser::with_options(options())
}

/// A parser that has just read `header`.
fn primed(header: Option<&[u8]>) -> Parser {
    if header.is_none()
        && let Some(parser) = PARSERS.with_borrow_mut(Vec::pop)
    {
        return parser;
    }
    let mut parser = fresh();
    let mut bytes = header.unwrap_or(USUAL);
    while let Ok(Some(_)) = parser.parse(&mut bytes, false) {}
    parser
}

/// A first-level element that is not complete yet.
struct Partial {
    head: Option<Head>,
    head_end: usize,
    children: Vec<Child>,
    child_start: usize,
    child_name: Option<(Name, Name)>,
}

/// Cuts a client's bytes into events.
pub struct Framer {
    limits: Limits,
    /// Bytes since the last boundary.
    buf: BytesMut,
    /// How many of them the parser has seen.
    seen: usize,
    /// How many of them belong to events so far.
    done: usize,
    depth: usize,
    parser: Option<Box<Parser>>,
    opened: Option<Opened>,
    partial: Option<Box<Partial>>,
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("pending", &self.buf.len()).finish_non_exhaustive()
    }
}

fn refuse(condition: Condition, text: &str) -> StreamError {
    StreamError::new(condition).with_text(text)
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buf: BytesMut::new(),
            seen: 0,
            done: 0,
            depth: 0,
            parser: None,
            opened: None,
            partial: None,
        }
    }

    /// Adds bytes of the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next bytes begin a new stream (RFC 6120 section 4.3.3).
    pub fn restart(&mut self) {
        *self = Self { buf: std::mem::take(&mut self.buf), ..Self::new(self.limits) };
    }

    /// The same, and what was received but not looked at is forgotten: bytes sent before TLS must
    /// not count as sent under it (RFC 6120 section 5.4.3.3).
    pub fn restart_secure(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Bytes since the last boundary.
    pub fn pending(&self) -> &[u8] {
        &self.buf
    }

    /// What another process needs to go on.
    pub fn freeze(&self) -> FrozenFramer {
        FrozenFramer { opened: self.opened.clone(), pending: self.buf.to_vec() }
    }

    /// Goes on where another framer was frozen.
    pub fn thaw(frozen: FrozenFramer, limits: Limits) -> Self {
        let mut framer = Self::new(limits);
        framer.opened = frozen.opened;
        framer.depth = usize::from(framer.opened.is_some());
        framer.feed(&frozen.pending);
        framer
    }

    /// The next event, `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream error with which the stream has to end; calling again makes no sense then.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at the first None")]
    pub fn next(&mut self) -> Result<Option<Event>, StreamError> {
        loop {
            if self.at_boundary() {
                let blank = self.buf.iter().take_while(|b| is_blank(**b)).count();
                if blank > 0 {
                    self.buf.advance(blank);
                    return Ok(Some(Event::Whitespace));
                }
                match self.buf.first() {
                    None => {
                        self.rest();
                        return Ok(None);
                    }
                    Some(b'<') => {}
                    // section 4.9.3.22: how UTF-16 begins
                    Some(first)
                        if self.opened.is_none()
                            && (matches!(first, 0xfe | 0xff) || self.buf.starts_with(b"\0<")) =>
                    {
                        return Err(refuse(Condition::UnsupportedEncoding, "streams are UTF-8"));
                    }
                    Some(_) if self.opened.is_none() => {
                        return Err(refuse(Condition::NotWellFormed, "not XML"));
                    }
                    Some(_) => return Err(refuse(Condition::BadFormat, "text between stanzas")),
                }
                if let Some(event) = self.usual() {
                    return Ok(Some(event));
                }
            }
            let parser = self.parser.get_or_insert_with(|| {
                Box::new(match &self.opened {
                    None => fresh(),
                    Some(opened) => primed(opened.raw.as_deref()),
                })
            });
            let mut bytes = self.buf.get(self.seen..).unwrap_or_default();
            let left = bytes.len();
            let parsed = parser.parse(&mut bytes, false);
            self.seen += left - bytes.len();
            match parsed {
                Ok(Some(event)) => {
                    let start = self.done;
                    self.done += event.metrics().len();
                    if self.done > self.limits.max_stanza {
                        return Err(self.too_large());
                    }
                    if let Some(event) = self.event(event, start)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) | Err(EndOrError::NeedMoreData) => {
                    if self.buf.len() > self.limits.max_stanza {
                        return Err(self.too_large());
                    }
                    return Ok(None);
                }
                Err(EndOrError::Error(error)) => return Err(self.xml_error(error)),
            }
        }
    }

    /// What begins at the boundary, if it is complete and usual: the short cut of [`scan`].
    fn usual(&mut self) -> Option<Event> {
        let Some(opened) = &self.opened else { return self.usual_header() };
        if opened.raw.is_some() {
            return None;
        }
        self.usual_stanza().map(Event::Stanza).or_else(|| self.usual_nonza())
    }

    fn usual_header(&mut self) -> Option<Event> {
        let (attrs, len) = scan::header(&self.buf)?;
        if len > self.limits.max_stanza || attrs.len() + 2 > self.limits.max_attrs {
            return None;
        }
        let mut header = StreamHeader::default();
        for (name, value) in attrs {
            match name {
                "xml:lang" => header.set(ns::XML, "lang", value),
                name => header.set("", name, value),
            }
        }
        self.opened = Some(Opened { raw: None, lang: header.lang.clone() });
        self.buf.advance(len);
        self.depth = 1;
        Some(Event::Open(header))
    }

    fn usual_nonza(&mut self) -> Option<Event> {
        // a stanza that is not usual, and elements of the stream, are rxml's
        let (element, len) = scan::element(&self.buf, ns::CLIENT, &self.limits)?;
        if len > self.limits.max_stanza || element.ns() == ns::CLIENT {
            return None;
        }
        self.buf.advance(len);
        Some(Event::Nonza(Nonza::new(element)))
    }

    fn usual_stanza(&mut self) -> Option<Stanza> {
        let opened = self.opened.as_ref()?;
        let scanned = scan::stanza(&self.buf, &self.limits)?;
        let attrs = scanned.attrs.iter().map(|(name, value)| match *name {
            "xml:lang" => (ns::XML, "lang", *value),
            name => ("", name, *value),
        });
        let mut head = Stanza::read_head(scanned.kind, attrs, opened.lang.as_ref());
        if !scanned.children.is_empty() {
            head.children = scanned.children.into();
        }
        let body = Bytes::copy_from_slice(self.buf.get(scanned.head_end..scanned.end)?);
        let len = scanned.len;
        self.buf.advance(len);
        Some(Stanza { head: Arc::new(head), body })
    }

    /// The stream error for what rxml refuses.
    fn xml_error(&self, error: XmlError) -> StreamError {
        let condition = match error {
            // section 4.9.3.22
            XmlError::RestrictedXml(what) if what.contains("encoding") => {
                Condition::UnsupportedEncoding
            }
            // longer than MAX_TOKEN: a limit of ours (section 4.9.3.14)
            XmlError::RestrictedXml(what) if what.contains("long") => Condition::PolicyViolation,
            // section 4.9.3.18: constructs that XMPP forbids (section 11.1)
            XmlError::RestrictedXml(_) | XmlError::UndeclaredEntity => Condition::RestrictedXml,
            // section 4.9.3.22: or has otherwise improperly encoded the stream
            XmlError::InvalidUtf8Byte(_) => Condition::UnsupportedEncoding,
            // a `<` of two bytes: UTF-16
            _ if self.opened.is_none() && self.buf.starts_with(b"<\0") => {
                Condition::UnsupportedEncoding
            }
            _ if self.in_declaration() => Condition::RestrictedXml,
            // section 4.9.3.13: not well-formed or not namespace-well-formed
            _ => Condition::NotWellFormed,
        };
        refuse(condition, &error.to_string())
    }

    /// Whether the parser stopped in a DTD (section 11.1), which rxml does not tell apart.
    fn in_declaration(&self) -> bool {
        let seen = self.buf.get(..self.seen.min(self.buf.len())).unwrap_or_default();
        let tag = seen.iter().rposition(|b| *b == b'<').and_then(|at| self.buf.get(at..));
        tag.is_some_and(|t| t.starts_with(b"<!") && !t.starts_with(b"<!["))
    }

    fn at_boundary(&self) -> bool {
        self.seen == 0 && self.depth <= 1
    }

    /// Nothing waits: give the parser back and the buffer up.
    fn rest(&mut self) {
        self.buf = BytesMut::new();
        if let Some(parser) = self.parser.take()
            && self.opened.as_ref().is_some_and(|o| o.raw.is_none())
        {
            PARSERS.with_borrow_mut(|pool| {
                if pool.len() < POOL {
                    pool.push(*parser);
                }
            });
        }
    }

    fn too_large(&self) -> StreamError {
        let text = format!("an element may have {} bytes", self.limits.max_stanza);
        StreamError::stanza_too_big().with_text(&text)
    }

    /// Takes the bytes of a complete first-level element out of the buffer.
    fn cut(&mut self) -> BytesMut {
        let bytes = self.buf.split_to(self.done.min(self.buf.len()));
        self.seen = self.seen.saturating_sub(self.done);
        self.done = 0;
        bytes
    }

    fn event(&mut self, event: XmlEvent, start: usize) -> Result<Option<Event>, StreamError> {
        match event {
            XmlEvent::XmlDeclaration(..) => Ok(None),
            XmlEvent::StartElement(_, name, attrs) => self.start(name, attrs, start),
            XmlEvent::EndElement(_) => self.end(start),
            XmlEvent::Text(..) if self.depth > 1 => Ok(None),
            // text between stanzas; whitespace does not get here
            XmlEvent::Text(..) => Err(refuse(Condition::BadFormat, "text between stanzas")),
        }
    }

    fn start(
        &mut self,
        (ns, name): (Namespace<'static>, NcName),
        attrs: AttrMap,
        start: usize,
    ) -> Result<Option<Event>, StreamError> {
        if attrs.len() > self.limits.max_attrs {
            return Err(refuse(Condition::PolicyViolation, "too many attributes"));
        }
        self.depth += 1;
        match self.depth {
            1 => return self.open(&ns, &name, attrs).map(Some),
            2 => {
                if ns.as_str() == ns::STREAM && name.as_str() == "stream" {
                    // its end would be that of the stream
                    return Err(refuse(Condition::InvalidXml, "a stream header in a stream"));
                }
                let kind =
                    if ns.as_str() == ns::CLIENT { Kind::parse(name.as_str()) } else { None };
                let lang = self.opened.as_ref().and_then(|o| o.lang.as_ref());
                self.partial = Some(Box::new(Partial {
                    head: kind.map(|kind| {
                        let attrs = attrs.iter().map(|((ns, name), value)| {
                            (ns.as_str(), name.as_str(), value.as_str())
                        });
                        Stanza::read_head(kind, attrs, lang)
                    }),
                    head_end: self.done,
                    children: Vec::new(),
                    child_start: 0,
                    child_name: None,
                }));
            }
            _ => {
                if self.depth > self.limits.max_depth + 2 {
                    return Err(refuse(Condition::PolicyViolation, "nested too deeply"));
                }
                if ns.as_str() == ns::STREAM {
                    // could otherwise end somebody else's stream
                    return Err(refuse(Condition::InvalidXml, "a stream element in a stanza"));
                }
                if self.depth == 3
                    && let Some(partial) = &mut self.partial
                {
                    partial.child_start = start;
                    partial.child_name =
                        Some((Name::of_namespace(ns.as_str()), Name::of_element(name.as_str())));
                }
            }
        }
        Ok(None)
    }

    fn end(&mut self, start: usize) -> Result<Option<Event>, StreamError> {
        self.depth = self.depth.saturating_sub(1);
        match self.depth {
            0 => Ok(Some(Event::Close)),
            1 => self.complete(start).map(Some),
            2 => {
                let end = self.done;
                if let Some(partial) = &mut self.partial
                    && let Some((ns, name)) = partial.child_name.take()
                {
                    let offset = |n: usize| {
                        u32::try_from(n.saturating_sub(partial.head_end)).unwrap_or(u32::MAX)
                    };
                    let span = offset(partial.child_start)..offset(end);
                    partial.children.push(Child { ns, name, span });
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The stream header.
    fn open(
        &mut self,
        ns: &Namespace<'_>,
        name: &NcName,
        attrs: AttrMap,
    ) -> Result<Event, StreamError> {
        if ns.as_str() != ns::STREAM {
            return Err(refuse(Condition::InvalidNamespace, "the stream's namespace is wrong"));
        }
        if name.as_str() != "stream" {
            return Err(refuse(Condition::BadFormat, "a stream begins with <stream:stream>"));
        }
        let mut header = StreamHeader::default();
        for ((ns, name), value) in attrs {
            header.set(ns.as_str(), name.as_str(), &value);
        }
        let raw = self.cut();
        if raw.ends_with(b"/>") {
            return Err(refuse(Condition::BadFormat, "a stream that ends where it begins"));
        }
        let declared = Declared::read(&raw);
        // section 4.8.5: an implementation may accept only this one
        if !declared.prefix {
            return Err(refuse(Condition::BadNamespacePrefix, "the prefix of streams is stream"));
        }
        if !declared.content {
            return Err(refuse(
                Condition::InvalidNamespace,
                "the content's namespace is jabber:client",
            ));
        }
        let lang = header.lang.clone();
        self.opened = Some(Opened { raw: (!declared.usual).then(|| raw.to_vec()), lang });
        // from here on a parser of the pool, which has seen none of the bytes that follow
        self.parser = None;
        self.seen = 0;
        Ok(Event::Open(header))
    }

    /// A complete first-level element; `end` is where its end tag begins.
    fn complete(&mut self, end: usize) -> Result<Event, StreamError> {
        let raw = self.cut();
        let Some(partial) = self.partial.take() else {
            return Err(StreamError::new(Condition::InternalServerError));
        };
        let root = self.opened.as_ref().and_then(|o| o.raw.as_deref()).unwrap_or(USUAL);
        let Some(mut head) = partial.head else {
            let element = Element::parse_in(root, &raw);
            let element =
                element.ok_or_else(|| refuse(Condition::NotWellFormed, "not an element"))?;
            return Ok(Event::Nonza(Nonza::new(element)));
        };
        let start_tag = raw.get(..partial.head_end).unwrap_or_default();
        if self.opened.as_ref().is_some_and(|o| o.raw.is_some()) || declares_prefix(start_tag) {
            return normalise(root, &raw, head).map(Event::Stanza);
        }
        // a copy of its own, so that a stanza that waits somewhere does not hold the whole buffer
        let body = Bytes::copy_from_slice(raw.get(partial.head_end..end).unwrap_or_default());
        if !partial.children.is_empty() {
            head.children = partial.children.into();
        }
        Ok(Event::Stanza(Stanza { head: Arc::new(head), body }))
    }
}

/// Whitespace as XML has it.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Parses exactly one stanza.
pub(crate) fn parse_stanza(xml: &[u8]) -> Option<Stanza> {
    work::parsed();
    let limits = Limits { max_stanza: xml.len() + 1, max_depth: 256, max_attrs: 256 };
    let frozen =
        FrozenFramer { opened: Some(Opened { raw: None, lang: None }), pending: xml.to_vec() };
    let mut framer = Framer::thaw(frozen, limits);
    let Ok(Some(Event::Stanza(stanza))) = framer.next() else { return None };
    let alone = framer.buf.is_empty();
    framer.rest();
    alone.then_some(stanza)
}
