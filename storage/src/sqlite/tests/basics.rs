//! Reopening, queues, batches, crashes of the threads, caches under load.

use super::Running;
use crate::{
    Account, AccountStore, OfflineLimits, OfflineStore, RosterChange, RosterItem, RosterStore,
    StoreError,
    error::LATER,
    sqlite::{OpenError, Options, SqliteStore},
};
use rusqlite::Connection;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};
use supervision::System;
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

fn user(text: &str) -> BareJid {
    text.parse().unwrap()
}

fn message(id: &str) -> Stanza {
    Stanza::new(Kind::Message, Type::Chat).with_id(id)
}

async fn ids(store: &SqliteStore, user: &BareJid) -> Vec<String> {
    let page = store.page(user, 0, 10_000, usize::MAX).await.unwrap();
    page.iter().map(|m| m.stanza.head.id.as_deref().unwrap().to_owned()).collect()
}

/// Keeps the writer busy until the other end is dropped.
async fn busy(store: &Arc<SqliteStore>) -> (mpsc::SyncSender<()>, Waiting<()>) {
    let (hold, released) = mpsc::sync_channel::<()>(0);
    let (began, is_busy) = tokio::sync::oneshot::channel();
    let work = move |_: &Connection| {
        began.send(()).ok();
        released.recv().ok();
        Ok(())
    };
    let waiting = Waiting::start(Arc::clone(store), |s| Box::pin(s.write(0, work, |_, _| ())));
    is_busy.await.unwrap();
    (hold, waiting)
}

/// A call that was made and not awaited yet.
struct Waiting<T>(crate::BoxFuture<'static, Result<T, StoreError>>);

impl<T: Send + 'static> Waiting<T> {
    fn start<F>(store: Arc<SqliteStore>, call: F) -> Self
    where
        F: FnOnce(&SqliteStore) -> crate::StoreFuture<'_, T> + Send + 'static,
    {
        let mut future: crate::BoxFuture<'static, _> = Box::pin(async move { call(&store).await });
        let waker = std::task::Waker::noop();
        // the first poll puts it into the queue
        assert!(future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        Self(future)
    }

    fn push(store: &Arc<SqliteStore>, id: &'static str) -> Waiting<()> {
        Waiting::start(Arc::clone(store), move |store| {
            Box::pin(async move {
                store
                    .push(&user("a@x"), 1, message(id), OfflineLimits::messages(100))
                    .await
                    .map(drop)
            })
        })
    }
}

/// Tries until a worker that ended is there again.
async fn until_back<T>(mut call: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let tries = async {
        loop {
            match call().await {
                Err(StoreError::Unavailable { .. }) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tries).await.unwrap()
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let one = user("one@x");
    let store = &running.store;
    store.create(vec![(one.clone(), Account { created: 7, ..Account::default() })]).await.unwrap();
    let item = RosterItem::new("b@x".parse().unwrap());
    store.change(&one, 0, RosterChange::Put(item), 9).await.unwrap();
    store.push(&one, 1, message("1"), OfflineLimits::messages(9)).await.unwrap();
    running.stop().await;
    // everything is in the one file
    let files = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name());
    let mut files: Vec<_> = files.map(|f| f.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["core.lock", "core.sqlite"]);

    let running = Running::start(dir.path(), Options::default()).await;
    let store = &running.store;
    assert_eq!(AccountStore::get(&**store, &one).await.unwrap().unwrap().created, 7);
    assert_eq!(RosterStore::get(&**store, &one).await.unwrap().items.len(), 1);
    assert_eq!(store.count(&one).await, Ok(1));
    // an id is not used again, also not after a restart
    let last = store.page(&one, 0, 9, usize::MAX).await.unwrap().first().unwrap().id;
    OfflineStore::remove(&**store, &one, vec![last]).await.unwrap();
    let store = Arc::clone(store);
    running.stop().await;
    drop(store);
    let running = Running::start(dir.path(), Options::default()).await;
    running.store.push(&one, 1, message("2"), OfflineLimits::messages(9)).await.unwrap();
    assert!(running.store.page(&one, 0, 9, usize::MAX).await.unwrap().first().unwrap().id > last);
    running.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_run_is_unavailable_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options::default()).unwrap();
    assert_eq!(store.is_empty().await, Err(LATER));
    assert_eq!(store.create(Vec::new()).await, Err(LATER));
    drop(store);
    let store = Running::start(dir.path(), Options::default()).await.stop().await;
    assert_eq!(store.is_empty().await, Err(LATER));
    assert_eq!(store.create(Vec::new()).await, Err(LATER));
}

#[tokio::test]
async fn one_process_at_a_time_has_the_directory_and_a_stopped_store_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    let error = SqliteStore::open(dir.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains(&*dir.path().display().to_string()));
    let old = running.stop().await;
    let again = Running::start(dir.path(), Options::default()).await;
    // the old one cannot come back meanwhile, and can afterwards
    let tree = || supervision::SupervisorSpec::one_for_one().child(SqliteStore::child(&old));
    assert!(System::new("old").start(tree()).await.is_err());
    again.stop().await;
    let root = System::new("old").start(tree()).await.unwrap();
    assert_eq!(old.is_empty().await, Ok(true));
    root.stop().await;
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("new/data");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let running = Running::start(&dir, Options::default()).await;
    running.store.create(vec![(user("a@x"), Account::default())]).await.unwrap();
    assert_eq!(mode(&dir), 0o700);
    for file in ["core.sqlite", "core.sqlite-wal", "core.sqlite-shm", "core.lock"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    running.stop().await;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(dir.join("core.sqlite"), open).unwrap();
    Running::start(&dir, Options::default()).await.stop().await;
    assert_eq!(mode(&dir.join("core.sqlite")), 0o600);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue: 2, ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    running.account("a@x").await;
    let store = &running.store;
    let (hold, first) = busy(store).await;
    let waiting = ["1", "2"].map(|id| Waiting::<()>::push(store, id));
    assert_eq!(
        store.push(&user("a@x"), 1, message("3"), OfflineLimits::messages(100)).await,
        Err(LATER)
    );
    // readers go on
    assert_eq!(store.is_empty().await, Ok(false));
    drop(hold);
    assert_eq!(first.0.await, Ok(()));
    for call in waiting {
        assert_eq!(call.0.await, Ok(()));
    }
    assert_eq!(ids(store, &user("a@x")).await, ["1", "2"]);
    running.stop().await;
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_what_it_asked_for_is_done_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    drop(running.stop().await);
    let options = Options { deadline: Duration::from_millis(20), ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    let (hold, first) = busy(&running.store).await;
    let call = Waiting::<()>::push(&running.store, "1");
    assert_eq!(call.0.await, Err(StoreError::Timeout));
    assert_eq!(first.0.await, Err(StoreError::Timeout));
    drop(hold);
    drop(running.stop().await);
    let running = Running::start(dir.path(), Options::default()).await;
    assert_eq!(ids(&running.store, &user("a@x")).await, ["1"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = Arc::clone(&running.store);
    let (hold, first) = busy(&store).await;
    let waiting = ["1", "2", "3"].map(|id| Waiting::<()>::push(&store, id));
    let (stopped, ()) = tokio::join!(running.stop(), async {
        // the queue closes while the writer is still busy
        while store.create(Vec::new()).await != Err(LATER) {
            tokio::task::yield_now().await;
        }
        drop(hold);
    });
    assert_eq!(first.0.await, Ok(()));
    for call in waiting {
        assert_eq!(call.0.await, Ok(()));
    }
    drop((stopped, store));
    let running = Running::start(dir.path(), Options::default()).await;
    assert_eq!(ids(&running.store, &user("a@x")).await, ["1", "2", "3"]);
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_fails_does_not_fail_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    let (hold, first) = busy(store).await;
    let one = Waiting::<()>::push(store, "1");
    let bad = Waiting::start(Arc::clone(store), |store| {
        let work = |db: &Connection| {
            db.execute("INSERT INTO offline (user, at, stanza) VALUES ('a@x', 1, '<x/>')", [])?;
            Ok(db.execute("INSERT INTO nowhere VALUES (1)", [])?)
        };
        Box::pin(store.write(0, work, |_, _| ()))
    });
    let two = Waiting::<()>::push(store, "2");
    drop(hold);
    assert!(matches!(bad.0.await, Err(StoreError::Failed(why)) if why.contains("nowhere")));
    assert_eq!((first.0.await, one.0.await, two.0.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!(ids(store, &user("a@x")).await, ["1", "2"]);
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_panics_hurts_only_its_caller_and_the_writer_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    let (hold, first) = busy(store).await;
    let one = Waiting::<()>::push(store, "1");
    let bad = Waiting::start(Arc::clone(store), |store| {
        let work = |db: &Connection| -> Result<(), StoreError> {
            db.execute("INSERT INTO offline (user, at, stanza) VALUES ('a@x', 1, '<x/>')", [])?;
            panic!("planted")
        };
        Box::pin(store.write(0, work, |_, _| ()))
    });
    let two = Waiting::<()>::push(store, "2");
    drop(hold);
    assert!(matches!(bad.0.await, Err(StoreError::Failed(_))));
    assert_eq!((first.0.await, one.0.await, two.0.await), (Ok(()), Ok(()), Ok(())));
    until_back(async || {
        store.push(&user("a@x"), 1, message("3"), OfflineLimits::messages(100)).await
    })
    .await;
    assert_eq!(ids(store, &user("a@x")).await, ["1", "2", "3"]);
    let crashes = running.system.crashes().list();
    let crash = crashes.first().unwrap();
    assert_eq!((&*crash.reason, &*crash.path), ("planted", "/sqlite/writer"));
    assert_eq!((crashes.len(), running.system.restarts()), (1, 1));
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_panics_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { readers: 1, ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    let store = &running.store;
    for n in 1..=3 {
        let bad =
            until_back(async || match store.read(|_| -> Result<(), _> { panic!("x") }).await {
                Err(StoreError::Failed(_)) => Ok(()),
                other => other,
            });
        bad.await;
        assert!(until_back(async || store.is_empty().await).await);
        assert_eq!(running.system.restarts(), n);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_writer_that_is_killed_comes_back_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    running.account("a@x").await;
    let store = &running.store;
    let (hold, first) = busy(store).await;
    let one = Waiting::<()>::push(store, "1");
    let writer =
        running.system.pids().into_iter().find(|p| &**p.path() == "/sqlite/writer").unwrap();
    writer.kill();
    writer.wait().await;
    drop(hold);
    assert_eq!(first.0.await, Ok(()));
    until_back(async || {
        store.push(&user("a@x"), 1, message("2"), OfflineLimits::messages(100)).await
    })
    .await;
    assert_eq!(one.0.await, Ok(()));
    let kept = ids(store, &user("a@x")).await;
    assert_eq!(kept, ["1", "2"]);
    running.stop().await;
}

#[tokio::test]
async fn a_full_file_is_reported_and_works_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(1 << 20), ..Options::default() };
    let running = Running::start(dir.path(), options.clone()).await;
    running.account("a@x").await;
    running.account("b@x").await;
    let store = &running.store;
    let large = message(&"x".repeat(50_000));
    let mut kept = 0;
    let error = loop {
        match store.push(&user("a@x"), 1, large.clone(), OfflineLimits::messages(1000)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::NoRoom(_)), "{error}");
    assert!((5..21).contains(&kept));
    assert_eq!(store.count(&user("a@x")).await, Ok(kept));
    let all = store.page(&user("a@x"), 0, kept, usize::MAX).await.unwrap();
    OfflineStore::remove(&**store, &user("a@x"), all.iter().map(|m| m.id).collect()).await.unwrap();
    store.push(&user("b@x"), 1, large.clone(), OfflineLimits::messages(1000)).await.unwrap();
    assert_eq!(store.count(&user("b@x")).await, Ok(1));
    assert_eq!(running.system.restarts(), 0);
    running.stop().await;
    // also a file that is full already can be opened
    let running = Running::start(dir.path(), Options { max_bytes: Some(4096), ..options }).await;
    assert_eq!(running.store.count(&user("b@x")).await, Ok(1));
    running.stop().await;
}

/// Readers on threads of their own see the roster only grow, and at least what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_never_shows_what_was_replaced() {
    // the second one is so small that it forgets all the time
    for cached_contacts in [1000, 40] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { cached_contacts, ..Options::default() };
        let running = Running::start(dir.path(), options).await;
        let users: Vec<BareJid> = (0..4).map(|n| user(&format!("u{n}@x"))).collect();
        let accounts = users.iter().map(|user| (user.clone(), Account::default()));
        running.store.create(accounts.collect()).await.unwrap();
        let acknowledged: Vec<_> =
            users.iter().map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
        let done = std::sync::atomic::AtomicBool::new(false);
        let handle = tokio::runtime::Handle::current();
        let store = &*running.store;
        use std::sync::atomic::Ordering::SeqCst;
        let read = || {
            let mut seen = [0; 4];
            while !done.load(SeqCst) {
                for ((user, acknowledged), seen) in users.iter().zip(&acknowledged).zip(&mut seen) {
                    let least = acknowledged.load(SeqCst).max(*seen);
                    *seen = handle.block_on(RosterStore::get(store, user)).unwrap().ver;
                    assert!(*seen >= least, "{seen} after {least}");
                }
            }
        };
        let write = || {
            for ver in 0..150 {
                for (user, acknowledged) in users.iter().zip(&acknowledged) {
                    let item = RosterItem::new(format!("c{}@x", ver % 12).parse().unwrap());
                    let put = store.change(user, ver, RosterChange::Put(item), 20);
                    assert_eq!(handle.block_on(put).unwrap().ver, ver + 1);
                    acknowledged.store(ver + 1, SeqCst);
                }
            }
            done.store(true, SeqCst);
        };
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let readers = [scope.spawn(read), scope.spawn(read), scope.spawn(read)];
                write();
                readers.into_iter().for_each(|reader| reader.join().unwrap());
            });
        });
        running.stop().await;
    }
}
