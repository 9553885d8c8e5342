//! Documents that no program of this version writes: those that can be read are there all the same.

use super::{Running, message};
use crate::{
    AccountStore, BlocklistStore, OfflineLimits, QuarantineStore, RosterChange, RosterItem,
    RosterStore, Sessions, StoreError, StoredSession, Whose,
    testkit::ReplicaSet,
    transfer::{self, Walk},
};
use mongodb::bson::{Document, doc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_keeps_nothing_else_back() {
    let set = ReplicaSet::shared().await.unwrap();
    let node = Running::start(set.options("one")).await;
    let (store, stores) = (&node.store, &node.stores);
    let change = async |of: &str, this: Document, set: Document| {
        let of = store.of::<Document>(of);
        let changed = of.update_one(this, doc! { "$set": set }).await.unwrap();
        assert_eq!(changed.modified_count, 1);
    };
    let user = node.account("a@x").await;
    let limits = OfflineLimits::messages(4);
    let new = || ["1", "2", "3", "4"].map(|body| (1, message(body))).to_vec();
    let ids = store.append(&user, vec![], new(), limits, None).await.unwrap();
    let number = |n: usize| super::super::document::int(ids[n]);
    change("messages", doc! { "_id": number(0) }, doc! { "x": "<message" }).await;
    change("messages", doc! { "_id": number(2) }, doc! { "b": "large" }).await;
    // though there is room for one only
    for (after, expected) in [(0, ids[1]), (ids[1], ids[3])] {
        let page = stores.offline.page(&user, after, 1, usize::MAX).await.unwrap();
        assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), [expected]);
    }
    assert_eq!(stores.offline.count(&user).await, Ok(2), "they are put aside");
    store.hold(&user, "k", ids.clone()).await.unwrap();
    assert_eq!(store.held(&user, "k", 0, 9, usize::MAX).await.unwrap().len(), 2);
    let full = store.append(&user, vec![], new()[..3].to_vec(), limits, None).await;
    assert_eq!(full, Err(StoreError::Full { limit: 4 }), "and take no room");
    store.append(&user, vec![], new()[..2].to_vec(), limits, None).await.unwrap();
    let aside = doc! { "damaged": user.as_str() };
    let there = store.messages::<Document>();
    assert_eq!(there.count_documents(aside.clone()).await.unwrap(), 2, "for an operator");

    for jid in ["b@x", "c@x"] {
        let put = RosterChange::Put(RosterItem::new(jid.parse().unwrap()));
        let ver = RosterStore::get(&**store, &user).await.unwrap().ver;
        store.change(&user, ver, put, 9).await.unwrap();
        store.add(&user, vec![jid.parse().unwrap()], 9).await.unwrap();
    }
    change("roster", doc! { "_id.j": "b@x" }, doc! { "item": 7 }).await;
    change(
        "users",
        doc! { "_id": user.as_str() },
        doc! { "removed": ["?"], "blocked": ["b@x", "@", 1] },
    )
    .await;
    let roster = RosterStore::get(&**store, &user).await.unwrap();
    assert_eq!((roster.ver, roster.floor, roster.items.len()), (2, 2, 1));
    let list = BlocklistStore::get(&**store, &user).await.unwrap();
    assert_eq!(list.iter().map(|jid| jid.as_str()).collect::<Vec<_>>(), ["b@x"]);

    let session = |key: &str| StoredSession {
        key: key.to_owned(),
        user: user.clone(),
        epoch: 1,
        until: 0,
        handled: 0,
        frozen: vec![1],
    };
    for key in ["k", "l"] {
        store.put(session(key)).await.unwrap();
    }
    change("sessions", doc! { "_id": "k" }, doc! { "frozen": "no" }).await;
    assert_eq!(stores.sessions.page(Whose::All, "", 9).await.unwrap(), [session("l")]);
    assert_eq!(
        stores.sessions.release(Whose::All, 9).await,
        Ok(2),
        "what it held is an offline message"
    );
    assert_eq!(stores.offline.count(&user).await, Ok(4));

    for id in [1_i64, 2] {
        let kept = doc! { "_id": id, "u": user.as_str(), "at": 1_i64, "since": 1_i64, "from": "", "b": 9_i64, "x": "<message/>" };
        store.of::<Document>("quarantine").insert_one(kept).await.unwrap();
    }
    change("quarantine", doc! { "_id": 1_i64 }, doc! { "u": "@" }).await;
    let listed = store.quarantined(None, 0, 9).await.unwrap();
    assert_eq!(listed.iter().map(|kept| kept.id).collect::<Vec<_>>(), [2]);
    assert!(matches!(store.restore(1).await, Err(StoreError::Corrupt(_))));

    store.users::<Document>().insert_one(doc! { "_id": "@", "host": "x" }).await.unwrap();
    assert_eq!(store.list("x", None, 9).await.unwrap(), std::slice::from_ref(&user));
    let bad: Vec<u64> = store.bad_rows().iter().map(|(_, n)| *n).collect();
    assert_eq!(bad, [1, 2, 2, 1, 2, 1], "{:?}", store.bad_rows());

    let ver = RosterStore::get(&**store, &user).await.unwrap().ver;
    assert!(AccountStore::remove(&**store, &user, ver).await.unwrap());
    assert_eq!(there.count_documents(aside).await.unwrap(), 0, "they go with the account");
    node.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_name_is_damaged_is_named_and_the_others_are_read() {
    let set = ReplicaSet::shared().await.unwrap();
    let node = Running::start(set.options("one")).await;
    node.account("a@x").await;
    node.account("c@x").await;
    for name in ["@", "B@x", "b"] {
        let user = doc! { "_id": name, "host": "x" };
        node.store.users::<Document>().insert_one(user).await.unwrap();
    }
    let mut walk = Walk::default();
    while walk.read(&*node.store).await.unwrap() {}
    assert_eq!((walk.tally.accounts, walk.failed), (2, 3));
    let bad: Vec<&str> = walk.bad.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(bad, ["@", "B@x", "b"]);
    assert_eq!(transfer::count(&*node.store).await, Ok(5));
    node.root.stop().await;
}
