//! A listening port: accepts connections and hands them to the pool.

use crate::{
    accept::{self, Failures, Progress},
    connection::{Accepted, Connection, Port},
    pressure::Level,
};
use std::{convert::Infallible, fmt, io, net::SocketAddr, sync::Arc};
use supervision::{Cx, Exit, InitError, PoolRef, Process};
use tokio::net::{TcpListener, TcpStream};

/// Name of the pool of all connections.
pub const POOL: &str = "connections";

/// Places of the pool beyond its limit, for those that take longer to leave.
pub const SPARE: usize = 32;

/// What a listener is started with.
#[derive(Clone, Debug)]
pub struct ListenerArgs {
    /// A socket that listens already: bound before the tree starts, so that an address that is
    /// taken is a configuration error and not a crash, and kept over restarts.
    pub socket: Arc<TcpListener>,
    /// How its connections begin.
    pub port: Arc<Port>,
    /// The most connections of all listeners; [`SPARE`] less than the pool has places.
    pub max: usize,
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
        let mut failures = Failures::default();
        loop {
            tokio::select! {
                biased;
                reason = cx.stopped() => return reason,
                accepted = self.next() => match accepted {
                    Ok((socket, peer)) => {
                        failures.calm();
                        self.accept(socket, peer.ip()).await;
                    }
                    Err(error) => failures.note(&error, &self.args.port.env.metrics).await,
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

    async fn accept(&self, socket: TcpStream, peer: std::net::IpAddr) {
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
        // until one has made room: who logs on meanwhile keeps its place
        while self.pool.len() >= self.args.max {
            let Some((oldest, progress)) = env.newcomers.take() else {
                env.metrics.refused_connections();
                tracing::debug!(%peer, "too many connections");
                return;
            };
            if accept::evict(&oldest, &progress, &env.metrics).await {
                break;
            }
        }
        let progress = Progress::default();
        let accepted = Accepted {
            socket,
            peer,
            admission,
            progress: progress.clone(),
            port: Arc::clone(&port),
        };
        match self.pool.spawn(accepted) {
            Ok(connection) => {
                env.newcomers.add(connection.pid().clone(), progress);
            }
            Err(_) => {
                env.metrics.refused_connections();
                tracing::debug!(%peer, "too many connections are about to leave");
            }
        }
    }
}
