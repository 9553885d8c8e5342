//! What was seen of users counts while the database is away, whatever anybody asks for meanwhile.

use super::{Options, Running};
use crate::{
    Account, AccountStore, BlocklistStore, RosterChange, RosterItem, RosterStore, RosterWrite,
    journal::Replay, testkit::ReplicaSet,
};
use std::{sync::Arc, time::Duration};
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

fn keys(password: &str) -> Vec<ScramKeys> {
    ScramKeys::derive(Hash::Sha1, password, b"salt", 1).into_iter().collect()
}

/// A contact for the roster.
fn put(user: &BareJid, ver: u64, contact: &str) -> RosterWrite {
    let change = RosterChange::Put(RosterItem::new(contact.parse().unwrap()));
    RosterWrite { user: user.clone(), ver, change }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_makes_nobody_unknown_and_what_was_changed_is_known() {
    let set = ReplicaSet::start(1).await.unwrap();
    let options = Options { deadline: Duration::from_secs(1), ..set.options("one") };
    let node = Running::start_hasty(options).await;
    let (store, user) = (&node.store, node.account("a@x").await);
    store.is_back().await;
    let get = || async { AccountStore::get(&**store, &user).await };
    assert!(get().await.unwrap().is_some());
    assert_eq!(RosterStore::get(&**store, &user).await.unwrap().ver, 0);
    assert!(BlocklistStore::get(&**store, &user).await.unwrap().is_empty());
    // nobody reads them again
    assert_eq!(store.set_keys(&user, keys("new")).await, Ok(true));
    let changed = store.change_all(vec![put(&user, 0, "b@x"), put(&user, 1, "c@x")], 9).await;
    assert_eq!(changed.unwrap().len(), 2);
    set.members()[0].stop().unwrap();
    while !store.is_away() {
        drop(RosterStore::get(&**store, &user).await);
    }
    let known = |what: &str| {
        let (store, user, what) = (Arc::clone(store), user.clone(), what.to_owned());
        async move {
            let account = AccountStore::get(&*store, &user).await.expect(&what).expect(&what);
            assert_eq!(account.keys, keys("new"), "{what}");
            assert_eq!(RosterStore::get(&*store, &user).await.expect(&what).items.len(), 2);
            assert!(BlocklistStore::get(&*store, &user).await.expect(&what).is_empty());
            assert!(store.made(&user).is_some(), "{what}");
        }
    };
    known("away").await;
    let account = Account::default();
    assert!(store.create(vec![(user.clone(), account.clone())]).await.is_err());
    known("somebody wants that name").await;
    assert!(store.set_keys(&user, keys("newer")).await.is_err());
    assert!(store.adopt(&user, account).await.is_err());
    assert!(AccountStore::remove(&**store, &user, 0).await.is_err());
    known("the account").await;
    assert!(store.change_all(vec![put(&user, 2, "d@x")], 9).await.is_err());
    known("somebody wants to see when the user is there").await;
    assert!(store.add(&user, vec!["d@x".parse().unwrap()], 9).await.is_err());
    known("blocking").await;
    set.members()[0].cont().unwrap();
    node.root.stop().await;
}
