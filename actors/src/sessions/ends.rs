//! The ends that a session manager has begun, and the sessions that it puts into the store: each goes on in a supervised task, some
//! at a time and in their order, so that stores and contacts hold up nobody who binds.

use super::{
    end::finish,
    park::fall_asleep,
    sleep::{forget_again, wake_again},
    work::Work,
};
use crate::{
    env::Env,
    resource::{Left, PATIENCE, Resource},
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
/// What is to be tried again, of one manager. More are left to the next process, which does it when it starts.
pub(super) const AGAIN: usize = 10_000;
/// The name of the pool.
const POOL: &str = "session_ends";

/// Sessions that have ended and are not gone, and those that are not in the store yet: as many as a manager's users had. And what
/// the store did not take.
#[derive(Debug, Default)]
pub(super) struct Ends {
    waiting: VecDeque<(Arc<Resource>, Work)>,
    running: HashMap<Monitor, (Arc<Resource>, Work)>,
    again: VecDeque<(Instant, Arc<Resource>, Work)>,
}

/// The pool of the tasks of so many managers.
pub(super) fn tasks(managers: usize) -> ChildSpec {
    // as many again may tell senders of what a task crashed over
    ChildSpec::tasks("ends", POOL, PoolSpec { max: 2 * managers * AT_ONCE, ..PoolSpec::default() })
}

async fn work(env: &Arc<Env>, resource: &Arc<Resource>, work: Work) {
    match work {
        Work::End => finish(env, resource).await,
        Work::Sleep(until) => fall_asleep(env, resource, until).await,
        Work::Wake(epoch) => wake_again(env, resource, epoch).await,
        Work::Change => resource.is_told_again(),
        Work::Forget => forget_again(env, resource).await,
    }
}

impl Ends {
    /// One more, after those that wait.
    pub(super) fn add(&mut self, resource: Arc<Resource>, work: Work) {
        self.waiting.push_back((resource, work));
    }

    /// One that the store did not take: a little later once more.
    pub(super) fn add_again(&mut self, resource: Arc<Resource>, work: Work) {
        if self.again.len() >= AGAIN {
            self.again.pop_front();
        }
        self.again.push_back((Instant::now() + PATIENCE, resource, work));
    }

    /// When the next of those is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.again.front().map(|(at, ..)| *at)
    }

    fn due(&mut self) -> Vec<(Arc<Resource>, Work)> {
        let now = Instant::now();
        let due = std::iter::from_fn(|| self.again.pop_front_if(|(at, ..)| *at <= now));
        due.map(|(_, resource, work)| (resource, work)).collect()
    }

    /// How many there are, but for what is tried again later.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Starts as many as there may be. `false`: nobody starts any, and some wait.
    pub(super) fn start<M: Send + 'static>(&mut self, env: &Arc<Env>, cx: &Cx<M>) -> bool {
        let due = self.due();
        self.waiting.extend(due);
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
        let again = match what {
            Work::End => None,
            Work::Sleep(until) => {
                if !matches!(reason, Exit::Normal) {
                    resource.told_store(false);
                }
                let keeps = env.hooks().keeper.is_some();
                Some(keeps && resource.should_sleep() && Instant::now() < until)
            }
            Work::Wake(epoch) => Some(resource.is_outdated(epoch)),
            Work::Change => Some(false),
            Work::Forget => Some(resource.is_remembered()),
        };
        if let Some(again) = again {
            if again {
                self.add_again(resource, what);
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn what_the_store_does_not_take_is_tried_again_of_so_many() {
        let (mut ends, jid) = (Ends::default(), "juliet@localhost/balcony".parse().unwrap());
        let resource = Resource::new(jid, 1, Default::default(), Arc::default());
        for n in 0..=AGAIN {
            ends.add_again(Arc::clone(&resource), Work::Wake(n as u64));
        }
        assert_eq!((ends.len(), ends.again.len()), (0, AGAIN));
        assert_eq!(ends.again.front().map(|(.., work)| *work), Some(Work::Wake(1)));
        assert!(ends.due().is_empty());
        advance(PATIENCE).await;
        assert_eq!((ends.due().len(), ends.next()), (AGAIN, None));
    }
}
