//! Files that older programs wrote, up to date once they are opened.

use super::Running;
use crate::{
    OfflineLimits, OfflineStore, QuarantineStore, Sessions, StoreError, Struck, Whose,
    sqlite::{Options, file::STEPS},
};
use rusqlite::Connection;
use std::path::Path;
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

/// A file of that version, with messages that the first one kept.
fn older(dir: &Path, version: usize) {
    let db = Connection::open(dir.join("core.sqlite")).unwrap();
    for (step, reached) in STEPS.iter().zip(1..=version) {
        db.execute_batch(step).unwrap();
        db.pragma_update(None, "user_version", i64::try_from(reached).unwrap()).unwrap();
        if reached == 1 {
            db.execute_batch(
                "INSERT INTO accounts VALUES ('a@x', 'x', 1, 0);
                 INSERT INTO offline (user, at, stanza) VALUES
                 ('a@x', 1, '<message id=\"1\"><body>b</body></message>'),
                 ('a@x', 1, '<message id=\"2\"><\u{370}/></message>'),
                 ('a@x', 1, '<message id=\"3\" from=\"b@x/r\"/>')",
            )
            .unwrap();
        }
    }
}

/// However far an upgrade had come.
#[tokio::test]
async fn what_is_there_above_a_limit_of_today_is_read_and_takes_nothing_more() {
    for version in 1..=STEPS.len() {
        let dir = tempfile::tempdir().unwrap();
        let user: BareJid = "a@x".parse().unwrap();
        older(dir.path(), version);
        let running = Running::start(dir.path(), Options::default()).await;
        let store = &running.store;
        let push = |limits| {
            let message = Stanza::new(Kind::Message, Type::Chat).with_id("4");
            store.push(&user, 2, message, limits)
        };
        let few = OfflineLimits::messages(2);
        let small = OfflineLimits { bytes: 50, ..OfflineLimits::messages(9) };
        for (limits, limit) in [(few, 2), (small, 50)] {
            assert_eq!(push(limits).await, Err(StoreError::Full { limit }), "{version}");
        }
        let page = OfflineStore::page(&**store, &user, 0, 9, usize::MAX).await.unwrap();
        let ids: Vec<_> = page.iter().filter_map(|m| m.stanza.head.id.as_deref()).collect();
        assert_eq!(ids, ["1", "3"], "names of today's XML alone");
        assert_eq!(push(few).await, Err(StoreError::Full { limit: 2 }), "{version}");
        let first = page.first().map(|m| m.id).into_iter().collect();
        OfflineStore::remove(&**store, &user, first).await.unwrap();
        assert!(push(few).await.is_ok(), "{version}");
        let file = running.stop().await.path().to_owned();
        let db = Connection::open(file).unwrap();
        let reached: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(reached), Ok(STEPS.len()));
    }
}

/// Messages that were kept before anybody counted what they did to clients.
#[tokio::test]
async fn what_is_there_and_what_is_held_has_no_strikes() {
    let dir = tempfile::tempdir().unwrap();
    let user: BareJid = "a@x".parse().unwrap();
    older(dir.path(), 4);
    let db = Connection::open(dir.path().join("core.sqlite")).unwrap();
    db.execute_batch(
        "INSERT INTO held VALUES ('a@x', 'k', 3);
         INSERT INTO unkept VALUES ('a@x', 'k');
         UPDATE offline SET holders = 1 WHERE id = 3;",
    )
    .unwrap();
    drop(db);
    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let page = OfflineStore::page(&**store, &user, 0, 9, usize::MAX).await.unwrap();
    assert_eq!(page.iter().map(|m| (m.id, m.strikes)).collect::<Vec<_>>(), [(1, 0)]);
    let held = store.held(&user, "k", 0, 9, usize::MAX).await.unwrap();
    assert_eq!(held.iter().map(|m| (m.id, m.strikes)).collect::<Vec<_>>(), [(3, 0)]);
    assert_eq!(store.quarantined(None, 0, 9).await, Ok(Vec::new()));
    for (id, struck) in [(1, 1), (1, 2), (3, 1)] {
        let counted = store.strike(&user, "k", id, 5, usize::MAX).await;
        assert_eq!(counted, Ok(Struck::Counted(struck)));
    }
    assert_eq!(store.count(&user).await, Ok(2));
    running.stop().await;
}

/// Messages that were kept before sessions could hold any.
#[tokio::test]
async fn what_is_there_waits_for_nobody_in_particular() {
    let dir = tempfile::tempdir().unwrap();
    let user: BareJid = "a@x".parse().unwrap();
    older(dir.path(), 3);
    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let ids = async || {
        let page = OfflineStore::page(&**store, &user, 0, 9, usize::MAX).await.unwrap();
        page.iter().map(|m| m.id).collect::<Vec<_>>()
    };
    let held = vec![(2, Stanza::new(Kind::Message, Type::Chat))];
    let limits = OfflineLimits::messages(4);
    assert_eq!(store.append(&user, vec!["k".to_owned()], held, limits, None).await, Ok(vec![4]));
    assert_eq!(ids().await, [1, 3]);
    assert_eq!(store.count(&user).await, Ok(2));
    assert_eq!(store.release(Whose::All, 9).await, Ok(1));
    assert_eq!(OfflineStore::expire(&**store, 2, 9).await, Ok(2));
    assert_eq!(ids().await, [4]);
    running.stop().await;
}

/// What was on its way into a store when the account was removed: nobody of that name gets it.
#[tokio::test]
async fn what_was_written_for_an_account_that_was_gone_is_not_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path(), STEPS.len());
    let db = Connection::open(dir.path().join("core.sqlite")).unwrap();
    db.execute("DELETE FROM accounts", []).unwrap();
    drop(db);
    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    let user: BareJid = "a@x".parse().unwrap();
    // so that a cache has them
    assert_eq!(store.count(&user).await, Ok(3));
    running.account("a@x").await;
    assert_eq!(store.count(&user).await, Ok(0));
    running.stop().await;
}
