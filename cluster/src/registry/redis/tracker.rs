//! The process that hears what changed in Redis.
//!
//! The listener's connection asks for news of each key that it reads (`CLIENT TRACKING`), which a Redis Cluster tells as well as one server.
//! What a connection was told of is over with it: then nothing that was read is believed until it is there again, is told, and the server
//! was looked at.

use super::{RedisRegistry, connect::hang_up, stats::count};
use fred::{
    error::Error,
    interfaces::{ClientLike, EventInterface, TrackingInterface},
    types::{ClusterStateChange, client::Invalidation, config::Server},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use supervision::{Cx, Event, Exit, InitError, Process};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until, timeout},
};

/// When it is tried again to be told.
const AGAIN: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Tracker {
    registry: Arc<RedisRegistry>,
    changed: Receiver<Invalidation>,
    failed: Receiver<(Error, Option<Server>)>,
    connected: Receiver<Server>,
    moved: Receiver<Vec<ClusterStateChange>>,
    again: Instant,
    said: bool,
}

impl Process for Tracker {
    type Args = Arc<RedisRegistry>;
    type Msg = ();
    const NAME: &'static str = "redis tracker";

    async fn init(registry: Self::Args, _: &mut Cx<()>) -> Result<Self, InitError> {
        registry.doubt();
        let listener = &registry.listener;
        let changed = listener.invalidation_rx();
        let failed = listener.error_rx();
        let connected = listener.reconnect_rx();
        let moved = listener.cluster_change_rx();
        drop(listener.connect());
        let again = Instant::now() + AGAIN;
        Ok(Self { registry, changed, failed, connected, moved, again, said: false })
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        loop {
            let unsure = !self.registry.sure.load(Ordering::Acquire);
            tokio::select! {
                biased;
                event = cx.next() => match event {
                    Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                    _ => {}
                },
                failed = self.failed.recv() => match failed {
                    Err(RecvError::Closed) => return Exit::Normal,
                    _ => self.registry.doubt(),
                },
                connected = self.connected.recv() => match connected {
                    Err(RecvError::Closed) => return Exit::Normal,
                    _ => self.settle().await,
                },
                moved = self.moved.recv() => match moved {
                    Err(RecvError::Closed) => return Exit::Normal,
                    _ => self.settle().await,
                },
                changed = self.changed.recv() => match changed {
                    Ok(changed) => self.registry.changed(&changed),
                    Err(RecvError::Lagged(_)) => self.registry.flush(),
                    Err(RecvError::Closed) => return Exit::Normal,
                },
                () = self.registry.wake.notified() => drop(self.registry.look().await),
                () = sleep_until(self.again), if unsure => self.settle().await,
            }
        }
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<()>) {
        self.registry.doubt();
        hang_up(&self.registry.listener, self.registry.options.deadline).await;
    }
}

impl Tracker {
    /// Asks to be told, and looks at the server.
    async fn settle(&mut self) {
        let registry = &self.registry;
        registry.doubt();
        self.again = Instant::now() + AGAIN;
        if !registry.listener.is_connected() {
            return;
        }
        let tell =
            registry.listener.start_tracking(Vec::<String>::new(), false, false, false, false);
        let told = match timeout(registry.options.deadline, tell).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) if !self.said => {
                let why = error.to_string();
                tracing::warn!(why, "Redis does not tell of changes: nothing is remembered");
                self.said = true;
                false
            }
            _ => false,
        };
        if registry.look().await {
            registry.cache.tell(told);
            registry.sure.store(true, Ordering::Release);
        }
    }
}

impl RedisRegistry {
    fn changed(&self, changed: &Invalidation) {
        for user in changed.keys.iter().filter_map(|key| self.keys.user_of(key.as_bytes())) {
            count(&self.stats.invalidations);
            self.cache.forget(user);
        }
    }

    fn flush(&self) {
        count(&self.stats.flushes);
        self.cache.flush();
    }
}
