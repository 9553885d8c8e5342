//! Where a user is on this node: the one door between whoever sends and the table of sessions; nobody else in `routing` and no module
//! looks into the table. Over all nodes: [`super::everywhere`], [`super::elsewhere`].

use super::trip::Trip;
use crate::{
    env::Env,
    resource::{Owner, PATIENCE, Refused, Resource, Standing},
};
use std::sync::Arc;
use tokio::time::timeout;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// The sessions of a user on this node, those that wait to be resumed too, in the order in which they were bound.
pub fn here(env: &Env, user: &BareJid) -> Vec<Arc<Resource>> {
    let here =
        |all: &[Arc<Resource>]| all.iter().filter(|r| r.owner() != Owner::Ended).cloned().collect();
    env.table.with_user(user, here)
}

/// Whether the user has a session here.
pub(super) fn is_here(env: &Env, user: &BareJid) -> bool {
    env.table.with_user(user, |all| all.iter().any(|r| r.owner() != Owner::Ended))
}

/// Whether a session of that full address is here.
pub(super) fn lives(env: &Env, jid: &Jid) -> bool {
    session_of(env, jid).is_some_and(|resource| resource.owner() != Owner::Ended)
}

/// Whether another resource of the user is available here.
pub(super) fn others_here(env: &Env, resource: &Resource) -> bool {
    let other = |r: &Arc<Resource>| r.id() != resource.id() && r.priority().is_some();
    env.table.with_user(resource.user(), |all| all.iter().any(other))
}

/// Delivers a stanza to each available resource of a user here. Those that refuse it go without.
pub(crate) fn to_available_here(env: &Env, user: &BareJid, stanza: &Stanza) {
    for resource in env.table.resources(user) {
        if resource.priority().is_some() {
            drop(resource.deliver(stanza.clone()));
        }
    }
}

/// Delivers a stanza to each resource of a user here that takes messages for the account: available, of no negative
/// priority (RFC 6121 section 8.5.2.1.1). Those that refuse it go without.
pub(crate) fn to_non_negative_here(env: &Env, user: &BareJid, stanza: &Stanza) {
    for resource in env.table.resources(user) {
        if resource.priority().is_some_and(|priority| priority >= 0) {
            drop(resource.deliver(stanza.clone()));
        }
    }
}

/// Delivers a stanza to each resource of `user` here that has the mark; `each`: addressed to it.
pub(crate) fn to_marked_here(env: &Env, user: &BareJid, mark: &str, each: bool, stanza: &Stanza) {
    for resource in env.table.resources(user) {
        if resource.marked(mark) {
            let to = |resource: &Resource| stanza.with_to(Some(resource.jid().clone().into()));
            let stanza = if each { to(&resource) } else { stanza.clone() };
            drop(resource.deliver(stanza));
            if resource.changes() {
                // nobody says it again
                env.managers.changed(&resource);
            }
        }
    }
}

/// Why a resource did not get a stanza.
#[derive(Debug)]
pub enum Missed {
    /// Nobody has this full JID.
    Nobody(Stanza),
    /// It does not take it.
    Refused(Refused),
    /// It takes it when it is in the store.
    Unstored(Arc<Resource>, Stanza),
}

/// Delivers a stanza to the resource of that name.
///
/// # Errors
/// The stanza comes back when there is no such resource, or it does not take it.
pub fn to_resource(
    env: &Env,
    user: &BareJid,
    resource: &str,
    stanza: Stanza,
) -> Result<(), Missed> {
    match env.table.find(user, resource) {
        Some(found) => found.deliver(stanza).map_err(|why| match why {
            Refused::Unstored(stanza) => Missed::Unstored(found, stanza),
            why => Missed::Refused(why),
        }),
        None => Err(Missed::Nobody(stanza)),
    }
}

/// The session of that full address.
pub(super) fn session_of(env: &Env, jid: &Jid) -> Option<Arc<Resource>> {
    env.table.find(&jid.bare(), jid.resource()?)
}

/// Offline storage keeps a message that came before what waits for the user: its best resource looks there first.
/// See [`Resource::divert`].
pub(crate) fn divert_here(env: &Env, user: &BareJid, module: &'static str, id: u64) {
    let all = env.table.with_user(user, <[_]>::to_vec);
    for ended in all.iter().filter(|r| r.owner() == Owner::Ended) {
        ended.divert(module, id);
    }
    let takes = all.iter().filter_map(|r| Some((r.priority().filter(|p| *p >= 0)?, r)));
    if let Some((_, best)) = takes.max_by_key(|(priority, _)| *priority) {
        best.divert(module, id);
    }
}

/// Resolves when nothing is left of sessions of the user that ended, or after [`PATIENCE`].
pub(crate) async fn none_leaves(env: &Env, user: &BareJid) {
    let leaving = |all: &[Arc<Resource>]| -> Vec<_> {
        all.iter().filter(|r| r.standing() == Standing::Leaving).cloned().collect()
    };
    let leaving = env.table.with_user(user, leaving);
    let all_over = async {
        for session in &leaving {
            session.is_over().await;
        }
    };
    // an error: it has been waited for long enough
    drop(timeout(PATIENCE, all_over).await);
}

/// Who takes a message for an account.
pub(super) enum Best {
    /// These.
    Of(Vec<Arc<Resource>>),
    /// That is to be seen when what this one leaves behind is on its way.
    After(Arc<Resource>),
}

/// The resources of the highest priority, none below 0 (RFC 6121 section 8.5.2.1.1, option of the
/// most available resource; equal ones all count), in the order in which they were bound.
pub(super) fn best(env: &Env, user: &BareJid, trip: Trip) -> Best {
    env.table.with_user(user, |all| most_available(all, trip))
}

fn most_available(resources: &[Arc<Resource>], trip: Trip) -> Best {
    let (mut top, mut best) = (0, Vec::new());
    for resource in resources {
        match resource.standing() {
            Standing::Leaving if !trip.now && !trip.waited => {
                return Best::After(Arc::clone(resource));
            }
            Standing::Available(priority) if priority >= top => {
                if priority > top {
                    best.clear();
                    top = priority;
                }
                best.push(Arc::clone(resource));
            }
            _ => {}
        }
    }
    Best::Of(best)
}
