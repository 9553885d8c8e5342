//! Tries side by side and given up, and clocks that are set.

use super::{SASL, auth, open, outcome, response, say, secure};
use actors::{
    registrar::Modules,
    session::{out::Dialect, state::Conn, turn::Turn},
    testkit::{
        START, World, WorldOptions,
        scram::Client,
        script::{Got, Script, Wire, header},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use config::Sections;
use std::{collections::HashMap, sync::Arc, time::Duration};
use xmpp::sasl::{Hash, Mechanism};

const SHA_1: Mechanism = Mechanism::Scram { hash: Hash::Sha1, plus: false };

#[test]
fn of_300_tries_side_by_side_no_more_are_checked_than_may_fail() {
    World::block_on(async {
        let mut world = World::new(Modules::default(), WorldOptions::default()).await;
        world.account("juliet@localhost", "pencil").await;
        let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        let mut begun = Vec::new();
        for name in &names {
            open(&mut world, name).await;
            let last = name == "299";
            let client = Client::new(Hash::Sha1, "juliet", if last { "pencil" } else { "wrong" });
            match say(&mut world, name, &auth(SHA_1, &client.first())).await {
                Got::Element(e) if e.name() == "challenge" => begun.push((name, client, e.text())),
                refused => assert_eq!(outcome(&refused), "temporary-auth-failure"),
            }
        }
        assert_eq!(begun.len(), 10, "a try counts when it begins");
        for (name, mut client, challenge) in begun {
            let proof = client.last(&challenge).unwrap();
            let got = say(&mut world, name, &response(&proof)).await;
            assert_eq!(outcome(&got), "not-authorized");
        }
        open(&mut world, "right").await;
        let first = Client::new(Hash::Sha1, "juliet", "pencil").first();
        let got = say(&mut world, "right", &auth(SHA_1, &first)).await;
        assert_eq!(outcome(&got), "temporary-auth-failure");
        world.stop().await;
    });
}

/// Each password is on its way to the store before any is checked.
#[test]
fn of_300_passwords_side_by_side_no_more_are_checked_than_may_fail() {
    World::block_on(async {
        let mut world = World::new(Modules::default(), secure()).await;
        world.account("juliet@localhost", "pencil").await;
        let env = Arc::clone(&world.env);
        let tls = secure().tls;
        let mut turns: Vec<Turn> = (0..300)
            .map(|n| {
                let peer = [192, 0, 2, 1].into();
                let conn = Conn {
                    peer,
                    starttls: false,
                    tls_required: true,
                    tls: tls.clone(),
                    dialect: Dialect::Document,
                };
                let mut turn = Turn::new(conn, &env);
                turn.feed(header("localhost").as_bytes(), &env);
                let password = if n == 299 { "pencil" } else { "wrong" };
                let message = BASE64.encode(format!("\0juliet\0{password}"));
                turn.feed(auth(Mechanism::Plain, &message).as_bytes(), &env);
                turn
            })
            .collect();
        let mut jobs = Vec::new();
        for turn in &mut turns {
            jobs.push(turn.job());
        }
        let mut said = HashMap::<&str, usize>::new();
        for (turn, job) in turns.iter_mut().zip(jobs) {
            if let Some(job) = job {
                let then = job.await;
                turn.done(then, &env);
            }
            let out = String::from_utf8(turn.out().take()).unwrap();
            let of = ["<not-authorized/>", "<temporary-auth-failure/>", "<success"];
            *said.entry(of.into_iter().find(|what| out.contains(what)).unwrap()).or_default() += 1;
        }
        let wanted = [("<not-authorized/>", 10), ("<temporary-auth-failure/>", 290)];
        assert_eq!(said, HashMap::from(wanted));
        drop(turns);
        world.stop().await;
    });
}

/// A bad network is no attack: nothing was guessed.
#[test]
fn tries_that_are_given_up_cost_nothing() {
    World::block_on(async {
        let mut world = World::new(Modules::default(), WorldOptions::default()).await;
        world.account("juliet@localhost", "pencil").await;
        for n in 0..100 {
            open(&mut world, "X").await;
            let mut client = Client::new(Hash::Sha1, "juliet", "pencil");
            let got = say(&mut world, "X", &auth(SHA_1, &client.first())).await;
            let Got::Element(challenge) = got else { panic!("{n}: {got:?}") };
            match n % 3 {
                0 => world.cut("X").await,
                1 => drop(say(&mut world, "X", &format!("<abort xmlns='{SASL}'/>")).await),
                _ => {
                    let proof = client.last(&challenge.text()).unwrap();
                    let got = say(&mut world, "X", &response(&proof)).await;
                    assert_eq!(outcome(&got), "success");
                }
            }
        }
        assert_eq!(world.env.throttle.entries(), 0);
        world.stop().await;
    });
}

/// What was refused for five minutes is refused for five minutes, wherever the wall clock is set to;
/// and so is how long the server is up.
#[test]
fn a_wall_clock_that_is_set_changes_no_wait() {
    for set in [START - 86_400_000 * 365, START + 86_400_000 * 365] {
        World::block_on(async {
            let modules = actors::modules::all(&mut Sections::default());
            let mut world = World::new(modules, WorldOptions::default()).await;
            world.account("juliet@localhost", "pencil").await;
            world.account("romeo@localhost", "pencil").await;
            let wrong = format!(
                "X scram SCRAM-SHA-1 juliet wrong
                 X S: <failure xmlns='{SASL}'><not-authorized/></failure>\n"
            );
            for _ in 0..5 {
                open(&mut world, "X").await;
                Script::parse(&wrong.repeat(2)).unwrap().run(&mut world).await.unwrap();
            }
            world.env.clock.set(set);
            let mut failures = Vec::new();
            for seconds in [299, 1] {
                world.pass(Duration::from_secs(seconds)).await;
                open(&mut world, "X").await;
                let first = Client::new(Hash::Sha1, "juliet", "pencil").first();
                failures.push(outcome(&say(&mut world, "X", &auth(SHA_1, &first)).await));
            }
            assert_eq!(failures, ["temporary-auth-failure", "challenge"]);
            let up = "R = romeo@localhost/orchard
                 R C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:last'/></iq>
                 R S: <iq type='result' id='1'><query xmlns='jabber:iq:last' seconds='300'/></iq>";
            let up = format!("password romeo@localhost pencil\n{up}");
            Script::parse(&up).unwrap().run(&mut world).await.unwrap();
            world.stop().await;
        });
    }
}
