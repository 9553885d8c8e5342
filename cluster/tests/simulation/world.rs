//! All nodes, what is between them, and what goes wrong: drawn from one seed.

use crate::{
    app::USERS,
    authority::{Authority, Mode},
    ledger::Ledger,
    life::{LIMIT, Life},
    net::Net,
    seen::{begins, notes, saw},
};
use cluster::{Leases, Start};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use supervision::{Node, Task, schedule::Schedule};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

type Action = Box<dyn FnOnce(&World) + Send>;

pub struct Inner {
    pub schedule: Schedule,
    pub authority: Arc<Authority>,
    pub net: Net,
    pub ledger: Mutex<Ledger>,
    pub wakes: Notify,
    /// No failover that loses something was or will be.
    pub calm: AtomicBool,
    nodes: Vec<Node>,
    lives: Mutex<BTreeMap<Node, Arc<Life>>>,
    agenda: Mutex<BTreeMap<(Instant, u64), Action>>,
    number: AtomicU64,
    open: AtomicBool,
    end: Instant,
    /// Which kinds of faults there are in this run: some do not show where others are.
    kinds: u64,
}

#[derive(Clone)]
pub struct World(pub Arc<Inner>);

/// How one run goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub nodes: usize,
    pub faults: Duration,
    /// Only the authority is away.
    pub authority_alone: bool,
}

fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

impl World {
    pub fn new(schedule: Schedule, plan: Plan) -> Self {
        begins();
        let kinds = schedule.below(1 << KINDS) | 1 << schedule.below(KINDS);
        let name = |n| Node::new(&format!("sim{n}")).expect("a name");
        Self(Arc::new(Inner {
            schedule,
            authority: Arc::default(),
            net: Net::default(),
            ledger: Mutex::default(),
            wakes: Notify::new(),
            calm: AtomicBool::new(true),
            nodes: (0..plan.nodes).map(name).collect(),
            lives: Mutex::default(),
            agenda: Mutex::default(),
            number: AtomicU64::new(0),
            open: AtomicBool::new(true),
            end: Instant::now() + plan.faults,
            kinds,
        }))
    }

    pub fn below(&self, n: u64) -> u64 {
        self.0.schedule.below(n)
    }

    /// Whether clients still send.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }

    pub fn lives(&self) -> Vec<Arc<Life>> {
        self.0.lives.lock().values().cloned().collect()
    }

    pub fn life(&self, node: Node) -> Option<Arc<Life>> {
        self.0.lives.lock().get(&node).cloned()
    }

    pub fn at(&self, after: Duration, action: impl FnOnce(&Self) + Send + 'static) {
        let number = self.0.number.fetch_add(1, Ordering::Relaxed);
        let key = (Instant::now() + after, number);
        self.0.agenda.lock().insert(key, Box::new(action));
        self.0.wakes.notify_one();
    }

    /// What must hold at every moment.
    pub fn check(&self) {
        let mut acting: BTreeMap<u64, Start> = BTreeMap::new();
        let mut ledger = self.0.ledger.lock();
        for life in self.lives() {
            let me = life.me();
            if !life.view.may_act() {
                continue;
            }
            if ledger.declared.contains(&me) {
                ledger.is_wrong(format!("{me:?} was declared dead and acts"));
            }
            let Some(app) = life.app.try_lock() else { continue };
            for mine in app.sessions.values() {
                if let Some(other) = acting.insert(mine.lineage, me) {
                    ledger.is_wrong(format!("{other:?} and {me:?} act with one session"));
                }
            }
        }
    }

    fn starts(&self, node: Node) {
        let mut lives = self.0.lives.lock();
        lives.entry(node).or_insert_with(|| Life::start(self, node));
    }

    fn kills(&self, node: Node) {
        let life = self.0.lives.lock().remove(&node);
        life.into_iter().for_each(|life| life.is_killed());
    }

    /// Runs what is on the agenda until then.
    async fn until(&self, end: Instant) -> Result<(), String> {
        while Instant::now() < end {
            let due = loop {
                let mut agenda = self.0.agenda.lock();
                match agenda.first_entry() {
                    Some(first) if first.key().0 <= Instant::now() => {
                        let action = first.remove();
                        drop(agenda);
                        action(self);
                    }
                    first => break first.map(|first| first.key().0),
                }
            };
            let arrives = self.0.net.delivers();
            self.check();
            if let Some(why) = self.0.ledger.lock().wrong.clone() {
                return Err(why);
            }
            let next = due.into_iter().chain(arrives).chain([end]).min().unwrap_or(end);
            let _woken = timeout_at(next, self.0.wakes.notified()).await;
        }
        Ok(())
    }

    /// One run: faults, then none, then all has to be well within a while.
    pub async fn run(&self, plan: Plan) -> Result<(), String> {
        for node in self.0.nodes.clone() {
            self.at(Duration::from_millis(self.below(2000)), move |world| world.starts(node));
        }
        beats(self);
        clients(self);
        if plan.authority_alone {
            self.until(Instant::now() + s(20)).await?;
            return self.authority_alone(plan).await;
        }
        faults(self);
        self.until(self.0.end).await?;
        self.heals();
        self.at(s(5), |world| world.0.open.store(false, Ordering::Relaxed));
        // who was to be started again is by now
        self.until(Instant::now() + s(55)).await?;
        let mut wrong = Ok(());
        for _ in 0..60 {
            wrong = self.is_well().await;
            if wrong.is_ok() {
                break;
            }
            self.until(Instant::now() + s(1)).await?;
        }
        if wrong.is_err() {
            let memory = self.0.authority.memory();
            notes(|| format!("{:?} {:?}", memory.is_complete(), memory.records()));
            for life in self.lives() {
                notes(|| format!("{:?} {:?}", life.me(), life.app.lock()));
            }
        }
        wrong
    }

    /// What it costs when nothing goes wrong: operations of the registry and messages, in so many seconds, by name.
    pub async fn idles(&self, seconds: u64) -> Result<BTreeMap<&'static str, u64>, String> {
        for node in self.0.nodes.clone() {
            self.at(Duration::from_millis(self.below(2000)), move |world| world.starts(node));
        }
        beats(self);
        self.0.open.store(false, Ordering::Relaxed);
        self.until(Instant::now() + s(30)).await?;
        let met = self.0.net.parcels.lock().get("question").copied().unwrap_or_default();
        self.0.authority.count.lock().clear();
        self.0.net.parcels.lock().clear();
        self.until(Instant::now() + s(seconds)).await?;
        self.all_act()?;
        let mut all = self.0.authority.count.lock().clone();
        all.extend(self.0.net.parcels.lock().iter());
        all.insert("introductions", met);
        Ok(all)
    }

    /// Nobody stops for that.
    async fn authority_alone(&self, plan: Plan) -> Result<(), String> {
        let end = Instant::now() + plan.faults;
        while Instant::now() < end {
            let away = s(1 + self.below(120));
            *self.0.authority.mode.lock() =
                if self.below(2) == 0 { Mode::Fails } else { Mode::Hangs };
            saw("the authority alone away");
            let until = Instant::now() + away;
            while Instant::now() < until {
                self.until(Instant::now() + Duration::from_millis(250)).await?;
                self.all_act()?;
            }
            *self.0.authority.mode.lock() = Mode::Up;
            match self.below(4) {
                0 => self.empties(),
                1 => self.fails_over(Duration::ZERO),
                _ => {}
            }
            let until = Instant::now() + s(self.below(30));
            while Instant::now() < until {
                self.until(Instant::now() + Duration::from_millis(250)).await?;
                self.all_act()?;
            }
        }
        self.0.open.store(false, Ordering::Relaxed);
        self.until(Instant::now() + s(30)).await?;
        self.is_well().await
    }

    fn all_act(&self) -> Result<(), String> {
        let stopped = self.lives().into_iter().find(|life| !life.view.may_act());
        stopped.map_or(Ok(()), |life| Err(format!("{:?} does not act", life.me())))
    }

    fn heals(&self) {
        *self.0.authority.mode.lock() = Mode::Up;
        self.0.authority.cut.lock().clear();
        self.0.net.cuts.lock().clear();
        self.0.net.full.lock().clear();
        self.lives().iter().for_each(|life| life.is_stopped(false));
        self.0.nodes.clone().into_iter().for_each(|node| self.starts(node));
        self.0.wakes.notify_one();
    }

    fn empties(&self) {
        saw("emptied");
        self.0.authority.memory().empty();
    }

    fn fails_over(&self, lag: Duration) {
        saw("failed over");
        let copy = self.0.authority.memory().copy();
        self.at(lag, |world| {
            world.0.authority.fails_over(copy, world.0.nodes.iter().copied());
        });
    }

    /// What must hold when all has been in order for a while.
    async fn is_well(&self) -> Result<(), String> {
        self.all_act()?;
        let (memory, lives) = (self.0.authority.memory(), self.lives());
        let starts: BTreeSet<_> = lives.iter().map(|life| life.me()).collect();
        if !memory.is_complete() {
            return Err("the registry is not complete".into());
        }
        let mut truth = BTreeMap::new();
        for life in &lives {
            for (user, mine) in &life.app.lock().sessions {
                if let Some(other) = truth.insert(*user, mine.token) {
                    return Err(format!("user {user} has {other:?} and {mine:?}"));
                }
            }
            let others = life.view.others();
            let known: BTreeSet<_> = others.values().map(|other| other.start()).collect();
            let all: BTreeSet<_> = known.iter().copied().chain([life.me()]).collect();
            if all != starts {
                return Err(format!("{:?} knows {known:?} of {starts:?}", life.me()));
            }
            for (to, waiting) in life.relay().waiting() {
                if waiting.items > 0 || !starts.contains(&to) {
                    return Err(format!("{:?} has for {to:?}: {waiting:?}", life.me()));
                }
            }
        }
        let known: BTreeMap<_, _> = memory
            .records()
            .into_iter()
            .map(|entry| (entry.user.to_string(), entry.record.token))
            .collect();
        let truth: BTreeMap<_, _> =
            truth.into_iter().map(|(user, token)| (format!("user{user}"), token)).collect();
        // what it was a while ago may have more: that goes when somebody asks for it
        let more =
            |user: &String| !truth.contains_key(user) && !self.0.calm.load(Ordering::Relaxed);
        let known: BTreeMap<_, _> = known.into_iter().filter(|(user, _)| !more(user)).collect();
        if known != truth {
            return Err(format!("the registry has {known:?}, and there are {truth:?}"));
        }
        let open = self.0.ledger.lock().open();
        if !open.is_empty() {
            return Err(format!("not dealt with: {open:?}"));
        }
        for life in lives {
            if life.system.restarts() > 0 {
                return Err(format!("a process of {:?} crashed", life.me()));
            }
        }
        Ok(())
    }
}

fn beats(world: &World) {
    let lives = world.lives();
    world.0.net.beats(&lives);
    for life in lives {
        for (to, waiting) in life.relay().waiting() {
            if waiting.bytes > LIMIT {
                let why = format!("{to:?} was handed {} bytes", waiting.bytes);
                world.0.ledger.lock().is_wrong(why);
            }
        }
    }
    world.at(s(1), beats);
}

/// Clients connect, now here and now there.
fn clients(world: &World) {
    let lives = world.lives();
    if world.is_open()
        && let Some(life) = lives.get(world.below(lives.len().max(1) as u64) as usize)
    {
        let user = world.below(USERS as u64) as usize;
        Task::alone(&life.system, "/client", Arc::clone(life).logs_on(user));
    }
    world.at(Duration::from_millis(world.below(6000)), clients);
}

/// For how long, of `short` usually and `long` at times.
fn some(world: &World, short: u64, long: u64) -> Duration {
    let most = if world.below(4) == 0 { long } else { short };
    Duration::from_millis(world.below(1000 * most))
}

/// How many kinds of faults there are.
const KINDS: u64 = 14;

fn faults(world: &World) {
    if Instant::now() >= world.0.end {
        return;
    }
    fault(world);
    world.at(some(world, 5, 30), faults);
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn fault(world: &World) {
    let nodes = &world.0.nodes;
    let a = nodes[world.below(nodes.len() as u64) as usize];
    let b = nodes[world.below(nodes.len() as u64) as usize];
    let time = some(world, 8, 40);
    notes(|| format!("at {a}, {b}, for {time:?}:"));
    let kind = loop {
        let kind = world.below(KINDS);
        if world.0.kinds & 1 << kind != 0 {
            break kind;
        }
    };
    match kind {
        0 if a != b => {
            saw("cut both ways");
            world.0.net.cuts.lock().extend([(a, b), (b, a)]);
            world.at(time, move |world| {
                world.0.net.cuts.lock().retain(|cut| *cut != (a, b) && *cut != (b, a));
            });
        }
        1 if a != b => {
            saw("cut one way");
            world.0.net.cuts.lock().insert((a, b));
            world.at(time, move |world| {
                world.0.net.cuts.lock().remove(&(a, b));
            });
        }
        2 | 3 => {
            saw("cut from the authority");
            world.0.authority.cut.lock().insert(a);
            world.at(time, move |world| {
                world.0.authority.cut.lock().remove(&a);
            });
        }
        4 => {
            let (name, mode) = match world.below(2) {
                0 => ("the authority fails", Mode::Fails),
                _ => ("the authority hangs", Mode::Hangs),
            };
            saw(name);
            *world.0.authority.mode.lock() = mode;
            world.at(time, |world| *world.0.authority.mode.lock() = Mode::Up);
        }
        5 => world.empties(),
        6 => {
            world.0.calm.store(false, Ordering::Relaxed);
            world.fails_over(Duration::from_millis(world.below(1500)));
        }
        7 if a != b => {
            saw("full");
            world.0.net.full.lock().insert((a, b));
            world.at(time, move |world| {
                world.0.net.full.lock().remove(&(a, b));
            });
        }
        8 if a != b => {
            saw("a connection lost");
            world.0.net.loses(a, b);
        }
        9 => {
            saw("killed");
            world.kills(a);
            world.at(time, move |world| world.starts(a));
        }
        10 | 11 => {
            let Some(life) = world.life(a) else { return };
            saw("stopped");
            life.is_stopped(true);
            world.at(time, move |_| life.is_stopped(false));
        }
        12 => {
            let Some(life) = world.life(a) else { return };
            saw("drained");
            Task::alone(&life.system, "/drain", drains(Arc::clone(&life)));
        }
        13 => {
            // all that there is between one node and the others
            saw("alone");
            let others: Vec<_> = nodes.iter().filter(|node| **node != a).copied().collect();
            let cuts: Vec<_> = others.iter().flat_map(|b| [(a, *b), (*b, a)]).collect();
            world.0.net.cuts.lock().extend(cuts.iter().copied());
            world.0.authority.cut.lock().insert(a);
            world.at(time, move |world| {
                world.0.net.cuts.lock().retain(|cut| !cuts.contains(cut));
                world.0.authority.cut.lock().remove(&a);
            });
        }
        _ => {}
    }
}

/// It gives up its sessions and what it has, and leaves.
async fn drains(life: Arc<Life>) {
    life.runs().await;
    life.view.drain(true);
    for _ in 0..50 {
        life.app.lock().gives_up();
        let idle = life.relay().waiting().values().all(|waiting| waiting.items == 0);
        if idle && life.app.lock().is_empty() {
            break;
        }
        life.sleeps(Duration::from_millis(200)).await;
    }
    let left = life.client.leave(&life.member()).await;
    life.runs().await;
    if left.is_ok() {
        saw("left");
    }
    let world = life.world.clone();
    let node = life.node;
    // not from within: it ends this task
    world.at(Duration::ZERO, move |world| {
        if world.life(node).is_some_and(|now| Arc::ptr_eq(&now, &life)) {
            world.kills(node);
            world.at(some(world, 8, 40), move |world| world.starts(node));
        }
    });
}
