//! Law 7 by numbers: what a client sends is parsed when it is framed, and then not again; it is
//! written to however many receivers by copying bytes.

use actors::{
    env::Env,
    modules,
    testkit::{World, WorldOptions, metrics::values, nodes::Nodes, script::follow},
};
use config::Sections;
use std::fmt::Write;
use storage::{RosterChange, RosterItem, Subscription};

/// Stanzas in and out, contents parsed after framing, elements serialised.
type Counts = [u64; 4];

fn counts(world: &World) -> Counts {
    counts_of(&world.env)
}

fn counts_of(env: &Env) -> Counts {
    let values = values(env);
    let sum = |name: &str, label: &str| {
        let some = values.iter().filter(|(of, _)| of.starts_with(name) && of.contains(label));
        some.map(|(_, value)| *value as u64).sum()
    };
    [
        sum("mangrove_stanzas_total", "direction=\"in\""),
        sum("mangrove_stanzas_total", "direction=\"out\""),
        sum("mangrove_content_parsed_total", ""),
        sum("mangrove_content_serialised_total", ""),
    ]
}

/// What a script costs.
async fn run(world: &mut World, script: &str) -> Result<Counts, String> {
    let before = counts(world);
    follow(script, world).await?;
    let after = counts(world);
    Ok(std::array::from_fn(|n| after[n] - before[n]))
}

async fn world() -> World {
    World::new(modules::all(&mut Sections::default()), WorldOptions::default()).await
}

#[test]
fn a_message_is_parsed_once_however_many_receive_it() {
    World::block_on(async {
        let mut world = world().await;
        let mut script =
            "account romeo@localhost rose\naccount juliet@localhost pencil\n".to_owned();
        script += "R = romeo@localhost/orchard\n";
        for n in 0..5 {
            let _ = writeln!(script, "J{n} = juliet@localhost/{n}\nJ{n} C: <presence/>");
            for seen in 0..=n {
                let _ = writeln!(script, "J{n} S: <presence/>");
                if seen < n {
                    let _ = writeln!(script, "J{seen} S: <presence/>");
                }
            }
        }
        run(&mut world, &script).await.unwrap();
        // text with an entity and an element of another namespace: nobody looks into it
        let mut script = "R C: <message to='juliet@localhost' type='chat' id='1'>\
             <body>what light &lt;there&gt;?</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
             </message>\n"
            .to_owned();
        for n in 0..5 {
            let _ = writeln!(
                script,
                "J{n} S: <message from='romeo@localhost/orchard' id='1' type='chat'>\
                 <body>what light &lt;there&gt;?</body></message>"
            );
        }
        assert_eq!(run(&mut world, &script).await, Ok([1, 5, 0, 0]));
        // the same by rxml, which frames what the short cut leaves to it
        let script = script.replace("what light", "<![CDATA[what]]> l&#105;ght");
        assert_eq!(run(&mut world, &script).await, Ok([1, 5, 0, 0]));
        world.stop().await;
    });
}

#[test]
fn a_presence_is_parsed_once_however_many_contacts_see_it() {
    World::block_on(async {
        let mut world = world().await;
        run(&mut world, "account romeo@localhost rose").await.unwrap();
        for n in 0..20 {
            let name = format!("c{n:02}@localhost");
            let script = format!(
                "account {name} pencil\nC{n} = {name}/x\nC{n} C: <presence/>\nC{n} S: <presence/>"
            );
            run(&mut world, &script).await.unwrap();
            let mut item = RosterItem::new(name.parse().unwrap());
            item.subscription = Subscription::From;
            let put = RosterChange::Put(item);
            let user = "romeo@localhost".parse().unwrap();
            world.env.stores.rosters.change(&user, n, put, 100).await.unwrap();
        }
        let presence = "<priority>5</priority><show>away</show><status>in the orchard</status>";
        let mut script = format!("R C: <presence>{presence}</presence>\nR S: <presence/>\n");
        for n in 0..20 {
            let _ = writeln!(
                script,
                "C{n} S: <presence from='romeo@localhost/orchard'>{presence}</presence>"
            );
        }
        run(&mut world, "password romeo@localhost rose\nR = romeo@localhost/orchard")
            .await
            .unwrap();
        assert_eq!(run(&mut world, &script).await, Ok([1, 21, 0, 0]), "the first presence");
        assert_eq!(run(&mut world, &script).await, Ok([1, 21, 0, 0]), "another");
        let gone = script
            .replace("<presence>", "<presence type='unavailable'>")
            .replace("R S: <presence/>", "R S: <presence type='unavailable'/>")
            .replace("from='romeo@", "type='unavailable' from='romeo@");
        assert_eq!(run(&mut world, &gone).await, Ok([1, 21, 0, 0]), "the last");
        world.stop().await;
    });
}

#[test]
fn what_is_looked_into_is_counted() {
    World::block_on(async {
        let mut world = world().await;
        run(&mut world, "account romeo@localhost rose\nR = romeo@localhost/orchard").await.unwrap();
        // the request is read, and the answer written and looked at, once each
        let version =
            "R C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:version'/></iq>
                       R S: <iq type='result' id='1'/>";
        assert_eq!(run(&mut world, version).await, Ok([1, 1, 2, 1]));
        // the same for a roster, but for the look: it can be large
        let roster = "R C: <iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>
                      R S: <iq type='result' id='2'/>";
        assert_eq!(run(&mut world, roster).await, Ok([1, 1, 1, 1]));
        // an error has no unknown parts
        let unknown = "R C: <iq type='get' id='3' to='localhost'><query xmlns='urn:x'/></iq>
                       R S: <iq type='error' id='3'/>";
        assert_eq!(run(&mut world, unknown).await, Ok([1, 1, 0, 0]));
        // whitespace and nonzas cost nothing
        let sm = "R C: <enable xmlns='urn:xmpp:sm:3'/>
                  R S: <enabled xmlns='urn:xmpp:sm:3'/>";
        run(&mut world, sm).await.unwrap();
        let acks = "R C: <r xmlns='urn:xmpp:sm:3'/>
                    R S: <a xmlns='urn:xmpp:sm:3'/>";
        assert_eq!(run(&mut world, acks).await, Ok([0, 0, 0, 0]));
        world.stop().await;
    });
}

#[test]
fn what_crosses_from_node_to_node_is_parsed_once_too() {
    World::block_on(async {
        let all = || modules::all(&mut Sections::default());
        let mut nodes = Nodes::new(&["a", "b"], all, &WorldOptions::default()).await;
        let accounts = "account romeo@localhost rose\naccount juliet@localhost pencil\n";
        follow(accounts, &mut nodes).await.unwrap();
        for n in 0..20 {
            nodes.wanted.insert(format!("C{n}"), 1);
            let name = format!("c{n:02}@localhost");
            let script = format!(
                "account {name} pencil\nC{n} = {name}/x\nC{n} C: <presence/>\nC{n} S: <presence/>"
            );
            follow(&script, &mut nodes).await.unwrap();
            let mut item = RosterItem::new(name.parse().unwrap());
            item.subscription = Subscription::From;
            let user = "romeo@localhost".parse().unwrap();
            let put = RosterChange::Put(item);
            nodes.env(0).stores.rosters.change(&user, n, put, 100).await.unwrap();
        }
        for (name, place) in [("R", 0), ("J", 1), ("K", 1)] {
            nodes.wanted.insert(name.to_owned(), place);
        }
        let log_on = "password romeo@localhost rose
            password juliet@localhost pencil
            R = romeo@localhost/orchard
            J = juliet@localhost/balcony
            J C: <presence/>
            J S: <presence/>
            K = juliet@localhost/chamber
            K C: <presence/>
            K S: <presence/>
            K S: <presence/>
            J S: <presence/>";
        follow(log_on, &mut nodes).await.unwrap();
        let body = "<body>what light &lt;there&gt;?</body><x xmlns='urn:x'/>";
        let to_all = format!(
            "R C: <message to='juliet@localhost' type='chat' id='1'>{body}</message>
             J S: <message id='1'>{body}</message>
             K S: <message id='1'>{body}</message>"
        );
        let to_one = format!(
            "R C: <message to='juliet@localhost/chamber' id='2'>{body}</message>
             K S: <message id='2'>{body}</message>"
        );
        let presence = "<priority>5</priority><status>in the orchard</status>";
        let mut seen = format!("R C: <presence>{presence}</presence>\nR S: <presence/>\n");
        for n in 0..20 {
            let _ = writeln!(seen, "C{n} S: <presence>{presence}</presence>");
        }
        for (script, [here, there]) in [
            (&to_all, [[1, 0, 0, 0], [0, 2, 0, 0]]),
            (&to_one, [[1, 0, 0, 0], [0, 1, 0, 0]]),
            (&seen, [[1, 1, 0, 0], [0, 20, 0, 0]]),
        ] {
            let before = [0, 1].map(|n| counts_of(nodes.env(n)));
            follow(script, &mut nodes).await.unwrap();
            let after = [0, 1].map(|n| counts_of(nodes.env(n)));
            let cost = |n: usize| std::array::from_fn(|of| after[n][of] - before[n][of]);
            assert_eq!([cost(0), cost(1)], [here, there], "{script}");
        }
        nodes.stop().await;
    });
}
