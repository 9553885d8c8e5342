//! The file: whose it is, and what is wrong with it.

use super::{ANY, Fault, Journaled, Options, Running, STILL, fake, message, open, user};
use crate::{OfflineStore, error::LATER, sqlite::OpenError};
use rusqlite::Connection;
use std::{os::unix::fs::PermissionsExt, sync::Arc};

#[tokio::test]
async fn it_is_one_process_s_and_nobody_else_s_to_read() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake(&["a@x"]);
    let running = Running::start(dir.path(), Options::default(), &fake).await;
    let second = Journaled::open(dir.path(), Options::default(), Arc::clone(&fake));
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    let mode = dir.path().join("journal.sqlite").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let journaled = Arc::clone(&running.journaled);
    running.stop().await;
    assert!(open(dir.path(), STILL, &fake).await.is_ok(), "it was given back");
    fake.every(Fault::Away);
    let later = journaled.push(&user("a@x"), 1, message("1"), ANY).await;
    assert_eq!(later, Err(LATER), "nobody writes");
}

#[tokio::test]
async fn a_newer_version_and_a_damaged_file_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let fake = fake(&[]);
    let open = async || open(dir.path(), STILL, &fake).await.map(drop);
    open().await.unwrap();
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    drop(db);
    assert!(matches!(open().await, Err(OpenError::Newer { found: 9, known: 1, .. })));
    std::fs::write(&path, "no database, but long enough to be taken for one: ".repeat(99)).unwrap();
    assert!(matches!(open().await, Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn what_cannot_be_read_is_put_aside_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let fake = fake(&["a@x", "b@x"]);
    let running = Running::start(dir.path(), STILL, &fake).await;
    fake.every(Fault::Away);
    for name in ["1", "2", "3", "4", "5"] {
        running.push(&user("a@x"), name).await.unwrap();
    }
    running.push(&user("b@x"), "1").await.unwrap();
    running.stop().await;
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "UPDATE journal SET op = 'nonsense' WHERE id = 1;
         UPDATE journal SET name = x'00' WHERE id = 2;
         UPDATE journal SET op = replace(op, 'a@x', 'b@x') WHERE id = 3;
         UPDATE journal SET user = '@' WHERE id = 4;",
    )
    .unwrap();
    drop(db);
    let running = Running::start(dir.path(), STILL, &fake).await;
    assert_eq!(running.waiting(), 5);
    fake.every(Fault::None);
    assert_eq!(running.names(&user("b@x")).await.unwrap(), ["1"]);
    assert_eq!(running.names(&user("a@x")).await.unwrap(), ["5"]);
    assert_eq!((running.waiting(), running.totals()), (0, [0, 2, 3]));
    running.stop().await;
    let db = Connection::open(&path).unwrap();
    let count = |sql| db.query_row(sql, [], |row| row.get(0));
    assert_eq!(count("SELECT count(*) FROM journal"), Ok(0));
    assert_eq!(count("SELECT count(*) FROM damaged"), Ok(4));
}
