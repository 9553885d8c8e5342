//! A socket that listens: accepts connections and gives each to a process of its own in a pool. The same for clients,
//! HTTP and operators; where connections come from is its [`Source`], who gets in its [`Gate`] says.

use crate::{
    accept::Progress,
    gate::{Gate, Guests, Refusal},
    metrics::Metrics,
    pressure::Level,
};
use std::{convert::Infallible, fmt, io, net::IpAddr, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Exit, InitError, PoolRef, PoolSpec, Process, Shutdown, SupervisorSpec,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// Name of the pool of all connections of clients.
pub const POOL: &str = "connections";

/// Places of the pool beyond its limit, for those that take longer to leave.
pub const SPARE: usize = 32;

/// How long guests have to finish what they are at when the node stops.
const LAST: Duration = Duration::from_secs(1);

/// How long to wait when the system has no more file descriptors, or no memory.
const PAUSE: Duration = Duration::from_millis(100);
/// After so long without a failure it is over.
const CALM: Duration = Duration::from_secs(10);

/// What connections come from: a socket that listens already. It is bound before the tree starts, so that an address that
/// is taken is a configuration error and not a crash, and kept over restarts.
pub trait Source: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// Whose it is.
    type Peer: Copy + Send + 'static;

    /// The next one. Can be cancelled without loss.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;

    /// Where that is.
    fn name(&self) -> String;
}

impl Source for TcpListener {
    type Stream = TcpStream;
    type Peer = IpAddr;

    async fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, peer.ip()))
    }

    fn name(&self) -> String {
        self.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Arrival<S: Source, G: Gate> {
    /// The connection.
    pub stream: S::Stream,
    /// Whose it is.
    pub peer: S::Peer,
    /// What its gate gave it.
    pub pass: G::Pass,
    /// To be set as it goes on: one that has settled makes no room for others.
    pub progress: Progress,
}

/// What a connection's process is started with.
pub type Serve<S, G, P> = Arc<dyn Fn(Arrival<S, G>) -> <P as Process>::Args + Send + Sync>;

/// What a listener is started with: from where, past whom, into which pool.
#[expect(missing_debug_implementations, reason = "a closure has nothing to say")]
pub struct Entrance<S: Source, G: Gate, P: Process> {
    /// Where connections come from.
    pub source: Arc<S>,
    /// Who gets in.
    pub gate: Arc<G>,
    /// The name of the pool of their processes.
    pub pool: &'static str,
    /// What these are started with.
    pub serve: Serve<S, G, P>,
}

/// The process that accepts.
pub struct Listener<S: Source, G: Gate, P: Process> {
    entrance: Arc<Entrance<S, G, P>>,
    pool: PoolRef<P>,
}

impl<S: Source, G: Gate, P: Process> fmt::Debug for Listener<S, G, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.entrance.source.name())
    }
}

impl<S: Source, G: Gate<Peer = S::Peer>, P: Process> Process for Listener<S, G, P> {
    type Args = Arc<Entrance<S, G, P>>;
    type Msg = Infallible;
    const NAME: &'static str = "listener";
    const INBOX: usize = 1;

    async fn init(entrance: Self::Args, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let pool = PoolRef::find(cx.system(), entrance.pool)
            .ok_or_else(|| InitError::failed(format!("the pool {} does not run", entrance.pool)))?;
        cx.publish(&entrance.source.name());
        cx.trap_exit(true);
        Ok(Self { entrance, pool })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let mut failures = Failures::default();
        loop {
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                accepted = self.next() => match accepted {
                    Ok((stream, peer)) => {
                        failures.calm();
                        if let Err(why) = self.welcome(stream, peer).await {
                            self.entrance.gate.env().metrics.refused_connections();
                            self.entrance.gate.log(peer, why);
                        }
                    }
                    Err(error) => failures.note(&error, &self.entrance.gate.env().metrics).await,
                },
            }
        }
    }
}

impl<S: Source, G: Gate<Peer = S::Peer>, P: Process> Listener<S, G, P> {
    /// The next connection. Those that wait for memory do so in the system's backlog.
    async fn next(&self) -> io::Result<(S::Stream, S::Peer)> {
        let Entrance { source, gate, .. } = &*self.entrance;
        if !G::WAITS_FOR_MEMORY {
            return source.accept().await;
        }
        let pressure = &gate.env().pressure;
        loop {
            pressure.at_most(Level::High).await;
            tokio::select! {
                biased;
                () = pressure.above(Level::High) => {}
                accepted = source.accept() => return accepted,
            }
        }
    }

    async fn welcome(&self, stream: S::Stream, peer: S::Peer) -> Result<(), Refusal> {
        let Entrance { gate, serve, .. } = &*self.entrance;
        let pass = gate.admit(peer)?;
        gate.make_room(&|| self.pool.len()).await?;
        let progress = Progress::default();
        let args = serve(Arrival { stream, peer, pass, progress: progress.clone() });
        let connection = self.pool.spawn(args).map_err(|_| Refusal::Leaving)?;
        gate.entered(connection.pid(), peer, progress);
        Ok(())
    }
}

/// A pool called `pool` of [`Guests`], and listeners to it after it: they hold its address.
pub fn guests<S, P>(
    pool: &'static str,
    gate: Guests<S::Peer>,
    sources: &[Arc<S>],
    serve: impl Fn(Arrival<S, Guests<S::Peer>>) -> P::Args + Send + Sync + 'static,
) -> SupervisorSpec
where
    S: Source<Peer: PartialEq + fmt::Debug + Sync>,
    P: Process,
{
    // as many again may be about to leave
    let limits = PoolSpec { max: 2 * gate.max(), shutdown: Shutdown::Timeout(LAST) };
    let (gate, serve): (_, Serve<S, _, P>) = (Arc::new(gate), Arc::new(serve));
    let spec = SupervisorSpec::rest_for_one()
        .intensity(5, Duration::from_secs(10))
        .child(ChildSpec::pool::<P>("connections", pool, limits));
    sources.iter().enumerate().fold(spec, |spec, (n, source)| {
        let (gate, serve) = (Arc::clone(&gate), Arc::clone(&serve));
        let entrance = Arc::new(Entrance { source: Arc::clone(source), gate, pool, serve });
        let args = move || Arc::clone(&entrance);
        spec.child(ChildSpec::process::<Listener<S, _, P>>(&format!("door-{}", n + 1), args))
    })
}

/// Accepts that fail: said once when it begins and once when it is over, with a count.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<Instant>,
}

impl Failures {
    /// An accept failed: the client gave up, which is nothing, or there are no file descriptors left,
    /// which is waited for.
    async fn note(&mut self, error: &io::Error, metrics: &Metrics) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset) {
            return;
        }
        metrics.accept_failures();
        self.calm();
        self.count += 1;
        if self.count == 1 {
            tracing::warn!(%error, "connections cannot be accepted; they wait, and it is tried again");
        }
        self.last = Some(Instant::now());
        tokio::time::sleep(PAUSE).await;
    }

    /// One was accepted. Whether that was the end of it shows when it stays so for a while: at the
    /// limit one is accepted whenever another has gone.
    fn calm(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() >= CALM) {
            tracing::warn!(failures = self.count, "connections are accepted again");
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_failures_has_one_beginning_and_one_end() {
        let metrics = Metrics::default();
        let mut failures = Failures::default();
        let limit = || io::Error::from_raw_os_error(24);
        let begun = Instant::now();
        for _ in 0..50 {
            failures.note(&limit(), &metrics).await;
            failures.calm();
        }
        assert_eq!((failures.count, begun.elapsed()), (50, PAUSE * 50), "it does not spin");
        failures.note(&io::ErrorKind::ConnectionAborted.into(), &metrics).await;
        assert_eq!((failures.count, begun.elapsed()), (50, PAUSE * 50), "a client that gave up");
        tokio::time::advance(CALM).await;
        failures.calm();
        assert_eq!(failures.count, 0);
        failures.note(&limit(), &metrics).await;
        assert_eq!(failures.count, 1);
    }
}
