//! The roster on the wire (RFC 6121 section 2).

use super::{Payload, PayloadError};
use crate::{
    Element,
    jid::Jid,
    ns,
    stream::{attr, escape},
    work,
};

/// The largest name, and the largest group name, in bytes.
pub const MAX_NAME: usize = 1023;
/// Most groups of one item.
pub const MAX_GROUPS: usize = 64;
/// The largest item: its name and groups together, in bytes.
pub const MAX_ITEM: usize = 4096;

/// `<query xmlns='jabber:iq:roster'/>` of type get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterGet {
    /// The version the client has (section 2.6); empty: none, but it can handle versions.
    pub ver: Option<String>,
}

impl Payload for RosterGet {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        Ok(Self { ver: e.attr("ver").map(str::to_owned) })
    }
}

/// A roster set: one item to change or remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterSet {
    /// Whom.
    pub jid: Jid,
    /// What the user calls the contact.
    pub name: String,
    /// In which groups.
    pub groups: Vec<String>,
    /// Remove it (section 2.5).
    pub remove: bool,
}

/// The `bad-request` and `not-acceptable` conditions of section 2.3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadItem {
    /// More than one item, no or a malformed address, a group twice.
    BadRequest(&'static str),
    /// A name or group that is too long or empty.
    NotAcceptable(&'static str),
}

/// A roster set as received; it is judged by [`RosterSetQuery::item`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterSetQuery(Element);

impl Payload for RosterSetQuery {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        Ok(Self(e.clone()))
    }
}

impl RosterSetQuery {
    /// The one item.
    ///
    /// # Errors
    /// As section 2.3.3 says.
    pub fn item(&self) -> Result<RosterSet, BadItem> {
        let mut items = self.0.children().filter(|c| c.is(ns::ROSTER, "item"));
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(BadItem::BadRequest("a roster set has exactly one item"));
        };
        let jid = item.attr("jid").ok_or(BadItem::BadRequest("an item needs a jid"))?;
        let jid: Jid = jid.parse().map_err(|_| BadItem::BadRequest("the jid is malformed"))?;
        let name = item.attr("name").unwrap_or_default().to_owned();
        if name.len() > MAX_NAME {
            return Err(BadItem::NotAcceptable("the name is too long"));
        }
        let mut groups: Vec<String> = Vec::new();
        let mut size = name.len();
        for group in item.children().filter(|c| c.is(ns::ROSTER, "group")) {
            let group = group.text();
            if group.is_empty() || group.len() > MAX_NAME || groups.len() >= MAX_GROUPS {
                return Err(BadItem::NotAcceptable("a group is empty, too long or one too many"));
            }
            size += group.len();
            if size > MAX_ITEM {
                return Err(BadItem::NotAcceptable("name and groups are too long together"));
            }
            if groups.contains(&group) {
                return Err(BadItem::BadRequest("a group is named twice"));
            }
            groups.push(group);
        }
        let remove = item.attr("subscription") == Some("remove");
        Ok(RosterSet { jid, name, groups, remove })
    }
}

/// One item of an answer or push. `subscription`: none, to, from, both or remove.
pub fn item(
    out: &mut Vec<u8>,
    jid: &Jid,
    name: &str,
    subscription: &str,
    ask: bool,
    approved: bool,
    groups: &[String],
) {
    out.extend_from_slice(b"<item");
    attr(out, "jid", jid.as_str());
    if !name.is_empty() {
        attr(out, "name", name);
    }
    attr(out, "subscription", subscription);
    if ask {
        attr(out, "ask", "subscribe");
    }
    if approved {
        attr(out, "approved", "true");
    }
    if groups.is_empty() {
        return out.extend_from_slice(b"/>");
    }
    out.push(b'>');
    for group in groups {
        out.extend_from_slice(b"<group>");
        out.extend_from_slice(escape(group).as_bytes());
        out.extend_from_slice(b"</group>");
    }
    out.extend_from_slice(b"</item>");
}

/// The query around items, which `items` writes: a roster can be large, and is written once.
pub fn query(ver: Option<&str>, items: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    work::serialised();
    let mut out = Vec::new();
    out.extend_from_slice(b"<query");
    attr(&mut out, "xmlns", ns::ROSTER);
    if let Some(ver) = ver {
        attr(&mut out, "ver", ver);
    }
    out.push(b'>');
    items(&mut out);
    out.extend_from_slice(b"</query>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(xml: &str) -> Result<RosterSet, BadItem> {
        let xml = format!("<query xmlns='jabber:iq:roster'>{xml}</query>");
        RosterSetQuery(Element::parse(xml.as_bytes(), "").unwrap()).item()
    }

    #[test]
    fn an_item_is_read_with_its_groups() {
        let i = judge(
            "<item jid='n@x' name='N' subscription='both'><group>A</group><group>B</group></item>",
        );
        let i = i.unwrap();
        assert_eq!((i.name.as_str(), i.groups.len(), i.remove), ("N", 2, false));
        assert!(judge("<item jid='n@x' subscription='remove'/>").unwrap().remove);
    }

    #[test]
    fn the_errors_of_section_2_3_3() {
        use BadItem::{BadRequest, NotAcceptable};
        for bad in [
            "",
            "<item/>",
            "<item jid='@'/>",
            "<item jid='a@b'/><item jid='c@d'/>",
            "<item jid='a@b'><group>x</group><group>x</group></item>",
        ] {
            assert!(matches!(judge(bad), Err(BadRequest(_))), "{bad}");
        }
        let long = format!("<item jid='a@b' name='{}'/>", "x".repeat(1024));
        let group = |n: usize| format!("<group>{}{n}</group>", "x".repeat(1000));
        let groups: String = (0..5).map(group).collect();
        let heavy = format!("<item jid='a@b'>{groups}</item>");
        for bad in [long.as_str(), "<item jid='a@b'><group/></item>", &heavy] {
            assert!(matches!(judge(bad), Err(NotAcceptable(_))));
        }
        let groups: String = (0..4).map(group).collect();
        assert!(judge(&format!("<item jid='a@b'>{groups}</item>")).is_ok());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (name, groups) = ("N'<&>\"".to_owned(), vec!["]]>&'".to_owned(), "B".to_owned()]);
        let jid = "n@x".parse().unwrap();
        let xml = query(Some("1'"), |out| {
            item(out, &jid, &name, "both", true, true, &groups);
            item(out, &jid, "", "none", false, false, &[]);
        });
        let read = Element::parse(&xml, "").unwrap();
        assert_eq!((read.attr("ver"), read.children().count()), (Some("1'"), 2));
        let first = read.child(ns::ROSTER, "item").unwrap();
        let attrs = ["jid", "name", "subscription", "ask", "approved"].map(|a| first.attr(a));
        let wanted = ["n@x", &name, "both", "subscribe", "true"].map(Some);
        assert_eq!(attrs, wanted);
        assert_eq!(first.children().map(Element::text).collect::<Vec<_>>(), groups);
    }
}
