//! The process that connects, looks whether Redis answers, and reads the leases.

use super::{RedisRegistry, connect::hang_up};
use fred::{clients::Client, interfaces::ClientLike};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, Next, Server};
use tokio::time::timeout;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// Looks in a row that a connection did not answer, after which it is made anew: the library does not notice by itself.
const MISSES: u8 = 2;
/// How long it waits for the library to take the order to do so.
const ORDER: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Keeper {
    registry: Arc<RedisRegistry>,
    /// Of each connection, how many looks it has missed.
    missed: Vec<(Client, u8)>,
}

/// It is time to look.
pub(super) struct Look;

impl Server for Keeper {
    type Args = Arc<RedisRegistry>;
    type Msg = Look;
    const NAME: &'static str = "redis keeper";

    async fn init(registry: Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        cx.publish(&registry.options.place());
        for client in &registry.callers {
            drop(client.connect());
        }
        cx.send_every(EVERY, || Look);
        let clients = registry.callers.iter().chain([&registry.listener]);
        let missed = clients.map(|client| (client.clone(), 0)).collect();
        Ok(Self { registry, missed })
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        let registry = &self.registry;
        let answers = self.missed.iter().map(|(client, _)| registry.servers(client));
        let (_, answers) = tokio::join!(registry.look(), join_all(answers));
        for ((client, missed), answer) in self.missed.iter_mut().zip(answers) {
            *missed = if answer.is_some() || !client.is_connected() { 0 } else { *missed + 1 };
            if *missed >= MISSES {
                *missed = 0;
                tracing::warn!("a connection to Redis does not answer: making another");
                // its answer is that it is connected again
                drop(timeout(ORDER, client.force_reconnection()).await);
            }
        }
        Next::Continue
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Look>) {
        let deadline = self.registry.options.deadline;
        join_all(self.registry.callers.iter().map(|client| hang_up(client, deadline))).await;
    }
}
