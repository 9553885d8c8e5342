//! `registry stats|get|check|rebuild`, `route`.

use super::Rows;
use crate::{
    admin::protocol::{
        CheckedRow, Difference, DifferenceRow, Done, Place, RecordRow, Refusal, RegistryRow,
        RouteRow, RouteSession, Row,
    },
    cluster::join::Joined,
    node::shared::Shared,
};
use actors::{
    routing::explained::{Explained, explain},
    sessions::check::{self, Amiss},
};
use cluster::{Record, RegistryError};
use std::{sync::Arc, time::Duration};
use xmpp::jid::{BareJid, Jid};

/// A session that is being bound is in the registry first: that takes no longer.
const BINDING: Duration = Duration::from_secs(10);

fn joined(node: &Shared) -> Result<&Joined, Refusal> {
    let none = "this node has no registry but its own memory: redis.uri is not set";
    node.nodes.as_ref().ok_or_else(|| Refusal::new(none))
}

pub(super) async fn stats(node: &Arc<Shared>, rows: &Rows) -> Result<Done, Refusal> {
    let shown = joined(node)?.redis.shown();
    let calls = shown.calls.iter().map(|(kind, count)| (kind.name().to_owned(), *count));
    let row = RegistryRow {
        at: shown.at,
        complete: shown.complete,
        connected: (shown.connected, shown.connections),
        epoch: shown.epoch,
        epochs: shown.epochs,
        calls: calls.collect(),
        in_flight: shown.in_flight,
        errors: shown.errors,
        timeouts: shown.timeouts,
        refused: shown.refused,
        hits: shown.hits,
        misses: shown.misses,
        invalidations: shown.invalidations,
        flushes: shown.flushes,
        cached: (shown.cached, shown.cached_bytes),
        last_error: shown.last_error,
    };
    rows.send(Row::Registry(Box::new(row))).await?;
    Ok(Done::default())
}

/// What the cache has, then what the registry has: each record once.
pub(super) async fn get(node: &Arc<Shared>, jid: &Jid, rows: &Rows) -> Result<Done, Refusal> {
    let user = jid.bare();
    let wanted = |record: &&Record| jid.resource().is_none_or(|name| &*record.resource == name);
    let cached = node.env.registry.cached(user.as_str()).unwrap_or_default();
    let fresh = check::fresh(&node.env, user.as_str()).await;
    let mut found: Vec<(&Record, bool, bool)> = Vec::new();
    for record in cached.iter().filter(wanted) {
        found.push((record, true, fresh.iter().any(|fresh| fresh.contains(record))));
    }
    for record in fresh.iter().flat_map(|fresh| fresh.iter()).filter(wanted) {
        if !cached.contains(record) {
            found.push((record, false, true));
        }
    }
    found.sort_by(|(a, ..), (b, ..)| a.resource.cmp(&b.resource));
    for (record, cached, fresh) in found {
        let Record { resource, token, priority, seq } = record;
        let row = RecordRow {
            jid: format!("{user}/{resource}"),
            node: token.node.to_string(),
            incarnation: token.incarnation,
            session: token.session,
            priority: *priority,
            seq: *seq,
            cached,
            fresh,
        };
        rows.send(Row::Record(row)).await?;
    }
    fresh.map_err(Refusal::new)?;
    Ok(Done::default())
}

/// A shard of the sessions, or a group of what the registry has.
pub(super) async fn check(
    node: &Arc<Shared>,
    at: Place,
    fix: bool,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let (seen, next) = match at {
        Place::Sessions(shard) => match sessions(node, shard, fix, rows).await? {
            Some(seen) => (seen, Some(Place::Sessions(shard + 1))),
            None => (0, node.nodes.as_ref().map(|_| Place::Records(0))),
        },
        Place::Records(group) => match records(node, group, fix, rows).await? {
            Some(seen) => (seen, Some(Place::Records(group + 1))),
            None => (0, None),
        },
    };
    rows.send(Row::Checked(CheckedRow { seen, next })).await?;
    Ok(Done::default())
}

async fn sessions(
    node: &Shared,
    shard: usize,
    fix: bool,
    rows: &Rows,
) -> Result<Option<usize>, Refusal> {
    let compared = check::compare(&node.env, shard).await.map_err(Refusal::new)?;
    let Some((seen, amiss)) = compared else { return Ok(None) };
    if fix && !amiss.is_empty() && check::publish_again(&node.env, shard).await.is_err() {
        return Err(Refusal::new(RegistryError::Unavailable { retry_after: BINDING }));
    }
    for (jid, amiss) in amiss {
        let (what, node) = match amiss {
            Amiss::Missing => (Difference::Missing, None),
            Amiss::Foreign(record) => (Difference::Foreign, Some(record.token.node.to_string())),
        };
        let jid = jid.as_str().to_owned();
        rows.send(Row::Difference(DifferenceRow { jid, what, node })).await?;
    }
    Ok(Some(seen))
}

async fn records(
    node: &Shared,
    group: u16,
    fix: bool,
    rows: &Rows,
) -> Result<Option<usize>, Refusal> {
    let env = &node.env;
    let listed = joined(node)?.redis.listed(env.node, group).await.map_err(Refusal::new)?;
    let Some(listed) = listed else { return Ok(None) };
    let mut left = Vec::new();
    for (user, resource) in &listed {
        let Ok(user) = user.parse::<BareJid>() else { continue };
        // what its session has here was compared with that
        if env.table.find(&user, resource).is_none()
            && let Some(record) = left_over(node, &user, resource).await?
        {
            left.push((user, record));
        }
    }
    if fix && !left.is_empty() {
        tokio::time::sleep(BINDING).await;
    }
    for (user, record) in left {
        if fix {
            if check::has(env, &user, &record) {
                continue;
            }
            let removed = env.registry.unbind(user.as_str(), &record.resource, record.token).await;
            removed.map_err(Refusal::new)?;
        }
        let jid = format!("{user}/{}", record.resource);
        let owner = Some(record.token.node.to_string());
        let row = DifferenceRow { jid, what: Difference::LeftOver, node: owner };
        rows.send(Row::Difference(row)).await?;
    }
    Ok(Some(listed.len()))
}

/// The record with this node's name, if its session is not here.
async fn left_over(
    node: &Shared,
    user: &BareJid,
    resource: &str,
) -> Result<Option<Record>, Refusal> {
    let env = &node.env;
    let records = check::fresh(env, user.as_str()).await.map_err(Refusal::new)?;
    let ours = |record: &&Record| &*record.resource == resource && record.token.node == env.node;
    let record = records.iter().find(ours);
    Ok(record.filter(|record| !check::has(env, user, record)).cloned())
}

pub(super) fn rebuild(node: &Arc<Shared>) -> Result<Done, Refusal> {
    joined(node)?;
    Ok(Done { of: Some(check::rebuild(&node.env)) })
}

pub(super) async fn route(node: &Arc<Shared>, jid: &Jid, rows: &Rows) -> Result<Done, Refusal> {
    let Explained { here, there, by, message, iq } = explain(&node.env, jid).await;
    let me = node.env.node.to_string();
    let mut sessions = Vec::new();
    sessions.extend(here.into_iter().map(|session| RouteSession {
        resource: session.resource,
        node: me.clone(),
        connected: Some(session.connected),
        priority: session.priority,
    }));
    sessions.extend(there.into_iter().map(|record| RouteSession {
        resource: record.resource.to_string(),
        node: record.token.node.to_string(),
        connected: None,
        priority: record.priority,
    }));
    let row = RouteRow { sessions, by: by.to_owned(), message, iq };
    rows.send(Row::Route(row)).await?;
    Ok(Done::default())
}
