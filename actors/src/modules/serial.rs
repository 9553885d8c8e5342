//! One after the other: a change of a user's data and what is told of it to the user's sessions, so
//! that pushes come in the order of the changes. On one node; between nodes the stores' versions
//! decide.

use std::hash::{BuildHasher, RandomState};
use tokio::sync::{Mutex, MutexGuard};
use xmpp::jid::BareJid;

const SHARDS: usize = 64;

/// As many locks as may be needed at the same time, shared by all users. Whoever holds one must not
/// ask for another.
#[derive(Debug)]
pub struct Serial {
    turns: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Default for Serial {
    fn default() -> Self {
        let turns = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { turns, hasher: RandomState::new() }
    }
}

impl Serial {
    /// Waits for the user's turn; it lasts as long as what is returned lives.
    pub async fn turn(&self, user: &BareJid) -> MutexGuard<'_, ()> {
        #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length")]
        self.turns[self.hasher.hash_one(user) as usize % SHARDS].lock().await
    }
}
