//! A process goes on with sessions that the store has: with its own when it starts, and with those of another node that is gone.

use super::{
    LEFT,
    departed::Departing,
    end_elsewhere, enter,
    moving::gives_way,
    park::{PAGE, PAGE_BYTES, forget_received},
    registry::takes_over,
};
use crate::{
    env::Env,
    resource::{
        FrozenWaiting, Owner, Resource, Shares, WakeError, from_store, sent_from_store, woken,
    },
    routing,
};
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc, time::Duration};
use storage::{OfflineMessage, StoreError, StoredSession, Whose, node_of, token_of};
use supervision::{ChildSpec, Cx, Exit, InitError, Process, Restart};
use tokio::time::timeout;

/// How often a store that is away is asked whether it is back.
const AGAIN: Duration = Duration::from_secs(1);

/// Goes on with the sessions that waited when the node stopped, however it did: a child that has its place before those who
/// let clients in. While the store is away it waits for it, and nobody is let in ([`Env::is_restoring`]). A process that was
/// handed the sessions of another has none.
pub fn restored(env: &Arc<Env>) -> ChildSpec {
    let (env, seen) = (Arc::clone(env), Arc::new(Mutex::new(Seen::default())));
    let args = move || (Arc::clone(&env), Arc::clone(&seen));
    ChildSpec::process::<Restorer>("restored", args).restart(Restart::Transient)
}

/// How far it is: not those of this process, should its supervisor start again.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The key of the last session that goes on.
    after: String,
    count: usize,
    all: bool,
}

/// The process that waits for the store; there is none when it answers.
struct Restorer {
    env: Arc<Env>,
    seen: Arc<Mutex<Seen>>,
}

impl Process for Restorer {
    type Args = (Arc<Env>, Arc<Mutex<Seen>>);
    type Msg = Infallible;
    const NAME: &'static str = "restorer";
    const INBOX: usize = 0;

    async fn init((env, seen): Self::Args, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let restorer = Self { env, seen };
        match restorer.restore().await {
            Ok(()) => Err(InitError::Ignore),
            Err(error) if error.is_away() => Ok(restorer),
            Err(error) => Err(InitError::failed(error.to_string())),
        }
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            why = cx.stopped() => why,
            end = self.wait() => end,
        }
    }
}

impl Restorer {
    async fn wait(&self) -> Exit {
        loop {
            tokio::time::sleep(AGAIN).await;
            match self.restore().await {
                Ok(()) => return Exit::Normal,
                Err(error) if error.is_away() => {}
                Err(error) => return Exit::error(&error.to_string()),
            }
        }
    }

    /// Goes on where it was.
    async fn restore(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().clone();
        if seen.all {
            return Ok(());
        }
        self.env.restoring(true);
        let done = restore(&self.env, &mut seen).await;
        self.env.restoring(done.is_err());
        seen.all = done.is_ok();
        if seen.all {
            tracing::info!(waiting = seen.count, "clients are let in");
        }
        *self.seen.lock() = seen;
        done
    }
}

async fn restore(env: &Arc<Env>, seen: &mut Seen) -> Result<(), StoreError> {
    // of a node that was alone, or of a program that knew of one node only: whoever comes first has them
    if let Whose::Node(_) = env.whose() {
        go_on_with_all(env, Whose::Nobody, &mut Seen::default()).await?;
    }
    go_on_with_all(env, env.whose(), seen).await
}

/// Goes on here with the sessions that a node has left in the store, which is gone: they wait to be resumed as they did there, those that
/// were connected from now on. What else its sessions held are offline messages then. How many sessions came here.
///
/// Nodes that do it at the same time share them, one has each; what was interrupted can be done again. Waits for a store that
/// does not answer.
pub async fn take_over(env: &Arc<Env>, node: &str) -> usize {
    let _departing = Departing::new(&env.departed, node);
    let mut seen = Seen::default();
    while let Err(error) = go_on_with_all(env, Whose::Node(node), &mut seen).await {
        tracing::warn!(node, %error, "sessions of a node that is gone are not taken over yet");
        tokio::time::sleep(AGAIN).await;
    }
    tracing::info!(node, sessions = seen.count, "sessions of a node that is gone go on here");
    seen.count
}

async fn go_on_with_all(
    env: &Arc<Env>,
    whose: Whose<'_>,
    seen: &mut Seen,
) -> Result<(), StoreError> {
    let store = &env.stores.sessions;
    // what was held for sessions that were connected then
    while store.release(whose, PAGE).await? > 0 {}
    loop {
        let page = store.page(whose, &seen.after, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for session in page {
            if go_on_with(env, &session).await? {
                seen.count += 1;
                env.metrics.restored();
            }
            seen.after = session.key;
        }
        tokio::task::yield_now().await;
    }
}

/// Whether a session with that token is here.
pub(super) fn is_here(env: &Env, session: &StoredSession) -> bool {
    let token = token_of(&session.key);
    env.table.with_user(&session.user, |all| all.iter().any(|resource| resource.has_token(token)))
}

/// Goes on with one, unless another node does, or it cannot. Whether it goes on here.
pub(super) async fn go_on_with(
    env: &Arc<Env>,
    session: &StoredSession,
) -> Result<bool, StoreError> {
    let StoredSession { key, user, epoch, .. } = session;
    let store = &env.stores.sessions;
    let here = match env.whose() {
        Whose::Node(node) => Some(Whose::Node(node).key(token_of(key))),
        _ => None,
    };
    // not twice on this node
    let turn = env.storing.turn(user).await;
    if let Some(here) = &here {
        // what a node has put that was taken for dead, or that was in its journal meanwhile
        let old = match is_here(env, session) {
            true => here != key,
            false => {
                let latest = store.find(user, token_of(key)).await?;
                latest.is_some_and(|latest| latest.key != *key)
            }
        };
        if old {
            tracing::info!(%user, key, "a session goes on elsewhere, and is forgotten here");
            store.expire(user, key).await?;
        }
        if old || is_here(env, session) {
            return Ok(false);
        }
    }
    let frozen = match from_store(&session.frozen) {
        Ok(frozen) => frozen,
        Err(error) => return cannot(env, session, &error).await,
    };
    let newer = env.table.find(user, frozen.jid().resource());
    if newer.is_some_and(|newer| newer.owner() != Owner::Ended) {
        tracing::info!(%user, key, "a session ends: its client has another");
        store.expire(user, key).await?;
        if let Some(keeper) = &env.hooks().keeper {
            // what it held is for that one
            routing::divert(env, user, keeper.module, 1).await;
        }
        return Ok(false);
    }
    let (resource, window) = thawed(env, session, frozen).await?;
    let (key, epoch) = match here {
        None => (key.clone(), *epoch),
        Some(here) => match adopted(env, session, &here).await? {
            Some(adopted) => (here, adopted.epoch),
            // another node was faster
            None => return Ok(false),
        },
    };
    resource.restored(&key, epoch);
    forget_received(env, &resource).await;
    looks(env, &resource).await;
    // the window of one that was connected begins now; a clock that was set back meanwhile makes none longer
    let left = match session.until {
        0 => window,
        until => Duration::from_millis(until.saturating_sub(env.clock.millis())).min(window),
    };
    enter(env, &resource);
    drop(turn);
    let resource = &resource;
    Ok(is_known(env, resource, node_of(&session.key).unwrap_or_default(), left).await)
}

/// Others hear that a session of that node is here. Whether it is: its client may have another on another node by now.
async fn is_known(env: &Arc<Env>, resource: &Arc<Resource>, from: &str, left: Duration) -> bool {
    match takes_over(env, resource, from).await {
        Ok(elsewhere) => drop(timeout(LEFT, end_elsewhere(env, resource, &elsewhere)).await),
        Err(Some(other)) => {
            let (jid, node) = (resource.jid(), other.token.node);
            tracing::info!(%jid, %node, "a session ends: its client has another");
            gives_way(env, resource).await;
            return false;
        }
        Err(None) => tracing::warn!("the registry was not told of an adopted session"),
    }
    if env.cluster.is_some() {
        // whoever did not see it here until now has left that there
        looks(env, resource).await;
    }
    if let Some(manager) = env.managers.of(resource.user()) {
        manager.lost(Arc::clone(resource), Some(left));
    }
    true
}

/// What only offline storage knows of is for it too.
async fn looks(env: &Env, resource: &Resource) {
    if let Some(keeper) = &env.hooks().keeper
        && env.stores.offline.count(resource.user()).await.unwrap_or(1) > 0
    {
        resource.look_again(keeper.module);
    }
}

async fn cannot(env: &Env, session: &StoredSession, error: &WakeError) -> Result<bool, StoreError> {
    let user = &session.user;
    tracing::warn!(%user, %error, "a session that waited cannot go on");
    env.stores.sessions.expire(user, &session.key).await?;
    Ok(false)
}

/// The session is this node's, if nobody was faster.
async fn adopted(
    env: &Env,
    session: &StoredSession,
    here: &str,
) -> Result<Option<StoredSession>, StoreError> {
    let StoredSession { key, user, epoch, .. } = session;
    let mut in_doubt = false;
    loop {
        match env.stores.sessions.adopt(user, key, Some(*epoch), here).await {
            // that may have been done: who asks again is told so
            Err(StoreError::Timeout) if key != here => in_doubt = true,
            // to give up now would leave it as this node's, which does not have it
            Err(StoreError::Unavailable { .. }) if in_doubt => {}
            answer => return answer,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A stored session as a resource that nobody knows of, and its window.
async fn thawed(
    env: &Arc<Env>,
    session: &StoredSession,
    frozen: FrozenWaiting,
) -> Result<(Arc<Resource>, Duration), StoreError> {
    let StoredSession { key, user, .. } = session;
    let store = &env.stores.sessions;
    // of offline storage, if it was connected: it comes again in its place
    let sent = sent_from_store(&frozen);
    if session.until == 0 && !sent.is_empty() {
        store.hold(user, key, sent).await?;
    }
    let mut messages: Vec<OfflineMessage> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.id);
        let page = store.held(user, key, after, PAGE, PAGE_BYTES).await?;
        if page.is_empty() {
            break;
        }
        messages.extend(page);
    }
    let frozen = woken(frozen, session.handled, messages);
    let thawed = Resource::thaw_waiting(frozen, env.thawing(), &mut Shares::default());
    for row in &env.hooks().restored {
        (row.run)(env, &thawed.0).await;
    }
    Ok(thawed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{
        World, WorldOptions,
        resumable::{FAILED, PAIR, offline, resume, resumed},
        script::follow,
    };

    #[test]
    fn who_resumes_a_session_that_is_to_come_has_it_at_once() {
        World::block_on(async {
            let node = |name| WorldOptions { node: Some(name), ..WorldOptions::default() };
            let mut a = World::new(offline(), node("a")).await;
            follow(&(PAIR.to_owned() + "J cut"), &mut a).await.unwrap();
            let token = a.token("juliet@localhost/balcony").unwrap();
            let mut b = a.beside(offline(), node("b")).await;
            let env = Arc::clone(&b.env);
            // of a node that lives, of another that does not, and of its own
            follow(&resume(&token, 1, FAILED), &mut b).await.unwrap();
            let other = Departing::new(&env.departed, "c");
            follow(&resume(&token, 1, FAILED), &mut b).await.unwrap();
            let its_own = Departing::new(&env.departed, "a");
            follow(&resume("unknown", 1, FAILED), &mut b).await.unwrap();
            follow(&resume(&token, 1, &resumed(1)), &mut b).await.unwrap();
            assert_eq!(take_over(&env, "a").await, 0);
            assert_eq!(env.table.len(), 1);
            drop((other, its_own));
            assert!(env.departed.is_empty());
            b.stop().await;
        });
    }
}
