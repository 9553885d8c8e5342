//! `node drain`, `node undrain`.

use super::{Rows, nodes::own};
use crate::{
    admin::protocol::{Done, Refusal, Row},
    node::shared::Shared,
};
use cluster::Standing;
use std::sync::Arc;

/// The node is told to give up its sessions, or not to any more; answers how it is then.
pub(super) async fn drain(node: &Arc<Shared>, drains: bool, rows: &Rows) -> Result<Done, Refusal> {
    let Some(cluster) = &node.env.cluster else {
        return Err(Refusal::new(
            "the node is alone (cluster.name): nobody goes on with its sessions",
        ));
    };
    let others = cluster.view.others();
    let takes = others.values().any(|o| o.connected && o.member.standing == Standing::Up);
    if drains && !takes && !node.env.table.is_empty() {
        return Err(Refusal::new("no other node takes sessions now"));
    }
    cluster.drain(drains);
    rows.send(Row::Node(Box::new(own(node)))).await?;
    Ok(Done::default())
}
