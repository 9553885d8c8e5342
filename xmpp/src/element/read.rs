//! Elements out of XML.

use super::{Element, Node};
use crate::{
    framer::{header, limits::Limits},
    ns,
    reader::{Binding, Event, Reader, Start, is_blank, line_ends},
    scan, work,
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

/// Deepest nesting of a payload that is parsed into a tree.
const MAX_DEPTH: usize = 128;
/// Most attributes of one of its elements.
const MAX_ATTRS: usize = 256;
/// Namespaces so short may be declared anew wherever they are used.
pub(super) const SHORT: usize = 32;
/// Most namespaces that the root declares when it is written, of attributes and of longer ones with a prefix.
pub(super) const MAX_SHARED: usize = 64;

impl Element {
    /// Parses one element with everything in it. Names without a prefix are in `default_ns` where
    /// nothing else is declared. `None` when it is not exactly one well-formed element.
    pub fn parse(xml: &[u8], default_ns: &str) -> Option<Self> {
        work::parsed();
        if let Some((element, len)) = scan::element(xml, default_ns, &Limits::default())
            && len == xml.len()
        {
            return Some(element);
        }
        Self::read(&[Binding::new("", default_ns)], xml)
    }

    /// Parses one element as it would stand in a client's stream: the prefix `stream` is known.
    pub fn parse_in_stream(xml: &[u8]) -> Option<Self> {
        header::usual(|bindings| Self::read(bindings, xml))
    }

    fn read(bindings: &[Binding], xml: &[u8]) -> Option<Self> {
        let mut xml = Cow::Borrowed(xml);
        if xml.contains(&b'\r') {
            let mut lines = Vec::with_capacity(xml.len());
            line_ends(&xml, &mut false, |piece| lines.extend_from_slice(piece));
            xml = Cow::Owned(lines);
        }
        let mut bytes = trim(&xml);
        // what gives no event, as an empty CDATA section, has no place before it
        if !matches!(bytes, [b'<', second, ..] if !matches!(second, b'!' | b'?' | b'/')) {
            return None;
        }
        let mut reader = Reader::inside(false, bindings);
        let mut tree = Tree::default();
        loop {
            match reader.next(&mut bytes, MAX_ATTRS).ok()?? {
                Event::Start(start) if tree.stack.len() < MAX_DEPTH => tree.start(start)?,
                Event::Start(_) => return None,
                Event::Text(text) => tree.text(&text),
                Event::End if tree.stack.len() > 1 => tree.end(),
                Event::End => break,
            }
        }
        reader.give_back(false);
        bytes.is_empty().then(|| tree.finish())?
    }
}

/// Without the whitespace around it.
fn trim(mut xml: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = xml
        && is_blank(*first)
    {
        xml = rest;
    }
    while let [rest @ .., last] = xml
        && is_blank(*last)
    {
        xml = rest;
    }
    xml
}

/// Puts an element together out of a reader's events.
#[derive(Default)]
pub(crate) struct Tree {
    /// The elements that are open.
    stack: Vec<Element>,
    /// Namespaces that are declared at the root when it is written: those of attributes and longer ones that
    /// were used with a prefix.
    shared: Vec<Arc<str>>,
    /// Where those are that were looked at: there can be many of one name.
    seen: BTreeSet<usize>,
    weight: usize,
}

impl Tree {
    /// A child begins, or the root; `None` when its namespaces are too many.
    pub(crate) fn start(&mut self, start: Start) -> Option<()> {
        if start.prefix.is_some() && start.ns.len() > SHORT {
            self.share(&start.ns)?;
        }
        let mut element = Element::in_namespace(start.ns, start.name.as_str());
        for attr in start.attrs {
            self.share(&attr.ns)?;
            element.push_attr(attr.ns, attr.name.as_str(), &attr.value);
        }
        self.weight += element.own_weight();
        self.stack.push(element);
        Some(())
    }

    fn share(&mut self, ns: &Arc<str>) -> Option<()> {
        let declared = !matches!(&**ns, "" | ns::XML);
        if declared && self.seen.insert(place(ns)) && !self.shared.contains(ns) {
            self.shared.push(Arc::clone(ns));
        }
        (self.shared.len() <= MAX_SHARED).then_some(())
    }

    /// What it occupies so far.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn text(&mut self, text: &str) {
        if let Some(element) = self.stack.last_mut() {
            self.weight += element.push_text(text);
        }
    }

    /// A child ends.
    pub(crate) fn end(&mut self) {
        if let Some(element) = self.stack.pop()
            && let Some(parent) = self.stack.last_mut()
        {
            parent.nodes.push(Node::Element(element));
        }
    }

    /// The root, which ends.
    pub(crate) fn finish(mut self) -> Option<Element> {
        let root = self.stack.pop()?;
        self.stack.is_empty().then_some(root)
    }
}

/// What tells namespaces of different declarations apart, whatever they are called.
pub(super) fn place(ns: &Arc<str>) -> usize {
    Arc::as_ptr(ns).cast::<u8>().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Option<Element> {
        Element::parse(xml.as_bytes(), "jabber:client")
    }

    #[test]
    fn a_tree_survives_writing_and_parsing() {
        let e = parse(
            "<q xmlns='a' x='1&apos;2' y='&#9;&#10;&#13;'><b xmlns='' xml:lang='de'>t&lt;&amp;</b><c:d xmlns:c='cc' c:y='2'/></q>",
        );
        let e = e.unwrap();
        assert_eq!(parse(&e.to_xml()).unwrap(), e);
        assert_eq!((e.attr("x"), e.attr("y")), (Some("1'2"), Some("\t\n\r")));
        assert_eq!(e.child("", "b").unwrap().text(), "t<&");
        assert_eq!(e.child("cc", "d").unwrap().attr_ns("cc", "y"), Some("2"));
    }

    #[test]
    fn only_one_whole_element_is_accepted() {
        assert_eq!(parse("<a/>").unwrap().ns(), "jabber:client");
        for bad in [
            "",
            "x",
            "<a>",
            "<a/><b/>",
            "<a></b>",
            "<!--c--><a/>",
            "<a>&foo;</a>",
            "</r>",
            "<a/></r>",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let deep = "<a>".repeat(200) + &"</a>".repeat(200);
        assert_eq!(parse(&deep), None);
    }

    #[test]
    fn long_text_is_not_split_or_cut() {
        let text = "x".repeat(100_000);
        let e = parse(&format!("<a>{text}</a>")).unwrap();
        assert_eq!(e.text().len(), 100_000);
    }
}
