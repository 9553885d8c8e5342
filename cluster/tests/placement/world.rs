//! The nodes, what is between them, and what must hold at every moment.

use crate::{
    counter::{Answer, Ask, Counter, Here},
    store::Store,
};
use cluster::{
    BoxFuture, Entry, Leases, Member, MemoryRegistry, Net, PlaceError, Placement, RegistryError,
    Start, View,
    members::{Events, Membership, Parts, Roll, Terms},
    placement::{Leaving, Spec, rank},
};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use supervision::{
    Node, SupervisorRef, SupervisorSpec, System, Task, schedule::Schedule, sys, testkit::Network,
};
use tokio::time::{Instant, sleep};

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The wall clock of all nodes, in ms.
pub fn wall() -> u64 {
    let began = BEGAN.get().unwrap_or_else(Instant::now);
    1_000_000 + began.elapsed().as_millis() as u64
}

/// What happened, over all seeds.
pub static SEEN: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

static SHOWN: LazyLock<bool> = LazyLock::new(|| env::var_os("SHOW").is_some());

pub fn saw(what: &'static str) {
    notes(|| what.to_owned());
    *SEEN.lock().entry(what).or_default() += 1;
}

pub fn notes(what: impl FnOnce() -> String) {
    if *SHOWN {
        println!("{:>7} {}", wall() - 1_000_000, what());
    }
}

/// As late as the schedule may have one be that is told.
pub const LATE: Duration = Duration::from_millis(100);

pub fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// One start of a node.
pub struct Life {
    pub node: Node,
    pub system: System,
    pub view: Arc<View>,
    pub placement: Placement<Counter>,
    pub root: Mutex<Option<SupervisorRef>>,
    stopped: AtomicBool,
    over: AtomicBool,
}

/// A process of a key.
struct Seated {
    key: String,
    life: Arc<Life>,
    /// Which start of the node it is of: one that begins anew acts with nothing that it had.
    start: Start,
}

impl Seated {
    fn acts(&self) -> bool {
        self.life.acts() && self.life.view.me() == self.start
    }
}

struct Inner {
    schedule: Schedule,
    network: Network,
    registry: Arc<MemoryRegistry>,
    store: Arc<Store>,
    spec: Spec,
    lives: Mutex<BTreeMap<Node, Arc<Life>>>,
    cuts: Mutex<BTreeSet<(Node, Node)>>,
    /// Those that do not reach the authority.
    away: Mutex<BTreeSet<Node>>,
    /// Each that there is a process of.
    seats: Mutex<BTreeMap<u64, Seated>>,
    next: AtomicU64,
    open: AtomicBool,
}

#[derive(Clone)]
pub struct World(Arc<Inner>);

/// Runs a test in a world of its own.
pub fn run<F: Future<Output = ()>>(schedule: Schedule, spec: Spec, test: impl FnOnce(World) -> F) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        BEGAN.set(Some(Instant::now()));
        let world = World(Arc::new(Inner {
            network: Network::new(&schedule),
            registry: Arc::default(),
            store: Store::new(&schedule),
            schedule,
            spec,
            lives: Mutex::default(),
            cuts: Mutex::default(),
            away: Mutex::default(),
            seats: Mutex::default(),
            next: AtomicU64::new(1),
            open: AtomicBool::new(true),
        }));
        test(world.clone()).await;
        let wrong = std::mem::take(&mut *world.0.store.wrong.lock());
        let restarts: Vec<_> = world
            .lives()
            .iter()
            .filter(|life| life.system.restarts() > 0)
            .map(|l| l.node)
            .collect();
        world.ends();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(restarts.is_empty(), "a process of {restarts:?} crashed");
    });
}

impl World {
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.0.store)
    }

    pub fn schedule(&self) -> Schedule {
        self.0.schedule.clone()
    }

    pub fn below(&self, n: u64) -> u64 {
        self.0.schedule.below(n)
    }

    pub fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Relaxed)
    }

    pub fn lives(&self) -> Vec<Arc<Life>> {
        self.0.lives.lock().values().cloned().collect()
    }

    pub fn life(&self, node: Node) -> Option<Arc<Life>> {
        self.0.lives.lock().get(&node).cloned()
    }

    /// A process of a key is there: its number.
    pub fn seated(&self, key: &str, node: Node) -> u64 {
        let number = self.number();
        if let Some(life) = self.life(node) {
            let seat = Seated { key: key.to_owned(), start: life.view.me(), life };
            self.0.seats.lock().insert(number, seat);
        }
        number
    }

    /// It does something: no other may.
    pub fn acts(&self, key: &str, number: u64) {
        let seats = self.0.seats.lock();
        let Some(mine) = seats.get(&number).filter(|mine| mine.acts()) else { return };
        let other = |(n, of): &(&u64, &Seated)| **n != number && of.key == key && of.acts();
        for (_, other) in seats.iter().filter(other) {
            let (mine, other) = (mine.start, other.start);
            let at = wall() - 1_000_000;
            self.0.store.is_wrong(format!("{mine:?} and {other:?} act with {key} at {at}"));
        }
    }

    pub fn unseated(&self, number: u64) {
        let seat = self.0.seats.lock().remove(&number);
        drop(seat);
    }

    pub fn left(&self, why: &Leaving) {
        saw(match why {
            Leaving::Idle => "left: idle",
            Leaving::Moves(_) => "left: moves",
            Leaving::Lease => "left: the lease",
            Leaving::Stops => "left: stops",
        });
    }

    pub async fn start(&self, name: &str) -> Arc<Life> {
        let node = Node::new(name).unwrap();
        let system = System::scheduled_on(node, name, self.0.schedule.clone());
        let view = Arc::new(View::new(Start { node, incarnation: wall() }));
        let net = Net::new(&system);
        let membership = Membership::new(Parts {
            view: Arc::clone(&view),
            leases: Arc::new(Authority { node, world: self.clone() }),
            exchange: net.exchange("asked"),
            events: Arc::new(Heard(Arc::clone(&view))),
            terms: Terms::default(),
            clock: wall,
        });
        let here = Here { node, world: self.clone() };
        let placement =
            Placement::new(&system, Some(&view), self.store(), here, self.0.spec).unwrap();
        let tree = SupervisorSpec::one_for_one()
            .child(Net::answering("asked", Arc::new(Arc::clone(&membership))))
            .child(membership.child())
            .child(placement.child());
        let (root, stopped, over) = Default::default();
        let life = Arc::new(Life { node, system, view, placement, root, stopped, over });
        self.0.lives.lock().insert(node, Arc::clone(&life));
        self.connects();
        let root = life.system.start(tree).await.unwrap();
        *life.root.lock() = Some(root);
        life
    }

    pub async fn start_all<const N: usize>(&self, names: [&str; N]) -> [Arc<Life>; N] {
        let mut lives = Vec::new();
        for name in names {
            lives.push(self.start(name).await);
        }
        // all know all, and have been in touch with the authority for long enough to have one declared dead
        self.sleeps(s(15)).await;
        assert!(lives.iter().all(|life| life.view.others().len() == N - 1));
        lives.try_into().unwrap_or_else(|_| unreachable!())
    }

    /// Connects what is not connected and may be; from now on each second.
    pub fn connects(&self) {
        let lives = self.lives();
        for (n, a) in lives.iter().enumerate() {
            for b in lives.iter().skip(n + 1) {
                let may = !self.0.cuts.lock().contains(&pair(a.node, b.node));
                if may && !self.0.network.is_connected(a.node, b.node) {
                    // one that has not heard that it is lost is asked again
                    let _later = self.0.network.connect(&a.system, &b.system);
                }
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.0.open.load(Relaxed)
    }

    pub fn closes(&self) {
        self.0.open.store(false, Relaxed);
    }

    pub fn cut(&self, one: Node, other: Node) {
        self.0.cuts.lock().insert(pair(one, other));
        self.0.network.cut(one, other);
    }

    pub fn heal(&self, one: Node, other: Node) {
        self.0.cuts.lock().remove(&pair(one, other));
        self.connects();
    }

    /// What goes between them waits.
    pub fn hold(&self, one: Node, other: Node, held: bool) {
        self.0.network.hold(one, other, held);
        self.0.network.hold(other, one, held);
    }

    /// Whether a node reaches the authority.
    pub fn reaches(&self, node: Node, does: bool) {
        let mut away = self.0.away.lock();
        if does {
            away.remove(&node)
        } else {
            away.insert(node)
        };
    }

    /// Cuts a node off from all others and from the authority, or not any more.
    pub fn alone(&self, node: Node, is: bool) {
        self.reaches(node, !is);
        for other in self.lives().iter().filter(|other| other.node != node) {
            if is {
                self.cut(node, other.node);
            } else {
                self.heal(node, other.node);
            };
        }
    }

    pub fn kill(&self, node: Node) {
        let Some(life) = self.0.lives.lock().remove(&node) else { return };
        life.over.store(true, Relaxed);
        for other in self.lives() {
            self.0.network.cut(node, other.node);
        }
        life.kill();
    }

    fn ends(&self) {
        for life in std::mem::take(&mut *self.0.lives.lock()).into_values() {
            life.over.store(true, Relaxed);
            life.kill();
        }
    }

    /// Until that is so.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + s(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            self.connects();
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn sleeps(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.connects();
            sleep(Duration::from_millis(500).min(end - Instant::now())).await;
        }
    }
}

fn pair(one: Node, other: Node) -> (Node, Node) {
    (one.min(other), one.max(other))
}

impl Life {
    /// Whether what is there may do something.
    pub fn acts(&self) -> bool {
        !self.over.load(Relaxed) && !self.stopped.load(Relaxed) && self.view.may_act()
    }

    fn kill(&self) {
        for pid in self.system.pids() {
            sys::resume(&pid);
            pid.kill();
        }
    }

    /// As by SIGSTOP and SIGCONT.
    pub fn is_stopped(&self, stopped: bool) {
        if self.over.load(Relaxed) {
            return;
        }
        self.stopped.store(stopped, Relaxed);
        let hold = if stopped { sys::suspend } else { sys::resume };
        self.system.pids().iter().for_each(hold);
    }

    pub async fn asks(&self, key: &str, ask: Ask, deadline: u64) -> Result<Answer, PlaceError> {
        let placement = self.placement.clone();
        let began = Instant::now();
        let answer = placement.call(key, ask, s(deadline)).await;
        assert!(began.elapsed() <= s(deadline) + LATE, "a deadline");
        answer
    }

    pub async fn adds(&self, world: &World, key: &str) -> Answer {
        self.asks(key, Ask::Add(world.number()), 20).await.unwrap()
    }

    pub fn keys(&self) -> usize {
        self.placement.info().keys
    }
}

/// Keys that are that node's, of those.
pub fn keys_of(node: Node, nodes: &[Node]) -> impl Iterator<Item = String> {
    let keys = (0..1000).map(|n| format!("key{n}"));
    keys.filter(move |key| rank::owner(key, nodes.iter().copied()) == Some(node))
}

/// The authority, as a node reaches it.
struct Authority {
    node: Node,
    world: World,
}

impl Authority {
    async fn reached(&self) -> Result<(), RegistryError> {
        sleep(Duration::from_millis(self.world.below(5))).await;
        match self.world.0.away.lock().contains(&self.node) {
            true => Err(RegistryError::Unavailable { retry_after: s(1) }),
            false => Ok(()),
        }
    }
}

impl Leases for Authority {
    fn renew<'a>(
        &'a self,
        me: &'a Member,
        term: Duration,
    ) -> BoxFuture<'a, Result<Roll, RegistryError>> {
        Box::pin(async move {
            self.reached().await?;
            self.world.0.registry.renew(me, term).await
        })
    }

    fn leave<'a>(&'a self, me: &'a Member) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move {
            self.reached().await?;
            self.world.0.registry.leave(me).await
        })
    }

    fn reap(&self, node: Node, incarnation: u64) -> BoxFuture<'_, Result<bool, RegistryError>> {
        Box::pin(async move {
            self.reached().await?;
            self.world.0.registry.reap(node, incarnation).await
        })
    }

    fn sweep(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        Box::pin(async move {
            self.reached().await?;
            self.world.0.registry.sweep(node, incarnation, limit).await
        })
    }
}

struct Heard(Arc<View>);

impl Events for Heard {
    fn describe(&self, _: &mut Member) {}
    fn up(&self, _: &Member) {}
    fn dead(&self, start: Start) {
        saw("a node taken for dead");
        notes(|| format!("{} takes {start:?} for dead", self.0.me().node));
    }
    fn gone(&self, _: Vec<Entry>) {}
    fn swept(&self, _: Start) {}
    fn emptied(&self, _: u64) {}
    fn begins_anew(&self) {
        saw("a node begins anew");
        self.0.is_ready(true);
    }
    fn replaced(&self) {}
}

/// A task beside the nodes.
pub fn beside(life: &Life, path: &str, work: impl Future<Output = ()> + Send + 'static) {
    Task::alone(&life.system, path, work);
}
