//! The ends that a session manager has begun, and the sessions that it puts into the store: each goes on in a supervised task, some
//! at a time and in their order, so that stores and contacts hold up nobody who binds.

use super::{end::finish, sleep::fall_asleep};
use crate::{
    env::Env,
    resource::{Left, Resource},
    routing,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use supervision::{ChildSpec, Cx, Exit, Monitor, PoolSpec, System, Tasks};
use tokio::time::Instant;
use xmpp::error::StanzaError;

/// Tasks of one manager at a time: their writes share what a write costs.
pub(super) const AT_ONCE: usize = 16;
/// The name of the pool.
const POOL: &str = "session_ends";

/// What is to be done for a session without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It has ended.
    End,
    /// It can be resumed until then.
    Sleep(Instant),
}

/// Sessions that have ended and are not gone, and those that are not in the store yet: as many as a manager's users had.
#[derive(Debug, Default)]
pub(super) struct Ends {
    waiting: VecDeque<(Arc<Resource>, Work)>,
    running: HashMap<Monitor, (Arc<Resource>, Work)>,
}

/// The pool of the tasks of so many managers.
pub(super) fn tasks(managers: usize) -> ChildSpec {
    // as many again may tell senders of what a task crashed over
    ChildSpec::tasks("ends", POOL, PoolSpec { max: 2 * managers * AT_ONCE, ..PoolSpec::default() })
}

async fn work(env: &Arc<Env>, resource: &Arc<Resource>, work: Work) {
    match work {
        Work::End => finish(env, resource).await,
        Work::Sleep(until) => {
            let left = until.saturating_duration_since(Instant::now());
            fall_asleep(env, resource, left).await;
        }
    }
}

impl Ends {
    /// One more, after those that wait.
    pub(super) fn add(&mut self, resource: Arc<Resource>, work: Work) {
        self.waiting.push_back((resource, work));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Starts as many as there may be. `false`: nobody starts any, and some wait.
    pub(super) fn start<M: Send + 'static>(&mut self, env: &Arc<Env>, cx: &Cx<M>) -> bool {
        while self.running.len() < AT_ONCE
            && let Some((resource, what)) = self.waiting.pop_front()
        {
            let task = {
                let (env, resource) = (Arc::clone(env), Arc::clone(&resource));
                async move { work(&env, &resource, what).await }
            };
            match Tasks::find(cx.system(), POOL).map(|tasks| tasks.spawn(task)) {
                Some(Ok(task)) => {
                    self.running.insert(cx.monitor(task.pid()), (resource, what));
                }
                _ => {
                    self.waiting.push_front((resource, what));
                    return !self.running.is_empty();
                }
            }
        }
        true
    }

    /// A task has ended. The session, if it has ended and is not gone: whoever else is at it takes too long.
    pub(super) fn ended(
        &mut self,
        (monitor, reason): (Monitor, &Exit),
        env: &Arc<Env>,
        system: &System,
    ) -> Option<Arc<Resource>> {
        let (resource, what) = self.running.remove(&monitor)?;
        if let Work::Sleep(_) = what {
            if !matches!(reason, Exit::Normal) {
                resource.told_store(false);
            }
            return None;
        }
        resource.leaving()?;
        match reason {
            Exit::Normal => return Some(resource),
            Exit::Crash(_) => {
                // it would crash again
                if let Some(Left::Stanza(arrived)) = resource.skip() {
                    let error = StanzaError::internal_server_error();
                    if let Some(later) = routing::bounce(env, &arrived.stanza, &error)
                        && let Some(tasks) = Tasks::find(system, POOL)
                    {
                        drop(tasks.spawn(later));
                    }
                }
            }
            _ => {}
        }
        self.waiting.push_front((resource, what));
        None
    }

    /// Does the next one that waits, when no task can be started for it. `false`: none waits.
    pub(super) async fn do_one(&mut self, env: &Arc<Env>) -> bool {
        let Some((resource, what)) = self.waiting.pop_front() else { return false };
        work(env, &resource, what).await;
        true
    }
}
