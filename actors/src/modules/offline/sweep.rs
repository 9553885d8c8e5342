//! The process that forgets messages nobody fetched in time, if the configuration says so.

use crate::env::Env;
use std::{sync::Arc, time::Duration};
use supervision::{Cx, InitError, Next, Server};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3600);
/// Messages that are forgotten in one step: between two of them others get their turn.
const STEP: usize = 500;

/// Forgets what is older than `keep`.
#[derive(Debug)]
pub(super) struct Sweep {
    env: Arc<Env>,
    keep: Duration,
}

/// It is time to look.
pub(super) struct Look;

impl Server for Sweep {
    type Args = (Arc<Env>, Duration);
    type Msg = Look;
    const NAME: &'static str = "offline_sweep";

    async fn init((env, keep): Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        cx.continue_with(Look);
        cx.send_every(EVERY, || Look);
        Ok(Self { env, keep })
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        self.sweep().await;
        Next::Continue
    }
}

impl Sweep {
    async fn sweep(&self) {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let before = self.env.clock.millis().saturating_sub(keep);
        loop {
            match self.env.stores.offline.expire(before, STEP).await {
                Ok(n) if n >= STEP => tokio::task::yield_now().await,
                Ok(_) => return,
                Err(error) => {
                    return tracing::warn!(%error, "old messages are forgotten later");
                }
            }
        }
    }
}
