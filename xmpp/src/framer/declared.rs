//! The namespaces that a tag declares (for a stream header: RFC 6120 section 4.8): what the parser,
//! which resolves them, does not tell.

use super::MAX_TOKEN;
use crate::ns;
use rxml::{Options, Parse, RawEvent, RawParser, parser::WithOptions};

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
        let options = Options { max_token_length: MAX_TOKEN, ..Options::default() };
        let mut parser: RawParser = WithOptions::with_options(options);
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
pub(super) fn declares_prefix(tag: &[u8]) -> bool {
    let name = tag.split(|b| b.is_ascii_whitespace() || *b == b'>').next().unwrap_or_default();
    name.contains(&b':') || tag.windows(6).any(|w| w == b"xmlns:")
}
