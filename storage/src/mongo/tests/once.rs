//! An operation that is tried again is applied once, whatever others do meanwhile.

use super::{Running, message};
use crate::{
    OfflineLimits, OfflineStore, Sessions, StoreError, StoredSession,
    journal::{Op, OpId},
    mongo::Options,
    testkit::ReplicaSet,
};
use mongodb::bson::doc;
use xmpp::jid::BareJid;

fn session(user: &BareJid, epoch: u64) -> StoredSession {
    StoredSession {
        key: format!("key of {user}"),
        user: user.clone(),
        epoch,
        until: 0,
        handled: 1,
        frozen: vec![1, 2],
    }
}

fn append(user: &BareJid, numbers: [u64; 2]) -> Op {
    let messages = numbers.map(|n| (n, 7, message(&n.to_string()))).to_vec();
    let by = Some((format!("key of {user}"), 9));
    Op::Append { user: user.clone(), holders: vec!["h".to_owned()], messages, by, since: None }
}

/// Everything there is of a user, but what only counts.
async fn state(node: &Running, user: &BareJid) -> String {
    let mut all = String::new();
    for (of, field) in [("messages", "u"), ("sessions", "u")] {
        let of = node.store.of::<mongodb::bson::Document>(of);
        let mut found =
            of.find(doc! { field: user.as_str() }).sort(doc! { "_id": 1 }).await.unwrap();
        while found.advance().await.unwrap() {
            all += &found.deserialize_current().unwrap().to_string();
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_applied_once() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = set.options("one.with $ in it");
    let other = Options { node: "other".to_owned(), ..options.clone() };
    let (one, other) = (Running::start(options).await, Running::start(other).await);
    let user = one.account("once@x").await;
    let (key, base) = ("h".to_owned(), one.store.numbers.take(9)[0]);
    // each takes back what the next one would see of it, if it was done twice
    let ops = [
        (Op::Put(session(&user, 5)), Op::Put(session(&user, 6))),
        (
            append(&user, [base, base + 1]),
            Op::Acknowledge { user: user.clone(), key: key.clone(), ids: vec![base] },
        ),
        (
            Op::Expire { user: user.clone(), key: key.clone() },
            Op::Hold { user: user.clone(), key: key.clone(), ids: vec![base + 1] },
        ),
        (
            Op::Hold { user: user.clone(), key: "m".to_owned(), ids: vec![base + 1] },
            Op::Expire { user: user.clone(), key: "m".to_owned() },
        ),
        (
            Op::Acknowledge { user: user.clone(), key: key.clone(), ids: vec![base + 1] },
            append(&user, [base + 3, base + 4]),
        ),
        (
            Op::Remove { user: user.clone(), ids: vec![base + 3] },
            Op::Acknowledge { user: user.clone(), key: key.clone(), ids: vec![base + 3] },
        ),
    ];
    for (op, then) in ops {
        let id = OpId::fresh();
        let first = one.store.apply(&op, &id, None).await.unwrap();
        assert!(!first.again, "{op:?}");
        // another node does something else, and this one with another user
        other.store.apply(&then, &OpId::fresh(), None).await.unwrap();
        one.account("somebody.else@x").await;
        let before = state(&one, &user).await;
        for _ in 0..2 {
            let again = one.store.apply(&op, &id, None).await.unwrap();
            // what is gone is gone, and no other message gets its number
            let forgets = matches!(op, Op::Acknowledge { .. } | Op::Remove { .. });
            assert!(again.again || forgets, "{op:?}");
            assert_eq!(again.numbers, first.numbers, "{op:?}");
            assert_eq!(state(&one, &user).await, before, "{op:?}");
        }
    }
    for node in [one, other] {
        node.root.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_kept_beyond_the_limits_and_under_its_number() {
    let set = ReplicaSet::shared().await.unwrap();
    let one = Running::start(set.options("one")).await;
    let user = one.account("given@x").await;
    let numbers = one.store.numbers.take(4);
    let given = [numbers[0], numbers[1]];
    // somebody else's came before
    let limits = OfflineLimits::messages(1);
    let last = one.store.push(&user, 1, message("x"), limits).await.unwrap();
    assert!(last > given[1]);
    let applied = one.store.apply(&append(&user, given), &OpId::fresh(), None).await.unwrap();
    assert_eq!(applied.numbers, given);
    let held = one.store.held(&user, "h", 0, 9, usize::MAX).await.unwrap();
    assert_eq!(held.iter().map(|m| m.id).collect::<Vec<_>>(), given);
    // but a number is nobody else's
    let other = one.account("other.given@x").await;
    let applied = one.store.apply(&append(&other, given), &OpId::fresh(), None).await.unwrap();
    assert!(applied.numbers.iter().all(|n| *n > given[1]));
    let held = one.store.held(&other, "h", 0, 9, usize::MAX).await.unwrap();
    assert_eq!(held.iter().map(|m| m.id).collect::<Vec<_>>(), applied.numbers);

    let nobody: BareJid = "nobody@x".parse().unwrap();
    let none = one.store.apply(&append(&nobody, given), &OpId::fresh(), None).await;
    assert_eq!(none, Err(StoreError::NoAccount(nobody.as_str().to_owned())));
    let hold = Op::Hold { user: nobody, key: "k".to_owned(), ids: vec![1] };
    assert!(one.store.apply(&hold, &OpId::fresh(), None).await.is_ok());
    one.root.stop().await;
}
