//! Rosters in SQLite: one row a roster, one a contact.

use super::{SMALL, SqliteStore, accounts::must_exist, health::Health, int, uint};
use crate::{Roster, RosterItem, RosterStore, RosterWrite, StoreError, StoreFuture};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashMap, fmt::Display, sync::Arc};
use xmpp::jid::{BareJid, Jid};

fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(format!("a roster: {error}"))
}

/// What can be read of it: one bad contact does not cost its user all others. Its row stays until that contact is written again.
pub(super) fn load(
    db: &Connection,
    health: &Health,
    user: &BareJid,
) -> Result<Arc<Roster>, StoreError> {
    let unreadable = |why: StoreError| {
        tracing::error!(%user, %why, "a part of a roster cannot be read: see the tables rosters and roster_items");
        health.unreadable("rosters", 1);
    };
    // one statement sees one state of both tables
    let mut select = db.prepare_cached(
        "SELECT ver, floor, removed, item FROM rosters LEFT JOIN roster_items USING (user)
         WHERE user = ?1 ORDER BY jid",
    )?;
    let mut found = select.query([user.as_str()])?;
    let mut roster = Roster::default();
    let mut first = true;
    while let Some(row) = found.next()? {
        if std::mem::take(&mut first) {
            roster.ver = uint(row.get(0)?);
            roster.floor = uint(row.get(1)?);
            let removed = row.get_ref(2)?.as_bytes().map_err(corrupt)?;
            match serde_json::from_slice(removed).map_err(corrupt) {
                Ok(removed) => roster.removed = removed,
                Err(why) => {
                    unreadable(why);
                    // clients get it as a whole
                    roster.floor = roster.ver;
                }
            }
        }
        if let Some(item) = row.get_ref(3)?.as_bytes_or_null().map_err(corrupt)? {
            match serde_json::from_slice::<RosterItem>(item).map_err(corrupt) {
                Ok(item) => roster.items.push(item),
                Err(why) => unreadable(why),
            }
        }
    }
    Ok(Arc::new(roster))
}

pub(super) fn version(db: &Connection, user: &BareJid) -> Result<u64, StoreError> {
    let mut select = db.prepare_cached("SELECT ver FROM rosters WHERE user = ?")?;
    let found = select.query_row([user.as_str()], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, uint))
}

fn json(error: &serde_json::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

fn store_head(db: &Connection, user: &BareJid, roster: &Roster) -> Result<(), StoreError> {
    let removed = serde_json::to_string(&roster.removed).map_err(|e| json(&e))?;
    let row = params![user.as_str(), int(roster.ver), int(roster.floor), removed];
    db.prepare_cached("INSERT OR REPLACE INTO rosters VALUES (?, ?, ?, ?)")?.execute(row)?;
    Ok(())
}

fn store_item(db: &Connection, user: &BareJid, item: &RosterItem) -> Result<(), StoreError> {
    let json = serde_json::to_string(item).map_err(|e| json(&e))?;
    let row = [user.as_str(), item.jid.as_str(), &json];
    db.prepare_cached("INSERT OR REPLACE INTO roster_items VALUES (?, ?, ?)")?.execute(row)?;
    Ok(())
}

fn store(db: &Connection, user: &BareJid, roster: &Roster, jid: &Jid) -> Result<(), StoreError> {
    store_head(db, user, roster)?;
    match roster.item(jid) {
        Some(item) => store_item(db, user, item),
        None => {
            let sql = "DELETE FROM roster_items WHERE user = ? AND jid = ?";
            db.prepare_cached(sql)?.execute([user.as_str(), jid.as_str()])?;
            Ok(())
        }
    }
}

/// Keeps a roster for a user who has none.
pub(super) fn insert(db: &Connection, user: &BareJid, roster: &Roster) -> Result<(), StoreError> {
    // what is at version 0 was not changed
    if roster.ver == 0 {
        return Ok(());
    }
    store_head(db, user, roster)?;
    roster.items.iter().try_for_each(|item| store_item(db, user, item))
}

fn change(
    db: &Connection,
    health: &Health,
    changes: Vec<RosterWrite>,
    known: Vec<Option<Arc<Roster>>>,
    limit: usize,
) -> Result<Vec<Arc<Roster>>, StoreError> {
    let mut now: HashMap<BareJid, Arc<Roster>> = HashMap::new();
    let mut after = Vec::with_capacity(changes.len());
    for (RosterWrite { user, ver, change }, known) in changes.into_iter().zip(known) {
        let mut roster = match (now.remove(&user), known) {
            (Some(changed), _) => changed,
            (None, known) => {
                must_exist(db, &user)?;
                match known {
                    Some(known) if version(db, &user)? == ver => known,
                    _ => load(db, health, &user)?,
                }
            }
        };
        let jid = change.jid().cloned();
        if Arc::make_mut(&mut roster).apply(ver, change, limit)?
            && let Some(jid) = jid
        {
            store(db, &user, &roster, &jid)?;
        }
        after.push(Arc::clone(&roster));
        now.insert(user, roster);
    }
    Ok(after)
}

impl RosterStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>> {
        let health = Arc::clone(&self.health);
        let load = move |db: &Connection, user: &BareJid| load(db, &health, user);
        Box::pin(self.cached(&self.caches.rosters, user, load))
    }

    fn change_all(
        &self,
        changes: Vec<RosterWrite>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Roster>>> {
        Box::pin(async move {
            // a roster of that version is usually known: then its rows are not read again
            let known = |w: &RosterWrite| {
                self.caches.rosters.get(&w.user).filter(|roster| roster.ver == w.ver)
            };
            let known: Vec<_> = changes.iter().map(known).collect();
            let users: Vec<BareJid> = changes.iter().map(|w| w.user.clone()).collect();
            let bytes = SMALL * changes.len();
            let health = Arc::clone(&self.health);
            let work = move |db: &Connection| change(db, &health, changes, known, limit);
            self.write(bytes, work, move |caches, after| {
                for (n, user) in users.iter().enumerate() {
                    let after = after.and_then(|rosters| rosters.get(n)).map(Arc::clone);
                    caches.rosters.wrote(user, after);
                }
            })
            .await
        })
    }
}
