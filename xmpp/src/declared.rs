//! The namespaces that a tag declares (for a stream header: RFC 6120 section 4.8): what the parser,
//! which resolves them, does not tell.

use crate::{framer::options, ns};
use rxml::{Parse, RawEvent, RawParser, parser::WithOptions};

pub(crate) struct Declared {
    /// The default namespace is `jabber:client`, or is left to the stanzas (section 4.8.3: prefix-free
    /// canonicalization).
    pub(crate) content: bool,
    /// The stream's element has the prefix `stream`, or none.
    pub(crate) prefix: bool,
    /// Exactly what [`crate::framer::USUAL`] declares.
    pub(crate) usual: bool,
}

impl Declared {
    pub(crate) fn read(header: &[u8]) -> Self {
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

/// Whether a start tag has a prefix or declares one: its content may depend on it.
pub(crate) fn declares_prefix(tag: &[u8]) -> bool {
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
