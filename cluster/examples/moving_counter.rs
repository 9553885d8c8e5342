//! A counter that moves when its node dies: three nodes in one program with connections in memory, one owner of the key, and a store that
//! knows what was counted. The owner's node is killed; the next request waits until its lease is over, and the counter goes on elsewhere
//! with nothing lost. `cargo run -p cluster --example moving_counter`; the time is tokio's, paused: it ends at once.
#![expect(clippy::print_stdout, reason = "a program")]

use cluster::{
    Member, MemoryRegistry, Net, Placed, Placement, Start, View,
    members::{Events, Membership, Parts, Terms},
    placement::{Begun, Failed, MemoryStore, Spec},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use supervision::{InitError, Node, SupervisorSpec, System, schedule::Schedule, testkit::Network};
use tokio::time::{Instant, sleep};

type Error = Box<dyn std::error::Error + Send + Sync>;

const SECOND: Duration = Duration::from_secs(1);

/// What is placed. What it has said is in the store before.
struct Counter {
    node: Node,
    store: Arc<MemoryStore>,
    begun: Begun,
    count: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Add(u64);

impl Placed for Counter {
    type Args = (Node, Arc<MemoryStore>);
    type Ask = Add;
    /// How many, and who has counted.
    type Answer = (u64, Node, u64);
    const KIND: &'static str = "example.counter";

    async fn start((node, store): Self::Args, begun: Begun) -> Result<Self, InitError> {
        let (_, stored) = store.read(Self::KIND, &begun.key);
        let count = std::str::from_utf8(&stored).ok().and_then(|text| text.parse().ok());
        Ok(Self { node, store, begun, count: count.unwrap_or_default() })
    }

    async fn handle(&mut self, Add(n): Add) -> Result<Self::Answer, Failed> {
        let (count, epoch) = (self.count + n, self.begun.epoch);
        self.store.write(Self::KIND, &self.begun.key, epoch, count.to_string().into())?;
        self.count = count;
        Ok((count, self.node, epoch))
    }
}

/// Nothing of it is of interest here: what there is, is in the view.
struct Quiet(Arc<View>);

impl Events for Quiet {
    fn describe(&self, _: &mut Member) {}
    fn up(&self, _: &Member) {}
    fn dead(&self, start: Start) {
        println!("{} takes {} for dead", self.0.me().node, start.node);
    }
    fn gone(&self, _: Vec<cluster::Entry>) {}
    fn swept(&self, _: Start) {}
    fn emptied(&self, _: u64) {}
    fn begins_anew(&self) {
        self.0.is_ready(true);
    }
    fn replaced(&self) {}
}

struct Running {
    system: System,
    placement: Placement<Counter>,
}

async fn start(
    name: &str,
    schedule: &Schedule,
    leases: &Arc<MemoryRegistry>,
    store: &Arc<MemoryStore>,
) -> Result<Running, Error> {
    let node = Node::new(name)?;
    let system = System::scheduled_on(node, name, schedule.clone());
    let view = Arc::new(View::new(Start { node, incarnation: 1 }));
    let net = Net::new(&system);
    let membership = Membership::new(Parts {
        view: Arc::clone(&view),
        leases: Arc::<MemoryRegistry>::clone(leases),
        exchange: net.exchange("asked"),
        events: Arc::new(Quiet(Arc::clone(&view))),
        terms: Terms::default(),
        clock: || 1,
    });
    let args = (node, Arc::clone(store));
    let epochs = Arc::<MemoryStore>::clone(store);
    let placement = Placement::new(&system, Some(&view), epochs, args, Spec::default())?;
    let tree = SupervisorSpec::one_for_one()
        .child(Net::answering("asked", Arc::new(Arc::clone(&membership))))
        .child(membership.child())
        .child(placement.child());
    system.start(tree).await?;
    Ok(Running { system, placement })
}

async fn run() -> Result<(), Error> {
    let (schedule, leases, store) = (Schedule::new(1), Arc::default(), Arc::default());
    let network = Network::new(&schedule);
    let mut nodes: Vec<Running> = Vec::new();
    for name in ["a@example", "b@example", "c@example"] {
        let node = start(name, &schedule, &leases, &store).await?;
        for other in &nodes {
            network.connect(&node.system, &other.system)?;
        }
        nodes.push(node);
    }
    // until all know all, and may have one declared dead
    sleep(15 * SECOND).await;
    let mut acknowledged = 0;
    let mut owner = None;
    for node in nodes.iter().cycle().take(9) {
        let (count, by, epoch) = node.placement.call("visits", Add(1), 30 * SECOND).await?;
        println!("{} asks, {by} says {count} in epoch {epoch}", node.system.node());
        (acknowledged, owner) = (count, Some(by));
    }
    let dies = nodes.iter().position(|node| Some(node.system.node()) == owner);
    let dead = nodes.swap_remove(dies.ok_or("nobody has counted")?);
    println!("{} is killed", dead.system.node());
    for node in &nodes {
        network.cut(node.system.node(), dead.system.node());
    }
    dead.system.pids().iter().for_each(supervision::Local::kill);
    // who asks before the loss of the connection is known is told that it may have been done
    sleep(SECOND).await;
    let (began, node) = (Instant::now(), nodes.first().ok_or("no node is left")?);
    let (count, by, epoch) = node.placement.call("visits", Add(1), 30 * SECOND).await?;
    println!("after {:?} {by} says {count} in epoch {epoch}", began.elapsed());
    println!("{:?}", node.placement);
    if count != acknowledged + 1 || epoch != 2 || by == dead.system.node() {
        return Err("something was lost".into());
    }
    for node in &nodes {
        node.system.pids().iter().for_each(supervision::Local::kill);
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build()?.block_on(run())
}
