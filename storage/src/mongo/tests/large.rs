//! Users with much, on their way into a database.

use super::{Options, Running};
use crate::{
    Account, AccountStore, MemoryStore, OfflineLimits, OfflineStore, VcardStore,
    testkit::ReplicaSet,
    transfer::{Walk, count},
};
use std::time::Duration;
use xmpp::{jid::BareJid, stanza::Stanza};

/// Together more than calls may hold at the same time.
const USERS: usize = 36;
const MESSAGE: usize = 2 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_of_many_is_copied_and_what_no_document_holds_is_named() {
    let set = ReplicaSet::shared().await.unwrap();
    let options = Options { deadline: Duration::from_secs(600), ..set.options("one") };
    let node = Running::start_hasty(options).await;
    let from = MemoryStore::new();
    let user = |n: usize| format!("u{n:02}@x").parse::<BareJid>().unwrap();
    from.create((0..USERS).map(|n| (user(n), Account::default())).collect()).await.unwrap();
    let xml = format!("<message><body>{}</body></message>", "x".repeat(MESSAGE));
    let large = Stanza::parse(xml.as_bytes()).unwrap();
    for n in 0..USERS {
        from.push(&user(n), 1, large.clone(), OfflineLimits::messages(9)).await.unwrap();
    }
    // as SQLite has it
    VcardStore::set(&from, &user(3), "x".repeat(17 << 20)).await.unwrap();
    let mut walk = Walk::default();
    while walk.copy(&from, &*node.store).await.unwrap() {}
    assert_eq!((walk.tally.accounts as usize, walk.failed), (USERS - 1, 1));
    let bad: Vec<&str> = walk.bad.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(bad, [user(3).as_str()]);
    assert_eq!(count(&*node.store).await, Ok(USERS as u64 - 1));
    let mut there = Walk::default();
    while there.read(&*node.store).await.unwrap() {}
    assert_eq!(there.tally, walk.tally);
    node.root.stop().await;
}
