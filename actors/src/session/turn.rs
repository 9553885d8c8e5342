//! A turn: the framer and the session joined. A [`Driver`] feeds it bytes, finished jobs and timers, and does what
//! [`Turn::todo`] says.
//!
//! [`Driver`]: crate::driver::Driver

use super::{
    Input,
    bound::Bound,
    effects::{Action, Effects, Job, Scope, Then, TimerKey},
    out::Out,
    recent::record,
    state::{Conn, Session, Stream, Tls},
};
use crate::{
    env::Env,
    resource::{FrozenResource, Resource, Shares},
    routing,
    sessions::claim::Attached,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};
use supervision::Recorded;
use xmpp::{
    error::{StreamError, StreamErrorCondition as Condition},
    framer::{Event, Framer},
    work,
};

/// What the driver has to do after a turn, besides having [`Turn::out`] written.
#[derive(Debug)]
pub enum Todo {
    /// Begin the TLS handshake once everything is written.
    StartTls,
    /// Serve this resource's queue, attached with that epoch.
    Attach(Arc<Resource>, u64),
    /// (Re)start a timer.
    Timer(TimerKey, Duration),
    /// Forget a timer.
    Cancel(TimerKey),
    /// Close once everything is written.
    Close,
}

/// Framer, session and what is pending.
#[derive(Debug)]
pub struct Turn {
    framer: Framer,
    session: Session,
    fx: Effects,
    jobs: VecDeque<PendingJob>,
    todo: Vec<Todo>,
    /// A job is out: the client's input waits.
    busy: bool,
    /// STARTTLS was agreed on: what the client sends in the clear is not looked at any more.
    securing: bool,
    /// The client is gone: nor is what it has sent.
    deaf: bool,
    /// Our closing tag is written: nothing is read and nothing delivered any more.
    closing: bool,
    /// What the client sent besides waits: it has not taken enough of its answers, or this is enough for
    /// one turn.
    waiting: bool,
    /// A stanza is handled but its jobs are not done: it does not count as handled yet.
    unfinished: bool,
    /// What the session was told last, for a crash report. Emptied when idle.
    recent: VecDeque<Recorded>,
    /// Something of the client was handled since [`Turn::heard`] was asked.
    heard: bool,
}

/// Bytes for the client that may wait while more of its own is looked at, or more is written to it.
pub const OUT: usize = 64 << 10;
/// Events of the client in one turn: then others have theirs.
pub const EVENTS: usize = 64;
/// Inputs that are remembered for a crash report.
const RECENT: usize = 3;
/// What an element of an unfinished stanza occupies besides its bytes: a little more than it usually does.
const ELEMENT: usize = 96;

/// A copy of what can be frozen.
fn copied<T: Serialize + DeserializeOwned>(data: &T) -> Option<T> {
    serde_json::from_value(serde_json::to_value(data).ok()?).ok()
}

struct PendingJob(Job);

impl std::fmt::Debug for PendingJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// A session as bytes can carry it to another process (of this build or the next).
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenTurn {
    stream: Stream,
    framer: xmpp::framer::FrozenFramer,
    /// Once it is bound.
    session: Option<(Box<Bound>, FrozenResource)>,
    /// What is left of the timers.
    timers: Vec<(TimerKey<String>, Duration)>,
}

impl Turn {
    /// A connection that was just accepted.
    pub fn new(conn: Conn, env: &Env) -> Self {
        Self::of(Framer::new(env.settings().framer_limits(false)), Session::new(conn))
    }

    fn of(framer: Framer, session: Session) -> Self {
        Self {
            framer,
            fx: Effects { out: Out::new(session.stream.conn.dialect), actions: Vec::new() },
            session,
            jobs: VecDeque::new(),
            todo: Vec::new(),
            busy: false,
            securing: false,
            deaf: false,
            closing: false,
            waiting: false,
            unfinished: false,
            recent: VecDeque::new(),
            heard: false,
        }
    }

    /// The session, to look at.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What waits to be sent to the client; whoever sends it removes it.
    pub fn out(&mut self) -> &mut Out {
        &mut self.fx.out
    }

    /// What else is to be done, in order.
    pub fn todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    /// The next job to run; until [`Turn::done`] the client's input waits.
    pub fn job(&mut self) -> Option<Job> {
        if self.busy {
            return None;
        }
        let PendingJob(job) = self.jobs.pop_front()?;
        self.busy = true;
        Some(job)
    }

    /// Whether jobs are out or waiting.
    pub fn pending(&self) -> bool {
        self.busy || !self.jobs.is_empty()
    }

    /// Whether the client's bytes may be read now.
    pub fn ready(&self) -> bool {
        !self.waiting && self.open()
    }

    /// Whether the client is listened to.
    fn open(&self) -> bool {
        !self.pending()
            && !self.securing
            && !self.deaf
            && !self.closing
            && !self.session.is_closed()
    }

    /// Whether stanzas of the client wait until it takes the answers to those before, or until others
    /// had their turn: nothing is read from it, and [`Turn::go_on`] is to be called when everything is
    /// written.
    pub fn waiting(&self) -> bool {
        self.waiting && self.open()
    }

    /// What the client was sent is written, and others had their turn.
    pub fn go_on(&mut self, env: &Arc<Env>) {
        self.waiting = false;
        self.pump(env);
    }

    /// Bytes of the client.
    pub fn feed(&mut self, bytes: &[u8], env: &Arc<Env>) {
        self.framer.feed(bytes);
        if self.open() {
            self.session.heard(&mut Scope { env, fx: &mut self.fx });
            self.apply(env);
        }
        self.pump(env);
    }

    /// The TLS handshake is done.
    pub fn secured(&mut self, tls: Tls, env: &Arc<Env>) {
        self.securing = false;
        self.framer.restart_secure();
        self.handle(Input::Secured(tls), env);
    }

    /// A timer went off.
    pub fn timer(&mut self, key: TimerKey, env: &Arc<Env>) {
        self.handle(Input::Timer(key), env);
    }

    /// A job finished; goes on with what the client sent meanwhile.
    pub fn done(&mut self, then: Then, env: &Arc<Env>) {
        self.busy = false;
        self.handle(Input::Done(then), env);
        self.finish();
        self.pump(env);
    }

    /// Ends the stream with an error.
    pub fn end(&mut self, error: StreamError, env: &Arc<Env>) {
        self.handle(Input::Evicted(error), env);
    }

    /// Writes up to `max` queued stanzas, as long as they are no more than [`OUT`]; whether more
    /// waits, `None` when the resource is gone.
    pub fn drain(&mut self, max: usize, env: &Arc<Env>) -> Option<bool> {
        if self.closing {
            return Some(false);
        }
        let more = self.session.drain(max, OUT, &mut Scope { env, fx: &mut self.fx });
        self.apply(env);
        more
    }

    /// The connection is gone: see [`Session::detach`].
    pub fn detach(&mut self) -> Option<(Arc<Resource>, bool)> {
        self.session.detach(!self.pending())
    }

    /// The client is gone: what it sent and was not looked at yet is not executed.
    pub fn stop_reading(&mut self) {
        self.deaf = true;
    }

    /// A proxy says who the client is.
    pub fn set_peer(&mut self, peer: IpAddr) {
        self.session.stream.conn.peer = peer;
    }

    /// The session's handler panicked: the client is told, and its session can be resumed. The stanza of the
    /// client it was working on, see [`Resource::crashed`].
    pub fn crashed(&mut self, env: &Arc<Env>) -> Option<xmpp::stanza::Stanza> {
        let error = StreamError::new(Condition::InternalServerError);
        self.session.break_off(&error, &mut Scope { env, fx: &mut self.fx });
        let attached = self.session.attached.as_ref()?;
        attached.resource.crashed(attached.epoch)
    }

    /// Releases what an idle connection does not need.
    pub fn idle(&mut self) {
        if self.fx.out.is_empty() {
            self.fx.out.take();
        }
        self.fx.actions = Vec::new();
        self.todo.shrink_to(0);
        self.jobs.shrink_to(0);
        self.recent = VecDeque::new();
    }

    /// The session as data, with what is left of its `timers`. `None` unless
    /// everything that was asked for is done and written: no job is out, no handshake agreed on,
    /// nothing of the client held back. Copies: this turn must not go on if another does.
    pub fn freeze(&self, timers: impl Iterator<Item = (TimerKey, Duration)>) -> Option<FrozenTurn> {
        let busy = self.pending() || self.securing || self.deaf || self.closing || self.waiting();
        if busy || !self.fx.out.is_empty() || !self.todo.is_empty() {
            return None;
        }
        let named = |key: TimerKey| key.try_map(|module| Some(module.to_owned()));
        let session = match &self.session.attached {
            Some(attached) => Some((copied(&attached.bound)?, attached.resource.freeze())),
            None => None,
        };
        Some(FrozenTurn {
            stream: copied(&self.session.stream)?,
            framer: self.framer.freeze(),
            session,
            timers: timers.filter_map(|(key, left)| Some((named(key)?, left))).collect(),
        })
    }

    /// Goes on where [`Turn::freeze`] stopped. The resource is a new one that the caller puts into
    /// the table: see [`crate::handover::Thaw::driver`].
    pub(crate) fn thaw(
        frozen: FrozenTurn,
        env: &Env,
        shares: &mut Shares,
    ) -> (Self, Option<Arc<Resource>>) {
        let attached = frozen.session.map(|(mut bound, resource)| {
            bound.thawed(|module| env.hooks().module(module).is_some());
            let resource = Resource::thaw(resource, env.thawing(), shares);
            Attached { bound, resource, epoch: 1 }
        });
        let resource = attached.as_ref().map(|attached| Arc::clone(&attached.resource));
        let mut session = Session { stream: frozen.stream, attached };
        session.thaw_attempt(env);
        let limits = env.settings().framer_limits(session.stream.user.is_some());
        let mut turn = Self::of(Framer::thaw(frozen.framer, limits), session);
        turn.todo.extend(resource.clone().map(|resource| Todo::Attach(resource, 1)));
        // a module that is not here any more needs no timer
        let known = |name: String| env.hooks().module(&name);
        let timers = frozen.timers.into_iter();
        let timers = timers.filter_map(|(of, left)| Some(Todo::Timer(of.try_map(known)?, left)));
        turn.todo.extend(timers);
        (turn, resource)
    }

    /// Hands complete events to the session until it is busy, there are none, or it is enough for now.
    fn pump(&mut self, env: &Arc<Env>) {
        for _ in 0..EVENTS {
            if !self.ready() {
                return;
            }
            if self.fx.out.len() > OUT {
                break;
            }
            match self.framer.next() {
                Ok(Some(event)) => self.event(event, env),
                Ok(None) => return,
                Err(error) => return self.handle(Input::Refused(error), env),
            }
        }
        self.waiting = true;
    }

    fn event(&mut self, event: Event, env: &Arc<Env>) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(record(&event));
        self.heard = true;
        self.unfinished = matches!(event, Event::Stanza(_));
        self.handle(Input::Event(event), env);
        self.finish();
    }

    /// A stanza counts as handled (XEP-0198) when what it caused is done: a message that goes to
    /// offline storage is there by then.
    fn finish(&mut self) {
        if self.unfinished && !self.pending() {
            self.unfinished = false;
            self.session.handled();
        }
    }

    /// What the session was told last, the latest last.
    pub fn recent(&self) -> Vec<Recorded> {
        self.recent.iter().cloned().collect()
    }

    /// Whether anything complete came of the client since this was asked.
    pub fn heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Bytes that are kept for the client: its unfinished stanza, and what it was not sent yet. Its last inputs
    /// are few and small, and gone in seconds.
    pub fn bytes(&self) -> usize {
        self.framer.pending().len() + self.fx.out.capacity()
    }

    /// What that occupies: the elements of an unfinished stanza weigh more than they are long. Looks at all its
    /// bytes.
    pub fn weight(&self) -> usize {
        let elements = self.framer.pending().iter().map(|b| usize::from(*b == b'<')).sum::<usize>();
        self.bytes() + elements * ELEMENT
    }

    /// Nothing of the client is looked at any more, and what it sent is not kept.
    pub fn forget(&mut self) {
        self.framer.restart_secure();
        self.recent = VecDeque::new();
    }

    fn handle(&mut self, input: Input, env: &Arc<Env>) {
        self.session.handle(input, &mut Scope { env, fx: &mut self.fx });
        self.apply(env);
    }

    /// Does what needs no I/O and sorts the rest.
    fn apply(&mut self, env: &Arc<Env>) {
        env.metrics.work(work::take());
        let mut actions = std::mem::take(&mut self.fx.actions);
        for action in actions.drain(..) {
            match action {
                Action::Route(stanza) => {
                    if let Some(later) = routing::route(env, stanza) {
                        self.jobs.push_back(PendingJob(Box::pin(async move {
                            later.await;
                            Box::new(|_: &mut Session, _: &mut Scope<'_>| ()) as Then
                        })));
                    }
                }
                Action::Job(job) => self.jobs.push_back(PendingJob(job)),
                Action::Restart => self.framer.restart(),
                Action::Authenticated => {
                    self.framer.set_limits(env.settings().framer_limits(true));
                }
                Action::StartTls => {
                    self.securing = true;
                    self.todo.push(Todo::StartTls);
                }
                Action::Attach(resource, epoch) => self.todo.push(Todo::Attach(resource, epoch)),
                Action::Timer(key, after) => self.todo.push(Todo::Timer(key, after)),
                Action::Cancel(key) => self.todo.push(Todo::Cancel(key)),
                Action::Close => {
                    self.closing = true;
                    self.todo.push(Todo::Close);
                }
            }
        }
        self.fx.actions = actions;
    }
}
