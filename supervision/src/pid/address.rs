//! What can be done with any address, wherever the process is, and what becomes of it where there is no connection; which are equal.

use super::{Local, Monitor, Named, Pid, Signal, Whose, links};
use crate::{
    exit::Exit,
    id::{Id, Node},
    system::{self, System},
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

impl Pid {
    /// Of a process of which nothing is kept here.
    pub(crate) fn away(id: Id) -> Self {
        Self(Whose::Away(id))
    }

    /// Of who has that name, or of nobody.
    pub(crate) fn named(system: &System, name: &str, local: Option<Local>) -> Self {
        let id = local.as_ref().map_or_else(|| system.id(0), Local::id);
        Self(Whose::Named(Arc::new(Named { name: name.into(), id, local })))
    }

    /// By which name of which node it was monitored, if it was by its name ([`System::monitor_name`]): what OTP has in a `DOWN` instead
    /// of the pid.
    pub fn name(&self) -> Option<(&str, Node)> {
        match &self.0 {
            Whose::Named(named) => Some((&named.name, named.id.node)),
            Whose::Local(_) | Whose::Away(_) => None,
        }
    }

    /// What it is called everywhere; of a name that nobody has, the number 0 of the system.
    pub fn id(&self) -> Id {
        match &self.0 {
            Whose::Local(local) => local.id(),
            Whose::Away(id) => *id,
            Whose::Named(named) => named.id,
        }
    }

    /// The process, if it is one of a system in this program, alive or kept by somebody: what is only known here.
    pub fn local(&self) -> Option<&Local> {
        match &self.0 {
            Whose::Local(local) => Some(local),
            Whose::Away(_) => None,
            Whose::Named(named) => named.local.as_ref(),
        }
    }

    /// Why nothing can be had of one that is not here: of this node it has ended, whichever start of the node it was (as in OTP).
    pub(crate) fn why_away(&self) -> Exit {
        if system::has_node(self.id().node) { Exit::NoProc } else { Exit::NoConnection }
    }

    /// [`Local::exit`]; to another node it is lost.
    pub fn exit(&self, reason: Exit) {
        if let Some(local) = self.local() {
            local.exit(reason);
        }
    }

    /// [`Local::kill`]; to another node it is lost.
    pub fn kill(&self) {
        if let Some(local) = self.local() {
            local.kill();
        }
    }

    /// [`Local::link`], the other way round.
    pub fn link(&self, other: &Local) {
        other.link(self);
    }

    /// Removes a link (`unlink/1`).
    pub fn unlink(&self, other: &Local) {
        other.unlink(self);
    }

    /// [`Local::monitor`]; of one that is not here `watcher` gets its [`crate::Event::Down`] at once.
    pub fn monitor(&self, watcher: &Local) -> Monitor {
        match self.local() {
            Some(local) => local.monitor(watcher),
            None => {
                let monitor = links::next_monitor();
                let (pid, reason) = (self.clone(), self.why_away());
                watcher.signal(Signal::Down { monitor, pid, reason });
                Monitor(monitor)
            }
        }
    }

    /// Ends a monitor (`demonitor/1`).
    pub fn demonitor(&self, monitor: Monitor) {
        if let Some(local) = self.local() {
            local.demonitor(monitor);
        }
    }
}

impl From<Local> for Pid {
    fn from(local: Local) -> Self {
        Self(Whose::Local(local))
    }
}

impl From<&Local> for Pid {
    fn from(local: &Local) -> Self {
        local.clone().into()
    }
}

impl From<&Self> for Pid {
    fn from(pid: &Self) -> Self {
        pid.clone()
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Whose::Local(one), Whose::Local(other)) => one == other,
            _ => self.id() == other.id(),
        }
    }
}

impl Eq for Pid {}

impl PartialEq<Local> for Pid {
    fn eq(&self, other: &Local) -> bool {
        self.local().map_or_else(|| self.id() == other.id(), |local| local == other)
    }
}

impl PartialEq<Pid> for Local {
    fn eq(&self, other: &Pid) -> bool {
        other == self
    }
}

impl Hash for Pid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Whose::Local(local) => local.fmt(f),
            Whose::Away(id) => id.fmt(f),
            Whose::Named(named) => write!(f, "{{{}, {}}}", named.name, named.id.node),
        }
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Local {}

impl Hash for Local {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {}>", self.0.id, self.path())
    }
}
