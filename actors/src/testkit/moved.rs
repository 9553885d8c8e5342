//! A server that moves: each thing that clients do happens in a process of its own, which gets
//! everything the processes before have left behind as bytes, and leaves bytes to the next.
//!
//! Clients talk TLS: the handshake is made in the process of the test, and every record of a client, and every half of
//! one, comes to a process that had its connection's keys in the bytes.
//!
//! [`Moved`] is what a script sees of it. It starts the test program again, with the name of the
//! test that runs and the number of the check in it; there the same check calls [`serve`], which
//! thaws the world, does what is asked, and freezes it.

use super::{
    World, WorldOptions, binding,
    client::{FrozenLink, Heard, Link, Said},
    good,
    script::{Got, Wire},
};
use crate::{
    clock::Clock,
    handover::{self, FrozenNode, Thaw},
    registrar::Modules,
    session::state::Tls,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::Cell,
    collections::BTreeMap,
    env, io,
    io::{BufRead as _, Write as _},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use storage::{MemoryStore, Snapshot};
use tls::{
    FrozenChannel,
    testkit::{Client, Realm, Wrong},
};
use tokio::time::Instant;
use xmpp::Element;

/// Names the check of the test that has to serve, by its number.
const CHECK: &str = "MANGROVE_TESTKIT_CHECK";
/// What the answer begins with, on a line of its own: the test runner writes there too.
const ANSWER: &str = "the world goes on as";

/// What is asked of a server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Op {
    /// Make an account.
    Account(String, String),
    /// Somebody connects, whose handshake another process has made.
    Connect(String, Option<Box<FrozenChannel>>),
    /// A client sends bytes.
    Send(String, Vec<u8>),
    /// A connection breaks.
    Cut(String),
    /// Time passes.
    Pass(Duration),
}

/// A world as bytes carry it.
#[derive(Serialize, Deserialize)]
pub(crate) struct FrozenWorld {
    clock: u64,
    store: Snapshot,
    node: FrozenNode,
    links: BTreeMap<String, FrozenLink>,
}

impl World {
    /// Ends here what goes on elsewhere.
    pub(crate) async fn freeze(mut self) -> FrozenWorld {
        let freeze = |(name, link): (&String, &mut Link)| {
            let frozen = link.freeze();
            (name.clone(), good(frozen.ok_or_else(|| format!("{name} cannot be frozen"))))
        };
        let links = self.links.iter_mut().map(freeze).collect();
        let node = good(handover::freeze(&self.env).await);
        handover::let_go(&self.env);
        self.links.clear();
        let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
        self.stop().await;
        FrozenWorld { clock: env.clock.millis(), store: store.snapshot(), node, links }
    }

    /// Goes on with other modules, in this process.
    #[cfg(test)]
    pub(crate) async fn go_on(mut self, modules: Modules) -> Self {
        let heard = std::mem::take(&mut self.heard);
        let options = WorldOptions { tls: self.tls.clone(), ..WorldOptions::default() };
        let mut world = Self::thaw(self.freeze().await, modules, options).await;
        world.heard = heard;
        world
    }

    /// Goes on where another world stopped.
    async fn thaw(frozen: FrozenWorld, modules: Modules, options: WorldOptions) -> Self {
        let store = Arc::new(MemoryStore::restored(frozen.store));
        let mut world =
            Self::with(modules, options, Clock::fixed(frozen.clock), store, |s| s, false).await;
        let env = Arc::clone(&world.env);
        let mut thaw = Thaw::begin(&env, frozen.node).await;
        for (name, link) in frozen.links {
            world.links.insert(name, Link::thaw(link, &mut thaw).await);
        }
        drop(thaw);
        world.settle().await;
        world
    }
}

thread_local! {
    static CHECKS: Cell<u32> = const { Cell::new(0) };
}

/// The number of this check in its test: the same in every process that runs the test.
pub(super) fn number() -> u32 {
    CHECKS.set(CHECKS.get() + 1);
    CHECKS.get()
}

/// The check that this process is there for; `None`: a test runs by itself.
pub(super) fn asked() -> Option<u32> {
    env::var(CHECK).ok()?.parse().ok()
}

/// Does in this process what another one asks for on the standard input.
///
/// # Errors
/// When the other process does not say what is expected.
pub(super) fn serve(modules: Modules, options: &WorldOptions) -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let mut line = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let (ops, world) = (line()?, line()?);
    let ops: Vec<Op> = serde_json::from_str(&ops)?;
    let world: Option<FrozenWorld> = serde_json::from_str(&world)?;
    let (said, world) = World::block_on(async {
        let mut live = match world {
            Some(frozen) => World::thaw(frozen, modules, options.clone()).await,
            None => World::new(modules, options.clone()).await,
        };
        for op in ops {
            live.perform(op).await;
        }
        (live.said(), live.freeze().await)
    });
    let (said, world) = (serde_json::to_string(&said)?, serde_json::to_string(&world)?);
    io::stdout().write_all(format!("\n{ANSWER}\n{said}\n{world}\n").as_bytes())
}

/// A server that moves from process to process, as scripts talk to it.
#[derive(Debug)]
pub(super) struct Moved {
    test: String,
    check: u32,
    tls: Option<Tls>,
    /// What the last process left behind.
    world: String,
    /// What the next one is to do.
    ops: Vec<Op>,
    realm: Realm,
    clients: BTreeMap<String, Remote>,
}

/// A client: its end of TLS, and what it hears.
#[derive(Debug)]
struct Remote {
    tls: Client,
    heard: Heard,
    /// How often it sent something.
    sent: u32,
}

impl Remote {
    /// One stanza comes in two records, of which the second comes in two pieces: the process may change in the middle of
    /// either. With every fourth the client changes its keys; it would itself not take more than 32 answers to that in a row.
    fn seal(&mut self, bytes: &[u8], middle: usize) -> Result<Vec<Vec<u8>>, Wrong> {
        self.sent += 1;
        if self.sent.is_multiple_of(4) && self.sent <= 128 {
            self.tls.update_keys()?;
        }
        let (first, rest) = bytes.split_at(middle);
        let mut wire = self.tls.seal(first)?;
        let second = self.tls.seal(rest)?;
        let (head, tail) = second.split_at(second.len() / 2);
        wire.extend_from_slice(head);
        Ok(vec![wire, tail.to_vec()])
    }
}

impl Moved {
    /// A server for the check of that number in the test that runs.
    ///
    /// # Panics
    /// When this is not the thread of a test.
    pub(super) fn new(check: u32, tls: Option<Tls>) -> Self {
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main");
        let test = good(test.ok_or("a check is called by the thread of its test"));
        Self {
            test: test.to_owned(),
            check,
            tls,
            world: "null".to_owned(),
            ops: Vec::new(),
            realm: good(Realm::new()),
            clients: BTreeMap::new(),
        }
    }

    /// Has a fresh process do what is left to do.
    fn go_on(&mut self) {
        if self.ops.is_empty() {
            return;
        }
        let ops = good(serde_json::to_string(&self.ops));
        let output = good(self.process(&ops));
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().skip_while(|line| *line != ANSWER).skip(1);
        // what the test does after its answer, without its other checks, means nothing
        let answer = lines.next().zip(lines.next()).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("in a fresh process, {}, at {ops}:\n{text}{errors}", output.status)
        });
        let (said, world) = good(answer);
        let said: BTreeMap<String, Said> = good(serde_json::from_str(said));
        for (name, said) in said {
            if let Some(client) = self.clients.get_mut(&name) {
                client.heard.hear(&said.opened(&mut client.tls));
            }
        }
        self.world = world.to_owned();
        self.ops.clear();
    }

    fn process(&self, ops: &str) -> io::Result<std::process::Output> {
        let mut child = Command::new(env::current_exe()?)
            .args([&self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHECK, self.check.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // it reads all of it before it writes anything of size; if it does not, its output says why
        if let Some(mut stdin) = child.stdin.take() {
            drop(stdin.write_all(format!("{ops}\n{}\n", self.world).as_bytes()));
        }
        child.wait_with_output()
    }
}

impl Wire for Moved {
    async fn account(&mut self, jid: &str, password: &str) {
        self.ops.push(Op::Account(jid.to_owned(), password.to_owned()));
    }

    async fn connect(&mut self, name: &str) {
        let now = Instant::now().into_std();
        let (tls, channel, _) = good(self.realm.connect(now));
        let channel = good(channel.freeze(now).ok_or("it cannot move"));
        let client = Remote { tls, heard: Heard::new(), sent: 0 };
        self.clients.insert(name.to_owned(), client);
        self.ops.push(Op::Connect(name.to_owned(), Some(Box::new(channel))));
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        let Some(client) = self.clients.get_mut(name) else { return };
        if restart {
            client.heard.restart();
        }
        let one = Element::parse_in_stream(bytes.as_bytes()).is_some();
        let middle = bytes.floor_char_boundary(if one { bytes.len() / 2 } else { 0 });
        for piece in good(client.seal(bytes.as_bytes(), middle)) {
            self.ops.push(Op::Send(name.to_owned(), piece));
            self.go_on();
        }
    }

    async fn next(&mut self, name: &str, _wait: bool) -> Got {
        self.go_on();
        self.clients.get_mut(name).and_then(|c| c.heard.next()).unwrap_or(Got::Nothing)
    }

    async fn cut(&mut self, name: &str) {
        self.clients.remove(name);
        self.ops.push(Op::Cut(name.to_owned()));
        self.go_on();
    }

    async fn pass(&mut self, time: Duration) -> bool {
        self.ops.push(Op::Pass(time));
        self.go_on();
        true
    }

    fn binding(&self, name: &str) -> Option<Vec<u8>> {
        binding(self.tls.as_ref(), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cx::SessionCx,
        hooks::{Flow, Order},
        registrar::{Module, Registrar, Xep},
    };
    use std::sync::atomic::{AtomicU32, Ordering};
    use xmpp::stanza::{Kind, Stanza, Type};

    config::section! {
        /// Nothing to configure.
        pub struct ForgetfulConfig {}
    }

    /// Numbers messages in memory that no other process knows.
    struct Forgetful(AtomicU32);

    impl Module for Forgetful {
        const NAME: &'static str = "forgetful";
        const XEPS: &'static [Xep] = &[];
        type Config = ForgetfulConfig;

        fn new(_: ForgetfulConfig) -> Self {
            Self(AtomicU32::new(0))
        }

        fn register(on: &mut Registrar<'_, Self>) {
            on.inbound(Order::Main, Self::inbound);
        }
    }

    impl Forgetful {
        fn inbound(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
            assert!(stanza.head.kind == Kind::Message || asked().is_none(), "not in this process");
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            cx.send(&Stanza::iq(Type::Get, &n.to_string(), "<n xmlns='n'/>"));
            Flow::Stop
        }
    }

    fn check(script: &str) {
        let login = "account juliet@localhost pencil\nJ = juliet@localhost/balcony\n";
        World::check(&format!("{login}{script}"), |modules| {
            modules.add_with::<Forgetful>(ForgetfulConfig {});
        });
    }

    #[test]
    #[should_panic(expected = "(moved from process to process) line 6: J got <iq")]
    fn what_a_module_has_in_memory_alone_is_missed_in_the_next_process() {
        check("J C: <message/>\nJ S: <iq id='0'/>\nJ C: <message/>\nJ S: <iq id='1'/>");
    }

    #[test]
    #[should_panic(expected = "not in this process")]
    fn what_another_process_dies_of_is_said_in_this_one() {
        check("J C: <presence/>\nJ S: <iq id='0'/>");
    }
}
