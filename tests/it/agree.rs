//! Two resources of an account and one of another deal with each other's subscriptions at the same moment, over
//! sockets and with SQLite: afterwards the rosters that clients get say the same of the two.

use crate::support::{PASSWORD, Peer, TestNode, block_on};
use actors::testkit::random::Random;

const ROUNDS: usize = 150;

/// A client's view of a contact: `to`, `from`, asked.
async fn roster(peer: &mut Peer, contact: &str) -> (bool, bool, bool) {
    peer.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>").await;
    let answer = peer.until(|e| e.attr("id") == Some("roster")).await;
    let mut items = answer.children().flat_map(|query| query.children());
    let item = items.find(|item| item.attr("jid") == Some(contact));
    let subscription = item.and_then(|i| i.attr("subscription")).unwrap_or("none");
    let has = |which| subscription == which || subscription == "both";
    (has("to"), has("from"), item.is_some_and(|i| i.attr("ask") == Some("subscribe")))
}

/// Whether there is a request that can be granted; then it is as if there had been none.
async fn is_granted(granter: &mut Peer, asking: &str, asker: &mut Peer, asked: &str) -> bool {
    granter.send(&presence("subscribed", asking)).await;
    granter.ping().await;
    let (granted, ..) = roster(asker, asked).await;
    granter.send(&presence("unsubscribed", asking)).await;
    granter.ping().await;
    granted
}

/// Something that changes what is between a client's user and a contact.
fn something(random: &mut Random, contact: &str) -> String {
    match random.below(5) {
        0 => presence("subscribe", contact),
        1 => presence("subscribed", contact),
        2 => presence("unsubscribe", contact),
        3 => presence("unsubscribed", contact),
        _ => remove(contact),
    }
}

fn presence(ty: &str, to: &str) -> String {
    format!("<presence type='{ty}' to='{to}'/>")
}

fn remove(jid: &str) -> String {
    format!(
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>\
         <item jid='{jid}' subscription='remove'/></query></iq>"
    )
}

#[test]
fn rosters_agree_when_two_resources_act_within_milliseconds() {
    block_on(async {
        let node = TestNode::with("", |_| ()).await;
        let (a, b) = ("a@localhost", "b@localhost");
        for user in [a, b] {
            node.account(user, PASSWORD).await;
        }
        let mut one = Peer::login(node.c2s(), "a@localhost/one").await;
        let mut two = Peer::login(node.c2s(), "a@localhost/two").await;
        let mut other = Peer::login(node.c2s(), "b@localhost/three").await;
        let mut asked = 0;
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for round in 0..ROUNDS {
            for (peer, contact) in [(&mut one, b), (&mut two, b), (&mut other, a)] {
                let several = [something(&mut random, contact), something(&mut random, contact)];
                peer.send(&several.concat()).await;
            }
            for peer in [&mut one, &mut two, &mut other] {
                peer.ping().await;
            }
            let (to, from, ask) = roster(&mut one, b).await;
            let (their_to, their_from, their_ask) = roster(&mut other, a).await;
            assert_eq!((to, from), (their_from, their_to), "round {round}");
            // who asked is asked: the request is there, and can be granted
            if ask {
                asked += 1;
                assert!(is_granted(&mut other, a, &mut one, b).await, "round {round}");
            }
            if their_ask {
                asked += 1;
                assert!(is_granted(&mut one, b, &mut other, a).await, "round {round}");
            }
        }
        assert!(asked > 0, "nobody ever had asked");
        node.stop().await;
    });
}
