//! Links: connections between nodes, on ractor_cluster, over TLS with a certificate on both sides. Each is the transport of
//! [`supervision::dist`]: what is done with processes of a node goes over the link to it.
//!
//! One link for each pair of nodes, whoever has connected. It sends what waits in batches, with credit for messages, and notices when a batch is
//! missing or nothing comes any more; both are the end of the link, and so of whatever waits for something of that node. Then it is made anew.
//!
//! In reading order: [`Links`] and what it is given · `hello` (who is there) · `batch` (what is sent) · `line` (what waits, and credit) · `process`
//! (a link) · `hub` (what is ractor_cluster's) · `handshake` (from a socket to a link) · `connector` (tries again) · `listener`.

mod batch;
mod connector;
mod handshake;
mod hello;
mod hub;
mod line;
mod listener;
mod process;

pub use line::{Traffic, Volume};

use connector::{Connector, Peers};
use hub::{Hub, Shared};
use listener::Listener;
use process::Link;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use supervision::{ChildSpec, Node, PoolSpec, Restart, SupervisorSpec, System};
use thiserror::Error;

/// Both sides of TLS, each with a certificate, whose name is that of the node (`a@example.org` is `a.example.org`), and each asking the other
/// for one.
#[derive(Clone)]
pub struct LinkTls {
    /// For nodes that connect; with a verifier of their certificates.
    pub server: Arc<rustls::ServerConfig>,
    /// To connect; with a certificate of its own.
    pub client: Arc<rustls::ClientConfig>,
}

impl fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkTls")
    }
}

/// How much another node may have on its way to this one that this one has not taken. Beyond it messages are refused there, with `Full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Messages.
    pub messages: u32,
    /// Bytes of them. A single message may be longer.
    pub bytes: u64,
}

impl Default for Credit {
    /// 16,384 messages, 16 MiB.
    fn default() -> Self {
        Self { messages: 16_384, bytes: 16 << 20 }
    }
}

/// What links are given. The cookie is against mistakes only: nodes of another cluster that have certificates of the same authority.
#[derive(Clone)]
pub struct LinkOptions {
    /// Where nodes connect; port 0: any.
    pub listen: SocketAddr,
    /// The certificates.
    pub tls: LinkTls,
    /// The same on all nodes of a cluster.
    pub cookie: String,
    /// The version of the program, for others to see.
    pub program: String,
    /// How often something is said at least.
    pub beat: Duration,
    /// After how long of silence a link is lost.
    pub deadline: Duration,
    /// Of each other node.
    pub credit: Credit,
}

impl LinkOptions {
    /// Those that have no default; a beat each second, 5 s of silence, [`Credit::default`].
    pub fn new(listen: SocketAddr, tls: LinkTls, cookie: &str, program: &str) -> Self {
        Self {
            listen,
            tls,
            cookie: cookie.to_owned(),
            program: program.to_owned(),
            beat: Duration::from_secs(1),
            deadline: Duration::from_secs(5),
            credit: Credit::default(),
        }
    }
}

impl fmt::Debug for LinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOptions").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Why there is no link.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The network.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A certificate is not taken, say.
    #[error("TLS: {0}")]
    Tls(String),
    /// The node's name is none that a certificate can have.
    #[error("{0} is no name that a certificate can have")]
    NoName(Node),
    /// The other has shown no certificate.
    #[error("the node has shown no certificate")]
    NoCertificate,
    /// It is that of another.
    #[error("the node says that it is {node}, but its certificate is not for {name}")]
    Name {
        /// What it says.
        node: Node,
        /// What its certificate should be for.
        name: String,
    },
    /// Another node is at that address.
    #[error("at the address of {wanted} is {found}")]
    Other {
        /// The one that was looked for.
        wanted: Node,
        /// The one that is there.
        found: Node,
    },
    /// It is this node.
    #[error("the node has the name of this one")]
    Itself,
    /// What it says first is not understood.
    #[error("the node is not understood: {0}")]
    Hello(String),
    /// The versions of the protocol.
    #[error("the node talks versions {} to {} of the protocol, this one {} to {}", theirs.0, theirs.1, ours.0, ours.1)]
    Version {
        /// First and last.
        theirs: (u16, u16),
        /// First and last.
        ours: (u16, u16),
    },
    /// It has said why.
    #[error("the node has refused: {0}")]
    Refused(String),
    /// There is a link to the same start of the node.
    #[error("there is a link already")]
    Connected,
    /// The other node is about to connect as well, and goes on.
    #[error("another connection is being made")]
    Busy,
    /// ractor_cluster has closed the connection.
    #[error(
        "the connection was closed before it was ready: the cookies are not the same, or the connection before is not forgotten yet"
    )]
    Session,
    /// ractor_cluster knows no actor that takes batches there.
    #[error("the node takes no batches")]
    NoGateway,
    /// The process of the link.
    #[error("the link did not start: {0}")]
    Start(String),
    /// It took too long.
    #[error("the node took too long")]
    Slow,
    /// Links are stopped, or are about to start.
    #[error("links are stopped")]
    Stopped,
}

impl LinkError {
    fn hello(why: &dyn fmt::Display) -> Self {
        Self::Hello(why.to_string())
    }

    fn tls(error: std::io::Error) -> Self {
        match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => Self::Tls(inner.to_string()),
            _ => Self::Io(error),
        }
    }

    /// What comes as an error of reading.
    fn after_tls(self) -> Self {
        match self {
            Self::Io(error) => Self::tls(error),
            other => other,
        }
    }
}

/// What became of the links to a node.
#[derive(Clone, Debug, Default)]
struct PeerState {
    ups: u64,
    error: Option<String>,
}

/// What there is to know of the link to a node.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// The node.
    pub node: Node,
    /// Where it is looked for; `None`: it was not asked for, but has connected.
    pub address: Option<String>,
    /// Of a link that is up.
    pub up: Option<Traffic>,
    /// How often there was one.
    pub ups: u64,
    /// Why there was none last.
    pub error: Option<String>,
}

/// The links of a node; clones are the same.
#[derive(Clone)]
pub struct Links(Arc<Shared>);

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links of {}", self.0.system.node())
    }
}

/// The most connections that are being accepted at a time.
const ACCEPTED: usize = 64;
/// The most links.
const LINKS: usize = 1024;

impl Links {
    /// The links of the system's node, and what runs them, to be a child of a supervisor. With nobody to connect to, until
    /// [`Links::set_peers`].
    pub fn new(system: &System, options: LinkOptions) -> (Self, ChildSpec) {
        let shared = Arc::new(Shared::new(system, options));
        let of = |shared: &Arc<Shared>| {
            let shared = Arc::clone(shared);
            move || Arc::clone(&shared)
        };
        let template = ChildSpec::process_with::<Connector>("connector");
        let template = template.restart(Restart::Transient);
        let template = template.backoff(Duration::from_millis(100), Duration::from_secs(5));
        let pool = PoolSpec { max: LINKS, ..PoolSpec::default() };
        let accepted = PoolSpec { max: ACCEPTED, ..PoolSpec::default() };
        let spec = SupervisorSpec::rest_for_one()
            .intensity(3, Duration::from_secs(10))
            .child(ChildSpec::process::<Hub>("hub", of(&shared)))
            .child(ChildSpec::pool::<Link>("links", process::POOL, pool))
            .child(ChildSpec::tasks("accepted", listener::TASKS, accepted))
            .child(ChildSpec::process::<Listener>("listener", of(&shared)))
            .child(ChildSpec::supervisor(
                "connectors",
                SupervisorSpec::simple_one_for_one(template),
            ))
            .child(ChildSpec::process::<Peers>("peers", of(&shared)));
        (Self(shared), ChildSpec::supervisor("links", spec))
    }

    /// The nodes to connect to, and where each is (`host:port`); this one may be among them. To those that are not listed any more nobody
    /// connects, but a link to one that is up stays.
    pub fn set_peers(&self, peers: Vec<(Node, String)>) {
        *self.0.wanted.lock() = peers;
        self.0.wanted_changed.notify_one();
    }

    /// Where nodes connect, while it runs.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.0.address.lock()
    }

    /// What there is to know of each link, by node: those that are asked for, and those that there are or were.
    pub fn info(&self) -> Vec<LinkInfo> {
        let wanted = self.0.wanted.lock().clone();
        let (states, lines) = (self.0.states.lock().clone(), self.0.lines.lock().clone());
        let me = self.0.system.node();
        let mut nodes: Vec<Node> = wanted.iter().map(|(node, _)| *node).collect();
        nodes.extend(states.keys());
        nodes.sort();
        nodes.dedup();
        let info = |node: Node| {
            let state = states.get(&node).cloned().unwrap_or_default();
            let address = wanted.iter().find(|(wanted, _)| *wanted == node);
            LinkInfo {
                node,
                address: address.map(|(_, address)| address.clone()),
                up: lines.get(&node).map(|line| line.traffic()),
                ups: state.ups,
                error: state.error,
            }
        };
        nodes.into_iter().filter(|node| *node != me).map(info).collect()
    }
}
