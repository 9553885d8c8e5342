//! Strikes against offline messages, and the quarantine, in SQLite: a count with the message, a row for each that is kept
//! from its user.

use super::{
    SMALL, SqliteStore,
    accounts::must_exist,
    health::Health,
    int,
    offline::{count, count_is, done, move_back},
    sessions::track,
    uint,
};
use crate::{
    StoreError, StoreFuture,
    accounts::address,
    cache::Caches,
    quarantine::{LAST, QuarantineStore, Quarantined, Struck, Verdict, one_more},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;
use xmpp::{jid::BareJid, stanza::Stanza};

/// What became of the message, and how many wait then.
fn strike(
    db: &Connection,
    user: &BareJid,
    (key, id): (&str, u64),
    at: u64,
    room: usize,
) -> Result<(Struck, usize), StoreError> {
    let sql = "DELETE FROM held WHERE user = ? AND session = ? AND id = ?";
    let held = db.prepare_cached(sql)?.execute(params![user.as_str(), key, int(id)])?;
    done(db, user, id, held, false)?;
    track(db, user, key)?;
    let sql =
        "SELECT strikes, holders > 0 FROM offline WHERE id = ? AND user = ? AND NOT delivered";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_row(params![int(id), user.as_str()], |r| Ok((r.get(0)?, r.get(1)?)));
    let struck = match found.optional()? {
        None => Struck::Gone,
        Some((strikes, held)) => match one_more(strikes, held) {
            (strikes, Verdict::Counted) => {
                note(db, user, id, strikes)?;
                Struck::Counted(strikes)
            }
            (strikes, Verdict::Last) => {
                note(db, user, id, strikes)?;
                move_back(db, user, id)?;
                Struck::Last
            }
            (_, Verdict::Out) => quarantine(db, user, id, at, room)?,
        },
    };
    Ok((struck, count(db, user)?))
}

fn note(db: &Connection, user: &BareJid, id: u64, strikes: u32) -> Result<(), StoreError> {
    let sql = "UPDATE offline SET strikes = ? WHERE id = ? AND user = ?";
    db.prepare_cached(sql)?.execute(params![strikes, int(id), user.as_str()])?;
    Ok(())
}

fn quarantine(
    db: &Connection,
    user: &BareJid,
    id: u64,
    at: u64,
    room: usize,
) -> Result<Struck, StoreError> {
    let mut bytes = db.prepare_cached("SELECT total(bytes) FROM quarantine WHERE user = ?")?;
    let used: f64 = bytes.query_row([user.as_str()], |row| row.get(0))?;
    let mut select =
        db.prepare_cached("SELECT bytes, stanza FROM offline WHERE id = ? AND user = ?")?;
    let message = select.query_row(params![int(id), user.as_str()], |r| Ok((r.get(0)?, r.get(1)?)));
    let (bytes, xml): (i64, String) = message?;
    if used as u64 + uint(bytes) > room as u64 {
        note(db, user, id, LAST)?;
        move_back(db, user, id)?;
        return Ok(Struck::Full);
    }
    let stanza = parse(&xml)?;
    let sql = "INSERT INTO quarantine (id, user, at, since, stanza, sender, bytes)
               SELECT id, user, at, ?3, stanza, sender, bytes FROM offline WHERE id = ?1 AND user = ?2";
    db.prepare_cached(sql)?.execute(params![int(id), user.as_str(), int(at)])?;
    let sql = "DELETE FROM offline WHERE id = ? AND user = ?";
    db.prepare_cached(sql)?.execute(params![int(id), user.as_str()])?;
    Ok(Struck::Quarantined(stanza))
}

fn parse(xml: &str) -> Result<Stanza, StoreError> {
    let damaged = || StoreError::Corrupt("a message that cannot be read".to_owned());
    Stanza::parse(xml.as_bytes()).ok_or_else(damaged)
}

/// A row of the table, without its content.
fn message(row: &Row<'_>) -> Result<Quarantined, StoreError> {
    Ok(Quarantined {
        id: uint(row.get(0)?),
        user: address(row.get_ref(1)?.as_str().unwrap_or_default())?,
        at: uint(row.get(2)?),
        since: uint(row.get(3)?),
        from: row.get_ref(4)?.as_str().unwrap_or_default().parse().ok(),
        bytes: usize::try_from(row.get::<_, i64>(5)?).unwrap_or_default(),
    })
}

fn list(
    db: &Connection,
    health: &Health,
    user: Option<&BareJid>,
    after: u64,
    limit: usize,
) -> Result<Vec<Quarantined>, StoreError> {
    let after = int(after);
    let mut select = db.prepare_cached(match user {
        Some(_) => {
            "SELECT id, user, at, since, sender, bytes FROM quarantine
             WHERE user = ?2 AND id > ?1 ORDER BY id"
        }
        None => {
            "SELECT id, user, at, since, sender, bytes FROM quarantine
             WHERE id > ? ORDER BY id"
        }
    })?;
    let mut found = match user {
        Some(user) => select.query(params![after, user.as_str()])?,
        None => select.query([after])?,
    };
    let mut page = Vec::new();
    while page.len() < limit
        && let Some(row) = found.next()?
    {
        match message(row) {
            // the others are there
            Err(StoreError::Corrupt(why)) => {
                let id: i64 = row.get(0)?;
                tracing::error!(id, why, "a message in quarantine is left out of a list");
                health.unreadable("quarantine", 1);
            }
            message => page.push(message?),
        }
    }
    Ok(page)
}

fn get(db: &Connection, id: u64) -> Result<Option<(Quarantined, Stanza)>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, user, at, since, sender, bytes, stanza FROM quarantine WHERE id = ?",
    )?;
    let mut found = select.query([int(id)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let stanza = parse(row.get_ref(6)?.as_str().unwrap_or_default())?;
    Ok(Some((message(row)?, stanza)))
}

/// All that are kept from a user.
pub(super) fn of_user(
    db: &Connection,
    user: &BareJid,
) -> Result<Vec<(Quarantined, Stanza)>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, user, at, since, sender, bytes, stanza FROM quarantine
         WHERE user = ? ORDER BY id",
    )?;
    let mut found = select.query([user.as_str()])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push((message(row)?, parse(row.get_ref(6)?.as_str().unwrap_or_default())?));
    }
    Ok(all)
}

fn restore(db: &Connection, id: u64) -> Result<Option<(BareJid, u64)>, StoreError> {
    // one that cannot be read stays where it is
    let Some((Quarantined { user, .. }, _)) = get(db, id)? else { return Ok(None) };
    must_exist(db, &user)?;
    let sql = "INSERT INTO offline (user, at, stanza, sender, bytes)
               SELECT user, at, stanza, sender, bytes FROM quarantine WHERE id = ?";
    db.prepare_cached(sql)?.execute([int(id)])?;
    let new = uint(db.last_insert_rowid());
    discard(db, id)?;
    Ok(Some((user, new)))
}

fn discard(db: &Connection, id: u64) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("DELETE FROM quarantine WHERE id = ?")?.execute([int(id)])? > 0)
}

impl QuarantineStore for SqliteStore {
    fn strike<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        id: u64,
        at: u64,
        room: usize,
    ) -> StoreFuture<'a, Struck> {
        Box::pin(async move {
            let (owner, key, count_is) = (user.clone(), key.to_owned(), count_is(user));
            let work = move |db: &Connection| strike(db, &owner, (&key, id), at, room);
            let after = move |caches: &Caches, struck: Option<&(Struck, usize)>| {
                count_is(caches, struck.map(|(_, waiting)| waiting));
            };
            Ok(self.write(SMALL, work, after).await?.0)
        })
    }

    fn quarantined<'a>(
        &'a self,
        user: Option<&'a BareJid>,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Quarantined>> {
        let (user, health) = (user.cloned(), Arc::clone(&self.health));
        Box::pin(self.read(move |db| list(db, &health, user.as_ref(), after, limit)))
    }

    fn content(&self, id: u64) -> StoreFuture<'_, Option<(Quarantined, Stanza)>> {
        Box::pin(self.read(move |db| get(db, id)))
    }

    fn restore(&self, id: u64) -> StoreFuture<'_, Option<(BareJid, u64)>> {
        let after = |caches: &Caches, restored: Option<&Option<(BareJid, u64)>>| {
            if let Some(Some((user, _))) = restored {
                caches.waiting.wrote(user, None);
            }
        };
        Box::pin(self.write(SMALL, move |db| restore(db, id), after))
    }

    fn discard(&self, id: u64) -> StoreFuture<'_, bool> {
        Box::pin(self.write(SMALL, move |db| discard(db, id), |_, _| ()))
    }
}
