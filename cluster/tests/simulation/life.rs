//! One start of a node: its processes, its part of the application, and that it can be killed, stopped and continued.

use crate::{
    app::{App, Application},
    authority::Client,
    gate::{Gate, State},
    net::Ours,
    seen::{notes, saw, wall},
    world::World,
};
use cluster::{
    Entry, Exchange, Leases, Member, Relay, Start, View,
    members::{Events, Membership, Parts, Terms},
    relay::Wire,
};
use parking_lot::Mutex;
use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};
use supervision::{Node, SupervisorRef, SupervisorSpec, System, Task, sys};
use tokio::time::sleep;

pub struct Life {
    pub node: Node,
    pub world: World,
    pub view: Arc<View>,
    pub system: System,
    pub client: Arc<Client>,
    pub app: Mutex<App>,
    relay: OnceLock<Relay>,
    membership: OnceLock<Arc<Membership>>,
    gate: Arc<Gate>,
    root: Mutex<Option<SupervisorRef>>,
}

/// Bytes that another node may have.
pub const LIMIT: usize = 4 * 2000;

impl Life {
    pub fn start(world: &World, node: Node) -> Arc<Self> {
        let me = Start { node, incarnation: wall() };
        let gate: Arc<Gate> = Arc::default();
        let client = Arc::new(Client {
            node,
            gate: Arc::clone(&gate),
            authority: Arc::clone(&world.0.authority),
            schedule: world.0.schedule.clone(),
        });
        let life = Arc::new(Self {
            node,
            world: world.clone(),
            view: Arc::new(View::new(me)),
            system: System::scheduled(&node.to_string(), world.0.schedule.clone()),
            client,
            app: Mutex::new(App::new(me)),
            relay: OnceLock::new(),
            membership: OnceLock::new(),
            gate: Arc::clone(&gate),
            root: Mutex::new(None),
        });
        let ours = || Arc::new(Ours { life: Arc::downgrade(&life), world: world.clone() });
        let (wire, exchange): (Arc<dyn Wire>, Arc<dyn Exchange>) = (ours(), ours());
        let handler = Arc::new(Application(Arc::downgrade(&life)));
        let relay = Relay::new(Arc::clone(&life.view), wire, handler, LIMIT);
        let leases: Arc<dyn Leases> = Arc::<Client>::clone(&life.client);
        let membership = Membership::new(Parts {
            view: Arc::clone(&life.view),
            leases,
            exchange,
            events: Arc::new(Heard(Arc::downgrade(&life))),
            terms: Terms::default(),
            clock: wall,
        });
        let children = relay.children().into_iter().chain([membership.child()]);
        let tree = children.fold(SupervisorSpec::one_for_one(), SupervisorSpec::child);
        let (_, _) = (life.relay.set(relay), life.membership.set(membership));
        let (system, starting) = (life.system.clone(), Arc::clone(&life));
        Task::alone(&life.system, "/start", async move {
            *starting.root.lock() = system.start(tree).await.ok();
            starting.runs().await;
            App::starts(&starting);
        });
        life
    }

    pub fn me(&self) -> Start {
        self.view.me()
    }

    /// What it says of itself when it leaves.
    pub fn member(&self) -> Member {
        Member {
            node: self.node,
            incarnation: self.me().incarnation,
            address: String::new(),
            version: String::new(),
            digest: 0,
            clock: wall(),
            standing: self.view.standing(),
            sessions: 0,
            confirmed: 0,
        }
    }

    pub fn relay(&self) -> &Relay {
        self.relay.get().expect("set at the start")
    }

    pub fn membership(&self) -> &Arc<Membership> {
        self.membership.get().expect("set at the start")
    }

    pub fn is_running(&self) -> bool {
        self.gate.state() == State::Running
    }

    pub fn is_over(&self) -> bool {
        self.gate.state() == State::Over
    }

    /// Waits while it is stopped; for ever, when it is over.
    pub async fn runs(&self) {
        self.gate.runs().await;
    }

    pub async fn sleeps(&self, time: Duration) {
        sleep(time).await;
        self.runs().await;
    }

    pub fn is_stopped(&self, stopped: bool) {
        if !self.gate.is(if stopped { State::Stopped } else { State::Running }) {
            return;
        }
        let hold = if stopped { sys::suspend } else { sys::resume };
        self.system.pids().iter().for_each(hold);
        if !stopped {
            // asked right when it goes on
            self.world.check();
            self.gate.opens();
        }
    }

    /// All of it is gone at once.
    pub fn is_killed(&self) {
        self.gate.is(State::Over);
        let sources = self.app.lock().sources.clone();
        self.world.0.ledger.lock().over(self.me(), &sources);
        self.world.0.net.ended(self.node);
        for pid in self.system.pids() {
            sys::resume(&pid);
            pid.kill();
        }
    }
}

/// What it is told by its membership.
struct Heard(Weak<Life>);

impl Heard {
    fn life(&self) -> Option<Arc<Life>> {
        self.0.upgrade().filter(|life| !life.is_over())
    }
}

impl Events for Heard {
    fn describe(&self, me: &mut Member) {
        let Some(life) = self.life() else { return };
        let app = life.app.lock();
        (me.sessions, me.confirmed) = (app.sessions.len() as u64, app.confirmed);
    }

    fn up(&self, _: &Member) {}

    fn dead(&self, start: Start) {
        let Some(life) = self.life() else { return };
        saw("a node taken for dead");
        notes(|| format!("{} takes {start:?} for dead", life.node));
        life.world.0.ledger.lock().declared(start);
        life.world.check();
        life.relay().dead(start);
    }

    fn gone(&self, sessions: Vec<Entry>) {
        let Some(life) = self.life() else { return };
        life.world.0.ledger.lock().gone(&sessions);
        life.world.check();
        life.app.lock().gone.extend(sessions);
    }

    fn swept(&self, start: Start) {
        let Some(life) = self.life() else { return };
        let memory = life.world.0.authority.memory();
        let left = memory.records().into_iter().any(|entry| {
            let of = entry.record.token;
            of.node == start.node && of.incarnation <= start.incarnation
        });
        // what it was a while ago may have them again
        if left && life.world.0.calm.load(std::sync::atomic::Ordering::Relaxed) {
            life.world.0.ledger.lock().is_wrong(format!("{start:?} was swept and has sessions"));
        }
    }

    fn emptied(&self, epoch: u64) {
        let Some(life) = self.life() else { return };
        life.app.lock().publish = Some(epoch);
    }

    fn begins_anew(&self) {
        let Some(life) = self.life() else { return };
        saw("a node begins anew");
        notes(|| format!("{:?} begins anew", life.me()));
        let before = life.app.lock().begins_anew(&life);
        life.world.0.ledger.lock().over(before, &[]);
        life.relay().begins_anew();
    }

    fn replaced(&self) {
        let Some(life) = self.life() else { return };
        life.world.0.ledger.lock().is_wrong(format!("{:?} was replaced", life.me()));
    }
}
