//! Users whose sessions, and whose contacts, are on several nodes: as on one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drain;
mod registry;
mod resumed;

use actors::{
    modules::{
        blocking::{BlockingConfig, BlockingModule},
        last::{LastConfig, LastModule},
        offline::{OfflineConfig, OfflineModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        nodes::Nodes,
        random::Random,
        script::{Got, Wire, follow},
    },
};
use registry::Faulty;
use std::{sync::Arc, time::Duration};
use supervision::Node;

fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    modules.add_with::<BlockingModule>(BlockingConfig::default());
    modules.add_with::<LastModule>(LastConfig {});
    modules
}

fn node(name: &str) -> Node {
    Node::new(name).unwrap()
}

const ACCOUNTS: &str = "account juliet@localhost pencil\naccount romeo@localhost rose\n";

/// Romeo is on the first node, juliet on the second one.
const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    R = romeo@localhost/orchard
    J = juliet@localhost/balcony
    J C: <presence/>
    J S: <presence/>
    ";

async fn run(nodes: &mut Nodes, script: &str) {
    if let Err(error) = follow(script, nodes).await {
        panic!("{error}");
    }
}

/// Follows a script on nodes of these names.
fn check(names: &[&str], script: &str) {
    World::block_on(async {
        let mut nodes = Nodes::new(names, modules, &WorldOptions::default()).await;
        run(&mut nodes, script).await;
        nodes.stop().await;
    });
}

/// What waits for a client.
async fn all(nodes: &mut Nodes, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match nodes.next(name, false).await {
            Got::Element(e) if e.name() == "message" => {
                ids.push(e.attr("id").unwrap_or_default().to_owned());
            }
            Got::Nothing | Got::Eof => return ids,
            _ => {}
        }
    }
}

#[test]
fn who_binds_a_resource_that_another_node_has_ends_the_session_there_and_so_it_goes_back() {
    let script = ACCOUNTS.to_owned()
        + "J = juliet@localhost/balcony
           J C: <presence/>
           J S: <presence/>
           K = juliet@localhost/balcony
           J S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
           J S: </stream:stream>
           J S: eof
           K C: <presence/>
           K S: <presence/>
           K S: nothing
           J = juliet@localhost/balcony
           K S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
           K S: </stream:stream>
           K S: eof
           R = romeo@localhost/orchard
           R C: <message to='juliet@localhost/balcony' id='1'/>
           J S: <message id='1'/>
           J S: nothing";
    check(&["a", "b"], &script);
}

#[test]
fn of_resources_on_several_nodes_the_best_get_it_and_equal_ones_all_do() {
    let script = ACCOUNTS.to_owned()
        + "R = romeo@localhost/orchard
           J = juliet@localhost/one
           J C: <presence/>
           J S: <presence/>
           K = juliet@localhost/two
           K C: <presence><priority>1</priority></presence>
           K S: <presence from='juliet@localhost/two'/>
           K S: <presence from='juliet@localhost/one'/>
           J S: <presence from='juliet@localhost/two'/>
           R C: <message to='juliet@localhost' id='1'/>
           K S: <message id='1'/>
           J S: nothing
           J C: <presence><priority>1</priority></presence>
           J S: <presence from='juliet@localhost/one'/>
           K S: <presence from='juliet@localhost/one'/>
           R C: <message to='juliet@localhost' id='2' type='chat'/>
           J S: <message id='2'/>
           K S: <message id='2'/>
           K C: <message to='juliet@localhost' id='3' type='chat'/>
           J S: <message id='3'/>
           K S: <message id='3'/>
           R C: <message to='juliet@localhost' id='4' type='headline'/>
           J S: <message id='4'/>
           K S: <message id='4'/>
           K C: <presence><priority>-1</priority></presence>
           K S: <presence/>
           J S: <presence/>
           R C: <message to='juliet@localhost' id='5' type='headline'/>
           J S: <message id='5'/>
           K S: nothing
           R C: <message to='juliet@localhost/two' id='6'/>
           K S: <message id='6'/>
           J C: <presence type='unavailable'/>
           J S: <presence type='unavailable' from='juliet@localhost/one'/>
           K S: <presence type='unavailable' from='juliet@localhost/one'/>
           R C: <message to='juliet@localhost/gone' id='7' type='chat'><body>b</body></message>
           R S: nothing
           J S: nothing
           J C: <presence/>
           J S: <message id='7'/>";
    check(&["a", "b", "c"], &script);
}

#[test]
fn what_is_on_its_way_when_nodes_are_cut_off_arrives_when_they_are_not_once_and_in_order() {
    World::block_on(async {
        let mut nodes = Nodes::new(&["a", "b"], modules, &WorldOptions::default()).await;
        run(&mut nodes, PAIR).await;
        for round in 0..3 {
            let ids: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
            for (n, id) in ids.iter().enumerate() {
                if n == 7 {
                    nodes.network.cut(node("a"), node("b"));
                }
                let message = format!("<message to='juliet@localhost' type='chat' id='{id}'/>");
                nodes.say("R", &message);
            }
            let before = all(&mut nodes, "J").await;
            assert!(before.len() < ids.len() && ids.starts_with(&before), "{before:?}");
            nodes.network.heal(node("a"), node("b"));
            assert_eq!([before, all(&mut nodes, "J").await].concat(), ids);
        }
        run(&mut nodes, "R S: nothing").await;
        nodes.stop().await;
    });
}

#[test]
fn of_what_was_for_a_node_that_died_messages_go_on_and_requests_are_answered() {
    World::block_on(async {
        let mut nodes = Nodes::new(&["a", "b"], modules, &WorldOptions::default()).await;
        run(&mut nodes, PAIR).await;
        nodes.network.cut(node("a"), node("b"));
        let script =
            "R C: <message to='juliet@localhost' type='chat' id='1'><body>b</body></message>
            R C: <iq to='juliet@localhost/balcony' type='get' id='2'><x xmlns='urn:x'/></iq>
            R C: <presence to='juliet@localhost/balcony'/>
            R C: <message to='juliet@localhost/balcony' type='groupchat' id='3'/>
            R S: nothing
            T: 5s";
        run(&mut nodes, script).await;
        nodes.dies(1).await;
        let script = "password juliet@localhost pencil
            R S: <iq type='error' id='2'><error type='cancel'>
              <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
            R S: <message type='error' id='3'/>
            R S: nothing
            K = juliet@localhost/chamber
            K C: <presence/>
            K S: <message id='1'><body>b</body>
              <delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00.000Z'/></message>
            K S: <presence/>
            K S: nothing";
        run(&mut nodes, script).await;
        nodes.stop().await;
    });
}

#[test]
fn a_node_that_is_told_wrong_looks_again_and_passes_it_on() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b", "c"], modules, &options, wrap).await;
        run(&mut nodes, PAIR).await;
        faulty.remember("juliet@localhost").await;
        let moved = "password juliet@localhost pencil
            J C: </stream:stream>
            J S: </stream:stream>
            J S: eof
            K = juliet@localhost/balcony
            K C: <presence/>
            K S: <presence/>
            R C: <message to='juliet@localhost' type='chat' id='1'/>
            R C: <message to='juliet@localhost/balcony' id='2'/>
            R C: <iq to='juliet@localhost/balcony' type='get' id='3'><x xmlns='urn:x'/></iq>
            K S: <message id='1'/>
            K S: <message id='2'/>
            K S: <iq id='3'/>
            K C: <iq to='romeo@localhost/orchard' type='result' id='3'/>
            R S: <iq type='result' id='3'/>
            K C: </stream:stream>
            K S: </stream:stream>
            R C: <message to='juliet@localhost' type='chat' id='4'><body>b</body></message>
            R C: <message to='juliet@localhost/balcony' id='5'/>
            R S: <message type='error' id='5'/>
            R S: nothing
            L = juliet@localhost/chamber
            L C: <presence/>
            L S: <message id='4'/>
            L S: <presence/>
            L S: nothing";
        run(&mut nodes, moved).await;
        nodes.stop().await;
    });
}

#[test]
fn while_the_registry_is_away_nodes_are_asked_and_one_that_says_nothing_is_waited_for() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b", "c"], modules, &options, wrap).await;
        run(&mut nodes, PAIR).await;
        faulty.is_away(true);
        let asked = "R C: <message to='juliet@localhost' type='chat' id='1'/>
            J S: <message id='1'/>
            R C: <message to='juliet@localhost/balcony' id='2'/>
            J S: <message id='2'/>";
        run(&mut nodes, asked).await;
        nodes.network.cut(node("a"), node("b"));
        let unknown = "R C: <message to='juliet@localhost' type='chat' id='3'/>
            R C: <message to='juliet@localhost' type='chat' id='4'/>
            R C: <iq to='juliet@localhost/balcony' type='get' id='5'><x xmlns='urn:x'/></iq>
            T: 5s
            R S: <iq type='error' id='5'><error type='wait'>
              <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
            R S: nothing
            J S: nothing";
        run(&mut nodes, unknown).await;
        assert!(nodes.env(0).cluster.as_ref().unwrap().custody.bytes() > 0);
        nodes.network.heal(node("a"), node("b"));
        let script = "T: 5s
            J S: <message id='3'/>
            J S: <message id='4'/>
            R C: <message to='juliet@localhost' type='chat' id='6'/>
            J S: <message id='6'/>
            J S: nothing";
        run(&mut nodes, script).await;
        assert_eq!(nodes.env(0).cluster.as_ref().unwrap().custody.bytes(), 0);
        faulty.is_away(false);
        nodes.stop().await;
    });
}

#[test]
fn a_session_is_served_while_the_registry_is_away_and_published_when_it_is_back() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b"], modules, &options, wrap).await;
        faulty.is_away(true);
        run(&mut nodes, PAIR).await;
        let registry = Arc::clone(&nodes.env(0).registry);
        faulty.is_away(false);
        assert_eq!(registry.lookup("juliet@localhost").await.unwrap().len(), 0);
        assert!(nodes.pass(Duration::from_secs(5)).await);
        let found = registry.lookup("juliet@localhost").await.unwrap();
        assert_eq!((found.len(), found[0].priority), (1, Some(0)));
        // the registry was emptied
        let (name, token) = (Arc::clone(&found[0].resource), found[0].token);
        assert!(registry.unbind("juliet@localhost", &name, token).await.unwrap());
        let confirms = &nodes.env(1).cluster.as_ref().unwrap().confirms;
        assert_eq!(confirms.confirmed(), 0);
        confirms.emptied(7);
        nodes.settle().await;
        assert_eq!(nodes.env(1).cluster.as_ref().unwrap().confirms.confirmed(), 7);
        assert_eq!(registry.lookup("juliet@localhost").await.unwrap().len(), 1);
        nodes.stop().await;
    });
}

/// Romeo, on the first node, has sent Juliet so many messages; she has no session.
fn sent(count: usize) -> String {
    let one = |n| format!("R C: <message to='juliet@localhost' type='chat' id='{n}'/>\n");
    ACCOUNTS.to_owned() + "R = romeo@localhost/orchard\n" + &(0..count).map(one).collect::<String>()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// On two nodes, and on one; one of them a moment later, or at once.
#[test]
fn of_sessions_that_come_at_once_one_gets_what_is_offline() {
    for (rounds, place) in (0..12).map(|rounds| (rounds / 2, rounds % 2)) {
        World::block_on(async {
            let options = WorldOptions::default();
            let mut nodes = Nodes::new(&["a", "b"], modules, &options).await;
            for (name, place) in [("R", 0), ("K", 0), ("L", place)] {
                nodes.wanted.insert(name.to_owned(), place);
            }
            let bind = "password juliet@localhost pencil\nK = juliet@localhost/one
                password juliet@localhost pencil\nL = juliet@localhost/two";
            run(&mut nodes, &(sent(50) + bind)).await;
            nodes.say("K", "<presence/>");
            nodes.rounds(rounds).await;
            nodes.say("L", "<presence/>");
            nodes.settle().await;
            assert!(nodes.pass(Duration::from_secs(5)).await);
            let (one, two) = (all(&mut nodes, "K").await, all(&mut nodes, "L").await);
            let all = numbers(50);
            assert!(
                [&one, &two].contains(&&all) && one.len() + two.len() == 50,
                "{rounds} {place}: {one:?} {two:?}"
            );
            assert!(
                nodes.env(0).stores.offline.count(&"juliet@localhost".parse().unwrap()).await
                    == Ok(0)
            );
            nodes.stop().await;
        });
    }
}

/// Who has them and says nothing may be gone: the next one gets all of them, in their order.
#[test]
fn what_a_session_does_not_acknowledge_comes_to_the_next_one_from_the_first_on() {
    World::block_on(async {
        let options = WorldOptions::default();
        let mut nodes = Nodes::new(&["a", "b"], modules, &options).await;
        for (name, place) in [("R", 0), ("K", 0), ("L", 1)] {
            nodes.wanted.insert(name.to_owned(), place);
        }
        let ghost = "password juliet@localhost pencil\nK = juliet@localhost/one
            K C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
            K S: <enabled xmlns='urn:xmpp:sm:3'/>
            K C: <presence/>\n";
        let next = "password juliet@localhost pencil\nL = juliet@localhost/two\nL C: <presence/>\n";
        run(&mut nodes, &(sent(30) + ghost)).await;
        assert_eq!(all(&mut nodes, "K").await, numbers(30));
        run(&mut nodes, next).await;
        assert_eq!(all(&mut nodes, "L").await, numbers(0));
        assert!(nodes.pass(Duration::from_secs(3)).await);
        // what comes later does not overtake them
        run(&mut nodes, "R C: <message to='juliet@localhost/two' type='chat' id='30'/>").await;
        assert_eq!(all(&mut nodes, "L").await, numbers(31));
        nodes.stop().await;
    });
}

/// The registry is back and does not know her yet: what is sent to her on another node is offline.
#[test]
fn what_came_while_the_registry_had_not_heard_of_a_session_comes_when_it_has() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b"], modules, &options, wrap).await;
        faulty.is_away(true);
        run(&mut nodes, PAIR).await;
        faulty.is_away(false);
        let script = "R C: <message to='juliet@localhost' type='chat' id='1'/>
            R C: <message to='juliet@localhost' type='chat' id='2'/>
            J S: nothing
            T: 5s
            J S: <message id='1'/>
            J S: <message id='2'/>
            R C: <message to='juliet@localhost' type='chat' id='3'/>
            J S: <message id='3'/>
            J S: nothing";
        run(&mut nodes, script).await;
        nodes.stop().await;
    });
}

#[test]
fn who_binds_a_resource_while_the_registry_is_away_has_it_also_when_it_is_back() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b", "c"], modules, &options, wrap).await;
        run(&mut nodes, &(ACCOUNTS.to_owned() + "J = juliet@localhost/one\n")).await;
        faulty.is_away(true);
        let script = "password juliet@localhost pencil
            K = juliet@localhost/one
            J S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
            J S: </stream:stream>
            J S: eof";
        run(&mut nodes, script).await;
        // the registry did not hear that the first one has ended
        faulty.is_away(false);
        let registry = Arc::clone(&nodes.env(0).registry);
        let first = registry.lookup("juliet@localhost").await.unwrap();
        assert_eq!((first.len(), first[0].token.node), (1, node("a")));
        assert!(nodes.pass(Duration::from_secs(5)).await);
        let now = registry.lookup("juliet@localhost").await.unwrap();
        assert_eq!((now.len(), now[0].token.node), (1, node("b")));
        run(&mut nodes, "K C: <presence/>\nK S: <presence/>\nK S: nothing").await;
        nodes.stop().await;
    });
}

#[test]
fn one_of_two_sessions_that_neither_registry_nor_nodes_knew_of_ends() {
    World::block_on(async {
        let options = WorldOptions::default();
        let faulty = Arc::<Faulty>::default();
        let wrap = |registry| Faulty::of(&faulty, registry) as _;
        let mut nodes = Nodes::with_registry(&["a", "b"], modules, &options, wrap).await;
        faulty.is_away(true);
        nodes.network.cut(node("a"), node("b"));
        let both = ACCOUNTS.to_owned() + "J = juliet@localhost/one\nK = juliet@localhost/one\n";
        run(&mut nodes, &both).await;
        nodes.network.heal(node("a"), node("b"));
        faulty.is_away(false);
        run(&mut nodes, "T: 5s").await;
        let left: usize = (0..2).map(|n| nodes.env(n).table.len()).sum();
        assert_eq!(left, 1);
        nodes.stop().await;
    });
}

#[test]
fn an_account_that_is_removed_ends_its_sessions_on_all_nodes() {
    World::block_on(async {
        let mut nodes = Nodes::new(&["a", "b"], modules, &WorldOptions::default()).await;
        run(&mut nodes, PAIR).await;
        let env = Arc::clone(nodes.env(0));
        let juliet = "juliet@localhost".parse().unwrap();
        assert_eq!(actors::account::remove(&env, &juliet, None).await, Ok(true));
        let script = "J S: <stream:error>
              <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
            J S: </stream:stream>
            J S: eof";
        run(&mut nodes, script).await;
        assert!(nodes.env(1).table.is_empty());
        nodes.stop().await;
    });
}

#[test]
fn sessions_that_wait_to_be_resumed_on_another_node_make_room() {
    World::block_on(async {
        let settings = Settings { max_resources: 2, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let mut nodes = Nodes::new(&["a", "b"], modules, &options).await;
        let script = ACCOUNTS.to_owned()
            + "R = romeo@localhost/orchard
               J = juliet@localhost/one
               J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
               J S: <enabled xmlns='urn:xmpp:sm:3' resume='true'/>
               J cut
               K = juliet@localhost/two
               L = juliet@localhost/three
               X ~ juliet@localhost
               X C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
               X S: <iq type='error' id='b'><error type='wait'>
                 <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
        run(&mut nodes, &script).await;
        nodes.stop().await;
    });
}

#[test]
fn failed_log_ons_count_on_all_nodes_and_one_that_is_right_is_heard_of_too() {
    World::block_on(async {
        let mut nodes = Nodes::new(&["a", "b"], modules, &WorldOptions::default()).await;
        run(&mut nodes, ACCOUNTS).await;
        let ip = [127, 0, 0, 1].into();
        let fail = |nodes: &Nodes, node: usize| {
            let throttle = Arc::clone(&nodes.env(node).throttle);
            let mut attempt = throttle.begin("juliet@localhost", ip).unwrap();
            drop(attempt.prove().unwrap());
        };
        for n in 0..9 {
            fail(&nodes, n % 2);
            nodes.settle().await;
        }
        let throttle = Arc::clone(&nodes.env(1).throttle);
        let mut attempt = throttle.begin("juliet@localhost", ip).unwrap();
        attempt.prove().unwrap().right();
        drop(attempt);
        nodes.settle().await;
        for n in 0..10 {
            fail(&nodes, n % 2);
            nodes.settle().await;
        }
        for n in 0..2 {
            assert!(nodes.env(n).throttle.begin("juliet@localhost", ip).is_err(), "{n}");
        }
        nodes.stop().await;
    });
}

/// Juliet's session goes from node to node while romeo writes to her: she gets all of it, once and in order.
#[test]
fn the_order_is_kept_while_a_session_moves_between_nodes() {
    for seed in 1..=30 {
        World::block_on(async {
            let mut random = Random(seed);
            let mut nodes = Nodes::new(&["a", "b", "c"], modules, &WorldOptions::default()).await;
            run(&mut nodes, &(ACCOUNTS.to_owned() + "R = romeo@localhost/orchard\n")).await;
            let (mut got, mut sent, mut here) = (Vec::new(), Vec::new(), None::<usize>);
            for _ in 0..12 {
                for _ in 0..random.below(5) {
                    let id = sent.len().to_string();
                    let to = ["juliet@localhost", "juliet@localhost/one"][random.below(2)];
                    let body = "<body>b</body>";
                    nodes.say(
                        "R",
                        &format!("<message to='{to}' type='chat' id='{id}'>{body}</message>"),
                    );
                    sent.push(id);
                    nodes.rounds(random.below(4)).await;
                }
                let next = random.below(3);
                if here == Some(next) {
                    continue;
                }
                if let Some(before) = here.filter(|_| random.below(3) == 0) {
                    nodes.say(&format!("J{before}"), "</stream:stream>");
                    nodes.rounds(random.below(6)).await;
                }
                let name = format!("J{next}");
                nodes.wanted.insert(name.clone(), next);
                let log_on =
                    format!("password juliet@localhost pencil\n{name} = juliet@localhost/one\n");
                run(&mut nodes, &log_on).await;
                if let Some(before) = here {
                    got.extend(all(&mut nodes, &format!("J{before}")).await);
                }
                nodes.send(&name, "<presence/>", false).await;
                got.extend(all(&mut nodes, &name).await);
                here = Some(next);
            }
            if let Some(last) = here {
                got.extend(all(&mut nodes, &format!("J{last}")).await);
                assert_eq!(got, sent, "seed {seed}");
            }
            nodes.stop().await;
        });
    }
}
