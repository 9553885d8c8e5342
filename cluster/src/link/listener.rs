//! Where other nodes connect.

use super::{handshake, hub::Shared};
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, Process, Tasks};
use tokio::{net::TcpListener, time::sleep};

/// The pool of connections that are being accepted.
pub(super) const TASKS: &str = "cluster.accepted";

pub(super) struct Listener {
    shared: Arc<Shared>,
    listener: TcpListener,
}

impl Process for Listener {
    type Args = Arc<Shared>;
    type Msg = Infallible;
    const NAME: &'static str = "listener";

    async fn init(shared: Arc<Shared>, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        // started again, it is where it was
        let address = shared.address.lock().unwrap_or(shared.options.listen);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| InitError::failed(format!("{address}: {error}")))?;
        let address =
            listener.local_addr().map_err(|error| InitError::failed(error.to_string()))?;
        *shared.address.lock() = Some(address);
        cx.publish(&address.to_string());
        Ok(Self { shared, listener })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let Some(tasks) = Tasks::find(cx.system(), TASKS) else {
            return Exit::error("there is no pool of tasks");
        };
        loop {
            let accepted = tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                accepted = self.listener.accept() => accepted,
            };
            let (tcp, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // of sockets there are none left, say
                    tracing::warn!(%error, "no node is accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let shared = Arc::clone(&self.shared);
            let accepts = async move {
                if let Err(error) = handshake::accept(&shared, tcp).await {
                    tracing::info!(%from, %error, "a node was not accepted");
                }
            };
            if let Err(error) = tasks.spawn(accepts) {
                tracing::warn!(%from, %error, "a node was not accepted");
            }
        }
    }
}
