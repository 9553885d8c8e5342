//! What operators can do, one file a group of commands. Each gets the node and answers rows.

mod accounts;
mod crashes;
mod drain;
mod nodes;
pub(crate) mod peers;
mod processes;
mod quarantine;
mod registry;
mod sessions;
mod store;

use super::protocol::{Done, MOST, Refusal, Request, Row};
use crate::node::shared::Shared;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// Rows that wait for the operator to read them.
pub(crate) const ROWS: usize = 64;

/// Where rows go: a command waits when the operator does not read.
#[derive(Debug)]
pub(crate) struct Rows(pub mpsc::Sender<Row>);

impl Rows {
    /// # Errors
    /// When the operator is gone.
    async fn send(&self, row: Row) -> Result<(), Refusal> {
        self.0.send(row).await.map_err(|_| Refusal::new("the operator is gone"))
    }
}

/// Does what an operator asks.
pub(crate) async fn run(
    request: Request,
    node: &Arc<Shared>,
    rows: mpsc::Sender<Row>,
) -> Result<Done, Refusal> {
    let rows = Rows(rows);
    let answer = Box::pin(dispatch(request, node, &rows));
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::new("it took too long; part of it may have been done")),
    }
}

async fn dispatch(request: Request, node: &Arc<Shared>, rows: &Rows) -> Result<Done, Refusal> {
    match request {
        Request::Tree {} => processes::tree(node, rows).await,
        Request::Ps { by, limit, seconds } => {
            processes::ps(node, by, limit.min(MOST), seconds, rows).await
        }
        Request::CrashList { limit } => crashes::list(node, limit.min(MOST), rows).await,
        Request::CrashShow { id } => crashes::show(node, id, rows).await,
        Request::Sessions { host, user, limit } => {
            sessions::list(node, host.as_deref(), user.as_ref(), limit.min(MOST), rows).await
        }
        Request::Kick { jid } => sessions::kick(node, &jid, rows).await,
        Request::AccountAdd { accounts } => accounts::add(node, accounts, rows).await,
        Request::AccountPasswd { account } => accounts::passwd(node, account, rows).await,
        Request::AccountRemove { jid } => accounts::remove(node, &jid, rows).await,
        Request::AccountList { host, after, limit } => {
            accounts::list(node, &host, after.as_ref(), limit.min(MOST), rows).await
        }
        Request::QuarantineList { user, after, limit } => {
            quarantine::list(node, user.as_ref(), after, limit.min(MOST), rows).await
        }
        Request::QuarantineShow { id } => quarantine::show(node, id, rows).await,
        Request::QuarantineRelease { id } => quarantine::release(node, id, rows).await,
        Request::QuarantineDrop { id } => quarantine::discard(node, id, rows).await,
        Request::StoreStatus {} => store::status(node, rows).await,
        Request::StoreCheck { walk } => store::check(node, walk, rows).await,
        Request::Nodes { node: name } => nodes::list(node, name.as_deref(), rows).await,
        Request::RegistryStats {} => registry::stats(node, rows).await,
        Request::RegistryGet { jid } => registry::get(node, &jid, rows).await,
        Request::RegistryCheck { at, fix } => registry::check(node, at, fix, rows).await,
        Request::RegistryRebuild {} => registry::rebuild(node),
        Request::Route { jid } => registry::route(node, &jid, rows).await,
        Request::On { node: name, request } => peers::ask(node, &name, *request, rows).await,
        Request::Hosts {} => {
            for host in node.env.hosts.iter() {
                rows.send(Row::Host(host.to_string())).await?;
            }
            Ok(Done::default())
        }
        Request::Drain { drains } => drain::drain(node, drains, rows).await,
        Request::Stop {} => {
            node.stop.notify_one();
            Ok(Done::default())
        }
    }
}
