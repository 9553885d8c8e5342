//! Offline messages in SQLite: one row a message, the stanza as XML that stands for itself.

use super::{SMALL, SqliteStore, accounts::must_exist, int, rows, uint};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, StoreError, StoreFuture,
    accounts::address,
    cache::Caches,
    offline::{Kept, sender},
};
use rusqlite::{Connection, Rows, params};
use std::collections::BTreeSet;
use xmpp::{jid::BareJid, stanza::Stanza};

pub(super) fn count(db: &Connection, user: &BareJid) -> Result<usize, StoreError> {
    let mut select =
        db.prepare_cached("SELECT count(*) FROM offline WHERE user = ? AND holders = 0")?;
    let waiting: i64 = select.query_row([user.as_str()], |row| row.get(0))?;
    Ok(usize::try_from(waiting).unwrap_or_default())
}

/// What is kept for a user, held or not: of everybody, and of this sender; and how many wait.
fn kept(db: &Connection, user: &BareJid, from: &str) -> Result<([Kept; 2], usize), StoreError> {
    let mut select = db.prepare_cached(
        "SELECT count(*), total(bytes), total(sender = ?2), total((sender = ?2) * bytes),
                total(holders = 0)
         FROM offline WHERE user = ?1",
    )?;
    let all = select.query_row([user.as_str(), from], |row| {
        let number = |n| row.get::<_, f64>(n).map(|n| n as usize);
        let messages = usize::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
        let everybody = Kept { messages, bytes: number(1)? };
        Ok(([everybody, Kept { messages: number(2)?, bytes: number(3)? }], number(4)?))
    })?;
    Ok(all)
}

/// A message that is to be kept, as a row.
pub(super) struct New {
    at: u64,
    pub(super) xml: String,
    /// A bare address, or nothing.
    pub(super) from: String,
    pub(super) bytes: usize,
}

impl New {
    pub(super) fn of(at: u64, stanza: &Stanza) -> Self {
        let from = sender(stanza).map_or_else(String::new, |from| from.as_str().to_owned());
        Self { at, xml: stanza.to_xml(), from, bytes: stanza.weight() }
    }

    /// What a job with it holds.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.xml.len() + self.from.len()
    }
}

/// The ids of what was inserted, and how many messages wait then.
pub(super) type Inserted = (Vec<u64>, usize);

/// Keeps messages, with so many holders each.
pub(super) fn insert(
    db: &Connection,
    user: &BareJid,
    new: &[New],
    holders: usize,
    limits: OfflineLimits,
) -> Result<Inserted, StoreError> {
    must_exist(db, user)?;
    let mut waiting = 0;
    let sizes = new.iter().map(|new| (new.from.as_str(), new.bytes));
    limits.check_all(sizes, |from| {
        let (kept, waits) = kept(db, user, from)?;
        waiting = waits;
        Ok(kept)
    })?;
    let mut insert = db.prepare_cached(
        "INSERT INTO offline (user, at, stanza, sender, bytes, holders)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let keep = |New { at, xml, from, bytes }: &New| {
        let bytes = int(*bytes as u64);
        let row = params![user.as_str(), int(*at), xml, from, bytes, int(holders as u64)];
        insert.execute(row)?;
        Ok(uint(db.last_insert_rowid()))
    };
    let ids: Result<Vec<u64>, StoreError> = new.iter().map(keep).collect();
    let ids = ids?;
    let plain = if holders == 0 { ids.len() } else { 0 };
    Ok((ids, waiting + plain))
}

/// Messages, and those that cannot be read.
pub(super) type Page = (Vec<OfflineMessage>, Vec<u64>);

fn page(
    db: &Connection,
    user: &BareJid,
    after: u64,
    limit: usize,
    bytes: usize,
) -> Result<Page, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, at, stanza, strikes FROM offline
         WHERE user = ? AND holders = 0 AND id > ? ORDER BY id",
    )?;
    read(select.query(params![user.as_str(), int(after)])?, limit, bytes)
}

/// A page of what was found.
pub(super) fn read(mut found: Rows<'_>, limit: usize, bytes: usize) -> Result<Page, StoreError> {
    let (mut page, mut damaged) = (Vec::new(), Vec::new());
    let mut room = bytes;
    while page.len() < limit && (room > 0 || page.is_empty()) {
        let Some(row) = found.next()? else { break };
        let id = uint(row.get(0)?);
        match row.get_ref(2)?.as_bytes().ok().and_then(Stanza::parse) {
            // the first always fits
            Some(stanza) if !page.is_empty() && stanza.weight() > room => break,
            Some(stanza) => {
                room = room.saturating_sub(stanza.weight());
                let (at, strikes) = (uint(row.get(1)?), row.get(3)?);
                page.push(OfflineMessage { id, at, stanza, strikes });
            }
            // it must not keep back those behind it
            None => damaged.push(id),
        }
    }
    Ok((page, damaged))
}

/// Puts messages that cannot be read where they are neither counted, read again nor held; how many wait then.
fn put_aside(db: &Connection, user: &BareJid, ids: &[u64]) -> Result<usize, StoreError> {
    let mut copy = db.prepare_cached(
        "INSERT INTO damaged (id, user, at, stanza, sender, bytes)
         SELECT id, user, at, stanza, sender, bytes FROM offline WHERE id = ? AND user = ?",
    )?;
    let mut delete = db.prepare_cached("DELETE FROM offline WHERE id = ? AND user = ?")?;
    let mut release = db.prepare_cached("DELETE FROM held WHERE id = ? AND user = ?")?;
    for id in ids {
        for put in [&mut copy, &mut delete, &mut release] {
            put.execute(params![int(*id), user.as_str()])?;
        }
    }
    count(db, user)
}

/// A message is done with: by so many of its holders (one or none), who have it or let go of it.
pub(super) fn done(
    db: &Connection,
    user: &BareJid,
    id: u64,
    holders: usize,
    delivered: bool,
) -> Result<(), StoreError> {
    let row = params![int(id), user.as_str(), int(holders as u64), delivered];
    let gone =
        "DELETE FROM offline WHERE id = ?1 AND user = ?2 AND holders = ?3 AND (delivered OR ?4)";
    if db.prepare_cached(gone)?.execute(row)? == 0 {
        let left = "UPDATE offline SET holders = holders - ?3, delivered = delivered OR ?4
                    WHERE id = ?1 AND user = ?2";
        db.prepare_cached(left)?.execute(row)?;
    }
    Ok(())
}

/// Puts a message that waits behind all others of its user.
pub(super) fn move_back(db: &Connection, user: &BareJid, id: u64) -> Result<(), StoreError> {
    for sql in [
        "INSERT INTO offline (user, at, stanza, sender, bytes, strikes)
         SELECT user, at, stanza, sender, bytes, strikes FROM offline
         WHERE id = ? AND user = ? AND holders = 0",
        "DELETE FROM offline WHERE id = ? AND user = ? AND holders = 0",
    ] {
        db.prepare_cached(sql)?.execute(params![int(id), user.as_str()])?;
    }
    Ok(())
}

/// Passes on how many wait now.
pub(super) fn count_is(user: &BareJid) -> impl FnOnce(&Caches, Option<&usize>) + use<> {
    let user = user.clone();
    move |caches, waiting| caches.waiting.wrote(&user, waiting.copied())
}

/// The same after an insertion.
pub(super) fn inserted(user: &BareJid) -> impl FnOnce(&Caches, Option<&Inserted>) + use<> {
    let count_is = count_is(user);
    move |caches, inserted| count_is(caches, inserted.map(|(_, waiting)| waiting))
}

impl SqliteStore {
    /// Has messages that cannot be read put aside.
    pub(super) async fn set_aside(&self, user: &BareJid, damaged: Vec<u64>) {
        if damaged.is_empty() {
            return;
        }
        self.health.unreadable("offline", damaged.len());
        tracing::error!(%user, ids = ?damaged, "offline messages are damaged: see the table damaged");
        let (key, held) = (user.clone(), SMALL + 8 * damaged.len());
        let work = move |db: &Connection| put_aside(db, &key, &damaged);
        // those that can be read are not kept back; what is still there is found again
        if let Err(error) = self.write(held, work, count_is(user)).await {
            tracing::error!(%user, %error, "damaged messages could not be put aside");
        }
    }
}

impl OfflineStore for SqliteStore {
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let key = user.clone();
            let new = [New::of(at, &stanza)];
            let held = SMALL + new.iter().map(New::weight).sum::<usize>();
            let work = move |db: &Connection| insert(db, &key, &new, 0, limits);
            let ids = self.write(held, work, inserted(user)).await?.0;
            ids.first().copied().ok_or_else(|| StoreError::Failed("it has no number".to_owned()))
        })
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(async move {
            // at nearly every login nothing waits, and that is known without asking the file
            if self.cached(&self.caches.waiting, user, count).await? == 0 {
                return Ok(Vec::new());
            }
            let key = user.clone();
            let (page, damaged) = self.read(move |db| page(db, &key, after, limit, bytes)).await?;
            self.set_aside(user, damaged).await;
            Ok(page)
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                for id in ids {
                    done(db, &key, id, 0, true)?;
                }
                count(db, &key)
            };
            self.write(SMALL, work, count_is(user)).await.map(drop)
        })
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                for id in ids {
                    move_back(db, &key, id)?;
                }
                count(db, &key)
            };
            self.write(SMALL, work, count_is(user)).await.map(drop)
        })
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                let mut select = db.prepare_cached(
                    "SELECT id FROM offline WHERE user = ? AND holders = 0 AND id > ? ORDER BY id",
                )?;
                let ids = select.query_map(params![key.as_str(), int(after)], |row| row.get(0))?;
                let mut ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
                ids.retain(|id| !but.contains(&uint(*id)));
                if ids.first().is_some_and(|first| uint(*first) < before) {
                    for id in ids {
                        move_back(db, &key, uint(id))?;
                    }
                }
                count(db, &key)
            };
            self.write(SMALL, work, count_is(user)).await.map(drop)
        })
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        Box::pin(self.cached(&self.caches.waiting, user, count))
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let work = move |db: &Connection| {
                let mut delete = db.prepare_cached(
                    "DELETE FROM offline WHERE id IN
                     (SELECT id FROM offline WHERE at < ? AND holders = 0 ORDER BY at LIMIT ?)
                     RETURNING user",
                )?;
                let mut gone = delete.query(params![int(at), rows(limit)])?;
                let mut users: Vec<Option<BareJid>> = Vec::new();
                while let Some(row) = gone.next()? {
                    // one that is no address any more keeps no others
                    users.push(address(row.get_ref(0)?.as_str().unwrap_or_default()).ok());
                }
                Ok(users)
            };
            let after = |caches: &Caches, users: Option<&Vec<Option<BareJid>>>| {
                // after a commit that failed the messages are still there
                let users = users.into_iter().flatten().flatten();
                users.for_each(|user| caches.waiting.wrote(user, None));
            };
            Ok(self.write(SMALL, work, after).await?.len())
        })
    }
}
