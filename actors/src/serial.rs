//! One after the other: a change of users' data and what is told of it to their sessions, so
//! that pushes come in the order of the changes; sessions of a user that have the same messages and put them into the
//! store. On one node; between nodes the stores' versions decide.

use crate::hasher::Hasher;
use std::hash::BuildHasher;
use tokio::sync::{Mutex, MutexGuard};
use xmpp::jid::BareJid;

const SHARDS: usize = 64;

/// As many locks as may be needed at the same time, shared by all users. Whoever holds some must not
/// ask for another.
#[derive(Debug)]
pub struct Serial {
    turns: Box<[Mutex<()>]>,
    hasher: Hasher,
}

impl Default for Serial {
    fn default() -> Self {
        let turns = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { turns, hasher: Hasher::default() }
    }
}

impl Serial {
    /// Waits for the user's turn; it lasts as long as what is returned lives.
    pub async fn turn(&self, user: &BareJid) -> Vec<MutexGuard<'_, ()>> {
        self.turns(&[user]).await
    }

    /// Waits for the turn of all these users.
    pub async fn turns(&self, users: &[&BareJid]) -> Vec<MutexGuard<'_, ()>> {
        // always in the same order: nobody waits for somebody who waits for him
        let places = users.iter().map(|user| self.hasher.hash_one(user) as usize % SHARDS);
        let mut places: Vec<usize> = places.collect();
        places.sort_unstable();
        places.dedup();
        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            if let Some(turn) = self.turns.get(place) {
                turns.push(turn.lock().await);
            }
        }
        turns
    }
}
