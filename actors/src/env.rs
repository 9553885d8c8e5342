//! What everything on a node shares: hosts, stores, the table, hooks, settings, metrics.
//!
//! Read-mostly and called in the caller's process; it owns no task and no rule.

use crate::{
    accept::Newcomers,
    connection::shaping::{Addresses, Rate},
    hooks::HookTable,
    metrics::Metrics,
    pressure::Pressure,
    resource::QueueLimits,
    service::Service,
    sessions::{manager::Managers, table::Table},
    throttle::Throttle,
};
use arc_swap::{ArcSwap, Guard};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cluster::{NodeId, SessionRegistry};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::Stores;
use supervision::{Ref, System};
use tokio::time::Instant;
use xmpp::{
    framer::Limits,
    jid::Jid,
    sasl::{Hash, Mechanism},
};

/// The domains whose users this node serves (RFC 6120 section 1.3: one server, several domains).
#[derive(Debug, Default)]
pub struct Hosts(Vec<Arc<str>>);

impl Hosts {
    /// The hosts, the default one first. Names must be prepared domainparts.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The host of an address, if it is one of ours.
    pub fn find(&self, jid: &Jid) -> Option<Arc<str>> {
        self.0.iter().find(|h| &***h == jid.domain()).cloned()
    }

    /// The host of that name.
    pub fn named(&self, name: &str) -> Option<Arc<str>> {
        self.0.iter().find(|h| &***h == name).cloned()
    }

    /// The first host: whose name goes into errors for clients that did not say which.
    pub fn default(&self) -> Option<Arc<str>> {
        self.0.first().cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }
}

/// What sessions go by; replaced as a whole when the configuration is reloaded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest stanza of an authenticated client, in bytes.
    pub max_stanza: usize,
    /// Largest stanza before authentication, in bytes.
    pub max_stanza_unauthenticated: usize,
    /// Deepest nesting of elements.
    pub max_depth: usize,
    /// From accept to a bound resource.
    pub negotiation_timeout: Duration,
    /// Authentication attempts on one stream (RFC 6120 section 6.4.4: 2 to 5).
    pub max_sasl_failures: u8,
    /// Resources a user may have bound.
    pub max_resources: usize,
    /// Longest XEP-0198 resume window; zero: resumption is not offered.
    pub resume_window: Duration,
    /// A silent client is pinged after this (XEP-0199); what XEP-0478 announces.
    pub idle: Duration,
    /// SASL mechanisms in the order of preference. PLAIN is offered under TLS only, -PLUS where
    /// there is a channel to bind to.
    pub mechanisms: Vec<Mechanism>,
    /// Queue limits of a resource.
    pub queues: QueueLimits,
    /// How fast one client may send.
    pub session_rate: Rate,
    /// How fast all clients of one address may send together.
    pub address_rate: Rate,
    /// Connections one address may have.
    pub max_per_address: usize,
    /// Memory the node may use, in bytes; 0: any.
    pub memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_stanza: 256 << 10,
            max_stanza_unauthenticated: 10_000,
            max_depth: 64,
            negotiation_timeout: Duration::from_secs(30),
            max_sasl_failures: 5,
            max_resources: 16,
            resume_window: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            mechanisms: Hash::ALL
                .into_iter()
                .flat_map(|hash| [true, false].map(|plus| Mechanism::Scram { hash, plus }))
                // who knows no other -PLUS can bind to tls-unique alone, which is not there
                .filter(|m| *m != Mechanism::Scram { hash: Hash::Sha1, plus: true })
                .chain([Mechanism::Plain])
                .collect(),
            queues: QueueLimits::default(),
            session_rate: Rate { bytes: 128 << 10, burst: 512 << 10 },
            address_rate: Rate { bytes: 0, burst: 0 },
            max_per_address: 1_000,
            memory: 0,
        }
    }
}

impl Settings {
    /// The framer's limits before and after authentication.
    pub fn framer_limits(&self, authenticated: bool) -> Limits {
        let max_stanza =
            if authenticated { self.max_stanza } else { self.max_stanza_unauthenticated };
        Limits { max_stanza, max_depth: self.max_depth, ..Limits::default() }
    }

    /// The idle time that XEP-0478 announces, in seconds.
    pub fn idle_seconds(&self) -> u64 {
        self.idle.as_secs()
    }
}

/// Where the wall clock comes from: the system, or a test. It can be set, so how long something takes
/// is measured with tokio's.
#[derive(Debug)]
pub struct Clock {
    fixed: Option<AtomicU64>,
    made: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { fixed: None, made: Instant::now() }
    }
}

impl Clock {
    /// Milliseconds since the epoch.
    pub fn millis(&self) -> u64 {
        match &self.fixed {
            Some(at) => at.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Whole seconds since it was made, whatever it was set to: what is kept of a time where an `Instant`
    /// would cost too much. Differences wrap.
    pub(crate) fn seconds(&self) -> u32 {
        u32::try_from(self.made.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// A clock that stands until it is told to go on.
    pub fn fixed(millis: u64) -> Self {
        Self { fixed: Some(AtomicU64::new(millis)), ..Self::default() }
    }

    /// Sets a fixed clock, also back.
    pub fn set(&self, millis: u64) {
        if let Some(at) = &self.fixed {
            at.store(millis, Ordering::Relaxed);
        }
    }

    /// Moves a fixed clock.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.fixed {
            at.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

/// The shared parts of a node.
pub struct Env {
    /// The node's name.
    pub node: NodeId,
    /// When this process started, in milliseconds of the epoch.
    pub incarnation: u64,
    started: Instant,
    served: AtomicU64,
    /// The hosts it serves.
    pub hosts: Hosts,
    /// Where data is kept.
    pub stores: Stores,
    /// Who is bound on this node.
    pub table: Table,
    /// Who is where in the cluster.
    pub registry: Arc<dyn SessionRegistry>,
    /// The session managers.
    pub managers: Managers,
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
    random: SystemRandom,
}

/// What an [`Env`] is made of.
pub struct EnvParts {
    /// The node's name.
    pub node: NodeId,
    /// The hosts it serves.
    pub hosts: Hosts,
    /// Where data is kept.
    pub stores: Stores,
    /// Who is where.
    pub registry: Arc<dyn SessionRegistry>,
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
        Arc::new(Self {
            node: parts.node,
            incarnation: parts.clock.millis(),
            started: Instant::now(),
            served: AtomicU64::new(0),
            hosts: parts.hosts,
            stores: parts.stores,
            table: Table::default(),
            registry: parts.registry,
            managers: Managers::new(parts.managers),
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

    /// What the modules have registered.
    pub fn hooks(&self) -> &HookTable {
        &self.hooks
    }

    /// The service to which an address belongs.
    pub fn service(&self, jid: &Jid) -> Option<&Service> {
        self.hooks.services.iter().find(|s| s.has(jid))
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
