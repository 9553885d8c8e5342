//! How a node becomes one of several: registry, links, relay and membership put together.

use super::{
    credentials::{Credentials, CredentialsError},
    later::Later,
    redis::{self, RedisError},
    secret::Purpose,
    tls::{self, Shown, Watcher},
};
use actors::{
    env::Env,
    metrics::{Histogram, answer_times},
    remote::{Cluster, custody::CUSTODY, heirs::Heirs, inbound::Inbound},
};
use cluster::{
    Exchange, LinkOptions, Links, Member, MemoryRegistry, Net, Relay, SessionRegistry, Start, View,
    members::{Events, Membership, Parts, Terms},
    registry::redis::{OpenError, RedisRegistry},
};
use config::Config;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use supervision::{ChildSpec, Node, System};
use thiserror::Error;
use tokio::sync::Notify;

/// How much earlier than its lease is over a node stops acting, and how much later others take it for dead.
const MARGIN: Duration = Duration::from_secs(1);

/// A node cannot be one of a cluster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The options of Redis.
    #[error(transparent)]
    Options(#[from] RedisError),
    /// Redis cannot be used.
    #[error("redis: {0}")]
    Redis(#[from] OpenError),
    /// What it has to show others.
    #[error("cluster.credentials: {0}")]
    Credentials(#[from] CredentialsError),
    /// An entry of the list of nodes.
    #[error("cluster.peers: {0:?} is not NAME=HOST:PORT")]
    Peer(String),
    /// Where others are told to connect.
    #[error("cluster.address: {0:?} is not HOST:PORT")]
    Address(String),
    /// What a node that is alone has no use for.
    #[error("{0} is set, and the node is alone: set cluster.name, or leave it out")]
    Alone(&'static str),
}

/// What a node has of the others before it is put together.
pub(crate) struct Joining {
    pub registry: Arc<dyn SessionRegistry>,
    pub cluster: Option<Arc<Cluster>>,
    parts: Option<Apart>,
}

struct Apart {
    redis: Arc<RedisRegistry>,
    inbound: Arc<Inbound>,
    net: Arc<Net>,
    links: Option<(Links, ChildSpec, Arc<Shown>)>,
}

/// What a node has of the others, for its shell and its metrics.
#[derive(Clone)]
pub(crate) struct Joined {
    pub redis: Arc<RedisRegistry>,
    /// How long it takes for an answer.
    pub answers: Histogram,
    pub links: Option<Links>,
    pub view: Arc<View>,
    /// Where others connect.
    pub address: String,
    /// See [`alike`].
    pub digest: u64,
    /// Asks the operators' commands of others.
    pub admin: Arc<dyn Exchange>,
    /// And answers theirs.
    pub desk: Arc<Later>,
    /// The registry was complete once.
    was_complete: Arc<AtomicBool>,
}

impl Joined {
    /// Whether it was known since the start of this node who is connected to the others. When the registry is away later, they are asked.
    pub(crate) fn has_known_all(&self) -> bool {
        let complete = self.redis.shown().complete;
        self.was_complete.fetch_or(complete, Ordering::Relaxed) || complete
    }
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The secret of what must look random and be the same every time: of the whole cluster, if the node is part of one.
///
/// # Errors
/// When the cluster's cannot be read.
pub(crate) fn shared_secret(config: &Config) -> Result<Option<[u8; 32]>, CredentialsError> {
    if config.cluster.name.is_none() {
        return Ok(None);
    }
    let secret = Credentials::of(config).secret()?;
    Ok(secret.derive(Purpose::Salts).first().map(|salts| **salts))
}

impl Joining {
    /// Of a node that has to do with no other.
    pub(crate) fn alone() -> Self {
        Self { registry: Arc::new(MemoryRegistry::default()), cluster: None, parts: None }
    }

    /// As configured. Redis need not answer.
    ///
    /// # Errors
    /// When it can never work.
    pub(crate) async fn new(config: &Config, system: &System) -> Result<Self, JoinError> {
        addresses(config)?;
        let Some(options) = redis::options(config)? else {
            return Ok(Self::alone());
        };
        let links = links(config, system)?;
        let redis = RedisRegistry::open(options).await?;
        let me = Start { node: system.node(), incarnation: wall_clock() };
        let (view, net, inbound) = (Arc::new(View::new(me)), Net::new(system), Arc::default());
        let queue = config.cluster.queue.0;
        let handler = Arc::<Inbound>::clone(&inbound);
        let wire = Arc::<Net>::clone(&net);
        let relay = Relay::new(Arc::clone(&view), wire, handler, queue);
        let cluster = Cluster::new(view, relay, net.exchange(SESSIONS), CUSTODY);
        Ok(Self {
            registry: Arc::<RedisRegistry>::clone(&redis),
            cluster: Some(Arc::new(cluster)),
            parts: Some(Apart { redis, inbound, net, links }),
        })
    }

    /// What the node has of the others, and the processes that this takes, in the order of their start. `replaced` is told when another
    /// process has the node's name.
    pub(crate) fn children(
        self,
        env: &Arc<Env>,
        (config, modules): (&Config, &[String]),
        replaced: &Arc<Notify>,
    ) -> Result<(Option<Joined>, Vec<ChildSpec>), JoinError> {
        let (Some(Apart { redis, inbound, net, links }), Some(cluster)) =
            (self.parts, self.cluster)
        else {
            return Ok((None, Vec::new()));
        };
        inbound.serves(env);
        let view = Arc::clone(&cluster.view);
        let (links, link_children) = match links {
            Some((links, child, shown)) => (Some(links), vec![Watcher::child(&shown), child]),
            None => (None, Vec::new()),
        };
        let joined = Joined {
            redis: Arc::clone(&redis),
            answers: answer_times(),
            links: links.clone(),
            view: Arc::clone(&view),
            address: address(config),
            digest: alike(config, modules),
            admin: net.exchange(ADMIN),
            desk: Arc::default(),
            was_complete: Arc::default(),
        };
        let answers = joined.answers.clone();
        redis.tell(Box::new(move |_, took, _| answers.observe(took.as_secs_f64())));
        let events = Arc::new(Told {
            env: Arc::downgrade(env),
            cluster: Arc::clone(&cluster),
            links,
            peers: peers(&config.cluster.peers)?,
            address: joined.address.clone(),
            digest: joined.digest,
            said: Mutex::new(None),
            replaced: Arc::clone(replaced),
        });
        let lease = config.cluster.lease;
        let membership = Membership::new(Parts {
            view: Arc::clone(&view),
            leases: Arc::<RedisRegistry>::clone(&redis),
            exchange: net.exchange(MEMBERS),
            events,
            terms: Terms { lease, margin: MARGIN, renew: lease / 5, ..Terms::default() },
            clock: wall_clock,
        });
        let mut children = vec![
            RedisRegistry::child(&redis),
            Net::answering(SESSIONS, inbound),
            Net::answering(MEMBERS, Arc::new(Arc::clone(&membership))),
            Net::answering(ADMIN, Arc::<Later>::clone(&joined.desk)),
            Net::watcher(&view, &cluster.relay),
        ];
        children.extend(link_children);
        children.push(membership.child());
        Ok((Some(joined), children))
    }
}

/// Who answers questions about sessions, about leases, and those of operators.
const SESSIONS: &str = "sessions";
const MEMBERS: &str = "membership";
const ADMIN: &str = "commands";

fn links(
    config: &Config,
    system: &System,
) -> Result<Option<(Links, ChildSpec, Arc<Shown>)>, JoinError> {
    if config.cluster.name.is_none() {
        return Ok(None);
    }
    let credentials = Credentials::of(config);
    let (shown, tls) = Shown::load(&credentials, &config.server.node)?;
    let cookie = credentials.cookie()?;
    let options = LinkOptions {
        beat: config.cluster.silence / 5,
        deadline: config.cluster.silence,
        ..LinkOptions::new(config.cluster.listen, tls, &cookie, env!("CARGO_PKG_VERSION"))
    };
    let (links, child) = Links::new(system, options);
    Ok(Some((links, child, shown)))
}

/// Whether it is said where nodes find one another, and makes sense.
fn addresses(config: &Config) -> Result<(), JoinError> {
    let options = &config.cluster;
    let of_others = [
        ("cluster.address", options.address.is_some()),
        ("cluster.credentials", options.credentials.is_some()),
        ("cluster.peers", !options.peers.is_empty()),
    ];
    let set = of_others.into_iter().find(|(_, set)| *set && options.name.is_none());
    if let Some((option, _)) = set {
        return Err(JoinError::Alone(option));
    }
    let port = |text: &str| text.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
    match &options.address {
        Some(address) if !port(address) => Err(JoinError::Address(address.clone())),
        _ => Ok(()),
    }
}

fn peers(listed: &[String]) -> Result<Vec<(Node, String)>, JoinError> {
    let peer = |text: &String| {
        let (name, address) = text.split_once('=')?;
        let node = Node::new(name.trim()).ok()?;
        address.contains(':').then(|| (node, address.trim().to_owned()))
    };
    let read = |text| peer(text).ok_or_else(|| JoinError::Peer(text.clone()));
    listed.iter().map(read).collect()
}

/// Where other nodes are told to connect.
fn address(config: &Config) -> String {
    let listen = config.cluster.listen;
    match &config.cluster.address {
        Some(address) => address.clone(),
        None if listen.ip().is_unspecified() => {
            let name = rustix::system::uname();
            format!("{}:{}", name.nodename().to_string_lossy(), listen.port())
        }
        None => listen.to_string(),
    }
}

/// Whether what a configuration says of other nodes can be used: files are read, and nobody is asked.
///
/// # Errors
/// The first that cannot.
pub fn check(config: &Config) -> Result<(), JoinError> {
    redis::options(config)?;
    addresses(config)?;
    peers(&config.cluster.peers)?;
    if config.cluster.name.is_some() {
        let credentials = Credentials::of(config);
        credentials.cookie()?;
        credentials.secret()?;
        tls::check(&credentials, &config.server.node)?;
    }
    Ok(())
}

/// Of what all nodes of a cluster must have alike: hosts, and what decides about clients; the modules with their options.
fn alike(config: &Config, modules: &[String]) -> u64 {
    let mut hosts = config.server.hosts.clone();
    hosts.sort();
    let limits = &config.limits;
    let text = format!(
        "{hosts:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {modules:?}",
        (limits.max_stanza, limits.max_resources, limits.queued, limits.queued_bytes),
        config.sasl,
        config.stream_management,
        config.delivery,
        config.mongodb.database,
        config.mongodb_accounts,
        config.http_accounts,
        config.cluster.lease,
    );
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// What the membership tells the rest of the node.
struct Told {
    env: Weak<Env>,
    cluster: Arc<Cluster>,
    links: Option<Links>,
    /// Where nodes are, whatever they say.
    peers: Vec<(Node, String)>,
    address: String,
    digest: u64,
    /// To which nodes links were wanted last.
    said: Mutex<Option<Vec<(Node, String)>>>,
    replaced: Arc<Notify>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Told({})", self.address)
    }
}

impl Told {
    fn heirs(&self, tell: impl FnOnce(&Heirs)) {
        if let Some(env) = self.env.upgrade() {
            tell(&Heirs::of(&env));
        }
    }

    /// Has links made to those that are there.
    fn look_around(&self) {
        let Some(links) = &self.links else { return };
        let others = self.cluster.view.others();
        let mut all: Vec<_> = others
            .values()
            .map(|other| (other.member.node, other.member.address.clone()))
            .filter(|(node, _)| !self.peers.iter().any(|(listed, _)| listed == node))
            .collect();
        all.extend(self.peers.iter().cloned());
        let mut said = self.said.lock();
        if said.as_ref() != Some(&all) {
            links.set_peers(all.clone());
            *said = Some(all);
        }
    }
}

impl Events for Told {
    fn describe(&self, me: &mut Member) {
        let bound = self.links.as_ref().and_then(Links::address);
        me.address.clone_from(&self.address);
        // any free port
        if let (Some(at), Some((host, "0"))) = (bound, self.address.rsplit_once(':')) {
            me.address = format!("{host}:{}", at.port());
        }
        env!("CARGO_PKG_VERSION").clone_into(&mut me.version);
        me.digest = self.digest;
        me.sessions = self.env.upgrade().map_or(0, |env| env.table.len() as u64);
        me.confirmed = self.cluster.confirms.confirmed();
        self.look_around();
    }

    fn up(&self, member: &Member) {
        tracing::info!(node = %member.node, address = member.address, "a node is there");
        if member.digest != self.digest {
            let node = &member.node;
            tracing::error!(%node, "a node is configured otherwise: hosts, limits or accounts differ");
        }
        self.look_around();
    }

    fn dead(&self, start: Start) {
        tracing::warn!(node = %start.node, incarnation = start.incarnation, "a node is no more");
        self.cluster.relay.dead(start);
        self.look_around();
    }

    fn gone(&self, sessions: Vec<cluster::Entry>) {
        self.heirs(|heirs| heirs.gone(sessions));
    }

    fn swept(&self, start: Start) {
        self.heirs(|heirs| heirs.swept(start));
    }

    fn emptied(&self, epoch: u64) {
        self.cluster.confirms.emptied(epoch);
    }

    fn begins_anew(&self) {
        self.cluster.relay.begins_anew();
        self.heirs(Heirs::begins_anew);
    }

    fn replaced(&self) {
        tracing::error!(
            "another process has the name of this node (server.node), and was started later: this one ends"
        );
        self.replaced.notify_one();
    }
}
