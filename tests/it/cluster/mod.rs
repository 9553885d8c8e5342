//! A cluster as its users have it: nodes that are processes of their own, with a real Redis and a real MongoDB.

mod apart;
mod clients;
mod ends;
mod races;
mod redis;
mod resumed;
mod roam;
mod start;
mod stopped;
mod together;
mod traffic;

use crate::{
    http,
    support::{CONFIG, Program, Running, database, net::Net, until},
};
use cluster::testkit::RedisServer;
use rustix::process::Signal;
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};
use storage::testkit::ReplicaSet;
use tempfile::TempDir;

/// For how long a node is not taken for dead: the shortest that can be configured.
const LEASE: &str = "4s";

/// What a line of the log has in it that is about that node.
pub fn of(node: &str) -> String {
    format!("\"node\":\"{node}\"")
}

/// What the nodes of a cluster share.
pub struct Shared {
    pub redis: RedisServer,
    /// Where nodes find the registry,
    registry: String,
    /// and the options of the database, which no other cluster has.
    database: String,
    credentials: TempDir,
    options: &'static str,
    /// It ends with the last test that has it.
    set: Arc<ReplicaSet>,
}

impl Shared {
    /// With these options of each node besides.
    pub async fn new(options: &'static str) -> Self {
        let redis = RedisServer::start(&[]).await.unwrap();
        let set = ReplicaSet::shared().await.unwrap();
        let credentials = TempDir::new().unwrap();
        let names = ["n1", "n2", "n3"].map(str::to_owned);
        mangrove::cluster::credentials::init(credentials.path(), &names).unwrap();
        let registry = format!("127.0.0.1:{}", redis.port());
        let database = database::options(&set);
        Self { redis, registry, database, credentials, options, set }
    }

    /// For nodes in namespaces.
    pub async fn over(net: &mut Net) -> Self {
        let mut shared = Self::new("").await;
        let (redis, store) = (shared.redis.port(), shared.set.members()[0].address());
        let store = store.rsplit(':').next().unwrap().parse().unwrap();
        net.shows(&net.registry(), redis).await;
        net.shows(&net.store(), store).await;
        shared.registry = format!("{}:{redis}", net.registry());
        // who is not told where the members say that they are
        let uri = format!("mongodb://{}:{store}/?directConnection=true", net.store());
        shared.database = database::at(&uri, &shared.set.options("").database.unwrap());
        shared
    }

    /// What `mangrove cluster init` made for the node of that name.
    pub fn credentials(&self, name: &str) -> PathBuf {
        self.credentials.path().join(name)
    }

    /// A place for the node of that name, with these options, which come after all others.
    pub fn program(&self, name: &str, options: &str) -> Program {
        let credentials = match options.contains("cluster.credentials") {
            true => String::new(),
            false => format!("cluster.credentials = {:?}\n", self.credentials(name)),
        };
        Program::of(&format!("{CONFIG}{}{credentials}{options}", self.of(name, "127.0.0.1")))
    }

    /// A place for the node of that name, in a namespace where it has that address.
    pub fn program_at(&self, name: &str, address: &str) -> Program {
        Program::of(&(CONFIG.replace("127.0.0.1", address) + &self.options_at(name, address)))
    }

    /// The options of the node of that name.
    pub fn options(&self, name: &str) -> String {
        self.options_at(name, "127.0.0.1")
    }

    fn options_at(&self, name: &str, address: &str) -> String {
        let credentials = self.credentials(name);
        format!("{}cluster.credentials = {credentials:?}\n", self.of(name, address))
    }

    /// All but where its credentials are.
    fn of(&self, name: &str, address: &str) -> String {
        let Self { registry, database, options, .. } = self;
        format!(
            "server.node = '{name}'\ncluster.name = 'test'\n\
             cluster.listen = '{address}:0'\ncluster.lease = '{LEASE}'\n\
             limits.session_rate = '0B'\nredis.uri = 'redis://{registry}'\n\
             {database}{options}"
        )
    }

    /// Starts the node of that name, and waits until it is ready and linked to these.
    pub async fn node(&self, name: &'static str, others: &[&Node]) -> Node {
        let node = Node::start(name, self.program(name, ""));
        node.is_ready().await;
        for other in others {
            node.linked(other).await;
            other.linked(&node).await;
        }
        node
    }

    /// So many nodes that are linked, and accounts of these names.
    pub async fn nodes<const N: usize>(&self, accounts: &[&str]) -> [Node; N] {
        database::accounts(&self.program("n1", ""), accounts);
        let mut nodes: Vec<Node> = Vec::new();
        for name in ["n1", "n2", "n3"].into_iter().take(N) {
            let others: Vec<&Node> = nodes.iter().collect();
            nodes.push(self.node(name, &others).await);
        }
        nodes.try_into().unwrap_or_else(|_| panic!("there are names for three"))
    }
}

/// A node that runs.
pub struct Node {
    pub name: &'static str,
    pub program: Program,
    pub running: Running,
}

impl Node {
    /// Starts it; it answers, and may not be ready.
    pub fn start(name: &'static str, program: Program) -> Self {
        let running = program.run_to_log();
        Self { name, program, running }
    }

    /// Where clients connect to.
    pub fn c2s(&self) -> SocketAddr {
        self.running.addresses.starttls[0]
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.program.path().join("log")).unwrap()
    }

    /// Waits until a line of the log has all of these in it.
    pub async fn says(&self, texts: &[&str]) {
        let is = |line: &str| texts.iter().all(|text| line.contains(text));
        let what = format!("{} says {texts:?}", self.name);
        until(&what, || self.log().lines().any(is)).await;
    }

    /// Waits until `/ready` says that it is.
    pub async fn is_ready(&self) {
        let at = self.running.addresses.http[0];
        let since = std::time::Instant::now();
        loop {
            let (status, why) = http::get(at, "/ready").await;
            if status == 200 {
                return;
            }
            assert!(
                since.elapsed() < crate::support::PATIENCE,
                "{}: {why}\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn linked(&self, other: &Self) {
        self.says(&["\"linked\"", &of(other.name)]).await;
    }

    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }
}
