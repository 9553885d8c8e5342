//! The tree of a node as far as clients, sessions and stores go, in the order of the start. Stopped in the reverse order: nobody
//! connects any more, sessions end while their stores still answer. A program adds what only it has.

use crate::{
    account::watch::Watch,
    connection::{Accepted, Connection, Port, Socket},
    env::Env,
    gate::Clients,
    listener::{Arrival, Entrance, Listener, POOL, SPARE, Source},
    registrar::ModuleChildren,
    relief::{Gauge, Watcher},
    remote::{Cluster, heirs::Heirs, keeper::Keeper},
    sessions,
};
use parking_lot::Mutex;
use std::{net::IpAddr, sync::Arc, time::Duration};
use supervision::{ChildSpec, Local, Place, PoolSpec, Shutdown, Started, SupervisorSpec};

/// How long connections have to finish what they promised, and to say goodbye.
const GOODBYE: Duration = Duration::from_secs(15);

/// The process of a listener, for whoever asks whether it runs.
pub type Listening = Arc<Mutex<Option<Local>>>;

/// Where clients connect.
#[expect(missing_debug_implementations, reason = "a port has nothing to say")]
pub struct Door<S> {
    /// Where they come from.
    pub source: Arc<S>,
    /// How their connections begin.
    pub port: Arc<Port>,
    /// Who accepts them.
    pub listening: Listening,
}

/// A node that nobody can reach: it only works on its stores. `nodes`: by which it has to do with others of a cluster.
pub fn unreachable(
    env: &Arc<Env>,
    storage: Vec<ChildSpec>,
    modules: &ModuleChildren,
    gauge: &Gauge,
    nodes: Vec<ChildSpec>,
) -> SupervisorSpec {
    let elsewhere = Watch::children(env);
    let tree = SupervisorSpec::one_for_one()
        .intensity(10, Duration::from_secs(60))
        .child(ChildSpec::supervisor("storage", worker_group(storage)));
    let tree = match elsewhere.is_empty() {
        true => tree,
        false => tree.child(ChildSpec::supervisor("accounts", worker_group(elsewhere))),
    };
    let tree = tree.child(ChildSpec::supervisor("modules", worker_group(modules.specs(env))));
    let tree = match &env.cluster {
        Some(cluster) => tree.child(ChildSpec::supervisor("cluster", remote(env, cluster, nodes))),
        None => tree,
    };
    tree.child(ChildSpec::supervisor("session_managers", sessions::spec(env)))
        .child(Watcher::child(env, gauge))
}

/// What a node does for the others, after what it has to do with them by: stopped after its sessions have ended, which hand on what they
/// leave behind.
pub(crate) fn remote(
    env: &Arc<Env>,
    cluster: &Cluster,
    mut children: Vec<ChildSpec>,
) -> SupervisorSpec {
    children.extend(cluster.relay.children());
    children.extend([
        Heirs::child(env),
        Keeper::child(env),
        sessions::confirmer(env),
        sessions::drainer(env),
    ]);
    worker_group(children)
}

/// The same with the sessions of the process before, and with clients: at most so many of them.
pub fn with_clients<S>(
    tree: SupervisorSpec,
    env: &Arc<Env>,
    doors: &[Door<S>],
    max: usize,
) -> SupervisorSpec
where
    S: Source<Stream: Into<Socket>, Peer = IpAddr>,
{
    tree.child(sessions::restored(env)).child(ChildSpec::supervisor("c2s", c2s(doors, max)))
}

/// Processes that have nothing to do with one another.
fn worker_group(children: Vec<ChildSpec>) -> SupervisorSpec {
    let group = SupervisorSpec::one_for_one().intensity(5, Duration::from_secs(10));
    children.into_iter().fold(group, SupervisorSpec::child)
}

/// Listeners after their pool: they hold its address, so a new pool gets new listeners.
fn c2s<S>(doors: &[Door<S>], max: usize) -> SupervisorSpec
where
    S: Source<Stream: Into<Socket>, Peer = IpAddr>,
{
    let pool = PoolSpec { max: max.saturating_add(SPARE), shutdown: Shutdown::Timeout(GOODBYE) };
    let listeners = doors.iter().enumerate().map(|(n, door)| listener(n + 1, door, max));
    SupervisorSpec::rest_for_one()
        .intensity(5, Duration::from_secs(10))
        .child(ChildSpec::pool::<Connection>("connections", POOL, pool))
        .child(ChildSpec::supervisor("listeners", worker_group(listeners.collect())))
}

fn listener<S>(number: usize, door: &Door<S>, max: usize) -> ChildSpec
where
    S: Source<Stream: Into<Socket>, Peer = IpAddr>,
{
    let kind = if door.port.direct_tls { "tls" } else { "starttls" };
    let (gate, port) = (Clients { port: Arc::clone(&door.port), max }, Arc::clone(&door.port));
    let entrance = Arc::new(Entrance {
        source: Arc::clone(&door.source),
        gate: Arc::new(gate),
        pool: POOL,
        serve: Arc::new(move |Arrival { stream, peer, pass, progress }: Arrival<S, Clients>| {
            let port = Arc::clone(&port);
            Accepted { socket: stream.into(), peer, admission: pass, progress, port }
        }),
    });
    let listening = Arc::clone(&door.listening);
    ChildSpec::new(&format!("{kind}-{number}"), move |at: Place| {
        let (entrance, listening) = (Arc::clone(&entrance), Arc::clone(&listening));
        async move {
            let started = at.process::<Listener<S, Clients, Connection>>(entrance).await?;
            *listening.lock() = Some(started.pid().clone());
            Ok(Started::Up(started.pid().clone()))
        }
    })
}
