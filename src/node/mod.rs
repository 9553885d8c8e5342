//! A running node: [`Node::start`] puts it together, [`Node::stop`] ends it in reverse order.

mod descriptors;
pub(crate) mod memory;
mod reload;
pub(crate) mod shared;
mod sockets;
mod tree;

pub use memory::resident;
pub use reload::Reloaded;
pub use sockets::{Addresses, BindError};

use crate::{
    admin::{self, SocketError},
    certificates::{CertificateError, Sources},
    cluster::{
        credentials::CredentialsError,
        join::{self, JoinError, Joining},
    },
    elsewhere::{self, ElsewhereError},
    files::{self, FileError},
    secret::{self, SecretError},
    settings::{self, Setup},
    telemetry::metrics,
    tickets::{self, NoTickets},
};
use actors::{
    clock::Clock,
    connection::Port,
    env::{Env, EnvParts},
    metrics::page::{self, Format},
    tree::{Door, Listening},
};
use config::Config;
use parking_lot::Mutex;
use shared::Shared;
use std::{sync::Arc, thread::available_parallelism, time::Duration};
use storage::{Asked, BackendError};
use supervision::{
    CrashLog, Exit, Node as Name, StartError, SupervisorRef, System, crash::CrashLogLimits, id,
};
use thiserror::Error;
use tls::{Acceptor, SetupError};
use tokio::{net::TcpListener, time::Instant};
use tree::{Outside, Parts};

/// Why a node does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No node can have this name.
    #[error("server.node: {0:?}: {1}")]
    Name(String, id::NodeError),
    /// Modules contradict each other.
    #[error("{}", .0.join("\n"))]
    Modules(Vec<String>),
    /// A file or directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificates cannot be used together.
    #[error(transparent)]
    Tls(#[from] SetupError),
    /// It cannot be one of a cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// It lacks what the nodes of its cluster share.
    #[error("cluster.credentials: {0}")]
    Credentials(#[from] CredentialsError),
    /// There are no keys for TLS tickets.
    #[error(transparent)]
    Tickets(#[from] NoTickets),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] BackendError),
    /// Accounts that belong to another application cannot be used.
    #[error(transparent)]
    Elsewhere(#[from] ElsewhereError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin socket cannot be used.
    #[error(transparent)]
    Admin(#[from] SocketError),
    /// A process did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    root: SupervisorRef,
}

impl Node {
    /// Starts a node and waits until it serves clients.
    ///
    /// # Errors
    /// When something cannot be used or started; what had been started is stopped again.
    pub async fn start(setup: Setup) -> Result<Self, NodeError> {
        // whoever starts a node has its future within their own
        Box::pin(Self::start_with(setup, true)).await
    }

    /// Starts a node that nobody can reach: for work on its stores while it is down.
    ///
    /// # Errors
    /// As [`Node::start`]; also when the node runs.
    pub async fn start_offline(setup: Setup) -> Result<Self, NodeError> {
        Box::pin(Self::start_with(setup, false)).await
    }

    async fn start_with(
        Setup { config, modules, chosen, gauge }: Setup,
        reachable: bool,
    ) -> Result<Self, NodeError> {
        let started = Instant::now();
        // libraries bring two, and those that ask for none want to know which; the second node of a program finds it there
        drop(rustls::crypto::ring::default_provider().install_default());
        let hosts = settings::hosts(&config);
        let (hooks, modules) = modules.build(&hosts).map_err(NodeError::Modules)?;
        let data = &config.server.data;
        files::make_dir(data)?;
        let crashes = Some(data.join("crashes"));
        let name = &config.server.node;
        let node = Name::new(name).map_err(|error| NodeError::Name(name.clone(), error))?;
        let system = System::on(node, name, CrashLog::new(CrashLogLimits::default(), crashes));
        system.set_version(env!("CARGO_PKG_VERSION"));
        let backend = settings::backend(&config).await?;
        let own = Arc::clone(&backend.stores().accounts);
        let accounts = elsewhere::accounts(&config, own, &system).await?;
        let joining = match reachable {
            true => Joining::new(&config, &system).await?,
            false => Joining::alone(),
        };
        let env = Env::new(EnvParts {
            node,
            clustered: config.cluster.name.is_some(),
            hosts,
            accounts,
            stores: backend.stores().clone(),
            registry: Arc::clone(&joining.registry),
            cluster: joining.cluster.clone(),
            managers: available_parallelism().map_or(4, |n| (2 * n.get()).clamp(2, 32)),
            hooks,
            system: system.clone(),
            settings: settings::sessions(&config),
            throttle: settings::throttle(&config),
            clock: Clock::default(),
            secret: join::shared_secret(&config)?.map_or_else(|| secret::load(data), Ok)?,
        });
        let stop = Arc::default();
        let (joined, nodes) = joining.children(&env, (&config, &chosen), &stop)?;
        let [writes, reads] = env.metrics.store_answers();
        backend.tell(move |asked, took| match asked {
            Asked::Write => writes.observe(took.as_secs_f64()),
            Asked::Read => reads.observe(took.as_secs_f64()),
        });
        if reachable {
            files::warn_of_exposed(data);
        }
        let sockets = if reachable { Some(Sockets::bind(&config)?) } else { None };
        let outside = sockets.as_ref().map(|s| s.outside(&env, &config)).transpose()?;
        let listening =
            outside.iter().flat_map(|o| &o.c2s).map(|door| Arc::clone(&door.listening)).collect();
        let shared = Arc::new(Shared {
            env,
            system,
            backend,
            nodes: joined,
            addresses: sockets.as_ref().map(Sockets::addresses).unwrap_or_default(),
            config: Mutex::new(Arc::new(config)),
            listening,
            started,
            stop,
        });
        if let Some(joined) = &shared.nodes {
            joined.desk.is(admin::Desk::of(&shared));
        }
        if let Some(name) = page::twice(&metrics::page(&shared, Format::Text)) {
            return Err(NodeError::Modules(vec![format!("two metrics have the name {name}")]));
        }
        Self::run(Parts { shared, modules, gauge, nodes, outside }).await
    }

    async fn run(parts: Parts) -> Result<Self, NodeError> {
        let shared = Arc::clone(&parts.shared);
        let root = shared.system.start(tree::tree(parts)).await?;
        Ok(Self { shared, root })
    }

    /// Where it answers.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// How long it has been running, the start included.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Its shared parts: stores, table, metrics.
    pub fn env(&self) -> &Arc<Env> {
        &self.shared.env
    }

    /// Its processes.
    pub fn system(&self) -> &System {
        &self.shared.system
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Resolves when an operator asks the node to stop. The owner of the node then does it.
    pub async fn asked_to_stop(&self) {
        self.shared.stop.notified().await;
    }

    /// Resolves when the tree has ended, in whatever way: if nobody stopped it, then because its
    /// processes ended too often.
    pub async fn ended(&self) -> Exit {
        self.root.pid().wait().await
    }

    /// Whether clients are served.
    ///
    /// # Errors
    /// What is missing.
    pub async fn ready(&self) -> Result<(), String> {
        self.shared.ready().await
    }

    /// Stops it in the reverse order of its start. Clients are told; what they were promised is
    /// on the disk when it returns.
    pub async fn stop(self) -> Exit {
        let exit = self.root.stop().await;
        self.shared.system.crashes().flush();
        exit
    }
}

/// What was bound before the start.
struct Sockets {
    starttls: Vec<Arc<TcpListener>>,
    direct_tls: Vec<Arc<TcpListener>>,
    http: Vec<Arc<TcpListener>>,
    admin: Arc<admin::Socket>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, NodeError> {
        Ok(Self {
            starttls: sockets::bind("c2s.starttls", &config.c2s.starttls)?,
            direct_tls: sockets::bind("c2s.direct_tls", &config.c2s.direct_tls)?,
            http: sockets::bind("http.listen", &config.http.listen)?,
            admin: Arc::new(admin::Socket::bind(&config.admin_socket())?),
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            starttls: sockets::local(&self.starttls),
            direct_tls: sockets::local(&self.direct_tls),
            http: sockets::local(&self.http),
            admin: Some(self.admin.path().to_owned()),
        }
    }

    fn outside(&self, env: &Arc<Env>, config: &Config) -> Result<Outside, NodeError> {
        let sources = Sources::new(config);
        let tickets = tickets::Source::of(config);
        let tls = Acceptor::new(sources.load()?, &tickets.load()?)?;
        tls.pad(u16::try_from(config.c2s.padding.0).unwrap_or(0));
        let port = |direct_tls| {
            Arc::new(Port {
                env: Arc::clone(env),
                tls: Arc::clone(&tls),
                direct_tls,
                tls_required: config.c2s.require_tls,
                proxy: config.c2s.proxy_protocol,
                proxy_from: config.c2s.proxy_from.clone(),
            })
        };
        let with = |sockets: &[Arc<TcpListener>], port: Arc<Port>| -> Vec<_> {
            let door = |socket| Door {
                source: Arc::clone(socket),
                port: Arc::clone(&port),
                listening: Listening::default(),
            };
            sockets.iter().map(door).collect()
        };
        let mut c2s = with(&self.starttls, port(false));
        c2s.extend(with(&self.direct_tls, port(true)));
        Ok(Outside {
            sources,
            tickets,
            tls,
            c2s,
            max_connections: descriptors::clients(config.c2s.max_connections),
            http: self.http.clone(),
            admin: Arc::clone(&self.admin),
        })
    }
}
