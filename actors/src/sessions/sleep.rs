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
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc, time::Duration};
use storage::{OfflineMessage, StoreError, StoredSession};
use supervision::{ChildSpec, Cx, Exit, InitError, Process, Restart};

/// How often a store that is away is asked whether it is back.
const AGAIN: Duration = Duration::from_secs(1);

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

/// Goes on with the sessions that waited when the node stopped, however it did: a child that has its place before those who
/// let clients in. While the store is away it waits for it, and nobody is let in ([`Env::is_restoring`]). A process that was
/// handed the sessions of another has none.
pub fn restored(env: &Arc<Env>) -> ChildSpec {
    let (env, seen) = (Arc::clone(env), Arc::new(Mutex::new(Seen::default())));
    let args = move || (Arc::clone(&env), Arc::clone(&seen));
    ChildSpec::process::<Restorer>("restored", args).restart(Restart::Transient)
}

/// How far it is: not those of this process, should its supervisor start again.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The key of the last session that goes on.
    after: String,
    count: usize,
    all: bool,
}

/// The process that waits for the store; there is none when it answers.
struct Restorer {
    env: Arc<Env>,
    seen: Arc<Mutex<Seen>>,
}

impl Process for Restorer {
    type Args = (Arc<Env>, Arc<Mutex<Seen>>);
    type Msg = Infallible;
    const NAME: &'static str = "restorer";
    const INBOX: usize = 0;

    async fn init((env, seen): Self::Args, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let restorer = Self { env, seen };
        match restorer.restore().await {
            Ok(()) => Err(InitError::Ignore),
            Err(error) if error.is_away() => Ok(restorer),
            Err(error) => Err(InitError::failed(error.to_string())),
        }
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            why = cx.stopped() => why,
            end = self.wait() => end,
        }
    }
}

impl Restorer {
    async fn wait(&self) -> Exit {
        loop {
            tokio::time::sleep(AGAIN).await;
            match self.restore().await {
                Ok(()) => return Exit::Normal,
                Err(error) if error.is_away() => {}
                Err(error) => return Exit::error(&error.to_string()),
            }
        }
    }

    /// Goes on where it was.
    async fn restore(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().clone();
        if seen.all {
            return Ok(());
        }
        self.env.restoring(true);
        let done = restore(&self.env, &mut seen).await;
        self.env.restoring(done.is_err());
        seen.all = done.is_ok();
        if seen.all {
            tracing::info!(waiting = seen.count, "clients are let in");
        }
        *self.seen.lock() = seen;
        done
    }
}

async fn restore(env: &Arc<Env>, seen: &mut Seen) -> Result<(), StoreError> {
    let store = &env.stores.sessions;
    // what was held for sessions that were connected then
    while store.release(PAGE).await? > 0 {}
    loop {
        let page = store.page(&seen.after, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for session in page {
            match wake(env, &session).await? {
                Ok(()) => {
                    seen.count += 1;
                    env.metrics.restored();
                }
                Err(error) => {
                    let user = &session.user;
                    tracing::warn!(%user, %error, "a session that waited cannot go on");
                    store.expire(user, &session.key).await?;
                }
            }
            seen.after = session.key;
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
