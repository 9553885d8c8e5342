//! Resource binding (RFC 6120 section 7).

use super::{Payload, PayloadError};
use crate::{Element, jid::FullJid, ns};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The resource the client wants.
    pub resource: Option<String>,
}

impl Payload for Bind {
    const NS: &'static str = ns::BIND;
    const NAME: &'static str = "bind";

    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        if !e.is(Self::NS, Self::NAME) {
            return Err(PayloadError::new("not a bind request"));
        }
        Ok(Self { resource: e.child(ns::BIND, "resource").map(Element::text) })
    }
}

impl Bind {
    /// The answer.
    pub fn result(jid: &FullJid) -> Vec<u8> {
        let jid = Element::new(ns::BIND, "jid").with_text(jid.as_str());
        Element::new(ns::BIND, "bind").with_child(jid).to_xml().into_bytes()
    }
}
