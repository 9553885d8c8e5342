//! Nodes come and end while users of all of them write to one another: what was accepted arrives.

use super::{
    Node, Shared, of,
    traffic::{Talk, Talks},
};
use crate::support::{Peer, block_on};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Users of three nodes; one of the first has another resource on the second.
const USERS: [&str; 10] = ["a1", "a2", "a3", "both", "b1", "b2", "b3", "c1", "c2", "c3"];
const CALM: Duration = Duration::from_secs(3);
/// What was accepted so long before a `kill -9` need not be in the store yet (`write-behind`): 50 ms, and what a busy machine takes.
const WRITTEN: Duration = Duration::from_millis(400);

#[test]
fn what_was_for_users_of_a_killed_node_comes_to_them_on_another() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two, three] = shared.nodes(&USERS).await;
        let (talk, mut tasks) = (Talk::default(), Talks::default());
        let first = (one.c2s(), &USERS[..4]);
        let others: [&[&str]; 2] = [&["b1", "b2", "b3", "both/other"], &USERS[7..]];
        talk.with(&mut tasks, &[first, (two.c2s(), others[0]), (three.c2s(), others[1])]).await;
        sleep(CALM).await;
        let killed = Instant::now();
        one.signal(Signal::KILL);
        for node in [&two, &three] {
            node.says(&["a node is no more", &of("n1")]).await;
        }
        // some log on at once, some while everybody writes to them
        talk.with(&mut tasks, &[(two.c2s(), &["a1"])]).await;
        sleep(CALM).await;
        talk.with(&mut tasks, &[(three.c2s(), &["a2", "a3", "both"])]).await;
        sleep(CALM).await;
        talk.end(tasks).await;
        let ended: Vec<String> = talk.ended().into_iter().map(|(name, _)| name).collect();
        assert_eq!(ended.len(), 4, "{ended:?}");
        talk.none_is_lost(|message| {
            message.accepted.is_some_and(|at| killed < at + WRITTEN && at < killed + WRITTEN)
        });
    });
}

#[test]
fn contacts_of_users_of_a_killed_node_see_them_leave() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes(&["juliet", "romeo"]).await;
        let mut juliet = Peer::login(one.c2s(), "juliet@localhost/balcony").await;
        let mut romeo = Peer::login(two.c2s(), "romeo@localhost/orchard").await;
        juliet.send("<presence><priority>5</priority></presence>").await;
        juliet.until(|e| e.name() == "presence").await;
        romeo.available().await;
        romeo.send("<presence to='juliet@localhost' type='subscribe'/>").await;
        juliet.until(|e| e.attr("type") == Some("subscribe")).await;
        juliet.send("<presence to='romeo@localhost' type='subscribed'/>").await;
        let from = Some("juliet@localhost/balcony");
        romeo.until(|e| e.name() == "presence" && e.attr("from") == from).await;
        // another resource of hers, that gets nothing while the first is there
        let mut chamber = Peer::login(two.c2s(), "juliet@localhost/chamber").await;
        chamber.send("<presence><priority>-1</priority></presence>").await;
        let here = Some("juliet@localhost/chamber");
        chamber.send("<presence/>").await;
        romeo.until(|e| e.name() == "presence" && e.attr("from") == here).await;
        let say = |id: usize| {
            format!("<message to='juliet@localhost' type='chat' id='{id}'><body>x</body></message>")
        };
        one.signal(Signal::KILL);
        for id in 0..20 {
            romeo.send(&say(id)).await;
        }
        let left = romeo.until(|e| e.name() == "presence" && e.attr("from") == from).await;
        assert_eq!(left.attr("type"), Some("unavailable"), "{}", left.to_xml());
        // what was on its way to the first, and what comes now
        for id in 20..25 {
            romeo.send(&say(id)).await;
        }
        let mut left: BTreeSet<String> = (0..25).map(|id: usize| id.to_string()).collect();
        while !left.is_empty() {
            let message = chamber.until(|e| e.name() == "message").await;
            left.remove(message.attr("id").unwrap());
        }
        assert_eq!(romeo.ping().await.iter().filter(|e| e.name() == "message").count(), 0);
    });
}

#[test]
fn a_node_that_joins_serves_at_once_and_one_that_is_stopped_loses_nothing() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two] = shared.nodes::<2>(&USERS).await;
        let (talk, mut tasks) = (Talk::default(), Talks::default());
        talk.with(&mut tasks, &[(one.c2s(), &USERS[..4]), (two.c2s(), &USERS[4..7])]).await;
        sleep(CALM).await;
        let three = Node::start("n3", shared.program("n3", ""));
        three.is_ready().await;
        talk.with(&mut tasks, &[(three.c2s(), &USERS[7..])]).await;
        sleep(CALM).await;
        assert_eq!(talk.ended(), []);
        talk.is_exact_so_far();
        two.signal(Signal::TERM);
        for node in [&one, &three] {
            node.says(&["a node is no more", &of("n2")]).await;
        }
        talk.with(&mut tasks, &[(one.c2s(), &USERS[4..5]), (three.c2s(), &USERS[5..7])]).await;
        sleep(CALM).await;
        talk.end(tasks).await;
        assert_eq!(talk.ended().len(), 3);
        talk.none_is_lost(|_| false);
    });
}
