//! Elements as XML.
//!
//! What attributes' names are in is declared once, on the root, and so is a long namespace that was used
//! often with a prefix, and any where the default namespace changes often on the way down. So what is
//! written is larger than what was read by a small factor only, and can be read again.

use super::{
    Attr, Element, Node,
    read::{MAX_SHARED, SHORT, place},
};
use crate::{
    ns,
    reader::same,
    stanza::Stanza,
    stream::{escape, quoted},
    work,
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::Arc,
};

/// From so many changes of the default namespace, one in the other, no namespace is too short to be shared.
const CROWDED: usize = 32;

impl Element {
    /// The XML, complete in itself: it declares its own namespace.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "");
        out
    }

    /// Whether its XML can be read again, alone and in an IQ: what cannot be is not to be kept.
    pub fn reads_back(&self, xml: &str) -> bool {
        let iq = format!("<iq id='' type='result'><query>{xml}</query></iq>");
        let again = Self::parse(xml.as_bytes(), "");
        again.as_ref() == Some(self) && Stanza::parse(iq.as_bytes()).is_some()
    }

    /// Appends the XML as content of a parent whose default namespace is `parent_ns`.
    pub fn write(&self, out: &mut String, parent_ns: &str) {
        work::serialised();
        let mut uses = Uses::default();
        self.count(&mut uses, parent_ns, 0);
        let shared = uses.shared();
        self.write_in(out, parent_ns, &shared, true);
    }

    /// The namespace of names without a prefix inside of it.
    fn default_ns<'a>(&'a self, around: &'a str, shared: bool) -> &'a str {
        if shared || &*self.ns == ns::XML { around } else { &self.ns }
    }

    /// Counts what is declared, were each namespace to be declared where it is used. `changes` is how often
    /// the default namespace has changed on the way here; the root's is its own.
    fn count<'a>(&'a self, uses: &mut Uses<'a>, around: &'a str, mut changes: usize) {
        if !same(self.default_ns(around, false), around) {
            if changes > 0 {
                uses.add(&self.ns, 1, 0);
            }
            changes += 1;
        }
        uses.changes = uses.changes.max(changes);
        for attr in self.attrs.iter().filter(|attr| !matches!(&*attr.ns, "" | ns::XML)) {
            uses.add(&attr.ns, 0, 1);
        }
        for child in self.children() {
            child.count(uses, self.default_ns(around, false), changes.max(1));
        }
    }

    fn write_in(&self, out: &mut String, around: &str, shared: &Shared<'_>, root: bool) {
        let own = shared.prefix(&self.ns).filter(|_| !root && !same(&self.ns, around));
        let default = self.default_ns(around, own.is_some());
        // writing to a String cannot fail
        let name: Cow<'_, str> = match own {
            _ if &*self.ns == ns::XML => Cow::Owned(format!("xml:{}", self.name)),
            Some(n) => Cow::Owned(format!("n{n}:{}", self.name)),
            None => Cow::Borrowed(&self.name),
        };
        let _ = write!(out, "<{name}");
        if !same(default, around) {
            attr(out, format_args!("xmlns"), default);
        }
        if root {
            for (n, ns) in shared.list.iter().enumerate() {
                attr(out, format_args!("xmlns:n{n}"), ns);
            }
        }
        for (n, Attr { ns, name, value }) in self.attrs.iter().enumerate() {
            match (&**ns, shared.prefix(ns)) {
                ("", _) => attr(out, format_args!("{name}"), value),
                (ns::XML, _) => attr(out, format_args!("xml:{name}"), value),
                (_, Some(n)) => attr(out, format_args!("n{n}:{name}"), value),
                (ns, None) => {
                    attr(out, format_args!("xmlns:a{n}"), ns);
                    attr(out, format_args!("a{n}:{name}"), value);
                }
            }
        }
        if self.nodes.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.nodes {
            match node {
                Node::Element(e) => e.write_in(out, default, shared, false),
                Node::Text(t) => out.push_str(&escape(t)),
            }
        }
        let _ = write!(out, "</{name}>");
    }
}

fn attr(out: &mut String, name: fmt::Arguments<'_>, value: &str) {
    let (quote, value) = quoted(value);
    let _ = write!(out, " {name}={quote}{value}{quote}");
}

/// How often a namespace would be declared.
struct Use<'a> {
    ns: &'a Arc<str>,
    elements: usize,
    attributes: usize,
}

/// All uses. A namespace is found by where it is, and read only the first time: a long one can be used
/// often.
#[derive(Default)]
struct Uses<'a> {
    list: Vec<Use<'a>>,
    names: BTreeMap<&'a str, usize>,
    places: BTreeMap<usize, usize>,
    changes: usize,
}

impl<'a> Uses<'a> {
    fn add(&mut self, ns: &'a Arc<str>, elements: usize, attributes: usize) {
        let (list, names) = (&mut self.list, &mut self.names);
        let n = *self.places.entry(place(ns)).or_insert_with(|| {
            *names.entry(ns).or_insert_with(|| {
                list.push(Use { ns, elements: 0, attributes: 0 });
                list.len() - 1
            })
        });
        if let Some(used) = list.get_mut(n) {
            used.elements += elements;
            used.attributes += attributes;
        }
    }

    /// Those that the root declares.
    fn shared(self) -> Shared<'a> {
        let crowded = self.changes > CROWDED;
        let long = |u: &&Use<'_>| u.elements > 1 && (crowded || u.ns.len() > SHORT);
        let (first, then): (Vec<_>, Vec<_>) = self.list.iter().partition(|u| u.attributes > 0);
        let list = first.into_iter().chain(then.into_iter().filter(long)).take(MAX_SHARED);
        let list: Vec<_> = list.map(|u| &**u.ns).collect();
        let numbers: BTreeMap<_, _> = list.iter().zip(0..).map(|(ns, n)| (*ns, n)).collect();
        let number = |(at, n): (usize, usize)| {
            let ns = self.list.get(n)?.ns;
            Some((at, *numbers.get(&**ns)?))
        };
        let places = self.places.into_iter().filter_map(number).collect();
        Shared { list, places }
    }
}

/// What the root declares, and which of them the namespaces are that are at some places.
struct Shared<'a> {
    list: Vec<&'a str>,
    places: BTreeMap<usize, usize>,
}

impl Shared<'_> {
    fn prefix(&self, ns: &Arc<str>) -> Option<usize> {
        self.places.get(&place(ns)).copied()
    }
}
