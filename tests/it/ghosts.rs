//! Sessions whose ends take long, since the store does: nobody who logs on waits for those of others, and who is gone
//! before he is told that he is bound leaves no session behind. Nothing is lost meanwhile.

use crate::support::{PASSWORD, Peer, TestNode, block_on, until};
use actors::{
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    registrar::{Module, Registrar, Xep},
    resource::Ended,
    sessions::kick,
    testkit::script::Got,
};
use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};
use tokio::sync::Semaphore;
use xmpp::{jid::BareJid, ns, stanza::Stanza};

config::section! {
    /// Shut until the test opens it.
    pub struct GateConfig {}
}

/// Offline storage that takes nothing before the test lets it.
struct Gate(Arc<Semaphore>);

impl Module for Gate {
    const NAME: &'static str = "gate";
    const XEPS: &'static [Xep] = &[];
    type Config = GateConfig;

    fn new(_: GateConfig) -> Self {
        Self(GATE.with(Arc::clone))
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.offline(Order::First, Self::wait);
    }
}

impl Gate {
    fn wait(&self, _: &Arc<Env>, _: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            // it is never closed
            drop(gate.acquire().await.map(|pass| pass.forget()));
            Offline::Pass(message)
        })
    }
}

thread_local! {
    /// Of the test of this thread.
    static GATE: Arc<Semaphore> = Arc::new(Semaphore::new(0));
}

async fn node(options: &str) -> TestNode {
    let limits = "limits.session_rate = '0B'\nmodules.offline.messages = 5000\n\
        modules.offline.sender_share = 100\n";
    let node = TestNode::with(&format!("{limits}{options}"), |setup| {
        setup.modules.add_with::<Gate>(GateConfig {});
    })
    .await;
    for user in ["a", "b"] {
        node.account(&format!("{user}@localhost"), PASSWORD).await;
    }
    node
}

fn a() -> BareJid {
    "a@localhost".parse().unwrap()
}

/// A session of a's that can be resumed for so many seconds.
async fn resumable(node: &TestNode, name: &str, seconds: u64) -> (Peer, String) {
    let mut peer = Peer::login(node.c2s(), &format!("a@localhost/{name}")).await;
    let enable = format!("<enable xmlns='{}' resume='true' max='{seconds}'/>", ns::SM);
    peer.send(&enable).await;
    let token = peer.element().await.attr("id").unwrap().to_owned();
    (peer, token)
}

/// b sends a's session of that name so many messages.
async fn writes(b: &mut Peer, name: &str, count: usize) {
    let message = |n| format!("<message to='a@localhost/{name}' id='{name}-{n}'><body/></message>");
    b.send(&(0..count).map(message).collect::<String>()).await;
    assert_eq!(b.ping().await, []);
}

async fn kept(node: &TestNode) -> Vec<String> {
    let page = node.node.env().stores.offline.page(&a(), 0, 10_000, usize::MAX).await.unwrap();
    page.iter().map(|m| m.stanza.head.id.as_deref().unwrap().to_owned()).collect()
}

fn ids(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}-{n}")).collect()
}

/// How a client behaves that has asked for a resource.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// It hears what becomes of that.
    Waits,
    /// It resets its connection at once.
    Resets,
    /// It closes its stream at once.
    Closes,
}

async fn binds(to: SocketAddr, resource: String, client: Client) {
    let mut peer = Peer::connect(to).await;
    peer.open().await;
    // on a slow machine it may be too late for all of this
    if peer.authenticate("a", PASSWORD).await.is_err() {
        return;
    }
    peer.open().await;
    let (xmlns, sm) = (ns::BIND, ns::SM);
    peer.send(&format!(
        "<iq type='set' id='b'><bind xmlns='{xmlns}'><resource>{resource}</resource></bind></iq>\
         <enable xmlns='{sm}'/><presence/>"
    ))
    .await;
    match client {
        Client::Resets => peer.stream.set_zero_linger().unwrap(),
        Client::Closes | Client::Waits => {
            if matches!(client, Client::Closes) {
                peer.send("</stream:stream>").await;
            }
            while let Got::Element(element) = peer.next().await {
                // or it is asked for an acknowledgement of what is before that
                if matches!(element.name(), "presence" | "r") {
                    return;
                }
            }
        }
    }
}

#[test]
fn who_is_gone_before_he_is_bound_leaves_no_session_behind() {
    const SESSIONS: usize = 8;
    const COUNT: usize = 100;
    block_on(async {
        // shorter than whoever takes the name of a session waits for its end
        let node = node("c2s.negotiation_timeout = '3s'\nlimits.max_resources = 60").await;
        let mut b = Peer::login(node.c2s(), "b@localhost/one").await;
        let names: Vec<String> = (0..SESSIONS).map(|n| format!("s{n}")).collect();
        for name in &names {
            drop(resumable(&node, name, 300).await);
            writes(&mut b, name, COUNT).await;
        }
        let sessions = node.node.env().table.resources(&a());
        let mut clients: Vec<BoxFuture<()>> = Vec::new();
        for n in 0..38 {
            let client = [Client::Waits, Client::Resets, Client::Closes][(n + n / 12) % 3];
            // the names of sessions that end, more than once, and new ones
            let name = names.get(n % 12).cloned().unwrap_or_else(|| format!("g{n}"));
            clients.push(Box::pin(binds(node.c2s(), name, client)));
        }
        // all at the same time
        poll_fn(|task| {
            clients.retain_mut(|client| client.as_mut().poll(task).is_pending());
            if clients.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        GATE.with(|gate| gate.add_permits(10 * SESSIONS * COUNT));
        let env = node.node.env();
        // those whose names nobody came to in time to take
        for session in sessions {
            kick(env, &session, Ended::Closed).await;
        }
        until("nobody is left", || env.table.len() == 1 && node.connections() == 1).await;
        assert_eq!(
            env.registry.lookup(a().as_str()).await.unwrap().len(),
            0,
            "each place is free again"
        );
        // some got them meanwhile, but did not acknowledge them
        let all = kept(&node).await;
        for name in &names {
            let of = |id: &&String| id.split('-').next() == Some(name);
            let of: Vec<_> = all.iter().filter(of).cloned().collect();
            assert_eq!(of, ids(name, COUNT), "each once, in their order");
        }
        assert_eq!(all.len(), SESSIONS * COUNT);
        drop(b);
        node.stop().await;
    });
}

#[test]
fn a_store_that_stands_still_holds_up_nobody_who_logs_on() {
    block_on(async {
        // what waits for a session is in the store before, by default
        let node = node("delivery.durability = 'memory'").await;
        let mut b = Peer::login(node.c2s(), "b@localhost/one").await;
        let (waits, token) = resumable(&node, "waits", 300).await;
        let (left, _) = resumable(&node, "left", 1).await;
        writes(&mut b, "left", 900).await;
        drop((waits, left));
        until("its end has begun", || node.node.env().managers.ending() == 1).await;
        // all of one user, so of one share
        let mut new = Peer::login(node.c2s(), "a@localhost/new").await;
        new.available().await;
        let mut again = Peer::connect(node.c2s()).await;
        again.log_in("a").await;
        again.send(&format!("<resume xmlns='{}' previd='{token}' h='0'/>", ns::SM)).await;
        assert_eq!(again.element().await.name(), "resumed");
        new.send("<presence type='unavailable'/>").await;
        new.ping().await;
        assert_eq!(node.node.env().managers.ending(), 1);
        GATE.with(|gate| gate.add_permits(900));
        until("its end is over", || node.node.env().managers.ending() == 0).await;
        assert_eq!(kept(&node).await, ids("left", 900));
        drop((b, new, again));
        node.stop().await;
    });
}
