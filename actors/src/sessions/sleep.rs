//! Sessions without a connection, as the store has them: put there when the connection is lost, taken when they are resumed,
//! forgotten when they end; and a node that starts goes on with them.

use super::{adopt_waiting, work::Work};
use crate::{
    env::Env,
    future::BoxFuture,
    resource::{
        FrozenWaiting, Parked, Parking, Resource, Shares, WakeError, from_store, sent_from_store,
        to_store, woken,
    },
    routing::divert,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use storage::{OfflineLimits, OfflineMessage, StoreError, StoredSession};
use supervision::{ChildSpec, StartError, Started};
use tokio::time::Instant;
use xmpp::jid::BareJid;

/// Sessions, messages and holds that are looked at together, and the size of messages in bytes.
const PAGE: usize = 100;
const PAGE_BYTES: usize = 256 << 10;

/// Puts a session without a connection into the store, with the messages that wait for it. It can be resumed until then. The
/// second time it does nothing.
pub(super) async fn fall_asleep(env: &Arc<Env>, resource: &Arc<Resource>, until: Instant) {
    let Some(keeper) = &env.hooks().keeper else { return };
    // that counts as handled
    if !resource.before_is_done().await {
        return;
    }
    // the second of several that have the same messages finds them stored
    let several = env.table.with_user(resource.user(), |all| all.len() > 1);
    let _turn = match several {
        true => Some(env.storing.turn(resource.user()).await),
        false => None,
    };
    let parking = loop {
        // one after the other, however long it takes
        while !resource.store_can_be_told().await {}
        if !resource.should_sleep() {
            return;
        }
        if let Some(parking) = resource.park(until, keeper.worth) {
            break parking;
        }
    };
    let before = resource.asleep_as().is_some();
    let left = until.saturating_duration_since(Instant::now());
    let (key, epoch) = (Arc::clone(&parking.key), parking.epoch);
    let asleep = match park(env, resource, parking, left).await {
        Ok(asleep) => {
            let goes_on = asleep && resource.can_sleep();
            if goes_on && !before {
                env.metrics.slept();
            } else if asleep && !goes_on {
                not_any_more(env, resource, (&key, epoch)).await;
            }
            goes_on
        }
        Err(error) => {
            let jid = resource.jid();
            tracing::warn!(%jid, %error, "a session that waits to be resumed is not in the store");
            // as it was before, if it was
            before && resource.changes()
        }
    };
    resource.told_store(asleep);
    // what its client had meanwhile
    if !asleep && let Err(error) = acknowledge(env, resource).await {
        tracing::warn!(jid = %resource.jid(), %error, "messages may come again");
    }
}

/// The same, if the store did not take it before: what waits there already is older than what comes now.
pub(crate) async fn try_to_sleep(env: &Arc<Env>, resource: &Arc<Resource>) {
    if let Some(until) = resource.was_refused() {
        fall_asleep(env, resource, until).await;
    }
}

/// The store took so long that somebody has gone on with the session or ended it meanwhile: nobody may find it there.
async fn not_any_more(env: &Env, resource: &Resource, (key, epoch): (&str, u64)) {
    if let Err(error) = env.stores.sessions.take(resource.user(), key, Some(epoch)).await {
        let jid = resource.jid();
        tracing::warn!(%jid, %error, "the store was not told that a session does not wait any more");
    }
}

async fn park(
    env: &Arc<Env>,
    resource: &Arc<Resource>,
    mut parking: Parking,
    left: Duration,
) -> Result<bool, StoreError> {
    let (store, user) = (&env.stores.sessions, resource.user());
    let (key, epoch) = (parking.key.to_string(), parking.epoch);
    if !parking.kept.is_empty() {
        store.hold(user, &key, std::mem::take(&mut parking.kept)).await?;
    }
    if !parking.messages.is_empty() {
        // offline storage keeps some that came after these
        let newer = match resource.newer_after() {
            Some(after) => kept_after(env, user, after).await?,
            None => Vec::new(),
        };
        let messages = std::mem::take(&mut parking.messages);
        // they were taken already
        let limits = OfflineLimits::messages(usize::MAX);
        let ids = store.append(user, vec![key.clone()], messages, limits, None).await?;
        match resource.parked(parking, &ids) {
            Parked::Kept(delivered) if delivered.is_empty() => {}
            Parked::Kept(delivered) => store.acknowledge(user, "", delivered).await?,
            Parked::TooLate => {
                store.acknowledge(user, &key, ids).await?;
                return Ok(false);
            }
        }
        if !newer.is_empty() {
            env.stores.offline.move_back(user, newer).await?;
        }
    }
    let Some(frozen) = resource.freeze_waiting(left) else { return Ok(false) };
    let until = env.clock.millis().saturating_add(millis(left)).max(1);
    put(env, (key, epoch), frozen, until).await?;
    Ok(true)
}

/// The store has the session under that key, which it was told of so often.
async fn put(
    env: &Env,
    (key, epoch): (String, u64),
    session: FrozenWaiting,
    until: u64,
) -> Result<(), StoreError> {
    let (user, handled) = (session.user(), session.handled());
    let frozen = to_store(session).map_err(|error| StoreError::Failed(error.to_string()))?;
    env.stores.sessions.put(StoredSession { key, user, epoch, until, handled, frozen }).await
}

/// Before something is written to the client of a session that is kept although it is connected: what the store has to know
/// for it to be resumed by the next process. `None`: nothing.
pub(crate) fn note(env: &Arc<Env>, resource: &Arc<Resource>) -> Option<BoxFuture<()>> {
    Some(noted(env, resource, resource.to_note()?))
}

/// Before a message of the client counts as handled of which it is told that it failed: that it is.
pub(crate) fn note_again(env: &Arc<Env>, resource: &Arc<Resource>) -> Option<BoxFuture<()>> {
    Some(noted(env, resource, resource.to_note_again()?))
}

fn noted(env: &Arc<Env>, resource: &Arc<Resource>, (key, epoch): (Arc<str>, u64)) -> BoxFuture<()> {
    let session = resource.freeze_attached();
    let (env, resource) = (Arc::clone(env), Arc::clone(resource));
    Box::pin(async move {
        match put(&env, (key.to_string(), epoch), session, 0).await {
            // it knows of something later
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => {
                tracing::warn!(jid = %resource.jid(), %error, "the store does not know of a session");
            }
        }
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A session is resumed: no other process may go on with what the store has of it.
pub(super) async fn wake_up(env: &Env, resource: &Arc<Resource>) {
    resource.store_is_told().await;
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

/// The store forgets what the client of a session has, or is not to get.
pub(crate) async fn acknowledge(env: &Env, resource: &Resource) -> Result<(), StoreError> {
    let received = resource.received();
    if received.is_empty() {
        return Ok(());
    }
    let key = resource.stored_as();
    let key = key.as_deref().unwrap_or_default();
    env.stores.sessions.acknowledge(resource.user(), key, received.clone()).await?;
    resource.forgotten(&received);
    Ok(())
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

/// The numbers of the messages that offline storage keeps after that one.
pub(super) async fn kept_after(
    env: &Env,
    user: &BareJid,
    mut after: u64,
) -> Result<Vec<u64>, StoreError> {
    let mut ids = Vec::new();
    loop {
        let page = env.stores.offline.page(user, after, PAGE, PAGE_BYTES).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        after = last.id;
        ids.extend(page.iter().map(|message| message.id));
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
