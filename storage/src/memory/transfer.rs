//! All that is kept of a user, in memory.

use super::{MemoryStore, answer, offline::Held, quarantine};
use crate::{Everything, StoreFuture, Transfer, transfer::Kept};
use std::{collections::BTreeSet, ops::Bound, sync::Arc};
use xmpp::jid::BareJid;

impl Transfer for MemoryStore {
    fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>> {
        answer(move || {
            let accounts = self.accounts.lock();
            let rest = accounts.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
            Ok(rest.take(limit).map(|(user, _)| user.as_str().to_owned()).collect())
        })
    }

    fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>> {
        answer(move || {
            let accounts = self.accounts.lock();
            let Some(account) = accounts.get(user) else { return Ok(None) };
            let roster = self.rosters.lock().get(user).cloned().unwrap_or_default();
            let offline = self.offline.lock();
            let waiting = offline.users.get(user).into_iter().flat_map(|kept| kept.values());
            let waiting = waiting.map(|message| Kept {
                message: message.clone(),
                holders: BTreeSet::new(),
                delivered: false,
            });
            let held = offline.held.get(user).into_iter().flat_map(|held| held.values());
            let held = held.map(|held| Kept {
                message: held.message.clone(),
                holders: held.holders.clone(),
                delivered: held.delivered,
            });
            let mut messages: Vec<Kept> = waiting.chain(held).collect();
            messages.sort_by_key(|kept| kept.message.id);
            let sessions = offline.sessions.values().filter(|s| s.user == *user).cloned();
            let quarantine = offline.quarantine.values().filter(|kept| kept.user == *user);
            let quarantine = quarantine.map(|kept| (kept.seen(), kept.message.stanza.clone()));
            let private = self.private.lock();
            let private = private.get(user).into_iter().flatten();
            let private = private.map(|((ns, name), xml)| (ns.clone(), name.clone(), xml.clone()));
            let private: BTreeSet<_> = private.collect();
            Ok(Some(Everything {
                user: user.clone(),
                account: (**account).clone(),
                roster,
                messages,
                sessions: sessions.collect(),
                quarantine: quarantine.collect(),
                vcard: self.vcards.lock().get(user).map(|xml| xml.to_string()),
                private: private.into_iter().collect(),
                blocklist: self.blocklists.lock().get(user).cloned().unwrap_or_default(),
                activity: self.activity.lock().get(user).cloned(),
            }))
        })
    }

    fn import(&self, all: Everything) -> StoreFuture<'_, ()> {
        answer(move || {
            let user = all.user;
            let mut accounts = self.accounts.lock();
            self.forget(&user);
            accounts.insert(user.clone(), Arc::new(all.account));
            if all.roster.ver > 0 {
                self.rosters.lock().insert(user.clone(), all.roster);
            }
            let mut offline = self.offline.lock();
            let offline = &mut *offline;
            for Kept { message, holders, delivered } in all.messages {
                offline.last = offline.last.max(message.id);
                if holders.is_empty() {
                    offline.keep(&user, message);
                } else {
                    let held = Held { message, holders, delivered };
                    offline.held.entry(user.clone()).or_default().insert(held.message.id, held);
                }
            }
            let sessions = all.sessions.into_iter();
            offline.sessions.extend(sessions.map(|session| (session.key.clone(), session)));
            for (seen, stanza) in all.quarantine {
                offline.last = offline.last.max(seen.id);
                offline.quarantine.insert(seen.id, quarantine::Kept::of(seen, stanza));
            }
            if let Some(xml) = all.vcard {
                self.vcards.lock().insert(user.clone(), xml.into());
            }
            let private = all.private.into_iter().map(|(ns, name, xml)| ((ns, name), xml));
            self.private.lock().insert(user.clone(), private.collect());
            if !all.blocklist.is_empty() {
                self.blocklists.lock().insert(user.clone(), all.blocklist);
            }
            if let Some(activity) = all.activity {
                self.activity.lock().insert(user, activity);
            }
            Ok(())
        })
    }
}
