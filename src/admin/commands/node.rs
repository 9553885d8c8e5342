//! `node show`, `node drain`, `node undrain`.

use super::Rows;
use crate::{
    admin::protocol::{Done, NodeRow, Refusal, Row},
    node::shared::Shared,
};
use cluster::Standing;
use std::sync::Arc;

/// Rows of this node and of the others; before, it is told to give up its sessions, or not to any more.
pub(super) async fn node(
    node: &Arc<Shared>,
    drain: Option<bool>,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let Some(cluster) = &node.env.cluster else {
        return Err(Refusal::new(
            "the node is alone (cluster.name): nobody goes on with its sessions",
        ));
    };
    let others = cluster.view.others();
    let takes = others.values().any(|o| o.connected && o.member.standing == Standing::Up);
    if drain == Some(true) && !takes && !node.env.table.is_empty() {
        return Err(Refusal::new("no other node takes sessions now"));
    }
    if let Some(drains) = drain {
        cluster.drain(drains);
    }
    rows.send(Row::Node(NodeRow {
        node: node.env.node.to_string(),
        draining: cluster.view.is_draining(),
        sessions: node.env.table.len() as u64,
        connected: true,
    }))
    .await?;
    for other in others.values() {
        rows.send(Row::Node(NodeRow {
            node: other.member.node.to_string(),
            draining: other.member.standing == Standing::Draining,
            sessions: other.member.sessions,
            connected: other.connected,
        }))
        .await?;
    }
    Ok(Done::default())
}
