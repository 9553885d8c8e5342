//! What can be done with any address, wherever the process is, and what becomes of it where there is no connection; which are equal.

use super::{Local, Monitor, Named, Pid, Whose, links};
use crate::{
    exit::Exit,
    id::{Id, Node},
    system::System,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

impl Pid {
    /// Of a process of which nothing is kept here, to be reached from that system.
    pub(crate) fn away(from: &System, id: Id) -> Self {
        Self(Whose::Away { from: from.creation(), id })
    }

    /// Of who has that name on another node.
    pub(crate) fn named_away(from: &System, name: &str, node: Node) -> Self {
        let id = Id { node, creation: 0, number: 0 };
        let (name, from) = (name.into(), from.creation());
        Self(Whose::Named(Arc::new(Named { name, id, local: None, from })))
    }

    /// Of who has that name, or of nobody.
    pub(crate) fn named(system: &System, name: &str, local: Option<Local>) -> Self {
        let id = local.as_ref().map_or_else(|| system.id(0), Local::id);
        let (name, from) = (name.into(), system.creation());
        Self(Whose::Named(Arc::new(Named { name, id, local, from })))
    }

    /// By which name of which node it was monitored, if it was by its name ([`System::monitor_name`]): what OTP has in a `DOWN` instead
    /// of the pid.
    pub fn name(&self) -> Option<(&str, Node)> {
        match &self.0 {
            Whose::Named(named) => Some((&named.name, named.id.node)),
            Whose::Local(_) | Whose::Away { .. } => None,
        }
    }

    /// What it is called everywhere; of a name that nobody has, or of another node, the number 0.
    pub fn id(&self) -> Id {
        match &self.0 {
            Whose::Local(local) => local.id(),
            Whose::Away { id, .. } => *id,
            Whose::Named(named) => named.id,
        }
    }

    /// The process, if it is one of a system in this program, alive or kept by somebody: what is only known here.
    pub fn local(&self) -> Option<&Local> {
        match &self.0 {
            Whose::Local(local) => Some(local),
            Whose::Away { .. } => None,
            Whose::Named(named) => named.local.as_ref(),
        }
    }

    /// [`Local::exit`]; without a connection to its node it is lost.
    pub fn exit(&self, reason: Exit) {
        match self.local() {
            Some(local) => local.exit(reason),
            None => self.exit_away(&reason),
        }
    }

    /// [`Local::kill`]; without a connection to its node it is lost.
    pub fn kill(&self) {
        match self.local() {
            Some(local) => local.kill(),
            None => self.kill_away(),
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

    /// [`Local::monitor`]; of one that has ended, or to whose node there is no connection, `watcher` gets its [`crate::Event::Down`] at
    /// once.
    pub fn monitor(&self, watcher: &Local) -> Monitor {
        match self.local() {
            Some(local) => local.monitor(watcher),
            None => {
                let monitor = links::next_monitor();
                self.monitor_away(monitor, watcher);
                Monitor(monitor)
            }
        }
    }

    /// Ends a monitor (`demonitor/1`).
    pub fn demonitor(&self, monitor: Monitor) {
        match self.local() {
            Some(local) => local.demonitor(monitor),
            None => self.demonitor_away(self.reached_from().as_ref(), monitor),
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
            // nobody knows here who has a name on another node
            (Whose::Named(one), Whose::Named(other)) if one.id.number == 0 => {
                one.id == other.id && one.name == other.name
            }
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
            Whose::Away { id, .. } => id.fmt(f),
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
