//! The processes of a system: they come and go, are counted, and are found by their addresses and paths.

use super::{Change, Owned, SHARDS, System};
use crate::{
    exit::Exit,
    id::{ById, Id},
    pid::{Local, Pid},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

impl System {
    /// The address of what is called so: a process of this system, or of another of this node in the program, which may have ended; or
    /// one of another node.
    pub fn pid(&self, id: Id) -> Pid {
        let here = |system: &Self| {
            let shard = system.shard(id.number)?;
            shard.lock().get(&id.number).map(Pid::from)
        };
        let found = if id.node != self.node() {
            None
        } else if id.creation == self.creation() {
            here(self)
        } else {
            Self::of_creation(id.creation).and_then(|other| here(&other))
        };
        found.unwrap_or_else(|| Pid::away(self, id))
    }

    /// The live process of this system that has that number.
    pub(crate) fn process(&self, number: u64) -> Option<Local> {
        self.shard(number)?.lock().get(&number).cloned()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// That of the process that starts next, or of one after it.
    pub(crate) fn next_number(&self) -> u64 {
        self.0.next.load(Ordering::Relaxed)
    }

    fn shard(&self, id: u64) -> Option<&Mutex<ById<u64, Local>>> {
        self.0.processes.get(usize::try_from(id % SHARDS).unwrap_or_default())
    }

    pub(crate) fn enter(&self, pid: &Local) {
        self.0.alive.fetch_add(1, Ordering::AcqRel);
        let number = pid.id().number;
        if let Some(shard) = self.shard(number) {
            shard.lock().insert(number, pid.clone());
        }
        if let Some(path) = pid.given_path() {
            self.0.paths.lock().insert(Arc::clone(path), pid.clone());
        }
        self.tell(pid, &Change::Started(pid));
    }

    fn tell(&self, pid: &Local, change: &Change<'_>) {
        let Some(observer) = self.0.observer.get() else { return };
        if self.0.blind.load(Ordering::Relaxed) {
            return;
        }
        if let Err(panic) = pid.catch(|| observer(change))
            && !self.0.blind.swap(true, Ordering::Relaxed)
        {
            pid.report_beside(panic, Some("the observer of the system: it is not told any more"));
        }
    }

    pub(crate) fn leave(&self, pid: &Local, exit: &Exit, owned: Option<BTreeSet<Owned>>) {
        let number = pid.id().number;
        if let Some(shard) = self.shard(number) {
            shard.lock().remove(&number);
        }
        if let Some(path) = pid.given_path() {
            let mut paths = self.0.paths.lock();
            if paths.get(path) == Some(pid) {
                paths.remove(path);
            }
        }
        if let Some(owned) = owned {
            self.clear_up(pid, exit, owned);
        }
        self.0.alive.fetch_sub(1, Ordering::AcqRel);
        self.tell(pid, &Change::Ended(pid, exit));
    }

    fn clear_up(&self, pid: &Local, exit: &Exit, owned: BTreeSet<Owned>) {
        for owned in owned {
            match owned {
                Owned::Name(name) => {
                    let mut names = self.0.names.lock();
                    if names.get(&name) == Some(pid) {
                        names.remove(&name);
                    }
                }
                Owned::Group(group) => drop(self.0.groups.lock().leave(&group, pid)),
                Owned::GroupMonitor(group, monitor) => {
                    self.0.groups.lock().unwatch(&group, monitor);
                }
                Owned::NodeMonitor(monitor) => {
                    if let Some(distribution) = self.distribution() {
                        distribution.unwatch_nodes(monitor);
                    }
                }
                Owned::Pool => drop(self.0.pools.lock().remove(pid)),
                Owned::Far(node) => {
                    if let Some(distribution) = self.distribution() {
                        distribution.ended(pid, node, exit);
                    }
                }
            }
        }
    }

    /// How many processes are alive.
    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::Acquire)
    }

    /// Every live process, in no order.
    pub fn pids(&self) -> Vec<Local> {
        self.0
            .processes
            .iter()
            .flat_map(|s| s.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// The live process at that path; the last started, should there be several.
    pub fn find(&self, path: &str) -> Option<Local> {
        let (mut above, mut below) = (path, Vec::new());
        let mut found = loop {
            if let Some(pid) = self.0.paths.lock().get(above) {
                break pid.clone();
            }
            let (name, number) = above.rsplit_once('#')?;
            let (parent, template) = name.rsplit_once('/')?;
            below.push((template, number.parse().ok()?));
            above = if parent.is_empty() { "/" } else { parent };
        };
        while let Some((template, number)) = below.pop() {
            found = found.child(template, number)?;
        }
        Some(found)
    }
}
