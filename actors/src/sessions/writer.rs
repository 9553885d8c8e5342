//! Who tells the store what changes of connected sessions ([`Durability::Behind`](crate::resource::Durability)): a process for each session manager,
//! which starts a task for each session when its moment has come. The sessions that wait are where the manager is known (`managers::Place`), so
//! that none is forgotten with the process.

use super::park::flush;
use crate::env::Env;
use std::{convert::Infallible, sync::Arc};
use supervision::{ChildSpec, Cx, Exit, InitError, PoolSpec, Process, Tasks};
use tokio::sync::Semaphore;

/// Tasks of one writer at a time: their writes share what a write costs.
const AT_ONCE: usize = 64;
/// The name of the pool.
const POOL: &str = "session_writes";

/// The pool of the tasks of so many writers.
pub(super) fn tasks(writers: usize) -> ChildSpec {
    ChildSpec::tasks("writes", POOL, PoolSpec { max: writers * AT_ONCE, ..PoolSpec::default() })
}

/// The process.
pub(super) struct Writer {
    env: Arc<Env>,
    number: usize,
    tasks: Arc<Semaphore>,
}

impl Process for Writer {
    type Args = (Arc<Env>, usize);
    type Msg = Infallible;
    const NAME: &'static str = "session_writer";
    const INBOX: usize = 0;

    async fn init((env, number): Self::Args, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self { env, number, tasks: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let Some(place) = self.env.managers.place(self.number) else { return Exit::Normal };
        let dirty = Arc::clone(&place.dirty);
        loop {
            let (permit, resource) = tokio::select! {
                biased;
                why = cx.stopped() => return why,
                next = async {
                    let permit = Arc::clone(&self.tasks).acquire_owned().await;
                    (permit, dirty.next().await)
                } => next,
            };
            let write = {
                let (env, resource) = (Arc::clone(&self.env), Arc::clone(&resource));
                async move {
                    let _permit = permit;
                    flush(&env, &resource).await;
                }
            };
            let started = Tasks::find(cx.system(), POOL).and_then(|tasks| tasks.spawn(write).ok());
            if started.is_none() {
                // nobody does it any more
                flush(&self.env, &resource).await;
            }
        }
    }
}
