//! Messages that have to be in the store before they are delivered (`delivery.durability`): for sessions without a connection, or for
//! all. Whoever sends waits for the store, so that XEP-0198 counts a message when it is there.

use super::{Trip, bounce, divert, elsewhere::follows, message, refused, whereabouts::session_of};
use crate::{
    env::Env,
    future::BoxFuture,
    resource::{Coming, Keeping, Refused, Resource, Share},
    sessions::park::try_to_sleep,
};
use std::sync::Arc;
use storage::StoreError;
use xmpp::{
    error::StanzaError,
    jid::{BareJid, FullJid},
    payload::delay::was_delayed_by,
    stanza::Stanza,
};

/// A message for these sessions of a user, who have a share each; `taken`: others have it already.
pub(super) fn stored_first(
    env: &Arc<Env>,
    user: BareJid,
    sessions: Vec<(Arc<Resource>, Share)>,
    stanza: Stanza,
    taken: bool,
    trip: Trip,
) -> BoxFuture<()> {
    let env = Arc::clone(env);
    Box::pin(async move {
        let mut holders = Vec::new();
        for (resource, share) in sessions {
            // what waits there already is older
            resource.store_is_told().await;
            try_to_sleep(&env, &resource).await;
            // it may go over to another node
            resource.is_settled().await;
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
            Ok(keeping) => hand(&env, user, holders, stanza, keeping, taken, trip).await,
            Err(error) => {
                // whoever has it already may have ended meanwhile
                let shares = holders.into_iter().map(|holder| holder.share);
                let nobody = shares.fold(!taken, |nobody, share| share.given_up() || nobody);
                if nobody { bounce(&env, &stanza, &error) } else { None }
            }
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
    key: Option<(Arc<str>, Coming)>,
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
    let keys: Vec<_> = holders.iter().filter_map(|h| Some(h.key.as_ref()?.0.to_string())).collect();
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
        // RFC 6121 section 8.5.1: the account was removed meanwhile
        Err(StoreError::NoAccount(_)) => Err(StanzaError::service_unavailable()),
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

/// Of the reasons why several sessions did not take one message: that the user blocks its sender goes before any other.
pub(super) fn first_of_all(before: Option<Refused>, now: Refused) -> Refused {
    match (before, now) {
        (Some(blocked @ Refused::Blocked(_)), _) => blocked,
        (Some(Refused::Full(stanza, coming)), Refused::Full(_, too)) => {
            Refused::Full(stanza, coming.and(too))
        }
        (_, now) => now,
    }
}

/// Delivers it to all of them, and deals with each that does not take it by its own reason.
async fn hand(
    env: &Arc<Env>,
    user: BareJid,
    holders: Vec<Holder>,
    stanza: Stanza,
    keeping: Keeping,
    mut taken: bool,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    let (mut why, mut gone, mut delivered, mut moved) = (None, Vec::new(), false, Vec::new());
    let last = holders.first().map(|holder| holder.share.clone());
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
                if matches!(refused, Refused::Moved(_)) {
                    moved.push(resource.jid().clone());
                }
                let blocked = matches!(refused, Refused::Blocked(_));
                gone.extend(key.map(|key| (resource, key, blocked)));
                why = Some(first_of_all(why, refused));
            }
        }
    }
    let Keeping::Stored(id) = keeping else {
        return match why? {
            why if !taken => refused(env, user, why, trip),
            // as has whoever took it
            _ if last.is_some_and(Share::given_up) => message(env, user, stanza, trip),
            _ => too(env, moved, stanza, trip),
        };
    };
    let store = &env.stores.sessions;
    for (resource, (key, _), blocked) in &gone {
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
        _ if taken => too(env, moved, stanza, trip),
        Some(Refused::Blocked(stanza)) => super::blocked(env, &stanza),
        // it is like any other that nobody took
        _ => {
            let keeper = env.hooks().keeper.as_ref()?;
            divert(env, &user, keeper.module, id).await;
            None
        }
    }
}

/// Of several sessions that get a message these have gone over to other nodes: they get it there.
fn too(env: &Arc<Env>, moved: Vec<FullJid>, stanza: Stanza, trip: Trip) -> Option<BoxFuture<()>> {
    if moved.is_empty() {
        return None;
    }
    let env = Arc::clone(env);
    Some(Box::pin(async move {
        for jid in moved {
            let user = jid.bare();
            let stanza = stanza.with_to(Some(jid.into()));
            follows(&env, user, stanza, trip).await;
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        modules::offline::{OfflineConfig, OfflineModule},
        registrar::Modules,
        resource::{Durability, Ended, QueueLimits},
        settings::Settings,
        testkit::{World, WorldOptions, script::follow},
    };
    use storage::{Blocklist, OfflineLimits};

    const SCENE: &str = "account romeo@localhost rose
        account juliet@localhost pencil
        R = romeo@localhost/orchard
        R C: <enable xmlns='urn:xmpp:sm:3'/>
        R S: <enabled xmlns='urn:xmpp:sm:3'/>
        J = juliet@localhost/balcony
        J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
        J S: <enabled xmlns='urn:xmpp:sm:3'/>
        L = juliet@localhost/garden
        L C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
        L S: <enabled xmlns='urn:xmpp:sm:3'/>";

    #[test]
    fn a_session_that_blocks_the_sender_is_not_taken_for_one_that_has_ended() {
        for first in ["balcony", "garden"] {
            World::block_on(async {
                let queues =
                    QueueLimits { durability: Durability::Always, ..QueueLimits::default() };
                let settings = Settings { queues, ..Settings::default() };
                let options = WorldOptions { settings, ..WorldOptions::default() };
                let mut modules = Modules::default();
                modules.add_with::<OfflineModule>(OfflineConfig::default());
                let mut world = World::new(modules, options).await;
                follow(SCENE, &mut world).await.unwrap();
                let (env, user) = (Arc::clone(&world.env), "juliet@localhost".parse().unwrap());
                let mut sessions = vec![
                    env.table.find(&user, "balcony").unwrap(),
                    env.table.find(&user, "garden").unwrap(),
                ];
                sessions.sort_by_key(|resource| resource.jid().resource() != first);
                let share = Share::default();
                let holds = |resource: &Arc<Resource>| Holder {
                    resource: Arc::clone(resource),
                    share: share.clone(),
                    key: resource.holds_as(),
                };
                let holders: Vec<_> = sessions.iter().map(holds).collect();
                let key = |holder: &Holder| holder.key.as_ref().unwrap().0.to_string();
                let keys: Vec<_> = holders.iter().map(key).collect();
                let message = |id| {
                    let xml = format!(
                        "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='{id}'><body/></message>"
                    );
                    Stanza::parse(xml.as_bytes()).unwrap()
                };
                let limits = OfflineLimits::messages(9);
                let store = &env.stores.sessions;
                let both = vec![(1, message(1)), (2, message(2))];
                let ids = store.append(&user, keys.clone(), both, limits, None).await.unwrap();
                // one blocks him, the other one has gone
                for resource in &sessions {
                    if resource.jid().resource() == "balcony" {
                        let romeo = "romeo@localhost".parse().unwrap();
                        resource.set_blocked(&Arc::new(Blocklist::from_iter([romeo])));
                    } else {
                        assert!(resource.end(Ended::Kicked, env.next_session()));
                    }
                }
                let keeping = Keeping::Stored(ids[1]);
                let (to, trip) = (user.clone(), Trip::IN_ORDER);
                if let Some(later) = hand(&env, to, holders, message(2), keeping, false, trip).await
                {
                    later.await;
                }
                for (resource, key) in sessions.iter().zip(&keys) {
                    let held = store.held(&user, key, 0, 9, 9_999).await.unwrap();
                    let held: Vec<_> = held.iter().map(|message| message.id).collect();
                    let lives = resource.jid().resource() == "balcony";
                    assert_eq!(held, if lives { vec![ids[0]] } else { Vec::new() }, "{first}");
                }
                follow("R S: <message type='error' id='2'/>", &mut world).await.unwrap();
                assert_eq!(env.stores.offline.count(&user).await, Ok(0));
                world.stop().await;
            });
        }
    }
}
