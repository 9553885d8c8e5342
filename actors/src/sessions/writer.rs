//! Who tells the store what changes of connected sessions ([`Durability::Behind`](crate::resource::Durability)): a process for each session manager,
//! which starts a task for each session when its moment has come. The sessions that wait are where the manager is known (`managers::Place`), so
//! that none is forgotten with the process.

use super::park::flush;
use crate::env::Env;
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, Exit, InitError, PoolSpec, Process, SupervisorSpec, Tasks};
use tokio::sync::Semaphore;

/// Tasks of one writer at a time: their writes share what a write costs.
const AT_ONCE: usize = 64;
/// The name of the pool.
const POOL: &str = "session_writes";

/// The pool of the tasks of so many writers.
pub(super) fn tasks(writers: usize) -> ChildSpec {
    ChildSpec::tasks("writes", POOL, PoolSpec { max: writers * AT_ONCE, ..PoolSpec::default() })
}

/// The supervisor of a writer for each manager.
pub(super) fn spec(env: &Arc<Env>) -> SupervisorSpec {
    let spec = SupervisorSpec::one_for_one().intensity(10, Duration::from_secs(10));
    (0..env.managers.count()).fold(spec, |spec, n| {
        let env = Arc::clone(env);
        let args = move || (Arc::clone(&env), n);
        spec.child(ChildSpec::process::<Writer>(&n.to_string(), args))
    })
}

/// The process.
struct Writer {
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

#[cfg(test)]
mod tests {
    use crate::{
        resource::{DELAY, Durability},
        testkit::{
            World,
            resumable::{PAIR, got, message, offline, options, resume, resumed},
            script::{Wire, follow},
        },
    };
    use tokio::task::yield_now;

    #[test]
    fn what_has_changed_is_written_though_the_writers_are_killed() {
        World::block_on(async {
            let options = || options(Durability::Behind);
            let mut world = World::new(offline(), options()).await;
            follow(&(PAIR.to_owned() + &message(1) + &got("J", 1)), &mut world).await.unwrap();
            let token = world.token("juliet@localhost/balcony").unwrap();
            let writers = world.pids().into_iter().filter(|pid| pid.path().contains("/writers/"));
            let writers: Vec<_> = writers.collect();
            assert_eq!(writers.len(), 2, "one for each manager");
            for writer in &writers {
                writer.kill();
            }
            while writers.iter().any(|writer| writer.is_alive()) {
                yield_now().await;
            }
            world.pass(DELAY).await;
            let mut world = world.killed(offline(), options()).await;
            let script = resume(&token, 1, &resumed(1)) + &got("K", 1);
            follow(&script, &mut world).await.unwrap();
            world.stop().await;
        });
    }
}
