//! The process that forgets messages nobody fetched in time, if the configuration says so.

use crate::env::Env;
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, Process};

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

impl Process for Sweep {
    type Args = (Arc<Env>, Duration);
    type Msg = Infallible;
    const NAME: &'static str = "offline_sweep";

    async fn init((env, keep): Self::Args, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self { env, keep })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        loop {
            self.sweep().await;
            tokio::select! {
                biased;
                _ = cx.next() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
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
