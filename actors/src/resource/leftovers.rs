//! What a session that ended leaves behind: kept here until it is on its way, oldest first, so that
//! nothing newer for the user can overtake it. Where it goes is decided in `routing::end`.

use super::{Arrived, Item, Owner, Queued, Resource, weight};
use std::sync::Arc;
use tokio::sync::Mutex;

/// How a resource stands to messages for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes those that fit this priority.
    Available(i8),
    /// It takes none.
    Away,
    /// It has ended, and what it leaves behind has to go first.
    Leaving,
}

impl Resource {
    /// How the resource stands to messages for its user.
    pub fn standing(&self) -> Standing {
        let s = self.state.lock();
        match s.priority {
            _ if s.leaving.is_some() => Standing::Leaving,
            Some(priority) if priority >= 0 => Standing::Available(priority),
            _ => Standing::Away,
        }
    }

    /// Held by whoever passes on what is left; `None` when nothing is.
    pub fn leaving(&self) -> Option<Arc<Mutex<()>>> {
        self.state.lock().leaving.clone()
    }

    /// The oldest of what is left. It stays until [`Resource::passed`]: rather twice than never,
    /// should the process that passes it on be killed.
    pub fn leftover(&self) -> Option<Arrived> {
        let s = self.state.lock();
        match s.queue.front()? {
            Queued { item: Item::Stanza(stanza), at, .. } if s.owner == Owner::Ended => {
                Some(Arrived { stanza: stanza.clone(), at: *at })
            }
            _ => None,
        }
    }

    /// The oldest of what is left is on its way.
    pub fn passed(&self) {
        let mut s = self.state.lock();
        if s.owner != Owner::Ended {
            return;
        }
        if let Some(Queued { item: Item::Stanza(stanza), .. }) = s.queue.pop_front() {
            s.queued_bytes = s.queued_bytes.saturating_sub(weight(&stanza));
        }
        if s.queue.is_empty() {
            s.leaving = None;
        }
    }
}
