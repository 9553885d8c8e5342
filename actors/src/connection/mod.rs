//! A client's connection: the process that owns a socket, and joins it to the [`Driver`] of a session.
//!
//! No protocol is decided here. One loop reads, wakes the driver and writes, always at most one turn at a time; after a few
//! in a row others on its thread come first ([`stint`]).

mod alarm;
mod ending;
mod proxy;
pub mod shaping;
mod socket;
mod stint;
mod transport;

use crate::{
    accept::{Progress, Stage},
    driver::{self, Driver},
    env::Env,
    metrics::LogOn,
    session::{out::Dialect, state::Conn},
};
use alarm::Alarm;
use shaping::{Admission, Bucket};
pub use socket::Socket;
use std::{
    convert::Infallible,
    fmt,
    future::{pending, poll_fn, ready},
    io,
    net::IpAddr,
    sync::Arc,
};
use stint::Stint;
use supervision::{Cx, Event, Exit, InitError, Process, Recorded};
use tls::{Acceptor, Facts, Got};
use tokio::time::Instant;
use transport::Transport;
use xmpp::{
    error::{StreamError, StreamErrorCondition as Condition},
    jid::BareJid,
};

/// What a listener hands over.
#[expect(missing_debug_implementations, reason = "sockets have nothing to say")]
pub struct Accepted {
    /// The socket.
    pub socket: Socket,
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
    pub tls: Arc<Acceptor>,
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

/// The process of a client.
pub struct Connection {
    port: Arc<Port>,
    admission: Option<Admission>,
    progress: Progress,
    bucket: Bucket,
    transport: Transport,
    driver: Driver,
    alarm: Alarm,
    /// Bytes of a PROXY header that is not complete.
    header: Option<Vec<u8>>,
    /// Not read from before then (traffic shaping).
    held: Option<Instant>,
    /// It has, or had, a session.
    logged_on: bool,
    stint: Stint,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.driver.peer())
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
        socket.set_nodelay();
        let conn = Conn {
            peer,
            starttls: !port.direct_tls,
            tls_required: port.tls_required,
            tls: None,
            dialect: Dialect::Document,
        };
        let now = Instant::now();
        let mut connection = Self {
            bucket: Bucket::new(env.settings().session_rate, now),
            transport: Transport::new(socket),
            driver: Driver::new(conn, &env, now),
            alarm: Alarm::new(now),
            header: port.proxy.then(Vec::new),
            held: None,
            logged_on: false,
            stint: Stint::default(),
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
                tracing::debug!(peer = %self.driver.peer(), %error, "connection lost");
                Exit::Normal
            }
        }
    }

    async fn terminate(&mut self, why: &Exit, cx: &mut Cx<Infallible>) {
        if !self.logged_on {
            self.port.env.metrics.log_on(LogOn::Ended, cx.pid().uptime());
        }
        match why {
            Exit::Normal => {}
            Exit::Shutdown | Exit::ShutdownWith(_) => {
                let condition = match why {
                    // RFC 6120 section 4.9.3.17: it made room for another
                    Exit::ShutdownWith(_) => Condition::ResourceConstraint,
                    _ => Condition::SystemShutdown,
                };
                self.finish_jobs().await;
                self.driver.end(StreamError::new(condition));
                self.say_goodbye().await;
            }
            _ => {
                self.driver.crashed().await;
                self.say_goodbye().await;
            }
        }
        self.leave().await;
    }

    fn recent(&self) -> Vec<Recorded> {
        self.driver.recent()
    }
}

impl Drop for Connection {
    /// However it ended, it is counted.
    fn drop(&mut self) {
        self.port.env.metrics.disconnections();
    }
}

/// What woke the loop.
enum Woken {
    Event(Event<Infallible>),
    Driver(driver::Woken),
    Read(io::Result<usize>),
    Writable,
    Time,
}

impl Connection {
    async fn serve(&mut self, cx: &mut Cx<Infallible>) -> Stop {
        loop {
            if let Err(error) = self.settle(cx) {
                return Stop::Lost(error);
            }
            if self.driver.is_over() {
                return Stop::Done;
            }
            if self.stint.is_enough() {
                self.port.env.metrics.yields();
                tokio::task::yield_now().await;
                self.stint.rest();
            }
            let woken = self.wait(cx).await;
            if !self.port.env.may_act()
                && let Some(reason) = self.held_back(cx).await
            {
                return Stop::Asked(reason);
            }
            match woken {
                Woken::Event(Event::Exit { from, reason }) => {
                    // who was to make room and has logged on meanwhile stays
                    if self.progress.ends(&from, cx) {
                        return Stop::Asked(reason);
                    }
                }
                Woken::Event(_) | Woken::Writable => {}
                Woken::Driver(woken) => self.driver.wake(woken),
                Woken::Time => {
                    if let Err(error) = self.time() {
                        return Stop::Lost(error);
                    }
                }
                Woken::Read(Ok(0)) => {
                    return Stop::Lost(io::ErrorKind::UnexpectedEof.into());
                }
                Woken::Read(Ok(n)) => self.received(n),
                Woken::Read(Err(error)) => return Stop::Lost(error),
            }
        }
    }

    /// The node has no lease: others may go on with its sessions. Nothing is done until it has one, or it stops.
    async fn held_back(&mut self, cx: &mut Cx<Infallible>) -> Option<Exit> {
        let env = Arc::clone(&self.port.env);
        let acts = env.acts();
        let mut acts = std::pin::pin!(acts);
        loop {
            tokio::select! {
                biased;
                event = cx.next() => {
                    if let Event::Exit { from, reason } = event
                        && self.progress.ends(&from, cx)
                    {
                        return Some(reason);
                    }
                }
                () = &mut acts => return None,
            }
        }
    }

    /// Waits for the next thing to do. Every arm can be cancelled without loss.
    async fn wait(&mut self, cx: &mut Cx<Infallible>) -> Woken {
        let time = [self.driver.deadline(), self.held].into_iter().flatten().min();
        let blocked = self.driver.is_blocked();
        let listens =
            if self.is_mute() { self.driver.takes_bytes() } else { self.driver.listens() };
        let reading = listens && self.held.is_none();
        let Self { driver, transport, header, alarm, stint, port, .. } = self;
        let driver::Wait { next, after, mut ear } = driver.wait();
        let sink = |got: Got<'_>| match (got, &mut *header) {
            (Got::Bytes(bytes), Some(header)) => header.extend_from_slice(bytes),
            (Got::Bytes(bytes), None) => ear.feed(bytes),
            (Got::Secured(facts), _) => {
                secured(&port.env, &facts);
                ear.secured(facts.into());
            }
        };
        tokio::select! {
            biased;
            event = cx.next() => Woken::Event(event),
            () = alarm.at(time) => Woken::Time,
            woken = next => Woken::Driver(woken),
            woken = socket(transport, blocked, sink), if blocked || reading => woken,
            () = ready(()), if after => Woken::Driver(driver::Woken::Queue),
            never = idle(stint) => match never {},
        }
    }

    /// Does what the last turn asked for, and writes.
    fn settle(&mut self, cx: &Cx<Infallible>) -> io::Result<()> {
        self.header()?;
        let settled = self.driver.settle(Instant::now);
        if settled.bound {
            self.log_on(cx);
        }
        self.progress.set(self.stage());
        self.driver.write(|out| self.transport.write(out), Instant::now)?;
        if settled.start_tls {
            self.start_tls()?;
            self.progress.set(self.stage());
        }
        Ok(())
    }

    /// It has a session now: how long that took.
    fn log_on(&mut self, cx: &Cx<Infallible>) {
        if let Some(resource) = self.driver.resource() {
            cx.publish(resource.jid().as_str());
        }
        // a resource is bound with the first epoch
        let resumed = self.driver.session().attached.as_ref().is_some_and(|a| a.epoch > 1);
        let end = if resumed { LogOn::Resumed } else { LogOn::Bound };
        self.port.env.metrics.log_on(end, cx.pid().uptime());
        self.logged_on = true;
    }

    /// Whether what comes is not for the session yet: a PROXY header, a TLS handshake.
    fn is_mute(&self) -> bool {
        self.header.is_some() || self.transport.is_shaking()
    }

    /// Whether it can make room for another.
    fn stage(&self) -> Stage {
        match &self.driver.session().stream.host {
            _ if self.driver.resource().is_some() => Stage::Settled,
            Some(_) if !self.is_mute() => Stage::Begun,
            _ => Stage::Waiting,
        }
    }

    fn start_tls(&mut self) -> io::Result<()> {
        self.port.env.metrics.tls_begun();
        let host = self.driver.session().stream.host.as_deref();
        self.transport.start_tls(&self.port.tls, host)
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
                let peer = self.driver.peer();
                tracing::info!(%peer, %error, "no PROXY header where one has to be");
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let rest = bytes.get(len..).unwrap_or_default().to_vec();
        self.header = None;
        if let Some(peer) = source {
            self.driver.set_peer(peer);
        }
        let env = &self.port.env;
        let settings = env.settings();
        let rate = settings.address_rate;
        self.admission = env.addresses.admit(self.driver.peer(), settings.max_per_address, rate);
        if self.admission.is_none() {
            env.metrics.refused_connections();
            return Err(io::Error::other("too many connections from this address"));
        }
        if !self.port.direct_tls {
            self.driver.feed(&rest);
            return Ok(());
        }
        self.start_tls()?;
        // a client that speaks first waits for the server's answer: nothing of it is here yet,
        // unless the proxy sent both in one piece
        if rest.is_empty() { Ok(()) } else { self.transport.feed_raw(rest) }
    }

    /// Counts what was read against the client's rate.
    fn received(&mut self, n: usize) {
        let now = Instant::now();
        self.driver.received(now);
        let settings = self.port.env.settings();
        let mut wait = self.bucket.take(settings.session_rate, n, now);
        if let Some(admission) = &self.admission {
            wait = wait.max(admission.take(settings.address_rate, n, now));
        }
        if !wait.is_zero() {
            self.held = Some(now + wait);
        }
    }

    /// A deadline has come.
    fn time(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.held.take_if(|until| *until <= now);
        // there is no stream to say it in
        if self.is_mute() && self.driver.is_late(now) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.driver.time(now).map_err(|stalled| io::Error::new(io::ErrorKind::TimedOut, stalled))
    }

    /// The bare JID of the client, once it is known.
    pub fn user(&self) -> Option<&BareJid> {
        self.driver.session().user()
    }
}

/// A handshake is done.
fn secured(env: &Env, facts: &Facts) {
    env.metrics.tls_secured();
    if !facts.movable {
        env.metrics.tls_immovable();
        tracing::info!(suite = facts.suite, "a TLS connection that cannot move to another process");
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
