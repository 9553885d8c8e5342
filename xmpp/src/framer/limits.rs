//! How much a client may send at once.

use crate::reader;

/// What one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest first-level element or stream header, in bytes.
    pub max_stanza: usize,
    /// Deepest nesting of elements inside a stanza.
    pub max_depth: usize,
    /// Most attributes of one element.
    pub max_attrs: usize,
    /// Most namespace declarations around one place, those of the stream header with them; 127 at most.
    pub max_bindings: usize,
}

impl Limits {
    /// Most that may become of an element as it is kept: of small children and attributes it is many times
    /// what came.
    pub(crate) fn max_weight(&self) -> usize {
        self.max_stanza.saturating_mul(4)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_stanza: 256 << 10,
            max_depth: 64,
            max_attrs: 64,
            max_bindings: reader::MAX_SENT_BINDINGS,
        }
    }
}
