//! Sessions without a connection, as the store has them ([`park`](super::park)): taken when they are resumed, forgotten when they
//! end.

use super::{claim::Claim, work::Work};
use crate::{env::Env, resource::Resource, routing::divert};
use std::sync::Arc;

/// A session is resumed: no other process may go on with what the store has of it.
pub(super) async fn wake_up(env: &Env, claim: &Claim) {
    let resource = claim.resource();
    resource.store_is_told().await;
    if claim.is_replaced() {
        // what the store has by now is of whoever had the session after this
        return;
    }
    let Some(key) = resource.asleep_as() else { return };
    if resource.is_kept() {
        // it is told anew before the client hears anything, or soon
        return resource.told_store(false);
    }
    // what it has is old from here on, also when the client is gone before it answers: replaced the next time
    let _old = Old(resource);
    if let Err(error) = env.stores.sessions.take(resource.user(), &key, None).await {
        let jid = resource.jid();
        tracing::warn!(%jid, %error, "the store was not told that a session was resumed");
        env.managers.again(resource, Work::Wake(resource.outdated()));
    }
}

/// What the store has of this session does not count any more when this is dropped.
struct Old<'a>(&'a Resource);

impl Drop for Old<'_> {
    fn drop(&mut self) {
        self.0.told_store(false);
    }
}

/// The same once more, unless the store has a newer one by now.
pub(super) async fn wake_again(env: &Env, resource: &Resource, epoch: u64) {
    let Some(key) = resource.stored_as() else { return };
    if env.stores.sessions.take(resource.user(), &key, Some(epoch)).await.is_ok() {
        resource.up_to_date();
    }
}

/// A session has ended: what it held is for whoever comes.
pub(super) async fn forget(env: &Env, resource: &Arc<Resource>) {
    let Some(key) = resource.told_as() else { return };
    if let Err(error) = env.stores.sessions.expire(resource.user(), &key).await {
        tracing::warn!(jid = %resource.jid(), %error, "the store was not told of the end of a session");
        env.managers.not_forgotten(resource);
    }
}

/// The same once more; those who are there now get it.
pub(super) async fn forget_again(env: &Arc<Env>, resource: &Resource) {
    let Some(key) = resource.told_as() else { return };
    if env.stores.sessions.expire(resource.user(), &key).await.is_ok() {
        resource.remembered(false);
        if let Some(keeper) = &env.hooks().keeper {
            divert(env, resource.user(), keeper.module, 1).await;
        }
    }
}
