//! The ends that a session manager has begun: each goes on in a supervised task, some at a time and in their
//! order, so that stores and contacts hold up nobody who binds.

use super::end::finish;
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
use xmpp::error::StanzaError;

/// Tasks of one manager at a time: their writes share what a write costs.
pub(super) const AT_ONCE: usize = 16;
/// The name of the pool.
const POOL: &str = "session_ends";

/// Sessions that have ended and are not gone: as many as a manager's users had.
#[derive(Debug, Default)]
pub(super) struct Ends {
    waiting: VecDeque<Arc<Resource>>,
    running: HashMap<Monitor, Arc<Resource>>,
}

/// The pool of the tasks of so many managers.
pub(super) fn tasks(managers: usize) -> ChildSpec {
    // as many again may tell senders of what a task crashed over
    ChildSpec::tasks("ends", POOL, PoolSpec { max: 2 * managers * AT_ONCE, ..PoolSpec::default() })
}

impl Ends {
    /// One more, after those that wait.
    pub(super) fn add(&mut self, resource: Arc<Resource>) {
        self.waiting.push_back(resource);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Starts as many as there may be. `false`: nobody starts any, and some wait.
    pub(super) fn start<M: Send + 'static>(&mut self, env: &Arc<Env>, cx: &Cx<M>) -> bool {
        while self.running.len() < AT_ONCE
            && let Some(resource) = self.waiting.pop_front()
        {
            let work = {
                let (env, resource) = (Arc::clone(env), Arc::clone(&resource));
                async move { finish(&env, &resource).await }
            };
            match Tasks::find(cx.system(), POOL).map(|tasks| tasks.spawn(work)) {
                Some(Ok(task)) => {
                    self.running.insert(cx.monitor(task.pid()), resource);
                }
                _ => {
                    self.waiting.push_front(resource);
                    return !self.running.is_empty();
                }
            }
        }
        true
    }

    /// A task has ended. The session, if it is not gone: whoever else is at it takes too long.
    pub(super) fn ended(
        &mut self,
        (monitor, reason): (Monitor, &Exit),
        env: &Arc<Env>,
        system: &System,
    ) -> Option<Arc<Resource>> {
        let resource = self.running.remove(&monitor)?;
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
        self.waiting.push_front(resource);
        None
    }

    /// Those that wait, when no task can be started for them.
    pub(super) fn take(&mut self) -> Option<Arc<Resource>> {
        self.waiting.pop_front()
    }
}
