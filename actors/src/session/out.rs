//! The one writer of a stream: what the client is sent is an element, whole, or it is the end.
//!
//! How that is written down is the connection's [`Dialect`]: over TCP elements follow one another in one document, over
//! a WebSocket each is a document of its own (RFC 7395). A session knows no difference.

use serde::{Deserialize, Serialize};
use xmpp::{error::StreamError, ns, stanza::Stanza, stream::Opening};

/// How a stream is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// One document (RFC 6120 section 4).
    #[default]
    Document,
    /// Each element is a document and a message of its own (RFC 7395 section 3.3).
    Messages,
}

/// Ends a message: no XML has it (XML 1.0 section 2.2).
const END: u8 = 0;

/// What waits to be sent to the client.
#[derive(Debug)]
pub struct Out {
    bytes: Vec<u8>,
    dialect: Dialect,
    /// The stream is closed: nothing follows the closing tag.
    closed: bool,
    /// There are stanzas in it.
    stanzas: bool,
}

impl Out {
    /// Nothing is written yet.
    pub fn new(dialect: Dialect) -> Self {
        Self { bytes: Vec::new(), dialect, closed: false, stanzas: false }
    }

    /// The header of a stream.
    pub fn open(&mut self, header: &Opening<'_>) {
        self.element(|out, dialect| match dialect {
            Dialect::Document => header.render(out),
            Dialect::Messages => header.render_alone(out),
        });
    }

    /// The stream's features.
    pub fn features(&mut self, content: impl FnOnce(&mut Vec<u8>)) {
        self.of_stream("features", content);
    }

    /// A stanza.
    pub fn stanza(&mut self, stanza: &Stanza) {
        self.stanzas = true;
        self.element(|out, dialect| match dialect {
            Dialect::Document => stanza.render(out),
            Dialect::Messages => stanza.render_alone(out),
        });
    }

    /// Any other element, which declares its namespace.
    pub fn nonza(&mut self, xml: impl AsRef<[u8]>) {
        self.element(|out, _| out.extend_from_slice(xml.as_ref()));
    }

    /// Why the stream ends (RFC 6120 section 4.9); [`Out::close`] ends it.
    pub fn error(&mut self, error: &StreamError) {
        self.of_stream("error", |out| error.render_content(out));
    }

    /// The end of the stream. The second time it is closed already.
    pub fn close(&mut self) {
        self.element(|out, dialect| match dialect {
            Dialect::Document => out.extend_from_slice(b"</stream:stream>"),
            Dialect::Messages => {
                out.extend_from_slice(format!("<close xmlns='{}'/>", ns::FRAMING).as_bytes());
            }
        });
        self.closed = true;
    }

    /// Whether the stream is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// An element of the stream's own namespace, whose prefix the header of a document declares.
    fn of_stream(&mut self, name: &str, content: impl FnOnce(&mut Vec<u8>)) {
        self.element(|out, dialect| {
            out.extend_from_slice(b"<stream:");
            out.extend_from_slice(name.as_bytes());
            if dialect == Dialect::Messages {
                out.extend_from_slice(format!(" xmlns:stream='{}'", ns::STREAM).as_bytes());
            }
            out.push(b'>');
            content(out);
            out.extend_from_slice(b"</stream:");
            out.extend_from_slice(name.as_bytes());
            out.push(b'>');
        });
    }

    /// The only place where anything is appended.
    #[inline]
    fn element(&mut self, write: impl FnOnce(&mut Vec<u8>, Dialect)) {
        if self.closed {
            return;
        }
        write(&mut self.bytes, self.dialect);
        if self.dialect == Dialect::Messages {
            self.bytes.push(END);
        }
    }
}

/// As whoever sends it sees it.
impl Out {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether stanzas, or the rest of one, may be among what waits.
    pub fn has_stanzas(&self) -> bool {
        self.stanzas && !self.is_empty()
    }

    /// The memory that is occupied.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What waits of a document.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// So many bytes of it are sent.
    pub fn sent(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        self.stanzas &= !self.bytes.is_empty();
    }

    /// The messages that wait, if elements are messages; to be taken after.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|byte| *byte == END).filter_map(|m| m.strip_suffix(&[END]))
    }

    /// All of it, to be sent or not at all. No memory is occupied any more.
    pub fn take(&mut self) -> Vec<u8> {
        self.stanzas = false;
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect) -> Out {
        let mut out = Out::new(dialect);
        out.open(&Opening { from: None, to: None, id: "1" });
        out.nonza("<a xmlns='a'/>");
        out.stanza(&Stanza::parse(b"<message><body>b</body></message>").unwrap());
        out
    }

    #[test]
    fn nothing_follows_the_end_of_a_stream() {
        for dialect in [Dialect::Document, Dialect::Messages] {
            let mut out = written(dialect);
            out.close();
            let whole = out.bytes().to_vec();
            out.close();
            out.nonza("<a xmlns='a'/>");
            out.features(|_| ());
            out.stanza(&Stanza::parse(b"<message/>").unwrap());
            out.open(&Opening { from: None, to: None, id: "2" });
            assert_eq!(out.bytes(), whole);
        }
    }

    #[test]
    fn messages_are_whole_and_bytes_of_a_document_go_as_they_come() {
        let mut out = written(Dialect::Messages);
        let messages: Vec<_> = out.messages().map(<[u8]>::to_vec).collect();
        assert_eq!(
            messages[1..],
            [
                b"<a xmlns='a'/>".to_vec(),
                b"<message xmlns='jabber:client'><body>b</body></message>".to_vec()
            ]
        );
        assert_eq!(messages.len(), 3);
        out.take();
        assert!(out.is_empty() && out.messages().next().is_none());

        let mut out = written(Dialect::Document);
        let whole = out.bytes().to_vec();
        out.sent(7);
        assert_eq!(out.bytes(), &whole[7..]);
        assert_eq!(out.take(), whole[7..]);
        assert!(out.is_empty());
    }
}
