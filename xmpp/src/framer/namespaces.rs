//! What a stream header declares (RFC 6120 section 4.8), and stanzas whose content depends on
//! declarations outside of it: what the parser, which resolves them, does not tell.

use super::{options, refuse};
use crate::{
    Element,
    error::{StreamError, StreamErrorCondition as Condition},
    ns,
    stanza::{Head, Stanza},
};
use rxml::{Parse, RawEvent, RawParser, parser::WithOptions};
use std::sync::Arc;

/// Whether a start tag has a prefix or declares one: its content may depend on it.
pub(super) fn declares_prefix(tag: &[u8]) -> bool {
    let name = tag.split(|b| b.is_ascii_whitespace() || *b == b'>').next().unwrap_or_default();
    // every second piece is a value, whose other kind of quote is text
    let mut rest = tag;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\'' | b'"')) {
        let (names, value) = rest.split_at(at);
        if names.windows(6).any(|w| w == b"xmlns:") {
            return true;
        }
        let mut quoted = value.splitn(3, |b| value.first() == Some(b));
        rest = quoted.nth(2).unwrap_or_default();
    }
    name.contains(&b':')
}

/// Rewrites the content so that it declares every namespace itself.
pub(super) fn normalise(root: &[u8], raw: &[u8], head: Head) -> Result<Stanza, StreamError> {
    let element = Element::parse_in(root, raw)
        .ok_or_else(|| refuse(Condition::PolicyViolation, "nested too deeply"))?;
    let mut plain = Element::new(ns::CLIENT, head.kind.as_str());
    plain = plain.with_nodes_of(element);
    let parsed = Stanza::parse(plain.to_xml().as_bytes())
        .ok_or_else(|| StreamError::new(Condition::InternalServerError))?;
    let children = Arc::clone(&parsed.head.children);
    Ok(Stanza { head: Arc::new(Head { children, ..head }), body: parsed.body })
}

/// The namespaces that a stream header declares.
pub(super) struct Declared {
    /// The default namespace is `jabber:client`, or is left to the stanzas (section 4.8.3: prefix-free
    /// canonicalization).
    pub(super) content: bool,
    /// The stream's element has the prefix `stream`, or none.
    pub(super) prefix: bool,
    /// Exactly what [`super::USUAL`] declares.
    pub(super) usual: bool,
}

impl Declared {
    pub(super) fn read(header: &[u8]) -> Self {
        let mut parser: RawParser = WithOptions::with_options(options());
        let (mut default, mut stream, mut others) = (None, false, false);
        let (mut name, mut prefix) = (false, false);
        let mut bytes = header;
        while let Ok(Some(event)) = parser.parse(&mut bytes, false) {
            match event {
                RawEvent::ElementHeadOpen(_, (p, _)) => {
                    name = p.as_ref().is_some_and(|p| p.as_str() == "stream");
                    prefix = name || p.is_none();
                }
                RawEvent::Attribute(_, (prefix, local), value) => {
                    match (prefix.as_ref().map(|p| p.as_str()), local.as_str()) {
                        (None, "xmlns") => default = Some(value),
                        (Some("xmlns"), "stream") => stream = value == ns::STREAM,
                        (Some("xmlns"), _) => others = true,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let default = default.as_deref().unwrap_or_default();
        Self {
            content: matches!(default, "" | ns::CLIENT | ns::STREAM),
            prefix,
            usual: name && default == ns::CLIENT && stream && !others,
        }
    }
}
