//! Bytes to stream events, within limits (RFC 6120 sections 4 and 11).
//!
//! `rxml` validates every byte once; here the stanzas are cut out of the stream. What rxml refuses
//! (DTDs, processing instructions, comments, custom entities, bad UTF-8) ends the stream with the
//! error the RFC names. An idle framer holds nothing but its header: parsers stand ready in a small
//! pool per thread, since between two first-level elements all of them are in the same state.

pub(crate) mod header;
pub(crate) mod limits;
mod partial;

pub use header::StreamHeader;
pub use limits::Limits;

use crate::{
    element::Tree,
    error::{StreamError, StreamErrorCondition as Condition},
    nonza::Nonza,
    ns,
    reader::{self, Reader, Start, is_blank, refuse},
    scan,
    stanza::{Kind, Stanza},
    work,
};
use bytes::{Buf, Bytes, BytesMut};
use header::Opened;
use partial::{Content, Partial, Unfit};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

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

/// A framer as bytes can carry it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenFramer {
    opened: Option<Opened>,
    pending: Vec<u8>,
    cr: bool,
}

/// Deepest nesting whatever the limits say: libxml2, with which some clients read, ends a stream in which
/// more than 256 elements are open.
const MAX_DEPTH: usize = 240;

/// Cuts a client's bytes into events.
///
/// Where something begins or ends is read off what the parser has consumed, and never put together
/// from what it reports: an empty CDATA section is bytes without an event. A tag ends with the last
/// byte consumed when it is reported, and begins with the last `<` before, since none may stand in it.
pub struct Framer {
    limits: Limits,
    /// Bytes since the last boundary, with line feeds for lines' ends.
    buf: BytesMut,
    /// A carriage return came last.
    cr: bool,
    /// How many of them the parser has consumed.
    seen: usize,
    /// Where the first-level element or the header begins: behind the XML declaration.
    begin: usize,
    depth: usize,
    reader: Option<Box<Reader>>,
    opened: Option<Opened>,
    partial: Option<Partial>,
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("pending", &self.buf.len()).finish_non_exhaustive()
    }
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buf: BytesMut::new(),
            cr: false,
            seen: 0,
            begin: 0,
            depth: 0,
            reader: None,
            opened: None,
            partial: None,
        }
    }

    /// Adds bytes of the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.cr || memchr::memchr(b'\r', bytes).is_some() {
            let buf = &mut self.buf;
            reader::line_ends(bytes, &mut self.cr, |piece| buf.extend_from_slice(piece));
        } else {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next bytes begin a new stream (RFC 6120 section 4.3.3).
    pub fn restart(&mut self) {
        let buf = std::mem::take(&mut self.buf);
        *self = Self { buf, cr: self.cr, ..Self::new(self.limits) };
    }

    /// The next bytes begin a new stream, and what was received but not looked at is forgotten: bytes sent before TLS must
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
        FrozenFramer { opened: self.opened.clone(), pending: self.buf.to_vec(), cr: self.cr }
    }

    /// Goes on where another framer was frozen.
    pub fn thaw(frozen: FrozenFramer, limits: Limits) -> Self {
        let mut framer = Self::new(limits);
        framer.opened = frozen.opened;
        framer.depth = usize::from(framer.opened.is_some());
        framer.feed(&frozen.pending);
        framer.cr = frozen.cr;
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
                let Some(first) = self.buf.first() else {
                    self.rest();
                    return Ok(None);
                };
                self.may_begin(*first)?;
                if let Some(event) = self.usual() {
                    return Ok(Some(event));
                }
            }
            if self.reader.is_none() {
                if !self.begun()? {
                    return self.wait();
                }
                self.begin = self.seen;
                if let Some(event) = self.usual_header() {
                    return Ok(Some(event));
                }
            }
            // what is larger than a stanza may be is not looked at, however it comes
            let end = self.buf.len().min(self.limits.max_stanza);
            let mut bytes = self.buf.get(self.seen..end).unwrap_or_default();
            let left = bytes.len();
            let reader = self.reader.get_or_insert_with(|| {
                let reader = reader_of(self.opened.as_ref());
                Box::new(reader.with_max_bindings(self.limits.max_bindings))
            });
            let found = reader.next(&mut bytes, self.limits.max_attrs);
            self.seen += left - bytes.len();
            match found? {
                None => return self.wait(),
                Some(event) => {
                    if let Some(event) = self.event(event)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Whether an element, or the stream, may begin with that byte.
    fn may_begin(&self, first: u8) -> Result<(), StreamError> {
        Err(match (first, &self.opened) {
            (b'<', _) => return Ok(()),
            (_, Some(_)) => refuse(Condition::BadFormat, "text between stanzas"),
            // section 4.9.3.22: how UTF-16 begins, with its mark or without
            (0xfe | 0xff | 0, None) => refuse(Condition::UnsupportedEncoding, "streams are UTF-8"),
            (_, None) => refuse(Condition::NotWellFormed, "not XML"),
        })
    }

    /// Passes the XML declaration and the blank behind it (section 11.4); whether there is more.
    fn begun(&mut self) -> Result<bool, StreamError> {
        if self.opened.is_some() {
            return Ok(true);
        }
        if self.seen == 0 {
            match self.buf.get(1) {
                None => return Ok(false),
                Some(b'?') => {}
                Some(0) => return Err(refuse(Condition::UnsupportedEncoding, "streams are UTF-8")),
                Some(_) => return Ok(true),
            }
            let Some(length) = header::declaration(&self.buf)? else { return Ok(false) };
            self.seen = length;
        }
        let rest = self.buf.get(self.seen..).unwrap_or_default();
        self.seen += rest.iter().take_while(|b| is_blank(**b)).count();
        match self.buf.get(self.seen) {
            None => Ok(false),
            Some(b'<') => Ok(true),
            Some(_) => Err(refuse(Condition::NotWellFormed, "not XML")),
        }
    }

    fn wait(&self) -> Result<Option<Event>, StreamError> {
        if self.buf.len() > self.limits.max_stanza { Err(self.too_large()) } else { Ok(None) }
    }

    /// What begins at the boundary, if it is complete and usual: the short cut of [`scan`].
    fn usual(&mut self) -> Option<Event> {
        self.opened.as_ref()?;
        if let Some(stanza) = self.usual_stanza() {
            return Some(Event::Stanza(stanza));
        }
        // an unusual one is not read a second time
        if scan::is_stanza(&self.buf) { None } else { self.usual_nonza().map(Event::Nonza) }
    }

    fn usual_header(&mut self) -> Option<Event> {
        if self.opened.is_some() {
            return None;
        }
        let (attrs, len) = scan::header(self.buf.get(self.begin..)?)?;
        if self.begin + len > self.limits.max_stanza || attrs.len() + 2 > self.limits.max_attrs {
            return None;
        }
        let mut header = StreamHeader::default();
        for (name, value) in attrs {
            match name {
                "xml:lang" => header.set(ns::XML, "lang", value),
                name => header.set("", name, value),
            }
        }
        self.opened = Some(Opened::usual(header.lang.clone()));
        self.seen = self.begin + len;
        self.cut();
        self.depth = 1;
        Some(Event::Open(header))
    }

    fn usual_nonza(&mut self) -> Option<Nonza> {
        let default_ns = self.opened.as_ref()?.default_ns();
        // elements of the stream, and what has no place in it, are rxml's
        let (element, len) = scan::element(&self.buf, default_ns, &self.limits)?;
        if len > self.limits.max_stanza || matches!(element.ns(), "" | ns::CLIENT | ns::STREAM) {
            return None;
        }
        self.buf.advance(len);
        Some(Nonza::new(element))
    }

    fn usual_stanza(&mut self) -> Option<Stanza> {
        let opened = self.opened.as_ref()?;
        let scanned = scan::stanza(&self.buf, opened.default_ns(), &self.limits)?;
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
        let stanza = Stanza { head: Arc::new(head), body };
        // a language and a prepared address may be more than came
        if !stanza.fits(len, self.limits.max_stanza) {
            return None;
        }
        self.buf.advance(len);
        Some(stanza)
    }

    fn at_boundary(&self) -> bool {
        self.seen == 0 && self.depth <= 1
    }

    /// Nothing waits: give the parser back and the buffer up.
    fn rest(&mut self) {
        self.buf = BytesMut::new();
        if let Some(reader) = self.reader.take()
            && let Some(opened) = &self.opened
        {
            reader.give_back(opened.bare);
        }
    }

    fn too_large(&self) -> StreamError {
        let text = format!("an element may have {} bytes", self.limits.max_stanza);
        StreamError::stanza_too_big().with_text(&text)
    }

    /// Takes what was consumed out of the buffer: a complete first-level element, or the header.
    fn cut(&mut self) -> BytesMut {
        let bytes = self.buf.split_to(self.seen);
        (self.seen, self.begin) = (0, 0);
        bytes
    }

    /// Where the tag begins whose `>` was consumed last.
    fn tag(&self) -> usize {
        let seen = self.buf.get(..self.seen).unwrap_or_default();
        seen.iter().rposition(|b| *b == b'<').unwrap_or_default()
    }

    fn event(&mut self, event: reader::Event) -> Result<Option<Event>, StreamError> {
        match event {
            reader::Event::Start(start) => self.start(start),
            reader::Event::End => self.end(),
            reader::Event::Text(text) if self.depth > 1 => {
                if let Some(Partial::Other(tree)) = &mut self.partial {
                    tree.text(&text);
                    light(tree, &self.limits)?;
                }
                Ok(None)
            }
            // whitespace does not get here
            reader::Event::Text(_) => Err(refuse(Condition::BadFormat, "text between stanzas")),
        }
    }

    fn start(&mut self, start: Start) -> Result<Option<Event>, StreamError> {
        let tag = self.tag();
        self.depth += 1;
        match self.depth {
            1 => return self.open(&start, tag).map(Some),
            2 => self.first_level(start, tag)?,
            _ => {
                if self.depth > self.limits.max_depth.min(MAX_DEPTH) + 2 {
                    return Err(refuse(Condition::PolicyViolation, "nested too deeply"));
                }
                if *start.ns == *ns::STREAM {
                    // could otherwise end somebody else's stream
                    return Err(refuse(Condition::InvalidXml, "a stream element in a stanza"));
                }
                match &mut self.partial {
                    Some(Partial::Stanza(content)) if self.depth == 3 => {
                        content.child_begins(&start, tag);
                    }
                    Some(Partial::Other(tree)) => add(tree, start, &self.limits)?,
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// A first-level element begins.
    fn first_level(&mut self, start: Start, tag: usize) -> Result<(), StreamError> {
        if tag != self.begin {
            // a CDATA section without anything in it
            return Err(refuse(Condition::BadFormat, "text between stanzas"));
        }
        if *start.ns == *ns::STREAM && start.name.as_str() == "stream" {
            // its end would be that of the stream
            return Err(refuse(Condition::InvalidXml, "a stream header in a stream"));
        }
        let kind = if *start.ns == *ns::CLIENT { Kind::parse(start.name.as_str()) } else { None };
        let Some(kind) = kind else {
            let mut tree = Tree::default();
            add(&mut tree, start, &self.limits)?;
            self.partial = Some(Partial::Other(tree));
            return Ok(());
        };
        let lang = self.opened.as_ref().and_then(|o| o.lang.as_ref());
        let head = Stanza::read_head(kind, start.attrs(), lang);
        if let Some(reader) = &mut self.reader {
            // only the content's names are asked for
            reader.take_used();
            let content = Content::new(head, &start, self.seen, reader.bindings());
            self.partial = Some(Partial::Stanza(Box::new(content)));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Event>, StreamError> {
        self.depth = self.depth.saturating_sub(1);
        match self.depth {
            0 if self.tag() != self.begin => {
                return Err(refuse(Condition::BadFormat, "text between stanzas"));
            }
            0 => return Ok(Some(Event::Close)),
            1 => return self.complete().map(Some),
            _ => {}
        }
        match &mut self.partial {
            Some(Partial::Stanza(content)) if self.depth == 2 => {
                if let Some(reader) = &mut self.reader {
                    let used = reader.take_used();
                    let max = self.limits.max_weight();
                    let ended = content.child_ends(self.seen, used, reader.bindings(), max);
                    ended.map_err(|partial::Heavy| heavy())?;
                }
            }
            Some(Partial::Other(tree)) => tree.end(),
            _ => {}
        }
        Ok(None)
    }

    /// The stream header.
    fn open(&mut self, start: &Start, tag: usize) -> Result<Event, StreamError> {
        if tag != self.begin {
            return Err(refuse(Condition::NotWellFormed, "not XML"));
        }
        let empty = self.buf.get(..self.seen).is_some_and(|tag| tag.ends_with(b"/>"));
        // the first binding is none of the header's
        let bindings = self.reader.as_ref().and_then(|r| r.bindings().get(1..)).unwrap_or_default();
        let (header, opened) = header::open(start, bindings, empty)?;
        self.opened = Some(opened);
        self.cut();
        // from here on a parser of the pool, which has seen none of the bytes that follow
        self.reader = None;
        Ok(Event::Open(header))
    }

    /// A complete first-level element.
    fn complete(&mut self) -> Result<Event, StreamError> {
        let tag = self.tag();
        let raw = self.cut();
        let event = match self.partial.take() {
            Some(Partial::Stanza(content)) => {
                match content.finish(&raw, tag, self.limits.max_stanza) {
                    Ok(stanza) => Some(Event::Stanza(stanza)),
                    Err(Unfit::Large) => return Err(self.too_large()),
                    Err(Unfit::Grown) => {
                        let text = "declarations and escapes that grow when they are handed on";
                        return Err(refuse(Condition::PolicyViolation, text));
                    }
                    Err(Unfit::Torn) => None,
                }
            }
            Some(Partial::Other(tree)) => tree.finish().map(|e| Event::Nonza(Nonza::new(e))),
            None => None,
        };
        event.ok_or_else(|| StreamError::new(Condition::InternalServerError))
    }
}

fn add(tree: &mut Tree, start: Start, limits: &Limits) -> Result<(), StreamError> {
    let many = || refuse(Condition::PolicyViolation, "too many namespace declarations");
    tree.start(start).ok_or_else(many)?;
    light(tree, limits)
}

fn light(tree: &Tree, limits: &Limits) -> Result<(), StreamError> {
    if tree.weight() > limits.max_weight() { Err(heavy()) } else { Ok(()) }
}

fn heavy() -> StreamError {
    refuse(Condition::PolicyViolation, "too many small elements and attributes")
}

/// The parser for what follows.
fn reader_of(opened: Option<&Opened>) -> Reader {
    let Some(opened) = opened else { return Reader::document() };
    opened.with_bindings(|bindings| Reader::inside(opened.bare, bindings))
}

impl Stanza {
    /// Parses one stanza as it would stand in a stream; `None` when it is not exactly one. That of a client, or one
    /// that was handed on or kept, in which everything can be more than a client may send: what it is allowed to weigh
    /// is not asked again.
    pub fn parse(xml: &[u8]) -> Option<Self> {
        work::parsed();
        let limits = Limits {
            max_stanza: usize::MAX >> 8,
            max_depth: 256,
            max_attrs: 256,
            max_bindings: reader::MAX_BINDINGS,
        };
        let frozen =
            FrozenFramer { opened: Some(Opened::usual(None)), pending: xml.to_vec(), cr: false };
        let mut framer = Framer::thaw(frozen, limits);
        let Ok(Some(Event::Stanza(stanza))) = framer.next() else { return None };
        let alone = framer.buf.is_empty();
        framer.rest();
        alone.then_some(stanza)
    }
}
