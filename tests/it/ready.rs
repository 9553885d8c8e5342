//! `/ready` while the store cannot keep what it is given.

use crate::{
    http,
    support::{PASSWORD, Peer, TestNode, block_on},
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    time::Duration,
};

async fn until_status(node: &TestNode, wanted: u16) -> String {
    let at = node.node.addresses().http[0];
    let answered = async {
        loop {
            let (status, body) = http::get(at, "/ready").await;
            if status == wanted {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.unwrap()
}

#[test]
fn a_node_with_a_damaged_store_lives_and_is_not_ready() {
    block_on(async {
        let node = TestNode::with("", |_| ()).await;
        for user in ["a", "away"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut a = Peer::login(node.c2s(), "a@localhost/one").await;
        a.send("<message to='away@localhost' type='chat' id='0'><body>x</body></message>").await;
        assert_eq!(a.ping().await, []);
        assert_eq!(until_status(&node, 200).await, "ready\n");
        let [file, log] =
            ["core.sqlite", "core.sqlite-wal"].map(|name| node.data.path().join(name));
        for path in [file, log] {
            let size = fs::metadata(&path).unwrap().len() as usize;
            let mut open = OpenOptions::new().write(true).open(&path).unwrap();
            open.write_all(&vec![b'#'; size]).unwrap();
        }
        let why = until_status(&node, 503).await;
        assert!(why.starts_with("not ready: the store is damaged: "), "{why}");
        assert_eq!(http::get(node.node.addresses().http[0], "/live").await.0, 200);
        let good = r#"mangrove_store_good{check="whole"}"#;
        let (_, page) = http::get(node.node.addresses().http[0], "/metrics").await;
        assert!(page.contains(&format!("{good} 0")), "{page}");
        // it goes on with what needs no store
        a.send("<message to='a@localhost/one' id='1'><body>x</body></message>").await;
        assert_eq!(a.element().await.attr("id"), Some("1"));
        node.stop().await;
    });
}
