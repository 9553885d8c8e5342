//! Connections that are cut in the middle of traffic in both directions, again and again, and
//! resumed (XEP-0198): no message is lost, none comes twice, the order stays.

use crate::support::{PASSWORD, Peer, TestNode, block_on};
use actors::testkit::{random::Random, script::Got};
use std::{collections::VecDeque, net::SocketAddr};
use xmpp::{Element, ns};

/// A client that keeps the books of XEP-0198.
struct Client {
    to: SocketAddr,
    name: &'static str,
    other: &'static str,
    peer: Peer,
    token: String,
    /// Stanzas of the server that were handled.
    handled: u32,
    /// How many of ours the server has acknowledged, and those it has not.
    acked: u32,
    unacked: VecDeque<String>,
    sent: usize,
    got: Vec<usize>,
}

impl Client {
    async fn new(to: SocketAddr, name: &'static str, other: &'static str) -> Self {
        let mut peer = Peer::login(to, &format!("{name}@localhost/r")).await;
        peer.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
        let enabled = peer.element().await;
        let token = enabled.attr("id").unwrap().to_owned();
        let (handled, acked, sent) = (0, 0, 0);
        let (unacked, got) = (VecDeque::new(), Vec::new());
        Self { to, name, other, peer, token, handled, acked, unacked, sent, got }
    }

    fn acknowledged(&mut self, h: &Element) {
        let h: u32 = h.attr("h").unwrap().parse().unwrap();
        self.unacked.drain(..(h - self.acked) as usize);
        self.acked = h;
    }

    /// Handles what the server sent. `false`: the connection is gone.
    async fn handle(&mut self, got: Got) -> bool {
        let Got::Element(element) = got else {
            assert!(matches!(got, Got::Eof), "{}: {got:?}", self.name);
            return false;
        };
        match element.name() {
            "r" => self.peer.send(&format!("<a xmlns='{}' h='{}'/>", ns::SM, self.handled)).await,
            "a" => self.acknowledged(&element),
            _ => {
                assert_eq!(element.name(), "message", "{}", element.to_xml());
                self.got.push(element.attr("id").unwrap().parse().unwrap());
                self.handled += 1;
            }
        }
        true
    }

    /// The next messages, in one piece; `cut`: without the end of the last.
    async fn say(&mut self, count: usize, cut: bool) {
        let mut all = String::new();
        for _ in 0..count {
            let (to, id) = (self.other, self.sent);
            let message = format!(
                "<message to='{to}@localhost/r' type='chat' id='{id}'><body>{id}</body></message>"
            );
            all.push_str(&message);
            self.unacked.push_back(message);
            self.sent += 1;
        }
        let end = all.len() - if cut { 10 } else { 0 };
        self.peer.send(&all[..end]).await;
    }

    /// A new connection takes the place of the old one, which is cut, or still there with what it
    /// was told last.
    async fn resume(&mut self, random: &mut Random) {
        let mut peer = Peer::connect(self.to).await;
        peer.log_in(self.name).await;
        let (count, cut) = (random.below(100) + 1, random.below(2) == 0);
        self.say(count, cut).await;
        let mut old = Some(std::mem::replace(&mut self.peer, peer));
        match random.below(3) {
            // with a reset
            0 => old.take().unwrap().stream.set_zero_linger().unwrap(),
            1 => drop(old.take()),
            _ => {}
        }
        let (token, handled) = (&self.token, self.handled);
        let resume = format!("<resume xmlns='{}' previd='{token}' h='{handled}'/>", ns::SM);
        self.peer.send(&resume).await;
        let resumed = self.peer.element().await;
        assert_eq!(resumed.name(), "resumed", "{}", resumed.to_xml());
        self.acknowledged(&resumed);
        let again: Vec<String> = self.unacked.iter().cloned().collect();
        self.peer.send(&again.concat()).await;
    }

    async fn live(mut self, mut random: Random, count: usize) -> Vec<usize> {
        while self.sent < count || self.got.len() < count || !self.unacked.is_empty() {
            let cut = random.below(40) == 0;
            if self.sent < count {
                self.say(random.below(8) + 1, false).await;
            }
            if cut {
                self.resume(&mut random).await;
            } else {
                self.peer.send(&format!("<r xmlns='{}'/>", ns::SM)).await;
                let before = self.acked;
                loop {
                    let got = self.peer.next().await;
                    let asked = matches!(&got, Got::Element(e) if e.name() == "a");
                    assert!(self.handle(got).await, "nobody but the client cuts");
                    // sometimes what came is left unread
                    if asked || self.acked > before || random.below(20) == 0 {
                        break;
                    }
                }
            }
        }
        self.peer.send("</stream:stream>").await;
        while !matches!(self.peer.next().await, Got::Eof | Got::Close) {}
        self.got
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    const COUNT: usize = 1_500;
    block_on(async {
        let options = "limits.session_rate = '0B'\nlimits.queued = 100000\nlimits.unacked = 100000";
        let node = TestNode::start(options).await;
        for user in ["a", "b"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        for seed in [7, 1_234_567, 987_654_321] {
            let a = Client::new(node.c2s(), "a", "b").await;
            let b = Client::new(node.c2s(), "b", "a").await;
            let (a, b) = tokio::join!(
                a.live(Random(seed), COUNT),
                b.live(Random(seed.rotate_left(20)), COUNT)
            );
            for (name, got) in [("a", a), ("b", b)] {
                let wrong = got.iter().enumerate().find(|(n, id)| n != *id);
                assert_eq!(wrong, None, "{name} with seed {seed}");
                assert!(got.len() >= COUNT);
            }
        }
        assert!(node.counted("mangrove_resumed_total") > 20, "they were cut");
        node.stop().await;
    });
}
