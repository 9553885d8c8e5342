//! A listening port: accepts connections and hands them to the pool.

use crate::{
    connection::{Accepted, Connection, Port},
    pressure::Level,
    stopped::stopped,
};
use std::{convert::Infallible, fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, PoolRef, Process};
use tokio::net::{TcpListener, TcpStream};

/// Name of the pool of all connections.
pub const POOL: &str = "connections";

/// How long to wait when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What a listener is started with.
#[derive(Clone, Debug)]
pub struct ListenerArgs {
    /// A socket that listens already: bound before the tree starts, so that an address that is
    /// taken is a configuration error and not a crash, and kept over restarts.
    pub socket: Arc<TcpListener>,
    /// How its connections begin.
    pub port: Arc<Port>,
}

/// The process.
pub struct Listener {
    args: ListenerArgs,
    pool: PoolRef<Connection>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({:?})", self.args.socket)
    }
}

impl Process for Listener {
    type Args = ListenerArgs;
    type Msg = Infallible;
    const NAME: &'static str = "listener";

    async fn init(args: ListenerArgs, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let pool = PoolRef::find(cx.system(), POOL)
            .ok_or_else(|| InitError::failed("the pool of connections does not run"))?;
        if let Ok(address) = args.socket.local_addr() {
            cx.publish(&address.to_string());
        }
        cx.trap_exit(true);
        Ok(Self { args, pool })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        loop {
            tokio::select! {
                biased;
                reason = stopped(cx) => return reason,
                accepted = self.next() => match accepted {
                    Ok((socket, peer)) => self.accept(socket, peer.ip()),
                    Err(error) => refused(&error).await,
                },
            }
        }
    }
}

impl Listener {
    /// The next connection. While queues have to be moved for want of memory, they wait in the system's backlog.
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let pressure = &self.args.port.env.pressure;
        loop {
            pressure.at_most(Level::High).await;
            tokio::select! {
                biased;
                () = pressure.above(Level::High) => {}
                accepted = self.args.socket.accept() => return accepted,
            }
        }
    }

    fn accept(&self, socket: TcpStream, peer: std::net::IpAddr) {
        let port = Arc::clone(&self.args.port);
        let env = &port.env;
        // small stanzas must not wait for one another
        drop(socket.set_nodelay(true));
        let admission = if port.proxy {
            let from = &port.proxy_from;
            if !from.is_empty() && !from.iter().any(|network| network.contains(peer)) {
                env.metrics.refused_connections();
                tracing::warn!(%peer, "no PROXY header is believed from this address");
                return;
            }
            None
        } else {
            let settings = env.settings();
            let rate = settings.address_rate;
            let admission = env.addresses.admit(peer, settings.max_per_address, rate);
            if admission.is_none() {
                env.metrics.refused_connections();
                tracing::debug!(%peer, "too many connections from this address");
                return;
            }
            admission
        };
        if self.pool.spawn(Accepted { socket, peer, admission, port: Arc::clone(&port) }).is_err() {
            env.metrics.refused_connections();
            tracing::debug!(%peer, "too many connections");
        }
    }
}

/// An accept failed: the client gave up, or there are no file descriptors left.
async fn refused(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tokio::time::sleep(EXHAUSTED).await;
    }
}
