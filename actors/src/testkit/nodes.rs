//! Several nodes in one thread, over one store and one registry ([`cluster::testkit`]): clients are spread over them, and scripts do
//! not see that.

use super::{
    Joined, Place, START, World, WorldOptions, binding,
    client::Heard,
    good,
    moved::Op,
    script::{Got, Wire},
};
use crate::{
    clock::Clock,
    env::Env,
    registrar::Modules,
    remote::{Cluster, custody::CUSTODY, inbound::Inbound},
};
use cluster::{SessionRegistry, Start, testkit::Network};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use storage::MemoryStore;
use supervision::Node;
use tokio::time::Instant;

/// Bytes that another node may have and not have dealt with.
const LIMIT: usize = 4 << 20;
/// Rounds without anything to do, after which nothing is on its way: a hop takes a few.
const QUIET: usize = 40;

/// The nodes.
pub struct Nodes {
    /// What is between them.
    pub network: Network,
    worlds: Vec<World>,
    /// Where each client is.
    places: BTreeMap<String, usize>,
    /// Where those are to be that come.
    pub wanted: BTreeMap<String, usize>,
}

impl Nodes {
    /// Nodes of these names, with the same modules.
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn new(
        names: &[&str],
        modules: impl Fn() -> Modules,
        options: &WorldOptions,
    ) -> Self {
        Self::with_registry(names, modules, options, |registry| registry).await
    }

    /// The registry of each node is what `wrap` makes of the one that they share.
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn with_registry(
        names: &[&str],
        modules: impl Fn() -> Modules,
        options: &WorldOptions,
        wrap: impl Fn(Arc<dyn SessionRegistry>) -> Arc<dyn SessionRegistry>,
    ) -> Self {
        let (network, store) = (Network::default(), Arc::<MemoryStore>::default());
        let mut worlds = Vec::new();
        for name in names {
            let me = Start { node: good(Node::new(name)), incarnation: START };
            let inbound = Arc::<Inbound>::default();
            let (handler, answers) = (Arc::clone(&inbound), Arc::clone(&inbound));
            let joined = network.join(me, handler, answers, LIMIT);
            let cluster = Cluster::new(joined.view, joined.relay, joined.exchange, CUSTODY);
            let joined =
                Joined { registry: wrap(joined.registry), cluster: Arc::new(cluster), inbound };
            let (clock, store) = (Clock::fixed(START), Arc::clone(&store));
            let place = Place { clock, store, restores: false, joined: Some(joined) };
            worlds.push(World::at(modules(), options.clone(), place, |s| s).await);
        }
        let wanted = options.places.iter().map(|(name, place)| ((*name).to_owned(), *place));
        let (places, wanted) = (BTreeMap::new(), wanted.collect());
        Self { network, worlds, places, wanted }
    }

    /// What a node shares.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn env(&self, node: usize) -> &Arc<Env> {
        &good(self.worlds.get(node).ok_or("no such node")).env
    }

    /// The node of a client; one that comes back comes to the same, and of others every second to another one.
    fn place(&mut self, name: &str) -> usize {
        let next = self.places.len() % self.worlds.len();
        let place = self.wanted.get(name).copied().unwrap_or(next);
        *self.places.entry(name.to_owned()).or_insert(place)
    }

    fn world(&mut self, name: &str) -> &mut World {
        let place = self.place(name);
        good(self.worlds.get_mut(place).ok_or("no such node"))
    }

    /// Works until nobody has anything to do, and nothing is on its way.
    pub async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET {
            let mut idle = true;
            for world in &mut self.worlds {
                idle &= world.round().await;
            }
            quiet = if idle { quiet + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
        self.worlds.iter_mut().for_each(World::hear);
    }

    /// A client says something, and nobody deals with it yet.
    pub fn say(&mut self, name: &str, xml: &str) {
        if let Some(link) = self.world(name).links.get_mut(name) {
            link.feed(&mut xml.as_bytes().to_vec());
        }
    }

    /// So many rounds of all connections and processes.
    pub async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            for world in &mut self.worlds {
                world.round().await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A node dies: nothing of it is left but what is in the store, and the others know.
    ///
    /// # Panics
    /// When there is no such node.
    pub async fn dies(&mut self, node: usize) {
        let world = self.worlds.remove(node);
        let me = world.env.cluster.as_ref().map(|cluster| cluster.view.me());
        let me = good(me.ok_or("it is alone"));
        self.places.retain(|_, place| *place != node);
        self.places.values_mut().filter(|place| **place > node).for_each(|place| *place -= 1);
        let registry = &world.env.registry;
        for resource in world.env.table.all() {
            let token = cluster::Token {
                node: me.node,
                incarnation: me.incarnation,
                session: resource.id(),
            };
            let user = resource.user().as_str();
            drop(registry.unbind(user, resource.jid().resource(), token).await);
        }
        self.network.dies(me.node);
        crate::handover::let_go(&world.env);
        world.stop().await;
        self.settle().await;
    }

    /// Ends all sessions and trees.
    ///
    /// # Panics
    /// As [`World::stop`].
    pub async fn stop(mut self) {
        for world in &mut self.worlds {
            while let Some((name, _)) = world.links.first_key_value() {
                let name = name.clone();
                world.perform(Op::Cut(name)).await;
            }
        }
        self.settle().await;
        for world in self.worlds {
            world.stop().await;
        }
    }
}

impl Wire for Nodes {
    async fn account(&mut self, jid: &str, password: &str) {
        if let Some(world) = self.worlds.first_mut() {
            world.account(jid, password).await;
        }
    }

    async fn connect(&mut self, name: &str) {
        let world = self.world(name);
        world.heard.insert(name.to_owned(), Heard::new());
        world.perform(Op::Connect(name.to_owned(), None)).await;
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        self.world(name).send(name, bytes, restart).await;
        self.settle().await;
    }

    async fn next(&mut self, name: &str, wait: bool) -> Got {
        self.settle().await;
        self.world(name).next(name, wait).await
    }

    async fn cut(&mut self, name: &str) {
        self.world(name).cut(name).await;
        self.settle().await;
    }

    async fn pass(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let due = self.worlds.iter().filter_map(World::due).min();
            let next = due.map_or(until, |at| at.min(until)).max(Instant::now());
            let step = next.duration_since(Instant::now());
            self.worlds.iter().for_each(|world| world.env.clock.advance(step));
            tokio::time::sleep_until(next).await;
            for world in &mut self.worlds {
                world.links.values_mut().for_each(super::Link::time);
            }
            self.settle().await;
            if next >= until {
                return true;
            }
        }
    }

    fn binding(&self, name: &str) -> Option<Vec<u8>> {
        binding(self.worlds.first()?.tls.as_ref(), name)
    }
}
