//! What a stanza occupies: queues and stores have limits in bytes, and count all of it.

use super::{Child, Head, Stanza};
use crate::{child::ALLOCATION, jid::Jid};
use std::sync::Arc;

impl Stanza {
    /// What it occupies, in bytes: start tag, addresses, the places of its children, content. What it shares with
    /// others is counted as if it had that alone. Looks at lengths only.
    pub fn weight(&self) -> usize {
        let head = &*self.head;
        let text = |text: Option<&Arc<str>>| text.map_or(0, |t| t.len() + ALLOCATION);
        let address = |jid: Option<&Jid>| jid.map_or(0, Jid::weight);
        let children: usize = head.children.iter().map(Child::weight).sum();
        size_of::<Head>()
            + 2 * ALLOCATION
            + text(head.id.as_ref())
            + text(head.lang.as_ref())
            + text(Some(&head.extra).filter(|e| !e.is_empty()))
            + address(head.from.as_ref())
            + address(head.to.as_ref())
            + children
            + self.body.len()
    }
}

impl Child {
    /// What it occupies.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.ns.weight() + self.name.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(xml: &str) -> Stanza {
        Stanza::parse(xml.as_bytes()).unwrap()
    }

    #[test]
    fn everything_that_can_be_large_is_counted() {
        let long = "x".repeat(10_000);
        let plain = stanza("<message><body>b</body></message>").weight();
        assert!(plain < 500, "{plain}");
        for large in [
            format!("<message id='{long}'/>"),
            format!("<message xml:lang='{long}'/>"),
            format!("<message other='{long}'/>"),
            format!("<message a:b='{long}' xmlns:a='urn:a'/>"),
            format!("<message a:b='' xmlns:a='{long}'/>"),
            format!("<message><body>{long}</body></message>"),
            format!("<message>{}</message>", format!("<{}/>", "x".repeat(1_000)).repeat(10)),
            format!("<message><x xmlns='{long}'/></message>"),
        ] {
            let weight = stanza(&large).weight();
            assert!(
                (10_000..32_000).contains(&weight),
                "{weight}: {}",
                large.get(..40).unwrap_or_default()
            );
        }
        let addresses = format!("<message from='a@x/{}' to='a@x'/>", "y".repeat(1000));
        assert!(stanza(&addresses).weight() > 1000);
        // a place of its own for each, whatever it is called
        let children = format!("<message>{}</message>", "<a/>".repeat(10_000));
        assert!(stanza(&children).weight() > 40_000 + 10_000 * size_of::<Child>());
    }
}
