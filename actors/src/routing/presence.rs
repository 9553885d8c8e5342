//! Presence on its way: to contacts, from contacts, probes (RFC 6121 section 4).

use super::{may, route, send};
use crate::{env::Env, hooks::Flow, resource::Resource, session::effects::BoxFuture};
use std::sync::Arc;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::{Stanza, Type},
};

/// A presence for an account.
pub(super) fn to_account(env: &Arc<Env>, user: BareJid, stanza: Stanza) -> Option<BoxFuture<()>> {
    match stanza.head.ty {
        // section 8.5.2.1.2: to all available resources
        Type::Available | Type::Unavailable => {
            for resource in env.table.resources(&user) {
                if resource.priority().is_some() {
                    drop(resource.deliver(stanza.clone()));
                }
            }
            None
        }
        Type::Probe => {
            let from = stanza.head.from.clone()?;
            let env = Arc::clone(env);
            Some(Box::pin(async move { probe(&env, &from, &user).await }))
        }
        ty if ty.is_subscription() => {
            let env = Arc::clone(env);
            Some(Box::pin(async move { subscription(&env, &user, stanza).await }))
        }
        _ => None,
    }
}

/// Section 3: the modules keep the state; if none stops it, it is for the available resources.
async fn subscription(env: &Arc<Env>, user: &BareJid, stanza: Stanza) {
    for row in &env.hooks().subscription_in {
        if (row.run)(env, user, &stanza).await == Flow::Stop {
            return;
        }
    }
    for resource in env.table.resources(user) {
        if resource.priority().is_some() {
            drop(resource.deliver(stanza.clone()));
        }
    }
}

/// Section 4.3.2: answers a probe of `from` for `user`.
pub async fn probe(env: &Arc<Env>, from: &Jid, user: &BareJid) {
    if may(env, user, from).await == Flow::Stop {
        // a resource that `from` already sees by directed presence stays visible
        let seen = env.table.resources(user);
        let seen = seen.iter().filter(|r| r.directed_has(from));
        for (presence, _) in seen.filter_map(|r| r.presence()) {
            send(env, presence.with_to(Some(from.clone()))).await;
        }
        return;
    }
    let mut none = true;
    for resource in env.table.resources(user) {
        if let Some((presence, _)) = resource.presence() {
            none = false;
            send(env, presence.with_to(Some(from.clone()))).await;
        }
    }
    if none {
        let gone = Stanza::presence(Type::Unavailable)
            .with_from(Some(user.clone().into()))
            .with_to(Some(from.clone()));
        send(env, gone).await;
    }
}

/// Sections 4.2.2 and 4.4.2: available presence of `resource`, to its contacts and to the user's
/// other resources; with the initial one also probes and what the others' presence is.
pub async fn broadcast(env: &Arc<Env>, resource: &Arc<Resource>, presence: &Stanza, initial: bool) {
    let me: Jid = resource.jid().clone().into();
    if let Ok(roster) = env.stores.rosters.get(resource.user()).await {
        for item in roster.items.iter().filter(|i| i.subscription.has_from()) {
            send(env, presence.with_to(Some(item.jid.clone()))).await;
        }
        if initial {
            for item in roster.items.iter().filter(|i| i.subscription.has_to()) {
                let probe = Stanza::presence(Type::Probe)
                    .with_from(Some(me.clone()))
                    .with_to(Some(item.jid.clone()));
                send(env, probe).await;
            }
        }
    }
    for other in env.table.resources(resource.user()) {
        if other.priority().is_none() {
            continue;
        }
        drop(other.deliver(presence.with_to(Some(other.jid().clone().into()))));
        if initial
            && other.id() != resource.id()
            && let Some((theirs, _)) = other.presence()
        {
            drop(resource.deliver(theirs.with_to(Some(me.clone()))));
        }
    }
}

/// Section 4.5: `resource` is unavailable. `was`: it had been available to its contacts;
/// `directed`: who else saw it.
pub async fn gone(
    env: &Arc<Env>,
    resource: &Arc<Resource>,
    presence: &Stanza,
    was: bool,
    directed: &[Jid],
) {
    if was {
        if let Ok(roster) = env.stores.rosters.get(resource.user()).await {
            for item in roster.items.iter().filter(|i| i.subscription.has_from()) {
                send(env, presence.with_to(Some(item.jid.clone()))).await;
            }
        }
        for other in env.table.resources(resource.user()) {
            if other.priority().is_some() || other.id() == resource.id() {
                drop(other.deliver(presence.with_to(Some(other.jid().clone().into()))));
            }
        }
    }
    for to in directed {
        if let Some(later) = route(env, presence.with_to(Some(to.clone()))) {
            later.await;
        }
    }
    for row in &env.hooks().unavailable {
        (row.run)(env, resource, Some(presence)).await;
    }
}
