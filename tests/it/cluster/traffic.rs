//! Users who write to one another all the time, and the book of what became of each message.

use crate::support::{PATIENCE, Peer, stanza_error, until};
use actors::testkit::{random::Random, script::Got};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use supervision::{System, Task};
use tokio::time::interval;
use xmpp::{Element, ns};

/// Between two messages of one user.
pub const PACE: Duration = Duration::from_millis(80);

/// A message that was sent.
#[derive(Debug, Default)]
pub struct Message {
    pub from: String,
    pub to: String,
    /// When its sender heard that it was accepted.
    pub accepted: Option<Instant>,
    /// How often it came.
    pub got: usize,
    /// It says that it waited.
    pub delayed: bool,
    /// The error that came back.
    pub bounced: Option<(String, String)>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Talks,
    Listens,
    Over,
}

#[derive(Debug)]
struct Book {
    phase: Phase,
    /// To whom they write.
    people: Vec<String>,
    next: usize,
    messages: BTreeMap<usize, Message>,
    /// Of each pair of users the ids that came, in their order.
    order: BTreeMap<(String, String), Vec<usize>>,
    /// Whose connection ended, and how.
    ended: Vec<(String, String)>,
}

/// What all of them know.
#[derive(Clone, Debug)]
pub struct Talk(Arc<Mutex<Book>>);

/// Somebody who talks, over a connection with XEP-0198.
struct Talker {
    name: String,
    peer: Peer,
    sent: Vec<usize>,
    acked: usize,
    handled: u32,
}

impl Talker {
    /// Logs on, and waits until it is available. `who`: a name, or NAME/RESOURCE, which is then preferred to none.
    async fn new(talk: &Talk, who: &str, to: SocketAddr) -> Self {
        let (name, resource, priority) = match who.split_once('/') {
            Some((name, resource)) => (name, resource, 0),
            None => (who, "r", 5),
        };
        let mut peer = Peer::login(to, &format!("{name}@localhost/{resource}")).await;
        peer.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await;
        peer.until(|e| e.name() == "enabled").await;
        let mut talker =
            Self { name: name.to_owned(), peer, sent: Vec::new(), acked: 0, handled: 0 };
        // counts as handled like a message; it has no id
        let presence = format!("<presence><priority>{priority}</priority></presence>");
        talker.peer.send(&presence).await;
        talker.sent.push(usize::MAX);
        loop {
            let got = talker.peer.next().await;
            let is_presence = matches!(&got, Got::Element(e) if e.name() == "presence");
            talker.hears(talk, got).await.unwrap();
            if is_presence {
                return talker;
            }
        }
    }

    /// Talks until it is over, or its connection ends.
    async fn talks(mut self, talk: Talk) {
        let seed = self.name.bytes().fold(7_u64, |seed, byte| seed * 131 + u64::from(byte));
        let (mut pace, mut random) = (interval(PACE), Random(seed));
        loop {
            tokio::select! {
                _ = pace.tick() => match talk.phase() {
                    Phase::Talks => self.says(&talk, random.below(1 << 30)).await,
                    Phase::Listens => {}
                    Phase::Over => return,
                },
                got = self.peer.next() => if let Err(how) = self.hears(&talk, got).await {
                    talk.0.lock().ended.push((self.name, how));
                    return;
                },
            }
        }
    }

    async fn says(&mut self, talk: &Talk, whom: usize) {
        let (id, to) = talk.sent(&self.name, whom);
        self.sent.push(id);
        let head = format!("<message to='{to}@localhost' type='chat' id='{id}'>");
        let body = format!("<body>{}</body></message>", "x".repeat(100));
        self.peer.send(&format!("{head}{body}<r xmlns='{}'/>", ns::SM)).await;
    }

    /// `Err`: how the connection ended.
    async fn hears(&mut self, talk: &Talk, got: Got) -> Result<(), String> {
        let element = match got {
            Got::Element(element) => element,
            other => return Err(format!("{other:?}")),
        };
        match element.name() {
            "r" => {
                let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, self.handled);
                self.peer.send(&a).await;
            }
            "a" => {
                let h: usize = element.attr("h").unwrap().parse().unwrap();
                talk.accepted(&self.sent[self.acked..h]);
                self.acked = h;
            }
            "error" => return Err(element.to_xml()),
            _ => {
                self.handled += 1;
                if element.name() == "message" {
                    talk.got(&self.name, &element);
                }
            }
        }
        Ok(())
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Book {
            phase: Phase::Talks,
            people: Vec::new(),
            next: 0,
            messages: BTreeMap::new(),
            order: BTreeMap::new(),
            ended: Vec::new(),
        })))
    }
}

/// Those that talk.
pub struct Talks {
    system: System,
    all: Vec<Task<()>>,
}

impl Default for Talks {
    fn default() -> Self {
        Self { system: System::new("talk"), all: Vec::new() }
    }
}

impl Talks {
    pub fn start(&mut self, talk: impl Future<Output = ()> + Send + 'static) {
        self.all.push(Task::alone(&self.system, "/talker", talk));
    }

    async fn end(self) {
        for task in self.all {
            task.join(PATIENCE).await.unwrap();
        }
    }
}

impl Talk {
    pub fn phase(&self) -> Phase {
        self.0.lock().phase
    }

    /// The next message of that user: its id, and to whom it is.
    pub fn sent(&self, from: &str, whom: usize) -> (usize, String) {
        let mut book = self.0.lock();
        book.next += 1;
        let (id, to) = (book.next, book.people[whom % book.people.len()].clone());
        let message = Message { from: from.to_owned(), to: to.clone(), ..Message::default() };
        book.messages.insert(id, message);
        (id, to)
    }

    pub fn accepted(&self, ids: &[usize]) {
        let mut book = self.0.lock();
        for id in ids {
            if let Some(message) = book.messages.get_mut(id) {
                message.accepted = Some(Instant::now());
            }
        }
    }

    pub fn got(&self, by: &str, element: &Element) {
        let id = element.attr("id").unwrap().parse().unwrap();
        let mut book = self.0.lock();
        let Some(message) = book.messages.get_mut(&id) else { panic!("{}", element.to_xml()) };
        if element.attr("type") == Some("error") {
            message.bounced = stanza_error(element);
            return;
        }
        assert_eq!(message.to, by, "{}", element.to_xml());
        message.got += 1;
        message.delayed |= element.child(ns::DELAY, "delay").is_some();
        let pair = (message.from.clone(), message.to.clone());
        book.order.entry(pair).or_default().push(id);
    }

    /// Has these log on there and talk: all write to them as soon as all of them are there.
    pub async fn with(&self, tasks: &mut Talks, who: &[(SocketAddr, &[&str])]) {
        let mut talkers = Vec::new();
        for (to, names) in who {
            for name in *names {
                talkers.push(Talker::new(self, name, *to).await);
            }
        }
        talkers.iter().for_each(|talker| self.knows(&talker.name));
        for talker in talkers {
            tasks.start(talker.talks(self.clone()));
        }
    }

    /// From now on all write to that user too.
    pub fn knows(&self, name: &str) {
        let people = &mut self.0.lock().people;
        if !people.iter().any(|known| known == name) {
            people.push(name.to_owned());
        }
    }

    /// Waits until so many hundreds more were accepted: of eight users in no less than a second each ([`PACE`]).
    pub async fn goes_on(&self, hundreds: usize) {
        let accepted = || self.0.lock().messages.values().filter(|m| m.accepted.is_some()).count();
        for _ in 0..hundreds {
            let before = accepted();
            until("messages are accepted", || accepted() >= before + 100).await;
        }
    }

    /// Nobody says anything more; ends when each message that was accepted has come, or nothing comes any more.
    pub async fn end(&self, tasks: Talks) {
        self.0.lock().phase = Phase::Listens;
        let since = Instant::now();
        while !self.is_complete() && since.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.0.lock().phase = Phase::Over;
        tasks.end().await;
    }

    fn is_complete(&self) -> bool {
        let book = self.0.lock();
        book.messages.values().all(|m| m.accepted.is_some() && m.got > 0)
    }

    /// Whose connections ended, and how.
    pub fn ended(&self) -> Vec<(String, String)> {
        self.0.lock().ended.clone()
    }

    /// Nothing that came came twice, waited, or failed.
    pub fn is_exact_so_far(&self) {
        let book = self.0.lock();
        let bad = |m: &Message| m.got > 1 || m.delayed || m.bounced.is_some();
        let bad: Vec<_> = book.messages.iter().filter(|(_, m)| bad(m)).collect();
        assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), book.messages.len());
    }

    /// Each was accepted, and came, once and in order.
    pub fn each_came_once(&self) {
        let book = self.0.lock();
        let bad = |m: &Message| m.accepted.is_none() || m.got != 1 || m.bounced.is_some();
        let bad: Vec<_> = book.messages.iter().filter(|(_, m)| bad(m)).collect();
        assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), book.messages.len());
        for (pair, ids) in &book.order {
            assert!(ids.is_sorted(), "{pair:?}: {ids:?}");
        }
    }

    /// Each was accepted, and came, once, in order and at once; nobody's connection ended.
    pub fn is_exact(&self) {
        let book = self.0.lock();
        assert_eq!(book.ended, [], "connections ended");
        let bad: Vec<_> = book
            .messages
            .iter()
            .filter(|(_, m)| m.accepted.is_none() || m.got != 1 || m.delayed || m.bounced.is_some())
            .collect();
        assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), book.messages.len());
        for (pair, ids) in &book.order {
            assert!(ids.is_sorted(), "{pair:?}: {ids:?}");
        }
        assert!(book.messages.len() > 100, "so few: {}", book.messages.len());
    }

    /// Each that was accepted came, but for those of which `excused` says otherwise; how many came more than once.
    pub fn none_is_lost(&self, excused: impl Fn(&Message) -> bool) -> usize {
        let book = self.0.lock();
        let lost: Vec<_> = book
            .messages
            .iter()
            .filter(|(_, m)| m.accepted.is_some() && m.got == 0 && !excused(m))
            .collect();
        assert!(lost.is_empty(), "{} of {}: {lost:#?}", lost.len(), book.messages.len());
        assert!(book.messages.len() > 100, "so few: {}", book.messages.len());
        book.messages.values().filter(|m| m.got > 1).count()
    }
}

/// Logs on to each of them in turn until it is over: how often, and how long the slowest took.
pub async fn log_ons(talk: Talk, nodes: Vec<SocketAddr>, name: &str) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    for node in nodes.iter().cycle() {
        if talk.phase() != Phase::Talks {
            break;
        }
        let since = Instant::now();
        let mut peer = Peer::login(*node, &format!("{name}@localhost/r{count}")).await;
        peer.available().await;
        peer.send("</stream:stream>").await;
        (count, slowest) = (count + 1, slowest.max(since.elapsed()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (count, slowest)
}
