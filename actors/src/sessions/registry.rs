//! The entries of this node's sessions in the registry of the cluster.

use crate::{env::Env, resource::Resource};
use cluster::{Record, RegistryError, Token};
use std::sync::Arc;

fn token(env: &Env, resource: &Resource) -> Token {
    Token { node: env.node.clone(), incarnation: env.incarnation, session: resource.id() }
}

/// Enters the resource in place of one of its name, if its user has less than `limit` others.
pub(super) async fn bind(
    env: &Env,
    resource: &Resource,
    limit: usize,
) -> Result<(), RegistryError> {
    let record = Record {
        resource: resource.jid().resource().to_owned(),
        token: token(env, resource),
        priority: resource.priority(),
    };
    env.registry.bind(resource.user(), record, limit).await.map(drop)
}

/// Tells the registry the priority of the resource.
pub async fn publish_priority(env: &Arc<Env>, resource: &Arc<Resource>) {
    let name = resource.jid().resource();
    let token = token(env, resource);
    let priority = resource.priority();
    if let Err(error) = env.registry.update(resource.user(), name, &token, priority).await {
        tracing::warn!(%error, "the registry was not told of a priority");
    }
}

/// Removes the resource from the registry.
pub(super) async fn unbind(env: &Arc<Env>, resource: &Resource) {
    let name = resource.jid().resource();
    let token = token(env, resource);
    if let Err(error) = env.registry.unbind(resource.user(), name, &token).await {
        tracing::warn!(%error, "the registry was not told of the end of a session");
    }
}
