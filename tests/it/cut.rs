//! A connection that ends in the middle of what its client's message causes, and a client that resumes its session:
//! the message is kept once, however the connection ended, and whoever was quicker.

use crate::support::{PASSWORD, Peer, TestNode, block_on, until};
use actors::{
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    registrar::{Module, Registrar, Xep},
    resource::Owner,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use storage::OfflineLimits;
use tokio::sync::Semaphore;
use xmpp::{jid::BareJid, ns, stanza::Stanza};

config::section! {
    /// Nothing to configure.
    pub struct NoConfig {}
}

/// Before the store is asked, and before its answer comes.
static GATES: [Semaphore; 2] = [Semaphore::const_new(0), Semaphore::const_new(0)];
/// How many have come to them.
static ARRIVED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

async fn pass(gate: usize) {
    ARRIVED[gate].fetch_add(1, Ordering::Relaxed);
    GATES[gate].acquire().await.unwrap().forget();
}

/// Offline storage that waits for the test.
struct Slow;

impl Module for Slow {
    const NAME: &'static str = "slow";
    const XEPS: &'static [Xep] = &[];
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.offline(Order::First, Self::keep);
    }
}

impl Slow {
    fn keep(&self, env: &Arc<Env>, user: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let (env, user) = (Arc::clone(env), user.clone());
        Box::pin(async move {
            pass(0).await;
            let limits = OfflineLimits::messages(100);
            env.stores.offline.push(&user, 0, message, limits).await.unwrap();
            pass(1).await;
            Offline::Taken
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Gone {
    /// The client resets its connection.
    Reset,
    /// The connection's process is killed.
    Killed,
    /// The client is back first.
    Replaced,
    /// And then the process is killed.
    ReplacedAndKilled,
}

async fn kill(node: &TestNode) {
    let pids = node.node.system().pids();
    let is = |p: &&supervision::Local| p.status().is_some_and(|s| &*s == "a@localhost/cut");
    let pid = pids.iter().find(is).unwrap();
    pid.kill();
    pid.wait().await;
}

/// Somebody asks to resume the session: it is another connection's from then on.
async fn ask(node: &TestNode, token: &str) -> Peer {
    let mut peer = Peer::connect(node.c2s()).await;
    peer.log_in("a").await;
    peer.send(&format!("<resume xmlns='{}' previd='{token}' h='0'/>", ns::SM)).await;
    let resource = || node.node.env().table.find(&"a@localhost".parse().unwrap(), "cut").unwrap();
    until("it is taken over", || resource().owner() == Owner::Attached(2)).await;
    peer
}

/// It is resumed when what was begun is done: how much was handled.
async fn resumed(peer: &mut Peer) -> u32 {
    let resumed = peer.element().await;
    assert_eq!(resumed.name(), "resumed", "{}", resumed.to_xml());
    resumed.attr("h").unwrap().parse().unwrap()
}

async fn is_kept_once(gone: Gone, at: usize, node: &TestNode) {
    let env = node.node.env();
    let kept =
        || async { env.stores.offline.count(&"b@localhost".parse().unwrap()).await.unwrap() };
    let before = kept().await;
    let mut peer = Peer::login(node.c2s(), "a@localhost/cut").await;
    peer.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let token = peer.element().await.attr("id").unwrap().to_owned();
    let arrived = ARRIVED[at].load(Ordering::Relaxed);
    (0..at).for_each(|gate| GATES[gate].add_permits(1));
    let message = "<message to='b@localhost' type='chat'><body>b</body></message>";
    peer.send(message).await;
    until("the message is on its way", || ARRIVED[at].load(Ordering::Relaxed) > arrived).await;
    match gone {
        Gone::Reset => {
            peer.stream.set_zero_linger().unwrap();
            drop(peer);
        }
        Gone::Killed => kill(node).await,
        Gone::Replaced | Gone::ReplacedAndKilled => {}
    }
    let mut again = ask(node, &token).await;
    if matches!(gone, Gone::ReplacedAndKilled) {
        kill(node).await;
    }
    (at..2).for_each(|gate| GATES[gate].add_permits(1));
    let h = resumed(&mut again).await;
    if h == 0 {
        GATES.iter().for_each(|gate| gate.add_permits(1));
        again.send(message).await;
    }
    again.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    let answer = again.until(|e| e.name() == "a").await;
    assert_eq!(answer.attr("h"), Some("1"), "{gone:?} at {at}");
    let open = || GATES.iter().all(|gate| gate.available_permits() == 0);
    until("nobody waits at a gate", open).await;
    assert_eq!(kept().await, before + 1, "{gone:?} at {at}, h was {h}");
    again.send("</stream:stream>").await;
    while !matches!(again.next().await, actors::testkit::script::Got::Eof) {}
}

#[test]
fn a_message_is_kept_once_wherever_its_sender_is_cut_off() {
    block_on(async {
        let node = TestNode::with("", |setup| {
            setup.modules.add_with::<Slow>(NoConfig {});
        })
        .await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        for gone in [Gone::Reset, Gone::Killed, Gone::Replaced, Gone::ReplacedAndKilled] {
            for at in 0..2 {
                is_kept_once(gone, at, &node).await;
            }
        }
        node.stop().await;
    });
}
