//! A first-level element while it is read: where its parts stand, and what of it is forwarded.

use crate::{
    child::{Child, Name},
    element::Tree,
    reader::{Binding, Start},
    stanza::{Head, Stanza},
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};

/// A first-level element that is not complete yet.
pub(super) enum Partial {
    Stanza(Box<Content>),
    Other(Tree),
}

/// Too much for what it is.
pub(super) struct Heavy;

/// The content of a stanza. Places are those in the framer's buffer, in which the stanza begins at 0.
pub(super) struct Content {
    head: Head,
    /// How long the name is in the start tag.
    name: usize,
    head_end: usize,
    children: Vec<Child>,
    /// The child that is being read.
    child: Option<Begun>,
    /// Declarations outside of the content that a receiver's stream does not make: a bit for each.
    foreign: u128,
    /// Which of them a child uses, and where it may declare them.
    needs: Vec<Need>,
    /// All declarations outside of the content, once a child needs one.
    outer: Vec<Binding>,
    /// What the children weigh.
    weight: usize,
}

struct Begun {
    ns: Name,
    name: Name,
    start: usize,
    name_end: usize,
}

struct Need {
    child: usize,
    at: usize,
    bindings: u128,
}

/// Why a stanza cannot be handed on.
pub(super) enum Unfit {
    /// With its declarations it would be larger than a stanza may be.
    Large,
    /// It would be many times what came.
    Grown,
    /// Its bytes do not begin and end as the element that was parsed.
    Torn,
}

impl Content {
    /// `head_end` is where the start tag ends, `bindings` are those that hold from there.
    pub(super) fn new(head: Head, start: &Start, head_end: usize, bindings: &[Binding]) -> Self {
        let is_foreign = |b: &&Binding| !(b.prefix.is_empty() && *b.ns == *crate::ns::CLIENT);
        let numbered = bindings.iter().enumerate();
        let foreign = numbered.filter(|(_, b)| is_foreign(b)).fold(0, |bits, (n, _)| bits | 1 << n);
        let name = start.name_len();
        let (children, needs, outer) = (Vec::new(), Vec::new(), Vec::new());
        Self { head, name, head_end, children, child: None, foreign, needs, outer, weight: 0 }
    }

    pub(super) fn child_begins(&mut self, start: &Start, at: usize) {
        self.child = Some(Begun {
            ns: Name::of_shared(&start.ns),
            name: Name::of_element(start.name.as_str()),
            start: at,
            name_end: at + 1 + start.name_len(),
        });
    }

    /// `used` are those of the bindings that were used since the child began, with its own name.
    pub(super) fn child_ends(
        &mut self,
        end: usize,
        used: u128,
        bindings: &[Binding],
        max_weight: usize,
    ) -> Result<(), Heavy> {
        let Some(Begun { ns, name, start, name_end }) = self.child.take() else { return Ok(()) };
        let needed = used & self.foreign;
        if needed != 0 {
            if self.needs.is_empty() {
                self.outer = bindings.to_vec();
            }
            self.needs.push(Need { child: self.children.len(), at: name_end, bindings: needed });
        }
        let span = self.offset(start)..self.offset(end);
        let child = Child { ns, name, span };
        self.weight += child.weight();
        self.children.push(child);
        if self.weight > max_weight { Err(Heavy) } else { Ok(()) }
    }

    fn offset(&self, at: usize) -> u32 {
        u32::try_from(at.saturating_sub(self.head_end)).unwrap_or(u32::MAX)
    }

    /// The stanza of which `raw` is all; `tag` is where its last tag begins.
    pub(super) fn finish(mut self, raw: &[u8], tag: usize, max: usize) -> Result<Stanza, Unfit> {
        // one tag is both its start and its end
        let end = if raw.len() == self.head_end { self.head_end } else { tag };
        if !self.is_whole(raw, end) {
            return Err(Unfit::Torn);
        }
        let body = if self.needs.is_empty() {
            // a copy of its own, so that a stanza that waits somewhere does not hold the whole buffer
            Bytes::copy_from_slice(raw.get(self.head_end..end).unwrap_or_default())
        } else {
            self.declare(raw, end, max)?
        };
        if !self.children.is_empty() {
            self.head.children = self.children.into();
        }
        let stanza = Stanza { head: Arc::new(self.head), body };
        if stanza.fits(raw.len(), max) { Ok(stanza) } else { Err(Unfit::Grown) }
    }

    /// Whether the bytes begin with the start tag and end with the end tag that were parsed. What was
    /// counted wrongly would let a client write into another's stream: this is the last look.
    fn is_whole(&self, raw: &[u8], end: usize) -> bool {
        let name = raw.get(1..1 + self.name).unwrap_or_default();
        let head = raw.get(..self.head_end).unwrap_or_default();
        let tail = raw.get(end..).unwrap_or_default();
        let ended = if tail.is_empty() {
            end == self.head_end && head.ends_with(b"/>")
        } else {
            let rest = tail.strip_prefix(b"</").and_then(|rest| rest.strip_prefix(name));
            let rest = rest.and_then(|rest| rest.strip_suffix(b">"));
            head.ends_with(b">") && rest.is_some_and(|rest| rest.trim_ascii().is_empty())
        };
        !name.is_empty() && head.starts_with(b"<") && end >= self.head_end && ended
    }

    /// The content with each child declaring what it uses of the stream header and the start tag.
    fn declare(&mut self, raw: &[u8], end: usize, max: usize) -> Result<Bytes, Unfit> {
        let mut body = Vec::with_capacity(raw.len());
        let mut copied = self.head_end;
        let mut needs = self.needs.iter().peekable();
        let mut grown = 0;
        for (n, child) in self.children.iter_mut().enumerate() {
            let before = grown;
            if let Some(need) = needs.next_if(|need| need.child == n) {
                body.extend_from_slice(raw.get(copied..need.at).unwrap_or_default());
                copied = need.at;
                let length = body.len();
                let used =
                    self.outer.iter().enumerate().filter(|(n, _)| need.bindings >> n & 1 == 1);
                for (_, binding) in used {
                    binding.write(&mut body);
                }
                grown += body.len() - length;
                if raw.len() + grown > max {
                    return Err(Unfit::Large);
                }
            }
            let Range { start, end } = child.range();
            let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            child.span = at(start + before)..at(end + grown);
        }
        body.extend_from_slice(raw.get(copied..end).unwrap_or_default());
        Ok(body.into())
    }
}
