//! Both ends of a connection without a socket: the server's [`Link`], and what the client hears.

use super::{good, script::Got};
use crate::{
    connection,
    env::Env,
    resource::{Ended, Resource},
    session::{
        Conn, Tls,
        effects::TimerKey,
        out::Dialect,
        turn::{FrozenTurn, Todo, Turn},
    },
    sessions::{self, end},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;
use xmpp::{
    Element,
    error::{StreamError, StreamErrorCondition as Condition},
    framer::{Event, Framer, Limits},
    ns, work,
};

/// What a server sent to one client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Said {
    bytes: Vec<u8>,
    eof: bool,
}

impl Said {
    /// Whether the connection was closed.
    pub(super) fn is_over(&self) -> bool {
        self.eof
    }
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Link {
    turn: Turn,
    resource: Option<Arc<Resource>>,
    timers: BTreeMap<TimerKey, Instant>,
    closing: bool,
}

impl Link {
    /// A client connects; `tls`: under TLS, otherwise it is not required.
    pub(super) fn new(tls: Option<Tls>, env: &Env) -> Self {
        let starttls = tls.is_none();
        let conn = Conn {
            peer: [127, 0, 0, 1].into(),
            starttls,
            tls_required: false,
            tls,
            dialect: Dialect::Document,
        };
        let late = Instant::now() + env.settings().negotiation_timeout;
        let timers = BTreeMap::from([(TimerKey::Negotiation, late)]);
        Self { turn: Turn::new(conn, env), resource: None, timers, closing: false }
    }

    /// A connection whose turn comes from another process.
    pub(super) fn thawed(turn: Turn) -> Self {
        Self { turn, resource: None, timers: BTreeMap::new(), closing: false }
    }

    /// The session as bytes can carry it; `None`: it has something to do.
    pub(super) fn freeze(&self) -> Option<FrozenTurn> {
        let now = Instant::now();
        let left = self.timers.iter().map(|(k, at)| (*k, at.saturating_duration_since(now)));
        self.turn.freeze(left)
    }

    pub(super) fn feed(&mut self, bytes: &[u8], env: &Arc<Env>) {
        self.turn.feed(bytes, env);
    }

    /// When a timer goes off next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// Does what is due.
    pub(super) fn time(&mut self, env: &Arc<Env>) {
        let now = Instant::now();
        let due: Vec<_> = self.timers.extract_if(.., |_, at| *at <= now).collect();
        for (key, _) in due {
            self.turn.timer(key, env);
        }
    }

    /// The connection breaks.
    pub(super) async fn cut(mut self, env: &Arc<Env>) {
        self.detach(env).await;
    }

    async fn detach(&mut self, env: &Arc<Env>) {
        match self.turn.detach() {
            Some((resource, true)) => sessions::lost(env, resource),
            Some((resource, false)) => drop(end(env, &resource, Ended::Closed).await),
            None => {}
        }
    }

    /// One round; whether anything was done.
    pub(super) async fn step(&mut self, env: &Arc<Env>, said: &mut Said) -> bool {
        let Self { turn, .. } = self;
        let mut busy = false;
        for todo in turn.todo() {
            busy = true;
            match todo {
                Todo::StartTls => turn.secured(Tls::default(), env),
                Todo::Attach(resource) => self.resource = Some(resource),
                Todo::Timer(key, after) => {
                    self.timers.insert(key, Instant::now() + after);
                }
                Todo::Cancel(key) => {
                    self.timers.remove(&key);
                }
                Todo::Close => self.closing = true,
            }
        }
        while let Some(job) = turn.job() {
            busy = true;
            let then = job.await;
            turn.done(then, env);
        }
        if !self.closing && turn.drain(64, env).is_none() {
            let undefined = || StreamError::new(Condition::UndefinedCondition);
            let why = self.resource.as_deref().map_or_else(undefined, connection::evicted);
            turn.end(why, env);
            busy = true;
        }
        busy |= turn.pending();
        let out = turn.out().take();
        busy |= !out.is_empty();
        said.bytes.extend(out);
        if turn.waiting() {
            busy = true;
            turn.go_on(env);
        }
        if self.closing && !busy {
            said.eof = true;
            busy = true;
            self.detach(env).await;
        }
        busy
    }
}

/// The client's end: what it has received and not looked at.
#[derive(Debug)]
pub(super) struct Heard {
    framer: Framer,
    got: VecDeque<Got>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { framer: client_framer(), got: VecDeque::new() }
    }

    /// The next bytes begin a new stream.
    pub(super) fn restart(&mut self) {
        self.framer.restart();
    }

    pub(super) fn hear(&mut self, said: &Said) {
        good(receive(&mut self.framer, &said.bytes, &mut self.got));
        self.got.extend(said.eof.then_some(Got::Eof));
    }

    pub(super) fn next(&mut self) -> Option<Got> {
        self.got.pop_front()
    }
}

/// Cuts what a client receives into its parts.
///
/// # Errors
/// When the server did not send what a stream is made of.
pub fn receive(
    framer: &mut Framer,
    bytes: &[u8],
    got: &mut VecDeque<Got>,
) -> Result<(), StreamError> {
    framer.feed(bytes);
    while let Some(event) = framer.next()? {
        got.push_back(match event {
            Event::Open(header) => Got::Open(header),
            Event::Nonza(nonza) => Got::Element(nonza.element().clone()),
            Event::Stanza(stanza) => {
                let xml = stanza.to_xml();
                match Element::parse(xml.as_bytes(), ns::CLIENT) {
                    Some(element) => Got::Element(element),
                    None => continue,
                }
            }
            Event::Whitespace => continue,
            Event::Close => Got::Close,
        });
    }
    // what a client looks into is not the server's work
    work::take();
    Ok(())
}

/// A framer for the receiving side of a client.
pub fn client_framer() -> Framer {
    Framer::new(Limits {
        max_stanza: 64 << 20,
        max_depth: 1_000,
        max_attrs: 1_000,
        max_bindings: 127,
    })
}
