//! A store that is slow, or full for a while: what waits for a session that loses its connection then, is resumed, or ends, is there
//! after a kill, once and in order.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

mod away;
mod counted;
mod full;
mod slow;

use actors::{
    resource::QueueLimits,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        pace::Pace,
        resumable::{PAIR, offline, resume},
        script::follow,
    },
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Juliet's session can be resumed, and she has acknowledged what she was sent.
struct Scene {
    world: World,
    pace: Arc<Mutex<Pace>>,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(QueueLimits::default()).await
    }

    async fn with(queues: QueueLimits) -> Self {
        let (mut world, pace) = Pace::world(offline()).await;
        world.env.set_settings(Settings { queues, ..Settings::clone(&world.env.settings()) });
        let script = PAIR.to_owned() + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>";
        follow(&script, &mut world).await.unwrap();
        let token = world.token("juliet@localhost/balcony").unwrap();
        Self { world, pace, token }
    }

    fn set(&self, pace: Pace) {
        *self.pace.lock() = pace;
    }

    /// The store's disk has room, or is full.
    fn room(&self, there_is: bool) {
        self.set(Pace { full: !there_is, ..Pace::default() });
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    /// The process is killed. The store of the next one is neither slow nor full.
    async fn killed(self) -> Self {
        let Self { world, token, .. } = self;
        let world = world.killed(offline(), WorldOptions::default()).await;
        Self { world, pace: Arc::default(), token }
    }

    /// The same, but it is stopped in good order.
    async fn stopped(self) -> Self {
        let Self { world, token, .. } = self;
        let world = world.stopped(offline(), WorldOptions::default()).await;
        Self { world, pace: Arc::default(), token }
    }

    /// Juliet's session is asked for; she has what the server had sent her when the scene began.
    async fn resumes(&mut self, answer: &str) {
        self.follow(&resume(&self.token, 1, answer)).await;
    }
}
