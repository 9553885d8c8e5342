//! Three nodes under many seeds: connections are lost and made anew, frames are late, processes are killed, and whatever the order is,
//! what is promised holds:
//!
//! - what one process sends another arrives in the order of sending, and all of it, unless the connection was lost in between;
//! - of every monitor there is one `Down`, of every link one exit signal, of every request one answer;
//! - when the nodes are connected and nothing is on its way, each has the same members of a group, and heard of each.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use supervision::{
    CallError, Cx, Event, Exit, GroupEvent, Id, InitError, Monitor, Node, NodeEvent, Process, Ref,
    Remote, Reply, System,
    schedule::Schedule,
    testkit::{self, Network},
};
use tokio::time::sleep;

/// What a worker is told to do, or by another.
#[derive(Debug, Serialize, Deserialize)]
enum Msg {
    /// Say the next number to that one.
    Say(Id),
    Said(Id, u64),
    Monitor(Id),
    /// The oldest monitor.
    Demonitor,
    Link(Id),
    Unlink(Id),
    Ask(Id),
    Asked(u64, Reply<u64>),
    Answered(u64, Option<u64>),
    Join,
    Leave,
    Group(Id, bool),
    Node(String),
}

impl Remote for Msg {
    const TAG: &'static str = "test.msg";
}

#[derive(Clone, Copy, Debug, Default)]
struct Linked {
    now: bool,
    /// Exit signals that may have waited when it took the link back.
    stale: u32,
}

/// What it knows, for the end.
#[derive(Default)]
struct Known {
    monitors: BTreeMap<u64, (Monitor, Id)>,
    links: BTreeMap<Id, Linked>,
    asked: BTreeSet<u64>,
    group: BTreeSet<Id>,
}

struct Worker {
    known: Arc<Mutex<Known>>,
    /// The last number that it said to each.
    said: BTreeMap<Id, u64>,
    /// The last that it heard of each; `None`: some may have been lost since.
    heard: BTreeMap<Id, Option<u64>>,
    /// Those whose end it knows.
    dead: BTreeSet<Id>,
    kept: Vec<Reply<u64>>,
    next: u64,
}

impl Process for Worker {
    type Args = Arc<Mutex<Known>>;
    type Msg = Msg;
    const NAME: &'static str = "worker";
    const INBOX: usize = 100_000;

    async fn init(known: Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.monitor_nodes(|event| match event {
            NodeEvent::Up { .. } => Msg::Node(String::new()),
            NodeEvent::Down { node, .. } => Msg::Node(node.to_string()),
        });
        let (_, members) = cx.monitor_group("g", |event| match event {
            GroupEvent::Join { pid, .. } => Msg::Group(pid.id(), true),
            GroupEvent::Leave { pid, .. } => Msg::Group(pid.id(), false),
        });
        known.lock().group = members.iter().map(supervision::Pid::id).collect();
        let (said, heard, dead, kept) = Default::default();
        Ok(Self { known, said, heard, dead, kept, next: 0 })
    }

    async fn run(&mut self, cx: &mut Cx<Msg>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(msg) => self.does(msg, cx),
                Event::Down { monitor, pid, reason } => {
                    let mut known = self.known.lock();
                    let of = known.monitors.iter().find(|(_, (of, _))| *of == monitor);
                    let number = *of.unwrap_or_else(|| fail("a second Down")).0;
                    known.monitors.remove(&number);
                    // a process that was there said all that it said before
                    if reason == Exit::Killed {
                        self.dead.insert(pid.id());
                    }
                }
                Event::Exit { from, .. } => {
                    let mut known = self.known.lock();
                    let link = known.links.entry(from.id()).or_default();
                    match link.now {
                        true => link.now = false,
                        false if link.stale > 0 => link.stale -= 1,
                        // the other's link
                        false if links(from.id(), cx.pid().id()) => {}
                        false => fail("an exit signal without a link"),
                    }
                }
            }
        }
    }
}

#[track_caller]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

impl Worker {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn does(&mut self, msg: Msg, cx: &mut Cx<Msg>) {
        let (me, system) = (cx.pid().id(), cx.system().clone());
        match msg {
            Msg::Say(to) => {
                let said = self.said.entry(to).or_default();
                if system.far(system.pid(to)).cast(Msg::Said(me, *said + 1)).is_ok() {
                    *said += 1;
                }
            }
            Msg::Said(from, number) => {
                assert!(!self.dead.contains(&from), "{from:?} spoke after its end");
                if let Some(Some(last)) = self.heard.insert(from, Some(number)) {
                    assert_eq!(last + 1, number, "of {from:?}");
                }
            }
            Msg::Monitor(whom) => {
                let number = self.number();
                let mut known = self.known.lock();
                known.monitors.insert(number, (cx.monitor(system.pid(whom)), whom));
            }
            Msg::Demonitor => {
                let first = self.known.lock().monitors.pop_first();
                if let Some((_, (monitor, _))) = first {
                    cx.demonitor_flush(monitor);
                }
            }
            Msg::Link(whom) => {
                let mut known = self.known.lock();
                let link = known.links.entry(whom).or_default();
                // its end may wait, and the next link has one of its own
                *link = Linked { now: true, stale: link.stale + u32::from(link.now) };
                drop(known);
                cx.link(system.pid(whom));
            }
            Msg::Unlink(whom) => {
                cx.pid().unlink(system.pid(whom));
                if let Some(link) = self.known.lock().links.get_mut(&whom).filter(|link| link.now) {
                    *link = Linked { now: false, stale: link.stale + 1 };
                }
            }
            Msg::Ask(whom) => {
                let number = self.number();
                self.known.lock().asked.insert(number);
                let ask = |reply| Msg::Asked(number, reply);
                let answer =
                    move |answer: Result<u64, CallError>| Msg::Answered(number, answer.ok());
                system.far(system.pid(whom)).send_request(cx.me(), ask, answer);
            }
            Msg::Asked(number, reply) => match number % 3 {
                0 => reply.send(number),
                1 => drop(reply),
                _ => self.kept.push(reply),
            },
            Msg::Answered(number, answer) => {
                assert!(self.known.lock().asked.remove(&number), "a second answer");
                assert!(answer.is_none_or(|answer| answer == number));
            }
            Msg::Join => system.join("g", cx.pid()),
            Msg::Leave => system.leave_group("g", cx.pid()),
            Msg::Group(id, joins) => {
                let group = &mut self.known.lock().group;
                assert!(if joins { group.insert(id) } else { group.remove(&id) }, "{id:?}");
            }
            Msg::Node(lost) => {
                for (from, heard) in &mut self.heard {
                    if *from.node.name() == *lost {
                        *heard = None;
                    }
                }
            }
        }
    }
}

/// Those with even numbers link themselves to the others.
fn links(one: Id, other: Id) -> bool {
    one.number.is_multiple_of(2) && !other.number.is_multiple_of(2)
}

struct One {
    me: Ref<Msg>,
    known: Arc<Mutex<Known>>,
}

struct All {
    schedule: Schedule,
    network: Network,
    nodes: Vec<System>,
    workers: Vec<One>,
}

impl All {
    async fn new(schedule: Schedule, count: usize) -> Self {
        let network = Network::new(&schedule).credit(30);
        let mut all = Self { network, schedule, nodes: Vec::new(), workers: Vec::new() };
        for name in ["a@seeds", "b@seeds", "c@seeds", "d@seeds"].into_iter().take(count) {
            let node = Node::new(name).unwrap();
            let system = System::scheduled_on(node, name, all.schedule.clone());
            system.accept::<Msg>();
            all.nodes.push(system);
            for _ in 0..2 {
                all.start(all.nodes.len() - 1).await;
            }
        }
        all
    }

    fn below(&self, n: usize) -> usize {
        usize::try_from(self.schedule.below(n as u64)).unwrap()
    }

    async fn start(&mut self, node: usize) {
        let known: Arc<Mutex<Known>> = Arc::default();
        let me = self.nodes[node].spawn::<Worker>("/worker", Arc::clone(&known)).await.unwrap();
        self.workers.push(One { me, known });
    }

    /// Two nodes.
    fn pair(&self) -> (usize, usize) {
        let one = self.below(self.nodes.len());
        (one, (one + 1 + self.below(self.nodes.len() - 1)) % self.nodes.len())
    }

    fn connect_all(&self) -> bool {
        let mut connected = true;
        for (n, one) in self.nodes.iter().enumerate() {
            for other in &self.nodes[n + 1..] {
                if !self.network.is_connected(one.node(), other.node()) {
                    connected &= self.network.connect(one, other).is_ok();
                }
            }
        }
        connected
    }

    fn cut_all(&self) {
        for (n, one) in self.nodes.iter().enumerate() {
            for other in &self.nodes[n + 1..] {
                self.network.cut(one.node(), other.node());
            }
        }
    }

    fn living(&self) -> Vec<&One> {
        self.workers.iter().filter(|worker| worker.me.pid().is_alive()).collect()
    }

    /// Something that one does with one of another node.
    fn something(&self) {
        let living = self.living();
        let one = living[self.below(living.len())];
        // some have ended
        let other = self.workers[self.below(self.workers.len())].me.pid().id();
        let me = one.me.pid().id();
        if other.node == me.node {
            return;
        }
        let msg = match self.below(12) {
            0 => Msg::Monitor(other),
            1 => Msg::Demonitor,
            2 | 3 if links(me, other) => Msg::Link(other),
            4 if links(me, other) => Msg::Unlink(other),
            5 => Msg::Ask(other),
            6 => Msg::Join,
            7 => Msg::Leave,
            _ => Msg::Say(other),
        };
        one.me.cast(msg).unwrap();
    }

    async fn step(&mut self) {
        let (one, other) = self.pair();
        let (a, b) = (self.nodes[one].node(), self.nodes[other].node());
        match self.below(60) {
            0 => self.network.cut(a, b),
            1 | 2 => drop(self.connect_all()),
            3 if self.living().len() > 3 => {
                let living = self.living();
                living[self.below(living.len())].me.pid().kill();
            }
            4 if self.workers.len() < 12 => self.start(one).await,
            5 => self.network.hold(a, b, true),
            6 | 7 => self.network.hold(a, b, false),
            8..20 => sleep(Duration::from_millis(self.schedule.below(30))).await,
            _ => self.something(),
        }
    }

    /// Nothing is on its way any more.
    async fn settle(&self) {
        for one in &self.nodes {
            for other in &self.nodes {
                if one.node() != other.node() {
                    self.network.hold(one.node(), other.node(), false);
                }
            }
        }
        sleep(Duration::from_secs(60)).await;
    }

    fn members(&self) -> BTreeSet<Id> {
        let here = |system: &System| {
            let members = system.group("g").into_iter().filter(|pid| pid.local().is_some());
            members.map(|pid| pid.id()).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(here).collect()
    }

    /// A worker that asserts ends itself.
    fn nobody_has_failed(&self) {
        for node in &self.nodes {
            let crashes = node.crashes().list();
            if let Some(report) = crashes.iter().find(|report| report.reason != "killed") {
                fail(&format!("{} of {node:?}: {}", report.path, report.reason));
            }
        }
    }
}

async fn chaos(schedule: Schedule, nodes: usize) {
    let mut all = All::new(schedule, nodes).await;
    all.connect_all();
    for _ in 0..300 {
        all.step().await;
    }
    all.settle().await;
    while !all.connect_all() {
        sleep(Duration::from_millis(10)).await;
    }
    all.settle().await;
    all.nobody_has_failed();
    let members = all.members();
    for node in &all.nodes {
        let group: BTreeSet<Id> = node.group("g").iter().map(supervision::Pid::id).collect();
        assert_eq!(group, members, "on {node:?}");
    }
    for worker in all.living() {
        assert_eq!(worker.known.lock().group, members);
    }
    all.cut_all();
    all.settle().await;
    all.nobody_has_failed();
    for worker in all.living() {
        let known = worker.known.lock();
        assert!(known.monitors.is_empty(), "no Down of {:?}", known.monitors);
        assert!(known.asked.is_empty(), "no answer to {:?}", known.asked);
        let linked: Vec<_> = known.links.iter().filter(|(_, link)| link.now).collect();
        assert!(linked.is_empty(), "no exit signal of {linked:?}");
        assert!(worker.me.pid().links(9).is_empty() && worker.me.pid().watching() == 0);
    }
}

fn run(schedule: Schedule, nodes: usize) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(chaos(schedule, nodes));
}

#[test]
fn what_is_promised_between_nodes_holds_under_every_seed() {
    testkit::every_seed(0..150, |schedule| {
        let nodes = 2 + usize::try_from(schedule.seed() % 3).unwrap();
        run(schedule, nodes);
    });
}

/// The same seed is the same run.
#[test]
fn a_seed_is_one_run() {
    let runs = [(); 2].map(|()| {
        let schedule = Schedule::new(5);
        run(schedule.clone(), 3);
        (schedule.steps(), schedule.digest())
    });
    assert_eq!(runs[0], runs[1]);
}
