//! The entries of this node's sessions in the registry of the cluster.

use crate::{env::Env, resource::Resource};
use cluster::{Held, Record, RegistryError, Taking, Token};
use std::sync::Arc;

fn token(env: &Env, resource: &Resource) -> Token {
    Token { node: env.node, incarnation: env.incarnation, session: resource.id() }
}

/// Enters the resource in place of one of its name, if its user has less than `limit` others.
pub(super) async fn bind(
    env: &Env,
    resource: &Resource,
    limit: usize,
) -> Result<(), RegistryError> {
    let record = Record {
        resource: resource.jid().resource().into(),
        token: token(env, resource),
        seq: env.next_session(),
        priority: resource.priority(),
    };
    let user = resource.user().as_str();
    env.registry.bind(user, record, limit, Taking::Replace).await.map(drop)
}

/// Tells the registry the priority of the resource.
pub async fn publish_priority(env: &Arc<Env>, resource: &Arc<Resource>) {
    let (name, user) = (resource.jid().resource(), resource.user().as_str());
    let (token, seq) = (token(env, resource), env.next_session());
    match env.registry.update(user, name, token, seq, resource.priority()).await {
        Ok(Held::Yes) => {}
        Ok(held) => tracing::debug!(?held, "the registry has another session"),
        Err(error) => tracing::warn!(%error, "the registry was not told of a priority"),
    }
}

/// Removes the resource from the registry.
pub(super) async fn unbind(env: &Arc<Env>, resource: &Resource) {
    let (name, user) = (resource.jid().resource(), resource.user().as_str());
    if let Err(error) = env.registry.unbind(user, name, token(env, resource)).await {
        tracing::warn!(%error, "the registry was not told of the end of a session");
    }
}
