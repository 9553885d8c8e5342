//! Memory is short: who logs on waits, who resumes does not, what waits for a client that does not read goes to the
//! store; and when it is over, all go on.

use crate::{
    http,
    support::{PASSWORD, Peer, TestNode, block_on, stanza_error, until},
};
use actors::{pressure::Level, relief::Gauge};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use xmpp::{Element, ns};

/// A node whose memory is as short as is said.
struct Short {
    node: TestNode,
    percent: Arc<AtomicUsize>,
}

impl Short {
    async fn start(options: &str) -> Self {
        let percent = Arc::new(AtomicUsize::new(0));
        let gauge = Arc::clone(&percent);
        let options = format!("storage.backend = 'memory'\nlimits.memory = '100MiB'\n{options}");
        let node = TestNode::with(&options, |setup| {
            setup.gauge = Gauge::new(move || Some(gauge.load(Ordering::Relaxed) << 20));
        })
        .await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        Self { node, percent }
    }

    async fn set(&self, percent: usize, level: Level) {
        self.percent.store(percent, Ordering::Relaxed);
        until("memory is looked at", || self.node.node.env().pressure.level() == level).await;
    }

    fn waited(&self) -> usize {
        self.node.counted("mangrove_logins_waited_total")
    }

    /// What `waiting` comes to, which it does only after `meanwhile`, when there is memory again.
    async fn waits<T>(
        &self,
        waiting: impl Future<Output = T>,
        meanwhile: impl Future<Output = ()>,
    ) -> T {
        let over = AtomicBool::new(false);
        let waiting = async {
            let result = waiting.await;
            over.store(true, Ordering::Relaxed);
            result
        };
        let end = async {
            meanwhile.await;
            assert!(!over.load(Ordering::Relaxed), "it waits");
            self.set(50, Level::Calm).await;
        };
        tokio::join!(waiting, end).0
    }
}

/// A session that can be resumed, and its token.
async fn resumable(node: &TestNode) -> (Peer, String) {
    let mut peer = Peer::login(node.c2s(), "a@localhost/one").await;
    peer.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
    let enabled = peer.element().await;
    (peer, enabled.attr("id").unwrap().to_owned())
}

const BIND: &str = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

#[test]
fn log_ons_wait_and_go_through_when_there_is_memory_again() {
    block_on(async {
        // nothing is freed meanwhile
        let short = Short::start("c2s.negotiation_timeout = '10m'").await;
        let (node, to) = (&short.node, short.node.c2s());
        let (old, token) = resumable(node).await;
        short.set(85, Level::High).await;
        let mut fresh = Peer::connect(to).await;
        fresh.open().await;
        let resumed = async {
            until("one waits", || short.waited() == 1).await;
            drop(old);
            let mut again = Peer::connect(to).await;
            again.log_in("a").await;
            again.send(&format!("<resume xmlns='{}' previd='{token}' h='0'/>", ns::SM)).await;
            assert_eq!(again.element().await.name(), "resumed", "it takes no more memory");
        };
        let authenticated = short.waits(fresh.authenticate("b", PASSWORD), resumed).await;
        assert_eq!(authenticated, Ok(()));
        fresh.open().await;
        fresh.bind("one").await;

        // a session that can be resumed lets its user in, but another one waits
        let (_session, _) = resumable(node).await;
        short.set(85, Level::High).await;
        let mut another = Peer::connect(to).await;
        another.log_in("a").await;
        another.send(BIND).await;
        let bound = short.waits(another.element(), async {
            until("two wait", || short.waited() == 2).await;
        });
        assert_eq!(bound.await.attr("type"), Some("result"));
        short.node.stop().await;
    });
}

#[test]
fn a_log_on_that_has_waited_too_long_is_told_to_try_again() {
    block_on(async {
        // a quarter of which is waited; the rest is for slow machines
        let short = Short::start("c2s.negotiation_timeout = '24s'").await;
        let (_session, _) = resumable(&short.node).await;
        let mut another = Peer::connect(short.node.c2s()).await;
        another.log_in("a").await;
        let mut fresh = Peer::connect(short.node.c2s()).await;
        fresh.open().await;
        short.set(90, Level::Critical).await;
        another.send(BIND).await;
        let (bound, refused) = tokio::join!(another.element(), fresh.authenticate("b", PASSWORD));
        let constraint = ("wait".to_owned(), "resource-constraint".to_owned());
        assert_eq!(stanza_error(&bound), Some(constraint));
        assert_eq!(refused, Err("temporary-auth-failure".to_owned()));
        assert_eq!(short.node.counted("mangrove_logins_total{result=\"no_memory\"}"), 1);
        short.node.stop().await;
    });
}

#[test]
fn a_log_on_goes_through_where_sessions_hold_nothing_that_could_be_freed() {
    block_on(async {
        let short = Short::start("").await;
        short.set(85, Level::High).await;
        let mut fresh = Peer::login(short.node.c2s(), "b@localhost/one").await;
        fresh.ping().await;
        assert_eq!(short.waited(), 1, "the next does not wait");
        short.node.stop().await;
    });
}

#[test]
fn what_waits_for_a_client_that_does_not_read_goes_to_the_store_and_the_client_goes() {
    block_on(async {
        let short =
            Short::start("limits.session_rate = '0B'\nmodules.offline.sender_share = 100").await;
        let (node, to) = (&short.node, short.node.c2s());
        let mut slow = Peer::connect_narrow(to).await;
        slow.log_on("b@localhost/slow").await;
        slow.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
        slow.available().await;
        let mut a = Peer::login(to, "a@localhost/one").await;
        let user = "b@localhost".parse().unwrap();
        let resource = node.node.env().table.find(&user, "slow").unwrap();
        let mut sent = 0;
        // until it takes no more
        while resource.queued() < 20 {
            let body = "x".repeat(16 << 10);
            let message =
                format!("<message to='b@localhost' id='{sent}'><body>{body}</body></message>");
            a.send(&message).await;
            a.ping().await;
            sent += 1;
        }
        short.set(95, Level::Critical).await;
        let (status, _) = http::get(node.node.addresses().http[0], "/ready").await;
        assert_eq!(status, 503);
        until("it is let go", || node.connections() == 1).await;
        assert!(node.node.env().table.find(&user, "slow").is_none());
        assert_eq!(node.counted("mangrove_relieved_sessions_total"), 1);
        assert_eq!(node.node.env().stores.offline.count(&user).await, Ok(sent));
        // nobody is accepted, for now
        let mut again = Peer::connect(to).await;
        let opened = short.waits(again.open(), async { drop(a.ping().await) });
        assert!(opened.await.name() == "features");
        let (status, _) = http::get(node.node.addresses().http[0], "/ready").await;
        assert_eq!(status, 200);
        let mut again = Peer::login(to, "b@localhost/again").await;
        again.send("<presence/>").await;
        let mut got = Vec::new();
        while got.len() < sent {
            let element: Element = again.element().await;
            got.extend(element.attr("id").and_then(|id| id.parse::<usize>().ok()));
        }
        assert_eq!(got, (0..sent).collect::<Vec<_>>(), "each once, in their order");
        short.node.stop().await;
    });
}
