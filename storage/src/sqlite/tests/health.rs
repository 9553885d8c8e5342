//! What is said of a file that is full or damaged while the store runs.

use super::Running;
use crate::{
    Account, AccountStore, OfflineLimits, OfflineStore, StoreError, VcardStore, sqlite::Options,
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

fn user(name: &str) -> BareJid {
    format!("{name}@x").parse().unwrap()
}

/// Asks until it says something else: what was found is believed for a while.
async fn until(running: &Running, is: impl Fn(&Result<(), StoreError>) -> bool) {
    let answered = async {
        while !is(&running.store.check().await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.unwrap();
}

#[tokio::test]
async fn a_store_without_room_is_not_ready_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(1 << 20), ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    let store = &running.store;
    assert_eq!(store.check().await, Ok(()));
    let one = running.account("a").await;
    let body = format!("<message><body>{}</body></message>", "x".repeat(50_000));
    let large = Stanza::parse(body.as_bytes()).unwrap();
    let error = loop {
        let limits = OfflineLimits::messages(1_000);
        if let Err(error) = store.push(&one, 1, large.clone(), limits).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::NoRoom(_)), "{error}");
    // a failure is looked into at once
    let found = store.check().await;
    assert!(matches!(found, Err(StoreError::NoRoom(_))), "{found:?}");
    assert_eq!(store.is_good(), [false, true]);
    // what is there can be read, and be removed
    let all = store.page(&one, 0, 9_999, usize::MAX).await.unwrap();
    assert!(!all.is_empty());
    OfflineStore::remove(&**store, &one, all.iter().map(|m| m.id).collect()).await.unwrap();
    until(&running, Result::is_ok).await;
    assert_eq!(store.is_good(), [true; 2]);
    running.stop().await;
}

/// Nobody but the one who asks has a reason to look.
#[tokio::test]
async fn that_there_is_no_room_is_found_without_anybody_who_writes() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let xml = "x".repeat(200_000);
    let one = running.account("a").await;
    VcardStore::set(&*running.store, &one, xml).await.unwrap();
    running.stop().await;
    let size = fs::metadata(dir.path().join("core.sqlite")).unwrap().len();
    let options = Options { max_bytes: Some(size + 4096), ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    let found = running.store.check().await;
    assert!(matches!(found, Err(StoreError::NoRoom(_))), "{found:?}");
    running.stop().await;
}

/// Overwrites all of the file but the pages before `from`.
fn damage(path: &Path, from: usize) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    let mut damaged = whole.clone();
    damaged[from..].fill(b'#');
    // in place: the store has it open
    OpenOptions::new().write(true).open(path).unwrap().write_all(&damaged).unwrap();
    whole
}

#[tokio::test]
async fn a_store_that_is_damaged_while_it_runs_is_not_ready_until_it_is_whole() {
    for from in [0, 4096] {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(dir.path(), Options::default()).await;
        let all = (0..2_000).map(|n| (user(&format!("u{n}")), Account::default()));
        running.store.create(all.collect()).await.unwrap();
        running.stop().await;
        let running = Running::start(dir.path(), Options::default()).await;
        let path = running.store.path().to_owned();
        assert_eq!(running.store.check().await, Ok(()));
        let whole = damage(&path, from);
        until(&running, |found| matches!(found, Err(StoreError::Damaged(_)))).await;
        assert!(!running.store.is_good()[1]);
        OpenOptions::new().write(true).open(&path).unwrap().write_all(&whole).unwrap();
        until(&running, Result::is_ok).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_written_is_an_error_for_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    // without caches everything is read from the file
    let options = Options { cached_users: 0, cached_contacts: 0, ..Options::default() };
    let running = Running::start(dir.path(), options.clone()).await;
    let all = (0..2_000).map(|n| (user(&format!("u{n}")), Account::default()));
    running.store.create(all.collect()).await.unwrap();
    let path = running.stop().await.path().to_owned();
    let running = Running::start(dir.path(), options).await;
    damage(&path, 4096);
    let found = AccountStore::get(&*running.store, &user("u700")).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    let limits = OfflineLimits::messages(9);
    let message = Stanza::new(Kind::Message, Type::Chat);
    let kept = running.store.push(&user("u1"), 1, message, limits).await;
    assert!(kept.is_err(), "{kept:?}");
    let found = running.store.check().await;
    assert!(found.is_err(), "{found:?}");
    running.stop().await;
}
