//! What this node knows of the others, and until when it may act itself: read everywhere, written by the membership process.

use super::{Member, Standing};
use crate::relay::Start;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use supervision::Node;
use tokio::time::Instant;

/// Another node that is alive, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// What it says of itself.
    pub member: Member,
    /// When its lease is over, by this node's clock.
    pub until: Instant,
    /// By how many milliseconds its wall clock is ahead of this node's.
    pub skew: i64,
    /// Whether there is a connection to it.
    pub connected: bool,
}

impl Other {
    /// Which start of it.
    pub fn start(&self) -> Start {
        Start { node: self.member.node, incarnation: self.member.incarnation }
    }
}

/// The others, by name.
pub type Others = Arc<BTreeMap<Node, Other>>;

/// What is known of the nodes of the cluster.
#[derive(Debug)]
pub struct View {
    node: Node,
    incarnation: AtomicU64,
    others: ArcSwap<BTreeMap<Node, Other>>,
    connected: ArcSwap<BTreeSet<Node>>,
    began: Instant,
    /// When the lease is over, in ms since `began`; `u64::MAX`: it needs none.
    lease: AtomicU64,
    /// The same, while it is ready; else 0.
    acts: AtomicU64,
    ready: Mutex<bool>,
    draining: AtomicBool,
}

impl View {
    /// Of a node that has no lease yet.
    pub fn new(me: Start) -> Self {
        Self {
            node: me.node,
            incarnation: AtomicU64::new(me.incarnation),
            others: ArcSwap::default(),
            connected: ArcSwap::default(),
            began: Instant::now(),
            lease: AtomicU64::new(0),
            acts: AtomicU64::new(0),
            ready: Mutex::new(true),
            draining: AtomicBool::new(false),
        }
    }

    /// This start of this node: another one after it was declared dead.
    pub fn me(&self) -> Start {
        Start { node: self.node, incarnation: self.incarnation.load(Ordering::Acquire) }
    }

    /// It was declared dead, and goes on as if started anew: without a lease.
    pub fn begins_anew(&self, incarnation: u64) {
        self.may_act_until(Some(self.began));
        self.incarnation.store(incarnation, Ordering::Release);
    }

    /// All others that are alive.
    pub fn others(&self) -> Others {
        self.others.load_full()
    }

    /// Another node, if it is alive.
    pub fn other(&self, node: Node) -> Option<Other> {
        self.others.load().get(&node).cloned()
    }

    /// Whether this start of a node is alive, as far as is known: this one, or another.
    pub fn lives(&self, start: Start) -> bool {
        start == self.me()
            || self.others.load().get(&start.node).is_some_and(|o| o.start() == start)
    }

    /// Whether this node may act: its lease is not over, and it is ready. One look at a clock and one load.
    pub fn may_act(&self) -> bool {
        let until = self.acts.load(Ordering::Acquire);
        until == u64::MAX || millis(self.began.elapsed()) < until
    }

    /// How much longer this node may act; `None`: for ever.
    pub fn left(&self) -> Option<Duration> {
        let until = self.lease.load(Ordering::Acquire);
        let now = millis(self.began.elapsed());
        (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(now)))
    }

    /// Whether this node gives up its sessions.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// It gives up its sessions, or does not any more.
    pub fn drain(&self, drains: bool) {
        self.draining.store(drains, Ordering::Relaxed);
    }

    /// What it is doing.
    pub fn standing(&self) -> Standing {
        if self.is_draining() { Standing::Draining } else { Standing::Up }
    }

    /// The lease is good until then; `None`: for ever.
    pub fn may_act_until(&self, until: Option<Instant>) {
        let since = |until: Instant| millis(until.saturating_duration_since(self.began));
        let ready = self.ready.lock();
        self.lease.store(until.map_or(u64::MAX, since), Ordering::Release);
        self.acts_if(*ready);
    }

    /// Whether it may act when it has a lease: not while it publishes its sessions anew after it was declared dead.
    pub fn is_ready(&self, is: bool) {
        let mut ready = self.ready.lock();
        *ready = is;
        self.acts_if(is);
    }

    fn acts_if(&self, ready: bool) {
        let until = if ready { self.lease.load(Ordering::Acquire) } else { 0 };
        self.acts.store(until, Ordering::Release);
    }

    /// These are alive: each with the end of its lease, and by how many ms its clock is ahead.
    pub fn are(&self, others: impl IntoIterator<Item = (Member, Instant, i64)>) {
        let connected = self.connected.load();
        let others = others.into_iter().map(|(member, until, skew)| {
            let connected = connected.contains(&member.node);
            (member.node, Other { member, until, skew, connected })
        });
        self.others.store(Arc::new(others.collect()));
    }

    /// There is a connection to that node, or none any more.
    pub fn connected(&self, node: Node, is: bool) {
        self.connected.rcu(|before| {
            let mut now = BTreeSet::clone(before);
            if is {
                now.insert(node)
            } else {
                now.remove(&node)
            };
            now
        });
        self.others.rcu(|before| {
            let mut now = BTreeMap::clone(before);
            if let Some(other) = now.get_mut(&node) {
                other.connected = is;
            }
            now
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}
