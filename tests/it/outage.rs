//! The store is down: who is connected goes on, what needs the store is refused in a way that says
//! "later", nothing is silently gone, and when it is back all is well.

use crate::support::{PASSWORD, Peer, TestNode, block_on, stanza_error, until};
use supervision::{Local, sys};

/// The processes of the store, their supervisor first.
fn store(node: &TestNode) -> Vec<Local> {
    let mut pids = node.node.system().pids();
    pids.retain(|p| p.path().starts_with("/storage/sqlite"));
    pids.sort_by_key(Local::id);
    pids
}

#[test]
fn without_a_store_connected_users_go_on_and_the_rest_is_told_to_wait() {
    block_on(async {
        let node = TestNode::with("", |_| ()).await;
        for user in ["a", "b", "away"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        let mut b = Peer::login(node.c2s(), "b@localhost/two").await;
        b.available().await;
        // its supervisor does not start it again before it is told to
        let processes = store(&node);
        sys::suspend(&processes[0]);
        for pid in &processes[1..] {
            pid.kill();
            pid.wait().await;
        }
        assert!(node.node.ready().await.is_err());

        let mut peer = Peer::connect(node.c2s()).await;
        peer.open().await;
        let refused = peer.authenticate("away", PASSWORD).await;
        assert_eq!(refused, Err("temporary-auth-failure".into()));
        for id in ["1", "2"] {
            a.send(&format!(
                "<message to='away@localhost' type='chat' id='{id}'><body>x</body></message>"
            ))
            .await;
            let answer = a.element().await;
            assert_eq!(answer.attr("id"), Some(id));
            assert_eq!(stanza_error(&answer).unwrap().0, "wait", "{}", answer.to_xml());
        }
        a.send("<message to='b@localhost' type='chat' id='3'><body>x</body></message>").await;
        assert_eq!(b.element().await.attr("id"), Some("3"));
        b.send("<iq type='get' id='4'><vCard xmlns='vcard-temp'/></iq>").await;
        let answer = b.element().await;
        assert_eq!((answer.attr("id"), answer.attr("type")), (Some("4"), Some("error")));
        assert_eq!(stanza_error(&answer).unwrap().0, "wait");

        sys::resume(&processes[0]);
        until("the store is back", || store(&node).len() == processes.len()).await;
        until("it answers", || node.node.system().restarts() == 3).await;
        while node.node.ready().await.is_err() {
            tokio::task::yield_now().await;
        }
        a.send("<message to='away@localhost' type='chat' id='5'><body>x</body></message>").await;
        assert_eq!(a.ping().await, []);
        assert_eq!(peer.authenticate("away", PASSWORD).await, Ok(()), "on the same stream");
        peer.open().await;
        peer.bind("three").await;
        peer.send("<presence/>").await;
        assert_eq!(peer.until(|e| e.name() == "message").await.attr("id"), Some("5"));
        node.stop().await;
    });
}
