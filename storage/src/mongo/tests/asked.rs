//! What an operation asks of the database, as that counts it: by way of the journal, as nodes do it.

use super::{MongoStore, Running, message};
use crate::{
    AccountStore, OfflineLimits, OfflineStore, RosterChange, RosterItem, RosterStore, StoreError,
    journal::{self, Journaled},
    testkit::ReplicaSet,
};
use mongodb::bson::{Document, doc};
use std::sync::Arc;
use xmpp::jid::BareJid;

impl Running {
    /// From now on the database notes what it is asked.
    async fn note(&self) {
        self.store.db.run_command(doc! { "profile": 2 }).await.unwrap();
    }

    /// What it was asked since the last time: commands, each with its collection. (That a transaction is committed, it does not say.)
    async fn asked(&self) -> String {
        let profile = self.store.of::<Document>("system.profile");
        self.store.db.run_command(doc! { "profile": 0 }).await.unwrap();
        let mut found = profile.find(doc! {}).sort(doc! { "$natural": 1 }).await.unwrap();
        let mut asked = Vec::new();
        while found.advance().await.unwrap() {
            let one: Document = found.deserialize_current().unwrap();
            let command = one.get_document("command").unwrap();
            let first = command.keys().next().map(String::as_str).unwrap_or_default();
            let name = match one.get_str("op").unwrap() {
                "command" | "query" | "insert" => first,
                op => op,
            };
            let collection = one.get_str("ns").unwrap().rsplit('.').next().unwrap();
            if !matches!(name, "profile" | "ping") {
                asked.push(format!("{name} {collection}"));
            }
        }
        profile.drop().await.unwrap();
        self.note().await;
        asked.join(", ")
    }
}

type Store = Journaled<MongoStore>;

async fn push(store: &Store, user: &BareJid, limits: OfflineLimits) -> Result<u64, StoreError> {
    store.push(user, 1, message("x"), limits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_counted_only_when_there_may_be_too_many() {
    const ONE: &str = "findAndModify users, insert messages";
    const COUNTED: &str = "findAndModify users, aggregate messages, update users, insert messages";
    let set = ReplicaSet::shared().await.unwrap();
    let node = Running::start(set.options("asked")).await;
    let user = node.account("asked@x").await;
    let limits = OfflineLimits::messages(4);
    let dir = tempfile::tempdir().unwrap();
    let options = journal::Options::default();
    let store = Journaled::open(dir.path(), options, Arc::clone(&node.store)).unwrap();
    node.note().await;
    for asked in ["find users", ""] {
        assert!(store.was_there(&user).await.unwrap());
        assert_eq!(node.asked().await, asked);
    }
    let mut ids = Vec::new();
    for asked in [COUNTED, ONE, ONE, ONE] {
        ids.push(push(&store, &user, limits).await.unwrap());
        assert_eq!(node.asked().await, asked);
    }
    assert_eq!(push(&store, &user, limits).await, Err(StoreError::Full { limit: 4 }));
    assert_eq!(node.asked().await, "findAndModify users, aggregate messages");
    // all of them at once, and nobody notes that there are fewer
    OfflineStore::remove(&*store, &user, ids).await.unwrap();
    assert_eq!(node.asked().await, "remove messages");
    for asked in [COUNTED, ONE, ONE, ONE] {
        push(&store, &user, limits).await.unwrap();
        assert_eq!(node.asked().await, asked);
    }
    assert_eq!(push(&store, &user, limits).await, Err(StoreError::Full { limit: 4 }));
    // a program that knows nothing of it kept one
    let users = node.store.users::<Document>();
    let other = doc! { "$inc": { "last": 1_i64 }, "$set": { "most.n": 0_i64 } };
    users.update_one(doc! { "_id": user.as_str() }, other).await.unwrap();
    assert_eq!(push(&store, &user, limits).await, Err(StoreError::Full { limit: 4 }));
    node.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roster_is_read_when_it_is_another_one() {
    const READ: &str = "aggregate users";
    const SAME: &str = "find users";
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("roster");
    let other = super::Options { node: "other".to_owned(), ..options.clone() };
    let [node, other] = [Running::start(options).await, Running::start(other).await];
    let user = node.account("roster@x").await;
    let roster = async || RosterStore::get(&*node.store, &user).await.unwrap();
    node.note().await;
    roster().await;
    assert_eq!(node.asked().await, READ);
    roster().await;
    assert_eq!(node.asked().await, SAME);
    // another node changes it
    let item = RosterItem::new("juliet@x".parse().unwrap());
    let change = RosterChange::Put(item);
    other.store.change(&user, 0, change.clone(), 9).await.unwrap();
    node.asked().await;
    assert_eq!(roster().await.items.len(), 1);
    assert_eq!(node.asked().await, format!("{SAME}, {READ}"));
    roster().await;
    assert_eq!(node.asked().await, SAME);
    // another one of the same name, at the same version
    assert!(AccountStore::remove(&*other.store, &user, 1).await.unwrap());
    other.account("roster@x").await;
    let change = RosterChange::Put(RosterItem::new("mercutio@x".parse().unwrap()));
    other.store.change(&user, 0, change, 9).await.unwrap();
    assert_eq!(roster().await.items[0].jid.as_str(), "mercutio@x");
    node.root.stop().await;
    other.root.stop().await;
}
