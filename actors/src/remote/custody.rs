//! Messages of which nobody knows where they belong: the registry is away, and a node that is alive does not say whom it has. They
//! stay with the node of their sender, each user's in their order, until it is known.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::{Notify, oneshot};
use xmpp::{jid::BareJid, stanza::Stanza};

/// What may wait, in bytes, unless a node is told otherwise. One more is refused, and its sender told to try again.
pub const CUSTODY: usize = 16 << 20;

/// A message that waits.
#[derive(Debug)]
pub struct Kept {
    /// What it is.
    pub stanza: Stanza,
    /// Since when, in milliseconds of the epoch.
    pub at: u64,
    /// Dropped with it: whoever waits for that hears that it is dealt with.
    pub receipt: Option<oneshot::Sender<()>>,
}

/// What waits, by user.
#[derive(Debug)]
pub struct Custody {
    limit: usize,
    state: Mutex<State>,
    pub(super) bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<BareJid, VecDeque<Kept>>,
    bytes: usize,
}

fn weight(kept: &Kept) -> usize {
    kept.stanza.weight() + size_of::<Kept>()
}

impl Custody {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), bell: Notify::new() }
    }

    /// Whether something waits for the user: what comes now waits behind it.
    pub fn has(&self, user: &BareJid) -> bool {
        let state = self.state.lock();
        !state.users.is_empty() && state.users.contains_key(user)
    }

    /// What waits, in bytes.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// One more.
    ///
    /// # Errors
    /// It comes back when there is no room for it.
    pub fn push(&self, user: &BareJid, kept: Kept) -> Result<(), Kept> {
        let mut state = self.state.lock();
        let bytes = state.bytes + weight(&kept);
        if bytes > self.limit {
            return Err(kept);
        }
        state.bytes = bytes;
        state.users.entry(user.clone()).or_default().push_back(kept);
        drop(state);
        self.bell.notify_one();
        Ok(())
    }

    /// Those for whom something waits.
    pub(super) fn users(&self) -> Vec<BareJid> {
        self.state.lock().users.keys().cloned().collect()
    }

    /// The first that waits for the user; it stays until it is [done](Self::done).
    pub(super) fn first(&self, user: &BareJid) -> Option<(Stanza, u64)> {
        let state = self.state.lock();
        let first = state.users.get(user)?.front()?;
        Some((first.stanza.clone(), first.at))
    }

    /// The first is dealt with.
    pub(super) fn done(&self, user: &BareJid) {
        let mut state = self.state.lock();
        let Some(line) = state.users.get_mut(user) else { return };
        let first = line.pop_front();
        if line.is_empty() {
            state.users.remove(user);
        }
        state.bytes = state.bytes.saturating_sub(first.as_ref().map_or(0, weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_a_limit_in_bytes_and_goes_in_its_order() {
        let user: BareJid = "juliet@localhost".parse().unwrap();
        let kept = |id: &str| {
            let xml = format!("<message id='{id}'><body>{}</body></message>", "x".repeat(1_000));
            Kept { stanza: Stanza::parse(xml.as_bytes()).unwrap(), at: 1, receipt: None }
        };
        let custody = Custody::new(3 * weight(&kept("1")));
        for id in ["1", "2", "3"] {
            custody.push(&user, kept(id)).unwrap();
        }
        assert_eq!(
            custody.push(&user, kept("4")).unwrap_err().stanza.head.id.as_deref(),
            Some("4")
        );
        for id in ["1", "2", "3"] {
            assert_eq!(custody.first(&user).unwrap().0.head.id.as_deref(), Some(id));
            custody.done(&user);
        }
        assert!(!custody.has(&user) && custody.bytes() == 0);
    }
}
