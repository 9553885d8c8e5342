//! Who has which session: binding, resuming, losing and ending them.
//!
//! Here is what others ask for; the managers' addresses are [`managers`], what these write and everybody
//! reads is the [`table`], and what becomes of a session that ended is in [`end`](mod@end).

mod calm;
pub mod check;
pub mod claim;
mod confirm;
pub(crate) mod departed;
mod drain;
mod end;
mod ends;
mod fetch;
mod manager;
pub mod managers;
mod moving;
#[cfg(test)]
mod order;
pub(crate) mod park;
mod past;
mod registry;
mod restore;
mod sleep;
pub mod table;
#[cfg(test)]
mod tests;
mod unfinished;
mod windows;
mod work;
mod writer;

pub use calm::{admits, calm};
pub use claim::{Attached, BindError, Claim, ResumeError};
pub use confirm::confirmer;
pub(crate) use confirm::{ask_again, look_again, republish};
pub(crate) use drain::drainer;
pub use end::end;
pub(crate) use fetch::take;
pub use manager::spec;
pub(crate) use moving::{give, is_elsewhere};
pub(crate) use park::{acknowledge, forget_received, note, sent_to_any};
pub use registry::publish_priority;
pub(crate) use registry::turn;
pub use restore::{restored, take_over};

use crate::{
    env::Env,
    future::BoxFuture,
    remote::{Elsewhere, outbound},
    resource::{Ended, FrozenWaiting, Owner, PATIENCE, Resource},
};
use managers::{DEADLINE, Msg};
use std::{sync::Arc, time::Duration};
use supervision::CallError;
use thiserror::Error;
use tokio::time::timeout;
use xmpp::jid::{BareJid, FullJid};

/// How long a session that goes on here waits for the node before to have let go of it.
const LEFT: Duration = Duration::from_secs(2);

/// Binds a resource for `user` (RFC 6120 section 7).
///
/// # Errors
/// When there are too many, or nobody answers.
pub async fn bind(
    env: &Arc<Env>,
    user: &BareJid,
    wanted: Option<FullJid>,
) -> Result<Claim, BindError> {
    let place = env.managers.of(user).ok_or(BindError::Unavailable)?;
    let manager = place.address().ok_or(BindError::Unavailable)?;
    let ask = || {
        let (user, wanted) = (user.clone(), wanted.clone());
        manager.call(|reply| Msg::Bind(user, wanted, reply), DEADLINE)
    };
    let mut answer = ask().await.map_err(|_: CallError| BindError::Unavailable)?;
    if let (Err(BindError::TooMany), Some(cluster)) = (&answer, &env.cluster)
        && outbound::make_room(env, cluster, user, 1).await > 0
    {
        answer = ask().await.map_err(|_: CallError| BindError::Unavailable)?;
    }
    let (claim, before, elsewhere) = answer?;
    // that they are gone is seen before anything of the new one
    let gone = async {
        for one in &before {
            one.is_told().await;
        }
        // what those before it leave behind goes on meanwhile
        if let Some(last) = before.last().filter(|last| last.ended() == Some(Ended::Conflict)) {
            last.is_over().await;
        }
    };
    drop(timeout(PATIENCE, gone).await);
    end_elsewhere(env, claim.resource(), &elsewhere).await;
    Ok(claim)
}

/// Ends the session of another node that had the name of one that was bound here.
async fn end_elsewhere(env: &Env, resource: &Resource, elsewhere: &Elsewhere) {
    let (Some(cluster), user) = (&env.cluster, resource.user()) else { return };
    let records = match elsewhere {
        Elsewhere::Nobody => return,
        Elsewhere::One(record, _) => Arc::new([record.clone()]),
        Elsewhere::Unknown(_) => outbound::locate(env, cluster, user).await.records(),
    };
    let name = resource.jid().resource();
    for record in outbound::elsewhere(cluster, &records).filter(|r| &*r.resource == name) {
        // what comes for the user meanwhile is newer than what that one leaves behind
        let _coming = cluster.awaits(user);
        outbound::end(env, cluster, user, Some(record), Ended::Conflict).await;
    }
}

/// Resumes a session of `user` (XEP-0198 section 5).
///
/// # Errors
/// When there is none, nobody answers, or what the connection before is still at takes too long.
pub async fn resume(env: &Arc<Env>, user: &BareJid, token: &str) -> Result<Claim, ResumeError> {
    let claim = fetch::claim(env, user, token).await?;
    // what the connection before is still at counts as handled: that is said when it is, and what the client sends now
    // does not overtake it
    if !claim.resource().before_is_done().await {
        return Err(ResumeError::Unavailable);
    }
    sleep::wake_up(env, &claim).await;
    Ok(claim)
}

/// The connection of a detached resource is gone without having ended it. Never waits.
pub fn lost(env: &Env, resource: Arc<Resource>) {
    if let Some(manager) = env.managers.of(resource.user()) {
        manager.lost(resource, None);
    }
}

/// Whether the user has a session that could be resumed.
pub fn can_resume(env: &Env, user: &BareJid) -> bool {
    let resumable =
        |r: &Arc<Resource>| r.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.is_some()));
    env.table.with_user(user, |all| all.iter().any(resumable))
}

/// Has finished what a connection of `user` had begun that is gone, by a task of its own. Never waits.
pub fn finish(env: &Env, user: &BareJid, work: BoxFuture<()>) {
    env.managers.finish(user, work);
}

/// Ends a session; its connection tells the client why.
pub async fn kick(env: &Arc<Env>, resource: &Arc<Resource>, why: Ended) {
    let begun = match env.managers.of(resource.user()).and_then(|place| place.address()) {
        Some(manager) => {
            let resource = Arc::clone(resource);
            manager.call(|reply| Msg::End(resource, why, Some(reply)), DEADLINE).await.is_ok()
        }
        None => false,
    };
    if begun {
        resource.is_over().await;
    } else {
        end(env, resource, why).await;
    }
}

/// The store is to have a session although it is connected, if it is to have such.
fn keep(env: &Env, resource: &Resource) {
    if let Some(place) = env.managers.of(resource.user()).filter(|_| resource.is_kept()) {
        // who writes needs somebody who knows what is worth it
        let behind = env.hooks().keeper.as_ref().map(|_| Arc::clone(&place.dirty));
        resource.keep_as(|| env.token(), behind);
    }
}

/// Puts a resource that is to go on here into the table: before others know that it is here.
fn enter(env: &Env, resource: &Arc<Resource>) {
    keep(env, resource);
    resource.is_told_again();
    env.table.insert(Arc::clone(resource));
}

/// Puts a resource that came from another process into the table and the registry, in place of
/// the session it was before.
pub async fn adopt(env: &Arc<Env>, resource: &Arc<Resource>) {
    enter(env, resource);
    match registry::bind(env, resource, usize::MAX).await {
        // a node that hangs does it when it can
        Ok(elsewhere) => drop(timeout(LEFT, end_elsewhere(env, resource, &elsewhere)).await),
        Err(error) => tracing::warn!(%error, "the registry was not told of an adopted session"),
    }
}

/// Puts a session from another process into table and registry that waits to be resumed, for `left` more.
pub(crate) async fn adopt_waiting(env: &Arc<Env>, resource: Arc<Resource>, left: Duration) {
    adopt(env, &resource).await;
    if let Some(manager) = env.managers.of(resource.user()) {
        manager.lost(resource, Some(left));
    }
}

/// Why sessions cannot move to another process.
#[derive(Clone, Debug, Error)]
pub enum FreezeError {
    /// A session that ended has left something behind, which goes on its way first and cannot move.
    #[error("the session {0} has ended and still has messages")]
    Leaving(FullJid),
    /// A manager does not answer.
    #[error("a session manager does not answer: {0}")]
    Manager(#[from] CallError),
}

/// The sessions that wait to be resumed, as data.
///
/// # Errors
/// When a manager does not answer, or sessions that ended still have messages.
pub(crate) async fn freeze(env: &Arc<Env>) -> Result<Vec<FrozenWaiting>, FreezeError> {
    for resource in env.table.all() {
        let over = !resource.is_moving()
            && resource.store_is_told().await
            && (resource.owner() != Owner::Ended || resource.is_over().await);
        if !over {
            return Err(FreezeError::Leaving(resource.jid().clone()));
        }
    }
    let mut waiting = Vec::new();
    for manager in env.managers.all() {
        waiting.extend(manager.call(Msg::Freeze, DEADLINE).await?);
    }
    Ok(waiting)
}

/// Forgets all sessions without a word to anybody, since another process goes on with them.
pub(crate) fn let_go(env: &Env) {
    for resource in env.table.all() {
        env.table.remove(&resource);
        resource.let_go();
    }
}
