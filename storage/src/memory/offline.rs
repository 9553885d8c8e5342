//! Offline messages in memory.

use super::{MemoryStore, answer};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, StoreFuture,
    offline::{Kept, sender},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// Messages by user, and all of them by the time they arrived.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) last: u64,
    pub(super) users: HashMap<BareJid, BTreeMap<u64, OfflineMessage>>,
    pub(super) times: BTreeSet<(u64, u64, BareJid)>,
}

impl Messages {
    fn keep(&mut self, user: &BareJid, at: u64, stanza: Stanza) -> u64 {
        self.last += 1;
        let id = self.last;
        self.times.insert((at, id, user.clone()));
        let message = OfflineMessage { id, at, stanza };
        self.users.entry(user.clone()).or_default().insert(id, message);
        id
    }

    /// What is kept for a user: of everybody, and of this sender.
    fn kept(&self, user: &BareJid, from: Option<&Jid>) -> [Kept; 2] {
        let mut kept = [Kept::default(); 2];
        for message in self.users.get(user).into_iter().flat_map(BTreeMap::values) {
            let bytes = message.stanza.weight();
            let [everybody, own] = &mut kept;
            everybody.add(bytes);
            if sender(&message.stanza).as_ref() == from {
                own.add(bytes);
            }
        }
        kept
    }

    fn forget(&mut self, user: &BareJid, ids: impl IntoIterator<Item = u64>) -> usize {
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
            let all = &mut *self.offline.lock();
            let [everybody, own] = all.kept(user, sender(&stanza).as_ref());
            limits.check(everybody, own, stanza.weight())?;
            Ok(all.keep(user, at, stanza))
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
            let mut page = Vec::new();
            let mut room = bytes;
            for (_, message) in waiting.take(limit) {
                let weight = message.stanza.weight();
                // the first always fits
                if weight > room && !page.is_empty() {
                    break;
                }
                room = room.saturating_sub(weight);
                page.push(message.clone());
            }
            Ok(page)
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        answer(move || {
            self.offline.lock().forget(user, ids);
            Ok(())
        })
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            for id in ids {
                let found = all.users.get(user).and_then(|kept| kept.get(&id)).cloned();
                if let Some(OfflineMessage { at, stanza, .. }) = found {
                    all.forget(user, [id]);
                    all.keep(user, at, stanza);
                }
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

    fn purge<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, ()> {
        answer(move || {
            self.offline.lock().forget_all(user);
            Ok(())
        })
    }
}
