//! `quarantine list|show|release|drop`.

use super::Rows;
use crate::{
    admin::protocol::{Done, QuarantineRow, Refusal, Row},
    node::shared::Shared,
};
use actors::routing;
use std::sync::Arc;
use storage::{Quarantined, StoreError};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Messages that are read together.
const PAGE: usize = 100;

async fn say(rows: &Rows, message: Quarantined, stanza: Option<Stanza>) -> Result<(), Refusal> {
    let Quarantined { id, user, from, at, since, bytes } = message;
    let (user, from) = (user.as_str().to_owned(), from.map(|from| from.as_str().to_owned()));
    let stanza = stanza.map(|stanza| stanza.to_xml());
    let row = QuarantineRow { id, user, from, at, since, bytes, stanza };
    rows.send(Row::Quarantined(row)).await
}

pub(super) async fn list(
    node: &Arc<Shared>,
    user: Option<&BareJid>,
    mut after: u64,
    limit: usize,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let mut left = limit;
    while left > 0 {
        let store = &node.env.stores.quarantine;
        let page = store.quarantined(user, after, left.min(PAGE)).await.map_err(Refusal::new)?;
        let Some(last) = page.last() else { break };
        (after, left) = (last.id, left - page.len());
        for message in page {
            say(rows, message, None).await?;
        }
    }
    Ok(Done::default())
}

async fn find(node: &Shared, id: u64) -> Result<(Quarantined, Stanza), Refusal> {
    let found =
        node.env.stores.quarantine.content(id).await.map_err(|error| unreadable(id, error))?;
    found.ok_or_else(|| unknown(id))
}

/// One that is damaged stays where it is.
fn unreadable(id: u64, error: StoreError) -> Refusal {
    match error {
        StoreError::Corrupt(why) => Refusal::new(format!(
            "message {id} cannot be read ({why}); it stays in the table quarantine of core.sqlite until \
             `mangrove quarantine drop {id}`"
        )),
        error => Refusal::new(error),
    }
}

fn unknown(id: u64) -> Refusal {
    Refusal::new(format!("there is no message {id} in quarantine; see `mangrove quarantine list`"))
}

pub(super) async fn show(node: &Arc<Shared>, id: u64, rows: &Rows) -> Result<Done, Refusal> {
    let (message, stanza) = find(node, id).await?;
    say(rows, message, Some(stanza)).await?;
    Ok(Done::default())
}

/// Its user gets it again, at once who is connected.
pub(super) async fn release(node: &Arc<Shared>, id: u64, rows: &Rows) -> Result<Done, Refusal> {
    let env = &node.env;
    let (message, _) = find(node, id).await?;
    let restored =
        env.stores.quarantine.restore(id).await.map_err(|error| unreadable(id, error))?;
    let (user, new) = restored.ok_or_else(|| unknown(id))?;
    if let Some(keeper) = &env.hooks().keeper {
        routing::divert(env, &user, keeper.module, new).await;
    }
    say(rows, message, None).await?;
    Ok(Done::default())
}

pub(super) async fn discard(node: &Arc<Shared>, id: u64, rows: &Rows) -> Result<Done, Refusal> {
    let found = match node.env.stores.quarantine.content(id).await {
        // it can be forgotten all the same
        Err(StoreError::Corrupt(_)) => None,
        found => Some(found.map_err(Refusal::new)?.ok_or_else(|| unknown(id))?),
    };
    if !node.env.stores.quarantine.discard(id).await.map_err(Refusal::new)? {
        return Err(unknown(id));
    }
    if let Some((message, _)) = found {
        say(rows, message, None).await?;
    }
    Ok(Done::default())
}
