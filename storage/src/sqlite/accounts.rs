//! Accounts in SQLite: one row an account, one a key.

use super::{SMALL, SqliteStore, int, rosters::version, uint};
use crate::cache::Caches;
use crate::{Account, AccountStore, Origin, StoreError, StoreFuture, accounts::address};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

fn name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA-1",
        Hash::Sha256 => "SHA-256",
        Hash::Sha512 => "SHA-512",
    }
}

fn hash(text: &str) -> Result<Hash, StoreError> {
    let found = Hash::ALL.into_iter().find(|hash| name(*hash) == text);
    found.ok_or_else(|| StoreError::Corrupt(format!("unknown hash function {text:?}")))
}

fn origin(json: &str) -> Result<Origin, StoreError> {
    serde_json::from_str(json).map_err(|e| StoreError::Corrupt(format!("an account's origin: {e}")))
}

pub(super) fn load(db: &Connection, user: &BareJid) -> Result<Option<Arc<Account>>, StoreError> {
    // one statement sees one state of both tables
    let mut select = db.prepare_cached(
        "SELECT created, disabled, hash, salt, iterations, stored_key, server_key, origin
         FROM accounts LEFT JOIN scram_keys USING (user) WHERE user = ?1 ORDER BY place",
    )?;
    let mut found = select.query([user.as_str()])?;
    let mut account = None;
    while let Some(row) = found.next()? {
        if account.is_none() {
            let (created, disabled) = (uint(row.get(0)?), row.get(1)?);
            let json: Option<String> = row.get(7)?;
            let origin = json.as_deref().map(origin).transpose()?;
            account = Some(Account { keys: Vec::new(), created, disabled, origin });
        }
        if let (Some(account), Some(function)) = (&mut account, row.get::<_, Option<String>>(2)?) {
            account.keys.push(ScramKeys {
                hash: hash(&function)?,
                salt: row.get(3)?,
                iterations: row.get(4)?,
                stored_key: row.get(5)?,
                server_key: row.get(6)?,
            });
        }
    }
    Ok(account.map(Arc::new))
}

fn insert_keys(db: &Connection, user: &BareJid, keys: &[ScramKeys]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO scram_keys VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for (place, key) in (0_i64..).zip(keys) {
        insert.execute(params![
            user.as_str(),
            place,
            name(key.hash),
            key.salt,
            key.iterations,
            key.stored_key,
            key.server_key
        ])?;
    }
    Ok(())
}

fn delete_keys(db: &Connection, user: &BareJid) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM scram_keys WHERE user = ?")?.execute([user.as_str()])?;
    Ok(())
}

fn json(account: &Account) -> Result<Option<String>, StoreError> {
    let json = account.origin.as_ref().map(serde_json::to_string).transpose();
    json.map_err(|e| StoreError::Failed(e.to_string()))
}

/// `None`: it was not there; `Some(false)`: another one is.
fn adopt(db: &Connection, user: &BareJid, account: &Account) -> Result<Option<bool>, StoreError> {
    let Some(kept) = load(db, user)? else {
        insert(db, user, account)?;
        return Ok(None);
    };
    if !account.is_same_as(&kept) {
        return Ok(Some(false));
    }
    db.prepare_cached("UPDATE accounts SET disabled = ?, origin = ? WHERE user = ?")?
        .execute(params![account.disabled, json(account)?, user.as_str()])?;
    delete_keys(db, user)?;
    insert_keys(db, user, &account.keys)?;
    Ok(Some(true))
}

/// Whether it was not there before.
pub(super) fn insert(
    db: &Connection,
    user: &BareJid,
    account: &Account,
) -> Result<bool, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO accounts (user, host, created, disabled, origin) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )?;
    let (at, disabled, origin) = (int(account.created), account.disabled, json(account)?);
    let is_new = insert.execute(params![user.as_str(), user.domain(), at, disabled, origin])? == 1;
    if is_new {
        forget(db, user)?;
        insert_keys(db, user, &account.keys)?;
    }
    Ok(is_new)
}

/// The accounts that were not there before.
fn create(db: &Connection, accounts: Vec<(BareJid, Account)>) -> Result<Vec<BareJid>, StoreError> {
    let mut created = Vec::with_capacity(accounts.len());
    for (user, account) in accounts {
        if insert(db, &user, &account)? {
            created.push(user);
        }
    }
    Ok(created)
}

/// All that is kept of a user besides the account.
pub(super) const OF_A_USER: &[&str] = &[
    "DELETE FROM scram_keys WHERE user = ?",
    "DELETE FROM rosters WHERE user = ?",
    "DELETE FROM roster_items WHERE user = ?",
    "DELETE FROM offline WHERE user = ?",
    "DELETE FROM damaged WHERE user = ?",
    "DELETE FROM sessions WHERE user = ?",
    "DELETE FROM held WHERE user = ?",
    "DELETE FROM unkept WHERE user = ?",
    "DELETE FROM quarantine WHERE user = ?",
    "DELETE FROM vcards WHERE user = ?",
    "DELETE FROM private WHERE user = ?",
    "DELETE FROM blocklists WHERE user = ?",
    "DELETE FROM activity WHERE user = ?",
];

/// Nothing is left of a user but the account.
pub(super) fn forget(db: &Connection, user: &BareJid) -> Result<(), StoreError> {
    for sql in OF_A_USER {
        db.prepare_cached(sql)?.execute([user.as_str()])?;
    }
    Ok(())
}

/// Nothing is left of a user in the caches.
pub(super) fn uncache(caches: &Caches, user: &BareJid) {
    caches.accounts.wrote(user, None);
    caches.rosters.wrote(user, None);
    caches.blocklists.wrote(user, None);
    caches.waiting.wrote(user, None);
}

/// What belongs to an account is not written without one.
pub(super) fn must_exist(db: &Connection, user: &BareJid) -> Result<(), StoreError> {
    let mut select = db.prepare_cached("SELECT 1 FROM accounts WHERE user = ?")?;
    if select.exists([user.as_str()])? {
        return Ok(());
    }
    Err(StoreError::NoAccount(user.as_str().to_owned()))
}

/// The next read finds out.
fn unknown<T>(user: BareJid) -> impl FnOnce(&Caches, Option<&T>) {
    move |caches, _| caches.accounts.wrote(&user, None)
}

impl AccountStore for SqliteStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        Box::pin(self.cached(&self.caches.accounts, user, load))
    }

    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let bytes = SMALL + accounts.len() * 1024;
            let created = self.write(
                bytes,
                move |db| create(db, accounts),
                |caches, created| {
                    // after a commit that failed nothing is there that was not there before
                    for user in created.into_iter().flatten() {
                        uncache(caches, user);
                    }
                },
            );
            Ok(created.await?.len())
        })
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                let sql = "SELECT 1 FROM accounts WHERE user = ?";
                let mut select = db.prepare_cached(sql)?;
                let exists = select.query_row([key.as_str()], |_| Ok(())).optional()?.is_some();
                if exists {
                    delete_keys(db, &key)?;
                    insert_keys(db, &key, &keys)?;
                }
                Ok(exists)
            };
            self.write(SMALL, work, unknown(user.clone())).await
        })
    }

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| adopt(db, &key, &account);
            let key = user.clone();
            let after = move |caches: &Caches, adopted: Option<&Option<bool>>| match adopted {
                Some(None) => uncache(caches, &key),
                _ => caches.accounts.wrote(&key, None),
            };
            Ok(self.write(SMALL, work, after).await?.unwrap_or(true))
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = user.clone();
            let work = move |db: &Connection| {
                let mut delete = db.prepare_cached("DELETE FROM accounts WHERE user = ?")?;
                if delete.execute([key.as_str()])? == 0 {
                    return Ok(false);
                }
                let now = version(db, &key)?;
                if now != roster {
                    return Err(StoreError::Conflict { now });
                }
                forget(db, &key)?;
                Ok(true)
            };
            let key = user.clone();
            self.write(SMALL, work, move |caches, _| uncache(caches, &key)).await
        })
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        Box::pin(async move {
            let (host, after) = (host.to_owned(), after.cloned());
            let health = Arc::clone(&self.health);
            let work = move |db: &Connection| {
                let mut select = db.prepare_cached(
                    "SELECT user FROM accounts WHERE host = ? AND user > ? ORDER BY user",
                )?;
                // no address is empty: everything is greater
                let after = after.as_ref().map_or("", BareJid::as_str);
                let mut found = select.query(params![host, after])?;
                let mut users = Vec::new();
                while users.len() < limit
                    && let Some(row) = found.next()?
                {
                    match address(row.get_ref(0)?.as_str().unwrap_or_default()) {
                        Ok(user) => users.push(user),
                        // the others are there
                        Err(why) => {
                            tracing::error!(%why, "an account is left out of a list");
                            health.unreadable("accounts", 1);
                        }
                    }
                }
                Ok(users)
            };
            self.read(work).await
        })
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        Box::pin(self.read(|db| {
            let mut select = db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM accounts)")?;
            Ok(select.query_row([], |row| row.get(0))?)
        }))
    }
}
