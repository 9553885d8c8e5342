//! How a session gets into the store: without its connection, or with it, for clients of which the store has to know before they
//! hear anything. Knows nothing of who has sessions, so that those who send can ask for it.

use super::work::Work;
use crate::{
    env::Env,
    future::BoxFuture,
    resource::{Flush, FrozenWaiting, Owner, Parked, Parking, Resource, to_store},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use storage::{OfflineLimits, StoreError, StoredSession};
use tokio::time::Instant;
use xmpp::jid::BareJid;

/// Messages that are looked at together, and their size in bytes.
pub(super) const PAGE: usize = 100;
pub(super) const PAGE_BYTES: usize = 256 << 10;

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
            } else if asleep && !goes_on && !resource.is_noted() {
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
    if !asleep {
        forget_received(env, resource).await;
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
    parking: Parking,
    left: Duration,
) -> Result<bool, StoreError> {
    let (key, epoch) = (parking.key.to_string(), parking.epoch);
    let Some(ids) = keep_messages(env, resource, parking).await? else { return Ok(false) };
    // offline storage keeps some that came after these, and takes more
    if let (Some(after), Some(first)) = (resource.newer_after(), ids.first()) {
        let sent = sent_to_any(env, resource.user());
        env.stores.offline.move_back_after(resource.user(), after, *first, sent).await?;
    }
    let Some(frozen) = resource.freeze_waiting(left) else { return Ok(false) };
    let until = env.clock.millis().saturating_add(millis(left)).max(1);
    put(env, (key, epoch), frozen, until).await?;
    Ok(true)
}

/// The store keeps the messages of a session, which holds them: the numbers of those that it did not keep before. `None`: they went another
/// way meanwhile.
async fn keep_messages(
    env: &Env,
    resource: &Resource,
    mut parking: Parking,
) -> Result<Option<Vec<u64>>, StoreError> {
    let (store, user, key) = (&env.stores.sessions, resource.user(), parking.key.to_string());
    if !parking.kept.is_empty() {
        store.hold(user, &key, std::mem::take(&mut parking.kept)).await?;
    }
    if parking.messages.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let messages = std::mem::take(&mut parking.messages);
    // they were taken already
    let limits = OfflineLimits::messages(usize::MAX);
    let ids = store.append(user, vec![key.clone()], messages, limits, None).await?;
    match resource.parked(parking, &ids) {
        Parked::Kept(delivered) if delivered.is_empty() => {}
        Parked::Kept(delivered) => store.acknowledge(user, "", delivered).await?,
        Parked::TooLate => {
            store.acknowledge(user, &key, ids).await?;
            return Ok(None);
        }
    }
    Ok(Some(ids))
}

/// Tells the store what has changed of a connected session ([`Durability::Behind`](crate::resource::Durability)).
pub(super) async fn flush(env: &Arc<Env>, resource: &Arc<Resource>) {
    let Some(keeper) = &env.hooks().keeper else { return };
    // the second of several that have the same messages finds them stored
    let several = env.table.with_user(resource.user(), |all| all.len() > 1);
    let _turn = match several {
        true => Some(env.storing.turn(resource.user()).await),
        false => None,
    };
    let flush = loop {
        while !resource.store_can_be_told().await {}
        if !resource.is_dirty() {
            return;
        }
        if let Some(flush) = resource.flush(keeper.worth) {
            break flush;
        }
    };
    let flushing = Flushing(resource);
    let told = tell(env, resource, flush).await;
    drop(flushing);
    if let Err(error) = told {
        resource.is_not_counted();
        tracing::warn!(jid = %resource.jid(), %error, "the store does not know of a session");
        if !matches!(error, StoreError::Full { .. }) {
            env.managers.again(resource, Work::Change);
        }
    }
    // what its client had meanwhile
    forget_received(env, resource).await;
}

/// The store is being told until this is dropped.
struct Flushing<'a>(&'a Resource);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.was_flushed();
    }
}

async fn tell(
    env: &Arc<Env>,
    resource: &Arc<Resource>,
    Flush { parking, session }: Flush,
) -> Result<(), StoreError> {
    let Some(ids) = keep_messages(env, resource, parking).await? else { return Ok(()) };
    let Some(((key, epoch), mut session)) = session else { return Ok(()) };
    session.settle(&ids);
    let handled = session.handled();
    match put(env, (key.to_string(), epoch), session, 0).await {
        Ok(()) => resource.is_counted(handled),
        // it knows of something later
        Err(StoreError::Conflict { .. }) => resource.is_not_counted(),
        Err(error) => return Err(error),
    }
    if resource.owner() == Owner::Ended {
        not_any_more(env, resource, (&key, epoch)).await;
    }
    Ok(())
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
    let session =
        StoredSession { key: key.clone(), user: user.clone(), epoch, until, handled, frozen };
    let put = env.stores.sessions.put(session).await;
    if let Err(StoreError::Full { .. }) = put {
        // it is too large; nobody is to go on with what the store has from before
        env.stores.sessions.take(&user, &key, None).await?;
    }
    put
}

/// Before something is written to the client of a session that is kept although it is connected: what the store has to know
/// for it to be resumed by the next process. `None`: nothing, or it may be told later. `writes`: there is something to be written.
pub(crate) fn note(
    env: &Arc<Env>,
    resource: &Arc<Resource>,
    writes: bool,
) -> Option<BoxFuture<()>> {
    if resource.is_told_later() || !writes {
        return None;
    }
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
        let handled = session.handled();
        match put(&env, (key.to_string(), epoch), session, 0).await {
            Ok(()) => resource.is_counted(handled),
            // it knows of something later
            Err(StoreError::Conflict { .. }) => resource.is_not_counted(),
            Err(error) => {
                tracing::warn!(jid = %resource.jid(), %error, "the store does not know of a session");
                resource.is_not_counted();
            }
        }
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

/// The same, where there is nothing else to do if it cannot.
pub(crate) async fn forget_received(env: &Env, resource: &Resource) {
    if let Err(error) = acknowledge(env, resource).await {
        tracing::warn!(jid = %resource.jid(), %error, "messages may come again");
    }
}

/// The numbers of the messages that the store keeps and a session of the user has, or may have: under another number it would get
/// them again.
pub(crate) fn sent_to_any(env: &Env, user: &BareJid) -> BTreeSet<u64> {
    env.table.with_user(user, |all| all.iter().flat_map(|session| session.has_kept()).collect())
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
