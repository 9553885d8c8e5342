//! A resource as data: what moves with a session into another process.
//!
//! Freezing copies; all sessions of a node are frozen at one moment, while none of them acts.

use super::{
    Directed, Item, Kept, Owner, QueueLimits, Queued, Resource, State, StreamManagement,
    copies::{FrozenShare, Shares},
    kept::settled,
    stored::{FrozenStored, Stored},
    weight,
};
use crate::{clock::Clock, session::bound::Bound};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, num::NonZeroU64, sync::Arc, time::Duration};
use storage::Blocklist;
use xmpp::{
    jid::{BareJid, FullJid},
    stanza::Stanza,
};

/// The serialised form of a resource. Ownership is not in it: whoever thaws it has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenResource {
    jid: FullJid,
    #[serde(default)]
    age: Duration,
    pub(super) queue: Vec<FrozenQueued>,
    diverted: Option<u64>,
    presence: Option<Stanza>,
    priority: Option<i8>,
    directed: Directed,
    marks: Vec<String>,
    blocked: Option<Arc<Blocklist>>,
    pub(super) sm: Option<StreamManagement>,
    pub(super) kept: Kept,
    /// For how long the first that was written and not taken has been that, in milliseconds.
    #[serde(default)]
    first_for: u32,
    /// The shares of what is not acknowledged, as `sm` numbers them.
    pub(super) shares: Vec<(u64, FrozenShare)>,
    /// What the store has of it.
    #[serde(default)]
    stored: Option<FrozenStored>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FrozenItem {
    Stanza(Stanza),
    Notice(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenQueued {
    pub(super) item: FrozenItem,
    pub(super) at: u64,
    #[serde(default)]
    pub(super) kept: u64,
    pub(super) share: Option<FrozenShare>,
}

/// A session that waits to be resumed.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenWaiting {
    pub(super) resource: FrozenResource,
    parked: Option<Box<Bound>>,
    /// What is left of its window.
    left: Duration,
}

impl FrozenWaiting {
    /// Its address.
    pub(crate) fn jid(&self) -> &FullJid {
        &self.resource.jid
    }

    /// Whose it is.
    pub(crate) fn user(&self) -> BareJid {
        self.resource.jid.bare()
    }

    /// What was on its way into the store is there under these numbers.
    pub(crate) fn settle(&mut self, ids: &[u64]) {
        let FrozenResource { queue, sm, kept, .. } = &mut self.resource;
        let unacked = sm.iter_mut().flat_map(|sm| &mut sm.unacked).map(|arrived| &mut arrived.kept);
        for id in unacked.chain(queue.iter_mut().map(|queued| &mut queued.kept)) {
            *id = settled(*id, Some(ids));
        }
        kept.stored(Some(ids));
    }

    /// How many stanzas of its client were handled.
    pub(crate) fn handled(&self) -> u32 {
        self.resource.sm.as_ref().map_or(0, |sm| sm.handled)
    }
}

/// What a resource finds in the process in which it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Thawing<'a> {
    /// Its number there.
    pub id: u64,
    /// Its limits.
    pub limits: QueueLimits,
    /// The wall clock.
    pub clock: &'a Arc<Clock>,
    /// The modules that are there,
    pub modules: &'a [&'static str],
    /// the names under which they mark resources,
    pub marks: &'a [&'static str],
    /// and whether one of them keeps messages until they are acknowledged.
    pub keeps: bool,
}

impl Resource {
    /// Copies what a frozen session needs of its resource.
    pub fn freeze(&self) -> FrozenResource {
        self.freeze_of(&self.state.lock())
    }

    fn freeze_of(&self, s: &State) -> FrozenResource {
        let queue = s.queue.iter().map(|q| {
            let item = match &q.item {
                Item::Stanza(stanza) => FrozenItem::Stanza(stanza.clone()),
                Item::Notice(module) => FrozenItem::Notice((*module).to_owned()),
            };
            let share = q.share.as_ref().map(super::Share::freeze);
            FrozenQueued { item, at: q.at, kept: q.kept, share }
        });
        let shares = s.sm.iter().flat_map(|sm| &sm.shares);
        FrozenResource {
            jid: self.jid.clone(),
            age: self.age_of(s),
            queue: queue.collect(),
            diverted: s.diverted.map(NonZeroU64::get),
            presence: s.presence.clone(),
            priority: s.priority,
            directed: s.directed.clone(),
            marks: s.marks.iter().map(|m| (*m).to_owned()).collect(),
            blocked: s.blocked.clone(),
            kept: s.kept.clone(),
            first_for: self.clock.ticks().wrapping_sub(s.first_since),
            shares: shares.map(|(n, share)| (*n, share.freeze())).collect(),
            stored: s.stored.as_ref().map(|stored| stored.freeze()),
            sm: s.sm.clone().map(|sm| StreamManagement { shares: VecDeque::new(), ..sm }),
        }
    }

    /// Copies a session that waits to be resumed for `left` more; `None` if it does not.
    pub(crate) fn freeze_waiting(&self, left: Duration) -> Option<FrozenWaiting> {
        let mut s = self.state.lock();
        if s.owner != Owner::Detached {
            return None;
        }
        let parked = s.parked.as_ref().and_then(|bound| {
            let bound = serde_json::to_value(bound).ok()?;
            serde_json::from_value(bound).ok()
        });
        s.is_frozen();
        Some(FrozenWaiting { resource: self.freeze_of(&s), parked, left })
    }

    /// Copies a session as if its client was cut off now.
    pub(crate) fn freeze_attached(&self) -> FrozenWaiting {
        self.freeze_as_cut_off(&self.state.lock())
    }

    pub(super) fn freeze_as_cut_off(&self, s: &State) -> FrozenWaiting {
        let resource = self.freeze_of(s);
        let left = resource.sm.as_ref().map(|sm| sm.window).unwrap_or_default();
        FrozenWaiting { resource, parked: None, left }
    }

    /// A resource like the frozen one, attached with epoch 1. What it has of modules that are not here, marks
    /// and notices, is left out.
    pub fn thaw(frozen: FrozenResource, at: Thawing<'_>, shares: &mut Shares) -> Arc<Self> {
        let known = |name: &str| at.modules.iter().copied().find(|module| *module == name);
        let resource = Self::new(frozen.jid, at.id, at.limits, Arc::clone(at.clock));
        let mut s = resource.state.lock();
        s.since = s.since.wrapping_sub(u32::try_from(frozen.age.as_secs()).unwrap_or(u32::MAX));
        for FrozenQueued { item, at, kept, share } in frozen.queue {
            let item = match item {
                FrozenItem::Stanza(stanza) => {
                    s.queued_bytes += weight(&stanza);
                    Item::Stanza(stanza)
                }
                FrozenItem::Notice(module) => match known(&module) {
                    Some(module) => Item::Notice(module),
                    None => continue,
                },
            };
            let share = share.map(|share| shares.thaw(share));
            s.queue.push_back(Queued { item, at, kept, share });
        }
        // nobody would end it
        s.diverted = frozen.diverted.filter(|_| at.keeps).and_then(NonZeroU64::new);
        s.presence = frozen.presence;
        s.priority = frozen.priority;
        s.directed = frozen.directed;
        s.marks =
            at.marks.iter().copied().filter(|m| frozen.marks.iter().any(|f| f == m)).collect();
        s.blocked = frozen.blocked;
        s.sm = frozen.sm;
        s.kept = frozen.kept;
        s.first_since = at.clock.ticks().wrapping_sub(frozen.first_for);
        s.stored = frozen.stored.map(Stored::thaw);
        if let Some(sm) = &mut s.sm {
            // another build may weigh differently
            sm.bytes = sm.unacked.iter().map(|a| weight(&a.stanza)).sum();
            sm.shares = frozen.shares.into_iter().map(|(n, f)| (n, shares.thaw(f))).collect();
        }
        drop(s);
        resource
    }

    /// A resource like the frozen one, that waits to be resumed, and what is left of its window.
    pub(crate) fn thaw_waiting(
        frozen: FrozenWaiting,
        at: Thawing<'_>,
        shares: &mut Shares,
    ) -> (Arc<Self>, Duration) {
        let mut parked = frozen.parked;
        if let Some(bound) = &mut parked {
            bound.thawed(|name| at.modules.contains(&name));
        }
        let resource = Self::thaw(frozen.resource, at, shares);
        resource.detach(1, parked);
        (resource, frozen.left)
    }
}
