//! What the links of a node share, and the one process around ractor_cluster: its server of nodes, and the actor that takes batches.

use super::{LinkError, LinkOptions, PeerState, batch, line::Line, process::Told};
use parking_lot::Mutex;
use ractor::message::SerializedMessage;
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, message::BoxedDowncastErr};
use ractor_cluster::{
    IncomingEncryptionMode, NodeEventSubscription, NodeServer, NodeServerMessage,
    NodeSessionMessage,
    node::{NodeConnectionMode, NodeServerSessionInformation},
};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use supervision::{Cx, Event, Exit, InitError, Local, Node, Process, Ref, System};
use tokio::sync::{Notify, oneshot};

/// The most bytes of what ractor_cluster takes at once: the longest frame, and what is around it.
const FRAME_BYTES: u64 = (supervision::dist::FRAME_BYTES + (64 << 10)) as u64;
/// The most batches that wait for a link that is about to begin.
const EARLY: usize = 1024;

/// A batch, as ractor_cluster carries it.
pub(super) struct Batch(pub(super) Vec<u8>);

impl Message for Batch {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        Ok(SerializedMessage::Cast { variant: "Batch".to_owned(), args: self.0, metadata: None })
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Cast { args, .. } => Ok(Self(args)),
            _ => Err(BoxedDowncastErr),
        }
    }
}

/// A connection that ractor_cluster has. Dropped, it is closed.
pub(super) struct Session(ActorRef<NodeSessionMessage>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

impl Session {
    /// The address of the actor there that takes batches.
    pub(super) fn gateway(&self, pid: u64) -> Option<ActorRef<Batch>> {
        let children = self.0.get_children();
        let is =
            |child: &ractor::ActorCell| child.get_id().pid() == pid && !child.get_id().is_local();
        children.into_iter().find(is).map(ActorRef::from)
    }
}

/// Whom a batch is for.
enum Inbound {
    /// The link is about to begin.
    Early(Vec<Vec<u8>>),
    Link(Ref<Told>),
}

/// Whose turn it is to have a link with a node.
struct Claim {
    number: u64,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    /// This node connects.
    Out,
    /// The other has connected.
    In,
    /// The link is up, to that start of the node.
    Up(u32, Local),
}

/// What all parts of the links know.
pub(super) struct Shared {
    pub(super) system: System,
    pub(super) options: LinkOptions,
    pub(super) address: Mutex<Option<SocketAddr>>,
    server: Mutex<Option<(ActorRef<NodeServerMessage>, u64)>>,
    inbound: Mutex<HashMap<u64, Inbound>>,
    /// Who waits for ractor_cluster to have made a connection, by the token.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Session>>>,
    claims: Mutex<HashMap<Node, Claim>>,
    pub(super) wanted: Mutex<Vec<(Node, String)>>,
    pub(super) wanted_changed: Notify,
    pub(super) states: Mutex<BTreeMap<Node, PeerState>>,
    pub(super) lines: Mutex<BTreeMap<Node, Arc<Line>>>,
    numbers: Mutex<u64>,
}

impl Shared {
    pub(super) fn new(system: &System, options: LinkOptions) -> Self {
        Self {
            system: system.clone(),
            options,
            address: Mutex::default(),
            server: Mutex::default(),
            inbound: Mutex::default(),
            waiting: Mutex::default(),
            claims: Mutex::default(),
            wanted: Mutex::default(),
            wanted_changed: Notify::new(),
            states: Mutex::default(),
            lines: Mutex::default(),
            numbers: Mutex::default(),
        }
    }

    fn number(&self) -> u64 {
        let mut numbers = self.numbers.lock();
        *numbers += 1;
        *numbers
    }

    /// ractor_cluster's server of nodes, and the actor that takes batches.
    pub(super) fn server(&self) -> Result<(ActorRef<NodeServerMessage>, u64), LinkError> {
        self.server.lock().clone().ok_or(LinkError::Stopped)
    }

    /// What became of a node's link last.
    pub(super) fn note(&self, node: Node, what: impl FnOnce(&mut PeerState)) {
        what(self.states.lock().entry(node).or_default());
    }

    /// Whom it is linked with.
    pub(super) fn linked(&self, node: Node) -> Option<Local> {
        match self.claims.lock().get(&node) {
            Some(Claim { stage: Stage::Up(_, link), .. }) => Some(link.clone()),
            _ => None,
        }
    }

    /// This node is about to connect to that one.
    pub(super) fn claim_out(self: &Arc<Self>, node: Node) -> Result<Claimed, LinkError> {
        let mut claims = self.claims.lock();
        if claims.contains_key(&node) {
            return Err(LinkError::Busy);
        }
        let number = self.number();
        claims.insert(node, Claim { number, stage: Stage::Out });
        Ok(Claimed { shared: Arc::clone(self), node, number })
    }

    /// That node, in that start of it, has connected. Where both have, that of the node whose name comes first goes on.
    pub(super) fn claim_in(
        self: &Arc<Self>,
        node: Node,
        creation: u32,
    ) -> Result<Claimed, LinkError> {
        let mut claims = self.claims.lock();
        match claims.get(&node).map(|claim| &claim.stage) {
            Some(Stage::Up(known, _)) if *known == creation => return Err(LinkError::Connected),
            Some(Stage::In) => return Err(LinkError::Busy),
            Some(Stage::Out) if node.name() > self.system.node().name() => {
                return Err(LinkError::Busy);
            }
            Some(Stage::Up(..) | Stage::Out) | None => {}
        }
        let number = self.number();
        claims.insert(node, Claim { number, stage: Stage::In });
        Ok(Claimed { shared: Arc::clone(self), node, number })
    }

    /// Batches that say this are for a link that is about to begin.
    pub(super) fn expect(self: &Arc<Self>) -> (Token, oneshot::Receiver<Session>) {
        let token = RandomState::new().hash_one(self.number());
        let (give, session) = oneshot::channel();
        self.inbound.lock().insert(token, Inbound::Early(Vec::new()));
        self.waiting.lock().insert(token, give);
        (Token { shared: Arc::clone(self), token }, session)
    }

    fn session_is_ready(&self, token: u64, session: Session) {
        // else nobody waits any more: it is closed
        if let Some(waits) = self.waiting.lock().remove(&token) {
            drop(waits.send(session));
        }
    }

    fn session_ended(&self, token: u64) {
        drop(self.waiting.lock().remove(&token));
        let link = match self.inbound.lock().get(&token) {
            Some(Inbound::Link(link)) => link.clone(),
            _ => return,
        };
        drop(link.cast(Told::Lost("the connection has ended".to_owned())));
    }

    /// A batch has come.
    fn deliver(&self, batch: Vec<u8>) {
        let Some((head, _)) = batch::read(&batch) else {
            tracing::warn!(bytes = batch.len(), "a batch that is malformed");
            return;
        };
        let mut inbound = self.inbound.lock();
        let link = match inbound.get_mut(&head.token) {
            Some(Inbound::Early(waiting)) if waiting.len() < EARLY => {
                waiting.push(batch);
                return;
            }
            Some(Inbound::Link(link)) => link.clone(),
            // of a link that has ended; or the next will be found missing
            _ => return,
        };
        drop(inbound);
        if link.cast(Told::Batch(batch)).is_err() {
            link.pid().exit(Exit::error("more batches than it takes"));
        }
    }
}

/// The right to have a link with a node, until it is dropped.
pub(super) struct Claimed {
    shared: Arc<Shared>,
    node: Node,
    number: u64,
}

impl Claimed {
    /// The link is up. `false`: the other node's connection goes on instead.
    pub(super) fn up(&self, creation: u32, link: &Local) -> bool {
        let mut claims = self.shared.claims.lock();
        let claim = claims.get_mut(&self.node).filter(|claim| claim.number == self.number);
        claim.is_some_and(|claim| {
            claim.stage = Stage::Up(creation, link.clone());
            true
        })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut claims = self.shared.claims.lock();
        if claims.get(&self.node).is_some_and(|claim| claim.number == self.number) {
            claims.remove(&self.node);
        }
    }
}

/// The word of a link, until it is dropped.
pub(super) struct Token {
    shared: Arc<Shared>,
    pub(super) token: u64,
}

impl Token {
    /// The link has begun: what came before.
    pub(super) fn begin(&self, link: &Ref<Told>) -> Vec<Vec<u8>> {
        let before = self.shared.inbound.lock().insert(self.token, Inbound::Link(link.clone()));
        if let Some(Inbound::Early(batches)) = before { batches } else { Vec::new() }
    }

    /// What ractor_cluster is to call the connection.
    pub(super) fn label(&self) -> String {
        self.token.to_string()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shared.inbound.lock().remove(&self.token);
        self.shared.waiting.lock().remove(&self.token);
    }
}

/// Takes the batches of all links: the only actor that other nodes know of.
struct Gateway(Arc<Shared>);

impl Actor for Gateway {
    type Msg = Batch;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Batch>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Batch>,
        Batch(batch): Batch,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.deliver(batch);
        Ok(())
    }
}

/// Hears what becomes of ractor_cluster's connections.
struct Sessions(Arc<Shared>);

fn token_of(session: &NodeServerSessionInformation) -> Option<u64> {
    session.peer_addr.parse().ok()
}

impl NodeEventSubscription for Sessions {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        if let Some(token) = token_of(&session) {
            self.0.session_is_ready(token, Session(session.actor));
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        if let Some(token) = token_of(&session) {
            self.0.session_ended(token);
        }
    }
}

/// The process around ractor_cluster.
pub(super) struct Hub {
    shared: Arc<Shared>,
    server: ActorRef<NodeServerMessage>,
    gateway: ActorRef<Batch>,
    ends: tokio::task::JoinHandle<()>,
}

impl Process for Hub {
    type Args = Arc<Shared>;
    type Msg = Infallible;
    const NAME: &'static str = "hub";

    async fn init(shared: Arc<Shared>, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let failed = |error: &dyn std::fmt::Display| InitError::failed(error.to_string());
        let (gateway, _) = Actor::spawn(None, Gateway(Arc::clone(&shared)), ())
            .await
            .map_err(|error| failed(&error))?;
        let system = &shared.system;
        // a name for each start of the node; what it listens on itself is not used, and takes nobody without a certificate
        let tls = tokio_rustls::TlsAcceptor::from(Arc::clone(&shared.options.tls.server));
        let server = NodeServer::new(
            0,
            shared.options.cookie.clone(),
            format!("{:08x}", system.creation()),
            system.node().to_string(),
            Some(IncomingEncryptionMode::Tls(tls)),
            Some(NodeConnectionMode::Isolated),
        )
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .with_max_inbound_frame_size(FRAME_BYTES);
        let (server, ends) =
            Actor::spawn(None, server, ()).await.map_err(|error| failed(&error))?;
        let subscribe = NodeServerMessage::SubscribeToEvents {
            id: "links".to_owned(),
            subscription: Box::new(Sessions(Arc::clone(&shared))),
        };
        server.cast(subscribe).map_err(|error| failed(&error))?;
        *shared.server.lock() = Some((server.clone(), gateway.get_id().pid()));
        Ok(Self { shared, server, gateway, ends })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        loop {
            tokio::select! {
                biased;
                event = cx.next() => {
                    if let Event::Exit { from, reason } = event && cx.is_parent(&from) {
                        return reason;
                    }
                }
                _ = &mut self.ends => return Exit::error("the server of nodes has ended"),
            }
        }
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Infallible>) {
        *self.shared.server.lock() = None;
        // an error: it has ended already
        drop(self.server.stop_and_wait(None, None).await);
        drop(self.gateway.stop_and_wait(None, None).await);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        *self.shared.server.lock() = None;
        self.server.stop(None);
        self.gateway.stop(None);
    }
}
