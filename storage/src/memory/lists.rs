//! vCards, private XML, blocklists and last activity in memory: one map each.

use super::{Elements, MemoryStore, answer};
use crate::{
    Activity, ActivityStore, Blocklist, BlocklistStore, PrivateStore, StoreError, StoreFuture,
    VcardStore,
};
use std::sync::Arc;
use xmpp::jid::{BareJid, Jid};

impl VcardStore for MemoryStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<str>>> {
        answer(move || Ok(self.vcards.lock().get(user).cloned()))
    }

    fn set<'a>(&'a self, user: &'a BareJid, xml: String) -> StoreFuture<'a, ()> {
        answer(move || {
            let _account = self.account(user)?;
            self.vcards.lock().insert(user.clone(), xml.into());
            Ok(())
        })
    }
}

impl PrivateStore for MemoryStore {
    fn get<'a>(
        &'a self,
        user: &'a BareJid,
        ns: &'a str,
        name: &'a str,
    ) -> StoreFuture<'a, Option<String>> {
        answer(move || {
            let private = self.private.lock();
            let elements = private.get(user);
            Ok(elements.and_then(|e| e.get(&(ns.to_owned(), name.to_owned())).cloned()))
        })
    }

    fn set<'a>(
        &'a self,
        user: &'a BareJid,
        elements: Vec<(String, String, String)>,
        limit: usize,
    ) -> StoreFuture<'a, ()> {
        answer(move || {
            let _account = self.account(user)?;
            let mut private = self.private.lock();
            let all = private.entry(user.clone()).or_default();
            let rows = elements.into_iter().map(|(ns, name, xml)| ((ns, name), xml));
            let rows: Elements = rows.collect();
            let more = rows.keys().filter(|key| !all.contains_key(*key)).count();
            if more > 0 && all.len() + more > limit {
                return Err(StoreError::Full { limit });
            }
            all.extend(rows);
            Ok(())
        })
    }
}

impl BlocklistStore for MemoryStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Blocklist>> {
        answer(move || Ok(self.blocklists.lock().get(user).cloned().unwrap_or_default()))
    }

    fn add<'a>(
        &'a self,
        user: &'a BareJid,
        jids: Vec<Jid>,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Blocklist>> {
        answer(move || {
            let _account = self.account(user)?;
            let mut blocklists = self.blocklists.lock();
            let mut list = blocklists.get(user).cloned().unwrap_or_default();
            let before = list.len();
            Arc::make_mut(&mut list).extend(jids);
            if list.len() > limit && list.len() > before {
                return Err(StoreError::Full { limit });
            }
            blocklists.insert(user.clone(), Arc::clone(&list));
            Ok(list)
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, jids: Vec<Jid>) -> StoreFuture<'a, Arc<Blocklist>> {
        answer(move || {
            let mut blocklists = self.blocklists.lock();
            let mut list = blocklists.remove(user).unwrap_or_default();
            if jids.is_empty() {
                return Ok(Arc::default());
            }
            let left = Arc::make_mut(&mut list);
            for jid in &jids {
                left.remove(jid);
            }
            if !left.is_empty() {
                blocklists.insert(user.clone(), Arc::clone(&list));
            }
            Ok(list)
        })
    }
}

impl ActivityStore for MemoryStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Activity>> {
        answer(move || Ok(self.activity.lock().get(user).cloned()))
    }

    fn set(&self, all: Vec<(BareJid, Activity)>) -> StoreFuture<'_, ()> {
        answer(move || {
            let accounts = self.accounts.lock();
            let all = all.into_iter().filter(|(user, _)| accounts.contains_key(user));
            self.activity.lock().extend(all);
            Ok(())
        })
    }
}
