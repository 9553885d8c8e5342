//! Names and groups: `register/2`, `whereis/1`, `pg`. What a process has of them goes with its end, which is the system's.

use crate::{
    inbox::Ref,
    pid::{Local, Monitor, Pid},
    system::{Erased, Owned, System},
};
use std::sync::Arc;
use thiserror::Error;

/// Why a process did not get a name. With `?` in an `init` it is a start that failed: [`crate::StartError::AlreadyStarted`].
///
/// Example: [`System`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RegisterError {
    /// A live one has it, itself perhaps.
    #[error("the name {name} is taken by {pid:?}")]
    Taken {
        /// The name.
        name: Arc<str>,
        /// Who has it.
        pid: Local,
    },
    /// The process has ended.
    #[error("the process has ended")]
    Gone,
    /// The process is of another system, whose names it may have.
    #[error("the process is of another system")]
    Elsewhere,
}

impl System {
    /// Names a process of this system; the name is free again when it ends.
    ///
    /// # Errors
    /// When another has the name, or the process has ended, or is of another system.
    pub fn register<M: Send + 'static>(
        &self,
        name: &str,
        process: &Ref<M>,
    ) -> Result<(), RegisterError> {
        if !self.is_of(&process.pid) {
            return Err(RegisterError::Elsewhere);
        }
        let mut names = self.0.names.lock();
        let holder = names.get(name).filter(|pid| pid.is_alive()).cloned();
        let name: Arc<str> = name.into();
        if let Some(pid) = holder {
            return Err(RegisterError::Taken { name, pid });
        }
        // with the lock held: its end cannot pass in between
        if !process.pid.own(Owned::Name(Arc::clone(&name))) {
            return Err(RegisterError::Gone);
        }
        names.insert(name, process.pid.clone());
        Ok(())
    }

    /// Frees a name before its process has ended.
    pub fn unregister(&self, name: &str) -> bool {
        let mut names = self.0.names.lock();
        let Some((name, pid)) = names.remove_entry(name) else { return false };
        // with the lock held, as when it got it
        pid.disown(&Owned::Name(name));
        true
    }

    /// The process of that name.
    pub fn whereis(&self, name: &str) -> Option<Local> {
        self.0.names.lock().get(name).filter(|pid| pid.is_alive()).cloned()
    }

    /// The process of that name, if its messages are `M`; to know which of the two it is not, ask [`System::named`].
    pub fn lookup<M: Send + 'static>(&self, name: &str) -> Option<Ref<M>> {
        Ref::of(self.whereis(name)?).ok()
    }

    /// `watcher` gets a [`crate::Event::Down`] when who has that name now ends, whoever has it then; at once with [`Exit::NoProc`] when
    /// nobody has (`monitor(process, Name)`). Its address says the name: [`Pid::name`].
    pub fn monitor_name(&self, name: &str, watcher: &Local) -> Monitor {
        let holder = self.whereis(name);
        let address = Pid::named(self, name, holder.clone());
        match holder {
            Some(holder) => holder.monitor_as(address, watcher),
            None => address.monitor(watcher),
        }
    }

    /// Its end would be another's to clear up.
    fn is_of(&self, pid: &Local) -> bool {
        Arc::ptr_eq(&self.0, &pid.system().0)
    }

    /// Adds a process of this system to a group (`pg`); it leaves with its end. Of another one it is for that one's groups. Nodes to which
    /// there is a connection hear of it.
    pub fn join(&self, group: &str, pid: &Local) {
        if !self.is_of(pid) {
            return;
        }
        self.0.groups.lock().join(group, pid);
    }

    /// Takes a process out of a group before its end.
    pub fn leave_group(&self, group: &str, pid: &Local) {
        let mut groups = self.0.groups.lock();
        if let Some(group) = groups.leave(group, pid) {
            pid.disown(&Owned::Group(group));
        }
    }

    /// The members of a group, of all nodes to which there is a connection; those of a node in the order of their starts.
    pub fn group(&self, group: &str) -> Vec<Pid> {
        self.0.groups.lock().members(group)
    }

    /// How many groups there are: those with a member, or with a monitor.
    pub fn groups(&self) -> usize {
        self.0.groups.lock().len()
    }

    /// What a process is told of from now on, and who is in the group at that moment.
    pub(crate) fn watch_group(&self, group: &str, watcher: &Local) -> (u64, Vec<Pid>) {
        let mut groups = self.0.groups.lock();
        (groups.watch(group, watcher), groups.members(group))
    }

    pub(crate) fn unwatch_group(&self, group: Arc<str>, monitor: u64, watcher: &Local) {
        self.0.groups.lock().unwatch(&group, monitor);
        watcher.disown(&Owned::GroupMonitor(group, monitor));
    }

    /// The live members of a group on this node whose messages are `M`, in the order of their starts. Of all nodes: [`System::far_members`].
    pub fn members<M: Send + 'static>(&self, group: &str) -> Vec<Ref<M>> {
        self.group(group).into_iter().filter_map(|pid| Ref::of(pid).ok()).collect()
    }

    pub(crate) fn enter_pool(&self, pid: &Local, shared: Erased) {
        let mut pools = self.0.pools.lock();
        if pid.own(Owned::Pool) {
            pools.insert(pid.clone(), shared);
        }
    }

    pub(crate) fn pool(&self, pid: &Local) -> Option<Erased> {
        self.0.pools.lock().get(pid).cloned()
    }
}
