//! A client's connection: the process that owns a socket, and does what its session wants done.
//!
//! No protocol is decided here. One loop reads, runs jobs, keeps timers, drains the queue of its
//! resource and writes, always at most one turn at a time; after a few in a row others on its thread come
//! first ([`stint`]). When it ends, in whatever way, the
//! resource it served is ended or left to be resumed.

mod clock;
mod ending;
mod proxy;
mod serving;
pub mod shaping;
mod stint;
pub mod tls;
mod transport;

use crate::{
    accept::{Progress, Stage},
    env::Env,
    resource::{Ended, Owner, Resource},
    session::{
        Conn,
        effects::{BoxFuture, Then, TimerKey},
        out::Dialect,
        sm,
        turn::{OUT, Todo, Turn},
    },
    sessions,
};
use clock::Clock;
use ending::LINGER;
pub(crate) use ending::evicted;
use serving::Serving;
use shaping::{Admission, Bucket};
use std::{
    convert::Infallible,
    fmt,
    future::{pending, poll_fn, ready},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use stint::Stint;
use supervision::{Cx, Event, Exit, InitError, Process, Recorded};
use tls::TlsAcceptor;
use tokio::{net::TcpStream, time::Instant};
use transport::{Got, Transport};
use xmpp::{
    error::{StreamError, StreamErrorCondition as Condition},
    jid::BareJid,
};

/// Queued stanzas that are written in one turn.
const BATCH: usize = 64;
/// What is kept of a buffer that has been written.
const ROOM: usize = 64 << 10;
/// How long a client that reads nothing at all is kept while bytes wait for it.
const STALL: Duration = Duration::from_secs(60);
/// After how much quiet a connection gives its buffers back.
const QUIET: Duration = Duration::from_secs(5);

/// What a listener hands over.
#[expect(missing_debug_implementations, reason = "sockets have nothing to say")]
pub struct Accepted {
    /// The socket.
    pub socket: TcpStream,
    /// Its other end.
    pub peer: IpAddr,
    /// Its place among the connections of its address; `None`: a PROXY header says whose it is.
    pub admission: Option<Admission>,
    /// To be set as it goes on.
    pub progress: Progress,
    /// How the port is configured.
    pub port: Arc<Port>,
}

/// How the connections of a port begin.
#[derive(Debug)]
pub struct Port {
    /// The node.
    pub env: Arc<Env>,
    /// For STARTTLS and direct TLS.
    pub tls: Arc<TlsAcceptor>,
    /// TLS from the first byte on (XEP-0368).
    pub direct_tls: bool,
    /// Credentials are refused without TLS.
    pub tls_required: bool,
    /// A PROXY header has to come first.
    pub proxy: bool,
    /// The networks a PROXY header is believed from; none: anywhere.
    pub proxy_from: Vec<config::Network>,
}

/// Why the loop ends.
enum Stop {
    /// The stream is over and everything is written.
    Done,
    /// The connection is lost.
    Lost(io::Error),
    /// Its supervisor stops it.
    Asked(Exit),
}

/// The process.
pub struct Connection {
    port: Arc<Port>,
    peer: IpAddr,
    admission: Option<Admission>,
    progress: Progress,
    bucket: Bucket,
    transport: Transport,
    turn: Turn,
    resource: Option<Serving>,
    job: Option<BoxFuture<Then>>,
    clock: Clock,
    /// Bytes of a PROXY header that is not complete.
    header: Option<Vec<u8>>,
    /// More waits in the queue than one turn wrote.
    more: bool,
    /// The socket does not take any more at the moment.
    blocked: bool,
    /// The queue had its turn: the client's own input is next, if there is some.
    drained: bool,
    /// Not read from before then (traffic shaping).
    held: bool,
    closing: bool,
    /// Its session went elsewhere or was ended: a client that does not read is not waited for.
    evicted: bool,
    stint: Stint,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.peer)
    }
}

impl Process for Connection {
    type Args = Accepted;
    type Msg = Infallible;
    const NAME: &'static str = "connection";
    const INBOX: usize = 1;

    async fn init(accepted: Accepted, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let Accepted { socket, peer, admission, progress, port } = accepted;
        let env = Arc::clone(&port.env);
        env.metrics.connections();
        let conn = Conn {
            peer,
            starttls: !port.direct_tls,
            tls_required: port.tls_required,
            tls: None,
            dialect: Dialect::Document,
        };
        let now = Instant::now();
        let settings = env.settings();
        let mut clock = Clock::new(now);
        clock.set(clock::Key::Session(TimerKey::Negotiation), now + settings.negotiation_timeout);
        let mut connection = Self {
            bucket: Bucket::new(settings.session_rate, now),
            transport: Transport::new(socket),
            turn: Turn::new(conn, &env),
            resource: None,
            job: None,
            clock,
            header: port.proxy.then(Vec::new),
            more: false,
            blocked: false,
            drained: false,
            held: false,
            closing: false,
            evicted: false,
            stint: Stint::default(),
            peer,
            admission,
            progress,
            port: Arc::clone(&port),
        };
        if port.direct_tls && !port.proxy {
            connection.start_tls().map_err(|e| InitError::failed(e.to_string()))?;
        }
        Ok(connection)
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let stop = self.serve(cx).await;
        match stop {
            Stop::Asked(reason) => reason,
            Stop::Done => {
                self.leave().await;
                self.linger().await;
                Exit::Normal
            }
            Stop::Lost(error) => {
                tracing::debug!(peer = %self.peer, %error, "connection lost");
                Exit::Normal
            }
        }
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Infallible>) {
        let env = Arc::clone(&self.port.env);
        match why {
            Exit::Normal => {}
            Exit::Shutdown | Exit::ShutdownWith(_) => {
                let condition = match why {
                    // RFC 6120 section 4.9.3.17: it made room for another
                    Exit::ShutdownWith(_) => Condition::ResourceConstraint,
                    _ => Condition::SystemShutdown,
                };
                self.finish_jobs().await;
                self.turn.end(StreamError::new(condition), &env);
                self.say_goodbye().await;
            }
            _ => {
                self.crashed().await;
                self.say_goodbye().await;
            }
        }
        self.leave().await;
    }

    fn recent(&self) -> Vec<Recorded> {
        self.turn.recent()
    }
}

impl Drop for Connection {
    /// However it ended, it is counted. If it was killed, nobody has told the session manager yet, or
    /// the end is not finished.
    fn drop(&mut self) {
        self.port.env.metrics.disconnections();
        let detached = self.turn.detach().map(|(resource, _)| resource);
        let serving = self.resource.take();
        let resource = serving.as_ref().map(|serving| Arc::clone(serving.resource()));
        let unfinished = || resource.filter(|r| r.leaving().is_some());
        if let Some(resource) = detached.or_else(unfinished) {
            sessions::lost(&self.port.env, resource);
        }
    }
}

/// What woke the loop.
enum Woken {
    Event(Event<Infallible>),
    Job(Then),
    Queue,
    Read(io::Result<usize>),
    Writable,
    /// What the client sent before can be gone on with.
    Further,
    Time,
}

impl Connection {
    async fn serve(&mut self, cx: &mut Cx<Infallible>) -> Stop {
        loop {
            if let Err(error) = self.settle(cx) {
                return Stop::Lost(error);
            }
            if self.closing && !self.blocked && self.job.is_none() {
                return Stop::Done;
            }
            if self.stint.is_enough() {
                self.port.env.metrics.yields();
                tokio::task::yield_now().await;
                self.stint.rest();
            }
            let woken = self.wait(cx).await;
            self.drained = match woken {
                Woken::Queue => true,
                Woken::Further | Woken::Read(_) => false,
                _ => self.drained,
            };
            match woken {
                Woken::Event(Event::Exit { from, reason }) => {
                    // who was to make room and has logged on meanwhile stays
                    let evicted = from == *cx.pid() && self.stage() != Stage::Settled;
                    if Some(&from) == cx.pid().parent() || evicted {
                        return Stop::Asked(reason);
                    }
                }
                Woken::Event(_) | Woken::Writable => {}
                Woken::Further => self.turn.go_on(&self.port.env),
                Woken::Job(then) => {
                    self.job = None;
                    self.turn.done(then, &self.port.env);
                }
                // not now; but the session may be over
                Woken::Queue if self.blocked && self.is_ours() => self.more = true,
                Woken::Queue => self.drain(),
                Woken::Time => {
                    if let Err(error) = self.time() {
                        return Stop::Lost(error);
                    }
                }
                Woken::Read(Ok(0)) => {
                    return Stop::Lost(io::ErrorKind::UnexpectedEof.into());
                }
                Woken::Read(Ok(n)) => self.shape(n),
                Woken::Read(Err(error)) => return Stop::Lost(error),
            }
        }
    }

    /// Waits for the next thing to do. Every arm can be cancelled without loss.
    async fn wait(&mut self, cx: &mut Cx<Infallible>) -> Woken {
        let shaking = self.transport.is_shaking();
        let reading = !self.closing
            && !self.held
            && !self.blocked
            && (shaking || self.header.is_some() || self.turn.ready());
        let waiting = self.turn.waiting() && !self.blocked;
        let draining = !self.closing;
        let more = self.more && !self.blocked;
        // in turn, when there is a lot of both: else a slow client would not be heard, nor its acknowledgements
        let (before_input, after_input) = if self.drained { (false, more) } else { (more, false) };
        let Self { turn, transport, port, header, resource, job, clock, blocked, stint, .. } = self;
        let sink = |got: Got<'_>| match (got, &mut *header) {
            (Got::Bytes(bytes), Some(header)) => header.extend_from_slice(bytes),
            (Got::Bytes(bytes), None) => turn.feed(bytes, &port.env),
            (Got::Secured(tls), _) => turn.secured(tls, &port.env),
        };
        tokio::select! {
            biased;
            event = cx.next() => Woken::Event(event),
            then = run(job) => Woken::Job(then),
            () = clock.next() => Woken::Time,
            () = queued(resource.as_deref(), before_input), if draining => Woken::Queue,
            () = ready(()), if waiting => Woken::Further,
            woken = socket(transport, *blocked, sink), if *blocked || reading => woken,
            () = ready(()), if draining && after_input => Woken::Queue,
            never = idle(stint) => match never {},
        }
    }

    /// Does what the last turn asked for, and writes.
    fn settle(&mut self, cx: &Cx<Infallible>) -> io::Result<()> {
        self.header()?;
        let mut secure = false;
        for todo in self.turn.todo() {
            match todo {
                Todo::StartTls => secure = true,
                Todo::Attach(resource) => {
                    cx.publish(resource.jid().as_str());
                    self.resource = Some(Serving::new(resource));
                    self.more = true;
                }
                Todo::Timer(key, after) => {
                    self.clock.set(clock::Key::Session(key), Instant::now() + after);
                }
                Todo::Cancel(key) => self.clock.cancel(clock::Key::Session(key)),
                Todo::Close => self.closing = true,
            }
        }
        if self.job.is_none() {
            self.job = self.turn.job();
        }
        self.progress.set(self.stage());
        self.flush()?;
        if self.turn.heard() {
            self.clock.set(clock::Key::Quiet, Instant::now() + QUIET);
        }
        if let Some(serving) = &mut self.resource {
            serving.tell(&self.turn);
        }
        if secure {
            self.start_tls()?;
            self.progress.set(self.stage());
        }
        Ok(())
    }

    /// Whether it can make room for another.
    fn stage(&self) -> Stage {
        let half = self.header.is_some() || self.transport.is_shaking();
        match &self.turn.session().host {
            _ if self.resource.is_some() => Stage::Settled,
            Some(_) if !half => Stage::Begun,
            _ => Stage::Waiting,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let before = self.turn.out().len();
        self.blocked = self.transport.write(self.turn.out())?;
        if !self.blocked {
            let out = self.turn.out();
            if out.is_empty() && out.capacity() > ROOM {
                drop(out.take());
            }
            self.clock.cancel(clock::Key::Stall);
        } else if !self.clock.has(clock::Key::Stall)
            || self.turn.out().len() < before && !self.evicted
        {
            let patience = if self.evicted { LINGER } else { STALL };
            self.clock.set(clock::Key::Stall, Instant::now() + patience);
        }
        Ok(())
    }

    fn start_tls(&mut self) -> io::Result<()> {
        let host = self.turn.session().host.clone();
        self.transport.start_tls(Arc::clone(&self.port.tls), host)
    }

    /// Whose connection it is, when a proxy says so.
    fn header(&mut self) -> io::Result<()> {
        let Some(bytes) = self.header.as_ref().filter(|h| !h.is_empty()) else { return Ok(()) };
        let (source, len) = match proxy::parse(bytes) {
            Ok(proxy::Header::Done { source, len }) => (source, len),
            Ok(_) => return Ok(()),
            Err(error) => {
                // who forgot to switch it on in the proxy finds out here
                self.port.env.metrics.refused_connections();
                tracing::info!(peer = %self.peer, %error, "no PROXY header where one has to be");
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let rest = bytes.get(len..).unwrap_or_default().to_vec();
        self.header = None;
        let env = Arc::clone(&self.port.env);
        if let Some(peer) = source {
            self.peer = peer;
            self.turn.set_peer(peer);
        }
        let settings = env.settings();
        let rate = settings.address_rate;
        self.admission = env.addresses.admit(self.peer, settings.max_per_address, rate);
        if self.admission.is_none() {
            env.metrics.refused_connections();
            return Err(io::Error::other("too many connections from this address"));
        }
        if !self.port.direct_tls {
            self.turn.feed(&rest, &env);
            return Ok(());
        }
        self.start_tls()?;
        // a client that speaks first waits for the server's answer: nothing of it is here yet,
        // unless the proxy sent both in one piece
        if rest.is_empty() { Ok(()) } else { self.transport.feed_raw(&rest) }
    }

    /// Writes what waits in the resource's queue.
    fn drain(&mut self) {
        let env = Arc::clone(&self.port.env);
        match self.turn.drain(BATCH, &env) {
            Some(more) => self.more = more,
            None => {
                self.more = false;
                self.evicted = true;
                self.clock.cancel(clock::Key::Stall);
                let resource = self.resource.take();
                let error = resource.as_ref().map_or_else(
                    || StreamError::new(Condition::UndefinedCondition),
                    |resource| evicted(resource),
                );
                self.turn.forget();
                let no_memory = resource.and_then(|r| r.ended()) == Some(Ended::NoMemory);
                let much = self.turn.out().len() > OUT;
                self.turn.end(error, &env);
                if no_memory && much {
                    // a client that does not read: the end of the connection tells it enough
                    drop(self.turn.out().take());
                }
            }
        }
    }

    /// Whether this connection still serves its session.
    fn is_ours(&self) -> bool {
        let epoch = self.turn.session().bound.as_ref().map(|bound| bound.epoch);
        let serves = |r: &Serving| epoch.map(Owner::Attached) == Some(r.owner());
        self.resource.as_ref().is_none_or(serves)
    }

    /// Counts what was read against the client's rate.
    fn shape(&mut self, n: usize) {
        let now = Instant::now();
        // bytes of something that is not complete do not put it off
        if !self.clock.has(clock::Key::Quiet) {
            self.clock.set(clock::Key::Quiet, now + QUIET);
        }
        let settings = self.port.env.settings();
        let mut wait = self.bucket.take(settings.session_rate, n, now);
        if let Some(admission) = &self.admission {
            wait = wait.max(admission.take(settings.address_rate, n, now));
        }
        if !wait.is_zero() {
            self.held = true;
            self.clock.set(clock::Key::Held, now + wait);
        }
    }

    /// A deadline has come.
    fn time(&mut self) -> io::Result<()> {
        let env = Arc::clone(&self.port.env);
        for key in self.clock.due(Instant::now()) {
            match key {
                clock::Key::Session(TimerKey::Negotiation)
                    if self.transport.is_shaking() || self.header.is_some() =>
                {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // nothing is read meanwhile, and what it is to acknowledge has not all left: a stall is another matter
                clock::Key::Session(TimerKey::Acks) if self.blocked => {
                    self.clock.set(key, Instant::now() + sm::PATIENCE);
                }
                clock::Key::Session(key) => self.turn.timer(key, &env),
                clock::Key::Stall => return Err(io::ErrorKind::TimedOut.into()),
                clock::Key::Held => self.held = false,
                clock::Key::Quiet => self.turn.idle(),
            }
        }
        Ok(())
    }

    /// The bare JID of the client, once it is known.
    pub fn user(&self) -> Option<&BareJid> {
        self.turn.session().user()
    }
}

/// Waits until the socket takes bytes again, or else for bytes of the client.
async fn socket(transport: &mut Transport, blocked: bool, mut sink: impl FnMut(Got<'_>)) -> Woken {
    if blocked {
        transport.writable().await;
        return Woken::Writable;
    }
    Woken::Read(poll_fn(|task| transport.poll_read(task, &mut sink)).await)
}

/// The last in the order of what is looked at: gets here when there is nothing to do.
async fn idle(stint: &mut Stint) -> Infallible {
    stint.rest();
    pending().await
}

async fn run(job: &mut Option<BoxFuture<Then>>) -> Then {
    match job {
        Some(job) => job.await,
        None => pending().await,
    }
}

/// Resolves when the queue has something for this connection.
async fn queued(resource: Option<&Resource>, more: bool) {
    match resource {
        Some(_) if more => {}
        Some(resource) => resource.notified().await,
        None => pending().await,
    }
}
