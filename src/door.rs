//! Accepts connections and gives each to a process of its own in a pool: for HTTP and operators.
//! (Clients have a listener of their own in `actors`, with admission by address.)

use crate::node::Shared;
use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, PoolRef, PoolSpec, Process, Shutdown, SupervisorSpec,
};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How long connections have to finish what they are at.
const LAST: Duration = Duration::from_secs(1);

/// What connections come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// The next one. Can be cancelled without loss.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;
    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(TcpListener::accept(self).await?.0)
    }
}

/// What a connection's process is started with.
pub(crate) type Guest<S> = (<S as Source>::Stream, Arc<Shared>);

/// The process.
pub(crate) struct Door<S: Source, P: Process<Args = Guest<S>>> {
    source: Arc<S>,
    shared: Arc<Shared>,
    pool: PoolRef<P>,
}

/// What a door is started with: where from, for whom, into which pool.
pub(crate) struct DoorArgs<S> {
    source: Arc<S>,
    shared: Arc<Shared>,
    pool: &'static str,
}

impl<S: Source, P: Process<Args = Guest<S>>> fmt::Debug for Door<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.pool)
    }
}

impl<S: Source, P: Process<Args = Guest<S>>> Door<S, P> {
    /// A pool called `pool` of at most `max` connections, and doors to it.
    pub(crate) fn spec(
        sources: &[Arc<S>],
        shared: &Arc<Shared>,
        pool: &'static str,
        max: usize,
    ) -> SupervisorSpec {
        let limits = PoolSpec { max, shutdown: Shutdown::Timeout(LAST) };
        // doors after the pool: they hold its address
        let spec = SupervisorSpec::rest_for_one()
            .intensity(5, Duration::from_secs(10))
            .child(ChildSpec::pool::<P>("connections", pool, limits));
        sources.iter().enumerate().fold(spec, |spec, (n, source)| {
            let (source, shared) = (Arc::clone(source), Arc::clone(shared));
            let args =
                move || DoorArgs { source: Arc::clone(&source), shared: Arc::clone(&shared), pool };
            spec.child(ChildSpec::process::<Self>(&format!("door-{}", n + 1), args))
        })
    }
}

impl<S: Source, P: Process<Args = Guest<S>>> Process for Door<S, P> {
    type Args = DoorArgs<S>;
    type Msg = Infallible;
    const NAME: &'static str = "door";
    const INBOX: usize = 1;

    async fn init(args: Self::Args, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let pool = PoolRef::find(cx.system(), args.pool)
            .ok_or_else(|| InitError::failed(format!("the pool {} does not run", args.pool)))?;
        cx.trap_exit(true);
        Ok(Self { source: args.source, shared: args.shared, pool })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        loop {
            tokio::select! {
                biased;
                event = cx.next() => if let Event::Exit { reason, .. } = event {
                    return reason;
                },
                accepted = self.source.accept() => match accepted {
                    Ok(stream) => {
                        if self.pool.spawn((stream, Arc::clone(&self.shared))).is_err() {
                            tracing::warn!(pool = %self.pool.pid().path(), "too many connections");
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(EXHAUSTED).await;
                    }
                },
            }
        }
    }
}
