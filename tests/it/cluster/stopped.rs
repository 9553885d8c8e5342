//! A node hangs for longer than its lease, and goes on: it does nothing until it has another, and knows then what it missed.

use super::{Node, Shared, of};
use crate::support::{Peer, block_on};
use actors::testkit::script::Got;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::timeout;
use xmpp::ns;

/// For so long it is looked whether nothing is done.
const NOTHING: Duration = Duration::from_millis(1500);

#[test]
fn a_node_that_hung_does_nothing_without_a_lease_and_has_no_ghosts() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo", "mercutio"]).await;
        let mut juliet = Peer::login(one.c2s(), "juliet@localhost/balcony").await;
        let mut mercutio = Peer::login(one.c2s(), "mercutio@localhost/r").await;
        let mut romeo = Peer::login(two.c2s(), "romeo@localhost/orchard").await;
        for peer in [&mut juliet, &mut mercutio, &mut romeo] {
            peer.available().await;
        }
        one.signal(Signal::STOP);
        // into the sockets of a node that reads nothing
        let say = |to: &str, id: &str| {
            format!("<message to='{to}@localhost' type='chat' id='{id}'><body>x</body></message>")
        };
        mercutio.send(&say("romeo", "from-the-ghost")).await;
        romeo.send(&say("mercutio", "to-who-stays")).await;
        // she does not wait for it
        let mut again = Peer::login(two.c2s(), "juliet@localhost/balcony").await;
        again.available().await;
        two.says(&["a node is no more", &of("n1")]).await;
        romeo.send(&say("juliet", "to-who-left")).await;
        again.until(|e| e.attr("id") == Some("to-who-left")).await;
        assert_eq!(romeo.ping().await, []);

        // it goes on, and there is no lease to be had
        shared.redis.stop().unwrap();
        one.signal(Signal::CONT);
        let ping = format!("<iq type='get' id='ghost'><ping xmlns='{}'/></iq>", ns::PING);
        mercutio.send(&ping).await;
        assert!(timeout(NOTHING, mercutio.next()).await.is_err(), "it answers without a lease");
        assert_eq!(romeo.ping().await, [], "it delivers without a lease");
        shared.redis.go_on().unwrap();
        one.says(&["this node was declared dead: it begins anew"]).await;
        one.is_ready().await;

        // who stayed is served, or told, and has what was for him
        let (mut served, mut has) = (false, false);
        while !has {
            match mercutio.next().await {
                Got::Element(e) => {
                    served |= e.attr("id") == Some("ghost");
                    has |= e.attr("id") == Some("to-who-stays");
                }
                _ => {
                    mercutio = Peer::login(one.c2s(), "mercutio@localhost/r").await;
                    mercutio.send("<presence/>").await;
                }
            }
        }
        if served {
            romeo.until(|e| e.attr("id") == Some("from-the-ghost")).await;
        }
        // who left has one session, and it is not here
        let _ends = juliet.refusal().await;
        let sessions = |node: &Node| {
            node.program.json(&["sessions", "--user", "juliet@localhost"]).as_array().unwrap().len()
        };
        assert_eq!((sessions(&one), sessions(&two)), (0, 1));
        romeo.send(&say("juliet", "last")).await;
        again.until(|e| e.attr("id") == Some("last")).await;
    });
}
