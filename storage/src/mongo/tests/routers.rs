//! What routers, and servers that were started anew, answer in passing.

use super::{Running, message};
use crate::{AccountStore, OfflineLimits, OfflineStore, StoreError, testkit::ReplicaSet};
use mongodb::bson::doc;
use std::time::Duration;

/// Through a router, and after a restart between two batches: it is not for the user to hear that something failed for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_a_router_does_not_get_to_is_away() {
    let set = ReplicaSet::start(1).await.unwrap();
    let node = Running::start(set.options("one")).await;
    let user = node.account("a@x").await;
    for _ in 0..102 {
        node.store.push(&user, 1, message("x"), OfflineLimits::messages(1000)).await.unwrap();
    }
    let later = StoreError::Unavailable { retry_after: Duration::from_secs(1) };
    for code in [6, 43, 10_058] {
        for command in ["find", "getMore"] {
            // the driver asks once more by itself
            let fault = doc! { "failCommands": [command], "errorCode": code };
            set.fail(2, fault).await.unwrap();
            let page = node.stores.offline.page(&user, 0, 1000, usize::MAX).await;
            assert_eq!(page.unwrap_err(), later, "{command} {code}");
            set.fail(0, doc! {}).await.unwrap();
        }
        let fault = doc! { "failCommands": ["update"], "errorCode": code };
        set.fail(2, fault).await.unwrap();
        let keys = AccountStore::set_keys(&*node.store, &user, Vec::new()).await;
        assert_eq!(keys, Err(StoreError::Timeout), "{code}");
        set.fail(0, doc! {}).await.unwrap();
        node.store.is_back().await;
    }
    // it has no code that is known here
    let labels = ["SystemOverloadedError", "RetryableError"];
    let fault = doc! { "failCommands": ["update"], "errorCode": 462, "errorLabels": labels };
    set.fail(100, fault).await.unwrap();
    let keys = AccountStore::set_keys(&*node.store, &user, Vec::new()).await;
    assert!(matches!(keys, Err(StoreError::Timeout | StoreError::Unavailable { .. })), "{keys:?}");
    set.fail(0, doc! {}).await.unwrap();
    node.root.stop().await;
}
