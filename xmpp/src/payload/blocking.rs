//! Blocking command (XEP-0191).

use super::{Payload, PayloadError};
use crate::{Element, jid::Jid, ns};

/// Which list?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery;

impl Payload for ListQuery {
    const NS: &'static str = ns::BLOCKING;
    const NAME: &'static str = "blocklist";
    fn from_element(_: &Element) -> Result<Self, PayloadError> {
        Ok(Self)
    }
}

/// Block these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(pub Vec<Jid>);

/// Unblock these; all when empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unblock(pub Vec<Jid>);

fn jids(e: &Element) -> Result<Vec<Jid>, PayloadError> {
    e.children()
        .filter(|c| c.is(ns::BLOCKING, "item"))
        .map(|c| {
            let jid = c.attr("jid").ok_or_else(|| PayloadError::new("an item needs a jid"))?;
            jid.parse().map_err(|e| PayloadError(format!("{jid}: {e}")))
        })
        .collect()
}

impl Payload for Block {
    const NS: &'static str = ns::BLOCKING;
    const NAME: &'static str = "block";
    /// Section 3.3: at least one item.
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        let jids = jids(e)?;
        if jids.is_empty() { Err(PayloadError::new("nothing to block")) } else { Ok(Self(jids)) }
    }
}

impl Payload for Unblock {
    const NS: &'static str = ns::BLOCKING;
    const NAME: &'static str = "unblock";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        Ok(Self(jids(e)?))
    }
}

/// An element `name` with items: the list, and the pushes.
pub fn items<'a>(name: &str, jids: impl IntoIterator<Item = &'a Jid>) -> Element {
    let item = |j: &Jid| Element::new(ns::BLOCKING, "item").with_attr("jid", j.as_str());
    Element::new(ns::BLOCKING, name).with_children(jids.into_iter().map(item))
}
