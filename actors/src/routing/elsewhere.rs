//! Which way a stanza goes when its user may have sessions on several nodes: the rules of RFC 6121 section 8 over all of them.
//!
//! Who sends decides by what the registry says, which may be old; whoever gets it looks again.

use super::{HOPS, Trip, bounce, full, message_to, offline, whereabouts};
use crate::{
    env::Env,
    future::BoxFuture,
    remote::{
        Cluster,
        custody::Kept,
        outbound::{Located, elsewhere, is_on_way, locate, settled},
        replaces, start_of, way,
        wire::{Leg, Order},
    },
    resource::Durability,
};
use cluster::{Record, Records, Start};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::oneshot;
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    stanza::{Kind, Stanza, Type},
};

/// Where a stanza goes next.
pub(super) enum Next {
    /// It is this node's.
    Here(Stanza),
    /// It is on its way, or goes there with this.
    Gone(Option<BoxFuture<()>>),
}

/// A stanza for a session: where that is. `found`: what was looked up for it.
pub(super) fn session(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    to: &Jid,
    stanza: Stanza,
    (trip, found): (Trip, Option<Records>),
) -> Next {
    let user = to.bare();
    if whereabouts::lives(env, to) || trip.hops >= HOPS {
        return here(env, cluster, &user, stanza, move |env, stanza| full(env, stanza, trip), trip);
    }
    if waits(&stanza, trip) && cluster.custody.has(&user) {
        return Next::Gone(keep(env, cluster, &user, stanza));
    }
    let cached = || env.registry.cached(user.as_str()).filter(|_| trip.hops == 0);
    let Some(records) = found.or_else(cached) else {
        return Next::Gone(Some(look(env, cluster, user, stanza, trip)));
    };
    let name = to.resource().unwrap_or_default();
    match elsewhere(cluster, &records).find(|record| &*record.resource == name) {
        Some(record) => {
            let leg = (start_of(record), Leg::Full);
            Next::Gone(hand(env, cluster, leg, &user, stanza, trip))
        }
        None => here(env, cluster, &user, stanza, move |env, stanza| full(env, stanza, trip), trip),
    }
}

/// A message for an account of which the best session here has that priority: where the best is.
pub(super) fn account(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: &BareJid,
    stanza: Stanza,
    best: Option<i8>,
    (trip, found): (Trip, Option<Records>),
) -> Next {
    // where it was sent to because of this session, or nobody else is asked any more
    let stays = trip.copy || trip.hops >= HOPS || trip.hops > 0 && best.is_some();
    if !stays && !trip.now && cluster.custody.has(user) {
        return Next::Gone(keep(env, cluster, user, stanza));
    }
    let cached = || env.registry.cached(user.as_str()).filter(|_| trip.hops == 0);
    let records = match found.or_else(cached) {
        _ if stays => Records::default(),
        Some(records) => records,
        None => return Next::Gone(Some(look_for(env, cluster, user.clone(), stanza, trip))),
    };
    let (top, nodes) = best_of(elsewhere(cluster, &records));
    let (mut there, here_too): (BTreeSet<Start>, bool) = match top {
        Some(top) if best.is_none_or(|best| best <= top) => (nodes, best == Some(top)),
        Some(_) => (BTreeSet::new(), true),
        // it is kept where a session is that may take it soon
        None if best.is_none() && !whereabouts::is_here(env, user) => {
            (elsewhere(cluster, &records).map(start_of).min().into_iter().collect(), false)
        }
        None => (BTreeSet::new(), true),
    };
    let first = if here_too { None } else { there.pop_first() };
    if !trip.copy
        && !trip.now
        && is_on_way(cluster, stanza.head.from.as_ref(), user, (first, trip.hops))
    {
        let owner = user.clone();
        let again = move |env: &Arc<Env>, stanza| message_to(env, owner, stanza, (trip, None));
        return Next::Gone(Some(after(env, cluster, user, stanza, (first, trip.hops), again)));
    }
    // one of them sees that it is not lost
    for copy in there {
        let trip = Trip { copy: true, ..trip };
        drop(give(env, cluster, (copy, Leg::Account), user, stanza.clone(), trip));
    }
    match first {
        Some(first) => Next::Gone(give(env, cluster, (first, Leg::Account), user, stanza, trip)),
        None => Next::Here(stanza),
    }
}

/// The highest priority of those that take messages for the account, and the nodes with sessions that have it.
pub(super) fn best_of<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> (Option<i8>, BTreeSet<Start>) {
    let (mut top, mut nodes) = (None, BTreeSet::new());
    for record in records {
        let Some(priority) = record.priority.filter(|priority| *priority >= 0) else { continue };
        if top < Some(priority) {
            (top, nodes) = (Some(priority), BTreeSet::new());
        }
        if top == Some(priority) {
            nodes.insert(start_of(record));
        }
    }
    (top, nodes)
}

/// It stays here; after what is still on its way to other nodes.
fn here(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: &BareJid,
    stanza: Stanza,
    then: impl FnOnce(&Arc<Env>, Stanza) -> Option<BoxFuture<()>> + Send + 'static,
    trip: Trip,
) -> Next {
    if trip.copy
        || trip.now
        || !is_on_way(cluster, stanza.head.from.as_ref(), user, (None, trip.hops))
    {
        return Next::Here(stanza);
    }
    Next::Gone(Some(after(env, cluster, user, stanza, (None, trip.hops), then)))
}

/// When nothing of the two is on another way any more.
fn after(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: &BareJid,
    stanza: Stanza,
    (but, hops): (Option<Start>, u8),
    then: impl FnOnce(&Arc<Env>, Stanza) -> Option<BoxFuture<()>> + Send + 'static,
) -> BoxFuture<()> {
    let (env, cluster, user) = (Arc::clone(env), Arc::clone(cluster), user.clone());
    Box::pin(async move {
        settled(&cluster, stanza.head.from.as_ref(), &user, (but, hops)).await;
        if let Some(later) = then(&env, stanza) {
            later.await;
        }
    })
}

/// Hands it to a node, after what is on its way to others.
pub(super) fn hand(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    (to, leg): (Start, Leg),
    user: &BareJid,
    stanza: Stanza,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    if !trip.copy
        && !trip.now
        && is_on_way(cluster, stanza.head.from.as_ref(), user, (Some(to), trip.hops))
    {
        let (way, owner, of) = ((Some(to), trip.hops), user.clone(), Arc::clone(cluster));
        let then = move |env: &Arc<Env>, stanza| give(env, &of, (to, leg), &owner, stanza, trip);
        return Some(after(env, cluster, user, stanza, way, then));
    }
    give(env, cluster, (to, leg), user, stanza, trip)
}

fn give(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    (to, leg): (Start, Leg),
    user: &BareJid,
    stanza: Stanza,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    let message = stanza.head.kind == Kind::Message;
    // custody passes with the receipt: what came by another node is that one's until then
    let waits = !trip.copy
        && (trip.hops > 0 || message && env.queue_limits().durability == Durability::Always);
    let mut way = way(stanza.head.from.as_ref(), user, trip.hops);
    if trip.copy {
        way.pair = 0;
    }
    let instead = replaces(&stanza, stanza.head.to.as_slice());
    let (trip, at) = (Trip { hops: trip.hops.saturating_add(1), ..trip }, env.clock.millis());
    let item = Order::Stanza { leg, trip, at, stanza: stanza.clone() }.to_bytes();
    match cluster.hand(to, way, item, instead, waits) {
        Ok(told) => {
            env.metrics.remote_handed();
            let told = told?;
            Some(Box::pin(async move { drop(told.await) }))
        }
        Err(_) => {
            env.metrics.remote_full();
            not_handed(env, user, stanza, trip)
        }
    }
}

/// A node has too much already.
fn not_handed(env: &Arc<Env>, user: &BareJid, stanza: Stanza, trip: Trip) -> Option<BoxFuture<()>> {
    match (stanza.head.kind, stanza.head.ty) {
        _ if trip.copy => None,
        (Kind::Message, Type::Normal | Type::Chat) => {
            Some(Box::pin(offline(Arc::clone(env), user.clone(), stanza)))
        }
        (Kind::Presence, _) => None,
        _ => bounce(env, &stanza, &StanzaError::resource_constraint()),
    }
}

/// Whether a stanza is kept while it is not known where it belongs.
fn waits(stanza: &Stanza, trip: Trip) -> bool {
    let chat = matches!(stanza.head.ty, Type::Normal | Type::Chat);
    stanza.head.kind == Kind::Message && chat && !trip.now && !trip.copy
}

/// It was for a session that has gone over to another node, and goes after it.
pub(super) fn follows(env: &Arc<Env>, user: BareJid, stanza: Stanza, trip: Trip) -> BoxFuture<()> {
    let env = Arc::clone(env);
    Box::pin(async move {
        env.registry.forget(user.as_str());
        let full_address = stanza.head.to.as_ref().is_some_and(|to| to.resource().is_some());
        let later = match full_address {
            true => full(&env, stanza, trip),
            false => message_to(&env, user, stanza, (trip, None)),
        };
        if let Some(later) = later {
            later.await;
        }
    })
}

/// Looks where the session is, and goes on.
fn look(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: BareJid,
    stanza: Stanza,
    trip: Trip,
) -> BoxFuture<()> {
    let (env, cluster) = (Arc::clone(env), Arc::clone(cluster));
    Box::pin(async move {
        if trip.hops > 0 {
            env.registry.forget(user.as_str());
        }
        let later = match locate(&env, &cluster, &user).await {
            Located::Known(records) => super::full_to(&env, stanza, (trip, Some(records))),
            Located::Partly(records) => {
                let name = stanza.head.to.as_ref().and_then(Jid::resource).unwrap_or_default();
                let found = records.iter().any(|record| &*record.resource == name);
                match found {
                    true => super::full_to(&env, stanza, (trip, Some(records))),
                    false => unknown(&env, &cluster, &user, stanza, trip),
                }
            }
        };
        if let Some(later) = later {
            later.await;
        }
    })
}

/// Looks where the best session is, and goes on.
fn look_for(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: BareJid,
    stanza: Stanza,
    trip: Trip,
) -> BoxFuture<()> {
    let (env, cluster) = (Arc::clone(env), Arc::clone(cluster));
    Box::pin(async move {
        if trip.hops > 0 {
            env.registry.forget(user.as_str());
        }
        let later = match locate(&env, &cluster, &user).await {
            Located::Known(records) => message_to(&env, user, stanza, (trip, Some(records))),
            Located::Partly(_) => unknown(&env, &cluster, &user, stanza, trip),
        };
        if let Some(later) = later {
            later.await;
        }
    })
}

/// Nobody knows where it belongs.
fn unknown(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: &BareJid,
    stanza: Stanza,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    match stanza.head.kind {
        Kind::Message if waits(&stanza, Trip { now: false, ..trip }) => {
            keep(env, cluster, user, stanza)
        }
        // an answer has none
        Kind::Iq => bounce(env, &stanza, &StanzaError::resource_constraint()),
        _ => None,
    }
}

/// It stays with this node until that is known (law 11).
fn keep(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    user: &BareJid,
    stanza: Stanza,
) -> Option<BoxFuture<()>> {
    let always = env.queue_limits().durability == Durability::Always;
    let (receipt, told) = oneshot::channel();
    let receipt = Some(receipt).filter(|_| always);
    env.metrics.kept_in_custody();
    match cluster.custody.push(user, Kept { stanza, at: env.clock.millis(), receipt }) {
        Ok(()) if always => Some(Box::pin(async move { drop(told.await) })),
        Ok(()) => None,
        Err(Kept { stanza, .. }) => bounce(env, &stanza, &StanzaError::resource_constraint()),
    }
}
