//! A small element tree, for the payloads somebody looks into. Stanzas stay bytes.

mod read;
mod write;

pub(crate) use read::Tree;

use crate::{child::ALLOCATION, reader};
use std::sync::Arc;

/// One element: its name, attributes and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// One for all that stand in the scope of one declaration.
    ns: Arc<str>,
    name: String,
    attrs: Vec<Attr>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attr {
    ns: Arc<str>,
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

/// Places that are made for the first of some nodes or attributes.
const PLACES: usize = 4;

impl Element {
    /// An empty element.
    pub fn new(ns: &str, name: &str) -> Self {
        Self::in_namespace(ns.into(), name)
    }

    pub(crate) fn in_namespace(ns: Arc<str>, name: &str) -> Self {
        Self { ns, name: name.into(), attrs: Vec::new(), nodes: Vec::new() }
    }

    /// The namespace, to be shared.
    pub(crate) fn namespace(&self) -> Arc<str> {
        Arc::clone(&self.ns)
    }

    pub(crate) fn push_attr(&mut self, ns: Arc<str>, name: &str, value: &str) {
        self.attrs.push(Attr { ns, name: name.into(), value: value.into() });
    }

    pub(crate) fn push_child(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    /// Says what the text weighs here: twice itself, for the room that it grows into.
    pub(crate) fn push_text(&mut self, text: &str) -> usize {
        match self.nodes.last_mut() {
            Some(Node::Text(t)) => {
                t.push_str(text);
                2 * text.len()
            }
            _ => {
                self.nodes.push(Node::Text(text.into()));
                PLACES * size_of::<Node>() + ALLOCATION + 2 * text.len()
            }
        }
    }

    /// What it occupies without its content.
    pub(crate) fn own_weight(&self) -> usize {
        let attrs = self.attrs.iter().map(|attr| {
            PLACES * size_of::<Attr>() + attr.name.len() + attr.value.len() + 2 * ALLOCATION
        });
        PLACES * size_of::<Node>() + self.name.len() + ALLOCATION + attrs.sum::<usize>()
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
        &*self.ns == ns && self.name == name
    }

    /// An attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    /// An attribute of a namespace.
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attrs.iter().find(|a| &*a.ns == ns && a.name == name).map(|a| a.value.as_str())
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
        self.attrs.push(Attr { ns: reader::none(), name: name.into(), value: value.into() });
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
        self.attrs.retain(|a| !(&*a.ns == crate::ns::XML && a.name == "lang"));
        let (ns, name) = (reader::xml(), "lang".into());
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
}
