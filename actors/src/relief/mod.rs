//! What is done when memory is short: sessions of the users that hold the most end, the largest first. What they did
//! not get goes its way as after any other end (law 11): to the store, to another resource, or back.
//! A user counts with all that its sessions hold: one that opens many goes before one that is slow.

mod watcher;

pub use watcher::{Gauge, Watcher};

use crate::{
    env::Env,
    resource::{Ended, Owner, PATIENCE, Resource},
};
use std::{cmp::Reverse, collections::HashMap, sync::Arc};
use tokio::time::Instant;
use xmpp::jid::BareJid;

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

/// Sessions that end since memory is short: their managers see to it, some at a time.
#[derive(Debug)]
pub struct Relief {
    chosen: Vec<(usize, Arc<Resource>)>,
    enough: bool,
    begun: Instant,
}

impl Relief {
    /// Has sessions ended that hold so many bytes together. Looks at all sessions, but
    /// at no stanza: memory is short then.
    pub fn begin(env: &Env, excess: usize) -> Self {
        let (mut chosen, most) = choose(env, excess);
        chosen.retain(|(bytes, resource)| {
            tracing::debug!(jid = %resource.jid(), bytes, "ends, since memory is short");
            // one that its manager does not take is chosen again
            env.managers.end(resource, Ended::NoMemory)
        });
        Self { chosen, enough: most >= excess, begun: Instant::now() }
    }

    /// What became free, when all that they held is on its way, or takes too long.
    pub fn over(&self, env: &Env) -> Option<Relieved> {
        let ended = |r: &Resource| r.owner() == Owner::Ended && r.leaving().is_none();
        if !self.chosen.iter().all(|(_, r)| ended(r)) && self.begun.elapsed() < PATIENCE {
            return None;
        }
        let mut relieved = Relieved { enough: self.enough, ..Relieved::default() };
        let here = self.chosen.iter().filter(|(_, r)| r.ended() == Some(Ended::NoMemory));
        for (bytes, _) in here {
            relieved.sessions += 1;
            relieved.bytes += bytes;
        }
        let Relieved { sessions, bytes, .. } = relieved;
        if sessions > 0 {
            tracing::warn!(sessions, bytes, "sessions were ended since memory was short");
            env.metrics.relieved(sessions as u64, bytes as u64);
        }
        Some(relieved)
    }
}

/// The sessions that hold so much together, if there is so much, and what they hold: those of the user with the most
/// first, and of these the largest.
fn choose(env: &Env, excess: usize) -> (Vec<(usize, Arc<Resource>)>, usize) {
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
            chosen.push((bytes, resource));
        }
    }
    (chosen, freed)
}
