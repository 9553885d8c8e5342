//! The application tree, on one page: who runs under whom, in the order of the start. Stopped in
//! the reverse order: nobody connects any more, sessions end while their stores still answer.

use super::{
    descriptors,
    shared::{Listening, Shared},
};
use crate::{
    admin::{self, Socket},
    certificates::{self, Sources},
    telemetry::http,
};
use actors::{
    connection::{Accepted, Connection, Port, tls::TlsAcceptor},
    gate::Clients,
    listener::{Arrival, Entrance, Listener, POOL, SPARE},
    registrar::ModuleChildren,
    relief::{Gauge, Watcher},
    sessions,
};
use std::{sync::Arc, time::Duration};
use supervision::{ChildSpec, Place, PoolSpec, Shutdown, Started, SupervisorSpec};
use tokio::net::TcpListener;

/// How long connections have to finish what they promised, and to say goodbye.
const GOODBYE: Duration = Duration::from_secs(15);

/// What the tree is made of.
pub(super) struct Parts {
    pub shared: Arc<Shared>,
    pub modules: ModuleChildren,
    pub gauge: Gauge,
    /// A node that only works on its stores has none.
    pub outside: Option<Outside>,
}

/// What others can reach.
pub(super) struct Outside {
    pub sources: Sources,
    pub tls: Arc<TlsAcceptor>,
    pub c2s: Vec<(Arc<TcpListener>, Arc<Port>)>,
    pub max_connections: usize,
    pub http: Vec<Arc<TcpListener>>,
    pub admin: Arc<Socket>,
}

pub(super) fn tree(parts: Parts) -> SupervisorSpec {
    let Parts { shared, modules, gauge, outside } = parts;
    let env = &shared.env;
    let root = SupervisorSpec::one_for_one()
        .intensity(10, Duration::from_secs(60))
        .child(ChildSpec::supervisor("storage", worker_group(shared.backend.children())))
        .child(ChildSpec::supervisor("modules", worker_group(modules.specs(env))))
        .child(ChildSpec::supervisor("session_managers", sessions::spec(env)))
        .child(Watcher::child(env, &gauge));
    let Some(outside) = outside else { return root };
    root.child(sessions::restored(env))
        .child(ChildSpec::supervisor("c2s", c2s(&outside, &shared)))
        .child(certificates::Watcher::child(&outside.sources, &outside.tls))
        .child(ChildSpec::supervisor(
            "http",
            http::spec(&outside.http, &shared, descriptors::http()),
        ))
        .child(ChildSpec::supervisor("admin", admin::spec(&outside.admin, &shared)))
}

/// Processes that have nothing to do with one another.
fn worker_group(children: Vec<ChildSpec>) -> SupervisorSpec {
    let group = SupervisorSpec::one_for_one().intensity(5, Duration::from_secs(10));
    children.into_iter().fold(group, SupervisorSpec::child)
}

/// Listeners after their pool: they hold its address, so a new pool gets new listeners.
fn c2s(outside: &Outside, shared: &Arc<Shared>) -> SupervisorSpec {
    let shutdown = Shutdown::Timeout(GOODBYE);
    let max = outside.max_connections;
    let pool = PoolSpec { max: max.saturating_add(SPARE), shutdown };
    let listeners = outside.c2s.iter().enumerate().map(|(n, (socket, port))| {
        let id = if port.direct_tls { "tls" } else { "starttls" };
        let entrance = clients(socket, port, max);
        listener(&format!("{id}-{}", n + 1), entrance, shared.listening.get(n))
    });
    SupervisorSpec::rest_for_one()
        .intensity(5, Duration::from_secs(10))
        .child(ChildSpec::pool::<Connection>("connections", POOL, pool))
        .child(ChildSpec::supervisor("listeners", worker_group(listeners.collect())))
}

type ClientListener = Listener<TcpListener, Clients, Connection>;
type ClientEntrance = Arc<Entrance<TcpListener, Clients, Connection>>;

fn clients(socket: &Arc<TcpListener>, port: &Arc<Port>, max: usize) -> ClientEntrance {
    let (gate, port) = (Clients { port: Arc::clone(port), max }, Arc::clone(port));
    Arc::new(Entrance {
        source: Arc::clone(socket),
        gate: Arc::new(gate),
        pool: POOL,
        serve: Arc::new(move |Arrival { stream, peer, pass, progress }| {
            let port = Arc::clone(&port);
            Accepted { socket: stream.into(), peer, admission: pass, progress, port }
        }),
    })
}

fn listener(id: &str, entrance: ClientEntrance, slot: Option<&Listening>) -> ChildSpec {
    let slot = slot.cloned();
    ChildSpec::new(id, move |at: Place| {
        let (entrance, slot) = (Arc::clone(&entrance), slot.clone());
        async move {
            let started = at.process::<ClientListener>(entrance).await?;
            if let Some(slot) = slot {
                *slot.lock() = Some(started.pid().clone());
            }
            Ok(Started::Up(started.pid().clone()))
        }
    })
}
