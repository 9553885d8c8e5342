//! Stream management (XEP-0198).

use crate::{Element, error::StanzaErrorCondition, ns};
use std::time::Duration;

/// `<r/>`
pub const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// `<a/>`
pub fn ack(h: u32) -> String {
    format!("<a xmlns='{}' h='{h}'/>", ns::SM)
}

/// `<resumed/>`
pub fn resumed(previd: &str, h: u32) -> String {
    Element::new(ns::SM, "resumed")
        .with_attr("previd", previd)
        .with_attr("h", h.to_string())
        .to_xml()
}

/// `<failed/>`, with the count of handled stanzas if it is known (section 5).
pub fn failed(h: Option<u32>, condition: StanzaErrorCondition) -> String {
    Element::new(ns::SM, "failed")
        .with_attr_opt("h", h.map(|h| h.to_string()))
        .with_child(Element::new(ns::STANZA_ERRORS, condition.as_str()))
        .to_xml()
}

/// `<enabled/>`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// The token of a resume, if that is possible.
    pub id: Option<String>,
    /// How long it is possible.
    pub max: Option<Duration>,
    /// Where the client should connect to for it (HOST[:PORT]).
    pub location: Option<String>,
}

impl Enabled {
    /// The element.
    pub fn to_xml(&self) -> String {
        let resume = self.id.is_some().then_some("true");
        Element::new(ns::SM, "enabled")
            .with_attr_opt("resume", resume)
            .with_attr_opt("id", self.id.clone())
            .with_attr_opt("location", self.location.clone())
            .with_attr_opt("max", self.max.map(|m| m.as_secs().to_string()))
            .to_xml()
    }
}
