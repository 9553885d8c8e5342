//! Rosters (RFC 6121 section 2) with the subscription states of its appendix A.

use crate::{StoreError, StoreFuture};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xmpp::jid::{BareJid, Jid};

/// Who sees whose presence (RFC 6121 section 2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscription {
    /// Neither.
    #[default]
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Both.
    Both,
}

impl Subscription {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
        }
    }

    /// Of its two halves.
    pub fn of(to: bool, from: bool) -> Self {
        match (to, from) {
            (false, false) => Self::None,
            (true, false) => Self::To,
            (false, true) => Self::From,
            (true, true) => Self::Both,
        }
    }

    /// The user sees the contact.
    pub fn has_to(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }

    /// The contact sees the user.
    pub fn has_from(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }
}

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterItem {
    /// Whom; usually a bare JID.
    pub jid: Jid,
    /// What the user calls the contact; empty for none.
    pub name: String,
    /// In which groups.
    pub groups: Vec<String>,
    /// Who sees whom.
    pub subscription: Subscription,
    /// The user asked to see the contact ("pending out").
    pub ask: bool,
    /// The contact asked to see the user ("pending in"): the presence as received, so that it can be
    /// delivered again (RFC 6121 section 3.1.3).
    pub request: Option<String>,
    /// The user approved a request that may come (RFC 6121 section 3.4).
    pub approved: bool,
    /// Not on the wire: only a request of the contact is known (state "None + Pending In"), the
    /// user has not added the contact.
    pub hidden: bool,
    /// The roster's version at which it was last changed.
    pub ver: u64,
}

impl RosterItem {
    /// A contact nothing is known of.
    pub fn new(jid: Jid) -> Self {
        Self {
            jid,
            name: String::new(),
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            request: None,
            approved: false,
            hidden: false,
            ver: 0,
        }
    }

    /// What it occupies, in bytes, without a request: what the user decides on.
    pub fn weight(&self) -> usize {
        let groups: usize = self.groups.iter().map(|g| g.len() + size_of::<String>()).sum();
        size_of::<Self>() + self.jid.weight() + self.name.len() + groups
    }
}

/// A roster at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Grows with each change; 0 for a roster that was never changed.
    pub ver: u64,
    /// The contacts, in the order of their addresses.
    pub items: Vec<RosterItem>,
    /// Contacts removed lately and the version of the removal, oldest first; at most
    /// [`TOMBSTONES`]. One who is hidden now stays among them: clients know of the removal alone, and
    /// of hidden ones nothing. (RFC 6121 section 2.6.3: a client can be told what changed.)
    pub removed: Vec<(Jid, u64)>,
    /// Removals at or before this version are forgotten: who has an older roster needs all of it.
    pub floor: u64,
}

/// Removals a roster remembers.
pub const TOMBSTONES: usize = 64;

impl Roster {
    /// The contact of that address.
    pub fn item(&self, jid: &Jid) -> Option<&RosterItem> {
        let at = self.items.binary_search_by(|i| i.jid.cmp(jid)).ok()?;
        self.items.get(at)
    }

    /// What it occupies, in bytes.
    pub fn weight(&self) -> usize {
        let request = |i: &RosterItem| i.request.as_ref().map_or(0, String::len);
        let items: usize = self.items.iter().map(|i| i.weight() + request(i)).sum();
        items + self.removed.iter().map(|(jid, _)| jid.weight()).sum::<usize>()
    }

    /// Makes one change, as [`RosterStore::change`] does: what it means is the same in every
    /// backend. `false`: it changed nothing. Items stay in the order of their addresses.
    ///
    /// # Errors
    /// `Conflict`, `Full`; nothing is changed then.
    pub fn apply(
        &mut self,
        ver: u64,
        change: RosterChange,
        limit: usize,
    ) -> Result<bool, StoreError> {
        if self.ver != ver {
            return Err(StoreError::Conflict { now: self.ver });
        }
        match change {
            RosterChange::Keep => return Ok(false),
            RosterChange::Put(mut item) => {
                item.ver = self.ver + 1;
                if !item.hidden {
                    self.removed.retain(|(jid, _)| jid != &item.jid);
                }
                let place = self.items.binary_search_by(|i| i.jid.cmp(&item.jid));
                match place {
                    Ok(at) => {
                        if let Some(old) = self.items.get_mut(at) {
                            *old = item;
                        }
                    }
                    // who has too many since the limit was lowered may still change them
                    Err(_) if self.items.len() >= limit => return Err(StoreError::Full { limit }),
                    Err(at) => self.items.insert(at, item),
                }
            }
            RosterChange::Remove(jid) => {
                let Ok(at) = self.items.binary_search_by(|i| i.jid.cmp(&jid)) else {
                    return Ok(false);
                };
                if !self.items.remove(at).hidden {
                    self.removed.push((jid, self.ver + 1));
                }
                if self.removed.len() > TOMBSTONES {
                    self.floor = self.removed.remove(0).1;
                }
            }
        }
        self.ver += 1;
        Ok(true)
    }
}

/// One change of a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// Adds or replaces an item; its `ver` is set by the store.
    Put(RosterItem),
    /// Removes an item; nothing happens when there is none.
    Remove(Jid),
    /// None: it was decided on this version of the roster, and that is to be so.
    Keep,
}

impl RosterChange {
    /// The item that changes.
    pub fn jid(&self) -> Option<&Jid> {
        match self {
            Self::Put(item) => Some(&item.jid),
            Self::Remove(jid) => Some(jid),
            Self::Keep => None,
        }
    }
}

/// A change of a user's roster, as decided on it at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterWrite {
    /// Whose.
    pub user: BareJid,
    /// The version; after another change of the same roster in the same operation one more.
    pub ver: u64,
    /// The change.
    pub change: RosterChange,
}

/// Rosters by user. They are a part of the account: who has none has no roster.
pub trait RosterStore: Send + Sync + 'static {
    /// The roster; empty at version 0 when there is none.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>>;

    /// Makes changes in their order, of one or several rosters, all or none: if each roster is still at the
    /// version that was decided on. What is between two users is in two rosters, and is changed in both or in neither.
    /// Returns the rosters, each as it is after its change. At most `limit` items each.
    ///
    /// Errors: `Conflict` when one is at another version (read again, decide again), `Full`, `NoAccount`.
    fn change_all(
        &self,
        changes: Vec<RosterWrite>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Roster>>>;

    /// [`RosterStore::change_all`] for one change.
    fn change<'a>(
        &'a self,
        user: &'a BareJid,
        ver: u64,
        change: RosterChange,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Roster>> {
        let write = RosterWrite { user: user.clone(), ver, change };
        Box::pin(async move {
            let after = self.change_all(vec![write], limit).await?;
            Ok(after.into_iter().next().unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(n: usize) -> Jid {
        format!("c{n:03}@x").parse().unwrap()
    }

    #[test]
    fn the_oldest_removals_are_forgotten_and_the_floor_says_up_to_where() {
        let mut roster = Roster::default();
        for n in 0..TOMBSTONES + 2 {
            let ver = roster.ver;
            roster.apply(ver, RosterChange::Put(RosterItem::new(jid(n))), 9).unwrap();
            roster.apply(ver + 1, RosterChange::Remove(jid(n)), 9).unwrap();
        }
        assert_eq!(roster.removed.len(), TOMBSTONES);
        // the removals at versions 2 and 4 are gone
        assert_eq!((roster.floor, roster.removed.first()), (4, Some(&(jid(2), 6))));
    }

    #[test]
    fn a_contact_that_comes_back_hidden_is_still_removed() {
        let hidden = RosterItem { hidden: true, ..RosterItem::new(jid(1)) };
        let mut roster = Roster::default();
        roster.apply(0, RosterChange::Put(RosterItem::new(jid(1))), 1).unwrap();
        roster.apply(1, RosterChange::Remove(jid(1)), 1).unwrap();
        roster.apply(2, RosterChange::Put(hidden), 1).unwrap();
        assert_eq!(roster.removed, [(jid(1), 2)]);
        roster.apply(3, RosterChange::Remove(jid(1)), 1).unwrap();
        assert_eq!(roster.removed, [(jid(1), 2)]);
        let hidden = RosterItem { hidden: true, ..RosterItem::new(jid(1)) };
        roster.apply(4, RosterChange::Put(hidden), 1).unwrap();
        roster.apply(5, RosterChange::Put(RosterItem::new(jid(1))), 1).unwrap();
        assert!(roster.removed.is_empty(), "it is seen again");
    }

    #[test]
    fn a_contact_that_comes_back_is_no_longer_removed() {
        let mut roster = Roster::default();
        roster.apply(0, RosterChange::Put(RosterItem::new(jid(1))), 1).unwrap();
        roster.apply(1, RosterChange::Remove(jid(1)), 1).unwrap();
        roster.apply(2, RosterChange::Put(RosterItem::new(jid(1))), 1).unwrap();
        assert_eq!((roster.removed.len(), roster.floor, roster.ver), (0, 0, 3));
        assert_eq!(roster.item(&jid(1)).unwrap().ver, 3);
    }
}
