//! The application tree: what every node has is in [`actors::tree`]; here is what only a program has.

use super::{descriptors, shared::Shared};
use crate::{
    admin::{self, Socket},
    certificates::{self, Sources},
    telemetry::http,
    tickets,
};
use actors::{
    registrar::ModuleChildren,
    relief::Gauge,
    tree::{Door, unreachable, with_clients},
};
use std::sync::Arc;
use supervision::{ChildSpec, SupervisorSpec};
use tls::Acceptor;
use tokio::net::TcpListener;

/// What the tree is made of.
pub(super) struct Parts {
    pub shared: Arc<Shared>,
    pub modules: ModuleChildren,
    pub gauge: Gauge,
    /// By which it has to do with other nodes.
    pub nodes: Vec<ChildSpec>,
    /// A node that only works on its stores has none.
    pub outside: Option<Outside>,
}

/// What others can reach.
pub(super) struct Outside {
    pub sources: Sources,
    pub tickets: tickets::Source,
    pub tls: Arc<Acceptor>,
    pub c2s: Vec<Door<TcpListener>>,
    pub max_connections: usize,
    pub http: Vec<Arc<TcpListener>>,
    pub admin: Arc<Socket>,
}

pub(super) fn tree(parts: Parts) -> SupervisorSpec {
    let Parts { shared, modules, gauge, nodes, outside } = parts;
    let env = &shared.env;
    let root = unreachable(env, shared.backend.children(), &modules, &gauge, nodes);
    let Some(outside) = outside else { return root };
    with_clients(root, env, &outside.c2s, outside.max_connections)
        .child(certificates::Watcher::child(&outside.sources, &outside.tls))
        .child(tickets::Keeper::child(&outside.tickets, &outside.tls))
        .child(ChildSpec::supervisor(
            "http",
            http::spec(&outside.http, &shared, descriptors::http()),
        ))
        .child(ChildSpec::supervisor("admin", admin::spec(&outside.admin, &shared)))
}
