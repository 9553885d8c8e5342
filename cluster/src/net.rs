//! Relay and questions over the connections between nodes: what goes to another node is a message to a process there that has the same
//! name as the one here.

use crate::{
    Answering, AskError, BoxFuture, Exchange, Relay, View, members,
    relay::{self, NotSent, Parcel, Wire},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};
use supervision::{
    CallError, CastError, ChildSpec, Cx, Event, Exit, InitError, Next, Node, NodeEvent, Process,
    Reply, Server, System,
    dist::{Far, Remote},
};

impl Remote for relay::Msg {
    const TAG: &'static str = "mangrove.relay";
}

/// A question from another node.
#[derive(Debug, Serialize, Deserialize)]
pub enum Asked {
    /// Who asks, what, and where the answer goes; `None`: it is not understood.
    Question(Node, Bytes, Reply<Option<Bytes>>),
}

impl Remote for Asked {
    const TAG: &'static str = "mangrove.exchange";
}

/// So many questions of one kind are being answered at the same time; others wait.
const AT_WORK: usize = 4096;

/// The connections of a node, as its relay and those who ask see them.
pub struct Net {
    system: System,
    /// The relays of other nodes, by share: addresses are made once.
    relays: parking_lot::RwLock<BTreeMap<Node, Arc<[Far<relay::Msg>]>>>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({})", self.system.node())
    }
}

impl Net {
    /// Of the node of that system.
    pub fn new(system: &System) -> Arc<Self> {
        system.accept::<relay::Msg>();
        system.accept::<Asked>();
        Arc::new(Self { system: system.clone(), relays: parking_lot::RwLock::default() })
    }

    /// Asks those who answer as `service` on other nodes.
    pub fn exchange(self: &Arc<Self>, service: &'static str) -> Arc<dyn Exchange> {
        Arc::new(Asks { net: Arc::clone(self), service })
    }

    /// The process that answers as `service`.
    pub fn answering(service: &'static str, answers: Arc<dyn Answering>) -> ChildSpec {
        let args = move || (service, Arc::clone(&answers));
        ChildSpec::process::<Answers>(service, args)
    }

    /// The process that tells view and relay of connections. Before what makes connections.
    pub fn watcher(view: &Arc<View>, relay: &Relay) -> ChildSpec {
        let (view, relay) = (Arc::clone(view), relay.clone());
        ChildSpec::server::<Watcher>("connections", move || (Arc::clone(&view), relay.clone()))
    }

    fn relay(&self, node: Node, share: usize) -> Option<Far<relay::Msg>> {
        if let Some(known) = self.relays.read().get(&node) {
            return known.get(share).cloned();
        }
        let far = |share| self.system.far_named(node, &relay::name_of(share));
        let all: Arc<[_]> = (0..relay::SHARES).map(far).collect();
        let found = all.get(share).cloned();
        self.relays.write().insert(node, all);
        found
    }
}

impl Wire for Net {
    fn send(&self, to: Node, share: usize, parcel: Parcel) -> Result<(), NotSent> {
        let relay = self.relay(to, share).ok_or(NotSent::NoConnection)?;
        let sent = relay.cast(relay::Msg::Parcel(self.system.node(), parcel));
        sent.map_err(|error| match error {
            CastError::Full(_) => NotSent::Full,
            _ => NotSent::NoConnection,
        })
    }
}

struct Asks {
    net: Arc<Net>,
    service: &'static str,
}

impl Exchange for Asks {
    fn ask(
        &self,
        node: Node,
        question: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, AskError>> {
        Box::pin(async move {
            let system = &self.net.system;
            let (me, whom) = (system.node(), system.far_named::<Asked>(node, self.service));
            let answer = whom.call(|reply| Asked::Question(me, question, reply), deadline).await;
            answer.map_err(AskError::from)?.ok_or(AskError::Unknown)
        })
    }
}

impl From<CallError> for AskError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Full => Self::Full,
            CallError::Timeout => Self::Timeout,
            CallError::Unknown => Self::Unknown,
            _ => Self::NoConnection,
        }
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The process that answers.
pub struct Answers {
    answers: Arc<dyn Answering>,
    at_work: FuturesUnordered<Work>,
}

impl Process for Answers {
    type Args = (&'static str, Arc<dyn Answering>);
    type Msg = Asked;
    const NAME: &'static str = "exchange";
    const INBOX: usize = AT_WORK;

    async fn init((name, answers): Self::Args, cx: &mut Cx<Asked>) -> Result<Self, InitError> {
        cx.register(name)?;
        Ok(Self { answers, at_work: FuturesUnordered::new() })
    }

    async fn run(&mut self, cx: &mut Cx<Asked>) -> Exit {
        loop {
            if self.at_work.len() >= AT_WORK {
                self.at_work.next().await;
            }
            tokio::select! {
                event = cx.next() => match event {
                    Event::Msg(Asked::Question(from, question, reply)) => {
                        let answer = self.answers.answer(from, question);
                        self.at_work.push(Box::pin(async move { reply.send(answer.await) }));
                    }
                    Event::Exit { reason, .. } => return reason,
                    Event::Down { .. } => {}
                },
                Some(()) = self.at_work.next(), if !self.at_work.is_empty() => {}
            }
        }
    }

    fn describe(msg: &Asked) -> Cow<'static, str> {
        let Asked::Question(from, question, _) = msg;
        format!("{} bytes from {from}", question.len()).into()
    }
}

/// The process that sees connections come and go.
pub struct Watcher {
    view: Arc<View>,
    relay: Relay,
}

impl Watcher {
    fn sees(&self, node: Node, connected: bool, cx: &Cx<NodeEvent>) {
        self.view.connected(node, connected);
        if connected {
            self.relay.connected(node);
            // who does not know this node yet may act for long without it
            if let Some(members) = cx.system().lookup::<members::Msg>(members::NAME) {
                drop(members.cast(members::Msg::Meet));
            }
        }
    }
}

impl Server for Watcher {
    type Args = (Arc<View>, Relay);
    type Msg = NodeEvent;
    const NAME: &'static str = "connections";

    async fn init((view, relay): Self::Args, cx: &mut Cx<NodeEvent>) -> Result<Self, InitError> {
        let watcher = Self { view, relay };
        let (_, nodes) = cx.monitor_nodes(|event| event);
        for node in nodes {
            watcher.sees(node, true, cx);
        }
        Ok(watcher)
    }

    async fn handle(&mut self, event: NodeEvent, cx: &mut Cx<NodeEvent>) -> Next {
        match event {
            NodeEvent::Up { node } => {
                tracing::info!(%node, "connected to a node");
                self.sees(node, true, cx);
            }
            NodeEvent::Down { node, reason } => {
                tracing::warn!(%node, %reason, "the connection to a node is lost");
                self.sees(node, false, cx);
            }
        }
        Next::Continue
    }
}
