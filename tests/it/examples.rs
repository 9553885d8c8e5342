//! The examples do what they say.

use crate::support::{CONFIG, Tcp, block_on};
use actors::testkit::script::follow;

#[path = "../../examples/embed.rs"]
#[allow(dead_code, reason = "the example is a program; its `main` waits for Ctrl-C")]
mod embed;

#[test]
fn a_node_in_a_program_has_the_program_s_module() {
    block_on(async {
        let data = tempfile::tempdir().unwrap();
        let options = format!("server.data = {:?}\n{CONFIG}", data.path());
        let node = embed::start(&options).await.unwrap();
        let script = "\
password juliet@localhost pencil
password romeo@localhost pencil
J = juliet@localhost/balcony
R = romeo@localhost/orchard
J C: <message to='romeo@localhost/orchard'><body>Deny thy father, Montague!</body></message>
R S: <message from='juliet@localhost/balcony'><body>Deny thy father, ********!</body></message>
R S: nothing
";
        let mut tcp = Tcp::to(node.addresses().starttls[0]);
        follow(script, &mut tcp).await.unwrap_or_else(|e| panic!("{e}"));
        drop(tcp);
        node.stop().await;
    });
}

#[path = "../../examples/three_nodes/main.rs"]
#[allow(dead_code, reason = "the example is a program; its `main` builds the server first")]
mod three_nodes;

#[test]
fn three_nodes_lose_one_and_nothing_else() {
    let mangrove = std::path::Path::new(env!("CARGO_BIN_EXE_mangrove"));
    block_on(async { three_nodes::run(mangrove).await.unwrap_or_else(|e| panic!("{e}")) });
}
