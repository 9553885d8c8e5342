//! Nodes for tests: in this process ([`TestNode`]) or as the program ([`Program`]), on ports of
//! their own, with data that is gone afterwards; [`Tcp`], over which scripts talk to either; and
//! [`Peer`], a client written by hand.

pub mod database;
pub mod load;
pub mod net;
mod node;
mod peer;
mod program;
mod tcp;

pub use node::TestNode;
pub use peer::{PASSWORD, Peer, condition, stanza_error};
pub use program::{Program, Running};
pub use tcp::Tcp;

use std::time::Duration;

/// How long anything may take. A test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration of a test's node: any free port of this machine, no TLS needed.
pub const CONFIG: &str = "\
c2s.starttls = ['127.0.0.1:0']
c2s.direct_tls = ['127.0.0.1:0']
c2s.require_tls = false
http.listen = ['127.0.0.1:0']
";

/// Runs a test's future with real time and real sockets.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let future = async {
        tokio::time::timeout(PATIENCE * 4, future).await.expect("the test is done in time")
    };
    runtime.expect("a runtime").block_on(future)
}

/// The same in one thread: there a test can make time pass (`tokio::time::pause`).
pub fn block_in_one_thread(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future);
}

/// Waits until something is so.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}
