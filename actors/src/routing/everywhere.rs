//! What is for sessions of a user, or asked of them, wherever they are: here, and on other nodes.

use super::{
    Trip,
    elsewhere::hand,
    whereabouts::{
        divert_here, is_here, others_here, to_available_here, to_marked_here, to_non_negative_here,
    },
};
use crate::{
    env::Env,
    future::BoxFuture,
    remote::{
        self, Cluster, done,
        outbound::{Located, elsewhere, known, locate, send_to_sessions, shown_here, shown_there},
        start_of,
        wire::{Leg, Shown, Whom},
    },
    resource::Resource,
};
use cluster::Start;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// How long pushes to other nodes are waited for.
const PUSHED: Duration = Duration::from_secs(1);

/// Delivers a stanza to each available resource of a user. Those that refuse it go without.
pub fn to_available(env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> Option<BoxFuture<()>> {
    to_available_here(env, user, stanza);
    to_others(env, user, Whom::Available, stanza)
}

/// Delivers a stanza to each resource of a user that takes messages for the account (RFC 6121 section 8.5.2.1.1).
pub(super) fn to_non_negative(
    env: &Arc<Env>,
    user: &BareJid,
    stanza: &Stanza,
) -> Option<BoxFuture<()>> {
    to_non_negative_here(env, user, stanza);
    to_others(env, user, Whom::NonNegative, stanza)
}

fn to_others(env: &Arc<Env>, user: &BareJid, whom: Whom, stanza: &Stanza) -> Option<BoxFuture<()>> {
    let cluster = env.cluster.as_ref()?;
    if let Some(records) = env.registry.cached(user.as_str()) {
        let located = Located::Known(records);
        send_to_sessions(env, cluster, &located, (user, &whom, false), stanza);
        return None;
    }
    let (env, cluster) = (Arc::clone(env), Arc::clone(cluster));
    let (user, stanza) = (user.clone(), stanza.clone());
    Some(Box::pin(async move {
        let located = locate(&env, &cluster, &user).await;
        send_to_sessions(&env, &cluster, &located, (&user, &whom, false), &stanza);
    }))
}

/// The user's other resources get their own copy of a presence of one of them.
pub(super) async fn to_own(env: &Env, user: &BareJid, presence: &Stanza) {
    let Some(cluster) = &env.cluster else { return };
    let located = known(env, cluster, user).await;
    send_to_sessions(env, cluster, &located, (user, &Whom::Available, true), presence);
}

/// Delivers a stanza to each resource of `user` that has the mark (e.g. roster pushes); `each`: addressed to it. Returns when those on
/// other nodes have it too, or their nodes take too long.
pub async fn to_marked(env: &Env, user: &BareJid, mark: &str, each: bool, stanza: &Stanza) {
    to_marked_here(env, user, mark, each, stanza);
    let Some(cluster) = &env.cluster else { return };
    let located = known(env, cluster, user).await;
    let whom = Whom::Marked(mark.to_owned());
    done(send_to_sessions(env, cluster, &located, (user, &whom, each), stanza), PUSHED).await;
}

/// Whether the user has a session.
pub async fn is_connected(env: &Env, user: &BareJid) -> bool {
    if is_here(env, user) {
        return true;
    }
    let Some(cluster) = &env.cluster else { return false };
    let located = known(env, cluster, user).await.records();
    elsewhere(cluster, &located).next().is_some()
}

/// Whether another resource of the user is available.
pub async fn others_available(env: &Env, resource: &Resource) -> bool {
    if others_here(env, resource) {
        return true;
    }
    let Some(cluster) = &env.cluster else { return false };
    let located = known(env, cluster, resource.user()).await.records();
    elsewhere(cluster, &located).any(|record| record.priority.is_some())
}

/// Offline storage keeps a message that came before what waits for the user: its best resource looks there first.
/// See [`Resource::divert`].
pub async fn divert(env: &Env, user: &BareJid, module: &'static str, id: u64) {
    divert_here(env, user, module, id);
    remote::outbound::divert(env, user, module, id).await;
}

/// What `by` sees of the sessions of users, those here first; and nodes that may have some, and do not say.
pub(crate) async fn shown(env: &Env, by: &Jid, users: &[BareJid]) -> (Vec<Shown>, BTreeSet<Start>) {
    let mut all = shown_here(env, by, users);
    let (there, silent) = shown_there(env, by, users).await;
    all.extend(there);
    (all, silent)
}

/// A module has changed data of a user, and tells the nodes with sessions of theirs ([`told`](crate::hooks::HookTable::told)). Returns
/// when they know, or take too long.
pub async fn changed(env: &Env, user: &BareJid, module: &str, what: Vec<u8>) {
    remote::outbound::tell(env, user, module, what).await;
}

/// A client elsewhere is told that something failed which it sent.
pub(super) fn tell(env: &Arc<Env>, to: &Jid, reply: Stanza) -> Option<BoxFuture<()>> {
    let cluster = env.cluster.as_ref()?;
    let (env, cluster, to) = (Arc::clone(env), Arc::clone(cluster), to.clone());
    Some(Box::pin(async move {
        if let Some(later) = told(&env, &cluster, &to, reply).await {
            later.await;
        }
    }))
}

async fn told(
    env: &Arc<Env>,
    cluster: &Arc<Cluster>,
    to: &Jid,
    reply: Stanza,
) -> Option<BoxFuture<()>> {
    let (user, name) = (to.bare(), to.resource()?);
    let located = known(env, cluster, &user).await.records();
    let record = elsewhere(cluster, &located).find(|record| &*record.resource == name)?;
    let leg = (start_of(record), Leg::Failure);
    hand(env, cluster, leg, &user, reply, Trip::IN_ORDER)
}
