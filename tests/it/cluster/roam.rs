//! Users of mobile clients: whose connection ends comes back to another node at once, and resumes the session (XEP-0198 section 5).

use super::traffic::{PACE, Phase, Talk, Talks};
use crate::support::{PATIENCE, Peer};
use actors::testkit::{random::Random, script::Got};
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    time::{interval, sleep, timeout},
};
use xmpp::{Element, ns};

/// How soon another node is tried.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a client waits for an answer to its `<resume/>`.
const ANSWER: Duration = Duration::from_secs(5);

/// What they know of the nodes, and how often they came back.
#[derive(Clone, Debug, Default)]
pub struct Roaming(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    nodes: Vec<SocketAddr>,
    /// Connections to it are dead, and nobody says so.
    cut: Option<SocketAddr>,
    /// Connections that ended, and how many of them went on with their sessions.
    tried: usize,
    resumed: usize,
    /// How long the slowest was away.
    away: Duration,
    /// Who did not, when, and what it was told.
    failed: Vec<(String, Instant, String)>,
}

struct Roamer {
    name: String,
    roaming: Roaming,
    /// Which of the nodes it is at, and where that is.
    at: usize,
    to: SocketAddr,
    peer: Peer,
    token: String,
    /// Of this session: the stanzas that were sent, how many were accepted, and how many came.
    sent: Vec<(usize, String)>,
    acked: usize,
    handled: u32,
}

impl Roaming {
    /// Clients find these nodes from now on.
    pub fn finds(&self, nodes: &[SocketAddr]) {
        self.0.lock().nodes = nodes.to_vec();
    }

    /// Clients of that node notice that they do not reach it.
    pub fn cut(&self, node: SocketAddr) {
        self.0.lock().cut = Some(node);
    }

    fn node(&self, n: usize) -> SocketAddr {
        let nodes = &self.0.lock().nodes;
        nodes[n % nodes.len()]
    }

    /// Connections that ended, how many of them went on with their sessions, and how long the slowest was away.
    pub fn counts(&self) -> (usize, usize, Duration) {
        let state = self.0.lock();
        (state.tried, state.resumed, state.away)
    }

    /// Who did not go on with their sessions, when, and what they were told.
    pub fn failed(&self) -> Vec<(String, Instant, String)> {
        self.0.lock().failed.clone()
    }

    /// Has these log on, one node after the other, and talk.
    pub async fn with(&self, talk: &Talk, tasks: &mut Talks, names: &[&str]) {
        let mut all = Vec::new();
        for (at, name) in names.iter().enumerate() {
            all.push(Roamer::new(self.clone(), name, at).await);
        }
        names.iter().for_each(|name| talk.knows(name));
        for roamer in all {
            tasks.start(roamer.talks(talk.clone()));
        }
    }
}

impl Roamer {
    async fn new(roaming: Roaming, name: &str, at: usize) -> Self {
        let to = roaming.node(at);
        let peer = Peer::connect(to).await;
        let (name, token) = (name.to_owned(), String::new());
        let mut new =
            Self { name, roaming, at, to, peer, token, sent: Vec::new(), acked: 0, handled: 0 };
        new.peer.log_in(&new.name).await;
        new.begins(Vec::new()).await.unwrap();
        new
    }

    /// A new session, in which this is sent first. `Err`: why not.
    async fn begins(&mut self, again: Vec<(usize, String)>) -> Result<(), String> {
        self.peer.try_bind("mobile").await?;
        self.peer.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
        let enabled = self.peer.try_element().await?;
        self.token = enabled.attr("id").ok_or_else(|| enabled.to_xml())?.to_owned();
        (self.acked, self.handled) = (0, 0);
        // counts as handled like a message
        self.sent = vec![(usize::MAX, "<presence/>".to_owned())];
        self.sent.extend(again);
        self.says_again().await;
        Ok(())
    }

    /// Sends what was not accepted.
    async fn says_again(&mut self) {
        let all: String = self.sent[self.acked..].iter().map(|(_, xml)| xml.as_str()).collect();
        self.peer.send(&format!("{all}<r xmlns='{}'/>", ns::SM)).await;
    }

    async fn talks(mut self, talk: Talk) {
        let seed = self.name.bytes().fold(7_u64, |seed, byte| seed * 131 + u64::from(byte));
        let (mut pace, mut random) = (interval(PACE), Random(seed));
        loop {
            tokio::select! {
                _ = pace.tick() => match talk.phase() {
                    _ if self.roaming.0.lock().cut == Some(self.to) => self.comes_back(&talk).await,
                    Phase::Talks => self.says(&talk, random.below(1 << 30)).await,
                    Phase::Listens => {}
                    Phase::Over => return,
                },
                got = self.peer.next() => if !matches!(got, Got::Element(e) if self.hears(&talk, &e).await) {
                    self.comes_back(&talk).await;
                },
            }
        }
    }

    async fn says(&mut self, talk: &Talk, whom: usize) {
        let (id, to) = talk.sent(&self.name, whom);
        let head = format!("<message to='{to}@localhost' type='chat' id='{id}'>");
        let xml = format!("{head}<body>{}</body></message>", "x".repeat(100));
        self.peer.send(&format!("{xml}<r xmlns='{}'/>", ns::SM)).await;
        self.sent.push((id, xml));
    }

    /// `false`: the connection is about to end.
    async fn hears(&mut self, talk: &Talk, element: &Element) -> bool {
        match element.name() {
            "r" => {
                let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, self.handled);
                self.peer.send(&a).await;
            }
            "a" => self.accepted(talk, element),
            "error" => return false,
            _ => {
                self.handled += 1;
                if element.name() == "message" {
                    talk.got(&self.name, element);
                }
            }
        }
        true
    }

    /// Up to its `h`.
    fn accepted(&mut self, talk: &Talk, element: &Element) {
        let Some(h) = element.attr("h").and_then(|h| h.parse::<usize>().ok()) else { return };
        let h = h.clamp(self.acked, self.sent.len());
        let ids: Vec<usize> = self.sent[self.acked..h].iter().map(|(id, _)| *id).collect();
        talk.accepted(&ids);
        self.acked = h;
    }

    async fn comes_back(&mut self, talk: &Talk) {
        let since = Instant::now();
        self.roaming.0.lock().tried += 1;
        let resumed = loop {
            self.at += 1;
            match self.tries(talk).await {
                Ok(resumed) => break resumed,
                Err(why) if since.elapsed() > PATIENCE => {
                    panic!("{} finds no node: {why}", self.name)
                }
                Err(_) => sleep(AGAIN).await,
            }
        };
        let mut state = self.roaming.0.lock();
        state.resumed += usize::from(resumed);
        state.away = state.away.max(since.elapsed());
    }

    /// Whether its session goes on there; else it has another. `Err`: that node does not serve it.
    async fn tries(&mut self, talk: &Talk) -> Result<bool, String> {
        let to = self.roaming.node(self.at);
        let stream = TcpStream::connect(to).await.map_err(|error| error.to_string())?;
        self.peer = Peer::over(stream);
        self.to = to;
        self.peer.try_log_in(&self.name).await?;
        let resume =
            format!("<resume xmlns='{}' previd='{}' h='{}'/>", ns::SM, self.token, self.handled);
        self.peer.send(&resume).await;
        let answer = timeout(ANSWER, self.peer.try_element()).await;
        let answer = answer.expect("a <resume/> is answered")?;
        match answer.name() {
            "resumed" => {
                self.accepted(talk, &answer);
                self.says_again().await;
                Ok(true)
            }
            // whose it is could not be known in time
            "failed" if answer.child(ns::STANZA_ERRORS, "internal-server-error").is_some() => {
                Err(answer.to_xml())
            }
            "failed" => {
                let failed = (format!("{} at {to}", self.name), Instant::now(), answer.to_xml());
                self.roaming.0.lock().failed.push(failed);
                self.accepted(talk, &answer);
                let rest = self.sent.split_off(self.acked);
                let rest = rest.into_iter().filter(|(id, _)| *id != usize::MAX).collect();
                self.begins(rest).await?;
                Ok(false)
            }
            _ => Err(answer.to_xml()),
        }
    }
}
