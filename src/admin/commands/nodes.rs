//! `nodes`, `node show`.

use super::Rows;
use crate::{
    admin::protocol::{Done, LinkRow, NodeRow, OwnRow, Refusal, RelayRow, Row, Stands, VolumeRow},
    cluster::join::Joined,
    node::shared::Shared,
};
use cluster::{LinkInfo, Other, Standing, link::Volume, relay::Waiting};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::time;

/// By how many milliseconds clocks may differ.
const SKEW: u64 = 1_000;

/// All that are known, this one first; or the one of that name.
pub(super) async fn list(
    node: &Arc<Shared>,
    name: Option<&str>,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let all = known(node);
    let found: Vec<_> =
        all.into_iter().filter(|row| name.is_none_or(|name| name == row.node)).collect();
    match (found.is_empty(), name) {
        (true, Some(name)) => {
            let why = format!("nothing is known of a node {name}; see `mangrove nodes`");
            return Err(Refusal::new(why));
        }
        _ => {
            for row in found {
                rows.send(Row::Node(Box::new(row))).await?;
            }
        }
    }
    Ok(Done::default())
}

fn known(node: &Shared) -> Vec<NodeRow> {
    let mut all: BTreeMap<String, NodeRow> = BTreeMap::new();
    let Some(joined) = &node.nodes else { return vec![own(node)] };
    for other in joined.view.others().values() {
        all.insert(other.member.node.to_string(), of(other, joined));
    }
    for link in joined.links.iter().flat_map(|links| links.info()) {
        let name = link.node.to_string();
        let row = all.entry(name.clone()).or_insert_with(|| NodeRow {
            node: name,
            address: link.address.clone(),
            alarms: vec!["it has no lease: it never came, or is dead".to_owned()],
            ..NodeRow::default()
        });
        if link.up.is_none() {
            let why = link.error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            row.alarms.push(format!("there is no link to it{why}"));
        }
        if let (true, Some(up)) = (row.version.is_empty(), &link.up) {
            row.version.clone_from(&up.program);
        }
        row.link = Some(link_row(link));
    }
    let waiting = node.env.cluster.as_ref().map(|cluster| cluster.relay.waiting());
    for (start, waiting) in waiting.into_iter().flatten() {
        if let Some(row) = all.get_mut(&start.node.to_string()) {
            row.relay.push(relay_row(start.incarnation, &waiting));
        }
    }
    std::iter::once(own(node)).chain(all.into_values()).collect()
}

/// This node.
pub(super) fn own(node: &Shared) -> NodeRow {
    let env = &node.env;
    let mut row = NodeRow {
        node: env.node.to_string(),
        me: true,
        standing: Stands::Up,
        incarnation: env.incarnation(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sessions: env.table.len() as u64,
        own: Some(OwnRow {
            may_act: env.may_act(),
            custody: env.cluster.as_ref().map_or(0, |cluster| cluster.custody.bytes()),
            refused: node.system.refused().into_iter().map(|(k, n)| (k.to_string(), n)).collect(),
        }),
        ..NodeRow::default()
    };
    let Some(joined) = &node.nodes else { return row };
    row.lease = joined.view.left().map(|left| left.as_secs_f64());
    row.standing = match joined.view.standing() {
        _ if !joined.view.may_act() => Stands::Absent,
        Standing::Up => Stands::Up,
        Standing::Draining => Stands::Draining,
    };
    row.address = joined.links.as_ref().map(|_| joined.address.clone());
    row.digest = hex(joined.digest);
    row.confirmed = env.cluster.as_ref().map_or(0, |cluster| cluster.confirms.confirmed());
    let shown = joined.redis.shown();
    if !joined.view.may_act() {
        row.alarms.push("it may not act: it has no lease".to_owned());
    }
    if shown.connected == 0 {
        let why = shown.last_error.map_or_else(String::new, |why| format!(": {why}"));
        row.alarms.push(format!("the registry is away{why}"));
    } else if !shown.complete {
        let why = "the registry is not complete: not all nodes have published their sessions again";
        row.alarms.push(why.to_owned());
    }
    row
}

fn of(other: &Other, joined: &Joined) -> NodeRow {
    let member = &other.member;
    let left = other.until.saturating_duration_since(time::Instant::now());
    let standing = match member.standing {
        _ if left.is_zero() => Stands::DeadSoon,
        _ if joined.links.is_some() && !other.connected => Stands::Unreachable,
        Standing::Up => Stands::Up,
        Standing::Draining => Stands::Draining,
    };
    let mut alarms = Vec::new();
    if member.digest != joined.digest {
        let what = "it is configured otherwise: hosts, limits, accounts or modules differ";
        alarms.push(what.to_owned());
    }
    if other.skew.unsigned_abs() > SKEW {
        alarms.push(format!("its clock differs by {:.1} s", other.skew as f64 / 1000.0));
    }
    if left.is_zero() {
        alarms.push("its lease is over".to_owned());
    }
    NodeRow {
        node: member.node.to_string(),
        me: false,
        standing,
        incarnation: member.incarnation,
        address: Some(member.address.clone()),
        version: member.version.clone(),
        sessions: member.sessions,
        lease: Some(left.as_secs_f64()),
        skew: other.skew,
        digest: hex(member.digest),
        confirmed: member.confirmed,
        alarms,
        ..NodeRow::default()
    }
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

fn link_row(link: LinkInfo) -> LinkRow {
    let LinkInfo { up, ups, error, .. } = link;
    let row = LinkRow { ups, error, ..LinkRow::default() };
    let Some(up) = up else { return row };
    LinkRow {
        up: Some(Instant::now().saturating_duration_since(up.since).as_secs_f64()),
        round_trip: up.round_trip.map(|time| time.as_secs_f64()),
        credit: volume(up.credit),
        queued: volume(up.queued),
        oldest: up.oldest.map(|time| time.as_secs_f64()),
        sent: volume(up.sent),
        received: volume(up.received),
        ..row
    }
}

fn volume(Volume { frames, bytes }: Volume) -> VolumeRow {
    VolumeRow { frames, bytes }
}

fn relay_row(incarnation: u64, waiting: &Waiting) -> RelayRow {
    RelayRow {
        incarnation,
        items: waiting.items,
        bytes: waiting.bytes,
        unsent: waiting.unsent,
        age: waiting.age.as_secs_f64(),
    }
}
