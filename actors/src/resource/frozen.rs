//! A resource as data: what moves with a frozen session into another process.

use super::{Arrived, Item, Kept, QueueLimits, Resource, StreamManagement, weight};
use crate::{env::Clock, routing::KEEPER};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use storage::Blocklist;
use xmpp::{
    jid::{FullJid, Jid},
    stanza::Stanza,
};

/// The serialised form of a resource: what moves with a frozen session.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenResource {
    jid: FullJid,
    queue: Vec<Arrived>,
    presence: Option<Stanza>,
    priority: Option<i8>,
    directed: VecDeque<Jid>,
    marks: Vec<String>,
    blocked: Option<Arc<Blocklist>>,
    sm: Option<StreamManagement>,
    kept: Kept,
    diverted: Option<u64>,
}

impl Resource {
    /// Copies what a frozen session needs of its resource.
    pub fn freeze(&self) -> FrozenResource {
        let s = self.state.lock();
        let stanzas = s.queue.iter().filter_map(|q| match &q.item {
            Item::Stanza(stanza) => Some(Arrived { stanza: stanza.clone(), at: q.at }),
            Item::Notice(_) => None,
        });
        FrozenResource {
            jid: self.jid.clone(),
            queue: stanzas.collect(),
            presence: s.presence.clone(),
            priority: s.priority,
            directed: s.directed.clone(),
            marks: s.marks.iter().map(|m| (*m).to_owned()).collect(),
            blocked: s.blocked.clone(),
            sm: s.sm.clone(),
            kept: s.kept.clone(),
            diverted: s.diverted,
        }
    }

    /// A resource like the frozen one. `marks` are the names this build knows.
    pub fn thaw(
        frozen: FrozenResource,
        id: u64,
        limits: QueueLimits,
        clock: Arc<Clock>,
        marks: &[&'static str],
    ) -> Arc<Self> {
        let resource = Self::new(frozen.jid, id, limits, clock);
        let mut s = resource.state.lock();
        s.queued_bytes = frozen.queue.iter().map(|a| weight(&a.stanza)).sum();
        s.queue = frozen.queue.into_iter().map(Into::into).collect();
        s.presence = frozen.presence;
        s.priority = frozen.priority;
        s.directed = frozen.directed;
        s.marks = marks.iter().copied().filter(|m| frozen.marks.iter().any(|f| f == m)).collect();
        s.blocked = frozen.blocked;
        s.sm = frozen.sm;
        s.kept = frozen.kept;
        drop(s);
        if let Some(first) = frozen.diverted {
            resource.divert(KEEPER, first);
        }
        resource
    }
}
