//! kill -9 in the middle of writes: nothing that was acknowledged is lost.
//!
//! The test starts itself as another process, which writes and prints what was acknowledged.

use super::Running;
use crate::{
    Account, AccountStore, BoxFuture, OfflineLimits, OfflineMessage, OfflineStore, RosterChange,
    RosterItem, RosterStore, RosterWrite, Sessions, sqlite::Options,
};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};
use tokio::runtime::Builder;
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

/// Where the other process writes.
const DIR: &str = "STORAGE_KILL_TEST_DIR";
const ROUNDS: usize = 12;

fn user() -> BareJid {
    "user@y".parse().unwrap()
}

fn holder() -> BareJid {
    "holder@y".parse().unwrap()
}

fn message(id: &str) -> Stanza {
    Stanza::new(Kind::Message, Type::Chat).with_id(id)
}

/// Their names.
fn names(page: &[OfflineMessage]) -> impl Iterator<Item = String> {
    page.iter().filter_map(|m| m.stanza.head.id.as_deref().map(str::to_owned))
}

/// Two who have rosters, which are changed together.
fn pair() -> [BareJid; 2] {
    ["one@y", "two@y"].map(|user| user.parse().unwrap())
}

fn acknowledge(what: &str) {
    writeln!(io::stdout(), "ack {what}").unwrap();
}

/// Writes until it is killed.
async fn write(dir: &Path) {
    let running = Running::start(dir, Options::default()).await;
    let store = &running.store;
    let first =
        OfflineStore::page(&**store, &user(), 0, usize::MAX, usize::MAX).await.unwrap().len();
    let accounts = pair().into_iter().chain([user(), holder()]);
    let accounts = accounts.map(|user| (user, Account::default()));
    store.create(accounts.collect()).await.unwrap();
    let push = |task: usize| -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for n in first.. {
                let id = format!("m{task}-{n}");
                let limits = OfflineLimits::messages(usize::MAX);
                store.push(&user(), 1, message(&id), limits).await.unwrap();
                acknowledge(&id);
            }
        })
    };
    let change: BoxFuture<'_, ()> = Box::pin(async {
        loop {
            let ver = RosterStore::get(&**store, &pair()[0]).await.unwrap().ver;
            let item = RosterItem::new(format!("c{}@x", ver % 50).parse().unwrap());
            let change = RosterChange::Put(item);
            let both = pair().map(|user| RosterWrite { user, ver, change: change.clone() });
            store.change_all(both.into(), usize::MAX).await.unwrap();
            acknowledge(&format!("v{}", ver + 1));
        }
    });
    let create: BoxFuture<'_, ()> = Box::pin(async {
        for n in first.. {
            let name = |k| format!("a{n}-{k}@x");
            let new = (0..3).map(|k| (name(k).parse().unwrap(), Account::default()));
            store.create(new.collect()).await.unwrap();
            (0..3).for_each(|k| acknowledge(&name(k)));
        }
    });
    let hold: BoxFuture<'_, ()> = Box::pin(async {
        for n in first.. {
            let three = (0..3).map(|k| (1, message(&format!("h{n}-{k}"))));
            let holders = vec!["one".to_owned(), "two".to_owned()];
            let limits = OfflineLimits::messages(usize::MAX);
            store.append(&holder(), holders, three.collect(), limits, None).await.unwrap();
            (0..3).for_each(|k| acknowledge(&format!("h{n}-{k}")));
        }
    });
    crate::conformance::all((0..8).map(push).chain([change, create, hold])).await;
}

/// Everything that is in the store, by the name it was acknowledged with.
async fn kept(dir: &Path) -> BTreeSet<String> {
    let running = Running::start(dir, Options::default()).await;
    let store = &running.store;
    let page = OfflineStore::page(&**store, &user(), 0, usize::MAX, usize::MAX).await.unwrap();
    assert!(page.is_sorted_by(|a, b| a.id < b.id));
    let [one, two] = pair();
    let roster = RosterStore::get(&**store, &one).await.unwrap();
    assert_eq!(roster, RosterStore::get(&**store, &two).await.unwrap());
    // a change is in both tables or in none
    assert_eq!(roster.ver, roster.items.iter().map(|item| item.ver).max().unwrap_or(0));
    let accounts = store.list("x", None, usize::MAX).await.unwrap();
    // three were created at once: all or none
    assert_eq!(accounts.len() % 3, 0);
    let mut kept: BTreeSet<String> = accounts.iter().map(ToString::to_string).collect();
    kept.extend(names(&page));
    // three that two sessions hold: all or none, and of both
    let held = async |key| store.held(&holder(), key, 0, usize::MAX, usize::MAX).await.unwrap();
    let both = held("one").await;
    assert_eq!((both.len() % 3, store.count(&holder()).await), (0, Ok(0)));
    assert_eq!(both, held("two").await);
    kept.extend(names(&both));
    kept.extend((1..=roster.ver).map(|ver| format!("v{ver}")));
    let path = running.stop().await.path().to_owned();
    let check = Connection::open(path).unwrap();
    let check: String = check.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    kept
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(dir) = env::var_os(DIR) {
        return runtime.block_on(write(Path::new(&dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("sqlite::tests::kill::a_killed_process_loses_nothing_it_acknowledged")
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acks = lines.by_ref().filter_map(|l| l.strip_prefix("ack ").map(str::to_owned));
        let some = round * 37;
        let before = acknowledged.len();
        acknowledged.extend(acks.by_ref().take(some));
        child.kill().unwrap();
        // what it said before it died counts
        acknowledged.extend(acks);
        assert!(!child.wait().unwrap().success());
        assert!(acknowledged.len() >= before + some);
        let kept = runtime.block_on(kept(dir.path()));
        let lost: Vec<_> = acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {}", acknowledged.len());
    }
}
