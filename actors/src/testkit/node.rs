//! The tree of a node in one thread: its real processes, connections and listener included, over pipes in memory, with stores
//! in memory and paused time. A [`Schedule`] has whose turn it is, and what goes wrong.
//!
//! Clients are [`Outside`]. Those that talk at the same time have one each, and are tasks ([`supervision::Task::alone`]), so that they run as
//! the seed has it too.

use super::{START, World, good, outside::Outside, script};
use crate::{
    clock::Clock,
    connection::{Accepted, Connection, Port, Socket, tls::TlsAcceptor},
    env::{Env, EnvParts},
    gate::Clients,
    hosts::Hosts,
    listener::{Arrival, Entrance, Listener, POOL, Source},
    registrar::Modules,
    relief::{Gauge, Watcher},
    sessions,
    settings::Settings,
    throttle::Throttle,
};
use cluster::{MemoryRegistry, NodeId};
use std::{collections::BTreeMap, io, net::IpAddr, ops::Range, sync::Arc, time::Duration};
use storage::{MemoryStore, Stores};
use supervision::{
    ChildSpec, PoolSpec, SupervisorRef, SupervisorSpec, System, schedule::Schedule, testkit,
};
use tokio::{
    io::DuplexStream,
    sync::{Mutex, mpsc},
};

/// Where the node listens.
struct Dock(Mutex<mpsc::Receiver<DuplexStream>>);

impl Source for Dock {
    type Stream = DuplexStream;
    type Peer = IpAddr;

    async fn accept(&self) -> io::Result<(DuplexStream, IpAddr)> {
        let next = self.0.lock().await.recv().await;
        next.map(|pipe| (pipe, [127, 0, 0, 1].into())).ok_or(io::ErrorKind::BrokenPipe.into())
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

/// A node under a schedule.
#[derive(Debug)]
pub struct Node {
    /// The shared parts.
    pub env: Arc<Env>,
    /// Its processes.
    pub system: System,
    /// Its tree.
    pub root: SupervisorRef,
    dock: mpsc::Sender<DuplexStream>,
}

impl Node {
    /// Starts one. Call it under tokio's paused time.
    ///
    /// # Panics
    /// When it does not start: it is for tests.
    pub async fn start(
        schedule: &Schedule,
        modules: Modules,
        settings: Settings,
        wrap: impl FnOnce(Stores) -> Stores,
    ) -> Self {
        let system = System::scheduled("node", schedule.clone());
        let hosts = Hosts::new(["localhost"].map(Arc::from));
        let built = modules.build(&hosts);
        let (hooks, children) = good(built.map_err(|conflicts| conflicts.join(", ")));
        let env = Env::new(EnvParts {
            node: NodeId::new("node"),
            hosts,
            stores: wrap(Stores::of(Arc::new(MemoryStore::default()))),
            registry: Arc::new(MemoryRegistry::default()),
            managers: 2,
            hooks,
            system: system.clone(),
            settings,
            throttle: Throttle::default(),
            clock: Clock::fixed(START),
            secret: [7; 32],
        });
        let (dock, arrives) = mpsc::channel(16);
        let modules = children.specs(&env);
        let modules =
            modules.into_iter().fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
        // as `src/node/tree.rs` of `mangrove` has it, without what only a system has: files, sockets, certificates
        let tree = SupervisorSpec::one_for_one()
            .intensity(10, Duration::from_secs(60))
            .child(ChildSpec::supervisor("modules", modules))
            .child(ChildSpec::supervisor("session_managers", sessions::spec(&env)))
            .child(Watcher::child(&env, &Gauge::new(|| Some(0))))
            .child(sessions::restored(&env))
            .child(ChildSpec::supervisor("c2s", c2s(&env, arrives)));
        let root = good(system.start(tree).await);
        Self { env, system, root, dock }
    }

    /// Runs a script against the node, under each of the seeds: see [`script`]. Each client does what the script says at its
    /// line, and the node's processes run as the seed has it.
    ///
    /// # Panics
    /// When the script is not followed under a seed; which it was, and how to have it again, is said.
    #[track_caller]
    pub fn check(seeds: Range<u64>, text: &str, add: impl Fn(&mut Modules)) {
        testkit::every_seed(seeds, |schedule| {
            World::block_on(async {
                let mut modules = Modules::default();
                add(&mut modules);
                let node = Self::start(&schedule, modules, Settings::default(), |s| s).await;
                let mut clients = node.clients();
                good(script::follow(text, &mut clients).await);
                drop(clients);
                node.stop().await;
            });
        });
    }

    /// Somebody outside: any number of clients.
    pub fn clients(&self) -> Outside {
        Outside { env: Arc::clone(&self.env), dock: self.dock.clone(), all: BTreeMap::new() }
    }

    /// Stops the tree: every process and every session has ended then.
    ///
    /// # Panics
    /// When one has not.
    pub async fn stop(self) {
        self.root.stop().await;
        assert_eq!(self.system.alive(), 0, "every process ends with its tree");
        assert!(self.env.table.is_empty(), "every session ends with the tree");
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 0, "every task is a process");
    }
}

fn c2s(env: &Arc<Env>, arrives: mpsc::Receiver<DuplexStream>) -> SupervisorSpec {
    let tls = good(TlsAcceptor::without());
    let port = Arc::new(Port {
        env: Arc::clone(env),
        tls,
        direct_tls: false,
        tls_required: false,
        proxy: false,
        proxy_from: Vec::new(),
    });
    let source = Arc::new(Dock(Mutex::new(arrives)));
    let entrance = Arc::new(Entrance {
        source,
        gate: Arc::new(Clients { port: Arc::clone(&port), max: 1_000 }),
        pool: POOL,
        serve: Arc::new(move |Arrival { stream, peer, pass, progress }: Arrival<Dock, Clients>| {
            let (socket, port) = (Socket::from(stream), Arc::clone(&port));
            Accepted { socket, peer, admission: pass, progress, port }
        }),
    });
    SupervisorSpec::rest_for_one()
        .child(ChildSpec::pool::<Connection>("connections", POOL, PoolSpec::default()))
        .child(ChildSpec::process::<Listener<Dock, Clients, Connection>>("listener", move || {
            Arc::clone(&entrance)
        }))
}
