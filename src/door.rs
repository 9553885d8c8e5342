//! Accepts connections and gives each to a process of its own in a pool: for HTTP and operators.
//! (Clients have a listener of their own in `actors`, with admission by address.)
//!
//! There is always room: when all places are taken, a connection that waits for a request makes some.

use crate::node::Shared;
use actors::{
    accept::{self, Failures, Progress, Stage},
    throttle::address_of,
};
use parking_lot::Mutex;
use std::{convert::Infallible, fmt, io, net::IpAddr, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Exit, InitError, Pid, PoolRef, PoolSpec, Process, Shutdown, SupervisorSpec,
};
use tokio::net::{TcpListener, TcpStream};

/// How long connections have to finish what they are at.
const LAST: Duration = Duration::from_secs(1);

/// What connections come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// Whose it is.
    type From: PartialEq + Send + Sync + 'static;
    /// The next one. Can be cancelled without loss.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::From)>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;
    type From = IpAddr;
    async fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, address_of(peer.ip())))
    }
}

/// What a connection's process is started with. It is settled while it works on a request.
pub(crate) type Arrival<S> = (<S as Source>::Stream, Arc<Shared>, Progress);

/// A connection, and whose it is.
type Guest<F> = (Pid, F, Progress);

/// Who is there, in the order in which they came.
struct Guests<F> {
    all: Mutex<Vec<Guest<F>>>,
    max: usize,
}

impl<F: PartialEq> Guests<F> {
    /// Who has to make room for one more: of whoever has the most places, the oldest connection that waits
    /// for a request. It is none of them any more.
    fn make_room(&self) -> Result<Option<Guest<F>>, Full> {
        let mut all = self.all.lock();
        all.retain(|(pid, ..)| pid.is_alive());
        if all.len() < self.max {
            return Ok(None);
        }
        let of = |from: &F| all.iter().filter(|(_, other, _)| other == from).count();
        let idle =
            all.iter().enumerate().filter(|(_, (_, _, progress))| progress.get() != Stage::Settled);
        // the first of those who have as many
        let most = idle.rev().max_by_key(|(_, (_, from, _))| of(from)).map(|(n, _)| n);
        Ok(Some(all.remove(most.ok_or(Full)?)))
    }
}

/// All are at work.
struct Full;

/// The process.
pub(crate) struct Door<S: Source, P: Process<Args = Arrival<S>>> {
    args: DoorArgs<S>,
    pool: PoolRef<P>,
}

/// What a door is started with: where from, for whom, into which pool.
pub(crate) struct DoorArgs<S: Source> {
    source: Arc<S>,
    shared: Arc<Shared>,
    pool: &'static str,
    guests: Arc<Guests<S::From>>,
}

impl<S: Source, P: Process<Args = Arrival<S>>> fmt::Debug for Door<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.pool)
    }
}

impl<S: Source, P: Process<Args = Arrival<S>>> Door<S, P> {
    /// A pool called `pool` of at most `max` connections, and doors to it.
    pub(crate) fn spec(
        sources: &[Arc<S>],
        shared: &Arc<Shared>,
        pool: &'static str,
        max: usize,
    ) -> SupervisorSpec {
        // as many again may be about to leave
        let limits = PoolSpec { max: 2 * max, shutdown: Shutdown::Timeout(LAST) };
        let guests = Arc::new(Guests { all: Mutex::default(), max });
        // doors after the pool: they hold its address
        let spec = SupervisorSpec::rest_for_one()
            .intensity(5, Duration::from_secs(10))
            .child(ChildSpec::pool::<P>("connections", pool, limits));
        sources.iter().enumerate().fold(spec, |spec, (n, source)| {
            let (source, shared) = (Arc::clone(source), Arc::clone(shared));
            let guests = Arc::clone(&guests);
            let args = move || DoorArgs {
                source: Arc::clone(&source),
                shared: Arc::clone(&shared),
                pool,
                guests: Arc::clone(&guests),
            };
            spec.child(ChildSpec::process::<Self>(&format!("door-{}", n + 1), args))
        })
    }
}

impl<S: Source, P: Process<Args = Arrival<S>>> Process for Door<S, P> {
    type Args = DoorArgs<S>;
    type Msg = Infallible;
    const NAME: &'static str = "door";
    const INBOX: usize = 1;

    async fn init(args: Self::Args, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let pool = PoolRef::find(cx.system(), args.pool)
            .ok_or_else(|| InitError::failed(format!("the pool {} does not run", args.pool)))?;
        cx.trap_exit(true);
        Ok(Self { args, pool })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let mut failures = Failures::default();
        loop {
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                accepted = self.args.source.accept() => match accepted {
                    Ok((stream, from)) => {
                        failures.calm();
                        self.welcome(stream, from).await;
                    }
                    Err(error) => failures.note(&error, &self.args.shared.env.metrics).await,
                },
            }
        }
    }
}

impl<S: Source, P: Process<Args = Arrival<S>>> Door<S, P> {
    async fn welcome(&self, stream: S::Stream, from: S::From) {
        let DoorArgs { shared, guests, .. } = &self.args;
        let metrics = &shared.env.metrics;
        let progress = Progress::default();
        let room = loop {
            match guests.make_room() {
                Ok(Some(oldest)) if !accept::evict(&oldest.0, &oldest.2, metrics).await => {
                    // a request has come since
                    guests.all.lock().push(oldest);
                }
                room => break room,
            }
        };
        let guest = (stream, Arc::clone(shared), progress.clone());
        let started = room.ok().and_then(|_| self.pool.spawn(guest).ok());
        match started {
            Some(guest) => guests.all.lock().push((guest.pid().clone(), from, progress)),
            None => {
                metrics.refused_connections();
                tracing::warn!(pool = %self.pool.pid().path(), "too many connections");
            }
        }
    }
}
