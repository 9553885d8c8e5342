//! Unique and stable stanza ids (XEP-0359).

use crate::{Element, jid::Jid, ns, stanza::Stanza};

/// `<stanza-id/>` assigned by `by`.
pub fn stanza_id(id: &str, by: &str) -> Element {
    Element::new(ns::STANZA_ID, "stanza-id").with_attr("id", id).with_attr("by", by)
}

/// Removes ids that claim to be assigned by `by`: only `by` itself may say so, however its
/// address is written (section 4).
pub fn without_claims_of(stanza: &Stanza, by: &Jid) -> Stanza {
    stanza.without(|child, xml| {
        child.ns() == ns::STANZA_ID
            && child.name() == "stanza-id"
            && Element::parse(xml, ns::CLIENT)
                .is_none_or(|e| e.attr("by").is_none_or(|b| b.parse().is_ok_and(|b: Jid| b == *by)))
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
        let s = without_claims_of(&s.unwrap(), &"me@x".parse().unwrap());
        let ids = s.head.children.iter().filter(|c| c.name() == "stanza-id").count();
        assert_eq!(ids, 1);
        assert_eq!(s.element(ns::STANZA_ID, "stanza-id").unwrap().attr("by"), Some("room@y"));
    }
}
