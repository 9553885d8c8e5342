//! Several nodes have one database: what they do to one user at the same time is as if one of them had done it after the other.

use super::{Running, message};
use crate::{
    Account, AccountStore, BoxFuture, OfflineLimits, OfflineStore, RosterChange, RosterItem,
    RosterStore, Sessions, StoreError,
    conformance::all,
    journal::{Op, OpId},
    testkit::ReplicaSet,
};
use mongodb::bson::{Document, doc};
use std::{sync::Arc, time::Duration};
use xmpp::jid::BareJid;

async fn two(set: &ReplicaSet) -> [Running; 2] {
    let options = set.options("one");
    let other = super::Options { node: "other".to_owned(), ..options.clone() };
    [Running::start(options).await, Running::start(other).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_exact_and_numbers_grow_whichever_node_keeps_a_message() {
    let set = ReplicaSet::shared().await.unwrap();
    let nodes = two(&set).await;
    let user = nodes[0].account("limit@x").await;
    let pushes = (0..60).map(|n| {
        let (node, user) = (&nodes[n % 2], &user);
        let push: BoxFuture<'_, _> = Box::pin(async move {
            let stanza = message(&n.to_string());
            node.store.push(user, 1, stanza, OfflineLimits::messages(25)).await
        });
        push
    });
    let pushed = all(pushes).await;
    let mut kept: Vec<u64> = pushed.iter().filter_map(|n| n.as_ref().ok().copied()).collect();
    let full = pushed.iter().filter(|n| **n == Err(StoreError::Full { limit: 25 })).count();
    assert_eq!((kept.len(), full), (25, 35), "{pushed:?}");
    kept.sort_unstable();
    for node in &nodes {
        let page = node.stores.offline.page(&user, 0, 100, usize::MAX).await.unwrap();
        assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), kept);
    }
    // a node whose clock is behind gives greater numbers all the same
    let ahead = kept.last().unwrap() + (1 << 40);
    nodes[0].store.numbers.after(ahead);
    let first = nodes[0].store.push(&user, 1, message("a"), OfflineLimits::messages(99)).await;
    let then = nodes[1].store.push(&user, 1, message("b"), OfflineLimits::messages(99)).await;
    assert!(first.clone().unwrap() > ahead && then.clone().unwrap() > first.unwrap());
    stop(nodes).await;
}

async fn stop(nodes: [Running; 2]) {
    for node in nodes {
        assert_eq!(node.store.turns.users(), 0, "nobody is remembered");
        node.root.stop().await;
    }
}

/// Whatever wins, nothing of the user is left without the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_while_an_account_is_removed_goes_with_it() {
    let set = ReplicaSet::shared().await.unwrap();
    let nodes = two(&set).await;
    let (mut kept, mut refused) = (0, 0);
    for round in 0..15 {
        let user = nodes[0].account(&format!("gone{round}@x")).await;
        let mut work: Vec<BoxFuture<'_, Result<(), StoreError>>> = Vec::new();
        for n in 0..6 {
            let (node, user) = (&nodes[n % 2], &user);
            work.push(Box::pin(async move {
                let messages = vec![(1, message("x"))];
                let holders = vec![format!("k{n}")];
                let limits = OfflineLimits::messages(99);
                node.store.append(user, holders, messages, limits, None).await.map(drop)
            }));
        }
        work.insert(
            round % 6,
            Box::pin(async { nodes[round % 2].store.remove_account(&user).await }),
        );
        for answer in all(work).await {
            match answer {
                Ok(()) => kept += 1,
                Err(StoreError::NoAccount(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let left = nodes[0].store.messages::<mongodb::bson::Document>();
        let left = left.count_documents(mongodb::bson::doc! { "u": user.as_str() });
        assert_eq!(left.await.unwrap(), 0);
    }
    assert!(kept > 15 && refused > 0, "{kept} {refused}");
    stop(nodes).await;
}

/// What waits in the journal of one node is not for whoever has the name when it is drained.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_account_gets_nothing_that_another_node_has_journaled_for_the_one_before_it() {
    let set = ReplicaSet::shared().await.unwrap();
    let nodes = two(&set).await;
    let user: BareJid = "again@x".parse().unwrap();
    let journaled = |at: u64, since: Option<u64>| {
        let messages = vec![(nodes[0].store.numbers.take(1)[0], at, message("x"))];
        Op::Append { user: user.clone(), holders: Vec::new(), messages, by: None, since }
    };
    for created in [5, 10] {
        let account = Account { created, ..Account::default() };
        assert_eq!(nodes[1].store.create(vec![(user.clone(), account)]).await, Ok(1));
        if created == 5 {
            nodes[1].store.remove_account(&user).await.unwrap();
        }
    }
    for (at, since, kept) in [
        (7, Some(5), false),
        // for the new one, by somebody who did not know yet
        (12, Some(5), true),
        // a clock that was set back
        (7, Some(10), true),
        (7, None, true),
    ] {
        let op = journaled(at, since);
        let applied = nodes[0].store.apply(&op, &OpId::fresh(), None).await;
        match kept {
            true => assert!(applied.is_ok(), "{op:?}: {applied:?}"),
            false => assert!(matches!(applied, Err(StoreError::NoAccount(_))), "{applied:?}"),
        }
    }
    assert_eq!(nodes[0].store.count(&user).await, Ok(3));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_of_one_name_are_noticed() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one");
    let nodes = [Running::start(options.clone()).await, Running::start(options).await];
    let [one, same] = [&nodes[0].store, &nodes[1].store];
    assert_eq!(one.claim("1").await, Ok(None));
    assert_eq!(one.claim("1").await, Ok(None));
    assert_eq!(same.claim("2").await, Ok(Some("1".to_owned())), "who was before it");
    assert_eq!(one.claim("1").await, Ok(Some("2".to_owned())), "and is still there");
    stop(nodes).await;
}

impl super::MongoStore {
    async fn remove_account(&self, user: &BareJid) -> Result<(), StoreError> {
        assert!(AccountStore::remove(self, user, 0).await?);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roster_that_two_nodes_change_has_every_change_once() {
    let set = ReplicaSet::shared().await.unwrap();
    let nodes = two(&set).await;
    let user = nodes[0].account("roster@x").await;
    let changes = (0..20).map(|n| {
        let (node, user) = (&nodes[n % 2], &user);
        let change: BoxFuture<'_, Result<(), StoreError>> = Box::pin(async move {
            let item = RosterItem::new(format!("c{n}@x").parse().unwrap());
            loop {
                let ver = RosterStore::get(&*node.store, user).await?.ver;
                let put = RosterChange::Put(item.clone());
                match node.store.change(user, ver, put, 100).await {
                    Err(StoreError::Conflict { now }) => assert!(now > ver),
                    done => return done.map(drop),
                }
            }
        });
        change
    });
    assert!(all(changes).await.iter().all(Result::is_ok));
    for node in &nodes {
        let roster = RosterStore::get(&*node.store, &user).await.unwrap();
        assert_eq!((roster.ver, roster.items.len()), (20, 20));
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_that_start_at_once_make_one_schema() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one");
    let starts = (0..6).map(|n| {
        let options = super::Options { node: format!("n{n}"), ..options.clone() };
        let start: BoxFuture<'_, _> = Box::pin(super::MongoStore::open(options));
        start
    });
    let stores: Vec<Arc<super::MongoStore>> =
        all(starts).await.into_iter().collect::<Result<_, _>>().unwrap();
    for store in &stores {
        assert!(store.ready.load(std::sync::atomic::Ordering::Relaxed));
    }
    let meta = stores[0].of::<mongodb::bson::Document>("meta");
    assert_eq!(meta.count_documents(mongodb::bson::doc! { "_id": "lock" }).await.unwrap(), 0);
    let mut names = stores[0].db.list_collection_names().await.unwrap();
    names.sort();
    let expected =
        ["messages", "meta", "private", "quarantine", "roster", "sessions", "users", "vcards"];
    assert_eq!(names, expected);
}

/// MongoDB's limit of a document, 16 MiB: whoever tries again gets nothing else, so it is no failure of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_document_holds_is_refused() {
    let set = ReplicaSet::shared().await.unwrap();
    let one = Running::start(set.options("one")).await;
    let user = one.account("large@x").await;
    let body = "x".repeat(17 << 20);
    let xml = format!("<message><body>{body}</body></message>");
    let large = xmpp::stanza::Stanza::parse(xml.as_bytes()).unwrap();
    let refused = one.store.push(&user, 1, large, OfflineLimits::messages(9)).await;
    assert_eq!(refused, Err(StoreError::Full { limit: 16 << 20 }));
    assert_eq!(one.store.count(&user).await, Ok(0));
    one.root.stop().await;
}

/// A node was killed in the middle of a transaction: the database keeps its user for it, and is not away for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_transaction_has_that_nobody_goes_on_with_is_the_only_one_that_waits() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = super::Options { deadline: Duration::from_millis(300), ..set.options("one") };
    let database = options.database.clone().unwrap();
    let node = Running::start_hasty(options).await;
    node.store.is_back().await;
    let (kept, free) = (node.account("kept@x").await, node.account("free@x").await);
    let client = set.client().await.unwrap();
    let mut left = client.start_session().await.unwrap();
    left.start_transaction().await.unwrap();
    let users = client.database(&database).collection::<Document>("users");
    let touch = doc! { "$inc": { "turn": 1 } };
    users.update_one(doc! { "_id": kept.as_str() }, touch).session(&mut left).await.unwrap();
    let push = |user| node.store.push(user, 1, message("x"), OfflineLimits::messages(9));
    for _ in 0..5 {
        assert_eq!(push(&kept).await, Err(crate::error::LATER));
    }
    assert!(!node.store.breaker.is_open(), "the database is not away");
    push(&free).await.unwrap();
    left.abort_transaction().await.unwrap();
    push(&kept).await.unwrap();
    node.root.stop().await;
}

/// A transaction in which the user's document was changed, of a client with that name, which does not go on with it.
async fn left_open(node: &Running, app: &str, user: &BareJid) -> mongodb::ClientSession {
    let options = node.store.options.clone();
    let mut client = mongodb::options::ClientOptions::parse(&options.uri).await.unwrap();
    client.app_name = Some(app.to_owned());
    let client = mongodb::Client::with_options(client).unwrap();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let users = client.database(&options.database.unwrap()).collection::<Document>("users");
    let change = users.update_one(doc! { "_id": user.as_str() }, doc! { "$inc": { "turn": 1 } });
    change.session(&mut session).await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_had_begun_when_it_was_killed_holds_nobody_up() {
    let set = ReplicaSet::shared().await.unwrap();
    let nodes = two(&set).await;
    let [held, told] = [nodes[0].account("held@x").await, nodes[0].account("told@x").await];
    let mut dead = left_open(&nodes[0], "mangrove three", &held).await;
    let kept = nodes[0].store.push(&held, 1, message("a"), OfflineLimits::messages(9));
    assert!(tokio::time::timeout(Duration::from_secs(20), kept).await.unwrap().is_ok());
    assert!(dead.commit_transaction().await.is_err(), "it was undone");
    // what is no transaction waits as well
    // that of the node itself, before it was started again
    let mut dead = left_open(&nodes[0], "mangrove other 1", &told).await;
    let told = nodes[1].stores.blocklists.add(&told, vec!["a@x".parse().unwrap()], 9);
    assert!(tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().is_ok());
    assert!(dead.commit_transaction().await.is_err(), "it was undone");
    // somebody else's is not ours
    let mut other = left_open(&nodes[0], "reports", &held).await;
    let push = nodes[0].store.push(&held, 1, message("b"), OfflineLimits::messages(9));
    assert!(tokio::time::timeout(Duration::from_secs(5), push).await.is_err());
    other.commit_transaction().await.unwrap();
    stop(nodes).await;
}
