//! What a node knows of the others: to which there is a connection, who wants to hear of them, and which messages may come from them.

use super::{
    ConnectError, Transport,
    message::Accept,
    peer::Peer,
    wire::{To, Word},
};
use crate::{
    exit::Exit,
    id::{Id, Node},
    pid::{Distribution, Local, NodeEvent, Pid, next_monitor},
    system::{Inner, Owned, System},
};
use parking_lot::{Mutex, RwLock};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Weak},
};

/// The most kinds of what was refused that are told apart.
const KINDS: usize = 64;

/// A system's view of the others. Locks in this order: `watchers`, the system's groups, `peers`; none of them while a process is told
/// something that is not an event of a group or node.
pub(super) struct Dist {
    system: Weak<Inner>,
    peers: RwLock<BTreeMap<Node, Arc<Peer>>>,
    pub(super) types: RwLock<HashMap<&'static str, Accept>>,
    /// Who hears of nodes that come and go, by the monitor.
    watchers: Mutex<BTreeMap<u64, Local>>,
    refused: Mutex<BTreeMap<Arc<str>, u64>>,
}

static OF_NONE: LazyLock<Dist> = LazyLock::new(|| Dist::new(Weak::new()));

impl Dist {
    /// That of the system; made when there is none.
    pub(super) fn of(system: &System) -> &Self {
        let of: &dyn Any =
            system.distribution_or(|| Box::new(Self::new(Arc::downgrade(&system.0))));
        // there is no other kind
        of.downcast_ref().unwrap_or(&OF_NONE)
    }

    fn new(system: Weak<Inner>) -> Self {
        Self {
            system,
            peers: RwLock::default(),
            types: RwLock::default(),
            watchers: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// That node, if there is a connection to it.
    pub(super) fn peer(&self, node: Node) -> Option<Arc<Peer>> {
        self.peers.read().get(&node).filter(|peer| !peer.is_lost()).cloned()
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        let peers = self.peers.read();
        peers.values().filter(|peer| !peer.is_lost()).map(|peer| peer.node).collect()
    }

    /// There is a connection from now on.
    pub(super) fn connect(
        &self,
        system: &System,
        node: Node,
        creation: u32,
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Peer>, ConnectError> {
        if node == system.node() {
            return Err(ConnectError::Itself);
        }
        if let Some(before) = self.peer(node).filter(|before| before.creation != creation) {
            self.lose(&before, "another start of the node has connected");
        }
        let watchers = self.watchers.lock();
        let groups = system.0.groups.lock();
        let mut peers = self.peers.write();
        if peers.contains_key(&node) {
            return Err(ConnectError::Connected);
        }
        let peer = Arc::new(Peer::new(system, node, creation, transport));
        peers.insert(node, Arc::clone(&peer));
        drop(peers);
        let mut members: Vec<_> = groups.of_this_node().collect();
        members.sort_by_key(|(group, pid)| (pid.id(), *group));
        for (group, pid) in members {
            peer.signal(&Word::Join { group, member: pid.id().number }, &[]);
        }
        drop(groups);
        tell(&watchers, &NodeEvent::Up { node });
        Ok(peer)
    }

    /// The connection is lost.
    pub(super) fn lose(&self, peer: &Arc<Peer>, reason: &str) {
        if !peer.lose() {
            return;
        }
        peer.transport().close(reason);
        let node = peer.node;
        let watchers = self.watchers.lock();
        if let Some(system) = self.system.upgrade() {
            system.groups.lock().leave_all(node);
        }
        self.peers.write().remove(&node);
        tell(&watchers, &NodeEvent::Down { node, reason: reason.into() });
    }

    pub(super) fn watch_nodes(&self, watcher: &Local) -> (u64, Vec<Node>) {
        let (mut watchers, monitor) = (self.watchers.lock(), next_monitor());
        if watcher.own(Owned::NodeMonitor(monitor)) {
            watchers.insert(monitor, watcher.clone());
        }
        (monitor, self.nodes())
    }

    pub(super) fn forget_watcher(&self, monitor: u64, watcher: &Local) {
        self.watchers.lock().remove(&monitor);
        watcher.disown(&Owned::NodeMonitor(monitor));
    }

    /// Something came that nobody here knows.
    pub(super) fn refuse(&self, node: Node, what: &str) {
        let mut refused = self.refused.lock();
        if let Some(count) = refused.get_mut(what) {
            *count += 1;
            return;
        }
        let what = if refused.len() < KINDS { what } else { "others" };
        let count = refused.entry(what.into()).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!(%node, what, "refused; more of that kind are counted only");
        }
    }

    pub(super) fn refused(&self) -> Vec<(Arc<str>, u64)> {
        self.refused.lock().iter().map(|(what, count)| (Arc::clone(what), *count)).collect()
    }

    fn peer_of(&self, id: Id) -> Result<Arc<Peer>, Exit> {
        match self.peer(id.node) {
            // of an earlier start, or a later one
            Some(peer) if peer.creation != id.creation => Err(Exit::NoProc),
            Some(peer) => Ok(peer),
            None => Err(Exit::NoConnection),
        }
    }
}

fn tell(watchers: &BTreeMap<u64, Local>, event: &NodeEvent) {
    for (monitor, watcher) in watchers {
        watcher.node_event(*monitor, event.clone());
    }
}

impl Distribution for Dist {
    fn why(&self, far: Id) -> Exit {
        self.peer_of(far).err().unwrap_or(Exit::NoProc)
    }

    fn link(&self, local: &Local, far: &Pid) {
        match self.peer_of(far.id()) {
            Ok(peer) => peer.link(local, far),
            Err(reason) => local.exit_from(far, reason),
        }
    }

    fn unlink(&self, local: &Local, far: Id) {
        if let Ok(peer) = self.peer_of(far) {
            peer.unlink(local, far.number);
        }
    }

    fn linked(&self, local: &Local) -> Vec<Pid> {
        self.peers.read().values().flat_map(|peer| peer.linked(local)).collect()
    }

    fn watchers(&self, local: &Local) -> usize {
        self.peers.read().values().map(|peer| peer.watchers(local)).sum()
    }

    fn monitor(&self, monitor: u64, far: &Pid, watcher: &Local) {
        let by_name = far.name();
        let peer = match by_name {
            Some((_, node)) => self.peer(node).ok_or(Exit::NoConnection),
            None => self.peer_of(far.id()),
        };
        let to = by_name.map_or(To::Process(far.id().number), |(name, _)| To::Name(name));
        match peer {
            Ok(peer) => peer.monitor(monitor, to, watcher),
            Err(reason) => watcher.down(monitor, reason),
        }
    }

    fn demonitor(&self, monitor: u64, node: Node) {
        if let Some(peer) = self.peer(node) {
            peer.demonitor(monitor);
        }
    }

    fn exit(&self, far: Id, reason: &Exit) {
        if let Ok(peer) = self.peer_of(far) {
            peer.signal(&Word::Exit { to: far.number, reason: reason.into() }, &[]);
        }
    }

    fn kill(&self, far: Id) {
        if let Ok(peer) = self.peer_of(far) {
            peer.signal(&Word::Kill { to: far.number }, &[]);
        }
    }

    fn ended(&self, local: &Local, node: Node, exit: &Exit) {
        if let Some(peer) = self.peer(node) {
            peer.ended(local, exit);
        }
    }

    fn announce(&self, group: &str, local: &Local, joins: bool) {
        let member = local.id().number;
        for peer in self.peers.read().values() {
            match joins {
                true => peer.signal(&Word::Join { group, member }, &[]),
                false => peer.signal(&Word::Leave { group, member }, &[]),
            }
        }
    }

    fn unwatch_nodes(&self, monitor: u64) {
        self.watchers.lock().remove(&monitor);
    }
}
