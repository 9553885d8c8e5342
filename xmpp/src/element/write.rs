//! Elements as XML.
//!
//! A long namespace that was declared once and used often, with a prefix, is declared once again: on the
//! root. So what is written is larger than what was read by a small factor only.

use super::{
    Element, Node,
    read::{SHORT, place},
};
use crate::{
    ns,
    reader::same,
    stream::{escape, escape_value},
    work,
};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

impl Element {
    /// The XML, complete in itself: it declares its own namespace.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "");
        out
    }

    /// Appends the XML as content of a parent whose default namespace is `parent_ns`.
    pub fn write(&self, out: &mut String, parent_ns: &str) {
        work::serialised();
        let mut uses = Uses::default();
        self.count(&mut uses, parent_ns, true);
        let mut shared: Vec<_> = uses.0.into_values().filter(|u| u.count > 1).collect();
        shared.sort_unstable_by_key(|u| u.first);
        let shared: Vec<_> = shared.into_iter().map(|u| u.ns).collect();
        self.write_in(out, parent_ns, &shared, true);
    }

    /// The namespace of names without a prefix inside of it.
    fn default_ns<'a>(&'a self, around: &'a str, shared: bool) -> &'a str {
        if shared || &*self.ns == ns::XML { around } else { &self.ns }
    }

    /// Counts what is declared, were each namespace to be declared where it is used.
    fn count<'a>(&'a self, uses: &mut Uses<'a>, around: &'a str, root: bool) {
        if !root && !same(&self.ns, around) {
            uses.add(&self.ns);
        }
        for attr in &self.attrs {
            uses.add(&attr.ns);
        }
        for child in self.children() {
            child.count(uses, self.default_ns(around, false), false);
        }
    }

    fn write_in(&self, out: &mut String, around: &str, shared: &[&Arc<str>], root: bool) {
        let prefix = |ns| shared.iter().position(|s| place(s) == place(ns));
        let own = prefix(&self.ns).filter(|_| !root && !same(&self.ns, around));
        let default = self.default_ns(around, own.is_some());
        // writing to a String cannot fail
        let name = match own {
            _ if &*self.ns == ns::XML => format!("xml:{}", self.name),
            Some(n) => format!("n{n}:{}", self.name),
            None => self.name.clone(),
        };
        let _ = write!(out, "<{name}");
        if !same(default, around) {
            let _ = write!(out, " xmlns='{}'", escape_value(default));
        }
        if root {
            for (n, ns) in shared.iter().enumerate() {
                let _ = write!(out, " xmlns:n{n}='{}'", escape_value(ns));
            }
        }
        for (n, attr) in self.attrs.iter().enumerate() {
            let (name, value) = (&attr.name, escape_value(&attr.value));
            let _ = match (&*attr.ns, prefix(&attr.ns)) {
                ("", _) => write!(out, " {name}='{value}'"),
                (ns::XML, _) => write!(out, " xml:{name}='{value}'"),
                (_, Some(n)) => write!(out, " n{n}:{name}='{value}'"),
                (ns, None) => {
                    write!(out, " xmlns:a{n}='{}' a{n}:{name}='{value}'", escape_value(ns))
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
                Node::Element(e) => e.write_in(out, default, shared, false),
                Node::Text(t) => out.push_str(&escape(t)),
            }
        }
        let _ = write!(out, "</{name}>");
    }
}

/// How often namespaces would be declared, by where they are.
#[derive(Default)]
struct Uses<'a>(BTreeMap<usize, Use<'a>>);

struct Use<'a> {
    ns: &'a Arc<str>,
    first: usize,
    count: usize,
}

impl<'a> Uses<'a> {
    fn add(&mut self, ns: &'a Arc<str>) {
        if ns.len() > SHORT && &**ns != ns::XML {
            let first = self.0.len();
            self.0.entry(place(ns)).or_insert(Use { ns, first, count: 0 }).count += 1;
        }
    }
}
