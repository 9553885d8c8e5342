//! Groups (`pg`): who is in which, and who hears of joins and leaves, in their order.

use super::{Local, Pid, Signal, links};
use crate::{
    id::{Id, Node},
    system::Owned,
};
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
    /// Of other nodes.
    far: BTreeMap<Id, Pid>,
    /// By the monitor.
    watchers: BTreeMap<u64, Local>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.far.is_empty() && self.watchers.is_empty()
    }

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
            known.tell(&GroupEvent::Join { group: Arc::clone(&group), pid: pid.into() });
            pid.announce(&group, true);
        }
    }

    /// The group's name, if it was in it.
    pub(crate) fn leave(&mut self, group: &str, pid: &Local) -> Option<Arc<str>> {
        let name = self.0.get_key_value(group).map(|(name, _)| Arc::clone(name))?;
        let known = self.0.get_mut(group).filter(|known| known.members.contains(pid))?;
        known.members.remove(pid);
        known.tell(&GroupEvent::Leave { group: Arc::clone(&name), pid: pid.into() });
        pid.announce(&name, false);
        self.forget(group);
        Some(name)
    }

    /// One of another node has joined.
    pub(crate) fn join_far(&mut self, group: &str, pid: &Pid) {
        let group = match self.0.get_key_value(group) {
            Some((group, _)) => Arc::clone(group),
            None => group.into(),
        };
        let known = self.0.entry(Arc::clone(&group)).or_default();
        if known.far.insert(pid.id(), pid.clone()).is_none() {
            known.tell(&GroupEvent::Join { group, pid: pid.clone() });
        }
    }

    /// One of another node has left.
    pub(crate) fn leave_far(&mut self, group: &str, id: Id) {
        let Some(name) = self.0.get_key_value(group).map(|(name, _)| Arc::clone(name)) else {
            return;
        };
        let Some(known) = self.0.get_mut(group) else { return };
        if let Some(pid) = known.far.remove(&id) {
            known.tell(&GroupEvent::Leave { group: name, pid });
            self.forget(group);
        }
    }

    /// That node is gone, and with it its members of all groups.
    pub(crate) fn leave_all(&mut self, node: Node) {
        self.0.retain(|name, group| {
            let gone = group.far.extract_if(.., |id, _| id.node == node).map(|(_, pid)| pid);
            for pid in gone.collect::<Vec<_>>() {
                group.tell(&GroupEvent::Leave { group: Arc::clone(name), pid });
            }
            !group.is_empty()
        });
    }

    /// Who of this system is in which.
    pub(crate) fn of_this_node(&self) -> impl Iterator<Item = (&str, &Local)> {
        self.0.iter().flat_map(|(name, group)| group.members.iter().map(|pid| (&**name, pid)))
    }

    /// In the order of their starts: what is done for each is the same when a test is run again.
    pub(crate) fn members(&self, group: &str) -> Vec<Pid> {
        let Some(known) = self.0.get(group) else { return Vec::new() };
        let far = known.far.values().cloned();
        let mut all: Vec<Pid> = known.members.iter().map(Pid::from).chain(far).collect();
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
        if self.0.get(group).is_some_and(Group::is_empty) {
            self.0.remove(group);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
