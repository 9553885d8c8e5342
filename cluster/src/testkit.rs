//! Several nodes in one program: a registry in memory, and connections that can be cut.

use crate::{
    Answering, AskError, BoxFuture, Exchange, Member, MemoryRegistry, Relay, Standing, Start, View,
    relay::{Handler, NotSent, Parcel, Wire},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use supervision::Node;
use tokio::time::{Instant, timeout};

struct Place {
    relay: Relay,
    view: Arc<View>,
    answers: Arc<dyn Answering>,
}

#[derive(Default)]
struct Inner {
    registry: Arc<MemoryRegistry>,
    places: Mutex<BTreeMap<Node, Place>>,
    /// Both ways.
    cuts: Mutex<BTreeSet<(Node, Node)>>,
}

/// The nodes and what is between them.
#[derive(Clone, Default)]
pub struct Network(Arc<Inner>);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.places.lock().keys()).finish()
    }
}

/// What one node has of it.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a place has nothing to say")]
pub struct Joined {
    /// Who is where.
    pub registry: Arc<MemoryRegistry>,
    /// The other nodes.
    pub view: Arc<View>,
    /// What is on its way.
    pub relay: Relay,
    /// Asks other nodes.
    pub exchange: Arc<dyn Exchange>,
}

impl Network {
    /// A node joins, and is connected to all others; it may act for ever. The processes of its relay ([`Relay::children`]) are the
    /// caller's to start. `limit`: of its relay.
    pub fn join(
        &self,
        me: Start,
        handler: Arc<dyn Handler>,
        answers: Arc<dyn Answering>,
        limit: usize,
    ) -> Joined {
        let ours = Arc::new(Line { network: Arc::clone(&self.0), me: me.node });
        let wire: Arc<dyn Wire> = Arc::<Line>::clone(&ours);
        let view = Arc::new(View::new(me));
        view.may_act_until(None);
        let relay = Relay::new(me, wire, handler, limit);
        let place = Place { relay: relay.clone(), view: Arc::clone(&view), answers };
        self.0.places.lock().insert(me.node, place);
        self.look_around();
        Joined { registry: Arc::clone(&self.0.registry), view, relay, exchange: ours }
    }

    /// Nothing gets from one to the other, in either direction, until they are [healed](Network::heal). What was on its way is lost.
    pub fn cut(&self, one: Node, other: Node) {
        self.0.cuts.lock().extend([(one, other), (other, one)]);
        self.look_around();
    }

    /// They are connected again.
    pub fn heal(&self, one: Node, other: Node) {
        self.0.cuts.lock().retain(|cut| *cut != (one, other) && *cut != (other, one));
        self.look_around();
        for (from, to) in [(one, other), (other, one)] {
            let relay = self.0.places.lock().get(&from).map(|place| place.relay.clone());
            relay.into_iter().for_each(|relay| relay.connected(to));
        }
    }

    /// A node is dead, and all others know. What the registry has of it is the caller's to sweep.
    pub fn dies(&self, node: Node) {
        let Some(dead) = self.0.places.lock().remove(&node) else { return };
        self.look_around();
        let relays: Vec<_> = self.0.places.lock().values().map(|p| p.relay.clone()).collect();
        relays.iter().for_each(|relay| relay.dead(dead.view.me()));
    }

    fn look_around(&self) {
        let places = self.0.places.lock();
        let far = Instant::now() + Duration::from_secs(3600);
        for (node, place) in &*places {
            let others: Vec<_> = places.values().filter(|p| p.view.me().node != *node).collect();
            place.view.are(others.iter().map(|other| (member(other.view.me()), far)));
            for other in others {
                let other = other.view.me().node;
                place.view.connected(other, !self.0.cuts.lock().contains(&(*node, other)));
            }
        }
    }
}

fn member(start: Start) -> Member {
    Member {
        node: start.node,
        incarnation: start.incarnation,
        address: String::new(),
        version: String::new(),
        digest: 0,
        clock: 0,
        standing: Standing::Up,
        sessions: 0,
        confirmed: 1,
    }
}

struct Line {
    network: Arc<Inner>,
    me: Node,
}

impl Line {
    fn is_cut(&self, to: Node) -> bool {
        self.network.cuts.lock().contains(&(self.me, to))
    }
}

impl Wire for Line {
    fn send(&self, to: Node, share: usize, parcel: Parcel) -> Result<(), NotSent> {
        let relay = self.network.places.lock().get(&to).map(|place| place.relay.clone());
        let relay = relay.filter(|_| !self.is_cut(to)).ok_or(NotSent::NoConnection)?;
        relay.received(self.me, share, parcel);
        Ok(())
    }
}

impl Exchange for Line {
    fn ask(
        &self,
        node: Node,
        question: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, AskError>> {
        Box::pin(async move {
            let answers = self.network.places.lock().get(&node).map(|p| Arc::clone(&p.answers));
            let answers = answers.filter(|_| !self.is_cut(node)).ok_or(AskError::NoConnection)?;
            let answer = answers.answer(self.me, question);
            let answer = timeout(deadline, answer).await.map_err(|_| AskError::Timeout)?;
            answer.ok_or(AskError::Unknown).and_then(|answer| match self.is_cut(node) {
                true => Err(AskError::NoConnection),
                false => Ok(answer),
            })
        })
    }
}
