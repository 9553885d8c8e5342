//! A session goes over to the node at which its client wants to resume it: this is the side that has it. Which of two has it then
//! is decided by the store alone, by the session's epoch (`storage::Sessions::adopt`).

use super::{claim::ResumeError, kick, park::fall_asleep};
use crate::{
    env::Env,
    remote::wire::Given,
    resource::{Durability, Ended, Owner, Resource},
    routing::{Trip, divert, full},
};
use std::{sync::Arc, time::Duration};
use storage::{StoreError, token_of};
use tokio::time::{Instant, sleep, timeout};
use xmpp::{jid::BareJid, stanza::Stanza};

/// How long a session waits for the node that asked for it. What comes for it meanwhile waits too.
const WAITS: Duration = Duration::from_secs(10);
/// How long what its connection is still at may take: who asks does not wait longer.
const DONE: Duration = Duration::from_secs(1);
/// How soon a store that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Another node asks for the user's session with that token: it is taken from its connection and put into the store as it is. If nobody has
/// adopted it in time, it waits here to be resumed.
pub(crate) async fn give(env: &Arc<Env>, user: &BareJid, token: &str) -> Given {
    let stores = env.queue_limits().durability != Durability::Memory;
    if !stores || env.hooks().keeper.is_none() {
        return Given::Unknown(None);
    }
    let mut claimed = env.managers.claim(user, token).await;
    if matches!(claimed, Err(ResumeError::Unknown(_))) {
        if let Some(resource) = on_its_way(env, user, token) {
            // two nodes ask at once: the store knows whose it is
            let parked = resource.store_is_told().await && resource.is_moving();
            return if parked { Given::Parked } else { Given::Busy };
        }
        // one that is only just coming here itself
        drop(env.storing.turn(user).await);
        claimed = env.managers.claim(user, token).await;
    }
    let claim = match claimed {
        Ok(claim) => claim,
        Err(ResumeError::Unknown(handled)) => return Given::Unknown(handled),
        Err(ResumeError::Unavailable) => return Given::Busy,
    };
    let resource = Arc::clone(claim.resource());
    if !timeout(DONE, resource.before_is_done()).await.unwrap_or_default() || !claim.moves() {
        return Given::Busy;
    }
    let until = Instant::now() + resource.window();
    let moving = Moving { env: Arc::clone(env), resource, until };
    fall_asleep(env, &moving.resource, until).await;
    if moving.resource.asleep_with().is_none() {
        return Given::Busy;
    }
    env.managers.finish(user, Box::pin(moving.waits()));
    Given::Parked
}

/// A session that is on its way. If it still is when this is dropped, it waits here to be resumed.
struct Moving {
    env: Arc<Env>,
    resource: Arc<Resource>,
    until: Instant,
}

impl Moving {
    async fn waits(self) {
        if timeout(WAITS, self.resource.is_settled()).await.is_err() {
            take_back(&self.env, &self.resource).await;
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        let Self { env, resource, until } = self;
        resource.stays(None);
        if resource.owner() != Owner::Detached {
            return;
        }
        if let Some(manager) = env.managers.of(resource.user()) {
            let left = until.saturating_duration_since(Instant::now());
            manager.lost(Arc::clone(resource), Some(left));
        }
    }
}

/// The user's session with that token, if it is on its way from here.
pub(super) fn on_its_way(env: &Env, user: &BareJid, token: &str) -> Option<Arc<Resource>> {
    let is = |r: &&Arc<Resource>| r.is_moving() && r.has_token(token);
    env.table.with_user(user, |all| all.iter().find(is).cloned())
}

/// It goes on here, unless another node has it by now. Waits for a store that does not answer.
pub(super) async fn take_back(env: &Arc<Env>, resource: &Arc<Resource>) {
    while resource.is_moving() {
        if !resource.store_is_told().await {
            continue;
        }
        let Some(asleep) = resource.asleep_with() else {
            resource.stays(None);
            return;
        };
        match is_ours(env, resource, asleep).await {
            Ok(Some(epoch)) => {
                resource.stays(Some(epoch));
            }
            Ok(None) => moved(env, resource).await,
            Err(error) => {
                tracing::warn!(jid = %resource.jid(), %error, "who has a session is not known");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Has the store say that it is this node's: with which epoch, if it is.
async fn is_ours(
    env: &Env,
    resource: &Resource,
    (key, epoch): (Arc<str>, u64),
) -> Result<Option<u64>, StoreError> {
    let (store, user) = (&env.stores.sessions, resource.user());
    if let Some(ours) = store.adopt(user, &key, Some(epoch), &key).await? {
        return Ok(Some(ours.epoch));
    }
    // it may have been asked before
    let found = store.find(user, token_of(&key)).await?;
    Ok(found.filter(|found| *found.key == *key).map(|found| found.epoch))
}

/// Another node has a session of that name: this one ends, unless it is what goes on there.
pub(crate) async fn is_elsewhere(env: &Arc<Env>, resource: &Arc<Resource>) {
    if !resource.is_moving() && is_adopted(env, resource).await {
        // this node was not asked, or did not hear it
        let token = resource.with_sm(|sm| sm.as_ref().and_then(|sm| sm.token.clone()));
        if let Some(token) = token
            && let Ok(claim) = env.managers.claim(resource.user(), &token).await
        {
            // what its connection is still at does not go with it
            drop(timeout(DONE, resource.before_is_done()).await);
            if claim.moves() {
                // what came for it since is found there
                fall_asleep(env, resource, Instant::now() + resource.window()).await;
            }
        }
    }
    match resource.is_moving() {
        true => moved(env, resource).await,
        false => kick(env, resource, Ended::Conflict).await,
    }
}

/// Whether the store says that another node has it.
async fn is_adopted(env: &Env, resource: &Resource) -> bool {
    let Some(key) = resource.stored_as() else { return false };
    let found = env.stores.sessions.find(resource.user(), token_of(&key)).await;
    found.is_ok_and(|found| found.is_some_and(|found| *found.key != *key))
}

/// Another node has it: it goes from here without a word, and what came for it since goes after it.
pub(super) async fn moved(env: &Arc<Env>, resource: &Arc<Resource>) {
    // it may have been adopted before all of it was there
    resource.store_is_told().await;
    if let Some(later) = resource.leaves() {
        vanish(env, resource, later).await;
    }
}

/// Its client has another session by that name on another node: it goes without a word, and what it has goes there.
pub(super) async fn gives_way(env: &Arc<Env>, resource: &Arc<Resource>) {
    if let Some(left) = resource.gives_way() {
        vanish(env, resource, left).await;
    }
}

async fn vanish(env: &Arc<Env>, resource: &Arc<Resource>, later: Vec<Stanza>) {
    let (user, key) = (resource.user(), resource.stored_as());
    env.table.remove(resource);
    env.registry.forget(user.as_str());
    for stanza in later {
        let stanza = stanza.with_to(Some(resource.jid().clone().into()));
        if let Some(later) = full(env, stanza, Trip::IN_ORDER) {
            later.await;
        }
    }
    let Some(key) = key else { return };
    if let Err(error) = forget(env, user, &key).await {
        tracing::warn!(%user, %error, "what came for a session that has moved waits for its user");
    }
}

/// What the store has under the key here came too late to go with the session: its user gets it nevertheless.
async fn forget(env: &Arc<Env>, user: &BareJid, key: &str) -> Result<(), StoreError> {
    let store = &env.stores.sessions;
    let turn = env.storing.turn(user).await;
    let back = env.table.with_user(user, |all| all.iter().any(|r| r.has_token(token_of(key))));
    if back {
        return Ok(());
    }
    let left = store.held(user, key, 0, 1, 1).await?;
    store.expire(user, key).await?;
    drop(turn);
    if let (Some(first), Some(keeper)) = (left.first(), &env.hooks().keeper) {
        divert(env, user, keeper.module, first.id).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        resource::QueueLimits,
        sessions::resume,
        settings::Settings,
        testkit::{
            World, WorldOptions,
            nodes::Nodes,
            resumable::{PAIR, got, message, offline},
            script::{Wire, follow},
        },
    };

    /// Juliet's session on node a has lost its connection; romeo is on b. Her address and its token.
    async fn scene() -> (Nodes, BareJid, String) {
        let queues = QueueLimits { durability: Durability::Behind, ..QueueLimits::default() };
        let settings = Settings { queues, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let mut nodes = Nodes::new(&["a", "b"], offline, &options).await;
        for (name, place) in [("J", 0), ("K", 0), ("R", 1)] {
            nodes.wanted.insert(name.to_owned(), place);
        }
        follow(&(PAIR.to_owned() + "J cut"), &mut nodes).await.unwrap();
        let juliet: BareJid = "juliet@localhost".parse().unwrap();
        let token = nodes.env(0).table.resources(&juliet)[0]
            .with_sm(|sm| sm.as_ref().unwrap().token.clone());
        (nodes, juliet, token.unwrap())
    }

    fn resumes(token: &str) -> String {
        format!(
            "password juliet@localhost pencil
             K ~ juliet@localhost
             K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
             K S: <resumed xmlns='urn:xmpp:sm:3'/>\n"
        )
    }

    #[test]
    fn what_nobody_adopts_goes_on_where_it_was_with_what_came_meanwhile() {
        World::block_on(async {
            let (mut nodes, juliet, token) = scene().await;
            let env = Arc::clone(nodes.env(0));
            assert_eq!(give(&env, &juliet, &token).await, Given::Parked);
            // the second who asks may try too
            assert_eq!(give(&env, &juliet, &token).await, Given::Parked);
            follow(&(message(1) + "R S: nothing"), &mut nodes).await.unwrap();
            let resource = Arc::clone(&env.table.resources(&juliet)[0]);
            assert!(resource.is_moving() && resource.queued() == 0, "it waits");
            assert!(nodes.pass(WAITS).await);
            assert!(!resource.is_moving() && resource.queued() == 1);
            // nobody gets it with the epoch from before
            let found = env.stores.sessions.find(&juliet, &token).await.unwrap().unwrap();
            assert!(found.epoch >= storage::sessions::TERM);
            let script = resumes(&token) + &got("K", 1) + "K S: <r xmlns='urn:xmpp:sm:3'/>\n";
            follow(&script, &mut nodes).await.unwrap();
            nodes.stop().await;
        });
    }

    #[test]
    fn who_comes_back_before_anybody_has_adopted_it_has_it_at_once() {
        World::block_on(async {
            let (mut nodes, juliet, token) = scene().await;
            let env = Arc::clone(nodes.env(0));
            assert_eq!(give(&env, &juliet, &token).await, Given::Parked);
            let since = Instant::now();
            follow(&resumes(&token), &mut nodes).await.unwrap();
            assert!(since.elapsed() < WAITS);
            follow(&(message(1) + &got("K", 1)), &mut nodes).await.unwrap();
            nodes.stop().await;
        });
    }

    #[test]
    fn what_came_for_it_and_is_kept_nowhere_goes_after_it() {
        World::block_on(async {
            let (mut nodes, juliet, token) = scene().await;
            let env = Arc::clone(nodes.env(0));
            assert_eq!(give(&env, &juliet, &token).await, Given::Parked);
            let script =
                "R C: <iq to='juliet@localhost/balcony' type='get' id='1'><x xmlns='urn:x'/></iq>
                R S: nothing";
            follow(script, &mut nodes).await.unwrap();
            drop(resume(nodes.env(1), &juliet, &token).await.unwrap());
            nodes.settle().await;
            assert!(env.table.resources(&juliet).is_empty());
            nodes.wanted.insert("L".to_owned(), 1);
            let script = resumes(&token).replace("K ", "L ")
                + "L S: <iq id='1'/>\nL S: <r xmlns='urn:xmpp:sm:3'/>\nL S: nothing";
            follow(&script, &mut nodes).await.unwrap();
            assert!(nodes.pass(WAITS).await);
            nodes.stop().await;
        });
    }
}
