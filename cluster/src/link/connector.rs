//! Connects to the nodes that are wanted, again and again.

use super::{LinkError, handshake, hub::Shared};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use supervision::{Cx, Exit, InitError, Local, Node, Process, Started, SupervisorRef};
use tokio::time::sleep;

/// How long it waits after the first attempt that failed, and after many.
const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(5);

/// Connects to one node whenever there is no link to it.
pub(super) struct Connector {
    shared: Arc<Shared>,
    node: Node,
    address: String,
    wait: Duration,
}

impl Process for Connector {
    type Args = (Arc<Shared>, Node, String);
    type Msg = Infallible;
    const NAME: &'static str = "connector";

    async fn init(
        (shared, node, address): Self::Args,
        cx: &mut Cx<Infallible>,
    ) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.publish(&format!("to {node} at {address}"));
        Ok(Self { shared, node, address, wait: FIRST })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        while self.is_wanted() {
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                () = self.links() => {}
            }
        }
        Exit::Normal
    }
}

impl Connector {
    /// One that was started again is not known to who would stop it.
    fn is_wanted(&self) -> bool {
        let wanted = self.shared.wanted.lock();
        wanted.iter().any(|(node, address)| (*node, address) == (self.node, &self.address))
    }

    /// Until the link that there is, or that it has made, has ended; and a while, if none was made.
    async fn links(&mut self) {
        let link = match self.shared.linked(self.node) {
            Some(link) => Ok(link),
            None => handshake::connect(&self.shared, self.node, &self.address).await,
        };
        match link {
            Ok(link) => {
                self.wait = FIRST;
                link.wait().await;
            }
            // the other node's goes on
            Err(LinkError::Busy) => {}
            Err(error) => {
                let (text, mut is_new) = (error.to_string(), false);
                self.shared.note(self.node, |state| {
                    is_new = state.error.as_ref() != Some(&text);
                    state.error = Some(text);
                });
                // said once
                match is_new {
                    true => tracing::warn!(node = %self.node, %error, "no link"),
                    false => tracing::debug!(node = %self.node, %error, "no link"),
                }
            }
        }
        sleep(self.wait.mul_f64(jitter())).await;
        self.wait = (self.wait * 2).min(MOST);
    }
}

/// From a half to one and a half: nodes that start together do not go on together.
fn jitter() -> f64 {
    let drawn = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or_default();
    0.5 + f64::from(drawn) / f64::from(u32::MAX)
}

/// Starts and stops the connectors, as the list of nodes says.
pub(super) struct Peers {
    shared: Arc<Shared>,
    running: BTreeMap<(Node, String), Local>,
}

impl Process for Peers {
    type Args = Arc<Shared>;
    type Msg = Infallible;
    const NAME: &'static str = "peers";

    async fn init(shared: Arc<Shared>, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        shared.wanted_changed.notify_one();
        Ok(Self { shared, running: BTreeMap::new() })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let parent = cx.pid().parent().map(|parent| parent.path().to_string()).unwrap_or_default();
        let path = format!("{}/connectors", parent.trim_end_matches('/'));
        let found = cx.system().find(&path).map(SupervisorRef::of);
        let Some(Ok(connectors)) = found else {
            return Exit::error("there are no connectors");
        };
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                () = shared.wanted_changed.notified() => {}
            }
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                () = self.change(&connectors) => {}
            }
        }
    }
}

impl Peers {
    async fn change(&mut self, connectors: &SupervisorRef) {
        let me = self.shared.system.node();
        let mut wanted = self.shared.wanted.lock().clone();
        wanted.retain(|(node, _)| *node != me);
        let gone = self.running.extract_if(.., |peer, _| !wanted.contains(peer));
        for (_, connector) in gone.collect::<Vec<_>>() {
            // an error: it has been started again, and ends by itself
            drop(connectors.terminate_instance(&connector).await);
        }
        for (node, address) in wanted {
            let peer = (node, address.clone());
            if self.running.contains_key(&peer) {
                continue;
            }
            let args = (Arc::clone(&self.shared), node, address);
            match connectors.start_instance_with(args).await {
                Ok(started) => {
                    if let Started::Up(pid) = started {
                        self.running.insert(peer, pid);
                    }
                }
                Err(error) => tracing::warn!(%node, %error, "no connector"),
            }
        }
    }
}
