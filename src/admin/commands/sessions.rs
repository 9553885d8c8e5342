//! `sessions`, `sessions kick`.

use super::Rows;
use crate::{
    admin::protocol::{Done, Refusal, Row, SessionRow},
    node::shared::Shared,
};
use actors::{
    resource::{Ended, Owner, Resource},
    sessions,
};
use std::sync::Arc;
use xmpp::jid::{BareJid, Jid};

/// The first `limit` by address of those that match; a shard of the table at a time.
pub(super) async fn list(
    node: &Arc<Shared>,
    host: Option<&str>,
    user: Option<&BareJid>,
    limit: usize,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let table = &node.env.table;
    let fits = |r: &Arc<Resource>| host.is_none_or(|h| r.jid().domain() == h);
    let shards: Box<dyn Iterator<Item = Vec<Arc<Resource>>> + Send> = match user {
        Some(user) => Box::new(std::iter::once(table.resources(user))),
        None => Box::new((0..).map_while(|n| table.page(n))),
    };
    let (mut found, mut count) = (Vec::new(), 0);
    for shard in shards {
        let shard: Vec<_> = shard.into_iter().filter(fits).collect();
        count += shard.len();
        found.extend(shard.iter().map(|r| row(r)));
        found.sort();
        found.truncate(limit);
    }
    for session in found {
        rows.send(Row::Session(session)).await?;
    }
    Ok(Done { of: Some(count) })
}

fn row(resource: &Resource) -> SessionRow {
    SessionRow {
        jid: resource.jid().as_str().to_owned(),
        connected: matches!(resource.owner(), Owner::Attached(_)),
        stored: resource.asleep_as().is_some(),
        priority: resource.priority(),
        queued: resource.queued(),
        unacked: resource.with_sm(|sm| sm.as_ref().map_or(0, |s| s.unacked.len())),
    }
}

pub(super) async fn kick(node: &Arc<Shared>, jid: &Jid, rows: &Rows) -> Result<Done, Refusal> {
    let mut sessions = node.env.table.resources(&jid.bare());
    if let Some(name) = jid.resource() {
        sessions.retain(|r| r.jid().resource() == name);
    }
    if sessions.is_empty() {
        return Err(Refusal::new(format!("there is no session of {}", jid.as_str())));
    }
    for resource in sessions {
        let session = row(&resource);
        sessions::kick(&node.env, &resource, Ended::Kicked).await;
        rows.send(Row::Session(session)).await?;
    }
    Ok(Done::default())
}
