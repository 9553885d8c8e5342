//! The tree of a node: the order of its start, and that of its stop.

use crate::{
    documents::read,
    support::{CONFIG, TestNode, block_on},
};
use actors::{
    metrics::{Counter, Histogram, Unit},
    registrar::{Module, Registrar, Xep},
};
use mangrove::{Node, Setup};
use parking_lot::Mutex;
use std::sync::Arc;
use supervision::{Exit, system::Change};

/// Numbers at the ends of names depend on the machine's cores; one of them stands for all.
fn known(path: &str) -> Option<String> {
    let parent_and_number = path.rsplit_once('/').filter(|(_, n)| n.parse::<u32>().is_ok());
    match parent_and_number {
        Some((parent, "0")) => Some(format!("{parent}/N")),
        Some(_) => None,
        None => Some(path.to_owned()),
    }
}

const ORDER: &str = "\
/
/storage
/storage/sqlite
/storage/sqlite/writer
/storage/sqlite/reader-1
/storage/sqlite/reader-2
/modules
/session_managers
/session_managers/ends
/session_managers/finishing
/session_managers/writes
/session_managers/writers
/session_managers/writers/N
/session_managers/N
/memory
/c2s
/c2s/connections
/c2s/listeners
/c2s/listeners/starttls-1
/c2s/listeners/tls-2
/certificates
/tickets
/http
/http/connections
/http/door-1
/admin
/admin/connections
/admin/door-1";

#[test]
fn the_stop_is_the_start_in_reverse() {
    block_on(async {
        let node = TestNode::with("modules.last.enabled = false", |_| ()).await;
        let mut pids = node.node.system().pids();
        // numbers are given in the order of the start
        pids.sort_by_key(supervision::Local::id);
        let started: Vec<String> = pids.iter().filter_map(|p| known(p.path())).collect();
        assert_eq!(started.join("\n"), ORDER);
        let ended: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&ended);
        assert!(node.node.system().observe(move |change| {
            if let Change::Ended(pid, _) = change {
                log.lock().extend(known(pid.path()));
            }
        }));
        node.stop().await;
        // a supervisor ends after its children and starts before them: what counts is whoever has none
        let parent = |path: &String| {
            ORDER.lines().any(|l| l.starts_with(&format!("{}/", path.trim_end_matches('/'))))
        };
        let leaves = |paths: &[String]| -> Vec<String> {
            paths.iter().filter(|p| !parent(p)).cloned().collect()
        };
        let mut expected = leaves(&started);
        expected.reverse();
        assert_eq!(leaves(&ended.lock()), expected);
        assert_eq!(ended.lock().last().map(String::as_str), Some("/"));
    });
}

#[test]
fn the_transcript_of_the_documents_has_all_of_the_tree() {
    let page = read("docs/clients.md");
    let listed = page.split("$ mangrove ps\n").nth(1).and_then(|rest| rest.split("```").next());
    let paths = listed.unwrap().lines().filter_map(|l| l.split(' ').find(|w| w.starts_with('/')));
    // what was connected and what a node without options has not is by the way
    let lasting = paths.filter(|path| !path.contains('#') && !path.starts_with("/modules/"));
    let listed: Vec<String> = lasting.filter_map(known).collect();
    assert_eq!(listed.join("\n"), ORDER.trim_end());
}

#[test]
fn several_nodes_live_side_by_side() {
    block_on(async {
        let (one, two) = (TestNode::start("").await, TestNode::start("").await);
        assert_ne!(one.c2s(), two.c2s());
        one.account("a@localhost", "pw").await;
        assert_eq!(two.node.env().stores.accounts.is_empty().await, Ok(true));
        one.stop().await;
        assert_eq!(two.node.ready().await, Ok(()));
        two.stop().await;
    });
}

#[test]
fn a_listener_that_ends_is_started_again_on_the_same_address() {
    block_on(async {
        let node = TestNode::start("").await;
        let listener = || {
            let pids = node.node.system().pids();
            pids.into_iter().find(|p| p.path().ends_with("/starttls-1"))
        };
        let (before, address) = (listener().unwrap(), node.c2s());
        before.kill();
        before.wait().await;
        crate::support::until("there is a new one", || listener().is_some()).await;
        assert_ne!(listener().unwrap().id(), before.id());
        crate::support::until("it is up", || {
            listener().is_some_and(|p| p.status().is_some_and(|s| *s == *address.to_string()))
        })
        .await;
        tokio::net::TcpStream::connect(address).await.unwrap();
        node.stop().await;
    });
}

#[test]
fn a_signal_that_is_not_its_parent_s_ends_no_process_that_traps_exits() {
    block_on(async {
        let node = TestNode::start("").await;
        let pids = node.node.system().pids();
        // a supervisor takes one without a sender as its parent's: that is how a root is stopped
        let all: Vec<_> =
            pids.iter().filter(|p| p.traps_exits() && p.kind() != "supervisor").collect();
        assert!(all.iter().any(|p| p.path().starts_with("/http/door")), "{all:?}");
        for pid in all {
            let before = pid.handled();
            pid.exit(Exit::error("somebody else's"));
            let heard = || pid.handled() > before || !pid.is_alive();
            crate::support::until("it has heard", heard).await;
            assert!(pid.is_alive(), "{pid:?}");
        }
        assert_eq!(node.node.ready().await, Ok(()));
        node.stop().await;
    });
}

config::section! {
    /// Nothing to configure.
    pub struct NoConfig {}
}

/// Measures what the node does: the first counts it, of the second it is looked up.
struct Measuring<const N: usize>(Histogram, Counter);

const MEASURED: [(&str, &str, Option<Unit>); 2] =
    [("resume", "wait", Some(Unit::Seconds)), ("throttle", "entries", None)];

impl<const N: usize> Module for Measuring<N> {
    const NAME: &'static str = MEASURED[N].0;
    const XEPS: &'static [Xep] = &[];
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self(Histogram::new([1.0]), Counter::default())
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let (_, name, unit) = &MEASURED[N];
        on.histogram(name, "What the node measures too", unit.clone(), |m| &m.0).counter(
            "own",
            "What it does not",
            |m| &m.1,
        );
    }
}

#[test]
fn a_node_does_not_start_with_two_metrics_of_one_name() {
    async fn why<const N: usize>() -> String {
        let data = tempfile::tempdir().unwrap();
        let options = format!("server.data = {:?}\n{CONFIG}", data.path());
        let mut setup = Setup::of(config::load(&options, "test.toml", [], &[])).unwrap();
        setup.modules.add_with::<Measuring<N>>(NoConfig {});
        Node::start(setup).await.unwrap_err().to_string()
    }
    block_on(async {
        assert_eq!(why::<0>().await, "two metrics have the name mangrove_resume_wait_seconds");
        assert_eq!(why::<1>().await, "two metrics have the name mangrove_throttle_entries");
    });
}
