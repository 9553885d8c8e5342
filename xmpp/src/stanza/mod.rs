//! A stanza: the parsed start tag and the raw bytes of its content.
//!
//! The content was validated by the framer when it came in; sending renders a head and splices the
//! bytes (law 7). A clone is two reference counts. Payloads are parsed on demand.

mod packed;
#[cfg(test)]
mod tests;
pub(crate) mod weight;

pub use crate::child::Child;
use crate::{
    Element,
    child::Name,
    error::StanzaError,
    jid::Jid,
    ns,
    stream::{attr, attr_len},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// The three stanzas of RFC 6120 section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

impl Kind {
    /// The element's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    /// The stanza of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }
}

/// The `type` of a stanza, of all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A message of no special type (RFC 6121 section 5.2.2), also of an unknown one.
    Normal,
    /// A message of a one-to-one chat.
    Chat,
    /// A message of a group chat.
    Groupchat,
    /// A message that is not to be kept.
    Headline,
    /// An error, of any kind of stanza.
    Error,
    /// An IQ request for information.
    Get,
    /// An IQ request for a change.
    Set,
    /// An IQ answer.
    Result,
    /// A presence without a type.
    Available,
    /// Presence: gone.
    Unavailable,
    /// Presence: a request to see the contact's presence.
    Subscribe,
    /// Presence: the request is granted.
    Subscribed,
    /// Presence: no longer wants to see.
    Unsubscribe,
    /// Presence: the request is denied or the grant withdrawn.
    Unsubscribed,
    /// Presence: a server asks for the current presence.
    Probe,
}

impl Type {
    /// The attribute's value; `None` where there is no attribute.
    pub fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Self::Normal | Self::Available => return None,
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Error => "error",
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Unavailable => "unavailable",
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
            Self::Probe => "probe",
        })
    }

    /// The type of a stanza. An unknown one of a message counts as normal (RFC 6121
    /// section 5.2.2); of an IQ or presence it is an error (`None`).
    pub fn parse(kind: Kind, value: Option<&str>) -> Option<Self> {
        Some(match (kind, value) {
            (_, Some("error")) => Self::Error,
            (Kind::Message, Some("chat")) => Self::Chat,
            (Kind::Message, Some("groupchat")) => Self::Groupchat,
            (Kind::Message, Some("headline")) => Self::Headline,
            (Kind::Message, _) => Self::Normal,
            (Kind::Iq, Some("get")) => Self::Get,
            (Kind::Iq, Some("set")) => Self::Set,
            (Kind::Iq, Some("result")) => Self::Result,
            (Kind::Presence, None) => Self::Available,
            (Kind::Presence, Some("unavailable")) => Self::Unavailable,
            (Kind::Presence, Some("subscribe")) => Self::Subscribe,
            (Kind::Presence, Some("subscribed")) => Self::Subscribed,
            (Kind::Presence, Some("unsubscribe")) => Self::Unsubscribe,
            (Kind::Presence, Some("unsubscribed")) => Self::Unsubscribed,
            (Kind::Presence, Some("probe")) => Self::Probe,
            _ => return None,
        })
    }

    /// Whether it manages a presence subscription (RFC 6121 section 3).
    pub fn is_subscription(self) -> bool {
        matches!(self, Self::Subscribe | Self::Subscribed | Self::Unsubscribe | Self::Unsubscribed)
    }
}

/// The parsed start tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which stanza.
    pub kind: Kind,
    /// Its type.
    pub ty: Type,
    /// The attribute `id`.
    pub id: Option<Arc<str>>,
    /// The address it is for.
    pub to: Option<Jid>,
    /// Who sent it.
    pub from: Option<Jid>,
    /// `xml:lang`.
    pub lang: Option<Arc<str>>,
    /// Other attributes, rendered with a space before each.
    pub extra: Arc<str>,
    /// The direct children in order.
    pub children: Arc<[Child]>,
    /// What is wrong with the attributes.
    pub problem: Option<Problem>,
}

/// What is wrong with a start tag: the session answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// `to` is no address: `jid-malformed` (RFC 6120 section 8.3.3.8).
    To,
    /// `from` is no address: the stream ends with `invalid-from` (section 4.9.3.9).
    From,
    /// The `type` is unknown: `bad-request` (section 8.3.3.1).
    Type,
}

/// The content of a message that is returned in an error, in bytes.
const MAX_RETURNED: usize = 4096;

/// The empty text, without an allocation of its own.
fn no_text() -> Arc<str> {
    static EMPTY: OnceLock<Arc<str>> = OnceLock::new();
    Arc::clone(EMPTY.get_or_init(|| "".into()))
}

/// No children, without an allocation of their own.
fn no_children() -> Arc<[Child]> {
    static EMPTY: OnceLock<Arc<[Child]>> = OnceLock::new();
    Arc::clone(EMPTY.get_or_init(Arc::default))
}

impl Head {
    fn new(kind: Kind, ty: Type) -> Self {
        Self {
            kind,
            ty,
            id: None,
            to: None,
            from: None,
            lang: None,
            extra: no_text(),
            children: no_children(),
            problem: None,
        }
    }
}

/// A stanza.
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza {
    /// The start tag.
    pub head: Arc<Head>,
    /// What stands between start tag and end tag. Names in it without a prefix are in
    /// `jabber:client` where it declares nothing else; it uses no prefix it does not declare.
    pub body: Bytes,
}

impl Stanza {
    /// A stanza without content.
    pub fn new(kind: Kind, ty: Type) -> Self {
        Self { head: Arc::new(Head::new(kind, ty)), body: Bytes::new() }
    }

    /// A presence without content.
    pub fn presence(ty: Type) -> Self {
        Self::new(Kind::Presence, ty)
    }

    /// An IQ with a payload.
    pub fn iq(ty: Type, id: &str, payload: &str) -> Self {
        let iq = Self::new(Kind::Iq, ty).append(payload);
        iq.edit(|h| h.id = Some(id.into()))
    }

    fn edit(&self, f: impl FnOnce(&mut Head)) -> Self {
        let mut head = Head::clone(&self.head);
        f(&mut head);
        Self { head: Arc::new(head), body: self.body.clone() }
    }

    /// With another `to`.
    #[must_use]
    pub fn with_to(&self, to: Option<Jid>) -> Self {
        self.edit(|h| h.to = to)
    }

    /// With another `from`.
    #[must_use]
    pub fn with_from(&self, from: Option<Jid>) -> Self {
        self.edit(|h| h.from = from)
    }

    /// With another `id`.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        self.edit(|h| h.id = Some(id.into()))
    }

    /// Appends a child (XML complete in itself) to the content. What is no content of a stanza is not.
    #[must_use]
    pub fn append(&self, xml: &str) -> Self {
        match self.children_of(xml.as_bytes()) {
            Some(children) => self.join(children.iter(), xml.as_bytes()),
            None => self.clone(),
        }
    }

    /// With more content, whose children are known.
    fn join<'a>(&self, children: impl Iterator<Item = &'a Child>, xml: &[u8]) -> Self {
        let before = self.body.len();
        let moved = children.map(|child| child.moved(|at| at.saturating_add(before)));
        let children = self.head.children.iter().cloned().chain(moved).collect();
        let body = [&self.body, xml].concat().into();
        Self { head: self.edit(|h| h.children = children).head, body }
    }

    /// Without the children that `drop` names.
    #[must_use]
    pub fn without(&self, drop: impl Fn(&Child, &[u8]) -> bool) -> Self {
        let mut body = Vec::with_capacity(self.body.len());
        let mut children = Vec::with_capacity(self.head.children.len());
        let mut kept = 0;
        for child in self.head.children.iter() {
            let range = child.range();
            if drop(child, self.body.get(range.clone()).unwrap_or_default()) {
                body.extend_from_slice(self.body.get(kept..range.start).unwrap_or_default());
                kept = range.end + self.close_gap(&mut body, range.end);
            } else {
                let gone = kept.saturating_sub(body.len());
                children.push(child.moved(|at| at.saturating_sub(gone)));
            }
        }
        if kept == 0 {
            return self.clone();
        }
        body.extend_from_slice(self.body.get(kept..).unwrap_or_default());
        let head = self.edit(|h| h.children = children.into()).head;
        Self { head, body: body.into() }
    }

    /// What was text on both sides of a child is no `]]>` without it, which may not be in a text (XML 1.0 section
    /// 2.4). Says how much of the content from `at` on is in `body` then.
    fn close_gap(&self, body: &mut Vec<u8>, at: usize) -> usize {
        let after = self.body.get(at..).unwrap_or_default();
        let brackets = usize::from(after.starts_with(b"]"));
        let end = &b"]]"[brackets..];
        if !body.ends_with(end) || after.get(brackets) != Some(&b'>') {
            return 0;
        }
        body.extend_from_slice(&b"]]"[end.len()..]);
        body.extend_from_slice(b"&gt;");
        brackets + 1
    }

    /// The children that a content would have, found by parsing it in such a stanza.
    fn children_of(&self, body: &[u8]) -> Option<Arc<[Child]>> {
        let head = Arc::new(Head::new(self.head.kind, self.head.ty));
        let plain = Self { head, body: Bytes::copy_from_slice(body) };
        let mut xml = Vec::with_capacity(body.len() + 64);
        plain.render(&mut xml);
        Self::parse(&xml).filter(|s| s.body == plain.body).map(|s| Arc::clone(&s.head.children))
    }

    /// A child of this stanza, as it stands in the content.
    pub fn raw(&self, child: &Child) -> &[u8] {
        self.body.get(child.range()).unwrap_or_default()
    }

    /// The first child of that name, as it stands in the content.
    pub fn child(&self, ns: &str, name: &str) -> Option<Bytes> {
        let child = self.head.children.iter().find(|c| c.ns() == ns && c.name() == name)?;
        Some(self.body.slice(child.range()))
    }

    /// Whether there is such a child.
    pub fn has(&self, ns: &str, name: &str) -> bool {
        self.head.children.iter().any(|c| c.ns() == ns && c.name() == name)
    }

    /// The first child of that name, parsed.
    pub fn element(&self, ns: &str, name: &str) -> Option<Element> {
        Element::parse(&self.child(ns, name)?, ns::CLIENT)
    }

    /// The first child, parsed: the payload of an IQ.
    pub fn payload(&self) -> Option<Element> {
        let child = self.head.children.first()?;
        Element::parse(self.body.get(child.range())?, ns::CLIENT)
    }

    /// The text of the first child of that name in `jabber:client` (body, subject, priority ...).
    pub fn text_of(&self, name: &str) -> Option<String> {
        let xml = self.child(ns::CLIENT, name)?;
        if let Some(text) = plain_text(&xml, name) {
            return Some(text.to_owned());
        }
        Some(Element::parse(&xml, ns::CLIENT)?.text())
    }

    /// Appends the stanza as it stands in a client's stream.
    pub fn render(&self, out: &mut Vec<u8>) {
        self.render_name(out);
        self.render_rest(out);
    }

    /// Appends the stanza as a document of its own (RFC 7395 section 3.3.3).
    pub fn render_alone(&self, out: &mut Vec<u8>) {
        self.render_name(out);
        attr(out, "xmlns", ns::CLIENT);
        self.render_rest(out);
    }

    fn render_name(&self, out: &mut Vec<u8>) {
        out.reserve(self.body.len() + 192);
        out.push(b'<');
        out.extend_from_slice(self.head.kind.as_str().as_bytes());
    }

    fn render_rest(&self, out: &mut Vec<u8>) {
        let head = &*self.head;
        for (key, value) in [
            ("from", head.from.as_ref().map(Jid::as_str)),
            ("to", head.to.as_ref().map(Jid::as_str)),
            ("id", head.id.as_deref()),
            ("type", head.ty.as_str()),
            ("xml:lang", head.lang.as_deref()),
        ] {
            if let Some(value) = value {
                attr(out, key, value);
            }
        }
        out.extend_from_slice(head.extra.as_bytes());
        if self.body.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(&self.body);
        out.extend_from_slice(b"</");
        out.extend_from_slice(head.kind.as_str().as_bytes());
        out.push(b'>');
    }

    /// Whether what is handed on of so many bytes that came is about as much: at most four times as much and
    /// 2 KiB, and 1 KiB more than a stanza may have. Declarations are written again, and escapes. `from` is not
    /// counted, which the server writes.
    pub(crate) fn fits(&self, came: usize, max_stanza: usize) -> bool {
        let head = &*self.head;
        let max = came.saturating_mul(4).saturating_add(2 << 10).min(max_stanza + (1 << 10));
        let fields = [
            ("to", head.to.as_ref().map(Jid::as_str)),
            ("id", head.id.as_deref()),
            ("xml:lang", head.lang.as_deref()),
        ];
        let fields = || fields.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        // name, type and end tag
        let rest = 64 + head.extra.len() + self.body.len();
        // usually a look at lengths is enough
        let most: usize = fields().map(|(_, value)| 16 + 6 * value.len()).sum();
        rest + most <= max || rest + fields().map(|(n, v)| attr_len(n, v)).sum::<usize>() <= max
    }

    /// The rendered stanza; with the namespace declared it stands for itself.
    pub fn to_xml(&self) -> String {
        let mut out = Vec::new();
        self.render(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The answer to this IQ, with `payload` (XML complete in itself, may be empty). One that is not
    /// well-formed, kept since before what came in was judged as it is today, is not sent.
    pub fn reply_result(&self, payload: &[u8]) -> Self {
        let reply = self.reply(Type::Result);
        if payload.is_empty() {
            return reply;
        }
        match reply.children_of(payload) {
            Some(children) => {
                let body = Bytes::copy_from_slice(payload);
                Self { head: reply.edit(|h| h.children = children).head, body }
            }
            None => self.reply_error(&StanzaError::internal_server_error()),
        }
    }

    /// The answer to this IQ with one element of that name, which is not looked into again: for what is
    /// large.
    pub fn reply_with(&self, ns: &str, name: &str, xml: Vec<u8>) -> Self {
        self.reply(Type::Result).with_payload(ns, name, xml)
    }

    /// With one element of that name as its content.
    #[must_use]
    pub fn with_payload(&self, ns: &str, name: &str, xml: Vec<u8>) -> Self {
        let span = 0..u32::try_from(xml.len()).unwrap_or(u32::MAX);
        let child = Child { ns: Name::of_namespace(ns), name: Name::of_element(name), span };
        Self { head: self.edit(|h| h.children = [child].into()).head, body: xml.into() }
    }

    /// The error answer. That to a message has its content too, unless it is large, so that its sender
    /// sees which one it was (RFC 6120 section 8.3.1 leaves it open).
    pub fn reply_error(&self, error: &StanzaError) -> Self {
        let mut reply = self.reply(Type::Error);
        if self.head.kind == Kind::Message && self.body.len() <= MAX_RETURNED {
            let content = self.without(|c, _| c.ns() == ns::CLIENT && c.name() == "error");
            let (lang, children) = (self.head.lang.clone(), Arc::clone(&content.head.children));
            reply = reply.edit(|h| (h.lang, h.children) = (lang, children));
            reply.body = content.body;
        }
        let mut xml = Vec::new();
        error.render(&mut xml);
        let span = 0..u32::try_from(xml.len()).unwrap_or(u32::MAX);
        reply.join(
            [Child { ns: Name::Known(ns::CLIENT), name: Name::Known("error"), span }].iter(),
            &xml,
        )
    }

    /// RFC 6120 section 8.3.1: the addresses exchanged, the same id.
    fn reply(&self, ty: Type) -> Self {
        let mut head = Head::new(self.head.kind, ty);
        head.id.clone_from(&self.head.id);
        head.from.clone_from(&self.head.to);
        head.to.clone_from(&self.head.from);
        Self { head: Arc::new(head), body: Bytes::new() }
    }

    /// What the start tag's attributes (namespace, name, value) say.
    pub(crate) fn read_head<'a>(
        kind: Kind,
        attrs: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
        lang: Option<&Arc<str>>,
    ) -> Head {
        let mut head = Head::new(kind, Type::Normal);
        let mut ty = None;
        let mut others = Vec::new();
        for (ns, name, value) in attrs {
            match (ns, name) {
                ("", "id") => head.id = Some(value.into()),
                ("", "type") => ty = Some(value),
                ("", "to") => match value.parse() {
                    Ok(jid) => head.to = Some(jid),
                    Err(_) => head.problem = head.problem.or(Some(Problem::To)),
                },
                ("", "from") => match value.parse() {
                    Ok(jid) => head.from = Some(jid),
                    Err(_) => head.problem = Some(Problem::From),
                },
                (ns::XML, "lang") => head.lang = Some(value.into()),
                other => others.push((other, value)),
            }
        }
        if !others.is_empty() {
            // parsers differ in the order in which they hand attributes on
            others.sort_unstable();
            head.extra = extra(&others).into();
        }
        if head.lang.is_none() {
            head.lang = lang.cloned();
        }
        match Type::parse(kind, ty) {
            Some(ty) => head.ty = ty,
            None => head.problem = head.problem.or(Some(Problem::Type)),
        }
        head
    }
}

/// Attributes (namespace and name, value) that have no field of their own, as text. They are sorted, so
/// that a namespace is declared where it comes first.
fn extra(others: &[((&str, &str), &str)]) -> String {
    let mut text = Vec::new();
    let (mut last, mut prefixes) = ("", 0);
    for ((ns, name), value) in others {
        match *ns {
            "" => attr(&mut text, name, value),
            ns::XML => attr(&mut text, &format!("xml:{name}"), value),
            ns => {
                if ns != last {
                    (last, prefixes) = (ns, prefixes + 1);
                    attr(&mut text, &format!("xmlns:x{prefixes}"), ns);
                }
                attr(&mut text, &format!("x{prefixes}:{name}"), value);
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The text of an element that is nothing but text, as it usually is: what needs no parser.
fn plain_text<'a>(xml: &'a [u8], name: &str) -> Option<&'a str> {
    let rest = xml.strip_prefix(b"<")?.strip_prefix(name.as_bytes())?.strip_prefix(b">")?;
    let rest = rest.strip_suffix(b">")?.strip_suffix(name.as_bytes())?.strip_suffix(b"</")?;
    // a line's end is one character to XML
    let plain = !rest.iter().any(|b| matches!(b, b'<' | b'&' | b'\r'));
    plain.then(|| std::str::from_utf8(rest).ok())?
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_xml())
    }
}

impl Serialize for Stanza {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_xml())
    }
}

impl<'de> Deserialize<'de> for Stanza {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let xml = String::deserialize(d)?;
        Self::parse(xml.as_bytes()).ok_or_else(|| serde::de::Error::custom("not one stanza"))
    }
}
