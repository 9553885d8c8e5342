//! A stanza between the nodes of a cluster: its start tag as it was parsed, and the bytes of its content. Reading it looks into
//! neither (law 7).

use super::{Head, Kind, Stanza, Type};
use crate::{
    child::{Child, Name},
    jid::Jid,
    packed::{Reader, put_bytes, put_number, put_text, put_text_opt},
};
use std::sync::Arc;

const KINDS: [Kind; 3] = [Kind::Message, Kind::Presence, Kind::Iq];
/// Only ever added to, at the end.
const TYPES: [Type; 15] = [
    Type::Normal,
    Type::Chat,
    Type::Groupchat,
    Type::Headline,
    Type::Error,
    Type::Get,
    Type::Set,
    Type::Result,
    Type::Available,
    Type::Unavailable,
    Type::Subscribe,
    Type::Subscribed,
    Type::Unsubscribe,
    Type::Unsubscribed,
    Type::Probe,
];

fn place<T: PartialEq>(all: &[T], of: &T) -> u8 {
    all.iter().position(|one| one == of).and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX)
}

/// An address that may not be there.
fn address(from: &mut Reader) -> Option<Option<Jid>> {
    from.text_opt(|text| text.parse().ok())?.map_or(Some(None), |jid: Option<Jid>| jid.map(Some))
}

impl Stanza {
    /// Appends it as another node reads it.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let head = &*self.head;
        out.reserve(self.body.len() + 256);
        out.extend([place(&KINDS, &head.kind), place(&TYPES, &head.ty)]);
        put_text_opt(out, head.id.as_deref());
        put_text_opt(out, head.to.as_ref().map(Jid::as_str));
        put_text_opt(out, head.from.as_ref().map(Jid::as_str));
        put_text_opt(out, head.lang.as_deref());
        put_text(out, &head.extra);
        put_number(out, head.children.len() as u64);
        for child in &*head.children {
            put_text(out, child.ns());
            put_text(out, child.name());
            put_number(out, child.span.start.into());
            put_number(out, child.span.end.into());
        }
        put_bytes(out, &self.body);
    }

    /// Reads what another node has packed.
    pub fn unpack(from: &mut Reader) -> Option<Self> {
        let kind = *KINDS.get(usize::from(from.byte()?))?;
        let mut head = Head::new(kind, *TYPES.get(usize::from(from.byte()?))?);
        head.id = from.text_opt(|text| text.into())?;
        head.to = address(from)?;
        head.from = address(from)?;
        head.lang = from.text_opt(|text| text.into())?;
        let extra: Option<Arc<str>> = from.text(|text| (!text.is_empty()).then(|| text.into()))?;
        extra.into_iter().for_each(|extra| head.extra = extra);
        let children = from.list(|from| {
            let (ns, name) = (from.text(Name::of_namespace)?, from.text(Name::of_element)?);
            let mut at = || u32::try_from(from.number()?).ok();
            let span = at()?..at()?;
            Some(Child { ns, name, span })
        })?;
        if !children.is_empty() {
            head.children = children.into();
        }
        let body = from.bytes()?;
        let fits = |c: &Child| c.range().start <= c.range().end && c.range().end <= body.len();
        head.children.iter().all(fits).then(|| Self { head: Arc::new(head), body: body.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work;
    use bytes::Bytes;

    #[test]
    fn what_is_packed_is_the_same_and_nobody_looked_into_it() {
        for xml in [
            "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1' xml:lang='en' x='y'>\
             <body>what &lt;light&gt;</body><a xmlns='urn:a'><b/></a></message>",
            "<presence/>",
            "<presence type='probe' to='juliet@localhost'/>",
            "<iq type='result' id='2' to='romeo@localhost/orchard'><query xmlns='jabber:iq:roster'/></iq>",
        ] {
            let stanza = Stanza::parse(xml.as_bytes()).unwrap();
            work::take();
            let mut out = Vec::new();
            stanza.pack(&mut out);
            let mut reader = Reader::new(out.clone().into());
            assert_eq!(Stanza::unpack(&mut reader), Some(stanza));
            assert!(reader.is_over());
            assert_eq!(work::take(), Default::default());
            for end in 0..out.len() {
                let cut = Bytes::copy_from_slice(&out[..end]);
                assert_eq!(Stanza::unpack(&mut Reader::new(cut)), None, "{end} of {xml}");
            }
        }
    }

    #[test]
    fn every_type_has_its_number() {
        for (n, ty) in TYPES.iter().enumerate() {
            assert_eq!(usize::from(place(&TYPES, ty)), n);
        }
    }
}
