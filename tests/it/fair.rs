//! Who floods the node does not keep others from their turn: on one thread, what is done for one client
//! between two looks at everybody else is limited by number. Nothing here measures time.

use crate::support::{PASSWORD, Peer, TestNode, block_in_one_thread};
use std::{cell::Cell, future::pending};
use tokio::task::yield_now;

const OPTIONS: &str =
    "limits.session_rate = '0B'\nlimits.queued = 100000\nlimits.queued_bytes = '64MiB'\n";
/// Four turns of 64, and one of somebody else.
const MOST: usize = 257;
const FLOOD: usize = 12_000;

async fn node(users: &[&str]) -> TestNode {
    let node = TestNode::start(OPTIONS).await;
    for user in users {
        node.account(&format!("{user}@localhost"), PASSWORD).await;
    }
    node
}

/// Runs `client` on this thread beside the node; how much was counted at most between two looks.
async fn most(count: impl Fn() -> usize, client: impl Future<Output = ()>) -> usize {
    let (most, last) = (Cell::new(0), Cell::new(count()));
    let look = || {
        let now = count();
        most.set(most.get().max(now - last.replace(now)));
    };
    let watch = async {
        loop {
            look();
            yield_now().await;
        }
    };
    tokio::select! {
        () = watch => pending().await,
        () = client => {}
    }
    look();
    most.get()
}

#[test]
fn what_a_client_sends_is_handled_a_part_at_a_time() {
    block_in_one_thread(async {
        let node = node(&["a", "b"]).await;
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        let mut b = Peer::login(node.c2s(), "b@localhost/one").await;
        // nobody asked: handled, and forgotten
        let flood = "<iq type='result' id='1'/>".repeat(FLOOD);
        let handled = || node.counted("mangrove_stanzas_total{direction=\"in\",kind=\"iq\"}");
        let before = handled();
        let asked = Cell::new(0);
        let most = most(handled, async {
            a.send(&flood).await;
            for _ in 0..20 {
                let before = handled();
                b.ping().await;
                asked.set(asked.get().max(handled() - before));
            }
            a.ping().await;
        })
        .await;
        assert!(handled() - before > FLOOD);
        assert!((1..=MOST).contains(&most), "{most} in one go");
        assert!(asked.get() <= 8 * MOST, "{} came before another's request", asked.get());
        node.stop().await;
    });
}

#[test]
fn what_waits_for_a_client_does_not_keep_out_what_it_sends() {
    block_in_one_thread(async {
        let node = node(&["b"]).await;
        let mut b = Peer::login(node.c2s(), "b@localhost/one").await;
        let resource = node.node.env().table.find(&"b@localhost".parse().unwrap(), "one").unwrap();
        let message = xmpp::stanza::Stanza::parse(b"<message><body>x</body></message>").unwrap();
        for _ in 0..FLOOD {
            resource.deliver(message.clone()).unwrap();
        }
        let before = b.ping().await.len();
        assert!(before < FLOOD / 2, "{before} came before the answer");
        for _ in before..FLOOD {
            b.element().await;
        }
        node.stop().await;
    });
}

#[test]
fn what_waits_for_a_client_is_written_a_part_at_a_time() {
    block_in_one_thread(async {
        let node = node(&["a", "b"]).await;
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        let mut b = Peer::login(node.c2s(), "b@localhost/one").await;
        let resource = node.node.env().table.find(&"b@localhost".parse().unwrap(), "one").unwrap();
        let message = xmpp::stanza::Stanza::parse(b"<message><body>x</body></message>").unwrap();
        let written = || node.counted("mangrove_stanzas_total{direction=\"out\",kind=\"message\"}");
        let most = most(written, async {
            for _ in 0..FLOOD {
                resource.deliver(message.clone()).unwrap();
            }
            for _ in 0..FLOOD {
                b.element().await;
            }
        })
        .await;
        assert!((1..=MOST).contains(&most), "{most} in one go");
        a.ping().await;
        node.stop().await;
    });
}
