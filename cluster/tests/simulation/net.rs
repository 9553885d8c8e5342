//! What is between the nodes: connections that delay, stall, hold what is cut in one direction, and are lost with what is on them.

use crate::{life::Life, seen::notes, world::World};
use bytes::Bytes;
use cluster::{
    Answering, AskError, BoxFuture, Exchange,
    relay::{NotSent, Parcel, Wire},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};
use supervision::Node;
use tokio::time::{Instant, sleep, timeout};

/// After so long without a beat a connection is lost.
const BEAT: Duration = Duration::from_secs(5);
/// As many parcels as a connection takes before the other side has read them.
const CREDIT: usize = 100;

/// One direction of a connection.
#[derive(Default)]
struct Line {
    on_it: VecDeque<(Instant, usize, Parcel)>,
}

/// The connection of two lives.
struct Connection {
    of: [Weak<Life>; 2],
    lines: BTreeMap<Node, Line>,
    silent_since: Option<Instant>,
}

#[derive(Default)]
pub struct Net {
    connections: Mutex<BTreeMap<(Node, Node), Connection>>,
    /// From one to the other.
    pub cuts: Mutex<BTreeSet<(Node, Node)>>,
    pub full: Mutex<BTreeSet<(Node, Node)>>,
    pub parcels: Mutex<BTreeMap<&'static str, u64>>,
}

fn pair(one: Node, other: Node) -> (Node, Node) {
    (one.min(other), one.max(other))
}

impl Net {
    fn passes(&self, from: Node, to: Node) -> bool {
        !self.cuts.lock().contains(&(from, to))
    }

    /// A connection is lost, with all that is on it.
    pub fn loses(&self, one: Node, other: Node) {
        let Some(lost) = self.connections.lock().remove(&pair(one, other)) else { return };
        let [a, b] = lost.of.map(|life| life.upgrade());
        for (life, of) in [(&a, &b), (&b, &a)] {
            let of = of.as_ref().map_or_else(
                || if life.as_ref().is_some_and(|l| l.node == one) { other } else { one },
                |l| l.node,
            );
            if let Some(life) = life {
                life.view.connected(of, false);
            }
        }
    }

    /// All of a node that has ended.
    pub fn ended(&self, node: Node) {
        let of: Vec<_> = self
            .connections
            .lock()
            .keys()
            .filter(|p| p.0 == node || p.1 == node)
            .copied()
            .collect();
        of.into_iter().for_each(|(one, other)| self.loses(one, other));
    }

    /// Beats: connections end that were silent for long, and come where there is none.
    pub fn beats(&self, lives: &[Arc<Life>]) {
        let now = Instant::now();
        for (n, a) in lives.iter().enumerate() {
            for b in lives.iter().skip(n + 1) {
                let good = self.passes(a.node, b.node)
                    && self.passes(b.node, a.node)
                    && a.is_running()
                    && b.is_running();
                let mut all = self.connections.lock();
                match all.get_mut(&pair(a.node, b.node)) {
                    Some(connection) if good => connection.silent_since = None,
                    Some(connection) => {
                        let since = *connection.silent_since.get_or_insert(now);
                        drop(all);
                        if now - since >= BEAT {
                            self.loses(a.node, b.node);
                        }
                    }
                    None if good => {
                        let of = [Arc::downgrade(a), Arc::downgrade(b)];
                        let lines = [a.node, b.node].map(|to| (to, Line::default())).into();
                        all.insert(
                            pair(a.node, b.node),
                            Connection { of, lines, silent_since: None },
                        );
                        drop(all);
                        for (life, other) in [(a, b), (b, a)] {
                            life.view.connected(other.node, true);
                            life.relay().connected(other.node);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// What has arrived; when the next arrives.
    pub fn delivers(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut arrived = Vec::new();
        for connection in self.connections.lock().values_mut() {
            let lives = connection.of.each_ref().map(Weak::upgrade);
            let [Some(a), Some(b)] = lives else { continue };
            for (from, to) in [(&a, &b), (&b, &a)] {
                if !to.is_running() || !self.passes(from.node, to.node) {
                    continue;
                }
                let Some(line) = connection.lines.get_mut(&to.node) else { continue };
                while line.on_it.front().is_some_and(|(at, ..)| *at <= now) {
                    let Some((_, share, parcel)) = line.on_it.pop_front() else { break };
                    arrived.push((Arc::clone(to), from.node, share, parcel));
                }
                let at = line.on_it.front().map(|(at, ..)| *at);
                next = next.into_iter().chain(at).min();
            }
        }
        for (to, from, share, parcel) in arrived {
            to.relay().received(from, share, parcel);
        }
        next
    }

    fn sends(
        &self,
        world: &World,
        from: &Life,
        to: Node,
        share: usize,
        parcel: Parcel,
    ) -> Result<(), NotSent> {
        if !from.is_running() {
            return Err(NotSent::Full);
        }
        let mut all = self.connections.lock();
        let connection = all.get_mut(&pair(from.node, to)).ok_or(NotSent::NoConnection)?;
        let line = connection.lines.get_mut(&to).ok_or(NotSent::NoConnection)?;
        if line.on_it.len() >= CREDIT || self.full.lock().contains(&(from.node, to)) {
            return Err(NotSent::Full);
        }
        let name = match &parcel {
            Parcel::Item { .. } => "item",
            Parcel::Done { .. } => "done",
            Parcel::Again { .. } => "again",
        };
        *self.parcels.lock().entry(name).or_default() += 1;
        notes(|| format!("{} to {to}, share {share}: {parcel:?}", from.node));
        let at = Instant::now() + Duration::from_micros(100 + world.below(20_000));
        let at = line.on_it.back().map_or(at, |(last, ..)| at.max(*last));
        line.on_it.push_back((at, share, parcel));
        drop(all);
        world.0.wakes.notify_one();
        Ok(())
    }

    fn connects(&self, one: Node, other: Node) -> bool {
        self.connections.lock().contains_key(&pair(one, other))
    }
}

/// What one life of a node has of it.
pub struct Ours {
    pub life: Weak<Life>,
    pub world: World,
}

impl Wire for Ours {
    fn send(&self, to: Node, share: usize, parcel: Parcel) -> Result<(), NotSent> {
        let life = self.life.upgrade().ok_or(NotSent::NoConnection)?;
        self.world.0.net.sends(&self.world, &life, to, share, parcel)
    }
}

impl Exchange for Ours {
    fn ask(
        &self,
        node: Node,
        question: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, AskError>> {
        Box::pin(async move {
            let life = self.life.upgrade().ok_or(AskError::NoConnection)?;
            life.runs().await;
            *self.world.0.net.parcels.lock().entry("question").or_default() += 1;
            let answer = timeout(deadline, asks(&self.world, life.node, node, question)).await;
            life.runs().await;
            answer.map_err(|_| AskError::Timeout)?
        })
    }
}

async fn asks(world: &World, from: Node, to: Node, question: Bytes) -> Result<Bytes, AskError> {
    let net = &world.0.net;
    let comes = async |from, to| {
        sleep(Duration::from_micros(100 + world.below(20_000))).await;
        while !net.passes(from, to) {
            sleep(Duration::from_millis(50)).await;
        }
        net.connects(from, to)
    };
    if !net.connects(from, to) || !comes(from, to).await {
        return Err(AskError::NoConnection);
    }
    let life = world.life(to).ok_or(AskError::NoConnection)?;
    life.runs().await;
    let answer = life.membership().answer(from, question).await;
    life.runs().await;
    if !comes(to, from).await {
        return Err(AskError::NoConnection);
    }
    answer.ok_or(AskError::Unknown)
}
