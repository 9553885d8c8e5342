//! What those parts of a node see that look at it as a whole: operators' commands, metrics, health. It knows none of
//! them.

use super::sockets::Addresses;
use crate::cluster::join::Joined;
use actors::{env::Env, pressure::Level, tree::Listening};
use config::Config;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use storage::Backend;
use supervision::{Local, System};
use tokio::{sync::Notify, time::Instant};

/// A node, seen from its parts.
pub(crate) struct Shared {
    pub env: Arc<Env>,
    pub system: System,
    pub backend: Backend,
    /// The other nodes, and the registry that they share.
    pub nodes: Option<Joined>,
    pub config: Mutex<Arc<Config>>,
    pub addresses: Addresses,
    pub listening: Vec<Listening>,
    pub started: Instant,
    /// An operator wants the node to stop.
    pub stop: Arc<Notify>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.env.node)
    }
}

impl Shared {
    /// Whether clients are served.
    ///
    /// # Errors
    /// What is missing.
    pub async fn ready(&self) -> Result<(), String> {
        let runs = |slot: &Listening| slot.lock().as_ref().is_some_and(Local::is_alive);
        if !self.listening.iter().all(runs) {
            return Err("a listener does not run".to_owned());
        }
        if self.env.pressure.level() == Level::Critical {
            return Err("memory is short".to_owned());
        }
        self.backend.ready().await?;
        if !self.env.may_act() {
            return Err("the node has no lease from the registry".to_owned());
        }
        if self.env.cluster.as_ref().is_some_and(|cluster| cluster.view.is_draining()) {
            return Err(
                "the node gives up its sessions (`mangrove node undrain` ends that)".to_owned()
            );
        }
        if self.env.is_restoring() {
            return Err("sessions that waited when it stopped are not there yet".to_owned());
        }
        if self.nodes.as_ref().is_some_and(|joined| !joined.has_known_all()) {
            return Err("it is not known yet who is connected to the other nodes".to_owned());
        }
        Ok(())
    }
}
