//! A node gives up its sessions: those that can be resumed wait on others, and who has none, or comes anew, is sent there.

use super::{modules, run};
use actors::{
    resource::{Durability, QueueLimits},
    settings::Settings,
    testkit::{World, WorldOptions, nodes::Nodes},
};
use std::sync::Arc;

const SCENE: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    N = romeo@localhost/garden
    R = romeo@localhost/orchard
    X ~ romeo@localhost
    ";

#[test]
fn a_node_that_drains_has_its_sessions_go_to_others_and_sends_away_who_comes() {
    for place in [None, Some("b.example.org:5222")] {
        World::block_on(async {
            let queues = QueueLimits { durability: Durability::Behind, ..QueueLimits::default() };
            let location = place.map(str::to_owned);
            let settings = Settings { queues, location, ..Settings::default() };
            let options = WorldOptions { settings, ..WorldOptions::default() };
            let mut nodes = Nodes::new(&["a", "b"], modules, &options).await;
            for (name, at) in [("J", 0), ("N", 0), ("X", 0), ("R", 1), ("K", 1)] {
                nodes.wanted.insert(name.to_owned(), at);
            }
            run(&mut nodes, SCENE).await;
            let env = Arc::clone(nodes.env(0));
            let juliet = "juliet@localhost".parse().unwrap();
            let hers =
                env.table.resources(&juliet)[0].with_sm(|sm| sm.as_ref().unwrap().token.clone());
            let token = hers.unwrap();
            env.cluster.as_ref().unwrap().drain(true);
            let error = match place {
                Some(place) => format!(
                    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{place}</see-other-host></stream:error>"
                ),
                None => "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".to_owned(),
            };
            let sent_away = |name: &str| {
                format!("{name} S: {error}\n{name} S: </stream:stream>\n{name} S: eof\n")
            };
            let script = "T: 3s\nJ S: eof\n".to_owned()
                + &sent_away("N")
                + "X C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>\n"
                + &sent_away("X")
                + "R C: <message to='juliet@localhost' type='chat' id='1'><body>1</body></message>
                   password juliet@localhost pencil
                   K ~ juliet@localhost\n"
                + &format!("K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>\n")
                + "K S: <resumed xmlns='urn:xmpp:sm:3' h='1'/>
                   K S: <message id='1'/>\n";
            run(&mut nodes, &script).await;
            assert!(env.table.is_empty());
            nodes.stop().await;
        });
    }
}
