//! What is true of a run, known to no node: which items were accepted and what became of them, which starts are no more, who goes on
//! with which session. The first promise that is broken stands in `wrong`.

use cluster::{Entry, Start, Token};
use std::collections::{BTreeMap, BTreeSet};
use supervision::Node;

/// Who sends: one of a node's life.
pub type Source = u64;
pub type User = usize;

#[derive(Default)]
struct Item {
    /// Starts that have had it: one of them has to be no more for it to be dealt with twice.
    had: BTreeSet<Start>,
    dealt_with: bool,
}

#[derive(Default)]
pub struct Ledger {
    items: BTreeMap<(Source, User, u64), Item>,
    last: BTreeMap<(Source, User), u64>,
    /// Killed, or declared dead.
    over: BTreeSet<Start>,
    pub declared: BTreeSet<Start>,
    /// Whose source it was that died with what it had.
    lost: BTreeSet<Source>,
    sources: Source,
    sessions: u64,
    /// The first promise that was broken.
    pub wrong: Option<String>,
    /// Whose session a token names: it stays the same when another goes on with it.
    lineages: BTreeMap<(Node, u64, u64), u64>,
    pub delivered: u64,
    pub stored: u64,
    pub twice: u64,
}

impl Ledger {
    pub fn source(&mut self) -> Source {
        self.sources += 1;
        self.sources
    }

    pub fn is_wrong(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    /// Which session that is: the same as of the token before, or another.
    pub fn lineage(&mut self, token: Token, before: Option<Token>) -> u64 {
        let key = |token: Token| (token.node, token.incarnation, token.session);
        let known = before.and_then(|before| self.lineages.get(&key(before))).copied();
        let lineage = known.unwrap_or_else(|| {
            self.sessions += 1;
            self.sessions
        });
        self.lineages.insert(key(token), lineage);
        lineage
    }

    pub fn accepted(&mut self, item: (Source, User, u64), by: Start) {
        self.items.entry(item).or_default().had.insert(by);
    }

    pub fn handed(&mut self, item: (Source, User, u64), to: Start) {
        self.items.entry(item).or_default().had.insert(to);
    }

    pub fn dealt_with(&mut self, item: (Source, User, u64), by: Start, stored: bool) {
        let (source, user, number) = item;
        let Some(known) = self.items.get_mut(&item) else { return };
        known.had.insert(by);
        if std::mem::replace(&mut known.dealt_with, true) {
            self.twice += 1;
            if !known.had.iter().any(|had| self.over.contains(had)) {
                let why = format!("item {item:?} twice, then by {by:?}; had by {:?}", known.had);
                self.is_wrong(why);
            }
            return;
        }
        let last = self.last.entry((source, user)).or_default();
        let before = std::mem::replace(last, number);
        if before >= number {
            self.is_wrong(format!("item {item:?} after {before} by {by:?}"));
        }
        *(if stored { &mut self.stored } else { &mut self.delivered }) += 1;
    }

    /// That start was killed, with these sources, or goes on as another.
    pub fn over(&mut self, start: Start, sources: &[Source]) {
        self.over.insert(start);
        self.lost.extend(sources);
    }

    /// Somebody takes that start for dead.
    pub fn declared(&mut self, start: Start) {
        self.over.insert(start);
        self.declared.insert(start);
    }

    /// Sessions of a start leave the registry so that somebody goes on with them.
    pub fn gone(&mut self, sessions: &[Entry]) {
        for Entry { record, .. } in sessions {
            let token = record.token;
            self.declared(Start { node: token.node, incarnation: token.incarnation });
        }
    }

    /// Items that nobody has dealt with, of those whose source is there.
    pub fn open(&self) -> Vec<(Source, User, u64)> {
        let open =
            self.items.iter().filter(|(of, item)| !item.dealt_with && !self.lost.contains(&of.0));
        open.map(|(of, _)| *of).collect()
    }
}
