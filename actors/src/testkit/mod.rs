//! A server in one thread, for scripts and tests of modules: no sockets, no real time.
//!
//! [`World`] joins sessions, stores in memory and the session managers. A module's test is a script
//! (see [`script`]) and one line: `World::check(script, |modules| { modules.add_with::<M>(..); })`.

pub mod matcher;
pub mod scram;
pub mod script;

use crate::{
    connection,
    env::{Clock, Env, EnvParts, Settings},
    registrar::Modules,
    resource::{Ended, Resource},
    routing::{end::end, manager},
    session::{
        Conn, Tls,
        effects::TimerKey,
        turn::{FrozenTurn, Todo, Turn},
    },
    throttle::Throttle,
};
use cluster::{MemoryRegistry, NodeId};
use script::{Got, Script, Wire};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use storage::{Account, MemoryStore, Stores};
use supervision::{ChildSpec, SupervisorRef, SupervisorSpec, System};
use tokio::time::Instant;
use xmpp::{
    Element,
    error::{StreamError, StreamErrorCondition as Condition},
    framer::{Event, Framer, Limits},
    jid::BareJid,
    ns,
    sasl::{Hash, ScramKeys},
};

/// The time at which every world begins, in milliseconds of the epoch (2026-01-01T00:00:00Z).
pub const START: u64 = 1_767_225_600_000;

/// One client's connection.
#[derive(Debug)]
struct Client {
    turn: Option<Turn>,
    resource: Option<Arc<Resource>>,
    timers: BTreeMap<TimerKey, Instant>,
    closing: bool,
    /// What the client has received and not looked at.
    inbox: Framer,
    got: VecDeque<Got>,
}

/// A server without sockets.
#[derive(Debug)]
pub struct World {
    /// The shared parts.
    pub env: Arc<Env>,
    system: System,
    tree: SupervisorRef,
    clients: BTreeMap<String, Client>,
    tls: Option<Tls>,
    /// Every session is frozen into bytes and thawed between any two steps.
    pub freezing: bool,
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
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self { hosts: vec!["localhost"], settings: Settings::default(), tls: None }
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
        let system = System::new("world");
        #[expect(clippy::panic, reason = "for tests")]
        let (hooks, children) = modules.build().unwrap_or_else(|e| panic!("{e:?}"));
        let hosts = options.hosts.iter().map(|h| Arc::from(*h));
        let env = Env::new(EnvParts {
            node: NodeId::new("world"),
            hosts: crate::env::Hosts::new(hosts),
            stores: Stores::of(Arc::new(MemoryStore::default())),
            registry: Arc::new(MemoryRegistry::default()),
            managers: 2,
            hooks,
            settings: options.settings,
            throttle: Throttle::default(),
            clock: Clock::fixed(START),
            secret: [7; 32],
        });
        let modules = children
            .specs(&env)
            .into_iter()
            .fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
        let tree = SupervisorSpec::one_for_one()
            .child(ChildSpec::supervisor("modules", modules))
            .child(ChildSpec::supervisor("session_managers", manager::Managers::spec(&env)));
        #[expect(clippy::panic, reason = "for tests")]
        let tree = system.start(tree).await.unwrap_or_else(|e| panic!("{e}"));
        Self { env, system, tree, clients: BTreeMap::new(), freezing: false, tls: options.tls }
    }

    /// Runs a script against a world with the modules that `add` adds; once as it is, and once with
    /// every session frozen and thawed between any two steps.
    ///
    /// # Panics
    /// When the script is not followed.
    pub fn check(script: &str, add: impl Fn(&mut Modules)) {
        Self::check_with(script, &WorldOptions::default(), add);
    }

    /// The same with options.
    ///
    /// # Panics
    /// When the script is not followed.
    #[expect(clippy::panic, reason = "for tests")]
    pub fn check_with(script: &str, options: &WorldOptions, add: impl Fn(&mut Modules)) {
        let parsed = Script::parse(script).unwrap_or_else(|e| panic!("{e}"));
        for freezing in [false, true] {
            let mut modules = Modules::default();
            add(&mut modules);
            Self::block_on(async {
                let mut world = Self::new(modules, options.clone()).await;
                world.freezing = freezing;
                let result = parsed.run(&mut world).await;
                world.stop().await;
                result.unwrap_or_else(|e| panic!("(freezing: {freezing}) {e}"));
            });
        }
    }

    /// Runs a future on a runtime of its own with paused time.
    ///
    /// # Panics
    /// When there can be no runtime.
    #[expect(clippy::panic, reason = "for tests")]
    pub fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap_or_else(|e| panic!("{e}"));
        runtime.block_on(future)
    }

    /// Ends all sessions and the tree; every process has ended then.
    ///
    /// # Panics
    /// When one has not.
    pub async fn stop(mut self) {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in names {
            self.cut(&name).await;
        }
        self.tree.stop().await;
        assert_eq!(self.system.alive(), 0, "every process ends with its tree");
    }

    /// Works until nobody has anything to do.
    async fn settle(&mut self) {
        loop {
            let mut idle = true;
            let names: Vec<String> = self.clients.keys().cloned().collect();
            for name in names {
                if let Some(mut client) = self.clients.remove(&name) {
                    idle &= !client.step(&self.env).await;
                    self.clients.insert(name, client);
                }
            }
            // the managers' turn: they answer before we go on, or have nothing to do with us
            tokio::task::yield_now().await;
            if idle {
                return;
            }
        }
    }

    /// Freezes a session into bytes and thaws it, as if in another process.
    #[expect(clippy::panic, reason = "for tests")]
    async fn refreeze(&mut self, name: &str) {
        let Some(client) = self.clients.get_mut(name) else { return };
        let Some(frozen) = client.turn.as_ref().and_then(Turn::freeze) else { return };
        let bytes = serde_json::to_vec(&frozen).unwrap_or_else(|e| panic!("{e}"));
        let frozen: FrozenTurn = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}"));
        let (turn, resource) = Turn::thaw(frozen, &self.env);
        if let (Some(old), Some(new)) = (&client.resource, &resource) {
            self.env.table.remove(old);
            drop(old.end(Ended::Closed));
            manager::adopt(&self.env, new).await;
        }
        client.turn = Some(turn);
        client.resource = resource;
    }
}

impl Client {
    /// One round; whether anything was done.
    async fn step(&mut self, env: &Arc<Env>) -> bool {
        let Some(turn) = &mut self.turn else { return false };
        let mut busy = false;
        for todo in turn.todo() {
            busy = true;
            match todo {
                Todo::StartTls => turn.secured(Tls::default(), env),
                Todo::Attach(resource) => self.resource = Some(resource),
                Todo::Timer(key, after) => {
                    self.timers.insert(key, Instant::now() + after);
                }
                Todo::Cancel(key) => {
                    self.timers.remove(&key);
                }
                Todo::Close => self.closing = true,
            }
        }
        while let Some(job) = turn.job() {
            busy = true;
            let then = job.await;
            turn.done(then, env);
        }
        if !self.closing && turn.drain(64, env).is_none() {
            let undefined = || StreamError::new(Condition::UndefinedCondition);
            let why = self.resource.as_deref().map_or_else(undefined, connection::evicted);
            turn.end(why, env);
            busy = true;
        }
        busy |= turn.pending();
        let out = std::mem::take(turn.out());
        if !out.is_empty() {
            busy = true;
            #[expect(clippy::panic, reason = "for tests")]
            receive(&mut self.inbox, &out, &mut self.got).unwrap_or_else(|e| panic!("{e}"));
        }
        if turn.waiting() {
            busy = true;
            turn.go_on(env);
        }
        if self.closing && !busy {
            self.got.push_back(Got::Eof);
            let detached = turn.detach();
            self.turn = None;
            match detached {
                Some((resource, true)) => manager::lost(env, resource),
                Some((resource, false)) => end(env, &resource, Ended::Closed).await,
                None => {}
            }
            return true;
        }
        busy
    }
}

/// Cuts what a client receives into its parts.
///
/// # Errors
/// When the server did not send what a stream is made of.
pub fn receive(
    framer: &mut Framer,
    bytes: &[u8],
    got: &mut VecDeque<Got>,
) -> Result<(), StreamError> {
    framer.feed(bytes);
    while let Some(event) = framer.next()? {
        got.push_back(match event {
            Event::Open(header) => Got::Open(header),
            Event::Nonza(nonza) => Got::Element(nonza.element().clone()),
            Event::Stanza(stanza) => {
                let xml = stanza.to_xml();
                match Element::parse(xml.as_bytes(), ns::CLIENT) {
                    Some(element) => Got::Element(element),
                    None => continue,
                }
            }
            Event::Whitespace => continue,
            Event::Close => Got::Close,
        });
    }
    Ok(())
}

/// A framer for the receiving side of a client.
pub fn client_framer() -> Framer {
    Framer::new(Limits { max_stanza: 64 << 20, max_depth: 1_000, max_attrs: 1_000 })
}

impl Wire for World {
    #[expect(clippy::panic, reason = "for tests")]
    async fn account(&mut self, jid: &str, password: &str) {
        let user: BareJid = jid.parse().unwrap_or_else(|e| panic!("{e}"));
        let account = Account { keys: keys(password), created: START, disabled: false };
        let created = self.env.stores.accounts.create(vec![(user, account)]).await;
        assert_eq!(created, Ok(1));
    }

    async fn connect(&mut self, name: &str) {
        let conn = Conn {
            peer: [127, 0, 0, 1].into(),
            starttls: self.tls.is_none(),
            tls_required: false,
            tls: self.tls.clone(),
        };
        let client = Client {
            turn: Some(Turn::new(conn, &self.env)),
            resource: None,
            timers: BTreeMap::from([(
                TimerKey::Negotiation,
                Instant::now() + self.env.settings().negotiation_timeout,
            )]),
            closing: false,
            inbox: client_framer(),
            got: VecDeque::new(),
        };
        self.clients.insert(name.to_owned(), client);
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        if let Some(client) = self.clients.get_mut(name) {
            if restart {
                client.inbox.restart();
            }
            if let Some(turn) = &mut client.turn {
                turn.feed(bytes.as_bytes(), &self.env);
            }
        }
        self.settle().await;
    }

    async fn next(&mut self, name: &str, _wait: bool) -> Got {
        self.settle().await;
        let got = self.clients.get_mut(name).and_then(|c| c.got.pop_front());
        got.unwrap_or(Got::Nothing)
    }

    fn binding(&self, name: &str) -> Option<Vec<u8>> {
        let tls = self.tls.as_ref()?;
        match name {
            "tls-exporter" => tls.exporter.clone(),
            "tls-server-end-point" => tls.end_point.clone(),
            _ => Some(b"something".to_vec()),
        }
    }

    async fn cut(&mut self, name: &str) {
        let Some(mut client) = self.clients.remove(name) else { return };
        let Some(turn) = &mut client.turn else { return };
        match turn.detach() {
            Some((resource, true)) => manager::lost(&self.env, resource),
            Some((resource, false)) => end(&self.env, &resource, Ended::Closed).await,
            None => {}
        }
        self.settle().await;
    }

    async fn pass(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let due = self.clients.values().flat_map(|c| c.timers.values().copied()).min();
            let next = due.map_or(until, |at| at.min(until)).max(Instant::now());
            let step = next.duration_since(Instant::now());
            self.env.clock.advance(step);
            tokio::time::sleep_until(next).await;
            for client in self.clients.values_mut() {
                let Some(turn) = &mut client.turn else {
                    client.timers.clear();
                    continue;
                };
                let now = Instant::now();
                let due: Vec<_> =
                    client.timers.iter().filter(|(_, at)| **at <= now).map(|(k, _)| *k).collect();
                for key in due {
                    client.timers.remove(&key);
                    turn.timer(key, &self.env);
                }
            }
            self.settle().await;
            if next >= until {
                return true;
            }
        }
    }

    async fn between(&mut self) {
        if self.freezing {
            self.settle().await;
            let names: Vec<String> = self.clients.keys().cloned().collect();
            for name in names {
                self.refreeze(&name).await;
            }
        }
    }
}
