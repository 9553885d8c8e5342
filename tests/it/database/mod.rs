//! A node whose store is a MongoDB: what becomes of it when that is away, and of what is copied from one store into another.

mod commands;
mod faults;
mod start;

use crate::{
    http,
    support::{PATIENCE, Peer},
};
use std::{net::SocketAddr, time::Duration};

/// Asks `/ready` until it says so; what it says beside.
async fn until_ready(at: SocketAddr, wanted: u16) -> String {
    let answered = async {
        loop {
            let (status, body) = http::get(at, "/ready").await;
            if status == wanted {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("it is so in time")
}

/// Logs on, on a connection that is let go: the failure, if it is one.
async fn log_on(to: SocketAddr, user: &str, password: &str) -> Result<(), String> {
    let mut peer = Peer::connect(to).await;
    peer.open().await;
    peer.authenticate(user, password).await
}
