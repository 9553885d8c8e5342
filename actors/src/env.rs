//! What everything on a node shares: hosts, stores, the table, hooks, settings, metrics.
//!
//! Read-mostly and called in the caller's process; it owns no task and no rule.

use crate::{
    accept::Newcomers,
    clock::Clock,
    connection::shaping::Addresses,
    hooks::{HookTable, Service},
    hosts::Hosts,
    metrics::Metrics,
    pressure::Pressure,
    remote::Cluster,
    resource::{Durability, QueueLimits, Thawing},
    serial::Serial,
    sessions::{managers::Managers, table::Table},
    settings::Settings,
    throttle::Throttle,
};
use arc_swap::{ArcSwap, Guard};
use auth::Accounts;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cluster::SessionRegistry;
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use storage::Stores;
use supervision::{Node, Ref, System};
use tokio::time::Instant;
use xmpp::jid::Jid;

/// The shared parts of a node.
pub struct Env {
    /// The node's name.
    pub node: Node,
    /// When this process started, in milliseconds of the epoch.
    pub incarnation: u64,
    started: Instant,
    served: AtomicU64,
    /// The hosts it serves.
    pub hosts: Hosts,
    /// Where data is kept. Accounts are those of [`accounts`](Self::accounts).
    pub stores: Stores,
    /// All accounts, whoever has them.
    pub accounts: Arc<Accounts>,
    /// Who is bound on this node.
    pub table: Table,
    /// Who is where in the cluster.
    pub registry: Arc<dyn SessionRegistry>,
    /// The other nodes; a node that is alone has none.
    pub cluster: Option<Arc<Cluster>>,
    /// The session managers.
    pub managers: Managers,
    /// Held by whoever stores what several sessions of a user have.
    pub(crate) storing: Serial,
    /// Counters.
    pub metrics: Metrics,
    /// Failed logins by account and address.
    pub throttle: Arc<Throttle>,
    /// The addresses that have connections.
    pub addresses: Arc<Addresses>,
    /// The connections that have not logged on.
    pub newcomers: Newcomers,
    /// How short memory is.
    pub pressure: Pressure,
    /// The wall clock.
    pub clock: Arc<Clock>,
    /// For what must look random and be the same every time (salts of unknown users).
    pub secret: [u8; 32],
    settings: ArcSwap<Settings>,
    hooks: HookTable,
    system: System,
    sessions: AtomicU64,
    /// What waited when the process before this one ended is not here yet.
    restoring: AtomicBool,
    random: SystemRandom,
}

/// What an [`Env`] is made of.
pub struct EnvParts {
    /// The node's name.
    pub node: Node,
    /// The hosts it serves.
    pub hosts: Hosts,
    /// Where data is kept. Who asks for accounts asks `accounts`.
    pub stores: Stores,
    /// All accounts, whoever has them.
    pub accounts: Accounts,
    /// Who is where.
    pub registry: Arc<dyn SessionRegistry>,
    /// The other nodes, if there are any.
    pub cluster: Option<Arc<Cluster>>,
    /// How many session managers there are.
    pub managers: usize,
    /// What modules registered.
    pub hooks: HookTable,
    /// Where the node's processes live.
    pub system: System,
    /// What sessions go by.
    pub settings: Settings,
    /// Login throttle.
    pub throttle: Throttle,
    /// The wall clock.
    pub clock: Clock,
    /// The server secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({})", self.node)
    }
}

impl Env {
    /// Puts the parts together.
    pub fn new(parts: EnvParts) -> Arc<Self> {
        let accounts = Arc::new(parts.accounts);
        let start = parts.cluster.as_ref().map(|cluster| cluster.view.me());
        Arc::new(Self {
            node: parts.node,
            incarnation: start.map_or_else(|| parts.clock.millis(), |start| start.incarnation),
            started: Instant::now(),
            served: AtomicU64::new(0),
            hosts: parts.hosts,
            stores: Stores { accounts: Arc::clone(&accounts) as _, ..parts.stores },
            accounts,
            table: Table::default(),
            registry: parts.registry,
            cluster: parts.cluster,
            managers: Managers::new(parts.managers),
            storing: Serial::default(),
            metrics: Metrics::default(),
            throttle: Arc::new(parts.throttle),
            addresses: Arc::default(),
            newcomers: Newcomers::default(),
            pressure: Pressure::default(),
            clock: Arc::new(parts.clock),
            secret: parts.secret,
            settings: ArcSwap::from_pointee(parts.settings),
            hooks: parts.hooks,
            system: parts.system,
            sessions: AtomicU64::new(1),
            restoring: AtomicBool::new(false),
            random: SystemRandom::new(),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Replaces the settings.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Whether sessions of the process before this one are still to come: until they are here nobody is let in, who may
    /// want to resume one, or get what it holds.
    pub fn is_restoring(&self) -> bool {
        self.restoring.load(Ordering::Acquire)
    }

    pub(crate) fn restoring(&self, restoring: bool) {
        self.restoring.store(restoring, Ordering::Release);
    }

    /// What the modules have registered.
    pub fn hooks(&self) -> &HookTable {
        &self.hooks
    }

    /// The service to which an address belongs.
    pub fn service(&self, jid: &Jid) -> Option<&Service> {
        self.hooks.services.iter().find(|s| s.info.domain == jid.domain())
    }

    /// Whether this node answers for an address: it is of one of its hosts or services.
    pub fn is_local(&self, jid: &Jid) -> bool {
        self.hosts.find(jid).is_some() || self.service(jid).is_some()
    }

    /// The process that took this name, if its messages are `M`: how a module finds its own.
    pub fn process<M: Send + 'static>(&self, name: &str) -> Option<Ref<M>> {
        self.system.lookup(name)
    }

    /// How long the node serves, whatever the wall clock was set to: longer than this process, if that
    /// went on with another's sessions.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed() + Duration::from_millis(self.served.load(Ordering::Relaxed))
    }

    /// This process goes on with a node that has served that long.
    pub(crate) fn went_on(&self, served: Duration) {
        let millis = u64::try_from(served.as_millis()).unwrap_or(u64::MAX);
        self.served.store(millis, Ordering::Relaxed);
    }

    /// The limits of a new resource's queues. Nothing waits in the store when no module keeps messages.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        let mut limits = self.settings().queues;
        if self.hooks.keeper.is_none() {
            limits.durability = Durability::Memory;
        }
        limits
    }

    /// For a resource that goes on in this process.
    pub(crate) fn thawing(&self) -> Thawing<'_> {
        let HookTable { modules, marks, keeper, .. } = &self.hooks;
        let (id, limits, clock) = (self.next_session(), self.queue_limits(), &self.clock);
        Thawing { id, limits, clock, modules, marks, keeps: keeper.is_some() }
    }

    /// A session number never used before on this node.
    pub fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// 128 random bits as text: stream ids, resources, resume tokens (RFC 6120 section 4.7.3
    /// demands that a stream id cannot be guessed).
    pub fn token(&self) -> String {
        let mut bytes = [0_u8; 16];
        if self.random.fill(&mut bytes).is_err() {
            // the system has no randomness: nothing secure can be done, and nothing unsafe is
            tracing::error!("the system's random generator failed");
            bytes[..8].copy_from_slice(&self.next_session().to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A stream id.
    pub fn stream_id(&self) -> String {
        self.token()
    }
}
