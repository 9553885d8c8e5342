//! `tree`, `ps`.

use super::Rows;
use crate::{
    admin::protocol::{Done, FiguresRow, METERED, Order, ProcessRow, Refusal, Row, TreeRow},
    node::shared::Shared,
};
use rustix::time::{ClockId, clock_gettime};
use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Duration};
use supervision::{Id, Local, System, TreeNode, sys};

pub(super) async fn tree(node: &Arc<Shared>, rows: &Rows) -> Result<Done, Refusal> {
    let trees = node.system.tree();
    let count = trees.iter().map(TreeNode::count).sum();
    for tree in trees {
        rows.send(Row::Tree(branch(tree))).await?;
    }
    let (crashes, restarts) = (node.system.crashes().count(), node.system.restarts());
    let unhandled = node.system.unhandled();
    rows.send(Row::Figures(FiguresRow { crashes, restarts, unhandled })).await?;
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
        supervision: process.supervision,
        pooled,
        children: children.into_iter().map(branch).collect(),
    }
}

pub(super) async fn ps(
    node: &Arc<Shared>,
    by: Order,
    limit: usize,
    seconds: f64,
    rows: &Rows,
) -> Result<Done, Refusal> {
    if !(0.0..=METERED).contains(&seconds) {
        let why = format!("processes are metered for 0 to {METERED} seconds, not for {seconds}");
        return Err(Refusal::new(why));
    }
    let shares = metered(&node.system, Duration::from_secs_f64(seconds)).await;
    let share = |pid: &Local| shares.get(&pid.id()).copied();
    let mut pids = node.system.pids();
    let count = pids.len();
    // what they are ordered by changes meanwhile: it is looked at once
    pids.sort_by_cached_key(|pid| {
        let first = match by {
            Order::Queue => pid.depth() as u128,
            Order::Busy => pid.busy().map_or(0, |d| d.as_nanos().max(1)),
            Order::Handled => u128::from(pid.handled()),
            Order::Uptime => pid.uptime().as_nanos(),
            // positive floats are ordered as their bits are
            Order::Cpu => share(pid).map_or(0, |share| u128::from(share.to_bits())),
        };
        (Reverse(first), pid.id())
    });
    for pid in pids.iter().take(limit) {
        rows.send(Row::Process(row(pid, share(pid)))).await?;
    }
    Ok(Done { of: Some(count) })
}

/// The share that each process that is still there had of the CPU the program used in that time.
async fn metered(system: &System, time: Duration) -> HashMap<Id, f64> {
    if time.is_zero() {
        return HashMap::new();
    }
    let ran = |pid: &Local| (pid.id(), sys::statistics(pid).ran);
    let before: HashMap<Id, Duration> = system.pids().iter().map(ran).collect();
    let (metering, used) = (system.meter(), cpu());
    tokio::time::sleep(time).await;
    drop(metering);
    let used = cpu().saturating_sub(used).as_secs_f64().max(1e-9);
    let share = |(id, ran): (Id, Duration)| {
        // one that ends meanwhile has none any more
        let ran = ran.saturating_sub(before.get(&id).copied().unwrap_or_default());
        (id, ran.as_secs_f64() / used)
    };
    system.pids().iter().map(ran).map(share).collect()
}

/// What the whole program has used.
fn cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

fn row(pid: &Local, cpu: Option<f64>) -> ProcessRow {
    ProcessRow {
        id: pid.id().number,
        path: pid.path().to_string(),
        kind: pid.kind().to_owned(),
        uptime: pid.uptime().as_secs_f64(),
        queued: pid.depth(),
        handled: pid.handled(),
        busy: pid.busy().as_ref().map(Duration::as_secs_f64),
        cpu,
        status: pid.status().map(|s| s.to_string()),
    }
}
