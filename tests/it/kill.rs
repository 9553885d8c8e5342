//! kill -9 while messages are on their way, again and again: what was accepted (counted by an `<a/>` to its sender) is there after
//! the restart, once and in order, as far as `delivery.durability` promises it.

use crate::support::{PASSWORD, PATIENCE, Peer, Program, block_on};
use actors::testkit::{random::Random, script::Got};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use xmpp::{Element, ns};

/// How often each node is killed.
const KILLS: usize = 20;
/// Messages of one round, each for the next recipient.
const MESSAGES: usize = 60;

/// So long after they were accepted messages are on their way into the store with `write-behind`: 50 ms, and what a busy machine takes to start that.
const WRITTEN: Duration = Duration::from_millis(400);

/// Who gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// Has no session.
    Offline,
    /// Has a session that waits to be resumed.
    Detached,
    /// Has one that was resumed; it acknowledges nothing after that.
    Resumed,
    /// Is connected, and reads nothing.
    Slow,
}

use Recipient::{Detached, Offline, Resumed, Slow};

impl Recipient {
    const ALL: [Self; 4] = [Offline, Detached, Resumed, Slow];

    pub fn name(self) -> &'static str {
        match self {
            Offline => "offline",
            Detached => "detached",
            Resumed => "resumed",
            Slow => "slow",
        }
    }

    /// The server's place for it.
    fn jid(self) -> String {
        format!("{}@localhost/r", self.name())
    }
}

/// A client with XEP-0198.
pub struct Client {
    pub peer: Peer,
    token: String,
    /// Stanzas that it handled.
    handled: u32,
    /// The ids of messages that came.
    got: Vec<usize>,
}

impl Client {
    pub async fn new(to: SocketAddr, recipient: Recipient) -> Self {
        let mut peer = Peer::login(to, &recipient.jid()).await;
        peer.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
        let token = peer.element().await.attr("id").unwrap().to_owned();
        let mut client = Self { peer, token, handled: 0, got: Vec::new() };
        client.peer.send("<presence/>").await;
        while client.stanza().await.name() != "presence" {}
        client
    }

    /// The next stanza; it is not acknowledged.
    async fn stanza(&mut self) -> Element {
        loop {
            let element = self.peer.element().await;
            if element.ns() != ns::SM {
                self.handles(&element);
                return element;
            }
        }
    }

    fn handles(&mut self, stanza: &Element) {
        self.handled += 1;
        if stanza.name() == "message" {
            self.got.push(stanza.attr("id").unwrap().parse().unwrap());
        }
    }

    /// Resumes the session over another connection: the answer.
    pub async fn resume(&mut self, to: SocketAddr, recipient: Recipient) -> Element {
        self.peer = Peer::connect(to).await;
        self.peer.log_in(recipient.name()).await;
        let (xmlns, token, h) = (ns::SM, &self.token, self.handled);
        self.peer.send(&format!("<resume xmlns='{xmlns}' previd='{token}' h='{h}'/>")).await;
        self.peer.element().await
    }

    /// The ids of all messages that came: they are acknowledged.
    pub async fn messages(&mut self) -> Vec<usize> {
        // what is fetched from the store comes after the answer to the first
        for _ in 0..2 {
            for element in self.peer.ping().await {
                if element.ns() != ns::SM {
                    self.handles(&element);
                }
            }
            self.handled += 1;
        }
        self.peer.send(&format!("<a xmlns='{}' h='{}'/>", ns::SM, self.handled)).await;
        self.peer.ping().await;
        std::mem::take(&mut self.got)
    }
}

/// Somebody who counts what the server has accepted.
pub struct Sender {
    pub peer: Peer,
    /// The id of the next message.
    pub next: usize,
    pub sent: usize,
    accepted: usize,
}

impl Sender {
    pub async fn new(to: SocketAddr, next: usize) -> Self {
        let mut peer = Peer::login(to, "sender@localhost/r").await;
        peer.send(&format!("<enable xmlns='{}'/>", ns::SM)).await;
        assert_eq!(peer.element().await.name(), "enabled");
        Self { peer, next, sent: 0, accepted: 0 }
    }

    /// Sends a message to each of them; their ids.
    pub async fn send(&mut self, recipients: &[Recipient]) -> Vec<(Recipient, usize)> {
        let (mut all, mut ids) = (String::new(), Vec::new());
        for who in recipients {
            let (jid, id, body, sm) = (who.jid(), self.next, "x".repeat(200), ns::SM);
            let message = format!("<message to='{jid}' type='chat' id='{id}'><body>{body}</body>");
            all += &format!("{message}</message><r xmlns='{sm}'/>");
            ids.push((*who, id));
            self.next += 1;
        }
        self.sent += recipients.len();
        self.peer.send(&all).await;
        ids
    }

    /// Waits until so many are accepted. `false`: the connection is gone.
    pub async fn accepted(&mut self, count: usize) -> bool {
        while self.accepted < count {
            match self.peer.next().await {
                Got::Element(e) if e.name() == "a" => {
                    self.accepted = e.attr("h").unwrap().parse().unwrap();
                }
                // it is asked what it has
                Got::Element(e) if e.name() == "r" => {}
                Got::Element(e) => panic!("{}", e.to_xml()),
                _ => return false,
            }
        }
        true
    }
}

/// Waits until the server knows that they are not connected.
pub fn waits(program: &Program, whose: &[Recipient]) {
    let waits = |who: &Recipient| {
        let jid = format!("{}@localhost", who.name());
        program.json(&["sessions", "--user", &jid])[0]["connected"] == false
    };
    let since = Instant::now();
    while !whose.iter().all(waits) {
        assert!(since.elapsed() < PATIENCE, "their connections are not found lost");
    }
}

/// A node is killed in the middle of a round, started, and everybody looks what is there.
fn round(program: &Program, durability: &str, first: usize, random: &mut Random) {
    let node = program.run();
    let to = node.addresses.starttls[0];
    let mut clients = block_on(async {
        let mut clients = BTreeMap::new();
        for who in [Detached, Resumed, Slow] {
            clients.insert(who, Client::new(to, who).await);
        }
        for who in [Detached, Resumed] {
            clients.get_mut(&who).unwrap().peer = Peer::connect(to).await;
        }
        clients
    });
    waits(program, &[Detached, Resumed]);
    let (accepted, safe, written) = block_on(async {
        let mut sender = Sender::new(to, first).await;
        let mut sent = sender.send(&[Resumed; 10]).await;
        assert!(sender.accepted(10).await);
        let resumed = clients.get_mut(&Resumed).unwrap();
        assert_eq!(resumed.resume(to, Resumed).await.name(), "resumed");
        for (_, id) in &sent {
            let message = resumed.stanza().await;
            assert_eq!(message.attr("id"), Some(&*id.to_string()));
        }
        let (safe, kill_at) = (sender.next, 11 + random.below(MESSAGES));
        for _ in 0..MESSAGES / Recipient::ALL.len() {
            sent.extend(sender.send(&Recipient::ALL).await);
        }
        assert!(sender.accepted(kill_at).await);
        let written = sent[kill_at - 1].1;
        if durability == "write-behind" {
            tokio::time::sleep(WRITTEN).await;
            // what was written before that one is in the store with it
            sent.extend(sender.send(&[Offline]).await);
            assert!(sender.accepted(sent.len()).await);
            // nobody knows of these
            sent.extend(sender.send(&Recipient::ALL).await);
        }
        node.signal(Signal::KILL);
        // what it had said
        assert!(!sender.accepted(usize::MAX).await);
        sent.truncate(sender.accepted);
        (sent, safe, written)
    });
    drop(node);
    let node = program.run();
    let to = node.addresses.starttls[0];
    block_on(async {
        for who in Recipient::ALL {
            let can_resume = match durability {
                "always" | "write-behind" => who != Offline,
                "detached" => who == Detached,
                _ => false,
            };
            let mut client = match clients.remove(&who) {
                Some(mut client) => {
                    let answer = client.resume(to, who).await;
                    assert_eq!(answer.name() == "resumed", can_resume, "{durability}: {who:?}");
                    if can_resume { client } else { Client::new(to, who).await }
                }
                None => Client::new(to, who).await,
            };
            let got = client.messages().await;
            assert!(got.iter().all(|id| *id >= first), "{durability}, {who:?}: again {got:?}");
            assert!(got.is_sorted_by(|a, b| a < b), "{durability}, {who:?}: {got:?}");
            let promised = |id: usize| match durability {
                "always" => true,
                "write-behind" if id <= written => true,
                "write-behind" | "detached" => {
                    matches!(who, Offline | Detached) || who == Resumed && id < safe
                }
                _ => who == Offline,
            };
            for (_, id) in accepted.iter().filter(|(of, id)| *of == who && promised(*id)) {
                assert!(got.contains(id), "{durability}, {who:?}: {id} is lost, {got:?}");
            }
        }
    });
    node.signal(Signal::TERM);
}

fn killed(durability: &str) {
    let program = Program::new(&format!(
        "limits.session_rate = '0B'\ndelivery.durability = '{durability}'\n"
    ));
    for name in Recipient::ALL.map(Recipient::name).into_iter().chain(["sender"]) {
        program.say(&["account", "add", &format!("{name}@localhost"), PASSWORD]).good();
    }
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for n in 0..KILLS {
        round(&program, durability, n * 1_000, &mut random);
    }
}

#[test]
fn what_waits_for_nobodys_connection_survives_by_default() {
    killed("detached");
}

#[test]
fn nothing_is_lost_if_all_is_kept() {
    killed("always");
}

#[test]
fn what_was_accepted_a_moment_before_survives_if_it_is_written_behind() {
    killed("write-behind");
}

#[test]
fn what_waits_for_nobodys_session_survives_whatever_is_configured() {
    killed("memory");
}

/// In order: whoever is connected and can resume goes on after it where all is kept, and otherwise logs on anew.
#[test]
fn a_stop_keeps_what_a_kill_keeps() {
    for durability in ["always", "write-behind", "detached", "memory"] {
        let program = Program::new(&format!(
            "limits.session_rate = '0B'\ndelivery.durability = '{durability}'\n"
        ));
        for who in [Slow, Resumed] {
            program.say(&["account", "add", &format!("{}@localhost", who.name()), PASSWORD]).good();
        }
        let mut node = program.run();
        let to = node.addresses.starttls[0];
        let mut clients = block_on(async {
            let slow = Client::new(to, Slow).await;
            let mut sender = Client::new(to, Resumed).await;
            for (id, to) in [(1, "slow"), (2, "nobody"), (3, "slow")] {
                let head = format!("<message to='{to}@localhost' type='chat' id='{id}'>");
                let rest = format!("<body>x</body></message><r xmlns='{}'/>", ns::SM);
                sender.peer.send(&(head + &rest)).await;
            }
            // it hears that one failed, and does not say so
            while sender.peer.element().await.attr("h") != Some("4") {}
            [(slow, Slow), (sender, Resumed)]
        });
        node.signal(Signal::TERM);
        assert_eq!(node.end().code, Some(0));
        let node = program.run();
        let to = node.addresses.starttls[0];
        block_on(async {
            for (client, who) in &mut clients {
                let answer = client.resume(to, *who).await;
                let goes_on = matches!(durability, "always" | "write-behind");
                assert_eq!(answer.name() == "resumed", goes_on, "{durability}, {who:?}");
                let got = match goes_on {
                    true => client.messages().await,
                    false => Client::new(to, *who).await.messages().await,
                };
                let waited = match who {
                    Slow => vec![1, 3],
                    // it had heard that before its session ended
                    _ if goes_on => vec![2],
                    _ => Vec::new(),
                };
                assert_eq!(got, waited, "{durability}, {who:?}");
            }
        });
        node.signal(Signal::TERM);
    }
}
