//! What this node knows of the others, and until when it may act itself: read everywhere, written by the membership process.

use super::{Member, Standing};
use crate::relay::Start;
use arc_swap::ArcSwap;
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
    me: Start,
    others: ArcSwap<BTreeMap<Node, Other>>,
    connected: ArcSwap<BTreeSet<Node>>,
    began: Instant,
    /// When the lease is over, in ms since `began`; `u64::MAX`: it needs none.
    lease: AtomicU64,
    draining: AtomicBool,
}

impl View {
    /// Of a node that has no lease yet.
    pub fn new(me: Start) -> Self {
        Self {
            me,
            others: ArcSwap::default(),
            connected: ArcSwap::default(),
            began: Instant::now(),
            lease: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// This start of this node.
    pub fn me(&self) -> Start {
        self.me
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
        start == self.me || self.others.load().get(&start.node).is_some_and(|o| o.start() == start)
    }

    /// Whether this node may act: its lease is not over. One look at a clock and one load.
    pub fn may_act(&self) -> bool {
        let until = self.lease.load(Ordering::Acquire);
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
        self.lease.store(until.map_or(u64::MAX, since), Ordering::Release);
    }

    /// These are alive.
    pub fn are(&self, others: impl IntoIterator<Item = (Member, Instant)>) {
        let connected = self.connected.load();
        let others = others.into_iter().map(|(member, until)| {
            let connected = connected.contains(&member.node);
            (member.node, Other { member, until, connected })
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
