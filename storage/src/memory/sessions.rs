//! Sessions in memory, and what they hold.

use super::{
    MemoryStore, answer,
    offline::{Held, Messages, page},
};
use crate::{
    OfflineLimits, OfflineMessage, Sessions, StoreFuture, StoredSession, Whose,
    sessions::{MAX_PAGE, TERM, further, token_of},
};
use std::{collections::BTreeSet, ops::Bound};
use xmpp::{jid::BareJid, stanza::Stanza};

impl Messages {
    /// Keeps messages that have their numbers.
    fn append(
        &mut self,
        user: &BareJid,
        holders: Vec<String>,
        messages: Vec<OfflineMessage>,
        by: Option<(String, u32)>,
    ) -> Vec<u64> {
        if let Some((key, handled)) = by
            && let Some(session) = self.sessions.get_mut(&key)
        {
            session.handled = handled;
        }
        let holders: BTreeSet<String> = holders.into_iter().collect();
        let ids = messages.iter().map(|message| message.id).collect();
        for message in messages {
            if holders.is_empty() {
                self.keep(user, message);
                continue;
            }
            let held = Held { message, holders: holders.clone(), delivered: false };
            self.held.entry(user.clone()).or_default().insert(held.message.id, held);
        }
        ids
    }

    /// A holder, or somebody else with `None`, is done with a message: has it, or lets go of it.
    pub(super) fn done(&mut self, user: &BareJid, key: Option<&str>, id: u64, delivered: bool) {
        let Some(held) = self.held.get_mut(user).and_then(|all| all.get_mut(&id)) else {
            if delivered {
                self.forget(user, [id]);
            }
            return;
        };
        held.delivered |= delivered;
        if let Some(key) = key {
            held.holders.remove(key);
        }
        if !held.holders.is_empty() {
            return;
        }
        let all = self.held.entry(user.clone()).or_default();
        let last = all.remove(&id).filter(|held| !held.delivered);
        if all.is_empty() {
            self.held.remove(user);
        }
        if let Some(held) = last {
            self.keep(user, held.message);
        }
    }

    /// Lets go of up to `limit` messages that a session holds; how many.
    fn let_go(&mut self, user: &BareJid, key: &str, limit: usize) -> usize {
        let held = self.held.get(user).into_iter().flatten();
        let held = held.filter(|(_, held)| held.holders.contains(key)).map(|(id, _)| *id);
        let ids: Vec<u64> = held.take(limit).collect();
        for id in &ids {
            self.done(user, Some(key), *id, false);
        }
        ids.len()
    }

    fn is_kept(&self, user: &BareJid, key: &str) -> bool {
        self.sessions.get(key).is_some_and(|session| session.user == *user)
    }

    /// A session of these nodes that holds something and is not kept.
    fn unkept(&self, whose: Whose<'_>) -> Option<(BareJid, String)> {
        let (from, to) = whose.range();
        self.held.iter().find_map(|(user, held)| {
            let holders =
                held.values().flat_map(|held| held.holders.range(from.clone()..to.clone()));
            let key = holders.into_iter().find(|key| !self.is_kept(user, key))?;
            Some((user.clone(), key.clone()))
        })
    }

    /// See [`Sessions::adopt`].
    fn adopt(
        &mut self,
        user: &BareJid,
        key: &str,
        epoch: Option<u64>,
        new: &str,
    ) -> Option<StoredSession> {
        if !self.is_kept(user, key) {
            let adopted = self.sessions.get(new).filter(|kept| kept.user == *user)?;
            let same = epoch.is_none_or(|epoch| adopted.epoch == epoch + TERM);
            return (same && key != new).then(|| adopted.clone());
        }
        let mut session = self.sessions.get(key)?.clone();
        if epoch.is_some_and(|epoch| epoch != session.epoch) {
            return None;
        }
        self.sessions.remove(key);
        for held in self.held.get_mut(user).into_iter().flat_map(|all| all.values_mut()) {
            if held.holders.remove(key) {
                held.holders.insert(new.to_owned());
            }
        }
        if self.sessions.contains_key(new) {
            return None;
        }
        (session.key, session.epoch) = (new.to_owned(), session.epoch + TERM);
        self.sessions.insert(session.key.clone(), session.clone());
        Some(session)
    }
}

#[cfg(test)]
impl MemoryStore {
    /// A number for a message, at least that one.
    pub(crate) fn number(&self, least: u64) -> u64 {
        let all = &mut *self.offline.lock();
        all.last = least.max(all.last + 1);
        all.last
    }

    /// [`Sessions::append`] of messages that have their numbers: of `by` no less counts than before.
    pub(crate) fn append_numbered(
        &self,
        user: &BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, u64, Stanza)>,
        limits: Option<OfflineLimits>,
        by: Option<(String, u32)>,
    ) -> Result<(), crate::StoreError> {
        let _account = self.account(user)?;
        let all = &mut *self.offline.lock();
        if let Some(limits) = limits {
            let new = messages.iter().map(|(_, at, stanza)| (*at, stanza.clone()));
            all.check(user, &new.collect::<Vec<_>>(), limits)?;
        }
        let new = messages.into_iter();
        let new = new.map(|(id, at, stanza)| OfflineMessage { id, at, stanza, strikes: 0 });
        all.last = all.last.max(new.clone().map(|message| message.id).max().unwrap_or(0));
        let by = by.filter(|(key, handled)| {
            all.sessions.get(key).is_some_and(|kept| further(*handled, kept.handled))
        });
        all.append(user, holders, new.collect(), by);
        Ok(())
    }
}

impl Sessions for MemoryStore {
    fn put(&self, mut session: StoredSession) -> StoreFuture<'_, ()> {
        answer(move || {
            let _account = self.account(&session.user)?;
            let sessions = &mut self.offline.lock().sessions;
            let kept = sessions.get(&session.key);
            session.check(kept.map(|kept| (kept.user.as_str(), kept.epoch)))?;
            if let Some(kept) = kept.filter(|kept| further(kept.handled, session.handled)) {
                session.handled = kept.handled;
            }
            sessions.insert(session.key.clone(), session);
            Ok(())
        })
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        answer(move || {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let _account = self.account(user)?;
            let all = &mut *self.offline.lock();
            all.check(user, &messages, limits)?;
            let new = messages.into_iter().map(|(at, stanza)| all.numbered(at, stanza)).collect();
            Ok(all.append(user, holders, new, by))
        })
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            for id in ids {
                let plain = all.users.get(user).and_then(|kept| kept.get(&id)).cloned();
                if let Some(message) = plain {
                    all.forget(user, [id]);
                    let held = Held { message, holders: BTreeSet::new(), delivered: false };
                    all.held.entry(user.clone()).or_default().insert(id, held);
                }
                if let Some(held) = all.held.get_mut(user).and_then(|all| all.get_mut(&id)) {
                    held.holders.insert(key.to_owned());
                }
            }
            Ok(())
        })
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            for id in ids {
                all.done(user, Some(key), id, true);
            }
            Ok(())
        })
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        answer(move || {
            let sessions = &mut self.offline.lock().sessions;
            let this = sessions.get(key).is_some_and(|kept| {
                kept.user == *user && epoch.is_none_or(|epoch| epoch == kept.epoch)
            });
            Ok(if this { sessions.remove(key) } else { None })
        })
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        answer(move || {
            let all = self.offline.lock();
            let held = all.held.get(user).into_iter();
            let held = held.flat_map(|held| held.range(after.saturating_add(1)..));
            let held = held.filter(|(_, held)| held.holders.contains(key));
            Ok(page(held.map(|(_, held)| &held.message), limit, bytes))
        })
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        answer(move || {
            let all = &mut *self.offline.lock();
            if all.is_kept(user, key) {
                all.sessions.remove(key);
            }
            all.let_go(user, key, usize::MAX);
            Ok(())
        })
    }

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        answer(move || {
            let all = self.offline.lock();
            let (from, to) = whose.range();
            let after = Bound::Excluded(after.max(&from));
            let mut page = Vec::new();
            let rest = all.sessions.range::<str, _>((after, Bound::Unbounded));
            let rest = rest.take_while(|(key, _)| **key < to);
            let mut room = MAX_PAGE;
            for (_, session) in rest.take(limit) {
                if session.frozen.len() > room && !page.is_empty() {
                    break;
                }
                room = room.saturating_sub(session.frozen.len());
                page.push(session.clone());
            }
            Ok(page)
        })
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        answer(move || {
            let all = &mut *self.offline.lock();
            let mut released = 0;
            while released < limit
                && let Some((user, key)) = all.unkept(whose)
            {
                released += all.let_go(&user, &key, limit - released);
            }
            Ok(released)
        })
    }

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        answer(move || {
            let all = self.offline.lock();
            let of = all.sessions.values().filter(|kept| kept.user == *user);
            let of = of.filter(|kept| token_of(&kept.key) == token);
            Ok(of.max_by_key(|kept| kept.epoch).cloned())
        })
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        answer(move || Ok(self.offline.lock().adopt(user, key, epoch, new)))
    }
}
