//! Requests that say nothing but their name, and those whose content is kept as it is.

use super::{Payload, PayloadError};
use crate::{Element, ns};

macro_rules! empty {
    ($($(#[doc = $doc:literal])+ $t:ident = $name:literal in $ns:expr,)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $t;
        impl Payload for $t {
            const NS: &'static str = $ns;
            const NAME: &'static str = $name;
            fn from_element(_: &Element) -> Result<Self, PayloadError> { Ok(Self) }
        }
    )+};
}

empty! {
    /// XEP-0199: are you there?
    Ping = "ping" in ns::PING,
    /// XEP-0092: which software?
    VersionQuery = "query" in ns::VERSION,
    /// XEP-0202: what time is it?
    TimeQuery = "time" in ns::TIME,
    /// RFC 3921 section 3: a session, please; RFC 6121 does not need it.
    SessionRequest = "session" in ns::SESSION,
}

/// The element itself, for extensions that keep what they are given.
macro_rules! opaque {
    ($($(#[doc = $doc:literal])+ $t:ident = $name:literal in $ns:expr,)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $t(pub Element);
        impl Payload for $t {
            const NS: &'static str = $ns;
            const NAME: &'static str = $name;
            fn from_element(e: &Element) -> Result<Self, PayloadError> { Ok(Self(e.clone())) }
        }
    )+};
}

opaque! {
    /// XEP-0054.
    VCard = "vCard" in ns::VCARD,
    /// XEP-0049.
    PrivateQuery = "query" in ns::PRIVATE,
}

/// XEP-0092 section 3: the answer.
pub fn version(name: &str, version: &str, os: Option<&str>) -> Element {
    let field = |n: &str, t: &str| Element::new(ns::VERSION, n).with_text(t);
    Element::new(ns::VERSION, "query")
        .with_child(field("name", name))
        .with_child(field("version", version))
        .with_children(os.map(|os| field("os", os)))
}

/// XEP-0202 section 3: the answer. `utc` as XEP-0082 writes it.
pub fn time(tzo: &str, utc: &str) -> Element {
    Element::new(ns::TIME, "time")
        .with_child(Element::new(ns::TIME, "tzo").with_text(tzo))
        .with_child(Element::new(ns::TIME, "utc").with_text(utc))
}
