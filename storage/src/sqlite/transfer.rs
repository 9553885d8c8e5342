//! All that is kept of a user, in SQLite.

use super::{
    SMALL, SqliteStore,
    accounts::{self, forget, insert},
    health::Health,
    int,
    lists::blocklist,
    offline::New,
    quarantine, rosters,
    sessions::{self, track},
    uint,
};
use crate::{
    Everything, OfflineMessage, StoreError, StoreFuture, Transfer, cache::Caches, transfer::Kept,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::BTreeSet, sync::Arc};
use xmpp::{jid::BareJid, stanza::Stanza};

fn users(db: &Connection, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT user FROM accounts WHERE user > ? ORDER BY user LIMIT ?")?;
    let mut found = select.query(params![after, super::rows(limit)])?;
    let mut users = Vec::new();
    while let Some(row) = found.next()? {
        let name = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        // what is no text is greater than any: it was there before
        if *name > *after {
            users.push(name.into_owned());
        }
    }
    Ok(users)
}

fn messages(db: &Connection, user: &BareJid) -> Result<Vec<Kept>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, at, stanza, strikes, delivered FROM offline WHERE user = ?1 ORDER BY id",
    )?;
    let mut holders = db.prepare_cached("SELECT session, id FROM held WHERE user = ?1")?;
    let mut held: Vec<(i64, String)> = holders
        .query_map([user.as_str()], |row| Ok((row.get(1)?, row.get(0)?)))?
        .collect::<Result<_, _>>()?;
    held.sort_unstable();
    let mut found = select.query([user.as_str()])?;
    let mut messages = Vec::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let xml = row.get_ref(2)?.as_bytes().ok();
        let unreadable = || StoreError::Corrupt(format!("message {id} cannot be read"));
        let stanza = xml.and_then(Stanza::parse).ok_or_else(unreadable)?;
        let message =
            OfflineMessage { id: uint(id), at: uint(row.get(1)?), stanza, strikes: row.get(3)? };
        let from = held.partition_point(|(of, _)| *of < id);
        let own = held.iter().skip(from).take_while(|(of, _)| *of == id);
        let holders: BTreeSet<String> = own.map(|(_, key)| key.clone()).collect();
        messages.push(Kept { message, holders, delivered: row.get(4)? });
    }
    Ok(messages)
}

fn export(
    db: &Connection,
    health: &Health,
    user: &BareJid,
) -> Result<Option<Everything>, StoreError> {
    let Some(account) = accounts::load(db, user)? else { return Ok(None) };
    let text = |sql: &str| {
        let mut select = db.prepare_cached(sql)?;
        select.query_row([user.as_str()], |row| row.get(0)).optional()
    };
    let mut private =
        db.prepare_cached("SELECT ns, name, xml FROM private WHERE user = ? ORDER BY ns, name")?;
    let private =
        private.query_map([user.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut activity = db.prepare_cached("SELECT at, status FROM activity WHERE user = ?")?;
    let activity = activity.query_row([user.as_str()], |row| {
        Ok(crate::Activity { at: uint(row.get(0)?), status: row.get(1)? })
    });
    Ok(Some(Everything {
        user: user.clone(),
        account: Arc::unwrap_or_clone(account),
        roster: rosters::load(db, health, user)?,
        messages: messages(db, user)?,
        sessions: sessions::of_user(db, user)?,
        quarantine: quarantine::of_user(db, user)?,
        vcard: text("SELECT xml FROM vcards WHERE user = ?")?,
        private: private.collect::<Result<_, _>>()?,
        blocklist: blocklist(db, health, user)?,
        activity: activity.optional()?,
    }))
}

fn import(db: &Connection, all: &Everything) -> Result<(), StoreError> {
    let user = &all.user;
    db.prepare_cached("DELETE FROM accounts WHERE user = ?")?.execute([user.as_str()])?;
    forget(db, user)?;
    insert(db, user, &all.account)?;
    rosters::insert(db, user, &all.roster)?;
    for Kept { message, holders, delivered } in &all.messages {
        let OfflineMessage { id, at, stanza, strikes } = message;
        let New { xml, from, bytes, .. } = New::of(*at, stanza);
        let sql = "INSERT INTO offline
            (id, user, at, stanza, sender, bytes, strikes, holders, delivered)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let (id, at, bytes, count) =
            (int(*id), int(*at), int(bytes as u64), int(holders.len() as u64));
        let row = params![id, user.as_str(), at, xml, from, bytes, strikes, count, delivered];
        db.prepare_cached(sql)?.execute(row)?;
        for key in holders {
            let sql = "INSERT INTO held (user, session, id) VALUES (?, ?, ?)";
            db.prepare_cached(sql)?.execute(params![user.as_str(), key, id])?;
        }
    }
    for session in &all.sessions {
        sessions::keep(db, session)?;
    }
    let holders: BTreeSet<&String> = all.messages.iter().flat_map(|kept| &kept.holders).collect();
    for key in holders {
        track(db, user, key)?;
    }
    for (seen, stanza) in &all.quarantine {
        let New { xml, from, bytes, .. } = New::of(seen.at, stanza);
        // its number is that of no other message, then or later
        let sql = "INSERT INTO offline (id, user, at, stanza) VALUES (?, '', 0, '')";
        db.prepare_cached(sql)?.execute([int(seen.id)])?;
        db.prepare_cached("DELETE FROM offline WHERE id = ?")?.execute([int(seen.id)])?;
        let sql = "INSERT INTO quarantine (id, user, at, since, stanza, sender, bytes)
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        let (id, at, since, bytes) =
            (int(seen.id), int(seen.at), int(seen.since), int(bytes as u64));
        let row = params![id, user.as_str(), at, since, xml, from, bytes];
        db.prepare_cached(sql)?.execute(row)?;
    }
    if let Some(xml) = &all.vcard {
        let sql = "INSERT INTO vcards VALUES (?, ?)";
        db.prepare_cached(sql)?.execute([user.as_str(), xml])?;
    }
    for (ns, name, xml) in &all.private {
        let sql = "INSERT INTO private VALUES (?, ?, ?, ?)";
        db.prepare_cached(sql)?.execute([user.as_str(), ns, name, xml])?;
    }
    for jid in all.blocklist.iter() {
        let sql = "INSERT INTO blocklists VALUES (?, ?)";
        db.prepare_cached(sql)?.execute([user.as_str(), jid.as_str()])?;
    }
    if let Some(activity) = &all.activity {
        let sql = "INSERT INTO activity VALUES (?, ?, ?)";
        let row = params![user.as_str(), int(activity.at), activity.status];
        db.prepare_cached(sql)?.execute(row)?;
    }
    Ok(())
}

impl Transfer for SqliteStore {
    fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>> {
        let after = after.to_owned();
        Box::pin(self.read(move |db| users(db, &after, limit)))
    }

    fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>> {
        let (user, health) = (user.clone(), Arc::clone(&self.health));
        Box::pin(self.read(move |db| {
            // one state of all tables
            let reading = db.unchecked_transaction()?;
            let everything = export(&reading, &health, &user)?;
            reading.finish()?;
            Ok(everything)
        }))
    }

    fn import(&self, everything: Everything) -> StoreFuture<'_, ()> {
        let user = everything.user.clone();
        let weights = everything.messages.iter().map(|kept| kept.message.stanza.weight());
        let sessions = everything.sessions.iter().map(|session| session.frozen.len());
        let bytes = SMALL + weights.chain(sessions).sum::<usize>() + everything.roster.weight();
        let after = move |caches: &Caches, _: Option<&()>| accounts::uncache(caches, &user);
        Box::pin(self.write(bytes, move |db| import(db, &everything), after))
    }
}
