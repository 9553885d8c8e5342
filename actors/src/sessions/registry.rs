//! The entries of this node's sessions in the registry of the cluster.

use crate::{
    env::Env,
    remote::{Cluster, Elsewhere, outbound},
    resource::{Ended, Owner, Resource},
};
use cluster::{Entry, Held, Record, RegistryError, Taking, Token};
use std::{sync::Arc, time::Duration};

pub(super) fn token(env: &Env, resource: &Resource) -> Token {
    Token { node: env.node, incarnation: env.incarnation(), session: resource.id() }
}

fn record(env: &Env, resource: &Resource) -> Record {
    Record {
        resource: resource.jid().resource().into(),
        token: token(env, resource),
        seq: env.next_session(),
        priority: resource.priority(),
    }
}

/// What is published of a session that is there.
pub(super) fn entry(env: &Env, resource: &Resource) -> Option<Entry> {
    let alive = resource.owner() != Owner::Ended;
    let user = resource.user().as_str();
    alive.then(|| Entry { user: user.into(), record: record(env, resource) })
}

/// The registry was not told: it is told later.
fn missed(cluster: &Cluster, resource: &Arc<Resource>, error: &RegistryError) {
    tracing::debug!(%error, "a session is published later");
    cluster.confirms.is_unheard_of(resource);
}

/// The registry knows of one that it had not heard of, or that it had another one instead of: what came meanwhile is in offline storage.
pub(super) fn is_heard_of(env: &Env, resource: &Resource) {
    if let Some(keeper) = &env.hooks().keeper
        && resource.priority().is_some_and(|priority| priority >= 0)
    {
        resource.look_again(keeper.module);
    }
}

/// Enters the resource in place of one of its name, if its user has less than `limit` others. Which session of another node it
/// replaces. A registry that is away does not keep it from being served.
pub(super) async fn bind(
    env: &Env,
    resource: &Arc<Resource>,
    limit: usize,
) -> Result<Elsewhere, RegistryError> {
    let user = resource.user().as_str();
    let bound = env.registry.bind(user, record(env, resource), limit, Taking::Replace).await;
    let Some(cluster) = &env.cluster else { return bound.map(|_| Elsewhere::Nobody) };
    match bound {
        Ok(bound) => {
            let replaced = bound.replaced.filter(|record| record.token.node != env.node);
            let one = |record| Elsewhere::One(record, cluster.binds(resource.id()));
            Ok(replaced.map_or(Elsewhere::Nobody, one))
        }
        Err(error @ RegistryError::Unavailable { .. }) => {
            missed(cluster, resource, &error);
            Ok(Elsewhere::Unknown(cluster.binds(resource.id())))
        }
        Err(error) => Err(error),
    }
}

/// Enters a resource that node `from` had, and that goes on here; unless another session has its name by now, which is the error. What
/// of another node it replaces.
pub(super) async fn takes_over(
    env: &Env,
    resource: &Arc<Resource>,
    from: &str,
) -> Result<Elsewhere, Option<Record>> {
    let user = resource.user().as_str();
    let ours = |other: &Record| other.token.node == env.node || *other.token.node.name() == *from;
    match env.registry.bind(user, record(env, resource), usize::MAX, Taking::Keep).await {
        Ok(_) => Ok(Elsewhere::Nobody),
        Err(RegistryError::Taken(other)) if !ours(&other) => Err(Some(other)),
        Err(RegistryError::Unavailable { .. }) => {
            let Some(cluster) = &env.cluster else { return Ok(Elsewhere::Nobody) };
            cluster.confirms.is_unheard_of(resource);
            let records = outbound::locate(env, cluster, resource.user()).await.records();
            let name = resource.jid().resource();
            let mut others =
                outbound::elsewhere(cluster, &records).filter(|r| &*r.resource == name);
            match others.next() {
                Some(other) if !ours(other) => Err(Some(other.clone())),
                Some(other) => Ok(Elsewhere::One(other.clone(), cluster.binds(resource.id()))),
                None => Ok(Elsewhere::Nobody),
            }
        }
        // the record of what it was
        Err(_) => bind(env, resource, usize::MAX).await.map_err(|_| None),
    }
}

/// Tells the registry the priority of the resource.
pub async fn publish_priority(env: &Arc<Env>, resource: &Arc<Resource>) {
    let (name, user) = (resource.jid().resource(), resource.user().as_str());
    let (token, seq) = (token(env, resource), env.next_session());
    match env.registry.update(user, name, token, seq, resource.priority()).await {
        Ok(Held::Yes) => {}
        Ok(_) if resource.owner() == Owner::Ended => {}
        // it has lost it
        Ok(Held::Nobody) => {
            let record = record(env, resource);
            match env.registry.bind(user, record, usize::MAX, Taking::Keep).await {
                Ok(_) => is_heard_of(env, resource),
                Err(RegistryError::Taken(other)) => drop(contested(env, resource, &other).await),
                Err(error) => not_told(env, resource, &error),
            }
        }
        Ok(Held::Other(other)) => drop(contested(env, resource, &other).await),
        Err(error) => not_told(env, resource, &error),
    }
}

/// Whether it is the session's turn, of all of its user's: see [`cluster::SessionRegistry::turn`]. While the registry is away it is everybody's.
pub(crate) async fn turn(env: &Env, resource: &Resource, lasts: Duration) -> bool {
    env.registry.turn(resource.user().as_str(), token(env, resource), lasts).await.unwrap_or(true)
}

fn not_told(env: &Env, resource: &Arc<Resource>, error: &RegistryError) {
    match &env.cluster {
        Some(cluster) => missed(cluster, resource, error),
        None => tracing::warn!(%error, "the registry was not told of a session"),
    }
}

/// So many seconds apart two sessions were bound at the same time, as far as nodes can tell.
const AS_OLD: u64 = 2;

/// The registry has another node's session in place of one. Of the two the one stays that was bound last (RFC 6120 section 7.7.2.2); if
/// that is the other, the end of the one here is asked for: `true`. While the registry was away its node may have ended it.
pub(super) async fn contested(env: &Env, resource: &Arc<Resource>, other: &Record) -> bool {
    let Some(cluster) = &env.cluster else { return false };
    // of one on its way the node says so that has it by now; what has the name of one that is being bound is being ended
    if resource.is_moving() || cluster.is_binding(resource.id()) {
        return false;
    }
    let (jid, node, user) = (resource.jid(), other.token.node, resource.user());
    // who was told of both knows which of them was last
    let known = if cluster.confirms.was_unheard_of(resource.id()) { 0 } else { AS_OLD };
    match outbound::age(cluster, user, other).await {
        Some(Some(age)) if age <= resource.age().as_secs() + known => {
            tracing::info!(%jid, %node, "a session is another node's now");
            env.managers.end(resource, Ended::Conflict);
            return true;
        }
        Some(has) => {
            if has.is_some() {
                outbound::end(env, cluster, user, Some(other), Ended::Conflict).await;
            }
            match takes_place(env, resource, other).await {
                Ok(()) => is_heard_of(env, resource),
                Err(error) => missed(cluster, resource, &error),
            }
        }
        None => {
            tracing::debug!(%jid, %node, "whose a session is is not known");
            cluster.confirms.is_open(resource);
        }
    }
    false
}

/// The resource is entered in place of a session that is gone.
async fn takes_place(env: &Env, resource: &Resource, gone: &Record) -> Result<(), RegistryError> {
    let user = resource.user().as_str();
    env.registry.unbind(user, &gone.resource, gone.token).await?;
    let entered = env.registry.bind(user, record(env, resource), usize::MAX, Taking::Keep).await;
    if resource.owner() == Owner::Ended {
        unbind(env, resource).await;
    }
    entered.map(drop)
}

/// Removes the resource from the registry.
pub(super) async fn unbind(env: &Env, resource: &Resource) {
    if let Some(cluster) = &env.cluster {
        cluster.confirms.ended(resource.id());
    }
    let (name, user) = (resource.jid().resource(), resource.user().as_str());
    if let Err(error) = env.registry.unbind(user, name, token(env, resource)).await {
        tracing::warn!(%error, "the registry was not told of the end of a session");
    }
}
