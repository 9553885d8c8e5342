//! vCards, private XML, blocklists and last activity in SQLite.

use super::{SMALL, SqliteStore, accounts::must_exist, health::Health, int, uint};
use crate::{
    Activity, ActivityStore, Blocklist, BlocklistStore, PrivateStore, StoreError, StoreFuture,
    VcardStore, accounts::address, cache::Caches,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;
use xmpp::jid::{BareJid, Jid};

impl VcardStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<str>>> {
        let user = user.clone();
        Box::pin(self.read(move |db| {
            let mut select = db.prepare_cached("SELECT xml FROM vcards WHERE user = ?")?;
            Ok(select.query_row([user.as_str()], |row| row.get(0)).optional()?)
        }))
    }

    fn set<'a>(&'a self, user: &'a BareJid, xml: String) -> StoreFuture<'a, ()> {
        let (user, bytes) = (user.clone(), SMALL + xml.len());
        let work = move |db: &Connection| {
            must_exist(db, &user)?;
            let sql = "INSERT OR REPLACE INTO vcards VALUES (?, ?)";
            db.prepare_cached(sql)?.execute([user.as_str(), &xml])?;
            Ok(())
        };
        Box::pin(self.write(bytes, work, |_, _| ()))
    }
}

impl PrivateStore for SqliteStore {
    fn get<'a>(
        &'a self,
        user: &'a BareJid,
        ns: &'a str,
        name: &'a str,
    ) -> StoreFuture<'a, Option<String>> {
        let key = [user.as_str().to_owned(), ns.to_owned(), name.to_owned()];
        Box::pin(self.read(move |db| {
            let sql = "SELECT xml FROM private WHERE user = ? AND ns = ? AND name = ?";
            Ok(db.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?)
        }))
    }

    fn set<'a>(
        &'a self,
        user: &'a BareJid,
        elements: Vec<(String, String, String)>,
        limit: usize,
    ) -> StoreFuture<'a, ()> {
        let user = user.clone();
        let bytes: usize =
            elements.iter().map(|(ns, name, xml)| ns.len() + name.len() + xml.len()).sum();
        let work = move |db: &Connection| {
            must_exist(db, &user)?;
            let sql = "SELECT count(*) FROM private WHERE user = ?";
            let mut count = db.prepare_cached(sql)?;
            let mut count = || count.query_row([user.as_str()], |row| row.get::<_, i64>(0));
            let before = count()?;
            let mut put =
                db.prepare_cached("INSERT OR REPLACE INTO private VALUES (?, ?, ?, ?)")?;
            for (ns, name, xml) in &elements {
                put.execute([user.as_str(), ns, name, xml])?;
            }
            within(limit, before, count()?)
        };
        Box::pin(self.write(SMALL + bytes, work, |_, _| ()))
    }
}

/// Who has too many since the limit was lowered may still change them.
fn within(limit: usize, before: i64, after: i64) -> Result<(), StoreError> {
    let fits = after <= before || usize::try_from(after).is_ok_and(|n| n <= limit);
    if fits { Ok(()) } else { Err(StoreError::Full { limit }) }
}

pub(super) fn blocklist(
    db: &Connection,
    health: &Health,
    user: &BareJid,
) -> Result<Arc<Blocklist>, StoreError> {
    let mut select = db.prepare_cached("SELECT jid FROM blocklists WHERE user = ?")?;
    let mut found = select.query([user.as_str()])?;
    let mut list = Blocklist::new();
    while let Some(row) = found.next()? {
        match address(row.get_ref(0)?.as_str().unwrap_or_default()) {
            Ok(jid) => {
                list.insert(jid);
            }
            // it blocks nobody, and keeps no other from being in force; the row stays for an operator to look at
            Err(why) => {
                tracing::error!(%user, %why, "a blocked address cannot be read: see the table blocklists");
                health.unreadable("blocklists", 1);
            }
        }
    }
    Ok(Arc::new(list))
}

fn blocklist_is(user: &BareJid) -> impl FnOnce(&Caches, Option<&Arc<Blocklist>>) + use<> {
    let user = user.clone();
    move |caches, list| caches.blocklists.wrote(&user, list.cloned())
}

fn unblock_all(db: &Connection, user: &BareJid) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM blocklists WHERE user = ?")?.execute([user.as_str()])?;
    Ok(())
}

impl BlocklistStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Blocklist>> {
        let health = Arc::clone(&self.health);
        let load = move |db: &Connection, user: &BareJid| blocklist(db, &health, user);
        Box::pin(self.cached(&self.caches.blocklists, user, load))
    }

    fn add<'a>(
        &'a self,
        user: &'a BareJid,
        jids: Vec<Jid>,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Blocklist>> {
        let (key, health) = (user.clone(), Arc::clone(&self.health));
        let bytes = SMALL + jids.iter().map(Jid::weight).sum::<usize>();
        let work = move |db: &Connection| {
            must_exist(db, &key)?;
            let before = blocklist(db, &health, &key)?;
            let sql = "INSERT INTO blocklists VALUES (?, ?) ON CONFLICT DO NOTHING";
            let mut insert = db.prepare_cached(sql)?;
            for jid in &jids {
                insert.execute([key.as_str(), jid.as_str()])?;
            }
            let mut list = before;
            let had = list.len();
            Arc::make_mut(&mut list).extend(jids);
            if list.len() > limit && list.len() > had {
                return Err(StoreError::Full { limit });
            }
            Ok(list)
        };
        Box::pin(self.write(bytes, work, blocklist_is(user)))
    }

    fn remove<'a>(&'a self, user: &'a BareJid, jids: Vec<Jid>) -> StoreFuture<'a, Arc<Blocklist>> {
        let (key, health) = (user.clone(), Arc::clone(&self.health));
        let work = move |db: &Connection| {
            if jids.is_empty() {
                unblock_all(db, &key)?;
            }
            let sql = "DELETE FROM blocklists WHERE user = ? AND jid = ?";
            let mut delete = db.prepare_cached(sql)?;
            for jid in &jids {
                delete.execute([key.as_str(), jid.as_str()])?;
            }
            blocklist(db, &health, &key)
        };
        Box::pin(self.write(SMALL, work, blocklist_is(user)))
    }
}

impl ActivityStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Activity>> {
        let user = user.clone();
        Box::pin(self.read(move |db| {
            let mut select = db.prepare_cached("SELECT at, status FROM activity WHERE user = ?")?;
            let activity = select.query_row([user.as_str()], |row| {
                Ok(Activity { at: uint(row.get(0)?), status: row.get(1)? })
            });
            Ok(activity.optional()?)
        }))
    }

    fn set(&self, all: Vec<(BareJid, Activity)>) -> StoreFuture<'_, ()> {
        let row = |(user, of): &(BareJid, Activity)| user.as_str().len() + of.status.len() + 64;
        let bytes = all.iter().map(row).sum();
        let work = move |db: &Connection| {
            let mut put = db.prepare_cached(
                "INSERT OR REPLACE INTO activity SELECT ?1, ?2, ?3
                 WHERE EXISTS (SELECT 1 FROM accounts WHERE user = ?1)",
            )?;
            for (user, activity) in &all {
                put.execute(params![user.as_str(), int(activity.at), activity.status])?;
            }
            Ok(())
        };
        Box::pin(self.write(bytes, work, |_, _| ()))
    }
}
