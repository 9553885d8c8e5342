//! Monitors of a process's own: of processes, names and groups.

use super::Cx;
use crate::{
    id::Node,
    pid::{GroupEvent, Monitor, NodeEvent, Pid},
};
use std::{collections::BTreeMap, sync::Arc};

/// Which group, and what makes a message of its event.
type Told<M> = (Arc<str>, Box<dyn FnMut(GroupEvent) -> M + Send>);
pub(super) type Groups<M> = BTreeMap<u64, Told<M>>;
pub(super) type Nodes<M> = BTreeMap<u64, Box<dyn FnMut(NodeEvent) -> M + Send>>;

impl<M: Send + 'static> Cx<M> {
    /// Gets an [`crate::Event::Down`] when `pid` ends (`monitor/2`).
    pub fn monitor(&self, pid: impl Into<Pid>) -> Monitor {
        pid.into().monitor(self.pid())
    }

    /// [`crate::System::monitor_name`] for itself.
    ///
    /// ```
    /// use supervision::{Cx, Event, Monitor, Next};
    ///
    /// struct Front { database: Monitor }
    ///
    /// /// As a server's `init` might.
    /// async fn init(cx: &mut Cx<()>) -> Front {
    ///     Front { database: cx.monitor_name("database") }
    /// }
    ///
    /// /// As its `event` might.
    /// async fn event(front: &mut Front, event: Event<()>, cx: &mut Cx<()>) -> Next {
    ///     if let Event::Down { monitor, pid, .. } = event
    ///         && monitor == front.database
    ///     {
    ///         assert_eq!(pid.name(), Some(("database", cx.system().node())));
    ///     }
    ///     cx.demonitor_flush(front.database);              // had it waited yet, it would not come any more
    ///     Next::Continue
    /// }
    /// ```
    pub fn monitor_name(&self, name: &str) -> Monitor {
        self.system().monitor_name(name, self.pid())
    }

    /// Takes back a monitor of its own (`demonitor/1`): no [`crate::Event::Down`] of it is sent from now on. `false`: there is none
    /// any more, and its `Down` may wait already (OTP's option `info`).
    pub fn demonitor(&self, monitor: Monitor) -> bool {
        self.pid().take_back(monitor, false)
    }

    /// [`Cx::demonitor`]; one that waits is thrown away: none comes any more (`demonitor(Ref, [flush, info])`). Looks through the signals
    /// that wait.
    pub fn demonitor_flush(&self, monitor: Monitor) -> bool {
        self.pid().take_back(monitor, true)
    }

    /// Who is in a group, and from then on a message of its own for each join and each leave, in their order among its messages, which
    /// `make` makes when it takes it (`pg:monitor/1`). They are signals: no inbox refuses them, and beyond [`crate::pid::GROUP_EVENTS`]
    /// that wait it ends. A panic in `make` is reported, and ends the monitor.
    ///
    /// ```
    /// use supervision::{Cx, GroupEvent, Monitor, Pid};
    /// enum Msg { Rooms(GroupEvent) }
    /// struct Lobby { rooms: Vec<Pid>, monitor: Monitor }
    ///
    /// /// As a server's `init` might.
    /// async fn init(cx: &mut Cx<Msg>) -> Lobby {
    ///     let (monitor, rooms) = cx.monitor_group("rooms", Msg::Rooms);
    ///     Lobby { rooms, monitor }
    /// }
    ///
    /// /// As its `handle` might.
    /// async fn handle(lobby: &mut Lobby, msg: Msg, cx: &mut Cx<Msg>) {
    ///     match msg {
    ///         Msg::Rooms(GroupEvent::Join { pid, .. }) => lobby.rooms.push(pid),
    ///         Msg::Rooms(GroupEvent::Leave { pid, .. }) => lobby.rooms.retain(|room| *room != pid),
    ///     }
    ///     if lobby.rooms.len() > 1_000 {
    ///         cx.demonitor_group(lobby.monitor);
    ///     }
    /// }
    /// ```
    pub fn monitor_group(
        &mut self,
        group: &str,
        make: impl FnMut(GroupEvent) -> M + Send + 'static,
    ) -> (Monitor, Vec<Pid>) {
        let (monitor, members) = self.system().watch_group(group, self.pid());
        self.own().groups.insert(monitor, (group.into(), Box::new(make)));
        (Monitor(monitor), members)
    }

    /// Takes back a monitor of a group; what waits of it does not come (`pg:demonitor/1`). `false`: there is none.
    pub fn demonitor_group(&mut self, monitor: Monitor) -> bool {
        let told = self.own.as_mut().and_then(|own| own.get_mut().groups.remove(&monitor.0));
        let Some((group, _)) = told else { return false };
        self.system().unwatch_group(group, monitor.0, self.pid());
        self.pid().take_back(monitor, true);
        true
    }

    /// To which nodes there is a connection, and from then on a message of its own for each that comes or goes, which `make` makes when it takes
    /// it (`net_kernel:monitor_nodes/1`). A node comes before anything of it, and goes after all of it. As with groups they are signals, and a
    /// panic in `make` ends the monitor.
    ///
    /// ```
    /// use supervision::{Cx, Node, NodeEvent, Monitor};
    /// enum Msg { Nodes(NodeEvent) }
    /// struct Balancer { nodes: Vec<Node>, monitor: Monitor }
    ///
    /// /// As a server's `init` might.
    /// async fn init(cx: &mut Cx<Msg>) -> Balancer {
    ///     let (monitor, nodes) = cx.monitor_nodes(Msg::Nodes);
    ///     Balancer { nodes, monitor }
    /// }
    ///
    /// /// As its `handle` might.
    /// async fn handle(balancer: &mut Balancer, msg: Msg, cx: &mut Cx<Msg>) {
    ///     match msg {
    ///         Msg::Nodes(NodeEvent::Up { node }) => balancer.nodes.push(node),
    ///         Msg::Nodes(NodeEvent::Down { node, .. }) => balancer.nodes.retain(|one| *one != node),
    ///     }
    ///     if balancer.nodes.len() > 1_000 {
    ///         cx.demonitor_nodes(balancer.monitor);
    ///     }
    /// }
    /// ```
    pub fn monitor_nodes(
        &mut self,
        make: impl FnMut(NodeEvent) -> M + Send + 'static,
    ) -> (Monitor, Vec<Node>) {
        let (monitor, nodes) = self.system().watch_nodes(self.pid());
        self.own().nodes.insert(monitor.0, Box::new(make));
        (monitor, nodes)
    }

    /// Takes back a monitor of nodes; what waits of it does not come. `false`: there is none.
    pub fn demonitor_nodes(&mut self, monitor: Monitor) -> bool {
        let made = self.own.as_mut().and_then(|own| own.get_mut().nodes.remove(&monitor.0));
        if made.is_none() {
            return false;
        }
        self.system().unwatch_nodes(monitor, self.pid());
        self.pid().take_back(monitor, true);
        true
    }

    /// The message of a node's event.
    pub(super) fn of_node(&mut self, monitor: Monitor, event: NodeEvent) -> Option<M> {
        let make = self.own.as_mut()?.get_mut().nodes.get_mut(&monitor.0)?;
        match self.me.pid.catch(|| make(event)) {
            Ok(msg) => Some(msg),
            Err(panic) => {
                self.demonitor_nodes(monitor);
                let what = "the message of a node's event: there are no more of it";
                self.pid().report_beside(panic, Some(what));
                None
            }
        }
    }

    /// The message of a group's event.
    pub(super) fn of_group(&mut self, monitor: Monitor, event: GroupEvent) -> Option<M> {
        let (_, make) = self.own.as_mut()?.get_mut().groups.get_mut(&monitor.0)?;
        match self.me.pid.catch(|| make(event)) {
            Ok(msg) => Some(msg),
            Err(panic) => {
                self.demonitor_group(monitor);
                let what = "the message of a group's event: there are no more of it";
                self.pid().report_beside(panic, Some(what));
                None
            }
        }
    }
}
