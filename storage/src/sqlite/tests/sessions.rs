//! Sessions and what they hold: after a reopening, in what is damaged, with a cache.

use super::Running;
use crate::{
    OfflineLimits, OfflineStore, Sessions, SqliteStore, StoredSession, Whose, conformance,
    sqlite::Options,
};
use rusqlite::Connection;
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

fn user() -> BareJid {
    "a@x".parse().unwrap()
}

fn session(key: &str) -> StoredSession {
    let key = key.to_owned();
    StoredSession { key, user: user(), epoch: 3, until: 4, handled: 5, frozen: vec![0, 1, 255] }
}

async fn append(store: &SqliteStore, holders: &[&str], ids: &[&str]) -> Vec<u64> {
    let message = |id: &&str| (1, Stanza::new(Kind::Message, Type::Chat).with_id(id));
    let holders = holders.iter().map(|&key| key.to_owned()).collect();
    let messages = ids.iter().map(message).collect();
    store.append(&user(), holders, messages, OfflineLimits::messages(99), None).await.unwrap()
}

async fn held(store: &SqliteStore, key: &str) -> Vec<String> {
    let page = store.held(&user(), key, 0, 99, usize::MAX).await.unwrap();
    page.iter().filter_map(|m| m.stanza.head.id.as_deref().map(str::to_owned)).collect()
}

async fn waiting(store: &SqliteStore) -> Vec<String> {
    let page = OfflineStore::page(store, &user(), 0, 99, usize::MAX).await.unwrap();
    assert_eq!(store.count(&user()).await, Ok(page.len()));
    page.iter().filter_map(|m| m.stanza.head.id.as_deref().map(str::to_owned)).collect()
}

#[tokio::test]
async fn reopening_keeps_sessions_and_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    store.put(session("kept")).await.unwrap();
    let ids = append(store, &["kept", "live"], &["1", "2"]).await;
    append(store, &["live"], &["3"]).await;
    append(store, &[], &["4"]).await;
    store.acknowledge(&user(), "live", ids.into_iter().take(1).collect()).await.unwrap();
    assert_eq!(waiting(store).await, ["4"]);
    drop(running.stop().await);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(Sessions::page(&**store, Whose::All, "", 9).await, Ok(vec![session("kept")]));
    assert_eq!(
        (held(store, "kept").await, held(store, "live").await.len()),
        (vec!["1".into(), "2".into()], 2)
    );
    assert_eq!(waiting(store).await, ["4"]);
    // the one that was not kept is gone with the process
    assert_eq!(store.release(Whose::All, 9).await, Ok(2));
    assert_eq!(store.release(Whose::All, 9).await, Ok(0));
    assert_eq!(waiting(store).await, ["3", "4"]);
    assert_eq!(store.take(&user(), "kept", Some(3)).await, Ok(Some(session("kept"))));
    drop(running.stop().await);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(held(store, "kept").await, ["1", "2"], "it holds them, taken or not");
    assert_eq!(store.release(Whose::All, 9).await, Ok(2));
    assert_eq!(waiting(store).await, ["2", "3", "4"], "somebody has the first");
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_is_held_and_damaged_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    append(&running.store, &["k", "l"], &["1", "2", "3"]).await;
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    let damage =
        "UPDATE offline SET stanza = replace(stanza, '<message', '<mess') WHERE stanza LIKE '%2%'";
    assert_eq!(db.execute(damage, []), Ok(1));

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(held(store, "k").await, ["1", "3"]);
    let rows = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        db.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((rows("damaged"), rows("offline"), rows("held")), (1, 2, 4));
    // nobody waits for it
    assert_eq!(store.release(Whose::All, 9).await, Ok(4));
    assert_eq!(waiting(store).await, ["1", "3"]);
    assert_eq!((rows("held"), rows("unkept")), (0, 0));
    running.stop().await;
}

/// No rows are left behind, whatever happened to what they were for.
#[tokio::test]
async fn what_is_done_leaves_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    store.put(session("kept")).await.unwrap();
    store.put(session("gone")).await.unwrap();
    let ids = append(store, &["kept", "live", "done"], &["1", "2"]).await;
    store.acknowledge(&user(), "done", ids.clone()).await.unwrap();
    store.acknowledge(&user(), "live", ids.clone()).await.unwrap();
    Sessions::expire(&**store, &user(), "gone").await.unwrap();
    store.take(&user(), "kept", None).await.unwrap();
    store.acknowledge(&user(), "kept", ids).await.unwrap();
    append(store, &["live", "kept"], &["3"]).await;
    conformance::forget(&running.stores, &user()).await.unwrap();
    let db = Connection::open(store.path()).unwrap();
    for table in ["sessions", "held", "unkept", "offline"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows = db.query_row(&sql, [], |row| row.get::<_, i64>(0));
        assert_eq!(rows, Ok(0), "{table}");
    }
    running.stop().await;
}

/// An address may be none for another version of the program; a value may be of another type in a file that was repaired.
#[tokio::test]
async fn one_that_is_damaged_keeps_no_other_from_going_on() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    for key in ["a", "b", "c", "d"] {
        store.put(session(key)).await.unwrap();
        append(store, &[key], &[key]).await;
    }
    append(store, &["live"], &["live"]).await;
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    db.execute_batch(
        "UPDATE sessions SET user = '@' WHERE key = 'a';
         UPDATE held SET user = '@' WHERE session IN ('a', 'live');
         UPDATE offline SET user = '@' WHERE id = 1;
         UPDATE sessions SET handled = -1 WHERE key = 'c';
         UPDATE unkept SET user = '@' WHERE session = 'live';",
    )
    .unwrap();
    drop(db);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(store.release(Whose::All, 1).await, Ok(0));
    assert_eq!(
        Sessions::page(&**store, Whose::All, "", 2).await,
        Ok(vec![session("b"), session("d")])
    );
    assert_eq!(
        (waiting(store).await, held(store, "b").await),
        (vec!["c".into()], vec!["b".into()])
    );
    assert_eq!(Sessions::page(&**store, Whose::All, "d", 2).await, Ok(Vec::new()));
    let file = running.stop().await.path().to_owned();
    let db = Connection::open(&file).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM sessions"), 2);
    assert_eq!(count("SELECT count(*) FROM held WHERE user = '@'"), 0);
    db.execute("UPDATE offline SET holders = 0, at = 1 WHERE user = '@'", []).unwrap();
    db.execute("UPDATE offline SET at = 1 WHERE holders = 0", []).unwrap();
    drop(db);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(OfflineStore::expire(&**store, 2, 9).await, Ok(2));
    assert_eq!(waiting(store).await, Vec::<String>::new());
    drop(running.stop().await);
}
