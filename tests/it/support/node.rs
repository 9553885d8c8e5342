//! A node in this process.

use super::CONFIG;
use actors::testkit::{keys, metrics::values};
use mangrove::{Node, Setup};
use std::{net::SocketAddr, path::PathBuf};
use storage::Account;
use tempfile::TempDir;

/// A node that is gone with its data at the end of the test.
pub struct TestNode {
    pub node: Node,
    pub data: TempDir,
}

impl TestNode {
    /// A node with memory stores and these options besides.
    pub async fn start(options: &str) -> Self {
        Self::with(&format!("storage.backend = 'memory'\n{options}"), |_| ()).await
    }

    /// A node with these options; `change` has the last word on them, and on the modules.
    pub async fn with(options: &str, change: impl FnOnce(&mut Setup)) -> Self {
        let data = TempDir::new().unwrap();
        let at = format!("server.data = {:?}\n", data.path().display().to_string());
        let loaded = config::load(&format!("{at}{CONFIG}{options}"), "test.toml", [], &[]);
        let mut setup = Setup::of(loaded).unwrap_or_else(|e| panic!("{e}"));
        change(&mut setup);
        let node = Node::start(setup).await.unwrap_or_else(|e| panic!("{e}"));
        Self { node, data }
    }

    pub fn c2s(&self) -> SocketAddr {
        self.node.addresses().starttls[0]
    }

    pub fn socket(&self) -> PathBuf {
        self.node.addresses().admin.clone().unwrap()
    }

    pub async fn account(&self, jid: &str, password: &str) {
        let account = Account { keys: keys(password), created: 0, ..Account::default() };
        let new = vec![(jid.parse().unwrap(), account)];
        assert_eq!(self.node.env().stores.accounts.create(new).await, Ok(1));
    }

    /// How many clients' connections there are.
    pub fn connections(&self) -> usize {
        self.node.system().pids().iter().filter(|p| p.kind() == "connection").count()
    }

    /// What a counter has counted, with labels as Prometheus writes them.
    pub fn counted(&self, name: &str) -> usize {
        values(self.node.env())[name] as usize
    }

    /// Stops it; every process has ended then.
    pub async fn stop(self) {
        let system = self.node.system().clone();
        self.node.stop().await;
        assert_eq!(system.alive(), 0, "every process ends with its tree");
    }
}
