//! Writing streams: the header (RFC 6120 section 4.7) and escaping.

use crate::ns;
use std::borrow::Cow;

/// An attribute's value between the quotes of which it has fewer: a quote in it, escaped, is six times as
/// long.
pub(crate) fn quoted(value: &str) -> (char, Cow<'_, str>) {
    let count = |quote| memchr::memchr_iter(quote, value.as_bytes()).count();
    let singles = count(b'\'');
    let quote = if singles > 0 && singles > count(b'"') { '"' } else { '\'' };
    (quote, escape_value(value, quote))
}

/// How long ` name='value'` is.
pub(crate) fn attr_len(name: &str, value: &str) -> usize {
    name.len() + quoted(value).1.len() + 4
}

/// Escapes an attribute's value, to stand between such quotes: whoever reads it makes a space of a tab or a
/// line's end that stands in it as it is (XML 1.0 section 3.3.3).
fn escape_value(value: &str, quote: char) -> Cow<'_, str> {
    replace(value, |c| match c {
        '\'' if quote == '\'' => Some("&apos;"),
        '"' if quote == '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        c => in_text(c),
    })
}

/// Escapes character data. Quotes stay as they are: an escape is six times as long.
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, in_text)
}

fn in_text(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"),
        _ => None,
    }
}

fn replace(text: &str, special: impl Fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    if !text.bytes().any(|b| special(char::from(b)).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match special(c) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Appends ` name='value'`.
pub(crate) fn attr(out: &mut Vec<u8>, name: &str, value: &str) {
    let (quote, value) = quoted(value);
    // ASCII
    let quote = if quote == '"' { b'"' } else { b'\'' };
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[b'=', quote]);
    out.extend_from_slice(value.as_bytes());
    out.push(quote);
}

/// What the header of the server's stream says.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The host.
    pub from: Option<&'a str>,
    /// Whom the client has named.
    pub to: Option<&'a str>,
    /// The stream's id.
    pub id: &'a str,
}

impl Opening<'_> {
    /// Appends the header of a stream.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream xmlns='");
        out.extend_from_slice(ns::CLIENT.as_bytes());
        out.extend_from_slice(b"' xmlns:stream='");
        out.extend_from_slice(ns::STREAM.as_bytes());
        self.attributes(out);
        out.push(b'>');
    }

    /// Appends what stands for the header where each element is a document (RFC 7395 section 3.4).
    pub fn render_alone(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<open xmlns='");
        out.extend_from_slice(ns::FRAMING.as_bytes());
        self.attributes(out);
        out.extend_from_slice(b"/>");
    }

    fn attributes(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"' version='1.0' xml:lang='en'");
        attr(out, "id", self.id);
        if let Some(from) = self.from {
            attr(out, "from", from);
        }
        if let Some(to) = self.to {
            attr(out, "to", to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_could_end_a_value_is_escaped() {
        assert_eq!(escape("a'b\"c<d>e&f\r"), "a'b\"c&lt;d&gt;e&amp;f&#13;");
        assert!(matches!(escape("plain\t\n"), Cow::Borrowed(_)));
        let quoted = |value| quoted(value);
        assert_eq!(quoted("a\tb\nc\rd'<\"&"), ('\'', "a&#9;b&#10;c&#13;d&apos;&lt;\"&amp;".into()));
        assert_eq!(quoted("a'b'c\""), ('"', "a'b'c&quot;".into()));
        assert_eq!(quoted("a'\""), ('\'', "a&apos;\"".into()));
        assert!(matches!(quoted("plain"), ('\'', Cow::Borrowed(_))));
        assert!(matches!(quoted("'tis"), ('"', Cow::Borrowed(_))));
    }

    #[test]
    fn the_header_is_what_section_4_7_asks_for() {
        let mut out = Vec::new();
        let opening = Opening {
            from: Some("example.com"),
            to: Some("juliet@example.com"),
            id: "++TR84Sm6A3hnt3Q065SnAbbk3Y=",
        };
        opening.render(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0' xml:lang='en' \
             id='++TR84Sm6A3hnt3Q065SnAbbk3Y=' from='example.com' to='juliet@example.com'>"
        );
    }
}
