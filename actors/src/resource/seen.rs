//! Whom the client of a session that can be resumed was told to be available: a process that goes on with it and does not have all of
//! them can say who is gone (RFC 6121 section 4.5).

use super::{Durability, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use xmpp::{
    jid::Jid,
    stanza::{Kind, Stanza, Type},
};

/// What the addresses may occupy, in bytes, as if nobody else had them.
pub(super) const SEEN: usize = 256 << 10;

/// Full addresses. Most sessions have none, and a pointer for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Jid>", into = "Vec<Jid>")]
pub struct Seen(Option<Box<Addresses>>);

#[derive(Clone, Debug, Default)]
struct Addresses {
    all: BTreeSet<Jid>,
    bytes: usize,
}

impl Seen {
    /// A presence is for the client. Beyond [`SEEN`] whoever comes is not noted.
    fn hears(&mut self, presence: &Stanza) {
        let Some(from) = presence.head.from.as_ref().filter(|from| !from.is_bare()) else { return };
        match presence.head.ty {
            Type::Available => self.add(from),
            Type::Unavailable => self.remove(from),
            _ => {}
        }
    }

    fn add(&mut self, from: &Jid) {
        let Addresses { all, bytes } = &mut **self.0.get_or_insert_default();
        if *bytes + from.weight() <= SEEN && all.insert(from.clone()) {
            *bytes += from.weight();
        }
    }

    fn remove(&mut self, from: &Jid) {
        let Some(addresses) = &mut self.0 else { return };
        if let Some(gone) = addresses.all.take(from) {
            addresses.bytes -= gone.weight();
        }
    }

    /// What they occupy, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |addresses| addresses.bytes)
    }
}

impl From<Vec<Jid>> for Seen {
    fn from(all: Vec<Jid>) -> Self {
        let mut seen = Self::default();
        all.iter().for_each(|jid| seen.add(jid));
        seen
    }
}

impl From<Seen> for Vec<Jid> {
    fn from(seen: Seen) -> Self {
        seen.0.into_iter().flat_map(|addresses| addresses.all).collect()
    }
}

impl super::State {
    /// A stanza is put into the queue of a session; it may be one that the next process goes on with.
    pub(super) fn hears(&mut self, stanza: &Stanza, durability: Durability) {
        if stanza.head.kind == Kind::Presence
            && durability != Durability::Memory
            && let Some(sm) = self.sm.as_mut().filter(|sm| sm.token.is_some())
        {
            sm.seen.hears(stanza);
        }
    }
}

impl Resource {
    /// Its client was told that somebody is available, before the session could be resumed.
    pub fn sees(&self, jid: &Jid) {
        self.state.lock().sm.iter_mut().for_each(|sm| sm.seen.add(jid));
    }

    /// Whom its client was told to be available, if the session can be resumed.
    pub fn seen(&self) -> Vec<Jid> {
        self.state.lock().sm.as_ref().map(|sm| sm.seen.clone()).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{QueueLimits, StreamManagement};
    use std::sync::Arc;

    fn presence(ty: Type, from: &str) -> Stanza {
        Stanza::presence(ty).with_from(Some(from.parse().unwrap()))
    }

    fn session(token: Option<&str>, durability: Durability) -> Arc<Resource> {
        let limits = QueueLimits { durability, queued: 100_000, ..QueueLimits::default() };
        let limits = QueueLimits { queued_bytes: 1 << 30, ..limits };
        let jid = "juliet@localhost/balcony".parse().unwrap();
        let resource = Resource::new(jid, 1, limits, Arc::default());
        let token = token.map(str::to_owned);
        resource.with_sm(|sm| *sm = Some(StreamManagement { token, ..Default::default() }));
        resource
    }

    fn seen(resource: &Resource) -> Vec<String> {
        resource.seen().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_comes_and_stays_is_seen() {
        let resource = session(Some("t"), Durability::Detached);
        let stanzas = [
            presence(Type::Available, "romeo@localhost/a"),
            presence(Type::Available, "romeo@localhost/b"),
            presence(Type::Available, "romeo@localhost/a"),
            presence(Type::Subscribe, "nurse@localhost/a"),
            presence(Type::Available, "nurse@localhost"),
            Stanza::new(Kind::Message, Type::Chat).with_from("nurse@localhost/b".parse().ok()),
            presence(Type::Unavailable, "romeo@localhost/b"),
            presence(Type::Unavailable, "romeo@localhost/c"),
        ];
        for stanza in stanzas {
            resource.deliver(stanza).unwrap();
        }
        assert_eq!(seen(&resource), ["romeo@localhost/a"]);
        resource.deliver(presence(Type::Unavailable, "romeo@localhost/a")).unwrap();
        assert_eq!(seen(&resource), [""; 0]);
        assert_eq!(resource.with_sm(|sm| sm.as_ref().map(|sm| sm.seen.bytes())), Some(0));
    }

    #[test]
    fn only_a_session_that_another_process_can_go_on_with_needs_to_know() {
        for (token, durability) in [(None, Durability::Always), (Some("t"), Durability::Memory)] {
            let resource = session(token, durability);
            resource.deliver(presence(Type::Available, "romeo@localhost/a")).unwrap();
            assert_eq!(seen(&resource), [""; 0]);
        }
    }

    #[test]
    fn the_addresses_that_a_client_sees_have_a_limit_in_bytes() {
        let resource = session(Some("t"), Durability::Always);
        let long = "y".repeat(1_000);
        let from = |n: usize| format!("{n:04}@x/{long}");
        for n in 0..1_000 {
            resource.deliver(presence(Type::Available, &from(n))).unwrap();
        }
        let all = resource.seen();
        assert!((200..300).contains(&all.len()), "{}", all.len());
        let bytes = all.iter().map(Jid::weight).sum::<usize>();
        assert!(bytes <= SEEN);
        assert_eq!(all.first().map(ToString::to_string), Some(from(0)), "who was there stays");
        // with one that went there is room for another
        resource.deliver(presence(Type::Unavailable, &from(0))).unwrap();
        resource.deliver(presence(Type::Available, &from(999))).unwrap();
        assert_eq!(resource.seen().last().map(ToString::to_string), Some(from(999)));
    }
}
