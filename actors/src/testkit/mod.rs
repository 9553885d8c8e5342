//! A server in one thread, for scripts and tests of modules: no sockets, no real time.
//!
//! [`World`] joins sessions, stores in memory and the session managers. A module's test is a script
//! (see [`script`]) and one line: `World::check(script, |modules| { modules.add_with::<M>(..); })`.

mod client;
pub mod matcher;
pub mod metrics;
mod moved;

pub mod node;
pub mod nodes;
pub mod outside;
pub mod pace;
pub mod random;
pub mod resumable;
pub mod scram;
pub mod script;
pub mod slow;

pub use client::{client_framer, receive};

use crate::{
    account::watch::Watch,
    clock::Clock,
    env::{Env, EnvParts},
    hosts::Hosts,
    registrar::Modules,
    remote::{Cluster, inbound::Inbound},
    session::state::Tls,
    sessions,
    settings::Settings,
    throttle::Throttle,
    tree::remote,
};
use auth::Accounts;
use client::{Heard, Link, Said};
use cluster::{MemoryRegistry, SessionRegistry};
use moved::{Moved, Op};
use nodes::Nodes;
use script::{Got, Script, Wire};
use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};
use storage::{Account, AccountStore, MemoryStore, Stores};
use supervision::{
    ChildSpec, CrashLog, Node, SupervisorRef, SupervisorSpec, System, crash::CrashLogLimits,
};
use tokio::time::Instant;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// The time at which every world begins, in milliseconds of the epoch (2026-01-01T00:00:00Z).
pub const START: u64 = 1_767_225_600_000;

/// A server without sockets.
pub struct World {
    /// The shared parts.
    pub env: Arc<Env>,
    store: Arc<MemoryStore>,
    system: System,
    tree: SupervisorRef,
    links: BTreeMap<String, Link>,
    /// What was sent to clients and not heard yet.
    said: BTreeMap<String, Said>,
    heard: BTreeMap<String, Heard>,
    tls: Option<Tls>,
}

/// What a world begins with.
struct Place {
    clock: Clock,
    store: Arc<MemoryStore>,
    /// It goes on with the sessions that the store has.
    restores: bool,
    joined: Option<Joined>,
}

/// What a node of several has.
struct Joined {
    registry: Arc<dyn SessionRegistry>,
    cluster: Arc<Cluster>,
    inbound: Arc<Inbound>,
}

/// Options of a [`World`].
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// The hosts.
    pub hosts: Vec<&'static str>,
    /// What sessions go by.
    pub settings: Settings,
    /// What TLS would tell SASL; `None`: connections in the clear, where TLS is not required.
    pub tls: Option<Tls>,
    /// Its node's name, if other nodes have its store too.
    pub node: Option<&'static str>,
    /// On which of two nodes clients are in [`World::check`]'s last run, by name. Others: every second on the other one.
    pub places: &'static [(&'static str, usize)],
    /// Whose accounts they are, given those of its store.
    pub accounts: fn(Arc<dyn AccountStore>) -> Accounts,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost"],
            settings: Settings::default(),
            tls: None,
            node: None,
            places: &[],
            accounts: Accounts::new,
        }
    }
}

/// Keys for an account of a test.
pub fn keys(password: &str) -> Vec<ScramKeys> {
    let derive = |hash| ScramKeys::derive(hash, password, b"salt", 4096);
    Hash::ALL.into_iter().filter_map(derive).collect()
}

impl World {
    /// A server with these modules. Call it under tokio's paused time.
    ///
    /// # Panics
    /// When the modules contradict each other or their processes do not start: it is for tests.
    pub async fn new(modules: Modules, options: WorldOptions) -> Self {
        Self::with(modules, options, Clock::fixed(START), Arc::default(), |s| s, true).await
    }

    /// One whose stores are what `wrap` makes of stores in memory.
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn with_stores(modules: Modules, wrap: impl FnOnce(Stores) -> Stores) -> Self {
        Self::on(modules, WorldOptions::default(), wrap).await
    }

    /// The same with options.
    ///
    /// # Panics
    /// As [`World::new`].
    pub async fn on(
        modules: Modules,
        options: WorldOptions,
        wrap: impl FnOnce(Stores) -> Stores,
    ) -> Self {
        let store = Arc::default();
        Self::with(modules, options, Clock::fixed(START), store, wrap, true).await
    }

    /// `restores`: it goes on with the sessions that the store has. One that is handed those of another process does not.
    async fn with(
        modules: Modules,
        options: WorldOptions,
        clock: Clock,
        store: Arc<MemoryStore>,
        wrap: impl FnOnce(Stores) -> Stores,
        restores: bool,
    ) -> Self {
        let place = Place { clock, store, restores, joined: None };
        Box::pin(Self::at(modules, options, place, wrap)).await
    }

    async fn at(
        modules: Modules,
        options: WorldOptions,
        Place { clock, store, restores, joined }: Place,
        wrap: impl FnOnce(Stores) -> Stores,
    ) -> Self {
        let node = joined.as_ref().map(|joined| joined.cluster.view.me().node);
        let crashes = CrashLog::new(CrashLogLimits::default(), None);
        let system = System::on(node.unwrap_or_default(), "world", crashes);
        let hosts = Hosts::new(options.hosts.iter().map(|h| Arc::from(*h)));
        let built = modules.build(&hosts);
        let (hooks, children) = good(built.map_err(|conflicts| conflicts.join(", ")));
        let stores = wrap(Stores::of(Arc::clone(&store)));
        let env = Env::new(EnvParts {
            node: options.node.map_or(system.node(), |name| good(Node::new(name))),
            clustered: options.node.is_some() || node.is_some(),
            hosts,
            accounts: (options.accounts)(Arc::clone(&stores.accounts)),
            stores,
            registry: joined.as_ref().map_or_else(
                || Arc::new(MemoryRegistry::default()) as _,
                |joined| Arc::clone(&joined.registry),
            ),
            cluster: joined.as_ref().map(|joined| Arc::clone(&joined.cluster)),
            managers: 2,
            hooks,
            system: system.clone(),
            settings: options.settings,
            throttle: Throttle::default(),
            clock,
            secret: [7; 32],
        });
        let modules = children
            .specs(&env)
            .into_iter()
            .fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
        let watching = Watch::children(&env).into_iter();
        let watching = watching.fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
        let tree = SupervisorSpec::one_for_one()
            .child(ChildSpec::supervisor("accounts", watching))
            .child(ChildSpec::supervisor("modules", modules));
        let tree = match &joined {
            Some(joined) => {
                joined.inbound.serves(&env);
                tree.child(ChildSpec::supervisor(
                    "cluster",
                    remote(&env, &joined.cluster, Vec::new()),
                ))
            }
            None => tree,
        };
        let tree = tree.child(ChildSpec::supervisor("session_managers", sessions::spec(&env)));
        let tree = if restores { tree.child(sessions::restored(&env)) } else { tree };
        let tree = good(system.start(tree).await);
        let (links, said, heard) = Default::default();
        Self { env, store, system, tree, links, said, heard, tls: options.tls }
    }

    /// Runs a script against a world with the modules that `add` adds; once as it is, once over two nodes, and once with
    /// everything that a client does in a process of its own: the world is frozen into bytes after
    /// it, and thawed from them in the next process.
    ///
    /// # Panics
    /// When the script is not followed.
    pub fn check(script: &str, add: impl Fn(&mut Modules)) {
        Self::check_with(script, &WorldOptions::default(), add);
    }

    /// [`World::check`] of a script that needs some clients on one node.
    ///
    /// # Panics
    /// When the script is not followed.
    pub fn check_at(
        script: &str,
        places: &'static [(&'static str, usize)],
        add: impl Fn(&mut Modules),
    ) {
        Self::check_with(script, &WorldOptions { places, ..WorldOptions::default() }, add);
    }

    /// [`World::check`] with options.
    ///
    /// # Panics
    /// When the script is not followed, or this is not the thread of a test.
    pub fn check_with(script: &str, options: &WorldOptions, add: impl Fn(&mut Modules)) {
        let modules = || {
            let mut modules = Modules::default();
            add(&mut modules);
            modules
        };
        let number = moved::number();
        match moved::asked() {
            Some(asked) if asked == number => {
                return good(moved::serve(modules(), options));
            }
            Some(_) => return,
            None => {}
        }
        let script = good(Script::parse(script));
        Self::block_on(async {
            let mut world = Self::new(modules(), options.clone()).await;
            let result = script.run(&mut world).await;
            world.stop().await;
            good(result);
            let mut moved = Moved::new(number, options.tls.clone());
            let result = script.run(&mut moved).await;
            good(result.map_err(|e| format!("(moved from process to process) {e}")));
            let mut nodes = Nodes::new(&["a", "b"], modules, options).await;
            let result = script.run(&mut nodes).await;
            nodes.stop().await;
            good(result.map_err(|e| format!("(every second client on another node) {e}")));
        });
    }

    /// Follows a script in this process alone, without modules: where there are many, or they are long.
    ///
    /// # Panics
    /// When the script is not followed.
    #[track_caller]
    pub fn follow(text: &str) {
        Self::block_on(async {
            let mut world = Self::new(Modules::default(), WorldOptions::default()).await;
            good(script::follow(text, &mut world).await);
            world.stop().await;
        });
    }

    /// Runs a future on a runtime of its own with paused time.
    ///
    /// # Panics
    /// When there can be no runtime.
    pub fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        good(runtime.enable_time().start_paused(true).build()).block_on(future)
    }

    /// Ends all sessions and the tree; every process has ended then.
    ///
    /// # Panics
    /// When one has not.
    pub async fn stop(mut self) {
        while let Some((name, _)) = self.links.first_key_value() {
            self.perform(Op::Cut(name.clone())).await;
        }
        self.tree.stop().await;
        assert_eq!(self.system.alive(), 0, "every process ends with its tree");
    }

    /// The node is stopped in good order, and another starts with what is in the store.
    pub async fn stopped(self, modules: Modules, options: WorldOptions) -> Self {
        let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
        self.stop().await;
        Self::after(&store, &env.clock, modules, options).await
    }

    /// Another node that has the same store.
    pub async fn beside(&self, modules: Modules, options: WorldOptions) -> Self {
        let (clock, store) = (Clock::fixed(self.env.clock.millis()), Arc::clone(&self.store));
        Self::with(modules, options, clock, store, |s| s, true).await
    }

    /// The process is killed, and another starts with what is in the store: clients find that their connections are gone.
    pub async fn killed(self, modules: Modules, options: WorldOptions) -> Self {
        Self::after(&self.store, &self.env.clock, modules, options).await
    }

    async fn after(
        store: &MemoryStore,
        clock: &Clock,
        modules: Modules,
        options: WorldOptions,
    ) -> Self {
        let store = Arc::new(MemoryStore::restored(store.snapshot()));
        Self::with(modules, options, Clock::fixed(clock.millis()), store, |s| s, true).await
    }

    /// Its processes.
    #[cfg(test)]
    pub(crate) fn pids(&self) -> Vec<supervision::Local> {
        self.system.pids()
    }

    /// Works until nobody has anything to do.
    async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            let mut idle = true;
            idle &= self.round().await;
            quiet = if idle { quiet + 1 } else { 0 };
            // the managers' turn: what they do now is seen in the next round
            tokio::task::yield_now().await;
        }
    }

    /// One round of all connections; whether nobody had anything to do.
    async fn round(&mut self) -> bool {
        let mut idle = true;
        let names: Vec<String> = self.links.keys().cloned().collect();
        for name in names {
            let Some(mut link) = self.links.remove(&name) else { continue };
            let said = self.said.entry(name.clone()).or_default();
            idle &= !link.step(said).await;
            if !said.is_over() {
                self.links.insert(name, link);
            }
        }
        idle
    }

    /// What was sent to whom since the last time.
    fn said(&mut self) -> BTreeMap<String, Said> {
        std::mem::take(&mut self.said)
    }

    /// Does one thing, and all that it causes.
    async fn perform(&mut self, op: Op) {
        match op {
            Op::Account(jid, password) => {
                let user: BareJid = good(jid.parse());
                let account =
                    Account { keys: keys(&password), created: START, ..Account::default() };
                let created = self.env.stores.accounts.create(vec![(user, account)]).await;
                assert_eq!(created, Ok(1));
            }
            Op::Connect(name, channel) => {
                let link = Link::new(self.tls.clone(), channel, &self.env);
                self.said.remove(&name);
                self.links.insert(name, link);
            }
            Op::Send(name, mut bytes) => {
                if let Some(link) = self.links.get_mut(&name) {
                    link.feed(&mut bytes);
                }
                self.settle().await;
            }
            Op::Cut(name) => {
                if let Some(link) = self.links.remove(&name) {
                    link.cut().await;
                }
                self.settle().await;
            }
            Op::Pass(time) => self.pass_time(time).await,
        }
    }

    /// When a connection's timer goes off next.
    fn due(&self) -> Option<Instant> {
        self.links.values().filter_map(Link::due).min()
    }

    async fn pass_time(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let next = self.due().map_or(until, |at| at.min(until)).max(Instant::now());
            let step = next.duration_since(Instant::now());
            self.env.clock.advance(step);
            tokio::time::sleep_until(next).await;
            for link in self.links.values_mut() {
                link.time();
            }
            self.settle().await;
            if next >= until {
                return;
            }
        }
    }

    /// Lets the clients hear what was sent to them.
    fn hear(&mut self) {
        for (name, said) in self.said() {
            if let Some(heard) = self.heard.get_mut(&name) {
                heard.hear(&said);
            }
        }
    }
}

/// What went well. A test fails by panicking, and here is where.
#[expect(clippy::panic, reason = "for tests")]
#[track_caller]
fn good<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn binding(tls: Option<&Tls>, name: &str) -> Option<Vec<u8>> {
    let tls = tls?;
    match name {
        "tls-exporter" => tls.exporter.clone(),
        "tls-server-end-point" => tls.end_point.clone(),
        _ => Some(b"something".to_vec()),
    }
}

impl Wire for World {
    async fn account(&mut self, jid: &str, password: &str) {
        self.perform(Op::Account(jid.to_owned(), password.to_owned())).await;
    }

    async fn connect(&mut self, name: &str) {
        self.heard.insert(name.to_owned(), Heard::new());
        self.perform(Op::Connect(name.to_owned(), None)).await;
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        self.hear();
        if let Some(heard) = self.heard.get_mut(name).filter(|_| restart) {
            heard.restart();
        }
        self.perform(Op::Send(name.to_owned(), bytes.as_bytes().to_vec())).await;
    }

    async fn next(&mut self, name: &str, _wait: bool) -> Got {
        self.settle().await;
        self.hear();
        self.heard.get_mut(name).and_then(Heard::next).unwrap_or(Got::Nothing)
    }

    fn binding(&self, name: &str) -> Option<Vec<u8>> {
        binding(self.tls.as_ref(), name)
    }

    async fn cut(&mut self, name: &str) {
        self.heard.remove(name);
        self.perform(Op::Cut(name.to_owned())).await;
    }

    async fn pass(&mut self, time: Duration) -> bool {
        self.perform(Op::Pass(time)).await;
        true
    }
}
