//! What drives a session, without I/O: it has the session's turns in their order, its job that is out, its deadlines,
//! and the resource it serves.
//!
//! A [`Connection`] joins it to a socket, the testkit to a script. Both go round the same loop: [`Driver::settle`] does
//! what the last turn asked for, [`Driver::write`] sends what came of it, [`Driver::wait`] says what wakes it besides
//! the client, and [`Driver::wake`] makes a turn of that. When the client is gone, [`Driver::leave`] ends its session or leaves
//! it to be resumed; whoever is killed before that drops the driver, which is enough. It reads no clock, and
//! between two turns it can be frozen.
//!
//! [`Connection`]: crate::connection::Connection

mod deadlines;
mod ending;
mod serving;
#[cfg(test)]
mod stalled;

pub use ending::LAST_JOBS;

use crate::{
    env::Env,
    future::BoxFuture,
    resource::Resource,
    session::{
        effects::{Job, Then, TimerKey},
        out::Out,
        sm,
        state::{Conn, Session, Tls},
        turn::{FrozenTurn, OUT, Todo, Turn},
    },
    sessions::note,
};
use deadlines::{Deadline, Deadlines};
use serving::Serving;
use std::{
    fmt,
    future::{pending, ready},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use supervision::Recorded;
use thiserror::Error;
use tokio::time::Instant;

/// Queued stanzas that are written in one turn.
const BATCH: usize = 64;
/// What is kept of a buffer that has been written.
const ROOM: usize = 64 << 10;
/// How long a client that reads nothing at all is kept while bytes wait for it.
const STALL: Duration = Duration::from_secs(60);
/// How long it is kept when nothing is left for it but why it has to go.
pub const LINGER: Duration = Duration::from_secs(2);
/// After how much quiet a connection gives its buffers back.
const QUIET: Duration = Duration::from_secs(5);

/// A session and what it needs to go on.
pub struct Driver {
    env: Arc<Env>,
    turn: Turn,
    serving: Option<Serving>,
    job: Option<Job>,
    deadlines: Deadlines,
    /// More waits in the queue than one turn wrote.
    more: bool,
    /// The client does not take any more at the moment.
    blocked: bool,
    /// The store is told of what is to be written.
    noting: Option<BoxFuture<()>>,
    /// The queue had its turn: the client's own input is next, if there is some.
    drained: bool,
    closing: bool,
    /// Its session went elsewhere or was ended: a client that does not read is not waited for.
    evicted: bool,
    /// What another one had begun is finished here.
    handed_on: bool,
}

/// What wakes a driver besides its client and its deadlines.
pub enum Woken {
    /// A job has finished.
    Job(Then),
    /// The queue has something for this client.
    Queue,
    /// The store knows of what is to be written.
    Noted,
    /// What the client sent before can be gone on with.
    Further,
}

/// What whoever has the connection has to do itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Begin the TLS handshake when everything is written.
    pub start_tls: bool,
    /// It is known now whose connection it is.
    pub bound: bool,
}

/// How far writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing is left.
    All,
    /// The client took some of it.
    Some,
    /// It took nothing.
    Nothing,
}

impl Written {
    /// More is left; whether some of it was taken.
    pub fn blocked(moved: bool) -> Self {
        if moved { Self::Some } else { Self::Nothing }
    }
}

/// A client has taken nothing of what waits for it for too long.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the client does not read")]
pub struct Stalled;

/// Where a driver stands while it waits.
pub struct Wait<'a, Next> {
    /// Resolves when there is something to be done before the client is heard. Can be dropped without loss.
    pub next: Next,
    /// There is if nothing comes of the client: [`Woken::Queue`].
    pub after: bool,
    /// Hears the client meanwhile.
    pub ear: Ear<'a>,
}

/// What hears the client.
pub struct Ear<'a> {
    turn: &'a mut Turn,
    env: &'a Arc<Env>,
}

impl Ear<'_> {
    /// Bytes of the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.turn.feed(bytes, self.env);
    }

    /// The TLS handshake is done.
    pub fn secured(&mut self, tls: Tls) {
        self.turn.secured(tls, self.env);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({})", self.peer())
    }
}

impl Driver {
    /// A client has connected.
    pub fn new(conn: Conn, env: &Arc<Env>, now: Instant) -> Self {
        let mut driver = Self::of(Turn::new(conn, env), env);
        let late = now + env.settings().negotiation_timeout;
        driver.deadlines.set(Deadline::Session(TimerKey::Negotiation), late);
        driver
    }

    /// A session at the beginning of a turn.
    pub(crate) fn of(turn: Turn, env: &Arc<Env>) -> Self {
        Self {
            env: Arc::clone(env),
            turn,
            serving: None,
            job: None,
            deadlines: Deadlines::new(),
            more: false,
            blocked: false,
            noting: None,
            drained: false,
            closing: false,
            evicted: false,
            handed_on: false,
        }
    }

    /// The session as data, with what is left of its timers; `None`: something is still to be done. See
    /// [`Turn::freeze`].
    pub fn freeze(&self, now: Instant) -> Option<FrozenTurn> {
        self.turn.freeze(self.deadlines.timers(now))
    }

    /// Does what the last turn asked for. `now` is asked when there is a deadline to set.
    pub fn settle(&mut self, now: impl Fn() -> Instant) -> Settled {
        let mut settled = Settled::default();
        for todo in self.turn.todo() {
            match todo {
                Todo::StartTls => settled.start_tls = true,
                Todo::Attach(resource, epoch) => {
                    settled.bound = true;
                    self.serving = Some(Serving::new(resource, epoch));
                    self.more = true;
                }
                Todo::Timer(key, after) => {
                    self.deadlines.set(Deadline::Session(key), now() + after);
                }
                Todo::Cancel(key) => self.deadlines.cancel(Deadline::Session(key)),
                Todo::Close => self.closing = true,
            }
        }
        if self.job.is_none() {
            self.job = self.turn.job();
        }
        if self.turn.heard() {
            self.deadlines.set(Deadline::Quiet, now() + QUIET);
        }
        settled
    }

    /// Has what waits for the client written: `write` removes what it could send, and says how far it came.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<E>(
        &mut self,
        write: impl FnOnce(&mut Out) -> Result<Written, E>,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), E> {
        if self.notes() {
            return Ok(());
        }
        let out = self.turn.out();
        let written = write(out)?;
        self.blocked = written != Written::All;
        if !self.blocked {
            if out.is_empty() && out.capacity() > ROOM {
                drop(out.take());
            }
            self.deadlines.cancel(Deadline::Stall);
        } else if self.deadlines.at(Deadline::Stall).is_none()
            || written == Written::Some && !self.evicted
        {
            let patience = if self.evicted { LINGER } else { STALL };
            self.deadlines.set(Deadline::Stall, now() + patience);
        }
        if let Some(serving) = &mut self.serving {
            serving.tell(&self.turn);
        }
        Ok(())
    }

    /// Whether the store has to be told something before anything is written.
    fn notes(&mut self) -> bool {
        if self.noting.is_none()
            && let Some(serving) = self.serving.as_ref().filter(|serving| serving.is_kept())
        {
            let writes = !self.turn.out().is_empty();
            self.noting = note(&self.env, serving.resource(), writes);
        }
        self.noting.is_some()
    }

    /// Whether nothing can be written at the moment.
    fn stands(&self) -> bool {
        self.blocked || self.noting.is_some()
    }

    /// Whether the stream is over, and everything is written.
    pub fn is_over(&self) -> bool {
        self.closing && !self.stands() && self.job.is_none()
    }

    /// What can wake it now. What is in the queue and what comes of the client take turns when there is a lot of both:
    /// else a slow client would not be heard, nor its acknowledgements.
    pub fn wait(&mut self) -> Wait<'_, impl Future<Output = Woken>> {
        let stands = self.stands();
        let further = self.turn.waiting() && !stands;
        let more = self.more && !stands;
        let (before, after) = if self.drained { (false, more) } else { (more, false) };
        let tells = self.noting.is_some();
        let draining = !self.closing && !tells;
        let Self { env, turn, serving, job, noting, .. } = self;
        let next = async move {
            tokio::select! {
                biased;
                () = noted(noting), if tells => Woken::Noted,
                then = run(job) => Woken::Job(then),
                () = queued(serving.as_ref(), before), if draining => Woken::Queue,
                () = ready(()), if further => Woken::Further,
            }
        };
        Wait { next, after: draining && after, ear: Ear { turn, env } }
    }

    /// Makes a turn of what woke it.
    pub fn wake(&mut self, woken: Woken) {
        match woken {
            Woken::Job(then) => self.done(then),
            Woken::Queue => self.drain(),
            Woken::Noted => self.noting = None,
            Woken::Further => {
                self.drained = false;
                self.turn.go_on(&self.env);
            }
        }
    }

    fn done(&mut self, then: Then) {
        self.job = None;
        self.turn.done(then, &self.env);
    }

    /// Writes what waits in the resource's queue.
    fn drain(&mut self) {
        self.drained = true;
        let more = if self.blocked {
            // not now
            self.is_ours().then_some(true)
        } else {
            self.turn.drain(BATCH, &self.env)
        };
        match more {
            Some(more) => self.more = more,
            None => {
                self.more = false;
                self.evicted = true;
                self.deadlines.cancel(Deadline::Stall);
                self.evict();
            }
        }
    }

    /// Whether the client it drives still has its session.
    fn is_ours(&self) -> bool {
        self.serving.as_ref().is_none_or(Serving::is_ours)
    }

    /// Whether more may be read from the client. Not while it does not take what it gets.
    pub fn listens(&self) -> bool {
        self.takes_bytes() && self.turn.ready()
    }

    /// Whether more may be read that is not for the session: half a PROXY header, half a TLS handshake.
    pub fn takes_bytes(&self) -> bool {
        !self.closing && !self.stands()
    }

    /// Whether the client does not take any more at the moment.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether a job is out.
    pub fn is_working(&self) -> bool {
        self.job.is_some()
    }

    /// Bytes of the client, whenever they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.turn.feed(bytes, &self.env);
    }

    /// Something was read; bytes of what is not complete do not put quiet off.
    pub fn received(&mut self, now: Instant) {
        self.drained = false;
        if self.deadlines.at(Deadline::Quiet).is_none() {
            self.deadlines.set(Deadline::Quiet, now + QUIET);
        }
    }

    /// When it has to be told the time next.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Whether the client should have logged on by now.
    pub fn is_late(&self, now: Instant) -> bool {
        let negotiation = Deadline::Session(TimerKey::Negotiation);
        self.deadlines.at(negotiation).is_some_and(|at| at <= now)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the client has not read for too long.
    pub fn time(&mut self, now: Instant) -> Result<(), Stalled> {
        for deadline in self.deadlines.due(now) {
            match deadline {
                // nothing is read meanwhile, and what it is to acknowledge has not all left: a stall is another matter
                Deadline::Session(TimerKey::Acks) if self.blocked => {
                    self.deadlines.set(deadline, now + sm::PATIENCE);
                }
                Deadline::Session(key) => self.turn.timer(key, &self.env),
                Deadline::Stall => return Err(Stalled),
                Deadline::Quiet => self.turn.idle(),
            }
        }
        Ok(())
    }

    /// What waits for the client.
    pub fn out(&mut self) -> &mut Out {
        self.turn.out()
    }

    /// The session, to look at.
    pub fn session(&self) -> &Session {
        self.turn.session()
    }

    /// Whose queue it serves.
    pub fn resource(&self) -> Option<&Resource> {
        self.serving.as_deref()
    }

    /// The client's address.
    pub fn peer(&self) -> IpAddr {
        self.session().stream.conn.peer
    }

    /// A proxy says who the client is.
    pub fn set_peer(&mut self, peer: IpAddr) {
        self.turn.set_peer(peer);
    }

    /// What the session was told last, for a crash report.
    pub fn recent(&self) -> Vec<Recorded> {
        self.turn.recent()
    }
}

async fn run(job: &mut Option<Job>) -> Then {
    match job {
        Some(job) => job.await,
        None => pending().await,
    }
}

/// Resolves when the store has been told, if it is told something.
async fn noted(noting: &mut Option<BoxFuture<()>>) {
    match noting {
        Some(noting) => noting.await,
        None => pending().await,
    }
}

/// Resolves when the queue has something for this client.
async fn queued(serving: Option<&Serving>, more: bool) {
    match serving {
        Some(_) if more => {}
        Some(serving) => serving.notified().await,
        None => pending().await,
    }
}
