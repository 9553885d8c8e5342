//! Files that cannot be used: each error names the file and says what to do.

use super::Running;
use crate::{
    Account, AccountStore, OfflineLimits, OfflineStore, QuarantineStore, Quarantined, conformance,
    sqlite::{OpenError, Options, SqliteStore, file::STEPS},
};
use rusqlite::Connection;
use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

/// A stopped store with some pages in it.
async fn filled(dir: &Path) -> PathBuf {
    let running = Running::start(dir, Options::default()).await;
    let accounts = (0..5000).map(|n| (format!("u{n}@x").parse().unwrap(), Account::default()));
    running.store.create(accounts.collect()).await.unwrap();
    running.stop().await.path().to_owned()
}

/// The error of opening; nothing in the file is changed by it.
fn refused(dir: &Path) -> OpenError {
    let file = dir.join("core.sqlite");
    let before = fs::read(&file).unwrap();
    let error = SqliteStore::open(dir, Options::default()).err().unwrap();
    assert!(error.to_string().contains(&*file.display().to_string()), "{error}");
    assert!(fs::read(&file).unwrap() == before);
    error
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = filled(dir.path()).await;
    let known = i64::try_from(STEPS.len()).unwrap();
    for version in [known + 1, -1] {
        Connection::open(&file).unwrap().pragma_update(None, "user_version", version).unwrap();
        let error = refused(dir.path());
        assert!(matches!(error, OpenError::Newer { found, .. } if found == version));
        assert!(error.to_string().contains(&version.to_string()));
    }
    Connection::open(&file).unwrap().pragma_update(None, "user_version", known).unwrap();
    assert!(SqliteStore::open(dir.path(), Options::default()).is_ok());
}

#[tokio::test]
async fn an_empty_file_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("core.sqlite"), "").unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    assert_eq!(running.store.is_empty().await, Ok(true));
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(file).unwrap();
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(version), Ok(STEPS.len()));
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    for damage in ["garbage", "cut", "header", "middle"] {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path()).await;
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        let (from, bytes) = match damage {
            "garbage" => (0, usize::try_from(len).unwrap()),
            "header" => (0, 100),
            "middle" => (len / 4096 / 2 * 4096, 4096),
            _ => (0, 0),
        };
        if damage == "cut" {
            file.set_len(len / 2).unwrap();
        }
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(&vec![b'#'; bytes]).unwrap();
        let error = refused(dir.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{damage}: {error}");
        assert!(error.to_string().contains("backup"));
    }
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::write(&taken, "").unwrap();
    let error = SqliteStore::open(&taken, Options::default()).err().unwrap();
    assert!(matches!(&error, OpenError::Io { path, .. } if *path == taken), "{error}");
    fs::create_dir(dir.path().join("core.sqlite")).unwrap();
    let error = SqliteStore::open(dir.path(), Options::default()).err().unwrap();
    assert!(error.to_string().contains("core.sqlite"), "{error}");
}

#[tokio::test]
async fn an_offline_message_that_is_damaged_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let user = running.account("a@x").await;
    for id in ["1", "2", "3"] {
        let limits = OfflineLimits::messages(9);
        let message = Stanza::new(Kind::Message, Type::Chat).with_id(id);
        running.store.push(&user, 1, message, limits).await.unwrap();
    }
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    let damage =
        "UPDATE offline SET stanza = replace(stanza, '<message', '<mess') WHERE stanza LIKE '%2%'";
    assert_eq!(db.execute(damage, []), Ok(1));
    drop(db);

    let running = Running::start(dir.path(), Options::default()).await;
    assert_eq!(running.store.count(&user).await, Ok(3));
    let page = running.store.page(&user, 0, 9, usize::MAX).await.unwrap();
    let ids: Vec<_> = page.iter().filter_map(|m| m.stanza.head.id.as_deref()).collect();
    assert_eq!(ids, ["1", "3"]);
    // it does not count, nor is it lost
    assert_eq!(running.store.count(&user).await, Ok(2));
    let full = OfflineLimits::messages(3);
    let message = Stanza::new(Kind::Message, Type::Chat);
    assert!(running.store.push(&user, 1, message, full).await.is_ok());
    let aside = |db: &Connection| -> Vec<String> {
        let mut select = db.prepare("SELECT stanza FROM damaged WHERE user = 'a@x'").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let db = Connection::open(&file).unwrap();
    assert_eq!(aside(&db), ["<mess id='2' type='chat'/>"]);
    conformance::forget(&running.stores, &user).await.unwrap();
    assert!(aside(&db).is_empty(), "it is gone with its user");
    drop(db);
    running.stop().await;
}

#[tokio::test]
async fn a_row_whose_address_is_none_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = filled(dir.path()).await;
    let db = Connection::open(&file).unwrap();
    for sql in [
        "DELETE FROM accounts WHERE user NOT IN ('u0@x', 'u1@x', 'u2@x')",
        "UPDATE accounts SET user = '@u1' WHERE user = 'u1@x'",
        "UPDATE accounts SET user = 'u2@@x' WHERE user = 'u2@x'",
        "INSERT INTO accounts SELECT 'u3@x', host, created, disabled FROM accounts LIMIT 1",
    ] {
        db.execute(sql, []).unwrap();
    }
    for (id, user) in [(1, "@x"), (2, "u0@x"), (3, "u0@@x"), (4, "u3@x")] {
        let sql = "INSERT INTO quarantine (id, user, at, since, stanza, sender, bytes)
                   VALUES (?, ?, 1, 1, '<message/>', '', 9)";
        db.execute(sql, rusqlite::params![id, user]).unwrap();
    }
    drop(db);
    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let (first, second): (BareJid, BareJid) = ("u0@x".parse().unwrap(), "u3@x".parse().unwrap());
    // also where a page has no room for more
    for limit in [1, 9] {
        let accounts = store.list("x", None, limit).await.unwrap();
        assert_eq!(accounts, [first.clone(), second.clone()][..limit.min(2)]);
        let accounts = store.list("x", Some(&first), limit).await.unwrap();
        assert_eq!(accounts, std::slice::from_ref(&second));
        let ids = |page: Vec<Quarantined>| page.iter().map(|one| one.id).collect::<Vec<_>>();
        let page = store.quarantined(None, 0, limit).await.unwrap();
        assert_eq!(ids(page), [2, 4][..limit.min(2)]);
        assert_eq!(ids(store.quarantined(None, 2, limit).await.unwrap()), [4]);
    }
    running.stop().await;
}
