//! Sessions without a connection, as the store has them ([`park`](super::park)): taken when they are resumed, forgotten when they
//! end; and a node that starts goes on with them.

use super::{
    adopt_waiting,
    claim::Claim,
    park::{PAGE, PAGE_BYTES, acknowledge},
    work::Work,
};
use crate::{
    env::Env,
    resource::{Resource, Shares, WakeError, from_store, sent_from_store, woken},
    routing::divert,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use storage::{OfflineMessage, StoreError, StoredSession};
use supervision::{ChildSpec, StartError, Started};

/// A session is resumed: no other process may go on with what the store has of it.
pub(super) async fn wake_up(env: &Env, claim: &Claim) {
    let resource = claim.resource();
    resource.store_is_told().await;
    if claim.is_replaced() {
        // what the store has by now is of whoever had the session after this
        return;
    }
    let Some(key) = resource.asleep_as() else { return };
    if resource.is_always_kept() {
        // it is told anew before the client hears anything
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
    let Some(key) = resource.stored_as() else { return };
    if let Err(error) = env.stores.sessions.expire(resource.user(), &key).await {
        tracing::warn!(jid = %resource.jid(), %error, "the store was not told of the end of a session");
        env.managers.not_forgotten(resource);
    }
}

/// The same once more; those who are there now get it.
pub(super) async fn forget_again(env: &Arc<Env>, resource: &Resource) {
    let Some(key) = resource.stored_as() else { return };
    if env.stores.sessions.expire(resource.user(), &key).await.is_ok() {
        resource.remembered(false);
        if let Some(keeper) = &env.hooks().keeper {
            divert(env, resource.user(), keeper.module, 1);
        }
    }
}

/// Goes on with the sessions that waited when the node stopped, however it did: a child that has its place before those who
/// let clients in. A process that was handed the sessions of another has none.
pub fn restored(env: &Arc<Env>) -> ChildSpec {
    let (env, done) = (Arc::clone(env), Arc::new(AtomicBool::new(false)));
    ChildSpec::new("restored", move |_| {
        let (env, done) = (Arc::clone(&env), Arc::clone(&done));
        async move {
            // not those of this process, should its supervisor start again
            if !done.load(Ordering::Relaxed) {
                let failed = |error: StoreError| StartError::Failed(error.to_string().into());
                let count = restore(&env).await.map_err(failed)?;
                done.store(true, Ordering::Relaxed);
                if count > 0 {
                    tracing::info!(count, "sessions that waited to be resumed go on waiting");
                }
            }
            Ok(Started::Ignored)
        }
    })
}

async fn restore(env: &Arc<Env>) -> Result<usize, StoreError> {
    let store = &env.stores.sessions;
    // what was held for sessions that were connected then
    while store.release(PAGE).await? > 0 {}
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let page = store.page(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after.clone_from(&last.key);
        for session in page {
            match wake(env, &session).await? {
                Ok(()) => {
                    count += 1;
                    env.metrics.restored();
                }
                Err(error) => {
                    let user = &session.user;
                    tracing::warn!(%user, %error, "a session that waited cannot go on");
                    store.expire(user, &session.key).await?;
                }
            }
        }
    }
}

async fn wake(
    env: &Arc<Env>,
    session: &StoredSession,
) -> Result<Result<(), WakeError>, StoreError> {
    let frozen = match from_store(&session.frozen) {
        Ok(frozen) => frozen,
        Err(error) => return Ok(Err(error)),
    };
    let store = &env.stores.sessions;
    // of offline storage, if it was connected: it comes again in its place
    let sent = sent_from_store(&frozen);
    if session.until == 0 && !sent.is_empty() {
        store.hold(&session.user, &session.key, sent).await?;
    }
    let mut messages: Vec<OfflineMessage> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.id);
        let page = store.held(&session.user, &session.key, after, PAGE, PAGE_BYTES).await?;
        if page.is_empty() {
            break;
        }
        messages.extend(page);
    }
    let frozen = woken(frozen, session.handled, messages);
    let (resource, window) = Resource::thaw_waiting(frozen, env.thawing(), &mut Shares::default());
    resource.restored(session.epoch);
    for row in &env.hooks().restored {
        (row.run)(env, &resource).await;
    }
    acknowledge(env, &resource).await?;
    if let Some(keeper) = &env.hooks().keeper
        && env.stores.offline.count(&session.user).await? > 0
    {
        // what only offline storage knows of is for it too
        resource.look_again(keeper.module);
    }
    // the window of one that was connected begins now; a clock that was set back meanwhile makes none longer
    let left = match session.until {
        0 => window,
        until => Duration::from_millis(until.saturating_sub(env.clock.millis())).min(window),
    };
    adopt_waiting(env, resource, left).await;
    Ok(Ok(()))
}
