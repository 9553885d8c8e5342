//! The processes of a cluster on this machine.

use super::client::PASSWORD;
use cluster::testkit::RedisServer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use storage::testkit::ReplicaSet;
use tempfile::TempDir;

/// The names of the nodes.
pub const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// How long a node may take to be linked with the others.
const PATIENCE: Duration = Duration::from_secs(30);

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Three nodes, and what they share. It ends with this value.
pub struct Cluster {
    nodes: BTreeMap<&'static str, Node>,
    redis: RedisServer,
    store: ReplicaSet,
    _dir: TempDir,
}

/// A node: killed, by its number, when it is dropped.
struct Node {
    child: Child,
    c2s: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        // an error: it has ended
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Cluster {
    /// Starts all of it, with accounts of these names.
    pub async fn start(mangrove: &Path, accounts: &[&str]) -> Done<Self> {
        let (redis, store) = (RedisServer::start(&[]).await?, ReplicaSet::start(1).await?);
        let dir = TempDir::with_prefix("three-nodes-")?;
        let credentials = dir.path().join("credentials");
        mangrove::cluster::credentials::init(&credentials, &NAMES.map(str::to_owned))?;
        let mut nodes = BTreeMap::new();
        for name in NAMES {
            let place = dir.path().join(name);
            fs::create_dir(&place)?;
            let config = config(name, &credentials, &redis, &store);
            fs::write(place.join("mangrove.toml"), config)?;
            if nodes.is_empty() {
                import(mangrove, &place, accounts)?;
            }
            nodes.insert(name, start(mangrove, &place)?);
        }
        for name in NAMES {
            linked(&dir.path().join(name).join("log"), NAMES.len() - 1).await?;
        }
        Ok(Self { nodes, redis, store, _dir: dir })
    }

    /// Where Redis is.
    pub fn redis_address(&self) -> String {
        format!("127.0.0.1:{}", self.redis.port())
    }

    /// Where MongoDB is.
    pub fn store_address(&self) -> String {
        self.store.uri()
    }

    fn node(&self, name: &str) -> Done<&Node> {
        self.nodes.get(name).ok_or_else(|| format!("{name} does not run").into())
    }

    /// Where clients of that node connect to.
    pub fn c2s(&self, name: &str) -> Done<SocketAddr> {
        Ok(self.node(name)?.c2s)
    }

    /// The number of its process.
    pub fn pid(&self, name: &str) -> Done<u32> {
        Ok(self.node(name)?.child.id())
    }

    /// `kill -9`.
    pub fn kill(&mut self, name: &str) -> Done<()> {
        let mut node = self.nodes.remove(name).ok_or("there is no such node")?;
        node.child.kill()?;
        node.child.wait()?;
        Ok(())
    }

    /// Stops the nodes that run, in order.
    pub async fn stop(mut self) -> Done<()> {
        for node in self.nodes.values() {
            kill_process(Pid::from_child(&node.child), Signal::TERM)?;
        }
        for (name, node) in &mut self.nodes {
            let status = node.child.wait()?;
            if !status.success() {
                return Err(format!("{name} ended with {status}").into());
            }
        }
        Ok(())
    }
}

fn config(name: &str, credentials: &Path, redis: &RedisServer, store: &ReplicaSet) -> String {
    let (credentials, redis, store) = (credentials.join(name), redis.port(), store.uri());
    format!(
        "[server]\nnode = '{name}'\n\
         [c2s]\nstarttls = ['127.0.0.1:0']\ndirect_tls = []\nrequire_tls = false\n\
         [http]\nlisten = []\n\
         [storage]\nbackend = 'mongodb'\n\
         [mongodb]\nuri = '{store}'\n\
         [redis]\nuri = 'redis://127.0.0.1:{redis}'\n\
         [cluster]\nname = 'example'\nlisten = '127.0.0.1:0'\nlease = '4s'\n\
         credentials = {credentials:?}\n"
    )
}

fn command(mangrove: &Path, place: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(mangrove);
    command.args(words).current_dir(place).env("MANGROVE_CONFIG", "mangrove.toml");
    command
}

/// Makes accounts while no node runs.
fn import(mangrove: &Path, place: &Path, accounts: &[&str]) -> Done<()> {
    let mut import = command(mangrove, place, &["account", "import"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut lines = import.stdin.take().ok_or("no standard input")?;
    for name in accounts {
        writeln!(lines, "{name}@localhost {PASSWORD}")?;
    }
    drop(lines);
    if !import.wait()?.success() {
        return Err("no accounts were made".into());
    }
    Ok(())
}

/// Starts a node and waits until it answers. Its log is the file `log` there.
fn start(mangrove: &Path, place: &Path) -> Done<Node> {
    let log = place.join("log");
    let mut run = command(mangrove, place, &["run", "--json"]);
    run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
    let mut child = run.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    let ready: Value =
        serde_json::from_str(&line).map_err(|_| fs::read_to_string(&log).unwrap_or_default())?;
    let c2s = ready.pointer("/addresses/starttls/0").and_then(Value::as_str);
    Ok(Node { c2s: c2s.ok_or("it listens nowhere")?.parse()?, child })
}

/// Waits until the node with that log is linked to so many others.
async fn linked(log: &PathBuf, others: usize) -> Done<()> {
    let since = Instant::now();
    while fs::read_to_string(log)?.matches("\"message\":\"linked\"").count() < others {
        if since.elapsed() > PATIENCE {
            return Err(fs::read_to_string(log)?.into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
