//! One thing at a time: away, full, answers that get lost, what can never be made.

use super::{ANY, Fault, Options, Running, STILL, fake, fake::at_once, message, names, user};
use crate::{
    Account, AccountStore, OfflineLimits, OfflineStore, Sessions, StoreError, StoredSession, Whose,
    conformance::all, error::LATER,
};
use std::time::Duration;

fn session(owner: &str, epoch: u64) -> StoredSession {
    let (key, frozen) = (format!("key of {owner}"), vec![0, 159, 146, 150]);
    StoredSession { key, user: user(owner), epoch, until: 1, handled: 3, frozen }
}

#[tokio::test]
async fn what_is_accepted_while_it_is_away_is_there_when_it_is_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x"])).await;
    let a = user("a@x");
    let mut ids = vec![running.push(&a, "1").await.unwrap()];
    running.fake.every(Fault::Away);
    for name in ["2", "3"] {
        ids.push(running.push(&a, name).await.unwrap());
    }
    let journaled = &running.journaled;
    let two = vec![(5, message("4")), (6, message("5"))];
    ids.extend(journaled.append(&a, vec!["k".into()], two, ANY, None).await.unwrap());
    OfflineStore::remove(&**journaled, &a, vec![ids[1]]).await.unwrap();
    journaled.acknowledge(&a, "k", vec![ids[3]]).await.unwrap();
    journaled.put(session("a@x", 1)).await.unwrap();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!((running.waiting(), running.totals()), (6, [6, 0, 0]));
    // what only it can answer
    assert_eq!(running.names(&a).await, Err(LATER));
    assert_eq!(journaled.count(&a).await, Err(LATER));
    assert_eq!(journaled.held(&a, "k", 0, 9, 9).await, Err(LATER));
    assert_eq!(journaled.take(&a, "key of a@x", None).await, Err(LATER));
    assert_eq!(journaled.move_back(&a, vec![ids[0]]).await, Err(LATER));
    assert_eq!(Sessions::page(&**journaled, Whose::All, "", 9).await, Err(LATER));
    assert_eq!(journaled.release(Whose::All, 9).await, Err(LATER));
    running.fake.every(Fault::None);
    assert_eq!(running.names(&a).await.unwrap(), ["1", "3"]);
    assert_eq!((running.waiting(), running.totals()), (0, [6, 6, 0]));
    let held = journaled.held(&a, "k", 0, 9, 9_999).await.unwrap();
    assert_eq!((names(&held), held[0].id, held[0].at), (vec!["5".to_owned()], ids[4], 6));
    let kept = session("a@x", 1);
    assert_eq!(journaled.take(&a, "key of a@x", None).await, Ok(Some(kept)));
    running.stop().await;
}

/// What waits is the old account's: it comes first, and goes with that.
#[tokio::test]
async fn a_new_account_gets_nothing_of_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x"])).await;
    let (a, journaled) = (user("a@x"), &running.journaled);
    for again in [true, false] {
        running.fake.every(Fault::Away);
        running.push(&a, "old").await.unwrap();
        assert_eq!(AccountStore::remove(&**journaled, &a, 0).await, Err(LATER));
        running.fake.every(Fault::None);
        if again {
            assert_eq!(AccountStore::remove(&**journaled, &a, 0).await, Ok(true));
        } else {
            // somebody else's node did
            at_once(AccountStore::remove(&*running.fake.store, &a, 0)).unwrap();
        }
        let new = vec![(a.clone(), Account::default())];
        assert_eq!(journaled.create(new).await, Ok(1));
        assert_eq!(running.names(&a).await, Ok(Vec::new()), "{again}");
    }
    assert_eq!(running.totals(), [2, 1, 1]);
    running.stop().await;
}

#[tokio::test]
async fn later_operations_of_a_user_go_behind_and_others_straight_on() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x"])).await;
    let (a, b) = (user("a@x"), user("b@x"));
    running.fake.every(Fault::Before);
    running.push(&a, "1").await.unwrap();
    // it is asked again by the drainer, so that nobody else has to find out
    running.push(&b, "1").await.unwrap();
    running.fake.every(Fault::None);
    assert_eq!(running.names(&b).await.unwrap(), ["1"]);
    running.push(&b, "2").await.unwrap();
    running.push(&a, "2").await.unwrap();
    running.drained().await;
    assert_eq!(running.names(&a).await.unwrap(), ["1", "2"]);
    assert_eq!(running.names(&b).await.unwrap(), ["1", "2"]);
    running.stop().await;
}

#[tokio::test]
async fn nobody_who_was_not_seen_gets_a_message_while_it_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x"])).await;
    let (a, b) = (user("a@x"), user("b@x"));
    running.fake.forget(&b);
    running.fake.every(Fault::Away);
    assert_eq!(running.push(&b, "1").await, Err(LATER));
    running.push(&a, "1").await.unwrap();
    assert_eq!(running.push(&b, "1").await, Err(LATER));
    running.fake.every(Fault::Before);
    assert_eq!(running.push(&b, "1").await, Err(StoreError::Timeout), "it may have been made");
    running.fake.every(Fault::None);
    running.push(&b, "2").await.unwrap();
    assert_eq!(running.names(&b).await.unwrap(), ["2"]);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_got_lost_makes_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x"])).await;
    let a = user("a@x");
    running.fake.every(Fault::After);
    running.push(&a, "1").await.unwrap();
    running.push(&a, "2").await.unwrap();
    assert_eq!(running.names(&a).await, Err(LATER));
    assert_eq!(running.names(&a).await, Err(LATER));
    running.fake.every(Fault::None);
    assert_eq!(running.names(&a).await.unwrap(), ["1", "2"]);
    assert_eq!(running.totals(), [2, 2, 0]);
    running.stop().await;
}

#[tokio::test]
async fn a_full_journal_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 4_000, ..STILL };
    let running = Running::start(dir.path(), options, &fake(&["a@x", "b@x"])).await;
    let (a, b) = (user("a@x"), user("b@x"));
    running.fake.every(Fault::Away);
    let mut taken = Vec::new();
    let refused = loop {
        match running.push(&a, &taken.len().to_string()).await {
            Ok(_) => taken.push(taken.len().to_string()),
            Err(error) => break error,
        }
    };
    assert!(refused == LATER && taken.len() > 5, "{refused} after {}", taken.len());
    assert!(running.gauge("mangrove_journal_bytes", "journal") <= 4_000.0);
    assert_eq!(running.push(&b, "1").await, Err(LATER));
    // one that may have been made is not said not to be
    running.fake.every(Fault::After);
    assert_eq!(running.journaled.count(&b).await, Err(StoreError::Timeout));
    running.fake.every(Fault::None);
    assert_eq!(running.names(&a).await.unwrap(), taken);
    running.push(&b, "2").await.unwrap();
    assert_eq!(running.names(&b).await.unwrap(), ["2"]);
    running.stop().await;
}

#[tokio::test]
async fn one_that_may_have_been_made_and_cannot_be_journaled_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let running =
        Running::start(dir.path(), Options { max_bytes: 10, ..STILL }, &fake(&["a@x"])).await;
    running.fake.every(Fault::After);
    assert_eq!(running.push(&user("a@x"), "1").await, Err(StoreError::Timeout));
    running.stop().await;
}

#[tokio::test]
async fn a_user_s_limits_hold_for_what_is_journaled() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x"])).await;
    let a = user("a@x");
    running.fake.every(Fault::Away);
    let push = |limits| running.journaled.push(&a, 1, message("1"), limits);
    for _ in 0..2 {
        push(OfflineLimits::messages(2)).await.unwrap();
    }
    assert_eq!(push(OfflineLimits::messages(2)).await, Err(StoreError::Full { limit: 2 }));
    let limits = OfflineLimits { bytes: 20, ..ANY };
    assert_eq!(push(limits).await, Err(StoreError::Full { limit: 20 }));
    running.fake.every(Fault::None);
    assert_eq!(running.names(&a).await.unwrap().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn what_can_never_be_made_is_counted_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x"])).await;
    let (a, b) = (user("a@x"), user("b@x"));
    running.fake.every(Fault::Away);
    running.push(&a, "1").await.unwrap();
    running.push(&b, "1").await.unwrap();
    OfflineStore::remove(&*running.journaled, &a, vec![99]).await.unwrap();
    running.journaled.put(session("b@x", 1)).await.unwrap();
    // another node has a later one, and an account went
    running.fake.store.put(session("b@x", 7)).await.unwrap();
    assert_eq!(AccountStore::remove(&*running.fake.store, &a, 0).await, Ok(true));
    running.fake.every(Fault::None);
    assert_eq!(
        Sessions::page(&*running.journaled, Whose::All, "", 9).await,
        Ok(vec![session("b@x", 7)])
    );
    assert_eq!((running.waiting(), running.totals()), (0, [4, 3, 1]));
    assert_eq!(running.names(&b).await.unwrap(), ["1"]);
    running.stop().await;
}

#[tokio::test]
async fn what_somebody_has_to_mend_keeps_its_place_and_holds_up_its_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x"])).await;
    let (a, b) = (user("a@x"), user("b@x"));
    running.fake.every(Fault::Away);
    running.push(&a, "1").await.unwrap();
    running.push(&b, "1").await.unwrap();
    // that of a, which is the first
    *running.fake.broken.lock() = Some(a.clone());
    running.fake.every(Fault::None);
    assert_eq!(running.journaled.release(Whose::All, 9).await, Ok(0));
    assert_eq!((running.waiting(), running.totals()), (1, [2, 1, 0]));
    assert_eq!(running.names(&a).await, Err(LATER));
    *running.fake.broken.lock() = None;
    assert_eq!(running.names(&a).await.unwrap(), ["1"]);
    assert_eq!(running.names(&b).await.unwrap(), ["1"]);
    running.stop().await;
}

/// Of one user nothing is answered in time, and nothing else is wrong: the others are drained, and a node can start.
#[tokio::test]
async fn a_user_whose_operations_take_too_long_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x", "b@x", "c@x"])).await;
    let (a, b, c) = (user("a@x"), user("b@x"), user("c@x"));
    running.fake.every(Fault::Away);
    for user in [&a, &b, &c] {
        running.push(user, "1").await.unwrap();
    }
    // that of a, which is the first
    *running.fake.slow.lock() = Some(a.clone());
    running.fake.every(Fault::None);
    // as if it were away, until another one is asked for first
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(running.journaled.release(Whose::All, 9).await);
    }
    assert!(answers.contains(&Ok(0)), "{answers:?}");
    assert_eq!((running.waiting(), running.totals()), (1, [3, 2, 0]));
    assert_eq!(running.names(&b).await.unwrap(), ["1"]);
    assert_eq!(running.names(&c).await.unwrap(), ["1"]);
    assert_eq!(running.names(&a).await, Err(LATER));
    *running.fake.slow.lock() = None;
    assert_eq!(running.names(&a).await.unwrap(), ["1"]);
    running.stop().await;
}

#[tokio::test]
async fn the_drainer_notices_by_itself_and_several_users_are_drained_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retry: Duration::from_millis(1), ..STILL };
    let running = Running::start(dir.path(), options, &fake(&["a@x", "b@x", "c@x"])).await;
    let users = ["a@x", "b@x", "c@x"].map(user);
    running.fake.every(Fault::Away);
    for n in 0..20 {
        let running = &running;
        let pushes = users.iter().map(|user| -> crate::BoxFuture<'_, ()> {
            Box::pin(async move { running.push(user, &n.to_string()).await.map(drop).unwrap() })
        });
        all(pushes).await;
    }
    assert_eq!(running.waiting(), 60);
    running.fake.every(Fault::None);
    running.drained().await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for user in &users {
        assert_eq!(running.names(user).await.unwrap(), expected);
    }
    assert_eq!(running.totals(), [60, 60, 0]);
    running.stop().await;
}

#[tokio::test]
async fn the_next_process_goes_on_with_what_the_last_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake(&["a@x"]);
    let a = user("a@x");
    let running = Running::start(dir.path(), STILL, &fake).await;
    fake.every(Fault::After);
    running.push(&a, "1").await.unwrap();
    fake.every(Fault::Away);
    running.journaled.put(session("a@x", 1)).await.unwrap();
    running.stop().await;
    let running = Running::start(dir.path(), STILL, &fake).await;
    assert_eq!((running.waiting(), running.totals()), (2, [0; 3]));
    // a user who was not seen since is known by what waits
    fake.forget(&a);
    running.push(&a, "2").await.unwrap();
    assert_eq!(running.waiting(), 3);
    fake.every(Fault::None);
    assert_eq!(running.names(&a).await.unwrap(), ["1", "2"]);
    assert_eq!(
        Sessions::page(&*running.journaled, Whose::All, "", 9).await,
        Ok(vec![session("a@x", 1)])
    );
    running.stop().await;
}

/// The fake says so if it is otherwise.
#[tokio::test]
async fn operations_of_a_user_are_made_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), STILL, &fake(&["a@x"])).await;
    let (a, journaled) = (user("a@x"), &running.journaled);
    for fault in [Fault::None, Fault::After, Fault::Away, Fault::None] {
        running.fake.every(fault);
        let made = all([
            OfflineStore::remove(&**journaled, &a, vec![1]),
            journaled.acknowledge(&a, "k", vec![1]),
            journaled.hold(&a, "k", vec![1]),
            Box::pin(async { running.push(&a, "1").await.map(drop) }),
            Sessions::expire(&**journaled, &a, "k"),
        ]);
        assert_eq!(made.await, vec![Ok(()); 5]);
    }
    assert_eq!(running.names(&a).await.unwrap().len(), 4);
    running.stop().await;
}
