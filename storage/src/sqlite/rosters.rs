//! Rosters in SQLite: one row a roster, one a contact.

use super::{SMALL, SqliteStore, int, uint};
use crate::{Roster, RosterChange, RosterItem, RosterStore, StoreError, StoreFuture};
use rusqlite::{Connection, OptionalExtension, params};
use std::{fmt::Display, sync::Arc};
use xmpp::jid::{BareJid, Jid};

fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(format!("a roster: {error}"))
}

fn load(db: &Connection, user: &BareJid) -> Result<Arc<Roster>, StoreError> {
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
            roster.removed = serde_json::from_slice(removed).map_err(corrupt)?;
        }
        if let Some(item) = row.get_ref(3)?.as_bytes_or_null().map_err(corrupt)? {
            roster.items.push(serde_json::from_slice::<RosterItem>(item).map_err(corrupt)?);
        }
    }
    Ok(Arc::new(roster))
}

fn version(db: &Connection, user: &BareJid) -> Result<u64, StoreError> {
    let mut select = db.prepare_cached("SELECT ver FROM rosters WHERE user = ?")?;
    let found = select.query_row([user.as_str()], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, uint))
}

fn store(db: &Connection, user: &BareJid, roster: &Roster, jid: &Jid) -> Result<(), StoreError> {
    let json = |error: serde_json::Error| StoreError::Failed(error.to_string());
    let removed = serde_json::to_string(&roster.removed).map_err(json)?;
    db.prepare_cached("INSERT OR REPLACE INTO rosters VALUES (?, ?, ?, ?)")?.execute(params![
        user.as_str(),
        int(roster.ver),
        int(roster.floor),
        removed
    ])?;
    match roster.item(jid) {
        Some(item) => {
            let item = serde_json::to_string(item).map_err(json)?;
            db.prepare_cached("INSERT OR REPLACE INTO roster_items VALUES (?, ?, ?)")?.execute([
                user.as_str(),
                jid.as_str(),
                &item,
            ])?
        }
        None => db
            .prepare_cached("DELETE FROM roster_items WHERE user = ? AND jid = ?")?
            .execute([user.as_str(), jid.as_str()])?,
    };
    Ok(())
}

impl RosterStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>> {
        Box::pin(self.cached(&self.caches.rosters, user, load))
    }

    fn change<'a>(
        &'a self,
        user: &'a BareJid,
        ver: u64,
        change: RosterChange,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Roster>> {
        Box::pin(async move {
            let key = user.clone();
            // the roster of that version is usually known: then its rows are not read again
            let known = self.caches.rosters.get(user).filter(|roster| roster.ver == ver);
            let work = move |db: &Connection| {
                let mut roster = match known {
                    Some(known) if version(db, &key)? == ver => known,
                    _ => load(db, &key)?,
                };
                let jid = match &change {
                    RosterChange::Put(item) => item.jid.clone(),
                    RosterChange::Remove(jid) => jid.clone(),
                };
                if Arc::make_mut(&mut roster).apply(ver, change, limit)? {
                    store(db, &key, &roster, &jid)?;
                }
                Ok(roster)
            };
            let key = user.clone();
            self.write(SMALL, work, move |caches, roster| {
                caches.rosters.wrote(&key, roster.map(Arc::clone));
            })
            .await
        })
    }

    fn purge<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                for sql in [
                    "DELETE FROM rosters WHERE user = ?",
                    "DELETE FROM roster_items WHERE user = ?",
                ] {
                    db.prepare_cached(sql)?.execute([key.as_str()])?;
                }
                Ok(())
            };
            let key = user.clone();
            self.write(SMALL, work, move |caches, done| {
                caches.rosters.wrote(&key, done.map(|()| Arc::default()));
            })
            .await
        })
    }
}
