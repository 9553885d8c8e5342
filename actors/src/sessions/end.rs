//! The end of a session, orderly or not: its contacts learn that it is gone, and what it did not
//! get goes on its way again (XEP-0198 section 5, RFC 6121 section 4.5.4, law 11).

use super::{
    park::{kept_after, sent_to_any},
    registry::unbind,
    sleep::forget,
};
use crate::{
    env::Env,
    remote::outbound,
    resource::{Arrived, Ended, Left, PATIENCE, Resource, Standing},
    routing::{Trip, bounce, divert, message, presence},
};
use std::{iter, sync::Arc};
use tokio::task::coop::consume_budget;
use xmpp::{
    error::StanzaError,
    payload::delay::delayed,
    stanza::{Kind, Stanza, Type},
};

/// Ends a session: tells who saw it, sends what is left on its way, and takes it out of the table. The second time
/// it goes on where the first stopped. Whether it was ended here.
pub async fn end(env: &Arc<Env>, resource: &Arc<Resource>, why: Ended) -> bool {
    let here = begin(env, resource, why).await;
    finish(env, resource).await;
    here
}

/// From here on nothing is delivered to it, and its name is free. The rest is for [`finish`].
pub(super) async fn begin(env: &Arc<Env>, resource: &Resource, why: Ended) -> bool {
    let here = resource.end(why, env.next_session());
    if here {
        env.metrics.session(resource.age());
    }
    // while it leaves something behind, what comes for its user comes here, and waits
    if env.cluster.is_none() || resource.standing() != Standing::Leaving {
        unbind(env, resource).await;
    }
    here
}

/// What has to be done for a session that has ended. Until then it stays in the table, and what comes for its user waits:
/// so nothing overtakes what it leaves behind (RFC 6120 section 10.1). One at a time does it, and each goes on where
/// another was killed.
pub(super) async fn finish(env: &Arc<Env>, resource: &Arc<Resource>) {
    // one that is not in the table any more goes on elsewhere, thawed
    if let Some(lock) = resource.leaving().filter(|_| env.table.has(resource)) {
        let Ok(_one_at_a_time) = tokio::time::timeout(PATIENCE, lock.lock()).await else {
            tracing::warn!(jid = %resource.jid(), "what a session did not get is slow to go on");
            return;
        };
        if !resource.store_is_told().await {
            // what is on its way there goes the way of the rest
            resource.told_store(false);
        }
        let jid = resource.jid().clone();
        let unavailable = Stanza::presence(Type::Unavailable).with_from(Some(jid.into()));
        presence::gone(env, resource, &unavailable).await;
        pass_on(env, resource).await;
        if env.cluster.is_some() {
            unbind(env, resource).await;
        }
    }
    env.table.remove(resource);
}

/// Sends on their way, oldest first, the stanzas that the client never got.
async fn pass_on(env: &Arc<Env>, resource: &Arc<Resource>) {
    if resource.leftover().is_some() && !resource.nothing_comes().await {
        tracing::warn!(jid = %resource.jid(), "messages may be out of order");
    }
    forget(env, resource).await;
    if resource.leftover().is_none() {
        return;
    }
    let before = |all: &[Arc<Resource>]| -> Vec<_> {
        all.iter().filter(|r| r.leaves_before(resource)).cloned().collect()
    };
    for earlier in env.table.with_user(resource.user(), before) {
        earlier.is_over().await;
    }
    if let Some(after) = resource.newer_after() {
        match kept_after(env, resource.user(), after).await {
            Ok(newer) => resource.also_left(newer),
            Err(error) => tracing::warn!(%error, "messages may be out of order"),
        }
    }
    while let Some(left) = resource.leftover() {
        consume_budget().await;
        match left {
            Left::Stanza(arrived) => undelivered(env, resource, arrived).await,
            Left::Kept(ids) => kept(env, resource, ids).await,
        }
        resource.passed();
    }
}

/// The store keeps messages that came after those that were passed on just now: they are to be
/// fetched after them too, unless a session of the user has them. Another resource that takes messages looks for them in the store,
/// when this one is done with.
async fn kept(env: &Arc<Env>, resource: &Resource, ids: Vec<u64>) {
    let user = resource.user();
    let Some(first) = ids.iter().min().copied() else { return };
    let mut behind = match resource.has_stored() {
        true => ids,
        false => out_of_order(ids, resource.last_passed()),
    };
    let mut sent = sent_to_any(env, user);
    if !behind.is_empty() {
        sent.extend(outbound::sent_there(env, user).await);
    }
    behind.retain(|id| !sent.contains(id));
    if !behind.is_empty() {
        match env.stores.offline.move_back(user, behind).await {
            Ok(()) => resource.moved_back(),
            Err(error) => tracing::warn!(%error, "messages may be out of order"),
        }
    }
    if let Some(keeper) = &env.hooks().keeper {
        divert(env, user, keeper.module, first).await;
    }
}

/// Of messages in the order in which they came, after the one of the number `last`, those from the first on whose number says
/// otherwise: it was on its way into the store when the ones before it were put there too.
fn out_of_order(mut ids: Vec<u64>, last: u64) -> Vec<u64> {
    let before = iter::once(&last).chain(&ids);
    let first = before.zip(&ids).position(|(one, next)| next < one);
    ids.split_off(first.unwrap_or(ids.len()))
}

/// A stanza that the client never got: a message goes to the user's account again, where another
/// resource or offline storage takes it, and it says since when it waits (XEP-0198 section 5,
/// XEP-0203); a request is answered.
async fn undelivered(env: &Arc<Env>, resource: &Resource, arrived: Arrived) {
    let Arrived { stanza, at, .. } = arrived;
    let later = match (stanza.head.kind, stanza.head.ty) {
        (Kind::Message, Type::Normal | Type::Chat) => {
            let user = resource.user().clone();
            let stanza = match &stanza.head.to {
                Some(to) if to.resource().is_none() => stanza,
                _ => stanza.with_to(Some(user.clone().into())),
            };
            let stanza = delayed(&stanza, user.domain(), at, "Not delivered before");
            message(env, user, stanza, Trip::NOW)
        }
        // 8.5.3.2.1: a room learns that its occupant is gone
        (Kind::Iq, Type::Get | Type::Set) | (Kind::Message, Type::Groupchat) => {
            bounce(env, &stanza, &StanzaError::service_unavailable())
        }
        _ => None,
    };
    if let Some(later) = later {
        later.await;
    }
}

#[cfg(test)]
mod tests {
    use super::out_of_order;

    #[test]
    fn the_rest_is_out_of_order_from_the_first_on_that_is() {
        for (last, ids, rest) in [
            (0, vec![], vec![]),
            (9, vec![], vec![]),
            (0, vec![7], vec![]),
            (0, vec![1, 2, 9], vec![]),
            (0, vec![3, 4, 1, 2, 5], vec![1, 2, 5]),
            (0, vec![3, 1, 4, 2], vec![1, 4, 2]),
            (2, vec![3, 4, 1], vec![1]),
            (4, vec![3, 5], vec![3, 5]),
        ] {
            assert_eq!(out_of_order(ids, last), rest);
        }
    }
}
