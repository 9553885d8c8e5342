//! Conversations about what shows that a client is there.

use crate::{
    modules::ping::{PingConfig, PingModule},
    registrar::Modules,
    testkit::{
        World, WorldOptions,
        script::{Wire, follow},
    },
};
use config::secs;

#[test]
fn whatever_comes_from_a_client_shows_that_it_is_there() {
    let pings: fn(&mut Modules) = |modules| {
        modules.add_with::<PingModule>(PingConfig { grace: secs(30) });
    };
    let begin = "account juliet@localhost pencil
         J = juliet@localhost/balcony
         J C: <enable xmlns='urn:xmpp:sm:3'/>
         J S: <enabled xmlns='urn:xmpp:sm:3'/>\n";
    let asks = "J C: <r xmlns='urn:xmpp:sm:3'/>\nJ S: <a xmlns='urn:xmpp:sm:3' h='0'/>\n";
    let ping = "J S: <iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>
         J S: <r xmlns='urn:xmpp:sm:3'/>\n";
    let script = [
        begin,
        &format!("T: 299s\n{asks}").repeat(3),
        "T: 299s\nJ S: nothing\nT: 1s\n",
        ping,
        // that it does not answer the ping itself does not matter
        &format!("T: 29s\n{asks}T: 299s\nJ S: nothing\nT: 1s\n"),
        ping.split('\n').next().unwrap_or_default(),
        "\nT: 30s\nJ S: <stream:error>
            <connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    ];
    World::check(&script.concat(), pings);

    World::block_on(async {
        let mut modules = Modules::default();
        pings(&mut modules);
        let mut world = World::new(modules, WorldOptions::default()).await;
        follow(begin, &mut world).await.unwrap();
        // white space, and half of a stanza after another
        for bytes in [" ", "\n", "<message><bo", "dy>what li", "ght</body>"] {
            world.pass(secs(299)).await;
            world.send("J", bytes, false).await;
        }
        follow("T: 299s\nJ S: nothing\nT: 1s\n", &mut world).await.unwrap();
        follow(ping, &mut world).await.unwrap();
        world.pass(secs(29)).await;
        world.send("J", "</mess", false).await;
        follow("T: 299s\nJ S: nothing", &mut world).await.unwrap();
        world.stop().await;
    });
}
