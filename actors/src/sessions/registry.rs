//! The entries of this node's sessions in the registry of the cluster.

use crate::{
    env::Env,
    remote::Cluster,
    resource::{Ended, Owner, Resource},
};
use cluster::{Entry, Held, Record, RegistryError, Taking, Token};
use std::sync::Arc;

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
fn missed(cluster: &Cluster, error: &RegistryError) {
    tracing::debug!(%error, "a session is published later");
    cluster.confirms.missed();
}

/// Enters the resource in place of one of its name, if its user has less than `limit` others. The session of another node that it
/// replaced. A registry that is away does not keep it from being served.
pub(super) async fn bind(
    env: &Env,
    resource: &Resource,
    limit: usize,
) -> Result<Option<Record>, RegistryError> {
    let user = resource.user().as_str();
    let bound = env.registry.bind(user, record(env, resource), limit, Taking::Replace).await;
    match (bound, &env.cluster) {
        (Ok(bound), _) => Ok(bound.replaced.filter(|record| record.token.node != env.node)),
        (Err(error @ RegistryError::Unavailable { .. }), Some(cluster)) => {
            missed(cluster, &error);
            Ok(None)
        }
        (Err(error), _) => Err(error),
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
                Ok(_) => {}
                Err(RegistryError::Taken(other)) => is_elsewhere(env, resource, &other),
                Err(error) => tracing::warn!(%error, "the registry was not told of a session"),
            }
        }
        Ok(Held::Other(other)) => is_elsewhere(env, resource, &other),
        Err(error) => match &env.cluster {
            Some(cluster) => missed(cluster, &error),
            None => tracing::warn!(%error, "the registry was not told of a priority"),
        },
    }
}

/// Another session has the resource (RFC 6120 section 7.7.2.2): the registry's word counts. Its end is asked for.
pub(super) fn is_elsewhere(env: &Env, resource: &Arc<Resource>, other: &Record) {
    if resource.is_moving() {
        // that node says so itself
        return;
    }
    tracing::info!(jid = %resource.jid(), node = %other.token.node, "a session is another node's now");
    env.managers.end(resource, Ended::Conflict);
}

/// Removes the resource from the registry.
pub(super) async fn unbind(env: &Env, resource: &Resource) {
    let (name, user) = (resource.jid().resource(), resource.user().as_str());
    if let Err(error) = env.registry.unbind(user, name, token(env, resource)).await {
        tracing::warn!(%error, "the registry was not told of the end of a session");
    }
}
