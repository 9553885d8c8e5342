//! What a store does at its start, with servers that can be used and such that cannot.

use super::{MongoStore, Options, Running};
use crate::{
    Account, AccountStore, OfflineStore, StoreError,
    backend::Backend,
    conformance,
    mongo::{OpenError, schema::VERSION},
    testkit::{Member, ReplicaSet, Secrets},
};
use mongodb::bson::{Document, doc};
use std::{fs, time::Duration};
use supervision::{SupervisorSpec, System};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_by_itself_is_refused_with_what_to_do() {
    let alone = Member::start(None, None).await.unwrap();
    let uri = format!("mongodb://{}", alone.address());
    let options = Options { uri, ..Options::default() };
    let dir = tempfile::tempdir().unwrap();
    let error = Backend::mongo(options, dir.path(), 1 << 20).await.unwrap_err().to_string();
    assert!(error.contains("--replSet rs0") && error.contains("rs.initiate()"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_program_is_left_alone() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one");
    let db = set.client().await.unwrap().database(options.database.as_deref().unwrap());
    let meta = db.collection::<Document>("meta");
    meta.insert_one(doc! { "_id": "schema", "version": VERSION + 1 }).await.unwrap();
    let error = MongoStore::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found, known, .. } if found == known + 1),
        "{error}"
    );
    assert_eq!(db.list_collection_names().await.unwrap(), ["meta"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_died_with_the_lock_keeps_nobody_from_starting() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one");
    let db = set.client().await.unwrap().database(options.database.as_deref().unwrap());
    let meta = db.collection::<Document>("meta");
    let until = mongodb::bson::DateTime::from_millis(1_000_000);
    meta.insert_one(doc! { "_id": "lock", "owner": "dead", "until": until }).await.unwrap();
    let running = Running::start(options).await;
    running.account("a@x").await;
    assert_eq!(meta.count_documents(doc! { "_id": "lock" }).await.unwrap(), 0);
    running.root.stop().await;
}

/// As after a backup that was restored without them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_that_are_missing_are_made_at_the_next_start() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one");
    let running = Running::start(options.clone()).await;
    let user = running.account("a@x").await;
    running.root.stop().await;
    let db = set.client().await.unwrap().database(options.database.as_deref().unwrap());
    for of in ["users", "messages", "sessions", "quarantine", "roster", "private"] {
        db.collection::<Document>(of).drop_indexes().await.unwrap();
    }
    db.collection::<Document>("vcards").drop().await.unwrap();
    let running = Running::start(options).await;
    assert_eq!(running.store.count(&user).await, Ok(0));
    let indexes = db.collection::<Document>("messages").list_index_names().await.unwrap();
    assert_eq!(indexes.len(), 6, "{indexes:?}");
    running.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_while_its_process_runs() {
    let set = ReplicaSet::shared().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::mongo(set.options("one"), dir.path(), 1 << 20).await.unwrap();
    let later = Err(StoreError::Unavailable { retry_after: Duration::from_secs(1) });
    assert_eq!(backend.check().await, later);
    let spec =
        backend.children().into_iter().fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
    let root = System::new("test").start(spec).await.unwrap();
    assert_eq!(backend.check().await, Ok(()));
    let rows = backend.gauges();
    let reached = rows.iter().find(|row| row.label == ("check", "reached")).unwrap();
    assert!((reached.value - 1.0).abs() < f64::EPSILON && rows.len() == 17, "{rows:?}");
    conformance::suite(backend.stores()).await;
    root.stop().await;
    assert_eq!(backend.check().await, later);
}

/// A database that is not there at the start is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_when_the_database_comes() {
    let set = ReplicaSet::start(1).await.unwrap();
    let member = &set.members()[0];
    member.kill().unwrap();
    let running = Running::start_hasty(set.options("one")).await;
    let user = "a@x".parse().unwrap();
    let later = Err(StoreError::Unavailable { retry_after: Duration::from_secs(1) });
    assert_eq!(running.store.create(vec![(user, Account::default())]).await, later);
    assert!(running.store.is_away() && running.store.last_error().is_some());
    member.restart().await.unwrap();
    running.store.is_back().await;
    running.account("a@x").await;
    running.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_logs_on_by_tls_and_says_what_is_wrong_where_it_cannot() {
    let set = ReplicaSet::start_secured(Secrets::make().unwrap()).await.unwrap();
    let running = Running::start(set.options("one")).await;
    let user = running.account("a@x").await;
    assert!(running.store.get(&user).await.unwrap().is_some());
    running.root.stop().await;

    let wrong = Options { password: Some("no".to_owned()), ..set.options("one") };
    let error = MongoStore::open(wrong).await.unwrap_err();
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    let nobody = Options { user: None, password: None, ..set.options("one") };
    let error = MongoStore::open(nobody).await.unwrap_err();
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    // an authority that did not make its certificate: it is not there, for all that can be told
    let other = Secrets::make().unwrap();
    let unknown = Options { ca: Some(other.ca()), ..set.options("one") };
    let store = MongoStore::open(unknown).await.unwrap();
    let why = store.last_error().unwrap().why;
    assert!(why.contains("certificate"), "{why}");
    let folder = tempfile::tempdir().unwrap();
    // our own certificate is shown, whoever vouches for the server
    let own = folder.path().join("own.pem");
    let uri = format!("{}&tls=true&tlsCertificateKeyFile={}", set.uri(), own.display());
    let error = MongoStore::open(Options { uri, ..set.options("one") }).await.unwrap_err();
    assert!(matches!(error, OpenError::Options { .. }), "{error}");
    let empty = folder.path().join("none.pem");
    fs::write(&empty, "").unwrap();
    for ca in [empty, folder.path().join("missing.pem")] {
        let error = MongoStore::open(Options { ca: Some(ca), ..set.options("one") }).await;
        assert!(error.is_err(), "{error:?}");
    }
}
