//! What is done when memory is short: sessions with the most in their queues end, the largest first. What they did
//! not get goes its way as after any other end (law 11): to the store, to another resource, or back.

use super::end::end;
use crate::{
    env::Env,
    resource::{Ended, Owner, Resource},
    session::effects::BoxFuture,
};
use std::{cmp::Reverse, future::poll_fn, sync::Arc, task::Poll};

/// Sessions that are ended at the same time: their writes share what a write costs.
const AT_ONCE: usize = 32;
/// One that holds less, in bytes, is left alone: its end would cost more than it frees.
const LEAST: usize = 16 << 10;

/// What became free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relieved {
    /// Sessions that were ended.
    pub sessions: usize,
    /// What they held, in bytes.
    pub bytes: usize,
}

/// Ends sessions, the largest first, until so many bytes of theirs are on their way. Looks at all sessions, but
/// at no stanza: memory is short then.
pub async fn relieve(env: &Arc<Env>, excess: usize) -> Relieved {
    let mut all: Vec<(usize, Arc<Resource>)> = (0..)
        .map_while(|shard| env.table.page(shard))
        .flatten()
        .filter(|resource| resource.owner() != Owner::Ended)
        .map(|resource| (resource.bytes(), resource))
        .filter(|(bytes, _)| *bytes >= LEAST)
        .collect();
    all.sort_unstable_by_key(|(bytes, resource)| (Reverse(*bytes), resource.id()));
    let mut relieved = Relieved::default();
    let chosen = all.iter().take_while(|(bytes, _)| {
        let more = relieved.bytes < excess;
        if more {
            relieved.sessions += 1;
            relieved.bytes += bytes;
        }
        more
    });
    let chosen: Vec<_> = chosen.map(|(_, resource)| Arc::clone(resource)).collect();
    drop(all);
    for some in chosen.chunks(AT_ONCE) {
        together(some.iter().map(|resource| {
            let (env, resource) = (Arc::clone(env), Arc::clone(resource));
            let ending: BoxFuture<()> = Box::pin(async move {
                tracing::debug!(jid = %resource.jid(), "ended, since memory is short");
                end(&env, &resource, Ended::NoMemory).await;
            });
            ending
        }))
        .await;
    }
    env.metrics.relieved(relieved.sessions as u64, relieved.bytes as u64);
    relieved
}

/// Waits for all of them.
async fn together(futures: impl Iterator<Item = BoxFuture<()>>) {
    let mut open: Vec<_> = futures.collect();
    poll_fn(|task| {
        open.retain_mut(|future| future.as_mut().poll(task).is_pending());
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
