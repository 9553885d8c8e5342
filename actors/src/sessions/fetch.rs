//! A client wants to resume a session that is not here: it is asked for at the node that has it, and comes from the store, also when that
//! node says nothing.

use super::{
    claim::{Claim, ResumeError},
    moving::{on_its_way, take_back},
    restore::{go_on_with, is_here},
};
use crate::{
    env::Env,
    remote::{Cluster, outbound, wire::Given},
    resource::Owner,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use storage::{StoreError, StoredSession, node_of};
use supervision::Node;
use tokio::{sync::oneshot, time::timeout};
use xmpp::jid::BareJid;

/// How long a client waits for its session: it is to hear something.
const WAITS: Duration = Duration::from_millis(4_500);

/// How often it is looked for that goes from one node to the next meanwhile.
const TRIES: usize = 4;

/// Another node offers a session of which its client may be anywhere: it waits here from now on. Whether it does.
pub(crate) async fn take(env: &Arc<Env>, user: &BareJid, token: &str) -> bool {
    // where its client is by now it stays
    comes(env, user, (token, 1), None).await.is_ok()
}

/// The session of that token for its client, wherever it is.
///
/// # Errors
/// See [`comes`].
pub(super) async fn claim(
    env: &Arc<Env>,
    user: &BareJid,
    token: &str,
) -> Result<Claim, ResumeError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match env.managers.claim(user, token).await {
            // another node, to which it is offered, may have it by now
            Err(ResumeError::Unknown(handled)) if tries <= TRIES => {
                comes(env, user, (token, TRIES), handled).await?;
            }
            answer => return answer,
        }
    }
}

/// Resolves when the session is here. What is begun goes on when the client is gone meanwhile. `handled`: what is known here of one that
/// nobody resumed in time.
///
/// # Errors
/// When there is none that may come, or it is not known in time.
async fn comes(
    env: &Arc<Env>,
    user: &BareJid,
    (token, most): (&str, usize),
    handled: Option<u32>,
) -> Result<(), ResumeError> {
    if env.cluster.is_none() && env.departed.is_empty() {
        return Err(ResumeError::Unknown(handled));
    }
    let (tell, told) = oneshot::channel();
    let work = {
        let (env, user, token) = (Arc::clone(env), user.clone(), token.to_owned());
        async move {
            let came = fetch(&env, &user, &token, most).await.unwrap_or_else(|error| {
                tracing::warn!(%user, %error, "a session cannot be looked for");
                Err(ResumeError::Unavailable)
            });
            // whoever asked may be gone
            tell.send(came).unwrap_or_default();
        }
    };
    env.managers.finish(user, Box::pin(work));
    match timeout(WAITS, told).await {
        Ok(Ok(Err(ResumeError::Unknown(None)))) => Err(ResumeError::Unknown(handled)),
        Ok(Ok(came)) => came,
        _ => Err(ResumeError::Unavailable),
    }
}

/// Whether it has come, or may be tried. While it is looked for it may go over to yet another node, which has it then.
async fn fetch(
    env: &Arc<Env>,
    user: &BareJid,
    token: &str,
    most: usize,
) -> Result<Result<(), ResumeError>, StoreError> {
    let mut tries = 0;
    loop {
        let mut seen = Seen::default();
        let came = fetch_once(env, user, token, &mut seen).await?;
        tries += 1;
        if !matches!(came, Err(ResumeError::Unknown(_))) {
            return Ok(came);
        }
        let now = env.stores.sessions.find(user, token).await?;
        let now = now.map(|session| session.key);
        if now.is_none() || now == seen.key || tries >= most {
            tracing::info!(%user, ?seen, ?now, tries, "a session that is to be resumed is not there");
            // another node was faster: its client is not to forget it, and may try again
            let goes_on = seen.lost && now.is_some();
            return Ok(if goes_on { Err(ResumeError::Unavailable) } else { came });
        }
    }
}

/// What was found of a session.
#[derive(Debug, Default)]
struct Seen {
    /// The key under which the store had it.
    key: Option<String>,
    /// Another node adopted it.
    lost: bool,
}

async fn fetch_once(
    env: &Arc<Env>,
    user: &BareJid,
    token: &str,
    seen: &mut Seen,
) -> Result<Result<(), ResumeError>, StoreError> {
    if let Some(resource) = on_its_way(env, user, token) {
        take_back(env, &resource).await;
        if resource.owner() != Owner::Ended {
            return Ok(Ok(()));
        }
    }
    let mut asked = match &env.cluster {
        Some(cluster) => outbound::ask_for(env, cluster, user, token).await,
        None => BTreeMap::new(),
    };
    let find = || env.stores.sessions.find(user, token);
    let Some(mut session) = find().await? else { return Ok(Err(unknown(&asked))) };
    if let Some(cluster) = &env.cluster
        && let Some(owner) = owner(cluster, &session).filter(|owner| !asked.contains_key(owner))
    {
        // the registry did not know
        asked.insert(owner, outbound::ask_one(cluster, owner, user, token).await);
        let Some(latest) = find().await? else { return Ok(Err(unknown(&asked))) };
        session = latest;
    }
    seen.key = Some(session.key.clone());
    if is_here(env, &session) {
        return Ok(Ok(()));
    }
    if let Err(error) = may_come(env, &session, &asked) {
        return Ok(Err(error));
    }
    if go_on_with(env, &session).await? {
        env.metrics.restored();
        return Ok(Ok(()));
    }
    // another question of the same client may have been faster
    seen.lost = !is_here(env, &session);
    Ok(if seen.lost { Err(ResumeError::Unknown(None)) } else { Ok(()) })
}

/// The other node whose session that is, if it is alive.
fn owner(cluster: &Cluster, session: &StoredSession) -> Option<Node> {
    let node = Node::new(node_of(&session.key)?).ok()?;
    cluster.view.other(node).map(|other| other.member.node)
}

/// Whether the session is anybody's who adopts it: the node that has it has put it there, is gone, or says nothing.
fn may_come(
    env: &Env,
    session: &StoredSession,
    asked: &BTreeMap<Node, Option<Given>>,
) -> Result<(), ResumeError> {
    let Some(name) = node_of(&session.key) else { return Err(ResumeError::Unknown(None)) };
    if env.departed.has(name) {
        return Ok(());
    }
    let Some(cluster) = &env.cluster else { return Err(ResumeError::Unknown(None)) };
    if *cluster.view.me().node.name() == *name {
        // it is just ending
        return Err(ResumeError::Unknown(None));
    }
    match owner(cluster, session).and_then(|owner| asked.get(&owner).copied().flatten()) {
        Some(Given::Unknown(handled)) => Err(ResumeError::Unknown(handled)),
        Some(Given::Busy) => Err(ResumeError::Unavailable),
        Some(Given::Parked) | None => Ok(()),
    }
}

/// There is none: how much of it was handled, if a node knows.
fn unknown(asked: &BTreeMap<Node, Option<Given>>) -> ResumeError {
    let handled = asked.values().find_map(|given| match given {
        Some(Given::Unknown(handled)) => *handled,
        _ => None,
    });
    let busy = asked.values().any(|given| *given == Some(Given::Busy));
    if busy { ResumeError::Unavailable } else { ResumeError::Unknown(handled) }
}
