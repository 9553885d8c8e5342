//! Network namespaces on a bridge of their own, which can be cut from one another: for nodes that are to think that they are on
//! machines of their own. Made by `ip` (iproute2), as root.

use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    io::Write,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};
use supervision::{System, Task};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

static NETS: AtomicU32 = AtomicU32::new(0);

/// Nobody has it: what goes there is gone.
const NOBODY: &str = "02:00:00:00:00:01";

/// A bridge with an address for each of what nodes share, and a namespace for each node.
pub struct Net {
    number: u32,
    nodes: u32,
    system: System,
    shown: Vec<Task<()>>,
}

fn ip(words: &str) -> Result<(), String> {
    let said = Command::new("ip").args(words.split_whitespace()).output();
    let said = said.map_err(|error| format!("ip: {error}"))?;
    match said.status.success() {
        true => Ok(()),
        false => Err(format!("ip {words}: {}", String::from_utf8_lossy(&said.stderr).trim())),
    }
}

impl Net {
    /// With so many namespaces; none, and the reason is printed, where they cannot be made.
    pub fn new(nodes: u32) -> Option<Self> {
        let number = std::process::id() % 10_000 * 8 + NETS.fetch_add(1, Ordering::Relaxed) % 8;
        let (system, shown) = (System::new("net"), Vec::new());
        let net = Self { number, nodes, system, shown };
        match net.make() {
            Ok(()) => Some(net),
            Err(why) => {
                let said = format!("SKIPPED: network namespaces cannot be made here: {why}\n");
                std::io::stderr().write_all(said.as_bytes()).unwrap();
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let (bridge, store, registry) = (self.bridge(), self.store(), self.registry());
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {store}/24 dev {bridge}"))?;
        ip(&format!("addr add {registry}/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for node in 0..self.nodes {
            let (space, cable, address) = (self.space(node), self.cable(node), self.address(node));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {space}"))?;
            ip(&format!("link set {cable} master {bridge} up"))?;
            ip(&format!("-n {space} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(())
    }

    fn bridge(&self) -> String {
        format!("mgb{}", self.number)
    }

    fn cable(&self, node: u32) -> String {
        format!("mgv{}-{node}", self.number)
    }

    /// The name of a node's namespace.
    pub fn space(&self, node: u32) -> String {
        format!("mgn{}-{node}", self.number)
    }

    fn at(&self, last: u32) -> String {
        format!("10.{}.{}.{last}", 128 + self.number / 256 % 128, self.number % 256)
    }

    /// Where the store is.
    pub fn store(&self) -> String {
        self.at(1)
    }

    /// Where the registry is.
    pub fn registry(&self) -> String {
        self.at(2)
    }

    /// Where a node is.
    pub fn address(&self, node: u32) -> String {
        self.at(11 + node)
    }

    /// Whatever listens on that port of 127.0.0.1 is there for the namespaces as well.
    pub async fn shows(&mut self, at: &str, port: u16) {
        let listener = TcpListener::bind((at, port)).await.unwrap();
        let passes_on = move |mut from| async move {
            if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                drop(copy_bidirectional(&mut from, &mut to).await);
            }
        };
        let serves = async move {
            let mut all = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Ok((from, _)) = listener.accept() => all.push(passes_on(from)),
                    Some(()) = all.next() => {}
                }
            }
        };
        self.shown.push(Task::alone(&self.system, "/shown", serves));
    }

    /// What the node sends to that address is lost, without a word.
    pub fn cuts(&self, node: u32, from: &str) {
        let space = self.space(node);
        ip(&format!("-n {space} neigh replace {from} lladdr {NOBODY} dev eth0 nud permanent"))
            .unwrap();
    }

    /// It arrives again.
    pub fn joins(&self, node: u32, from: &str) {
        ip(&format!("-n {} neigh del {from} dev eth0", self.space(node))).unwrap();
    }

    /// The node's cable is pulled, or is put back.
    pub fn plugs(&self, node: u32, in_it: bool) {
        let to = if in_it { "up" } else { "down" };
        ip(&format!("link set {} {to}", self.cable(node))).unwrap();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            drop(ip(&format!("netns del {}", self.space(node))));
            // gone with its other end, at last
            drop(ip(&format!("link del {}", self.cable(node))));
        }
        drop(ip(&format!("link del {}", self.bridge())));
    }
}
