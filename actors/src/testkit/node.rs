//! The tree of a node in one thread: its real processes, connections and listener included, over pipes in memory, with stores
//! in memory and paused time. A [`Schedule`] has whose turn it is, and what goes wrong.
//!
//! Clients are [`Outside`]. Those that talk at the same time have one each, and are tasks ([`supervision::Task::alone`]), so that they run as
//! the seed has it too.

use super::{START, World, good, outside::Outside, script};
use crate::{
    clock::Clock,
    connection::Port,
    env::{Env, EnvParts},
    hosts::Hosts,
    listener::Source,
    registrar::Modules,
    relief::Gauge,
    settings::Settings,
    throttle::Throttle,
    tree::{Door, Listening, unreachable, with_clients},
};
use auth::Accounts;
use cluster::MemoryRegistry;
use std::{collections::BTreeMap, io, net::IpAddr, ops::Range, sync::Arc};
use storage::{MemoryStore, Stores};
use supervision::{SupervisorRef, System, schedule::Schedule, testkit};
use tls::testkit::Realm;
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
        let stores = wrap(Stores::of(Arc::new(MemoryStore::default())));
        let env = Env::new(EnvParts {
            node: system.node(),
            clustered: false,
            hosts,
            accounts: Accounts::new(Arc::clone(&stores.accounts)),
            stores,
            registry: Arc::new(MemoryRegistry::default()),
            cluster: None,
            managers: 2,
            hooks,
            system: system.clone(),
            settings,
            throttle: Throttle::default(),
            clock: Clock::fixed(START),
            secret: [7; 32],
        });
        let (dock, arrives) = mpsc::channel(16);
        let tree = unreachable(&env, Vec::new(), &children, &Gauge::new(|| Some(0)), Vec::new());
        let tree = with_clients(tree, &env, &[door(&env, arrives)], 1_000);
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

fn door(env: &Arc<Env>, arrives: mpsc::Receiver<DuplexStream>) -> Door<Dock> {
    let port = Port {
        env: Arc::clone(env),
        tls: good(Realm::new()).acceptor,
        direct_tls: false,
        tls_required: false,
        proxy: false,
        proxy_from: Vec::new(),
    };
    let source = Arc::new(Dock(Mutex::new(arrives)));
    Door { source, port: Arc::new(port), listening: Listening::default() }
}
