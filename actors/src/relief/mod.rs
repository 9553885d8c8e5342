//! What is done when memory is short: sessions of the users that hold the most end, the largest first. What they did
//! not get goes its way as after any other end (law 11): to the store, to another resource, or back.
//! A user counts with all that its sessions hold: one that opens many goes before one that is slow.

mod watcher;

pub use watcher::{Gauge, Watcher};

use crate::{
    env::Env,
    future::BoxFuture,
    resource::{Ended, Owner, Resource},
    sessions::end,
};
use std::{cmp::Reverse, collections::HashMap, future::poll_fn, sync::Arc, task::Poll};
use xmpp::jid::BareJid;

/// Sessions that are ended at the same time: their writes share what a write costs.
const AT_ONCE: usize = 32;
/// A user that holds less, in bytes, is left alone, and so is a session of any: its end would cost more than it frees.
/// It is less than a session takes itself, so it is no way to keep memory short unseen.
const LEAST: usize = 4 << 10;
const LEAST_OF_SESSION: usize = 1 << 10;

/// What became free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relieved {
    /// There was as much to free as was wanted.
    pub enough: bool,
    /// Sessions that were ended here, and not by somebody else meanwhile.
    pub sessions: usize,
    /// What they held, in bytes.
    pub bytes: usize,
}

/// Ends sessions until so many bytes of theirs are on their way. Looks at all sessions, but
/// at no stanza: memory is short then.
pub async fn relieve(env: &Arc<Env>, excess: usize) -> Relieved {
    let (chosen, most) = choose(env, excess);
    let mut relieved = Relieved { enough: most >= excess, ..Relieved::default() };
    for some in chosen.chunks(AT_ONCE) {
        let ended = together(some.iter().map(|resource| {
            let (env, resource) = (Arc::clone(env), Arc::clone(resource));
            let ending: BoxFuture<Option<usize>> = Box::pin(async move {
                let bytes = resource.bytes();
                tracing::debug!(jid = %resource.jid(), bytes, "ends, since memory is short");
                end(&env, &resource, Ended::NoMemory).await.then_some(bytes)
            });
            ending
        }))
        .await;
        relieved.sessions += ended.len();
        relieved.bytes += ended.iter().sum::<usize>();
    }
    let Relieved { sessions, bytes, .. } = relieved;
    if sessions > 0 {
        tracing::warn!(sessions, bytes, "sessions were ended since memory was short");
        env.metrics.relieved(sessions as u64, bytes as u64);
    }
    relieved
}

/// The sessions that hold so much together, if there is so much, and what they hold: those of the user with the most
/// first, and of these the largest.
fn choose(env: &Env, excess: usize) -> (Vec<Arc<Resource>>, usize) {
    let mut users: HashMap<BareJid, Vec<(usize, Arc<Resource>)>> = HashMap::new();
    for resource in env.table.all() {
        let bytes = resource.bytes();
        if bytes >= LEAST_OF_SESSION && resource.owner() != Owner::Ended {
            users.entry(resource.user().clone()).or_default().push((bytes, resource));
        }
    }
    let sum = |sessions: &[(usize, _)]| sessions.iter().map(|(bytes, _)| bytes).sum::<usize>();
    let mut users: Vec<_> =
        users.into_iter().map(|(user, sessions)| (sum(&sessions), user, sessions)).collect();
    users.retain(|(sum, ..)| *sum >= LEAST);
    users.sort_unstable_by(|(a, one, _), (b, two, _)| b.cmp(a).then_with(|| one.cmp(two)));
    let (mut chosen, mut freed) = (Vec::new(), 0);
    for (_, _, mut sessions) in users {
        sessions.sort_unstable_by_key(|(bytes, resource)| (Reverse(*bytes), resource.id()));
        for (bytes, resource) in sessions {
            if freed >= excess {
                return (chosen, freed);
            }
            freed += bytes;
            chosen.push(resource);
        }
    }
    (chosen, freed)
}

/// Waits for all of them; what those come to that come to something.
async fn together<T>(futures: impl Iterator<Item = BoxFuture<Option<T>>>) -> Vec<T> {
    let mut open: Vec<_> = futures.collect();
    let mut results = Vec::new();
    poll_fn(|task| {
        open.retain_mut(|future| match future.as_mut().poll(task) {
            Poll::Ready(result) => {
                results.extend(result);
                false
            }
            Poll::Pending => true,
        });
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results
}
