//! A node whose store is a MongoDB: what becomes of it when that is away, and of what is copied from one store into another.

mod commands;
mod faults;
mod start;

use crate::support::Peer;
use std::net::SocketAddr;

/// What a node's log says when it has found its database at the start, or after it, and knows who waited.
const THERE: &str = "clients are let in";
/// And when that answers again.
const BACK: &str = "the database answers again";

/// Logs on, on a connection that is let go: the failure, if it is one.
async fn log_on(to: SocketAddr, user: &str, password: &str) -> Result<(), String> {
    let mut peer = Peer::connect(to).await;
    peer.open().await;
    peer.authenticate(user, password).await
}
