//! Sessions of mobile clients go on at another node: when theirs is killed, and when one after the other is taken out of service.

use super::{
    Node, Shared, of,
    roam::Roaming,
    traffic::{Talk, Talks},
};
use crate::support::{block_on, until};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const USERS: [&str; 12] = ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3", "a4", "b4", "c4"];
const CALM: Duration = Duration::from_secs(3);
/// What was accepted so long before a `kill -9` need not be in the store yet (`write-behind`): 50 ms, and what a busy machine takes.
const WRITTEN: Duration = Duration::from_millis(400);

#[test]
fn whose_node_is_killed_goes_on_with_the_session_on_another_one_at_once() {
    block_on(async {
        let shared = Shared::new("").await;
        let [one, two, three] = shared.nodes(&USERS).await;
        let (talk, mut tasks, roaming) = (Talk::default(), Talks::default(), Roaming::default());
        roaming.finds(&[one.c2s(), two.c2s(), three.c2s()]);
        roaming.with(&talk, &mut tasks, &USERS).await;
        sleep(CALM).await;
        assert_eq!(roaming.counts().0, 0);
        talk.is_exact_so_far();
        let killed = Instant::now();
        one.signal(Signal::KILL);
        roaming.finds(&[two.c2s(), three.c2s()]);
        // all have come back before the others know that it is dead
        until("all are back", || roaming.counts().0 == USERS.len() / 3).await;
        for node in [&two, &three] {
            node.says(&["a node is no more", &of("n1")]).await;
        }
        sleep(CALM).await;
        talk.end(tasks).await;
        let (tried, resumed, away) = roaming.counts();
        let failed = roaming.failed();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!((tried, resumed), (USERS.len() / 3, USERS.len() / 3), "{away:?}");
        talk.none_is_lost(|message| {
            message.accepted.is_some_and(|at| killed < at + WRITTEN && at < killed + WRITTEN)
        });
    });
}

#[test]
fn a_cluster_is_started_anew_a_node_at_a_time_and_nothing_is_lost() {
    block_on(async {
        let shared = Shared::new("").await;
        let nodes: [Node; 3] = shared.nodes(&USERS).await;
        let mut nodes = Vec::from(nodes);
        let (talk, mut tasks, roaming) = (Talk::default(), Talks::default(), Roaming::default());
        let places = |nodes: &[Node]| nodes.iter().map(Node::c2s).collect::<Vec<_>>();
        roaming.finds(&places(&nodes));
        roaming.with(&talk, &mut tasks, &USERS).await;
        for _ in 0..3 {
            sleep(CALM).await;
            let node = nodes.remove(0);
            roaming.finds(&places(&nodes));
            let said =
                tokio::task::block_in_place(|| node.program.say(&["node", "drain", "--stop"]));
            assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
            let Node { name, program, mut running } = node;
            until("it has stopped", || running.has_ended()).await;
            let again = Node::start(name, program);
            again.is_ready().await;
            nodes.push(again);
            roaming.finds(&places(&nodes));
        }
        sleep(CALM).await;
        talk.end(tasks).await;
        let (tried, resumed, away) = roaming.counts();
        assert!(tried >= USERS.len(), "{tried}");
        assert_eq!(resumed, tried, "{away:?} {:?}", roaming.failed());
        talk.each_came_once();
    });
}
