//! Whether the registry has of this node's sessions what it should, for operators: a shard of the table at a time.

use super::{
    confirm::publish,
    registry::{entry, token},
};
use crate::{
    env::Env,
    resource::{Owner, Resource},
};
use cluster::{Record, Records, RegistryError};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use xmpp::jid::{BareJid, FullJid};

/// Users that are looked up at once.
const AT_ONCE: usize = 64;

/// What the registry has in place of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amiss {
    /// Nothing.
    Missing,
    /// Another session.
    Foreign(Record),
}

/// How many sessions a shard has, and of which the registry has something else.
pub type Compared = (usize, Vec<(FullJid, Amiss)>);

/// What the registry has of a user, whatever was known before.
///
/// # Errors
/// When it cannot be known.
pub async fn fresh(env: &Env, user: &str) -> Result<Records, RegistryError> {
    env.registry.forget(user);
    env.registry.lookup(user).await
}

/// Compares the sessions of one shard with the registry. `None`: there is no such shard.
///
/// # Errors
/// When the registry cannot be asked.
pub async fn compare(env: &Env, shard: usize) -> Result<Option<Compared>, RegistryError> {
    let Some(mut all) = env.table.page(shard) else { return Ok(None) };
    all.retain(|resource| resource.owner() != Owner::Ended);
    let mut amiss = Vec::new();
    for some in all.chunks(AT_ONCE) {
        let looked = some.iter().map(|resource| fresh(env, resource.user().as_str()));
        for (resource, records) in some.iter().zip(join_all(looked).await) {
            let what = records_of(env, resource, &records?);
            // one that has ended meanwhile has none any more
            amiss.extend(
                what.filter(|_| resource.owner() != Owner::Ended)
                    .map(|what| (resource.jid().clone(), what)),
            );
        }
    }
    Ok(Some((all.len(), amiss)))
}

fn records_of(env: &Env, resource: &Resource, records: &Records) -> Option<Amiss> {
    let name = resource.jid().resource();
    match records.iter().find(|record| &*record.resource == name) {
        None => Some(Amiss::Missing),
        Some(record) if record.token == token(env, resource) => None,
        Some(record) => Some(Amiss::Foreign(record.clone())),
    }
}

/// Publishes the sessions of one shard again; those whose places others have end.
///
/// # Errors
/// How long to wait before it is tried again.
pub async fn publish_again(env: &Arc<Env>, shard: usize) -> Result<(), Duration> {
    publish(env, shard).await.map(drop)
}

/// Whether the session of a record with this node's name is here, or what it leaves behind.
pub fn has(env: &Env, user: &BareJid, record: &Record) -> bool {
    let is = |resource: &Arc<Resource>| {
        token(env, resource) == record.token && *record.resource == *resource.jid().resource()
    };
    env.table.with_user(user, |all| all.iter().any(is))
}

/// Has the sessions of this node published again soon, all of them. How many there are.
pub fn rebuild(env: &Env) -> usize {
    if let Some(cluster) = &env.cluster {
        cluster.confirms.missed();
    }
    env.table.all().filter(|resource| entry(env, resource).is_some()).count()
}
