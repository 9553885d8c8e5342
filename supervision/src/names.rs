//! Names and groups: `register/2`, `whereis/1`, `pg`. What a process has of them goes with its end, which is the system's.

use crate::{
    inbox::Ref,
    pid::Pid,
    system::{Erased, Owned, System, take_out},
};
use std::sync::Arc;

/// An address, whatever its messages are.
struct Erasable<M>(Ref<M>);

impl System {
    /// Names a process. `false` when the name is taken by a live one, or the process has ended.
    pub fn register<M: Send + 'static>(&self, name: &str, process: &Ref<M>) -> bool {
        let mut names = self.0.names.lock();
        if names.get(name).is_some_and(|(p, _)| p.is_alive()) {
            return false;
        }
        let name: Arc<str> = name.into();
        // with the lock held: its end cannot pass in between
        if !process.pid.own(Owned::Name(Arc::clone(&name))) {
            return false;
        }
        let erased: Erased = Arc::new(Erasable(process.clone()));
        names.insert(name, (process.pid.clone(), erased));
        true
    }

    /// Frees a name before its process has ended.
    pub fn unregister(&self, name: &str) -> bool {
        let mut names = self.0.names.lock();
        let Some((name, (pid, _))) = names.remove_entry(name) else { return false };
        // with the lock held, as when it got it
        pid.disown(&Owned::Name(name));
        true
    }

    /// The process of that name.
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.0.names.lock().get(name).map(|(p, _)| p.clone()).filter(Pid::is_alive)
    }

    /// The process of that name, if its messages are `M`.
    pub fn lookup<M: Send + 'static>(&self, name: &str) -> Option<Ref<M>> {
        let erased = Arc::clone(&self.0.names.lock().get(name)?.1);
        erased.downcast::<Erasable<M>>().ok().map(|e| e.0.clone())
    }

    /// Adds a process to a group (`pg`); it leaves with its end.
    pub fn join(&self, group: &str, pid: &Pid) {
        let group: Arc<str> = group.into();
        let mut groups = self.0.groups.lock();
        if groups.get(&group).is_some_and(|members| members.contains(pid)) {
            return;
        }
        if pid.own(Owned::Group(Arc::clone(&group))) {
            groups.entry(group).or_default().insert(pid.clone());
        }
    }

    /// Takes a process out of a group before its end.
    pub fn leave_group(&self, group: &str, pid: &Pid) {
        let mut groups = self.0.groups.lock();
        if let Some(group) = take_out(&mut groups, group, pid) {
            pid.disown(&Owned::Group(group));
        }
    }

    /// The members of a group.
    pub fn members(&self, group: &str) -> Vec<Pid> {
        self.0.groups.lock().get(group).map(|g| g.iter().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn enter_pool(&self, pid: &Pid, shared: Erased) {
        let mut pools = self.0.pools.lock();
        if pid.own(Owned::Pool) {
            pools.insert(pid.clone(), shared);
        }
    }

    pub(crate) fn pool(&self, pid: &Pid) -> Option<Erased> {
        self.0.pools.lock().get(pid).cloned()
    }
}
