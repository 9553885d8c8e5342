//! A client whose session goes on after a restart hears who of those it saw is gone, however the node ended.

use crate::support::{PASSWORD, PATIENCE, Peer, Program, block_on};
use actors::testkit::script::Got;
use rustix::process::Signal;
use std::{net::SocketAddr, time::Instant};
use xmpp::{Element, ns};

/// A session that can be resumed, with what it takes to do so.
async fn resumable(to: SocketAddr, jid: &str) -> (Peer, String) {
    let mut peer = Peer::login(to, jid).await;
    peer.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
    let token = peer.element().await.attr("id").unwrap().to_owned();
    peer.send("<presence/>").await;
    (peer, token)
}

async fn available(to: SocketAddr, jid: &str) -> Peer {
    let mut peer = Peer::login(to, jid).await;
    peer.available().await;
    peer
}

/// Handles what comes until somebody has that presence; how many stanzas.
async fn until(peer: &mut Peer, from: &str) -> u32 {
    let mut handled = 0;
    loop {
        let element = peer.element().await;
        handled += u32::from(element.ns() != ns::SM);
        if is(&element, from, None) {
            return handled;
        }
    }
}

fn is(presence: &Element, from: &str, ty: Option<&str>) -> bool {
    let attrs = (presence.attr("from"), presence.attr("type"));
    presence.name() == "presence" && attrs == (Some(from), ty)
}

#[test]
fn a_client_hears_who_is_gone_since_its_server_was_started_anew() {
    for signal in [Signal::KILL, Signal::TERM] {
        let program = Program::new("");
        for name in ["juliet", "romeo"] {
            program.say(&["account", "add", &format!("{name}@localhost"), PASSWORD]).good();
        }
        let node = program.run();
        let to = node.addresses.starttls[0];
        let (token, handled) = block_on(async {
            let (mut juliet, token) = resumable(to, "juliet@localhost/balcony").await;
            let mut handled = until(&mut juliet, "juliet@localhost/balcony").await;
            let mut romeo = available(to, "romeo@localhost/orchard").await;
            juliet.send("<presence type='subscribe' to='romeo@localhost'/>").await;
            romeo.until(|e| e.attr("type") == Some("subscribe")).await;
            romeo.send("<presence type='subscribed' to='juliet@localhost'/>").await;
            handled += until(&mut juliet, "romeo@localhost/orchard").await;
            let (stays, _) = resumable(to, "romeo@localhost/garden").await;
            handled += until(&mut juliet, "romeo@localhost/garden").await;
            let other = available(to, "juliet@localhost/garden").await;
            handled += until(&mut juliet, "juliet@localhost/garden").await;
            drop((juliet, stays));
            let waits = |user: &str| {
                let sessions = program.json(&["sessions", "--user", user]);
                let sessions = sessions.as_array().unwrap();
                sessions.iter().filter(|session| session["connected"] == false).count() == 1
            };
            let since = Instant::now();
            while !waits("juliet@localhost") || !waits("romeo@localhost") {
                assert!(since.elapsed() < PATIENCE, "their connections are not found lost");
            }
            node.signal(signal);
            let mut gone = [romeo, other];
            for peer in &mut gone {
                while !matches!(peer.next().await, Got::Eof) {}
            }
            (token, handled)
        });
        drop(node);
        let node = program.run();
        block_on(async {
            let mut juliet = Peer::connect(node.addresses.starttls[0]).await;
            juliet.log_in("juliet").await;
            let xmlns = ns::SM;
            juliet.send(&format!("<resume xmlns='{xmlns}' previd='{token}' h='{handled}'/>")).await;
            assert_eq!(juliet.element().await.name(), "resumed");
            let mut gone = Vec::new();
            loop {
                let element = juliet.element().await;
                // the last that it is told
                if is(&element, "romeo@localhost/garden", None) {
                    break;
                }
                if element.attr("type") == Some("unavailable") {
                    gone.push(element.attr("from").unwrap().to_owned());
                }
            }
            gone.sort();
            let both = ["juliet@localhost/garden", "romeo@localhost/orchard"];
            assert_eq!(gone, both, "{signal:?}");
        });
        node.signal(Signal::TERM);
    }
}
