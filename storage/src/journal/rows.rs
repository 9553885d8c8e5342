//! What is in the journal, as the node knows it without asking the file: which rows of whom, and how much room they take.

use crate::offline::Kept;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};
use xmpp::jid::BareJid;

/// What a row counts besides its content, in bytes: its place in the file, and here.
pub(super) const ROW: usize = 256;

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) user: BareJid,
    /// Journaled at, in milliseconds of the epoch.
    pub(super) at: u64,
    /// The operation's, serialised.
    pub(super) bytes: usize,
    /// The messages that are kept with it.
    pub(super) kept: Kept,
}

/// What waits for one user.
#[derive(Debug, Default)]
struct Waiting {
    ids: BTreeSet<u64>,
    kept: Kept,
}

/// All rows: those in the file, and those that are on their way into it.
#[derive(Debug, Default)]
pub(super) struct Rows {
    last: u64,
    bytes: usize,
    rows: BTreeMap<u64, Row>,
    users: HashMap<BareJid, Waiting>,
}

impl Rows {
    /// A row that is in the file.
    pub(super) fn insert(&mut self, id: u64, row: Row) {
        self.last = self.last.max(id);
        self.bytes += row.bytes + ROW;
        let user = self.users.entry(row.user.clone()).or_default();
        user.ids.insert(id);
        user.kept.messages += row.kept.messages;
        user.kept.bytes += row.kept.bytes;
        self.rows.insert(id, row);
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(row) = self.rows.remove(&id) else { return };
        self.bytes = self.bytes.saturating_sub(row.bytes + ROW);
        let Some(user) = self.users.get_mut(&row.user) else { return };
        user.ids.remove(&id);
        user.kept.messages = user.kept.messages.saturating_sub(row.kept.messages);
        user.kept.bytes = user.kept.bytes.saturating_sub(row.kept.bytes);
        if user.ids.is_empty() {
            self.users.remove(&row.user);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest was journaled.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.rows.first_key_value().map(|(_, row)| row.at)
    }

    pub(super) fn has(&self, user: &BareJid) -> bool {
        self.users.contains_key(user)
    }

    /// The first row of a user, but for that one.
    pub(super) fn first(&self, user: &BareJid, but: Option<u64>) -> Option<u64> {
        self.users.get(user)?.ids.iter().copied().find(|id| Some(*id) != but)
    }

    /// Messages that wait for a user.
    pub(super) fn kept(&self, user: &BareJid) -> Kept {
        self.users.get(user).map_or_else(Kept::default, |waiting| waiting.kept)
    }

    /// Whoever has something here, who has waited longest first.
    pub(super) fn users(&self) -> VecDeque<BareJid> {
        let first = |(user, waiting): (&BareJid, &Waiting)| {
            waiting.ids.first().map(|id| (*id, user.clone()))
        };
        let users: BTreeMap<u64, BareJid> = self.users.iter().filter_map(first).collect();
        users.into_values().collect()
    }
}

/// Room for a row that is on its way into the file; dropped, it is given back.
pub(super) struct Place {
    rows: Arc<Mutex<Rows>>,
    pub(super) id: u64,
    filled: bool,
}

impl Place {
    /// Room for one more, unless that makes more than so many bytes.
    pub(super) fn reserve(rows: &Arc<Mutex<Rows>>, row: Row, max_bytes: usize) -> Option<Self> {
        let mut all = rows.lock();
        if all.bytes + row.bytes + ROW > max_bytes {
            return None;
        }
        let id = all.last + 1;
        all.insert(id, row);
        drop(all);
        Some(Self { rows: Arc::clone(rows), id, filled: false })
    }

    /// The row is in the file.
    pub(super) fn fill(mut self) {
        self.filled = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.filled {
            self.rows.lock().remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: &str, bytes: usize) -> Row {
        let kept = Kept { messages: 1, bytes };
        Row { user: user.parse().unwrap(), at: 7, bytes, kept }
    }

    #[test]
    fn a_place_that_is_not_filled_is_given_back() {
        let rows = Arc::new(Mutex::new(Rows::default()));
        let max = 2 * ROW + 10;
        let first = Place::reserve(&rows, row("a@x", 4), max).unwrap();
        let second = Place::reserve(&rows, row("b@x", 6), max).unwrap();
        assert!(Place::reserve(&rows, row("c@x", 0), max).is_none(), "there is no more room");
        assert_eq!((first.id, second.id, rows.lock().bytes()), (1, 2, max));
        first.fill();
        drop(second);
        let all = rows.lock();
        assert_eq!((all.len(), all.bytes(), all.oldest()), (1, ROW + 4, Some(7)));
        assert_eq!(all.users(), ["a@x".parse().unwrap()]);
    }

    #[test]
    fn users_come_in_the_order_in_which_they_wait_and_rows_in_theirs() {
        let mut rows = Rows::default();
        for (id, user) in [(3, "b@x"), (5, "a@x"), (8, "b@x"), (9, "c@x")] {
            rows.insert(id, row(user, 1));
        }
        let user = |name: &str| -> BareJid { name.parse().unwrap() };
        assert_eq!(rows.users(), [user("b@x"), user("a@x"), user("c@x")]);
        assert_eq!(rows.first(&user("b@x"), None), Some(3));
        assert_eq!(rows.first(&user("b@x"), Some(3)), Some(8));
        assert_eq!(rows.kept(&user("b@x")).messages, 2);
        rows.remove(3);
        assert_eq!(rows.users(), [user("a@x"), user("b@x"), user("c@x")]);
        for id in [5, 8, 9] {
            rows.remove(id);
        }
        assert_eq!((rows.len(), rows.bytes(), rows.has(&user("b@x"))), (0, 0, false));
    }
}
