//! Files that cannot be used: each error names the file and says what to do.

use super::Running;
use crate::{
    Account, AccountStore, BlocklistStore, OfflineLimits, OfflineStore, QuarantineStore,
    Quarantined, Roster, RosterChange, RosterItem, RosterStore, StoreError, conformance,
    sqlite::{OpenError, Options, SqliteStore, file::STEPS},
    transfer::{self, Walk},
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
        "INSERT INTO accounts SELECT 'u3@x', host, created, disabled, origin FROM accounts LIMIT 1",
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

/// A blocklist whose user hears of nobody would be none, nor would be one that is in force for nobody.
#[tokio::test]
async fn a_blocked_address_that_is_none_keeps_no_other_from_being_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let user = running.account("a@x").await;
    let jids = |texts: &[&str]| texts.iter().map(|jid| jid.parse().unwrap()).collect::<Vec<_>>();
    running.store.add(&user, jids(&["b@x", "c@x", "d@x"]), 9).await.unwrap();
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    let damage = "UPDATE blocklists SET jid = 'c@@x' WHERE jid = 'c@x'";
    assert_eq!(db.execute(damage, []), Ok(1));

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let list = async || {
        let list = BlocklistStore::get(&**store, &user).await.unwrap();
        list.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list().await, ["b@x", "d@x"]);
    assert!(store.bad_rows().contains(&("blocklists", 1)));
    // nor from being changed
    store.add(&user, jids(&["e@x"]), 9).await.unwrap();
    BlocklistStore::remove(&**store, &user, jids(&["b@x"])).await.unwrap();
    assert_eq!(list().await, ["d@x", "e@x"]);
    let kept = "SELECT count(*) FROM blocklists WHERE user = 'a@x' AND jid = 'c@@x'";
    assert_eq!(db.query_row(kept, [], |row| row.get(0)), Ok(1), "somebody has to look at it");
    BlocklistStore::remove(&**store, &user, Vec::new()).await.unwrap();
    assert_eq!(db.query_row(kept, [], |row| row.get(0)), Ok(0));
    running.stop().await;
}

#[tokio::test]
async fn a_message_in_quarantine_that_is_damaged_stays_there_until_it_is_dropped() {
    for damage in [
        "UPDATE quarantine SET stanza = '<mess' WHERE id = 1",
        "UPDATE quarantine SET user = 'a@@x' WHERE id = 1",
        "UPDATE quarantine SET bytes = x'00' WHERE id = 1",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(dir.path(), Options::default()).await;
        let user = running.account("a@x").await;
        let db = Connection::open(running.store.path()).unwrap();
        db.execute_batch(
            "INSERT INTO quarantine (id, user, at, since, stanza, sender, bytes) VALUES
             (1, 'a@x', 1, 1, '<message/>', '', 9), (2, 'a@x', 1, 1, '<message/>', '', 9)",
        )
        .unwrap();
        assert_eq!(db.execute(damage, []), Ok(1));
        let store = &running.store;
        let content = store.content(1).await;
        assert!(matches!(content, Err(StoreError::Corrupt(_))), "{damage}: {content:?}");
        let restored = store.restore(1).await;
        assert!(matches!(restored, Err(StoreError::Corrupt(_))), "{damage}: {restored:?}");
        let rows =
            || db.query_row("SELECT count(*) FROM quarantine", [], |row| row.get::<_, i64>(0));
        assert_eq!((rows(), store.count(&user).await), (Ok(2), Ok(0)), "{damage}");
        // the other one goes on
        assert!(store.restore(2).await.unwrap().is_some());
        assert_eq!((rows(), store.count(&user).await), (Ok(1), Ok(1)));
        assert_eq!(store.discard(1).await, Ok(true));
        assert_eq!(rows(), Ok(0));
        running.stop().await;
    }
}

#[tokio::test]
async fn a_contact_that_is_damaged_does_not_cost_its_user_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let user = running.account("a@x").await;
    let put = |jid: &str| RosterChange::Put(RosterItem::new(jid.parse().unwrap()));
    for (ver, jid) in ["b@x", "c@x", "d@x"].into_iter().enumerate() {
        running.store.change(&user, ver as u64, put(jid), 9).await.unwrap();
    }
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    db.execute_batch(
        "UPDATE roster_items SET item = '{' WHERE jid = 'c@x';
         UPDATE rosters SET removed = '{' WHERE user = 'a@x';",
    )
    .unwrap();
    drop(db);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let names =
        |roster: &Roster| roster.items.iter().map(|i| i.jid.to_string()).collect::<Vec<_>>();
    let roster = RosterStore::get(&**store, &user).await.unwrap();
    assert_eq!(
        (names(&roster), roster.ver, roster.floor),
        (vec!["b@x".into(), "d@x".into()], 3, 3)
    );
    assert!(store.bad_rows().contains(&("rosters", 2)));
    // who writes it anew has it again
    let roster = store.change(&user, 3, put("c@x"), 9).await.unwrap();
    assert_eq!(names(&roster), ["b@x", "c@x", "d@x"]);
    running.stop().await;
    let running = Running::start(dir.path(), Options::default()).await;
    let roster = RosterStore::get(&*running.store, &user).await.unwrap();
    assert_eq!((names(&roster).len(), running.store.bad_rows()[4]), (3, ("rosters", 0)));
    running.stop().await;
}

#[tokio::test]
async fn an_account_whose_name_is_damaged_is_named_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    running.account("c@x").await;
    let db = Connection::open(running.store.path()).unwrap();
    let sql = "INSERT INTO accounts (user, host, created, disabled)
               VALUES ('@', '', 1, 0), ('B@x', 'x', 1, 0), (CAST(x'62ff' AS TEXT), '', 1, 0), (x'7a', '', 1, 0)";
    assert_eq!(db.execute(sql, []), Ok(4));
    let mut walk = Walk::default();
    while walk.read(&*running.store).await.unwrap() {}
    assert_eq!((walk.tally.accounts, walk.failed), (2, 4), "{:?}", walk.bad);
    let bad: Vec<&str> = walk.bad.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(bad, ["@", "B@x", "b\u{fffd}", "z"]);
    assert_eq!(transfer::count(&*running.store).await, Ok(6));
    running.stop().await;
}
