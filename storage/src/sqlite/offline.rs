//! Offline messages in SQLite: one row a message, the stanza as XML that stands for itself.

use super::{SMALL, SqliteStore, accounts::address, cache::Caches, int, rows, uint};
use crate::{
    OfflineLimits, OfflineMessage, OfflineStore, StoreError, StoreFuture,
    offline::{Kept, sender},
};
use rusqlite::{Connection, params};
use xmpp::{jid::BareJid, stanza::Stanza};

fn count(db: &Connection, user: &BareJid) -> Result<usize, StoreError> {
    let mut select = db.prepare_cached("SELECT count(*) FROM offline WHERE user = ?")?;
    let waiting: i64 = select.query_row([user.as_str()], |row| row.get(0))?;
    Ok(usize::try_from(waiting).unwrap_or_default())
}

/// What is kept for a user: of everybody, and of this sender.
fn kept(db: &Connection, user: &BareJid, from: &str) -> Result<[Kept; 2], StoreError> {
    let mut select = db.prepare_cached(
        "SELECT count(*), total(bytes), total(sender = ?2), total((sender = ?2) * bytes)
         FROM offline WHERE user = ?1",
    )?;
    let all = select.query_row([user.as_str(), from], |row| {
        let number = |n| row.get::<_, f64>(n).map(|n| n as usize);
        let messages = usize::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
        let everybody = Kept { messages, bytes: number(1)? };
        Ok([everybody, Kept { messages: number(2)?, bytes: number(3)? }])
    })?;
    Ok(all)
}

fn page(
    db: &Connection,
    user: &BareJid,
    after: u64,
    limit: usize,
    bytes: usize,
) -> Result<(Vec<OfflineMessage>, Vec<u64>), StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, at, stanza FROM offline WHERE user = ? AND id > ? ORDER BY id",
    )?;
    let mut found = select.query(params![user.as_str(), int(after)])?;
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
                page.push(OfflineMessage { id, at: uint(row.get(1)?), stanza });
            }
            // it must not keep back those behind it
            None => damaged.push(id),
        }
    }
    Ok((page, damaged))
}

/// Puts messages that cannot be read where they are neither counted nor read again; how many wait then.
fn put_aside(db: &Connection, user: &BareJid, ids: &[u64]) -> Result<usize, StoreError> {
    let mut copy = db.prepare_cached(
        "INSERT INTO damaged (id, user, at, stanza, sender, bytes)
         SELECT id, user, at, stanza, sender, bytes FROM offline WHERE id = ? AND user = ?",
    )?;
    let mut delete = db.prepare_cached("DELETE FROM offline WHERE id = ? AND user = ?")?;
    for id in ids {
        copy.execute(params![int(*id), user.as_str()])?;
        delete.execute(params![int(*id), user.as_str()])?;
    }
    count(db, user)
}

/// Passes on how many wait now.
fn count_is(user: &BareJid) -> impl FnOnce(&Caches, Option<&usize>) + use<> {
    let user = user.clone();
    move |caches, waiting| caches.waiting.wrote(&user, waiting.copied())
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
            let (key, xml) = (user.clone(), stanza.to_xml());
            let from = sender(&stanza).map_or_else(String::new, |from| from.as_str().to_owned());
            let bytes = stanza.weight();
            let held = SMALL + xml.len();
            let work =
                move |db: &Connection| {
                    let [everybody, own] = kept(db, &key, &from)?;
                    limits.check(everybody, own, bytes)?;
                    db.prepare_cached(
                    "INSERT INTO offline (user, at, stanza, sender, bytes) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![key.as_str(), int(at), xml, from, int(bytes as u64)])?;
                    Ok((everybody.messages + 1, uint(db.last_insert_rowid())))
                };
            let user = user.clone();
            let count_is = move |caches: &Caches, pushed: Option<&(usize, u64)>| {
                caches.waiting.wrote(&user, pushed.map(|(waiting, _)| *waiting));
            };
            Ok(self.write(held, work, count_is).await?.1)
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
            if !damaged.is_empty() {
                tracing::error!(%user, ids = ?damaged, "offline messages are damaged: see the table damaged");
                let (key, held) = (user.clone(), SMALL + 8 * damaged.len());
                let work = move |db: &Connection| put_aside(db, &key, &damaged);
                // those that can be read are not kept back; what is still there is found again
                if let Err(error) = self.write(held, work, count_is(user)).await {
                    tracing::error!(%user, %error, "damaged messages could not be put aside");
                }
            }
            Ok(page)
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                let sql = "DELETE FROM offline WHERE id = ? AND user = ?";
                let mut delete = db.prepare_cached(sql)?;
                for id in ids {
                    delete.execute(params![int(id), key.as_str()])?;
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
                let mut copy = db.prepare_cached(
                    "INSERT INTO offline (user, at, stanza, sender, bytes)
                     SELECT user, at, stanza, sender, bytes FROM offline
                     WHERE id = ? AND user = ?",
                )?;
                let mut delete =
                    db.prepare_cached("DELETE FROM offline WHERE id = ? AND user = ?")?;
                for id in ids {
                    copy.execute(params![int(id), key.as_str()])?;
                    delete.execute(params![int(id), key.as_str()])?;
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
                     (SELECT id FROM offline WHERE at < ? ORDER BY at LIMIT ?) RETURNING user",
                )?;
                let mut gone = delete.query(params![int(at), rows(limit)])?;
                let mut users: Vec<BareJid> = Vec::new();
                while let Some(row) = gone.next()? {
                    users.push(address(row.get_ref(0)?.as_str().unwrap_or_default())?);
                }
                Ok(users)
            };
            let after = |caches: &Caches, users: Option<&Vec<BareJid>>| {
                // after a commit that failed the messages are still there
                users.into_iter().flatten().for_each(|user| caches.waiting.wrote(user, None));
            };
            Ok(self.write(SMALL, work, after).await?.len())
        })
    }

    fn purge<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                for sql in
                    ["DELETE FROM offline WHERE user = ?", "DELETE FROM damaged WHERE user = ?"]
                {
                    db.prepare_cached(sql)?.execute([key.as_str()])?;
                }
                Ok(0)
            };
            self.write(SMALL, work, count_is(user)).await.map(drop)
        })
    }
}
