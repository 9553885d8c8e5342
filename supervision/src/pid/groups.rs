//! Groups (`pg`): who is in which, and who hears of joins and leaves, in their order.

use super::{Local, Pid, Signal, links};
use crate::system::Owned;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The most signals that wait for a process that gets another group's event: beyond it the process ends with `inbox overflow`, since
/// what it knows of the group would be wrong. Some 100 bytes each.
pub const GROUP_EVENTS: usize = 65_536;

/// What happened to a group.
///
/// Example: [`crate::Cx::monitor_group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// One is in it from now on.
    Join {
        /// The group.
        group: Arc<str>,
        /// Who.
        pid: Pid,
    },
    /// One is not in it any more: it has left, or ended.
    Leave {
        /// The group.
        group: Arc<str>,
        /// Who.
        pid: Pid,
    },
}

#[derive(Default)]
struct Group {
    members: HashSet<Local>,
    /// By the monitor.
    watchers: BTreeMap<u64, Local>,
}

impl Group {
    fn tell(&self, event: &GroupEvent) {
        for (monitor, watcher) in &self.watchers {
            watcher.group_event(Signal::Group { monitor: *monitor, event: event.clone() });
        }
    }
}

/// Those with members, or with somebody who wants to hear of some.
#[derive(Default)]
pub(crate) struct Groups(HashMap<Arc<str>, Group>);

impl Groups {
    pub(crate) fn join(&mut self, group: &str, pid: &Local) {
        if self.0.get(group).is_some_and(|known| known.members.contains(pid)) {
            return;
        }
        let group: Arc<str> = group.into();
        // with the lock held: its end cannot pass in between
        if pid.own(Owned::Group(Arc::clone(&group))) {
            let known = self.0.entry(Arc::clone(&group)).or_default();
            known.members.insert(pid.clone());
            known.tell(&GroupEvent::Join { group, pid: pid.into() });
        }
    }

    /// The group's name, if it was in it.
    pub(crate) fn leave(&mut self, group: &str, pid: &Local) -> Option<Arc<str>> {
        let name = self.0.get_key_value(group).map(|(name, _)| Arc::clone(name))?;
        let known = self.0.get_mut(group).filter(|known| known.members.contains(pid))?;
        known.members.remove(pid);
        known.tell(&GroupEvent::Leave { group: Arc::clone(&name), pid: pid.into() });
        self.forget(group);
        Some(name)
    }

    /// In the order of their starts: what is done for each is the same when a test is run again.
    pub(crate) fn members(&self, group: &str) -> Vec<Pid> {
        let members = self.0.get(group).into_iter().flat_map(|known| &known.members);
        let mut all: Vec<Pid> = members.map(Pid::from).collect();
        all.sort_by_key(Pid::id);
        all
    }

    pub(crate) fn watch(&mut self, group: &str, watcher: &Local) -> u64 {
        let (group, monitor): (Arc<str>, u64) = (group.into(), links::next_monitor());
        if watcher.own(Owned::GroupMonitor(Arc::clone(&group), monitor)) {
            self.0.entry(group).or_default().watchers.insert(monitor, watcher.clone());
        }
        monitor
    }

    pub(crate) fn unwatch(&mut self, group: &str, monitor: u64) {
        if let Some(known) = self.0.get_mut(group) {
            known.watchers.remove(&monitor);
        }
        self.forget(group);
    }

    fn forget(&mut self, group: &str) {
        if self.0.get(group).is_some_and(|g| g.members.is_empty() && g.watchers.is_empty()) {
            self.0.remove(group);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
