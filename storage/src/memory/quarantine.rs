//! Strikes against offline messages, and the quarantine, in memory.

use super::{MemoryStore, answer, offline::Messages};
use crate::{
    OfflineMessage, StoreFuture,
    offline::sender,
    quarantine::{LAST, OUT, QuarantineStore, Quarantined, Struck, Verdict, one_more},
};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use xmpp::{jid::BareJid, stanza::Stanza};

/// A message in quarantine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) user: BareJid,
    pub(super) since: u64,
    pub(super) message: OfflineMessage,
}

impl Kept {
    pub(super) fn of(seen: Quarantined, stanza: Stanza) -> Self {
        let Quarantined { id, user, at, since, .. } = seen;
        Self { user, since, message: OfflineMessage { id, at, stanza, strikes: OUT } }
    }

    pub(super) fn seen(&self) -> Quarantined {
        let OfflineMessage { id, at, stanza, .. } = &self.message;
        let (user, from, bytes) = (self.user.clone(), sender(stanza), stanza.weight());
        Quarantined { id: *id, user, from, at: *at, since: self.since, bytes }
    }
}

impl Messages {
    /// Puts a message that waits behind all others of its user.
    pub(super) fn move_back(&mut self, user: &BareJid, id: u64) {
        let found = self.users.get(user).and_then(|kept| kept.get(&id)).cloned();
        if let Some(OfflineMessage { at, stanza, strikes, .. }) = found {
            self.forget(user, [id]);
            let message = OfflineMessage { strikes, ..self.numbered(at, stanza) };
            self.keep(user, message);
        }
    }

    fn strike(&mut self, user: &BareJid, id: u64) -> Option<(u32, Verdict)> {
        let held = self.held.get_mut(user).and_then(|held| held.get_mut(&id));
        let (message, held) = match held.filter(|held| !held.delivered) {
            Some(held) => (&mut held.message, true),
            None => (self.users.get_mut(user)?.get_mut(&id)?, false),
        };
        let (strikes, verdict) = one_more(message.strikes, held);
        message.strikes = strikes;
        Some((strikes, verdict))
    }

    fn put_away(&mut self, user: &BareJid, id: u64, since: u64, room: usize) -> Struck {
        let found = self.users.get_mut(user).and_then(|kept| kept.get_mut(&id));
        let Some(message) = found else { return Struck::Gone };
        let own = self.quarantine.values().filter(|kept| kept.user == *user);
        let used: usize = own.map(|kept| kept.message.stanza.weight()).sum();
        if used + message.stanza.weight() > room {
            message.strikes = LAST;
            self.move_back(user, id);
            return Struck::Full;
        }
        let (message, user) = (message.clone(), user.clone());
        let stanza = message.stanza.clone();
        self.forget(&user, [id]);
        self.quarantine.insert(id, Kept { user, since, message });
        Struck::Quarantined(stanza)
    }
}

impl QuarantineStore for MemoryStore {
    fn strike<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        id: u64,
        at: u64,
        room: usize,
    ) -> StoreFuture<'a, Struck> {
        answer(move || {
            let all = &mut *self.offline.lock();
            all.done(user, Some(key), id, false);
            Ok(match all.strike(user, id) {
                None => Struck::Gone,
                Some((strikes, Verdict::Counted)) => Struck::Counted(strikes),
                Some((_, Verdict::Last)) => {
                    all.move_back(user, id);
                    Struck::Last
                }
                Some((_, Verdict::Out)) => all.put_away(user, id, at, room),
            })
        })
    }

    fn quarantined<'a>(
        &'a self,
        user: Option<&'a BareJid>,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Quarantined>> {
        answer(move || {
            let all = self.offline.lock();
            let rest = all.quarantine.range((Bound::Excluded(after), Bound::Unbounded));
            let rest = rest.map(|(_, kept)| kept);
            let fits = rest.filter(|kept| user.is_none_or(|user| kept.user == *user));
            Ok(fits.take(limit).map(Kept::seen).collect())
        })
    }

    fn content(&self, id: u64) -> StoreFuture<'_, Option<(Quarantined, Stanza)>> {
        answer(move || {
            let all = self.offline.lock();
            Ok(all.quarantine.get(&id).map(|kept| (kept.seen(), kept.message.stanza.clone())))
        })
    }

    fn restore(&self, id: u64) -> StoreFuture<'_, Option<(BareJid, u64)>> {
        answer(move || {
            let kept = self.offline.lock().quarantine.get(&id).map(|kept| kept.user.clone());
            let Some(user) = kept else { return Ok(None) };
            let _account = self.account(&user)?;
            let all = &mut *self.offline.lock();
            Ok(all.quarantine.remove(&id).map(|Kept { user, message, .. }| {
                let message = all.numbered(message.at, message.stanza);
                let new = all.keep(&user, message);
                (user, new)
            }))
        })
    }

    fn discard(&self, id: u64) -> StoreFuture<'_, bool> {
        answer(move || Ok(self.offline.lock().quarantine.remove(&id).is_some()))
    }
}
