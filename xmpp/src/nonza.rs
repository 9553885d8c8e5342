//! First-level elements of a stream that are not stanzas: STARTTLS, SASL, XEP-0198.

use crate::Element;

/// A first-level element that is neither message, presence nor IQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonza(Element);

impl Nonza {
    /// The element as a nonza.
    pub fn new(element: Element) -> Self {
        Self(element)
    }

    /// The namespace.
    pub fn ns(&self) -> &str {
        self.0.ns()
    }

    /// The local name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// An attribute.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.0.attr(name)
    }

    /// The character data.
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// The element.
    pub fn element(&self) -> &Element {
        &self.0
    }
}
