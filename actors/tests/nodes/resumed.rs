//! Sessions that are resumed on another node than the one that has them: it is alive or not, and somebody else resumes them too.

use super::{modules, node, run};
use actors::{
    resource::{Durability, QueueLimits},
    sessions,
    settings::Settings,
    testkit::{
        World, WorldOptions,
        nodes::Nodes,
        random::Random,
        script::{Got, Wire},
    },
};
use std::{sync::Arc, time::Duration};

const STORED: [Durability; 3] = [Durability::Detached, Durability::Behind, Durability::Always];

/// Juliet is J on the first node and romeo R on the last; K and L are on those after hers.
const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    R = romeo@localhost/orchard
    ";

const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'>
    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

async fn scene(names: &[&str], durability: Durability) -> (Nodes, String) {
    let queues = QueueLimits { durability, ..QueueLimits::default() };
    let settings = Settings { queues, ..Settings::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    let mut nodes = Nodes::new(names, modules, &options).await;
    let last = names.len() - 1;
    for (name, place) in [("J", 0), ("R", last), ("K", 1), ("L", last)] {
        nodes.wanted.insert(name.to_owned(), place);
    }
    run(&mut nodes, PAIR).await;
    let juliet = "juliet@localhost".parse().unwrap();
    let hers = nodes.env(0).table.resources(&juliet);
    let token = hers[0].with_sm(|sm| sm.as_ref().unwrap().token.clone());
    (nodes, token.unwrap())
}

fn message(n: usize) -> String {
    format!("<message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>")
}

fn sends(n: usize) -> String {
    format!("R C: {}\n", message(n))
}

fn gets(name: &str, n: usize) -> String {
    format!("{name} S: <message id='{n}'/>\n")
}

/// The client of that name asks to go on, having got `h` stanzas.
fn resumes(name: &str, token: &str, h: usize, answer: &str) -> String {
    format!(
        "password juliet@localhost pencil
         {name} ~ juliet@localhost
         {name} C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>
         {name} S: {answer}\n"
    )
}

const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' h='1'/>";

/// The one session of juliet's is on that node, and goes on working.
async fn is_on(nodes: &mut Nodes, place: usize, count: usize) {
    let all: Vec<usize> = (0..count).map(|n| nodes.env(n).table.len()).collect();
    let romeos = |n: usize| usize::from(n == count - 1);
    let expected: Vec<usize> = (0..count).map(|n| usize::from(n == place) + romeos(n)).collect();
    assert_eq!(all, expected);
    let found = nodes.env(0).registry.lookup("juliet@localhost").await.unwrap();
    let me = nodes.env(place).cluster.as_ref().unwrap().view.me();
    assert_eq!(found.iter().map(|r| r.token.node).collect::<Vec<_>>(), [me.node]);
}

#[test]
fn a_session_that_waits_is_resumed_on_another_node_with_all_that_waits_for_it() {
    for durability in STORED {
        World::block_on(async {
            let (mut nodes, token) = scene(&["a", "b"], durability).await;
            let script = "J cut\n".to_owned()
                + &sends(1)
                + &sends(2)
                + "R C: <iq to='juliet@localhost/balcony' type='get' id='3'><x xmlns='urn:x'/></iq>\n"
                + &resumes("K", &token, 1, RESUMED)
                + &gets("K", 1)
                + &gets("K", 2)
                + "K S: <iq id='3'/>
                   K S: <r xmlns='urn:xmpp:sm:3'/>\n"
                + &sends(4)
                + &gets("K", 4)
                + "K C: <message to='romeo@localhost' type='chat' id='5'/>
                   K C: <a xmlns='urn:xmpp:sm:3' h='5'/>
                   K S: nothing
                   R S: nothing\n";
            run(&mut nodes, &script).await;
            is_on(&mut nodes, 1, 2).await;
            nodes.stop().await;
        });
    }
}

#[test]
fn a_session_is_taken_from_its_connection_on_another_node() {
    for durability in STORED {
        World::block_on(async {
            let (mut nodes, token) = scene(&["a", "b"], durability).await;
            let script = sends(1)
                + &gets("J", 1)
                + &resumes("K", &token, 1, RESUMED)
                + &gets("K", 1)
                + "K S: <r xmlns='urn:xmpp:sm:3'/>
                   J S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
                   J S: </stream:stream>
                   J S: eof\n"
                + &sends(2)
                + &gets("K", 2)
                + "K S: nothing\n";
            run(&mut nodes, &script).await;
            is_on(&mut nodes, 1, 2).await;
            // and back
            nodes.wanted.insert("M".to_owned(), 0);
            let back = resumes("M", &token, 3, RESUMED) + &sends(3) + &gets("M", 3);
            run(&mut nodes, &back).await;
            is_on(&mut nodes, 0, 2).await;
            nodes.stop().await;
        });
    }
}

#[test]
fn nobody_resumes_what_is_over_or_is_not_theirs() {
    World::block_on(async {
        let (mut nodes, token) = scene(&["a", "b"], Durability::Behind).await;
        let script = "account nurse@localhost herb
            N ~ nurse@localhost\n"
            .to_owned()
            + &format!(
                "N C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>\nN S: {FAILED}\n"
            )
            + "J cut\n"
            + &sends(1)
            + "T: 60s\n"
            + &resumes("K", &token, 1, FAILED)
            + "L = juliet@localhost/balcony
               L C: <presence/>\n"
            + &gets("L", 1)
            + "L S: <presence/>
               L S: nothing\n";
        nodes.wanted.insert("N".to_owned(), 1);
        run(&mut nodes, &script).await;
        nodes.stop().await;
    });
}

#[test]
fn a_session_that_is_taken_over_gives_way_to_one_that_its_client_has_by_now() {
    World::block_on(async {
        let (mut nodes, _) = scene(&["a", "b", "c"], Durability::Behind).await;
        run(&mut nodes, &("J cut\n".to_owned() + &sends(1) + &sends(2) + "T: 1s")).await;
        nodes.dies(0).await;
        let script = "password juliet@localhost pencil
            K = juliet@localhost/balcony
            K C: <presence/>
            K S: <presence/>
            K S: nothing";
        run(&mut nodes, script).await;
        assert_eq!(sessions::take_over(nodes.env(0), "a").await, 0);
        let script = gets("K", 1) + &gets("K", 2) + &sends(3) + &gets("K", 3) + "K S: nothing\n";
        run(&mut nodes, &script).await;
        is_on(&mut nodes, 1, 2).await;
        nodes.stop().await;
    });
}

#[test]
fn who_resumes_what_a_dead_node_has_left_has_it_at_once_and_after_another_has_taken_it_over() {
    for taken_over in [false, true] {
        World::block_on(async {
            let (mut nodes, token) = scene(&["a", "b", "c"], Durability::Behind).await;
            run(&mut nodes, &("J cut\n".to_owned() + &sends(1) + &sends(2) + "T: 1s")).await;
            nodes.dies(0).await;
            if taken_over {
                assert_eq!(sessions::take_over(nodes.env(0), "a").await, 1);
            }
            let script = resumes("K", &token, 1, RESUMED)
                + &gets("K", 1)
                + &gets("K", 2)
                + "K S: <r xmlns='urn:xmpp:sm:3'/>\n"
                + &sends(3)
                + &gets("K", 3)
                + "K S: nothing\n";
            run(&mut nodes, &script).await;
            if !taken_over {
                assert_eq!(sessions::take_over(nodes.env(0), "a").await, 0);
            }
            is_on(&mut nodes, 1, 2).await;
            nodes.stop().await;
        });
    }
}

#[test]
fn of_a_node_that_says_nothing_a_session_is_taken_and_it_ends_there_when_it_hears_that() {
    World::block_on(async {
        let (mut nodes, token) = scene(&["a", "b", "c"], Durability::Behind).await;
        run(&mut nodes, &(sends(1) + &gets("J", 1) + "T: 1s")).await;
        nodes.network.cut(node("a"), node("b"));
        let script = "password juliet@localhost pencil
            K ~ juliet@localhost\n"
            .to_owned()
            + &format!(
                "K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>\nT: 5s\nK S: {RESUMED}\n"
            )
            + &gets("K", 1)
            + "K S: <r xmlns='urn:xmpp:sm:3'/>\n"
            + &sends(2)
            + &gets("K", 2)
            + "J S: nothing\n";
        run(&mut nodes, &script).await;
        nodes.network.heal(node("a"), node("b"));
        let script = "J S: <stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
            J S: </stream:stream>
            J S: eof\n"
            .to_owned()
            + &sends(3)
            + &gets("K", 3)
            + "K S: nothing\n";
        run(&mut nodes, &script).await;
        is_on(&mut nodes, 1, 3).await;
        nodes.stop().await;
    });
}

#[test]
fn of_two_nodes_that_are_asked_for_one_session_at_once_one_has_it() {
    for rounds in 0..12 {
        World::block_on(async {
            let (mut nodes, token) = scene(&["a", "b", "c"], Durability::Behind).await;
            let script = "J cut\npassword juliet@localhost pencil\nK ~ juliet@localhost
                password juliet@localhost pencil\nL ~ juliet@localhost\n";
            run(&mut nodes, &(script.to_owned() + &sends(0))).await;
            let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>");
            nodes.say("K", &resume);
            nodes.rounds(rounds).await;
            nodes.say("L", &resume);
            nodes.say("R", &message(1));
            nodes.settle().await;
            assert!(nodes.pass(Duration::from_secs(15)).await);
            let (mut answers, mut got) = (Vec::new(), Vec::new());
            for name in ["K", "L"] {
                while let Got::Element(e) = nodes.next(name, false).await {
                    match e.name() {
                        "resumed" | "failed" => answers.push(e.name().to_owned()),
                        "message" => got.push((name, e.attr("id").unwrap().to_owned())),
                        _ => {}
                    }
                }
            }
            assert_eq!(answers.len(), 2, "{rounds}");
            assert!(answers.iter().any(|answer| answer == "resumed"), "{rounds}");
            let at = got.last().map(|(name, _)| *name).unwrap();
            got.retain(|(name, _)| *name == at);
            assert_eq!(got, [(at, "0".to_owned()), (at, "1".to_owned())], "{rounds}");
            is_on(&mut nodes, if at == "K" { 1 } else { 2 }, 3).await;
            nodes.stop().await;
        });
    }
}

#[test]
fn of_two_that_resume_a_session_at_the_same_moment_one_has_it() {
    for connected in [false, true] {
        World::block_on(async {
            let (mut nodes, token) = scene(&["a", "b", "c"], Durability::Behind).await;
            if !connected {
                run(&mut nodes, "J cut").await;
            }
            let juliet = "juliet@localhost".parse().unwrap();
            let envs = [1, 2].map(|n| Arc::clone(nodes.env(n)));
            let both = (
                sessions::resume(&envs[0], &juliet, &token),
                sessions::resume(&envs[1], &juliet, &token),
            );
            let (one, other) = tokio::join!(both.0, both.1);
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            let place = if one.is_ok() { 1 } else { 2 };
            drop((one, other));
            nodes.settle().await;
            is_on(&mut nodes, place, 3).await;
            nodes.stop().await;
        });
    }
}

/// What a client has got: ids of messages, and how many stanzas it counts.
#[derive(Default)]
struct Client {
    ids: Vec<String>,
    count: usize,
}

impl Client {
    /// Reads all there is. Whether it was resumed, if it was said.
    async fn reads(&mut self, nodes: &mut Nodes, name: &str) -> Option<bool> {
        let mut answer = None;
        while let Got::Element(e) = nodes.next(name, false).await {
            match e.name() {
                "resumed" => answer = Some(true),
                "failed" => answer = Some(false),
                "message" | "presence" | "iq" => self.count += 1,
                _ => {}
            }
            if e.name() == "message" {
                self.ids.push(e.attr("id").unwrap_or_default().to_owned());
            }
        }
        answer
    }
}

/// Juliet resumes her session on one node after the other while romeo writes to her: she gets all of it, once and in order.
#[test]
fn the_order_is_kept_while_a_session_is_resumed_here_and_there() {
    for seed in 1..=30 {
        World::block_on(async {
            let mut random = Random(seed);
            let durability = STORED[random.below(3)];
            let (mut nodes, token) = scene(&["a", "b", "c"], durability).await;
            let mut client = Client { count: 1, ..Client::default() };
            let (mut sent, mut name) = (0, "J".to_owned());
            for turn in 0..10 {
                for _ in 0..random.below(4) {
                    nodes.say("R", &message(sent));
                    sent += 1;
                    nodes.rounds(random.below(4)).await;
                }
                if random.below(2) == 0 {
                    client.reads(&mut nodes, &name).await;
                }
                if random.below(2) == 0 {
                    nodes.cut(&name).await;
                }
                let next = format!("K{turn}");
                nodes.wanted.insert(next.clone(), random.below(3));
                let log_on = format!("password juliet@localhost pencil\n{next} ~ juliet@localhost");
                run(&mut nodes, &log_on).await;
                let h = client.count;
                nodes.say(
                    &next,
                    &format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>"),
                );
                for _ in 0..random.below(4) {
                    nodes.rounds(random.below(8)).await;
                    nodes.say("R", &message(sent));
                    sent += 1;
                }
                assert_eq!(client.reads(&mut nodes, &next).await, Some(true), "seed {seed} {turn}");
                name = next;
            }
            client.reads(&mut nodes, &name).await;
            let ids: Vec<String> = (0..sent).map(|n| n.to_string()).collect();
            assert_eq!(client.ids, ids, "seed {seed}");
            nodes.stop().await;
        });
    }
}
