//! A small element tree, for the payloads somebody looks into. Stanzas stay bytes.

use crate::{
    framer::Limits,
    scan,
    stream::{escape, escape_value},
    work,
};
use rxml::{Event, Options, Parse, Parser, parser::WithOptions};
use std::fmt::Write as _;

/// Deepest nesting of a payload that is parsed into a tree.
const MAX_DEPTH: usize = 128;

/// One element: its name, attributes and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    ns: String,
    name: String,
    attrs: Vec<Attr>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attr {
    ns: String,
    name: String,
    value: String,
}

/// A piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child.
    Element(Element),
    /// Character data.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(ns: &str, name: &str) -> Self {
        Self { ns: ns.into(), name: name.into(), attrs: Vec::new(), nodes: Vec::new() }
    }

    /// Parses one element with everything in it. Names without a prefix are in `default_ns` where
    /// nothing else is declared. `None` when it is not exactly one well-formed element.
    pub fn parse(xml: &[u8], default_ns: &str) -> Option<Self> {
        work::parsed();
        if let Some((element, len)) = scan::element(xml, default_ns, &Limits::default())
            && len == xml.len()
        {
            return Some(element);
        }
        let root = format!("<r xmlns='{}'>", escape_value(default_ns));
        Self::parse_in(root.as_bytes(), xml)
    }

    /// Parses one element as it would stand in a client's stream: the prefix `stream` is known.
    pub fn parse_in_stream(xml: &[u8]) -> Option<Self> {
        let root = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        Self::parse_in(root, xml)
    }

    /// Parses one element in the context of an opened root tag.
    pub(crate) fn parse_in(root: &[u8], xml: &[u8]) -> Option<Self> {
        let options = Options { max_token_length: xml.len().max(8192), ..Options::default() };
        let mut parser = Parser::with_options(options);
        let mut depth = 0_usize;
        let mut stack: Vec<Self> = Vec::new();
        let mut done = None;
        for (part, mut bytes) in [(0, root), (1, xml)] {
            while let Ok(Some(event)) = parser.parse(&mut bytes, false) {
                match event {
                    Event::StartElement(_, (ns, name), attrs) => {
                        depth += 1;
                        if part == 0 {
                            continue;
                        }
                        if done.is_some() || depth > MAX_DEPTH {
                            return None;
                        }
                        let mut element = Self::new(ns.as_str(), name.as_str());
                        for ((ns, name), value) in attrs {
                            element.attrs.push(Attr {
                                ns: ns.as_str().into(),
                                name: name.as_str().into(),
                                value,
                            });
                        }
                        stack.push(element);
                    }
                    Event::EndElement(_) => {
                        depth = depth.checked_sub(1)?;
                        let element = stack.pop()?;
                        match stack.last_mut() {
                            Some(parent) => parent.nodes.push(Node::Element(element)),
                            None => done = Some(element),
                        }
                    }
                    Event::Text(_, text) => match stack.last_mut() {
                        Some(parent) => parent.push_text(&text),
                        None if text.trim().is_empty() => {}
                        None => return None,
                    },
                    Event::XmlDeclaration(..) => {}
                }
            }
            if !bytes.is_empty() {
                return None;
            }
        }
        done.filter(|_| depth == 1)
    }

    pub(crate) fn push_attr(&mut self, ns: &str, name: &str, value: &str) {
        self.attrs.push(Attr { ns: ns.into(), name: name.into(), value: value.into() });
    }

    pub(crate) fn push_child(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            Some(Node::Text(t)) => t.push_str(text),
            _ => self.nodes.push(Node::Text(text.into())),
        }
    }

    /// The namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the element of that name.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.ns == ns && self.name == name
    }

    /// An attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    /// An attribute of a namespace.
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attrs.iter().find(|a| a.ns == ns && a.name == name).map(|a| a.value.as_str())
    }

    /// The attributes without a namespace: names and values.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.attrs.iter().filter(|a| a.ns.is_empty());
        plain.map(|a| (a.name.as_str(), a.value.as_str()))
    }

    /// Sets an attribute without a namespace.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attrs.retain(|a| !(a.ns.is_empty() && a.name == name));
        self.attrs.push(Attr { ns: String::new(), name: name.into(), value: value.into() });
        self
    }

    /// Sets an attribute if there is a value.
    #[must_use]
    pub fn with_attr_opt(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with_attr(name, value),
            None => self,
        }
    }

    /// Sets `xml:lang`.
    #[must_use]
    pub fn with_lang(mut self, lang: &str) -> Self {
        self.attrs.retain(|a| !(a.ns == crate::ns::XML && a.name == "lang"));
        let (ns, name) = (crate::ns::XML.into(), "lang".into());
        self.attrs.push(Attr { ns, name, value: lang.into() });
        self
    }

    /// Appends a child.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// Appends children.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Appends character data.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.push_text(text);
        self
    }

    /// Takes over the content of another element.
    #[must_use]
    pub(crate) fn with_nodes_of(mut self, other: Self) -> Self {
        self.nodes = other.nodes;
        self
    }

    /// The children.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }

    /// The first child of that name.
    pub fn child(&self, ns: &str, name: &str) -> Option<&Self> {
        self.children().find(|c| c.is(ns, name))
    }

    /// The character data directly in it.
    pub fn text(&self) -> String {
        self.nodes
            .iter()
            .filter_map(|n| match n {
                Node::Text(t) => Some(t.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// The XML, complete in itself: it declares its own namespace.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "");
        out
    }

    /// Appends the XML as content of a parent whose default namespace is `parent_ns`.
    pub fn write(&self, out: &mut String, parent_ns: &str) {
        work::serialised();
        self.write_in(out, parent_ns);
    }

    fn write_in(&self, out: &mut String, parent_ns: &str) {
        // writing to a String cannot fail
        let _ = write!(out, "<{}", self.name);
        if self.ns != parent_ns {
            let _ = write!(out, " xmlns='{}'", escape_value(&self.ns));
        }
        for (n, attr) in self.attrs.iter().enumerate() {
            let value = escape_value(&attr.value);
            let _ = match attr.ns.as_str() {
                "" => write!(out, " {}='{value}'", attr.name),
                crate::ns::XML => write!(out, " xml:{}='{value}'", attr.name),
                ns => {
                    write!(out, " xmlns:a{n}='{}' a{n}:{}='{value}'", escape_value(ns), attr.name)
                }
            };
        }
        if self.nodes.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.nodes {
            match node {
                Node::Element(e) => e.write_in(out, &self.ns),
                Node::Text(t) => out.push_str(&escape(t)),
            }
        }
        let _ = write!(out, "</{}>", self.name);
    }
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
