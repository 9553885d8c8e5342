//! The resume windows of a session manager: which lost session ends when. Pure; one entry a session.

use crate::resource::Resource;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::time::Instant;

/// Lost sessions by the end of their windows: as many as a manager's users have.
#[derive(Debug, Default)]
pub(super) struct Windows {
    ends: HashMap<u64, Instant>,
    waiting: BTreeMap<(Instant, u64), Arc<Resource>>,
}

impl Windows {
    /// The session was lost; its window ends at `end`. Replaces a window it had before.
    pub(super) fn open(&mut self, resource: Arc<Resource>, end: Instant) {
        let id = resource.id();
        self.close(id);
        self.ends.insert(id, end);
        self.waiting.insert((end, id), resource);
    }

    /// The session was resumed, or has ended. When its window would have ended, if it had one.
    pub(super) fn close(&mut self, id: u64) -> Option<Instant> {
        let end = self.ends.remove(&id)?;
        self.waiting.remove(&(end, id));
        Some(end)
    }

    /// Whether the session was lost, and nobody has resumed or ended it.
    pub(super) fn has(&self, id: u64) -> bool {
        self.ends.contains_key(&id)
    }

    /// When the window of a session ends, if it has one.
    pub(super) fn end(&self, id: u64) -> Option<Instant> {
        self.ends.get(&id).copied()
    }

    /// When the next window ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(end, _)| *end)
    }

    /// Takes a session whose window is over by `now`.
    pub(super) fn over(&mut self, now: Instant) -> Option<Arc<Resource>> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        let resource = first.remove();
        self.ends.remove(&resource.id());
        Some(resource)
    }

    /// All sessions, each with the end of its window.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Resource, Instant)> {
        self.waiting.iter().map(|((end, _), resource)| (&**resource, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::QueueLimits;
    use std::time::Duration;

    #[test]
    fn a_session_has_one_window_the_last() {
        let resource = |id| {
            let jid = "juliet@localhost/balcony".parse().unwrap();
            Resource::new(jid, id, QueueLimits::default(), Arc::default())
        };
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut windows = Windows::default();
        windows.open(resource(1), at(10));
        windows.open(resource(2), at(20));
        windows.open(resource(3), at(30));
        // lost, resumed and lost again
        windows.open(resource(1), at(40));
        windows.close(3);
        assert_eq!(windows.next(), Some(at(20)));
        assert!(windows.over(at(19)).is_none());
        let over: Vec<u64> = std::iter::from_fn(|| windows.over(at(40))).map(|r| r.id()).collect();
        assert_eq!(over, [2, 1]);
        assert!(windows.ends.is_empty() && windows.next().is_none());
        windows.open(resource(4), at(50));
        let all: Vec<_> = windows.iter().map(|(r, end)| (r.id(), end)).collect();
        assert_eq!(all, [(4, at(50))]);
    }
}
