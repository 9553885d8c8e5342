//! The direct children of a stanza: what they are called and where they stand.

use crate::ns;
use std::{ops::Range, sync::Arc};

/// What an allocation costs besides its content: reference counts, and what the allocator rounds up.
pub(crate) const ALLOCATION: usize = 32;

/// A direct child of a stanza: its name and where it stands in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub(crate) ns: Name,
    pub(crate) name: Name,
    pub(crate) span: Range<u32>,
}

/// A name that costs nothing to keep when it is one of the usual ones.
#[derive(Clone, Debug, Eq)]
pub(crate) enum Name {
    Known(&'static str),
    Other(Arc<str>),
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Name {
    fn of(text: &str, known: &[&'static str]) -> Self {
        let found = known.iter().find(|k| **k == text);
        found.map_or_else(|| Self::Other(text.into()), |k| Self::Known(k))
    }

    pub(crate) fn of_namespace(text: &str) -> Self {
        Self::of(text, ns::USUAL)
    }

    /// Shares a namespace that is there already.
    pub(crate) fn of_shared(ns: &Arc<str>) -> Self {
        let known = ns::USUAL.iter().find(|k| **k == &**ns);
        known.map_or_else(|| Self::Other(Arc::clone(ns)), |k| Self::Known(k))
    }

    pub(crate) fn of_element(text: &str) -> Self {
        const USUAL: &[&str] = &[
            "body",
            "query",
            "ping",
            "active",
            "composing",
            "paused",
            "request",
            "received",
            "origin-id",
            "markable",
            "displayed",
            "error",
            "show",
            "status",
            "priority",
            "c",
            "x",
            "bind",
            "pubsub",
            "vCard",
            "delay",
            "stanza-id",
            "store",
            "thread",
            "subject",
        ];
        Self::of(text, USUAL)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Known(text) => text,
            Self::Other(text) => text,
        }
    }

    /// What it occupies besides itself.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Known(_) => 0,
            Self::Other(text) => text.len() + ALLOCATION,
        }
    }
}

impl Child {
    /// The namespace.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// The local name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.span.start as usize..self.span.end as usize
    }

    /// The child where it stands in another content.
    pub(crate) fn moved(&self, to: impl Fn(usize) -> usize) -> Self {
        let at = |n: usize| u32::try_from(to(n)).unwrap_or(u32::MAX);
        let Range { start, end } = self.range();
        Self { span: at(start)..at(end), ..self.clone() }
    }
}
