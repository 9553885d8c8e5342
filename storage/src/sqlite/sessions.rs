//! Sessions in SQLite, and which offline messages they hold: a row for each of both, and a count with the message.

use super::{
    SMALL, SqliteStore,
    accounts::must_exist,
    int,
    offline::{New, Page, count, count_is, done, insert, inserted, read},
    rows, uint,
};
use crate::{
    OfflineLimits, OfflineMessage, Sessions, StoreError, StoreFuture, StoredSession, Whose,
    accounts::address,
    cache::Caches,
    sessions::{MAX_PAGE, TERM, further, token_of},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;
use xmpp::{jid::BareJid, stanza::Stanza};

/// Keeps the table `unkept` true for a session that was put, taken, or holds more or less than before.
pub(super) fn track(db: &Connection, user: &BareJid, key: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM unkept WHERE user = ?1 AND session = ?2 AND
         (NOT EXISTS (SELECT 1 FROM held WHERE user = ?1 AND session = ?2)
          OR EXISTS (SELECT 1 FROM sessions WHERE key = ?2 AND user = ?1))",
        "INSERT INTO unkept SELECT user, session FROM held WHERE user = ?1 AND session = ?2
         AND NOT EXISTS (SELECT 1 FROM sessions WHERE key = ?2 AND user = ?1)
         LIMIT 1 ON CONFLICT DO NOTHING",
    ] {
        db.prepare_cached(sql)?.execute([user.as_str(), key])?;
    }
    Ok(())
}

fn insert_row(db: &Connection, session: &StoredSession, handled: u32) -> Result<(), StoreError> {
    let StoredSession { key, user, epoch, until, frozen, .. } = session;
    let sql = "INSERT OR REPLACE INTO sessions (key, user, epoch, until, handled, frozen)
               VALUES (?, ?, ?, ?, ?, ?)";
    let row = params![key, user.as_str(), int(*epoch), int(*until), handled, frozen];
    db.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Keeps a session as it is.
pub(super) fn keep(db: &Connection, session: &StoredSession) -> Result<(), StoreError> {
    insert_row(db, session, session.handled)?;
    track(db, &session.user, &session.key)
}

fn put(db: &Connection, session: &StoredSession) -> Result<(), StoreError> {
    let StoredSession { key, user, handled, .. } = session;
    must_exist(db, user)?;
    let mut select =
        db.prepare_cached("SELECT user, epoch, handled FROM sessions WHERE key = ?")?;
    let kept = select.query_row([key], |row| Ok((row.get(0)?, uint(row.get(1)?), row.get(2)?)));
    let kept: Option<(String, u64, u32)> = kept.optional()?;
    session.check(kept.as_ref().map(|(user, epoch, _)| (user.as_str(), *epoch)))?;
    let more = kept.map(|(_, _, before)| before).filter(|before| further(*before, *handled));
    let handled = more.unwrap_or(*handled);
    insert_row(db, session, handled)?;
    track(db, user, key)
}

fn append(
    db: &Connection,
    user: &BareJid,
    holders: &BTreeSet<String>,
    new: &[New],
    limits: OfflineLimits,
    by: Option<&(String, u32)>,
) -> Result<(Vec<u64>, usize), StoreError> {
    if let Some((key, handled)) = by {
        let sql = "UPDATE sessions SET handled = ? WHERE key = ?";
        db.prepare_cached(sql)?.execute(params![handled, key])?;
    }
    let (ids, waiting) = insert(db, user, new, holders.len(), limits)?;
    let mut hold = db.prepare_cached("INSERT INTO held (user, session, id) VALUES (?, ?, ?)")?;
    for key in holders {
        for id in &ids {
            hold.execute(params![user.as_str(), key, int(*id)])?;
        }
        track(db, user, key)?;
    }
    Ok((ids, waiting))
}

fn hold(db: &Connection, user: &BareJid, key: &str, ids: &[u64]) -> Result<usize, StoreError> {
    let mut hold = db.prepare_cached(
        "INSERT INTO held (user, session, id)
         SELECT user, ?2, id FROM offline WHERE id = ?3 AND user = ?1 ON CONFLICT DO NOTHING",
    )?;
    let sql = "UPDATE offline SET holders = holders + 1 WHERE id = ? AND user = ?";
    let mut count_one = db.prepare_cached(sql)?;
    for id in ids {
        if hold.execute(params![user.as_str(), key, int(*id)])? > 0 {
            count_one.execute(params![int(*id), user.as_str()])?;
        }
    }
    track(db, user, key)?;
    count(db, user)
}

fn acknowledge(
    db: &Connection,
    user: &BareJid,
    key: &str,
    ids: &[u64],
) -> Result<usize, StoreError> {
    let sql = "DELETE FROM held WHERE user = ? AND session = ? AND id = ?";
    let mut release = db.prepare_cached(sql)?;
    for id in ids {
        let held = release.execute(params![user.as_str(), key, int(*id)])?;
        done(db, user, *id, held, true)?;
    }
    track(db, user, key)?;
    count(db, user)
}

/// A row of the table `sessions`.
fn session(row: &Row<'_>) -> Result<StoredSession, StoreError> {
    Ok(StoredSession {
        key: row.get(0)?,
        user: address(row.get_ref(1)?.as_str().unwrap_or_default())?,
        epoch: uint(row.get(2)?),
        until: uint(row.get(3)?),
        handled: row.get(4)?,
        frozen: row.get(5)?,
    })
}

/// All sessions of a user that are kept.
pub(super) fn of_user(db: &Connection, user: &BareJid) -> Result<Vec<StoredSession>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT key, user, epoch, until, handled, frozen FROM sessions WHERE user = ?",
    )?;
    let mut found = select.query([user.as_str()])?;
    let mut sessions = Vec::new();
    while let Some(row) = found.next()? {
        sessions.push(session(row)?);
    }
    sessions.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(sessions)
}

fn forget(db: &Connection, user: &BareJid, key: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE key = ? AND user = ?";
    db.prepare_cached(sql)?.execute([key, user.as_str()])?;
    Ok(())
}

fn get(db: &Connection, user: &BareJid, key: &str) -> Result<Option<StoredSession>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT key, user, epoch, until, handled, frozen FROM sessions
         WHERE key = ? AND user = ?",
    )?;
    let mut found = select.query([key, user.as_str()])?;
    found.next()?.map(session).transpose()
}

fn take(
    db: &Connection,
    user: &BareJid,
    key: &str,
    epoch: Option<u64>,
) -> Result<Option<StoredSession>, StoreError> {
    let found = get(db, user, key)?;
    let Some(session) = found.filter(|kept| epoch.is_none_or(|epoch| epoch == kept.epoch)) else {
        return Ok(None);
    };
    forget(db, user, key)?;
    track(db, user, key)?;
    Ok(Some(session))
}

fn adopt(
    db: &Connection,
    user: &BareJid,
    key: &str,
    epoch: Option<u64>,
    new: &str,
) -> Result<Option<StoredSession>, StoreError> {
    let Some(mut session) = get(db, user, key)? else {
        let adopted = if key == new { None } else { get(db, user, new)? };
        return Ok(adopted.filter(|kept| epoch.is_none_or(|epoch| kept.epoch == epoch + TERM)));
    };
    if epoch.is_some_and(|epoch| epoch != session.epoch) {
        return Ok(None);
    }
    forget(db, user, key)?;
    if key != new {
        let sql = "UPDATE OR IGNORE held SET session = ? WHERE user = ? AND session = ?";
        db.prepare_cached(sql)?.execute([new, user.as_str(), key])?;
        // what that one held too
        let_go(db, user, key, usize::MAX)?;
    }
    if db.prepare_cached("SELECT 1 FROM sessions WHERE key = ?")?.exists([new])? {
        return Ok(None);
    }
    (session.key, session.epoch) = (new.to_owned(), session.epoch + TERM);
    keep(db, &session)?;
    Ok(Some(session))
}

/// A user's session with that token, and of several the latest.
fn find(db: &Connection, user: &BareJid, token: &str) -> Result<Option<StoredSession>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT key FROM sessions WHERE user = ? ORDER BY epoch DESC")?;
    let mut found = select.query([user.as_str()])?;
    while let Some(row) = found.next()? {
        let key: String = row.get(0)?;
        if token_of(&key) == token {
            return get(db, user, &key);
        }
    }
    Ok(None)
}

fn held(
    db: &Connection,
    user: &BareJid,
    key: &str,
    after: u64,
    limit: usize,
    bytes: usize,
) -> Result<Page, StoreError> {
    // CROSS: in this order
    let mut select = db.prepare_cached(
        "SELECT held.id, at, stanza, strikes FROM held CROSS JOIN offline ON offline.id = held.id
         WHERE held.user = ? AND session = ? AND held.id > ? ORDER BY held.id",
    )?;
    read(select.query(params![user.as_str(), key, int(after)])?, limit, bytes)
}

/// Lets go of up to `limit` messages that a session holds, the oldest first; how many.
fn let_go(db: &Connection, user: &BareJid, key: &str, limit: usize) -> Result<usize, StoreError> {
    let mut select = db
        .prepare_cached("SELECT id FROM held WHERE user = ? AND session = ? ORDER BY id LIMIT ?")?;
    let ids = select.query_map(params![user.as_str(), key, rows(limit)], |row| row.get(0))?;
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    let sql = "DELETE FROM held WHERE user = ? AND session = ? AND id = ?";
    let mut release = db.prepare_cached(sql)?;
    for id in &ids {
        release.execute(params![user.as_str(), key, id])?;
        done(db, user, uint(*id), 1, false)?;
    }
    track(db, user, key)?;
    Ok(ids.len())
}

/// A page, and those that cannot be read: whose they are said to be, and their keys.
type Read = (Vec<StoredSession>, Vec<(String, String)>);

fn page(db: &Connection, (after, to): (&str, &str), limit: usize) -> Result<Read, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT key, user, epoch, until, handled, frozen FROM sessions
         WHERE key > ? AND key < ? ORDER BY key",
    )?;
    let mut found = select.query([after, to])?;
    let (mut page, mut damaged) = (Vec::new(), Vec::new());
    let mut room = MAX_PAGE;
    while page.len() < limit
        && let Some(row) = found.next()?
    {
        let bytes = row.get_ref(5)?.as_blob().map_or(0, <[u8]>::len);
        if bytes > room && !page.is_empty() {
            break;
        }
        room = room.saturating_sub(bytes);
        match session(row) {
            // it must not keep a node from starting
            Err(StoreError::Corrupt(why)) => {
                let text = |n| row.get_ref(n).ok()?.as_str().ok().map(str::to_owned);
                let (key, user) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
                tracing::error!(user, why, "a stored session is damaged, and forgotten");
                damaged.push((user, key));
            }
            session => page.push(session?),
        }
    }
    Ok((page, damaged))
}

/// What a session holds whose user's address is none: nobody gets it.
fn hold_for_nobody(db: &Connection, user: &str, key: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM held WHERE user = ? AND session = ?",
        "DELETE FROM unkept WHERE user = ? AND session = ?",
    ] {
        db.prepare_cached(sql)?.execute([user, key])?;
    }
    Ok(())
}

/// Sessions that cannot be read are gone: what they held is an offline message. Whose they were.
fn drop_damaged(
    db: &Connection,
    damaged: Vec<(String, String)>,
) -> Result<Vec<BareJid>, StoreError> {
    let mut users = Vec::new();
    for (user, key) in damaged {
        db.prepare_cached("DELETE FROM sessions WHERE key = ?")?.execute([&key])?;
        match address::<BareJid>(&user) {
            Ok(user) => {
                let_go(db, &user, &key, usize::MAX)?;
                users.push(user);
            }
            Err(_) => hold_for_nobody(db, &user, &key)?,
        }
    }
    Ok(users)
}

/// How many were let go of, and whose they are.
type Released = (usize, Vec<BareJid>);

fn release(
    db: &Connection,
    (from, to): &(String, String),
    limit: usize,
) -> Result<Released, StoreError> {
    let mut first = db.prepare_cached(
        "SELECT user, session FROM unkept WHERE session >= ? AND session < ?
         ORDER BY session, user LIMIT 1",
    )?;
    let (mut released, mut users) = (0, Vec::new());
    while released < limit {
        let found = first.query_row([from, to], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((user, key)): Option<(String, String)> = found else { break };
        let Ok(user) = address(&user) else {
            hold_for_nobody(db, &user, &key)?;
            continue;
        };
        released += let_go(db, &user, &key, limit - released)?;
        users.push(user);
    }
    Ok((released, users))
}

impl Sessions for SqliteStore {
    fn put(&self, session: StoredSession) -> StoreFuture<'_, ()> {
        let bytes = SMALL + session.key.len() + session.frozen.len();
        Box::pin(self.write(bytes, move |db| put(db, &session), |_, _| ()))
    }

    fn append<'a>(
        &'a self,
        user: &'a BareJid,
        holders: Vec<String>,
        messages: Vec<(u64, Stanza)>,
        limits: OfflineLimits,
        by: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(async move {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let new: Vec<New> = messages.iter().map(|(at, stanza)| New::of(*at, stanza)).collect();
            let holders: BTreeSet<String> = holders.into_iter().collect();
            let bytes = SMALL
                + new.iter().map(New::weight).sum::<usize>()
                + holders.iter().map(String::len).sum::<usize>();
            let key = user.clone();
            // what is held does not wait: the hot path leaves the cache alone
            let plain = holders.is_empty();
            let inserted = inserted(user);
            let after = move |caches: &Caches, added: Option<&_>| {
                if plain {
                    inserted(caches, added);
                }
            };
            let work = move |db: &Connection| append(db, &key, &holders, &new, limits, by.as_ref());
            Ok(self.write(bytes, work, after).await?.0)
        })
    }

    fn hold<'a>(&'a self, user: &'a BareJid, key: &'a str, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let bytes = SMALL + key.len() + size_of_val(&*ids);
            let (owner, key) = (user.clone(), key.to_owned());
            let work = move |db: &Connection| hold(db, &owner, &key, &ids);
            self.write(bytes, work, count_is(user)).await.map(drop)
        })
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        ids: Vec<u64>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let bytes = SMALL + key.len() + size_of_val(&*ids);
            let (owner, key) = (user.clone(), key.to_owned());
            let work = move |db: &Connection| acknowledge(db, &owner, &key, &ids);
            self.write(bytes, work, count_is(user)).await.map(drop)
        })
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        let bytes = SMALL + key.len();
        let (user, key) = (user.clone(), key.to_owned());
        Box::pin(self.write(bytes, move |db| take(db, &user, &key, epoch), |_, _| ()))
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        Box::pin(async move {
            let (owner, key) = (user.clone(), key.to_owned());
            let work = move |db: &Connection| held(db, &owner, &key, after, limit, bytes);
            let (page, damaged) = self.read(work).await?;
            self.set_aside(user, damaged).await;
            Ok(page)
        })
    }

    fn expire<'a>(&'a self, user: &'a BareJid, key: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let bytes = SMALL + key.len();
            let (owner, key) = (user.clone(), key.to_owned());
            let work = move |db: &Connection| {
                forget(db, &owner, &key)?;
                let_go(db, &owner, &key, usize::MAX)?;
                count(db, &owner)
            };
            self.write(bytes, work, count_is(user)).await.map(drop)
        })
    }

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        Box::pin(async move {
            let (from, to) = whose.range();
            let after = from.max(after.to_owned());
            let (page, damaged) = self.read(move |db| page(db, (&after, &to), limit)).await?;
            if !damaged.is_empty() {
                self.health.unreadable("sessions", damaged.len());
                let changed = |caches: &Caches, users: Option<&Vec<BareJid>>| {
                    let users = users.into_iter().flatten();
                    users.for_each(|user| caches.waiting.wrote(user, None));
                };
                self.write(SMALL, move |db| drop_damaged(db, damaged), changed).await?;
            }
            Ok(page)
        })
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        Box::pin(async move {
            let after = |caches: &Caches, released: Option<&Released>| {
                // after a commit that failed they are still held
                let users = released.into_iter().flat_map(|(_, users)| users);
                users.for_each(|user| caches.waiting.wrote(user, None));
            };
            let keys = whose.range();
            Ok(self.write(SMALL, move |db| release(db, &keys, limit), after).await?.0)
        })
    }

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        let (user, token) = (user.clone(), token.to_owned());
        Box::pin(self.read(move |db| find(db, &user, &token)))
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        let bytes = SMALL + key.len() + new.len();
        let (user, key, new) = (user.clone(), key.to_owned(), new.to_owned());
        Box::pin(self.write(bytes, move |db| adopt(db, &user, &key, epoch, &new), |_, _| ()))
    }
}
