//! Nodes that are cut from each other, from the registry, or from everything, in network namespaces: for longer than every time-out.
//! Nobody restarts anything.

use super::{
    Node, Shared,
    roam::Roaming,
    traffic::{Talk, Talks},
};
use crate::support::{Peer, block_on, net::Net, until};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const USERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
/// Hundreds of messages that eight users have accepted in two seconds,
const CALM: usize = 2;
/// and in more than a lease, its margin, and what a link waits for a sign of life.
const LONG: usize = 10;
/// What was accepted so long before a node was cut off need not be in the store yet (`write-behind`): 50 ms, and what a busy machine takes.
const WRITTEN: Duration = Duration::from_millis(400);

/// Two nodes, each in a namespace of its own.
struct Apart {
    net: Net,
    // it ends with this
    _shared: Shared,
    nodes: Vec<Node>,
}

impl Apart {
    /// None, where namespaces cannot be made.
    async fn new() -> Option<Self> {
        let mut net = Net::new(2)?;
        let shared = Shared::over(&mut net).await;
        let mut nodes = Vec::new();
        for (number, name) in [(0, "n1"), (1, "n2")] {
            let program = shared.program_at(name, &net.address(number));
            if number == 0 {
                crate::support::database::accounts(&program, &USERS);
            }
            let node = Node { name, running: program.run_in(&net.space(number)), program };
            node.is_ready().await;
            nodes.push(node);
        }
        for (one, other) in [(0, "n2"), (1, "n1")] {
            nodes[one].says(&["\"linked\"", &super::of(other)]).await;
        }
        Some(Self { net, _shared: shared, nodes })
    }

    fn places(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::c2s).collect()
    }

    /// Whether both see each other.
    fn are_linked(&self) -> bool {
        self.nodes.iter().all(|node| {
            let nodes = tokio::task::block_in_place(|| node.program.json(&["nodes"]));
            nodes.as_array().unwrap().iter().any(|node| node["link"]["up"].is_number())
        })
    }
}

#[test]
fn nodes_that_do_not_reach_each_other_and_reach_the_registry_lose_nothing() {
    block_on(async {
        let Some(apart) = Apart::new().await else { return };
        let (talk, mut tasks, places) = (Talk::default(), Talks::default(), apart.places());
        talk.with(&mut tasks, &[(places[0], &USERS[..4]), (places[1], &USERS[4..])]).await;
        talk.goes_on(CALM).await;
        apart.net.cuts(0, &apart.net.address(1));
        apart.net.cuts(1, &apart.net.address(0));
        talk.goes_on(LONG).await;
        // both serve
        for place in &places {
            Peer::login(*place, "a@localhost/other").await.available().await;
        }
        apart.net.joins(0, &apart.net.address(1));
        apart.net.joins(1, &apart.net.address(0));
        until("they are linked", || apart.are_linked()).await;
        talk.goes_on(CALM).await;
        talk.end(tasks).await;
        assert_eq!(talk.ended(), []);
        talk.each_came_once();
    });
}

#[test]
fn a_node_that_does_not_reach_the_registry_and_reaches_another_node_goes_on() {
    block_on(async {
        let Some(apart) = Apart::new().await else { return };
        let (talk, mut tasks, places) = (Talk::default(), Talks::default(), apart.places());
        talk.with(&mut tasks, &[(places[0], &USERS[..4]), (places[1], &USERS[4..])]).await;
        talk.goes_on(CALM).await;
        apart.net.cuts(1, &apart.net.registry());
        talk.goes_on(LONG).await;
        for place in &places {
            Peer::login(*place, "a@localhost/other").await.available().await;
        }
        apart.net.joins(1, &apart.net.registry());
        talk.goes_on(CALM).await;
        talk.end(tasks).await;
        talk.is_exact();
        assert!(apart.are_linked());
    });
}

#[test]
fn a_node_that_reaches_nobody_gives_way_and_comes_back_by_itself() {
    block_on(async {
        let Some(apart) = Apart::new().await else { return };
        let (talk, mut tasks, roaming) = (Talk::default(), Talks::default(), Roaming::default());
        let places = apart.places();
        roaming.finds(&places);
        roaming.with(&talk, &mut tasks, &USERS).await;
        talk.goes_on(CALM).await;
        let cut = Instant::now();
        apart.net.plugs(1, false);
        // its clients notice that, as those of a mobile network do
        roaming.finds(&places[..1]);
        roaming.cut(places[1]);
        apart.nodes[0].says(&["a node is no more", &super::of("n2")]).await;
        until("all are back", || roaming.counts().0 == USERS.len() / 2).await;
        talk.goes_on(LONG).await;
        apart.net.plugs(1, true);
        apart.nodes[1].says(&["this node was declared dead: it begins anew"]).await;
        apart.nodes[1].is_ready().await;
        until("they are linked", || apart.are_linked()).await;
        // no ghosts of those who went on elsewhere
        let sessions = || apart.nodes[1].program.json(&["sessions"]).as_array().unwrap().len();
        until("it has no ghosts", || tokio::task::block_in_place(sessions) == 0).await;
        roaming.finds(&places);
        Peer::login(places[1], "a@localhost/other").await.available().await;
        talk.goes_on(CALM).await;
        talk.end(tasks).await;
        assert_eq!(roaming.failed(), []);
        talk.none_is_lost(|message| {
            message.accepted.is_some_and(|at| cut < at + WRITTEN && at < cut + WRITTEN)
        });
    });
}
