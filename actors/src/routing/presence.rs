//! Presence on its way: to contacts, from contacts, probes (RFC 6121 section 4).

use super::{
    Trip,
    elsewhere::hand,
    everywhere::{shown, to_own},
    here, may, reaches, send, to_available, to_available_here,
};
use crate::{
    env::Env,
    future::BoxFuture,
    hooks::Flow,
    remote::{
        outbound::{Groups, shown_here},
        wire::{Leg, Shown},
    },
    resource::{Remains, Resource},
};
use std::{collections::HashSet, sync::Arc};
use storage::Roster;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::{Stanza, Type},
};

/// A presence for an account.
pub(super) fn to_account(env: &Arc<Env>, user: BareJid, stanza: Stanza) -> Option<BoxFuture<()>> {
    match stanza.head.ty {
        // section 8.5.2.1.2: to all available resources
        Type::Available | Type::Unavailable => to_available(env, &user, &stanza),
        Type::Probe => probed(env, user.into(), stanza),
        ty if ty.is_subscription() => {
            let env = Arc::clone(env);
            Some(Box::pin(async move { subscription(&env, &user, stanza).await }))
        }
        _ => None,
    }
}

/// Section 3: the modules keep the state; if none stops it, it is for the available resources.
async fn subscription(env: &Arc<Env>, user: &BareJid, stanza: Stanza) {
    if !reaches(env, user, &stanza).await {
        return;
    }
    for row in &env.hooks().subscription_in {
        if (row.run)(env, user, &stanza).await == Flow::Stop {
            return;
        }
    }
    if let Some(later) = to_available(env, user, &stanza) {
        later.await;
    }
}

/// Section 4.3.2: a probe for an account or one of its resources.
pub(super) fn probed(env: &Arc<Env>, to: Jid, stanza: Stanza) -> Option<BoxFuture<()>> {
    let from = stanza.head.from.clone()?;
    let env = Arc::clone(env);
    Some(Box::pin(async move {
        if reaches(&env, &to.bare(), &stanza).await {
            answer_probe(&env, &from, &to).await;
        }
    }))
}

async fn answer_probe(env: &Arc<Env>, from: &Jid, to: &Jid) {
    let user = to.bare();
    let (all, silent) = shown(env, from, std::slice::from_ref(&user)).await;
    let allowed = may(env, &user, from).await == Flow::Continue;
    let answers = answers(all, to, allowed);
    if let Some(cluster) = &env.cluster {
        let probe = Stanza::presence(Type::Probe).with_from(Some(from.clone()));
        let probe = probe.with_to(Some(to.clone()));
        for node in &silent {
            // it answers when it can
            let leg = (*node, Leg::Probe);
            drop(hand(env, cluster, leg, &user, probe.clone(), Trip::IN_ORDER));
        }
    }
    if answers.is_empty() {
        let (ty, of, to) = if !allowed {
            // their server believes in a subscription that is none: this ends it
            (Type::Unsubscribed, to.bare_jid(), from.bare_jid())
        } else if silent.is_empty() {
            (Type::Unavailable, to.clone(), from.clone())
        } else {
            return;
        };
        return send(env, Stanza::presence(ty).with_from(Some(of)).with_to(Some(to))).await;
    }
    for presence in answers {
        send(env, presence.with_to(Some(from.clone()))).await;
    }
}

/// What of the sessions of a user answers a probe.
fn answers(all: Vec<Shown>, to: &Jid, allowed: bool) -> Vec<Stanza> {
    let asked = |one: &Shown| to.resource().is_none_or(|name| Some(name) == one.jid.resource());
    // a resource that `from` already sees by directed presence stays visible (section 4.6.3)
    let seen = all.into_iter().filter(|one| asked(one) && (allowed || one.directs));
    seen.filter_map(|one| one.presence).collect()
}

/// A probe that another node answers for its own sessions: this one for those here.
pub(crate) async fn answer_here(env: &Arc<Env>, probe: Stanza) {
    let (Some(from), Some(to)) = (&probe.head.from, &probe.head.to) else { return };
    let user = to.bare();
    let all = shown_here(env, from, std::slice::from_ref(&user));
    let allowed = may(env, &user, from).await == Flow::Continue;
    for presence in answers(all, to, allowed) {
        send(env, presence.with_to(Some(from.clone()))).await;
    }
}

/// Tells `to` the presence of all available resources of a user, or that they are gone; not whom the
/// user blocks, who has seen them go then (XEP-0191 section 3.2).
pub async fn show(env: &Arc<Env>, user: &BareJid, to: &Jid, available: bool) {
    for resource in here(env, user).into_iter().filter(|r| !r.blocks(to)) {
        let Some((presence, _)) = resource.presence() else { continue };
        if available {
            seen(env, &resource, presence.with_to(Some(to.clone()))).await;
            continue;
        }
        send(env, gone_of(&resource.jid().clone().into()).with_to(Some(to.clone()))).await;
    }
    if env.cluster.is_none() {
        return;
    }
    let (there, _) =
        crate::remote::outbound::shown_there(env, to, std::slice::from_ref(user)).await;
    for Shown { jid, presence, .. } in there.into_iter().filter(|one| !one.blocks) {
        let Some(presence) = presence else { continue };
        let presence = if available { presence } else { gone_of(&jid) };
        send(env, presence.with_to(Some(to.clone()))).await;
    }
}

fn gone_of(jid: &Jid) -> Stanza {
    Stanza::presence(Type::Unavailable).with_from(Some(jid.clone()))
}

/// Sections 4.2.2 and 4.4.2: available presence of `resource`, to its contacts and to the user's
/// other resources; with the initial one also probes and what the others' presence is. Stops when the session
/// ends: nobody is to see it come after it went.
pub async fn broadcast(env: &Arc<Env>, resource: &Arc<Resource>, presence: &Stanza, initial: bool) {
    if resource.priority().is_none() {
        return;
    }
    let me: Jid = resource.jid().clone().into();
    drop(resource.deliver(presence.with_to(Some(me.clone()))));
    for other in here(env, resource.user()) {
        let Some((theirs, _)) = other.presence().filter(|_| other.id() != resource.id()) else {
            continue;
        };
        drop(other.deliver(presence.with_to(Some(other.jid().clone().into()))));
        if initial {
            drop(resource.deliver(theirs.with_to(Some(me.clone()))));
        }
    }
    to_own(env, resource.user(), presence).await;
    if initial {
        see_others(env, resource).await;
    }
    let Some(roster) = contacts(env, resource.user()).await else { return };
    let contacts = || roster.items.iter().filter(|i| !resource.blocks(&i.jid));
    let mut groups = Groups::default();
    for item in contacts().filter(|i| i.subscription.has_from()) {
        if is_account(env, &item.jid) {
            add(env, &mut groups, &item.jid).await;
            if !seen_here(env, resource, &presence.with_to(Some(item.jid.clone()))) {
                break;
            }
        } else if !seen(env, resource, presence.with_to(Some(item.jid.clone()))).await {
            break;
        }
    }
    if let Some(cluster) = env.cluster.as_ref().filter(|_| !groups.is_empty()) {
        groups.send(env, cluster, presence);
        let gone = gone_of(&me);
        if resource.priority().is_none() {
            groups.send(env, cluster, &gone);
        } else {
            for to in groups.contacts().filter(|to| resource.blocks(to)) {
                send(env, gone.with_to(Some(to.clone()))).await;
            }
        }
    }
    if initial && resource.priority().is_some() {
        for item in contacts().filter(|i| i.subscription.has_to()) {
            probe(env, &me, &item.jid).await;
        }
    }
}

/// Whether presence for that contact goes to sessions that nodes of this cluster have, and there are several.
fn is_account(env: &Env, contact: &Jid) -> bool {
    env.cluster.is_some()
        && contact.is_bare()
        && contact.node().is_some()
        && env.hosts.find(contact).is_some()
}

async fn add(env: &Env, groups: &mut Groups, contact: &Jid) {
    if let Some(cluster) = &env.cluster {
        groups.add(env, cluster, contact).await;
    }
}

/// The client sees the user's resources on other nodes.
async fn see_others(env: &Arc<Env>, resource: &Arc<Resource>) {
    let (me, user) = (resource.jid().clone().into(), resource.user());
    let (others, _) =
        crate::remote::outbound::shown_there(env, &me, std::slice::from_ref(user)).await;
    for theirs in others.into_iter().filter_map(|one| one.presence) {
        drop(resource.deliver(theirs.with_to(Some(me.clone()))));
    }
}

/// A session goes on in a process that does not have all whom it saw: it hears who of them is gone, be it the user's own other
/// resources or some of a contact's, and sees those anew who are there.
pub async fn look_around(env: &Arc<Env>, resource: &Arc<Resource>) {
    let me: Jid = resource.jid().clone().into();
    // other domains and services know who of their own is gone
    for seen in resource.seen().into_iter().filter(|jid| env.hosts.find(jid).is_some()) {
        if !shows_itself(env, &seen, &me).await {
            send(env, gone_of(&seen).with_to(Some(me.clone()))).await;
        }
    }
    if resource.priority().is_none() {
        return;
    }
    for other in here(env, resource.user()).iter().filter(|other| other.id() != resource.id()) {
        if let Some((theirs, _)) = other.presence() {
            drop(resource.deliver(theirs.with_to(Some(me.clone()))));
        }
    }
    see_others(env, resource).await;
    let Some(roster) = contacts(env, resource.user()).await else { return };
    let seen = roster.items.iter().filter(|i| i.subscription.has_to() && !resource.blocks(&i.jid));
    for item in seen {
        probe(env, &me, &item.jid).await;
    }
}

/// Whether a session of that address is there that `to` sees: by its broadcasts, or by directed presence (section 4.6). It may be
/// of somebody else than the one that had the address before. Of one that its node says nothing of it is believed.
async fn shows_itself(env: &Arc<Env>, jid: &Jid, to: &Jid) -> bool {
    let user = jid.bare();
    let (all, silent) = shown(env, to, std::slice::from_ref(&user)).await;
    let Some(one) = all.into_iter().find(|one| one.jid == *jid) else { return !silent.is_empty() };
    if one.blocks {
        return false;
    }
    one.directs
        || one.presence.is_some()
            && (to.bare() == user || may(env, &user, to).await == Flow::Continue)
}

/// A session can be resumed from here on, and its client sees others already: see [`Resource::seen`].
pub async fn note_seen(env: &Arc<Env>, resource: &Arc<Resource>) {
    let me: Jid = resource.jid().clone().into();
    let mut users = vec![resource.user().clone()];
    if let Some(roster) = contacts(env, resource.user()).await {
        let seen = roster.items.iter().filter(|i| i.subscription.has_to());
        users.extend(seen.filter(|i| !resource.blocks(&i.jid)).map(|i| i.jid.bare()));
    }
    let (all, _) = shown(env, &me, &users).await;
    for other in all.iter().filter(|one| one.presence.is_some() && !one.blocks) {
        resource.sees(&other.jid);
    }
}

async fn probe(env: &Arc<Env>, from: &Jid, to: &Jid) {
    let probe = Stanza::presence(Type::Probe);
    send(env, probe.with_from(Some(from.clone())).with_to(Some(to.clone()))).await;
}

/// The roster of a user, to tell its contacts something. Without it they are not told.
async fn contacts(env: &Env, user: &BareJid) -> Option<Arc<Roster>> {
    let roster = env.stores.rosters.get(user).await;
    let told = |error| tracing::warn!(%user, %error, "contacts are not told of a presence");
    roster.map_err(told).ok()
}

/// Sends one available presence. `false`: the resource is not available any more. Whoever ended it, or blocked that
/// contact, may have told it before this was sent: it is told once more.
async fn seen(env: &Arc<Env>, resource: &Resource, presence: Stanza) -> bool {
    if resource.priority().is_none() {
        return false;
    }
    let gone = Stanza::presence(Type::Unavailable)
        .with_from(presence.head.from.clone())
        .with_to(presence.head.to.clone());
    send(env, presence).await;
    let lives = resource.priority().is_some();
    if !lives || gone.head.to.as_ref().is_some_and(|to| resource.blocks(to)) {
        send(env, gone).await;
    }
    lives
}

/// The same for a contact's sessions here alone.
fn seen_here(env: &Arc<Env>, resource: &Resource, presence: &Stanza) -> bool {
    let Some(to) = presence.head.to.clone().filter(|_| resource.priority().is_some()) else {
        return false;
    };
    to_available_here(env, &to.bare(), presence);
    let lives = resource.priority().is_some();
    if !lives || resource.blocks(&to) {
        let gone = gone_of(&resource.jid().clone().into());
        to_available_here(env, &to.bare(), &gone.with_to(Some(to)));
    }
    lives
}

/// Section 4.5: `resource` is unavailable, and whoever saw it learns that, once.
pub async fn gone(env: &Arc<Env>, resource: &Arc<Resource>, presence: &Stanza) {
    let Some(Remains { presence: before, directed }) = resource.untold() else { return };
    let seen = before.is_some() || !directed.is_empty();
    let mut told = HashSet::new();
    if before.is_some() {
        if let Some(roster) = contacts(env, resource.user()).await {
            let contacts = roster.items.iter().filter(|i| i.subscription.has_from());
            let mut groups = Groups::default();
            for item in contacts.filter(|i| !resource.blocks(&i.jid)) {
                let presence = presence.with_to(Some(item.jid.clone()));
                if is_account(env, &item.jid) {
                    add(env, &mut groups, &item.jid).await;
                    to_available_here(env, &item.jid.bare(), &presence);
                } else {
                    send(env, presence).await;
                }
                if !directed.is_empty() {
                    told.insert(item.jid.bare_jid());
                }
            }
            if let Some(cluster) = &env.cluster {
                groups.send(env, cluster, presence);
            }
        }
        to_own(env, resource.user(), presence).await;
        for other in here(env, resource.user()) {
            if other.priority().is_some() || other.id() == resource.id() {
                drop(other.deliver(presence.with_to(Some(other.jid().clone().into()))));
            }
        }
        if !directed.is_empty() {
            told.insert(resource.user().clone().into());
        }
    }
    // section 4.6.3: not twice
    for to in directed.iter().filter(|to| !told.contains(&to.bare_jid())) {
        if !resource.blocks(to) {
            send(env, presence.with_to(Some(to.clone()))).await;
        }
    }
    for row in &env.hooks().unavailable {
        (row.run)(env, resource, Some(presence).filter(|_| seen)).await;
    }
    resource.told();
}
