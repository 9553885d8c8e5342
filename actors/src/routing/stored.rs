//! Messages that have to be in the store before they are delivered (`delivery.durability`): for sessions without a connection, or for
//! all. Whoever sends waits for the store, so that XEP-0198 counts a message when it is there.

use super::{When, bounce, divert, refused, whereabouts::session_of};
use crate::{
    env::Env,
    future::BoxFuture,
    resource::{Keeping, Refused, Resource, Share},
    sessions::park::try_to_sleep,
};
use std::sync::Arc;
use storage::StoreError;
use xmpp::{error::StanzaError, jid::BareJid, payload::delay::was_delayed_by, stanza::Stanza};

/// A message for these sessions of a user, who have a share each; `taken`: others have it already.
pub(super) fn stored_first(
    env: &Arc<Env>,
    user: BareJid,
    sessions: Vec<(Arc<Resource>, Share)>,
    stanza: Stanza,
    taken: bool,
    when: When,
) -> BoxFuture<()> {
    let env = Arc::clone(env);
    Box::pin(async move {
        let mut holders = Vec::new();
        for (resource, share) in sessions {
            // what waits there already is older
            resource.store_is_told().await;
            try_to_sleep(&env, &resource).await;
            let key = resource.holds_as();
            holders.push(Holder { resource, share, key });
        }
        // one of those that have it may be putting it into the store
        let turn = match taken {
            true => Some(env.storing.turn(&user).await),
            false => None,
        };
        let kept = keep(&env, &user, &holders, &stanza).await;
        drop(turn);
        let later = match kept {
            Ok(keeping) => hand(&env, user, holders, stanza, keeping, taken, when).await,
            Err(_) if taken => None,
            Err(error) => bounce(&env, &stanza, &error),
        };
        if let Some(later) = later {
            later.await;
        }
    })
}

/// A session that is to get it.
struct Holder {
    resource: Arc<Resource>,
    /// In the one message.
    share: Share,
    /// Under which the store keeps it for that session.
    key: Option<Arc<str>>,
}

/// Stores a message that is worth it, if it has to be.
async fn keep(
    env: &Env,
    user: &BareJid,
    holders: &[Holder],
    stanza: &Stanza,
) -> Result<Keeping, StanzaError> {
    let Some(keeper) = env.hooks().keeper.as_ref().filter(|keeper| (keeper.worth)(stanza)) else {
        return Ok(Keeping::Not);
    };
    let keys: Vec<_> = holders.iter().filter_map(|h| Some(h.key.as_ref()?.to_string())).collect();
    if keys.is_empty() {
        return Ok(Keeping::Unknown);
    }
    let store = &env.stores.sessions;
    let share = holders.first().map(|holder| &holder.share);
    if let Some(id) = share.map(Share::kept).filter(|id| *id != 0) {
        for key in &keys {
            store.hold(user, key, vec![id]).await?;
        }
        return Ok(Keeping::Stored(id));
    }
    let message = vec![(env.clock.millis(), stanza.clone())];
    let limits = keeper.with_queue(env.settings().queues);
    match store.append(user, keys, message, limits, sender(env, stanza)).await {
        Ok(ids) => {
            env.metrics.held();
            let Some(id) = ids.first() else { return Ok(Keeping::Not) };
            share.iter().for_each(|share| share.keep(*id));
            Ok(Keeping::Stored(*id))
        }
        Err(StoreError::Full { .. }) => {
            let error = StanzaError::service_unavailable();
            Err(error.with_text("too many messages wait already"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The session of a client that sends it, if the store has that, and how many of its stanzas are handled with this one: not
/// with one that had waited for somebody already, whatever its sender is at now.
pub(crate) fn sender(env: &Env, stanza: &Stanza) -> Option<(String, u32)> {
    if was_delayed_by(stanza, stanza.head.to.as_ref()?.domain()) {
        return None;
    }
    session_of(env, stanza.head.from.as_ref()?)?.handles_with_this()
}

/// Delivers it to all of them.
async fn hand(
    env: &Arc<Env>,
    user: BareJid,
    holders: Vec<Holder>,
    stanza: Stanza,
    keeping: Keeping,
    mut taken: bool,
    when: When,
) -> Option<BoxFuture<()>> {
    let (mut why, mut gone, mut delivered) = (None, Vec::new(), false);
    for Holder { resource, share, key } in holders {
        let mut keeping = keeping;
        if matches!(keeping, Keeping::Stored(_)) {
            delivered |= share.is_delivered();
            if key.is_none() {
                keeping = Keeping::Not;
            }
        }
        match resource.deliver_as(stanza.clone(), Some(share), keeping) {
            Ok(()) => taken = true,
            Err(refused) => {
                why = Some(refused);
                gone.extend(key.map(|key| (resource, key)));
            }
        }
    }
    let Keeping::Stored(id) = keeping else {
        return why.filter(|_| !taken).and_then(|why| refused(env, user, why, when));
    };
    let store = &env.stores.sessions;
    let blocked = matches!(why, Some(Refused::Blocked(_)));
    for (resource, key) in &gone {
        if !blocked {
            // it may have ended before the message was there
            if let Err(error) = store.expire(&user, key).await {
                tracing::warn!(%user, %error, "a message waits for a session that is gone");
                env.managers.not_forgotten(resource);
            }
        } else if let Err(error) = store.acknowledge(&user, key, vec![id]).await {
            tracing::warn!(%user, %error, "a message waits for a session that is not to get it");
        }
    }
    if delivered && let Err(error) = store.acknowledge(&user, "", vec![id]).await {
        tracing::warn!(%user, %error, "a message may come again");
    }
    match why {
        _ if taken => None,
        Some(Refused::Blocked(stanza)) => super::blocked(env, &stanza),
        // it is like any other that nobody took
        _ => {
            let keeper = env.hooks().keeper.as_ref()?;
            divert(env, &user, keeper.module, id);
            None
        }
    }
}
