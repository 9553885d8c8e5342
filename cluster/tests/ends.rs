//! How a link ends that nobody has ended: the other node is killed, is stopped, or the network is silent.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use cluster::LinkOptions;
use common::{Ask, Authority, LONG, Running, start};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use supervision::{CallError, Exit, Node, System, Task, testkit::Probe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

fn quick(authority: &Authority, name: &str) -> LinkOptions {
    let mut options = authority.options(name);
    options.beat = Duration::from_millis(50);
    options.deadline = Duration::from_millis(500);
    options
}

/// Whatever waits for something of that node is told, once.
struct Waits {
    probe: Probe<Result<u32, CallError>>,
}

impl Waits {
    async fn new(a: &Running, b: Node) -> Self {
        let probe: Probe<Result<u32, CallError>> = Probe::start(&a.system).await;
        let far = a.far(b);
        assert_eq!(far.call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
        far.monitor(probe.pid());
        far.send_request(probe.me(), Ask::Never, |answer| answer);
        Self { probe }
    }

    async fn are_told_once(mut self) {
        assert!(matches!(self.probe.exit().await, (_, Exit::NoConnection)));
        let answer = self.probe.message().await;
        assert_eq!(answer, Err(CallError::Gone(Some(Exit::NoConnection))));
        assert!(self.probe.pending().is_none());
    }
}

/// Hands on bytes of one direction, until it is told not to.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: Arc<AtomicBool>) {
    let mut bytes = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // what comes is swallowed, and the connection stays
        if !silent.load(Relaxed) && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A network between two nodes, which may be silent; its address.
async fn network(to: String, silent: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let system = System::new("network");
    let ways = system.clone();
    Task::alone(&system, "/network", async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&to).await.unwrap();
            let ((from, back), (answers, there)) = (client.into_split(), server.into_split());
            for (from, to) in [(from, there), (answers, back)] {
                Task::alone(&ways, "/way", carry(from, to, Arc::clone(&silent)));
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_noticed_by_both() {
    let authority = Authority::new();
    let a = start("a@ends", quick(&authority, "a@ends")).await;
    let b = start("b@ends", quick(&authority, "b@ends")).await;
    b.answerer().await;
    let silent = Arc::new(AtomicBool::new(false));
    let address = network(b.peer().1, Arc::clone(&silent)).await;
    a.links.set_peers(vec![(b.node(), address)]);
    a.linked(1).await;
    let waits = Waits::new(&a, b.node()).await;
    silent.store(true, Relaxed);
    waits.are_told_once().await;
    b.linked(0).await;
    assert!(b.error().contains("nothing was heard for 500ms"), "{}", b.error());
    // and when it is there again
    silent.store(false, Relaxed);
    a.linked(1).await;
    assert_eq!(a.far(b.node()).call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
    a.root.stop().await;
    b.root.stop().await;
}

/// A node in a process of its own.
struct Other(Child);

impl Other {
    fn start(dir: &Path, peer: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_node_in_a_process_of_its_own", "--nocapture"])
            .env("ENDS_DIR", dir)
            .env("ENDS_PEER", peer)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// No test but when a test starts it.
#[tokio::test]
async fn a_node_in_a_process_of_its_own() {
    let (Ok(dir), Ok(peer)) = (env::var("ENDS_DIR"), env::var("ENDS_PEER")) else { return };
    let tls = common::read_tls(Path::new(&dir));
    let mut options = LinkOptions::new(([127, 0, 0, 1], 0).into(), tls, "cookie", "test");
    options.beat = Duration::from_millis(50);
    options.deadline = Duration::from_millis(500);
    let b = start("b@ends", options).await;
    b.answerer().await;
    b.links.set_peers(vec![(Node::new("a@ends").unwrap(), peer)]);
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_or_stopped_is_noticed() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.write_tls("b.ends", dir.path());
    let a = start("a@ends", quick(&authority, "a@ends")).await;
    let b = Node::new("b@ends").unwrap();
    let other = Other::start(dir.path(), &a.peer().1);
    a.linked(1).await;
    let waits = Waits::new(&a, b).await;
    // it does nothing any more, and its connection is open
    other.signal(Signal::STOP);
    waits.are_told_once().await;
    a.linked(0).await;
    assert!(a.error().contains("nothing was heard"), "{}", a.error());
    other.signal(Signal::CONT);
    a.linked(1).await;
    let waits = Waits::new(&a, b).await;
    let old = a.system.nodes();
    drop(other);
    waits.are_told_once().await;
    // another start of it
    let other = Other::start(dir.path(), &a.peer().1);
    a.linked(1).await;
    assert_eq!(a.system.nodes(), old);
    let waits = Waits::new(&a, b).await;
    drop(other);
    waits.are_told_once().await;
    a.root.stop().await;
}
