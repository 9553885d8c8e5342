//! Processes of other nodes, as this one sees them: what is done with their addresses goes to what carries it there, and without a
//! connection comes back.

use super::{Local, Monitor, Pid, Signal, Whose};
use crate::{
    exit::Exit,
    id::{Id, Node},
    system::System,
};
use std::{any::Any, sync::Arc};

/// What happened to a node.
///
/// Example: [`crate::Cx::monitor_nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// There is a connection to it; nothing of it has come yet (`nodeup`).
    Up {
        /// Which.
        node: Node,
    },
    /// The connection is lost; all that came of it has been handed on (`nodedown`).
    Down {
        /// Which.
        node: Node,
        /// Why, as its transport said.
        reason: Arc<str>,
    },
}

/// What carries signals to other nodes ([`crate::dist`]). Nothing in it waits.
pub(crate) trait Distribution: Any + Send + Sync {
    /// Why nothing can be had of a process of another node.
    fn why(&self, far: Id) -> Exit;
    fn link(&self, local: &Local, far: &Pid);
    fn unlink(&self, local: &Local, far: Id);
    /// What it is linked to elsewhere.
    fn linked(&self, local: &Local) -> Vec<Pid>;
    /// How many processes of others watch it.
    fn watchers(&self, local: &Local) -> usize;
    /// The watcher knows of the monitor.
    fn monitor(&self, monitor: u64, far: &Pid, watcher: &Local);
    fn demonitor(&self, monitor: u64, node: Node);
    fn exit(&self, far: Id, reason: &Exit);
    fn kill(&self, far: Id);
    /// A process ends that is [`crate::system::Owned::Far`].
    fn ended(&self, local: &Local, node: Node, exit: &Exit);
    /// A process of this node is in a group from now on, or not any more. With the lock on the groups.
    fn announce(&self, group: &str, local: &Local, joins: bool);
    fn unwatch_nodes(&self, monitor: u64);
}

/// To another node than this one.
fn distribution(from: Option<&System>, to: Id) -> Option<&dyn Distribution> {
    from.filter(|system| system.node() != to.node)?.distribution()
}

impl Pid {
    /// The system from which it is reached.
    pub(super) fn reached_from(&self) -> Option<System> {
        match &self.0 {
            Whose::Local(local) => Some(local.system().clone()),
            Whose::Away { from, .. } => System::of_creation(*from),
            Whose::Named(named) => System::of_creation(named.from),
        }
    }

    /// Why nothing can be had of one that is not here: of this node it has ended, whichever start of the node it was (as in OTP).
    pub(crate) fn why_away(&self) -> Exit {
        self.why_from(self.reached_from().as_ref())
    }

    fn why_from(&self, from: Option<&System>) -> Exit {
        let id = self.id();
        match distribution(from, id) {
            Some(distribution) => distribution.why(id),
            None if from.is_some_and(|system| system.node() == id.node) => Exit::NoProc,
            None => Exit::NoConnection,
        }
    }

    pub(super) fn link_away(&self, local: &Local) {
        let system = local.system();
        match distribution(Some(system), self.id()) {
            Some(distribution) => distribution.link(local, self),
            None => local.exit_from(self, self.why_from(Some(system))),
        }
    }

    pub(super) fn unlink_away(&self, local: &Local) {
        if let Some(distribution) = distribution(Some(local.system()), self.id()) {
            distribution.unlink(local, self.id());
        }
    }

    pub(super) fn monitor_away(&self, monitor: u64, watcher: &Local) {
        let system = watcher.system();
        let Some(distribution) = distribution(Some(system), self.id()) else {
            let (pid, reason) = (self.clone(), self.why_from(Some(system)));
            watcher.signal(Signal::Down { monitor, pid, reason });
            return;
        };
        if watcher.watch_of(monitor, self.clone()) {
            distribution.monitor(monitor, self, watcher);
            // its end may have passed in between
            if !watcher.is_alive() {
                distribution.demonitor(monitor, self.id().node);
            }
        }
    }

    pub(super) fn demonitor_away(&self, from: Option<&System>, monitor: Monitor) {
        if let Some(distribution) = distribution(from, self.id()) {
            distribution.demonitor(monitor.0, self.id().node);
        }
    }

    pub(super) fn exit_away(&self, reason: &Exit) {
        if let Some(distribution) = distribution(self.reached_from().as_ref(), self.id()) {
            distribution.exit(self.id(), reason);
        }
    }

    pub(super) fn kill_away(&self) {
        if let Some(distribution) = distribution(self.reached_from().as_ref(), self.id()) {
            distribution.kill(self.id());
        }
    }
}

impl Local {
    /// A monitor of its own ends.
    pub(super) fn watches_no_more(&self, whom: &Pid, monitor: Monitor) {
        match whom.local() {
            Some(local) => local.demonitor(monitor),
            None => whom.demonitor_away(Some(self.system()), monitor),
        }
    }

    /// Other nodes hear that it is in a group from now on, or not any more.
    pub(super) fn announce(&self, group: &str, joins: bool) {
        if let Some(distribution) = self.system().distribution() {
            distribution.announce(group, self, joins);
        }
    }

    /// A node's event, if there is room for it.
    pub(crate) fn node_event(&self, monitor: u64, event: NodeEvent) {
        self.group_event(Signal::Node { monitor, event });
    }
}
