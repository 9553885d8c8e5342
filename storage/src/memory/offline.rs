//! Offline messages in memory.

use super::{MemoryStore, answer, quarantine};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, StoreError, StoreFuture, StoredSession,
    offline::{Kept, sender},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// Messages by user, and all of them by the time they arrived; beside them those that are held, with the sessions.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) last: u64,
    pub(super) users: HashMap<BareJid, BTreeMap<u64, OfflineMessage>>,
    pub(super) times: BTreeSet<(u64, u64, BareJid)>,
    pub(super) held: BTreeMap<BareJid, BTreeMap<u64, Held>>,
    pub(super) sessions: BTreeMap<String, StoredSession>,
    pub(super) quarantine: BTreeMap<u64, quarantine::Kept>,
}

/// A message that sessions hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) message: OfflineMessage,
    /// Their keys: one at least.
    pub(super) holders: BTreeSet<String>,
    /// One that held it has it, so that it is forgotten with the last of them.
    pub(super) delivered: bool,
}

/// Up to `limit` messages of no more than so many bytes, but one at least.
pub(super) fn page<'a>(
    waiting: impl Iterator<Item = &'a OfflineMessage>,
    limit: usize,
    bytes: usize,
) -> Vec<OfflineMessage> {
    let mut page = Vec::new();
    let mut room = bytes;
    for message in waiting.take(limit) {
        let weight = message.stanza.weight();
        // the first always fits
        if weight > room && !page.is_empty() {
            break;
        }
        room = room.saturating_sub(weight);
        page.push(message.clone());
    }
    page
}

impl Messages {
    /// A message with a number of its own.
    pub(super) fn numbered(&mut self, at: u64, stanza: Stanza) -> OfflineMessage {
        self.last += 1;
        OfflineMessage { id: self.last, at, stanza, strikes: 0 }
    }

    pub(super) fn keep(&mut self, user: &BareJid, message: OfflineMessage) -> u64 {
        let id = message.id;
        self.times.insert((message.at, id, user.clone()));
        self.users.entry(user.clone()).or_default().insert(id, message);
        id
    }

    /// Whether all of these fit.
    pub(super) fn check(
        &self,
        user: &BareJid,
        messages: &[(u64, Stanza)],
        limits: OfflineLimits,
    ) -> Result<(), StoreError> {
        let new = messages.iter().map(|(_, stanza)| (sender(stanza), stanza.weight()));
        limits.check_all(new, |from| Ok(self.kept(user, from.as_ref())))
    }

    /// What is kept for a user: of everybody, and of this sender.
    fn kept(&self, user: &BareJid, from: Option<&Jid>) -> [Kept; 2] {
        let mut kept = [Kept::default(); 2];
        let waiting = self.users.get(user).into_iter().flat_map(BTreeMap::values);
        let held = self.held.get(user).into_iter().flat_map(BTreeMap::values);
        for message in waiting.chain(held.map(|held| &held.message)) {
            let bytes = message.stanza.weight();
            let [everybody, own] = &mut kept;
            everybody.add(bytes);
            if sender(&message.stanza).as_ref() == from {
                own.add(bytes);
            }
        }
        kept
    }

    pub(super) fn forget(&mut self, user: &BareJid, ids: impl IntoIterator<Item = u64>) -> usize {
        let Some(kept) = self.users.get_mut(user) else { return 0 };
        let gone: Vec<_> = ids.into_iter().filter_map(|id| kept.remove(&id)).collect();
        if kept.is_empty() {
            self.users.remove(user);
        }
        for message in &gone {
            self.times.remove(&(message.at, message.id, user.clone()));
        }
        gone.len()
    }

    /// Forgets all messages of a user.
    pub(super) fn forget_all(&mut self, user: &BareJid) {
        let ids: Vec<u64> = self.users.get(user).into_iter().flatten().map(|(id, _)| *id).collect();
        self.forget(user, ids);
        self.held.remove(user);
    }
}

impl OfflineStore for MemoryStore {
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        answer(move || {
            let _account = self.account(user)?;
            let all = &mut *self.offline.lock();
            let new = (at, stanza);
            all.check(user, std::slice::from_ref(&new), limits)?;
            let message = all.numbered(new.0, new.1);
            Ok(all.keep(user, message))
        })
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        answer(move || {
            let all = self.offline.lock();
            let waiting = all.users.get(user).into_iter();
            let waiting = waiting.flat_map(|kept| kept.range(after.saturating_add(1)..));
            Ok(page(waiting.map(|(_, message)| message), limit, bytes))
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            for id in ids {
                all.done(user, None, id, true);
            }
            Ok(())
        })
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            ids.into_iter().for_each(|id| all.move_back(user, id));
            Ok(())
        })
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            let waiting = all.users.get(user).into_iter().flat_map(BTreeMap::keys);
            let ids: Vec<u64> =
                waiting.copied().filter(|id| *id > after && !but.contains(id)).collect();
            if ids.first().is_some_and(|first| *first < before) {
                ids.into_iter().for_each(|id| all.move_back(user, id));
            }
            Ok(())
        })
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        answer(move || Ok(self.offline.lock().users.get(user).map_or(0, BTreeMap::len)))
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        answer(move || {
            let mut all = self.offline.lock();
            let old = all.times.iter().take_while(|(then, ..)| *then < at).take(limit);
            let old: Vec<_> = old.cloned().collect();
            Ok(old.into_iter().map(|(_, id, user)| all.forget(&user, [id])).sum())
        })
    }
}
