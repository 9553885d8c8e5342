//! Unique and stable stanza ids (XEP-0359).

use crate::{Element, jid::Jid, ns, stanza::Stanza};

/// `<stanza-id/>` assigned by `by`.
pub fn stanza_id(id: &str, by: &str) -> Element {
    Element::new(ns::STANZA_ID, "stanza-id").with_attr("id", id).with_attr("by", by)
}

/// Removes ids that claim to be assigned by an address that `claimed` picks: only that address itself
/// may say so, however it is written (section 4). An id without one is nobody's and goes too.
pub fn without_claims_of(stanza: &Stanza, claimed: impl Fn(&Jid) -> bool) -> Stanza {
    stanza.without(|child, xml| {
        child.ns() == ns::STANZA_ID
            && child.name() == "stanza-id"
            && Element::parse(xml, ns::CLIENT)
                .and_then(|id| id.attr("by")?.parse().ok())
                .is_none_or(|by: Jid| claimed(&by))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_claim_is_removed_and_others_stay() {
        let s = Stanza::parse(
            b"<message><stanza-id xmlns='urn:xmpp:sid:0' by='Me@x' id='1'/>\
              <stanza-id xmlns='urn:xmpp:sid:0' by='room@y' id='2'/></message>",
        );
        let me: Jid = "me@x".parse().unwrap();
        let s = without_claims_of(&s.unwrap(), |by| *by == me);
        let ids = s.head.children.iter().filter(|c| c.name() == "stanza-id").count();
        assert_eq!(ids, 1);
        assert_eq!(s.element(ns::STANZA_ID, "stanza-id").unwrap().attr("by"), Some("room@y"));
    }
}
