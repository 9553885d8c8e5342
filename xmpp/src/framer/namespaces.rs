//! What a stream header declares, and stanzas whose content depends on declarations outside of it.

use super::{MAX_TOKEN, refuse};
use crate::{
    Element,
    error::{StreamError, StreamErrorCondition as Condition},
    ns,
    stanza::{Head, Stanza},
};
use rxml::{Options, Parse, RawEvent, RawParser, parser::WithOptions};
use std::sync::Arc;

/// Whether a start tag has a prefix or declares one: its content may depend on it.
pub(super) fn declares_prefix(tag: &[u8]) -> bool {
    let name = tag.split(|b| b.is_ascii_whitespace() || *b == b'>').next().unwrap_or_default();
    name.contains(&b':') || tag.windows(6).any(|w| w == b"xmlns:")
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
    /// The default or some prefix is `jabber:client`.
    pub(super) client: bool,
    /// The stream's element has the prefix `stream`, or none.
    pub(super) prefix: bool,
    /// Exactly what [`USUAL`] declares.
    pub(super) usual: bool,
}

impl Declared {
    pub(super) fn read(header: &[u8]) -> Self {
        let options = Options { max_token_length: MAX_TOKEN, ..Options::default() };
        let mut parser: RawParser = WithOptions::with_options(options);
        let (mut client, mut default, mut stream, mut others) = (false, false, false, false);
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
                        (None, "xmlns") => default = value == ns::CLIENT,
                        (Some("xmlns"), "stream") => stream = value == ns::STREAM,
                        (Some("xmlns"), _) => {
                            others = true;
                            client |= value == ns::CLIENT;
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Self { client: client || default, prefix, usual: name && default && stream && !others }
    }
}
