//! Who sees a resource by directed presence (RFC 6121 section 4.6): looked up for every such presence and
//! every probe, so by address; forgotten in the order in which they came.

use super::{Owner, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xmpp::jid::Jid;

/// What one of the addresses may occupy on average, in bytes.
pub(super) const ORDINARY: usize = 128;

/// A limited number of addresses. Most resources have none, and a pointer for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Jid>", into = "Vec<Jid>")]
pub(super) struct Directed(Option<Box<Places>>);

#[derive(Clone, Debug, Default)]
struct Places {
    places: BTreeMap<Jid, u64>,
    order: BTreeMap<u64, Jid>,
    bytes: usize,
}

impl Places {
    fn add(&mut self, to: &Jid, most: usize) {
        if self.places.contains_key(to) {
            return;
        }
        let bytes = most.saturating_mul(ORDINARY);
        while self.places.len() >= most || self.bytes + to.weight() > bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.places.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(oldest.weight());
        }
        self.bytes += to.weight();
        let next = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.places.insert(to.clone(), next);
        self.order.insert(next, to.clone());
    }

    fn remove(&mut self, to: &Jid) -> bool {
        let place = self.places.remove(to);
        let Some(jid) = place.and_then(|place| self.order.remove(&place)) else { return false };
        self.bytes = self.bytes.saturating_sub(jid.weight());
        true
    }
}

impl Directed {
    /// One more, unless it is there; beyond `most`, or so many of ordinary length, the oldest is forgotten.
    pub(super) fn add(&mut self, to: &Jid, most: usize) {
        self.0.get_or_insert_default().add(to, most);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, to: &Jid) -> bool {
        self.0.as_mut().is_some_and(|all| all.remove(to))
    }

    pub(super) fn contains(&self, to: &Jid) -> bool {
        self.0.as_ref().is_some_and(|all| all.places.contains_key(to))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|all| all.places.is_empty())
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Jid> {
        self.0.iter().flat_map(|all| all.order.values())
    }

    /// All addresses, the oldest first.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Jid> {
        self.0.into_iter().flat_map(|all| all.order.into_values())
    }
}

impl From<Vec<Jid>> for Directed {
    fn from(all: Vec<Jid>) -> Self {
        let mut directed = Self::default();
        all.iter().for_each(|jid| directed.add(jid, usize::MAX));
        directed
    }
}

impl From<Directed> for Vec<Jid> {
    fn from(directed: Directed) -> Self {
        directed.into_iter().collect()
    }
}

impl Resource {
    /// Notes that `to` sees this resource by directed presence; `false`: it has ended meanwhile.
    pub fn directed_add(&self, to: &Jid) -> bool {
        let mut s = self.state.lock();
        let lives = s.owner != Owner::Ended;
        if lives {
            s.directed.add(to, self.limits.directed);
        }
        lives
    }

    /// Forgets a directed presence; `false` when there was none.
    pub fn directed_remove(&self, to: &Jid) -> bool {
        self.state.lock().directed.remove(to)
    }

    /// Who got directed presence.
    pub fn directed(&self) -> Vec<Jid> {
        self.state.lock().directed.iter().cloned().collect()
    }

    /// Whether nobody got directed presence.
    pub fn directed_is_empty(&self) -> bool {
        self.state.lock().directed.is_empty()
    }

    /// Whether `to` got directed presence.
    pub fn directed_has(&self, to: &Jid) -> bool {
        self.state.lock().directed.contains(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_order_is_kept() {
        let jid = |name: &str| format!("{name}@x").parse::<Jid>().unwrap();
        let mut directed = Directed::default();
        ["c", "a", "c", "b"].iter().for_each(|name| directed.add(&jid(name), 3));
        assert!(directed.remove(&jid("a")) && !directed.remove(&jid("a")));
        ["d", "a"].iter().for_each(|name| directed.add(&jid(name), 3));
        let names = |d: &Directed| d.iter().map(|j| j.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&directed), ["b@x", "d@x", "a@x"]);
        assert!(directed.contains(&jid("b")) && !directed.contains(&jid("c")));
        let again: Directed =
            serde_json::from_value(serde_json::to_value(&directed).unwrap()).unwrap();
        assert_eq!(names(&again), names(&directed));
    }
}
