//! The process is killed and another starts: what waited for a session that could be resumed is there, once and in order
//! (`delivery.durability`), whether it is resumed then, or not in time.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

mod behind;
mod elsewhere;
mod meanwhile;
mod order;
mod resumed;
mod several;

use actors::{
    modules::{
        blocking::{BlockingConfig, BlockingModule},
        offline::{OfflineConfig, OfflineModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    resource::Durability,
    testkit::{
        World, WorldOptions,
        resumable::{PAIR, all, got, message, options, resume},
        script::follow,
    },
};

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    modules.add_with::<BlockingModule>(BlockingConfig::default());
    modules
}

/// A scene in which the process is killed between two scripts: Juliet's session can be resumed with the token.
struct Scene {
    world: World,
    durability: Durability,
    token: String,
}

impl Scene {
    async fn new(durability: Durability) -> Self {
        Self::with(options(durability)).await
    }

    async fn with(options: WorldOptions) -> Self {
        let durability = options.settings.queues.durability;
        let mut world = World::new(modules(), options).await;
        follow(PAIR, &mut world).await.unwrap();
        let token = world.token("juliet@localhost/balcony").unwrap();
        Self { world, durability, token }
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    /// The process is killed, and the next one starts.
    async fn killed(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.killed(modules(), options(durability)).await, durability, token }
    }

    /// The same, but it is stopped in good order.
    async fn stopped(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.stopped(modules(), options(durability)).await, durability, token }
    }

    /// Juliet's session is asked for; she has got `h` stanzas.
    async fn resumes(&mut self, h: u32, answer: &str) {
        self.follow(&resume(&self.token, h, answer)).await;
    }
}

/// Two that the client got, one that it acknowledged; two that came when it was cut off.
async fn cut_off(options: WorldOptions) -> Scene {
    let mut scene = Scene::with(options).await;
    let script = all(1..3, message)
        + &all(1..3, |n| got("J", n))
        + "J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
           J S: <r xmlns='urn:xmpp:sm:3'/>
           J cut\n"
        + &all(3..5, message)
        + "R C: <message to='juliet@localhost/balcony' id='5'><body>5</body></message>
           R S: nothing";
    scene.follow(&script).await;
    scene
}
