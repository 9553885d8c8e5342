//! `tree`, `ps`.

use super::Rows;
use crate::{
    admin::protocol::{Done, Order, ProcessRow, Refusal, Row, TreeRow},
    node::Shared,
};
use std::{cmp::Reverse, sync::Arc, time::Duration};
use supervision::{Pid, TreeNode};

pub(super) async fn tree(node: &Arc<Shared>, rows: &Rows) -> Result<Done, Refusal> {
    let trees = node.system.tree();
    let count = trees.iter().map(TreeNode::count).sum();
    for tree in trees {
        rows.send(Row::Tree(branch(tree))).await?;
    }
    Ok(Done { of: Some(count) })
}

fn branch(TreeNode { process, children, pooled }: TreeNode) -> TreeRow {
    let name = process.path.rsplit('/').next().filter(|n| !n.is_empty());
    TreeRow {
        name: name.unwrap_or("/").to_owned(),
        kind: process.kind,
        id: process.id,
        uptime: process.uptime.as_secs_f64(),
        status: process.status,
        pooled,
        children: children.into_iter().map(branch).collect(),
    }
}

pub(super) async fn ps(
    node: &Arc<Shared>,
    by: Order,
    limit: usize,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let mut pids = node.system.pids();
    let count = pids.len();
    // what they are ordered by changes meanwhile: it is looked at once
    pids.sort_by_cached_key(|pid| {
        let first = match by {
            Order::Queue => pid.depth() as u128,
            Order::Busy => pid.busy().map_or(0, |d| d.as_nanos().max(1)),
            Order::Handled => u128::from(pid.handled()),
            Order::Uptime => pid.uptime().as_nanos(),
        };
        (Reverse(first), pid.id())
    });
    for pid in pids.iter().take(limit) {
        rows.send(Row::Process(row(pid))).await?;
    }
    Ok(Done { of: Some(count) })
}

fn row(pid: &Pid) -> ProcessRow {
    ProcessRow {
        id: pid.id(),
        path: pid.path().to_string(),
        kind: pid.kind().to_owned(),
        uptime: pid.uptime().as_secs_f64(),
        queued: pid.depth(),
        handled: pid.handled(),
        busy: pid.busy().as_ref().map(Duration::as_secs_f64),
        status: pid.status().map(|s| s.to_string()),
    }
}
