//! The process is killed and another starts: what waited for a session that could be resumed is there, once and in order
//! (`delivery.durability`), whether it is resumed then, or not in time.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

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
    resource::{Durability, QueueLimits},
    settings::Settings,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, follow},
    },
};

const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    R = romeo@localhost/orchard
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    ";

const ASKED: &str = "K S: <r xmlns='urn:xmpp:sm:3'/>\n";

const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'>
    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    modules.add_with::<BlockingModule>(BlockingConfig::default());
    modules
}

fn options(durability: Durability) -> WorldOptions {
    let queues = QueueLimits { durability, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    WorldOptions { settings, ..WorldOptions::default() }
}

/// A scene in which the process is killed between two scripts.
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
        let mut scene = Self { world, durability, token: String::new() };
        scene.token = scene.token_of("balcony");
        scene
    }

    /// With which a session of Juliet's can be resumed.
    fn token_of(&self, resource: &str) -> String {
        let session = self.world.env.table.find(&"juliet@localhost".parse().unwrap(), resource);
        session.unwrap().with_sm(|sm| sm.as_ref().unwrap().token.clone()).unwrap()
    }

    async fn follow(&mut self, script: &str) {
        follow(script, &mut self.world).await.unwrap();
    }

    async fn killed(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.killed(modules(), options(durability)).await, durability, token }
    }

    /// The node is stopped in good order, and started.
    async fn stopped(self) -> Self {
        let Self { world, durability, token } = self;
        Self { world: world.stopped(modules(), options(durability)).await, durability, token }
    }

    /// The ids of the messages that a client was sent.
    async fn heard(&mut self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match self.world.next(name, false).await {
                Got::Element(message) if message.name() == "message" => {
                    ids.extend(message.attr("id").map(str::to_owned));
                }
                Got::Element(_) => {}
                _ => return ids,
            }
        }
    }

    /// The client resumes its session, and has got `h`.
    async fn resumes(&mut self, h: u32, answer: &str) {
        let Self { world, token, .. } = self;
        // passwords are those of the world before
        let script = format!(
            "password juliet@localhost pencil
             K ~ juliet@localhost
             K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>
             K S: {answer}"
        );
        follow(&script, world).await.unwrap();
    }
}

fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

fn got(name: &str, n: u32) -> String {
    format!("{name} S: <message id='{n}'><body>{n}</body></message>\n")
}

fn all(of: impl IntoIterator<Item = u32>, line: impl Fn(u32) -> String) -> String {
    of.into_iter().map(line).collect()
}

/// Two that the client got, one that it acknowledged; two that came when it was cut off.
async fn cut_off(durability: Durability) -> Scene {
    let mut scene = Scene::new(durability).await;
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
