//! First-level elements of a stream that are not stanzas: STARTTLS, SASL, XEP-0198.

use crate::Element;
use std::{fmt, sync::Arc};

/// A first-level element that is neither message, presence nor IQ. A clone is a reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonza(Arc<Element>);

impl fmt::Debug for Nonza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_xml())
    }
}

impl Nonza {
    /// The element as a nonza.
    pub fn new(element: Element) -> Self {
        Self(Arc::new(element))
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
