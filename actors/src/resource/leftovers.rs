//! What a session that ended leaves behind: kept here until it is on its way, oldest first, so that
//! nothing newer for the user can overtake it. Where it goes is decided in `sessions::end`.

use super::{Arrived, Resource};
use std::{collections::VecDeque, sync::Arc};
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

/// One of the things that are left.
#[derive(Clone, Debug)]
pub enum Left {
    /// A stanza that has to go on its way again.
    Stanza(Arrived),
    /// Messages that offline storage keeps under these numbers, and that came after those before.
    Kept(Vec<u64>),
}

/// All that is left of a session.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    one_at_a_time: Arc<Mutex<()>>,
    left: VecDeque<Left>,
}

impl Leaving {
    pub(super) fn push(&mut self, arrived: Arrived) {
        self.left.push_back(Left::Stanza(arrived));
    }

    /// Offline storage keeps the next one: its place has to change only if others go before it.
    pub(super) fn push_kept(&mut self, id: u64) {
        match self.left.back_mut() {
            Some(Left::Kept(ids)) => ids.push(id),
            Some(Left::Stanza(_)) => self.left.push_back(Left::Kept(vec![id])),
            None => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
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
        self.state.lock().leaving.as_ref().map(|l| Arc::clone(&l.one_at_a_time))
    }

    /// After which number offline storage keeps messages that were not sent and are newer than all
    /// that is left; `None` when there are none, or [`Resource::also_left`] has told of them.
    pub fn newer_after(&self) -> Option<u64> {
        let s = self.state.lock();
        s.leaving.as_ref()?;
        s.diverted.map(|first| first.saturating_sub(1).max(s.kept.after()))
    }

    /// Those are these, oldest first.
    pub fn also_left(&self, ids: impl IntoIterator<Item = u64>) {
        let mut s = self.state.lock();
        s.diverted = None;
        if let Some(leaving) = &mut s.leaving {
            ids.into_iter().for_each(|id| leaving.push_kept(id));
        }
    }

    /// The oldest of what is left. It stays until [`Resource::passed`]: rather twice than never,
    /// should the process that passes it on be killed.
    pub fn leftover(&self) -> Option<Left> {
        self.state.lock().leaving.as_ref()?.left.front().cloned()
    }

    /// The oldest of what is left is on its way.
    pub fn passed(&self) {
        let mut s = self.state.lock();
        let Some(leaving) = &mut s.leaving else { return };
        leaving.left.pop_front();
        if leaving.is_empty() {
            s.leaving = None;
        }
    }
}
