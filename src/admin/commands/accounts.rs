//! `account add|list|passwd|remove`.

use super::Rows;
use crate::{
    admin::protocol::{AccountRow, Done, NewAccount, Outcome, Refusal, Row},
    node::shared::Shared,
};
use actors::account;
use std::{collections::HashSet, sync::Arc};
use storage::Account;
use xmpp::jid::BareJid;

async fn say(rows: &Rows, jid: &BareJid, outcome: Outcome) -> Result<(), Refusal> {
    rows.send(Row::Account(AccountRow { jid: jid.as_str().to_owned(), outcome })).await
}

/// All new ones are made in one transaction.
pub(super) async fn add(
    node: &Arc<Shared>,
    accounts: Vec<NewAccount>,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let (env, now) = (&node.env, node.env.clock.millis());
    let mut outcomes = Vec::new();
    let mut new = Vec::new();
    let mut seen = HashSet::new();
    for NewAccount { jid, keys } in accounts {
        let outcome = if env.hosts.named(jid.domain()).is_none() {
            Outcome::NoSuchHost
        } else if !seen.insert(jid.clone())
            || env.stores.accounts.get(&jid).await.map_err(Refusal::new)?.is_some()
        {
            Outcome::Existed
        } else {
            new.push((jid.clone(), Account { keys, created: now, ..Account::default() }));
            Outcome::Created
        };
        outcomes.push((jid, outcome));
    }
    if !new.is_empty() {
        env.stores.accounts.create(new).await.map_err(Refusal::new)?;
    }
    for (jid, outcome) in outcomes {
        say(rows, &jid, outcome).await?;
    }
    Ok(Done::default())
}

pub(super) async fn passwd(
    node: &Arc<Shared>,
    NewAccount { jid, keys }: NewAccount,
    rows: &Rows,
) -> Result<Done, Refusal> {
    if !node.env.stores.accounts.set_keys(&jid, keys).await.map_err(Refusal::new)? {
        return Err(unknown(&jid));
    }
    say(rows, &jid, Outcome::Changed).await?;
    Ok(Done::default())
}

fn unknown(jid: &BareJid) -> Refusal {
    Refusal::new(format!("there is no account {}", jid.as_str()))
}

/// The user's sessions end; everything that is kept of the user goes.
pub(super) async fn remove(
    node: &Arc<Shared>,
    jid: &BareJid,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let env = &node.env;
    if env.stores.accounts.get(jid).await.map_err(Refusal::new)?.is_none() {
        return Err(unknown(jid));
    }
    account::remove(env, jid, None).await.map_err(Refusal::new)?;
    say(rows, jid, Outcome::Removed).await?;
    Ok(Done::default())
}

pub(super) async fn list(
    node: &Arc<Shared>,
    host: &str,
    after: Option<&BareJid>,
    limit: usize,
    rows: &Rows,
) -> Result<Done, Refusal> {
    let page = node.env.stores.accounts.list(host, after, limit).await.map_err(Refusal::new)?;
    for jid in page {
        say(rows, &jid, Outcome::Listed).await?;
    }
    Ok(Done::default())
}
