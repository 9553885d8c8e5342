//! A session that has grown too large for the store: nobody goes on with what the store had of it before.

use actors::{
    resource::Durability,
    testkit::{
        World,
        resumable::{FAILED, PAIR, all, got, message, offline, options, resume},
        script::{Got, Wire, follow},
    },
};

/// Nothing more comes to Juliet for now.
async fn gets_all(world: &mut World) {
    while let Got::Element(_) = world.next("J", false).await {}
}

#[test]
fn what_the_store_had_of_a_session_that_is_too_large_is_not_gone_on_with() {
    // nobody was connected when the node was killed, or somebody
    for cut in [true, false] {
        World::block_on(async {
            let mut world = World::new(offline(), options(Durability::Always)).await;
            let script = PAIR.to_owned()
                + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>\n"
                + &message(1)
                + &got("J", 1)
                + "J S: <r xmlns='urn:xmpp:sm:3'/>\n";
            follow(&script, &mut world).await.unwrap();
            let token = world.token("juliet@localhost/balcony").unwrap();
            let kept = world.env.stores.sessions.page(storage::Whose::All, "", 9).await.unwrap();
            assert_eq!(kept.len(), 1, "the store has it");
            // which it does not acknowledge, and no store keeps elsewhere
            let headline = format!(
                "R C: <message to='juliet@localhost' type='headline'><body>{}</body></message>\n",
                "x".repeat(200_000)
            );
            for _ in 0..22 {
                follow(&headline, &mut world).await.unwrap();
                gets_all(&mut world).await;
            }
            follow(&(message(2) + "R S: nothing"), &mut world).await.unwrap();
            gets_all(&mut world).await;
            if cut {
                follow("J cut\nR S: nothing", &mut world).await.unwrap();
            }
            assert_eq!(
                world.env.stores.sessions.page(storage::Whose::All, "", 9).await,
                Ok(Vec::new()),
                "{cut}"
            );
            let mut world = world.killed(offline(), options(Durability::Always)).await;
            let rest = resume(&token, 2, FAILED)
                + "K C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                   K S: <iq type='result' id='b'/>
                   K C: <presence/>\n"
                + &all(1..3, |n| got("K", n))
                + "K S: <presence/>
                   K S: nothing";
            follow(&rest, &mut world).await.unwrap();
            world.stop().await;
        });
    }
}
