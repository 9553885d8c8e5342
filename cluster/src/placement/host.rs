//! The process that keeps the keys of a kind on one node: starts what is this node's to start, has those leave that are another's, and
//! asks the others to yield ([`super::claims`]). No request goes through it, only the question where a key is.

use super::{
    claims::{Claims, May},
    message::{HostMsg, Order, Refused},
    placed::{Leaving, Placed},
    seat::{Job, Seat},
    shared::Shared,
};
use crate::{Standing, relay::Start};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use supervision::{
    Cx, Event, Exit, Id, InitError, Local, Next, Node, PoolRef, Reply, Server, StartError,
};
use tokio::time::Instant;

/// A process of a key.
struct Seated {
    pid: Local,
    order: Order,
    /// It was told to leave.
    leaves: bool,
}

impl Seated {
    fn leaves(&mut self, why: Leaving) {
        self.leaves = true;
        *self.order.lock() = Some(why);
        // wakes it; it reads the order before whatever it handles next
        self.pid.exit(Exit::shutdown(&why.to_string()));
    }
}

/// What came for a key that was not started yet.
struct Moved {
    epoch: u64,
    state: Bytes,
    came: Instant,
}

/// For so long what came waits for a start.
const KEPT: Duration = Duration::from_secs(30);

/// The process.
pub(super) struct Host<P: Placed> {
    shared: Arc<Shared<P>>,
    seats: BTreeMap<Arc<str>, Seated>,
    keys: BTreeMap<Id, Arc<str>>,
    claims: Claims,
    /// Those that asked to be yielded to, and have no answer yet.
    askers: BTreeMap<Node, (Start, Reply<(Start, bool)>)>,
    /// How many were told to leave and have not ended.
    leaving: usize,
    states: BTreeMap<Arc<str>, Moved>,
    /// The bytes of them.
    bytes: usize,
}

impl<P: Placed> Server for Host<P> {
    type Args = Arc<Shared<P>>;
    type Msg = HostMsg;
    const NAME: &'static str = "placement";
    const INBOX: usize = 65_536;

    async fn init(shared: Self::Args, cx: &mut Cx<HostMsg>) -> Result<Self, InitError> {
        cx.register(&Shared::<P>::host())?;
        shared.keys.store(0, Relaxed);
        let (claims, look) = (Claims::new(shared.view.me()), shared.spec.look);
        cx.continue_with(HostMsg::Look);
        cx.send_every(look, || HostMsg::Look);
        Ok(Self {
            shared,
            seats: BTreeMap::new(),
            keys: BTreeMap::new(),
            claims,
            askers: BTreeMap::new(),
            leaving: 0,
            states: BTreeMap::new(),
            bytes: 0,
        })
    }

    async fn handle(&mut self, msg: HostMsg, cx: &mut Cx<HostMsg>) -> Next {
        let changed = self.look(cx);
        // one that is not reached is asked again at the next look
        if changed || matches!(msg, HostMsg::Look) {
            self.asks(cx);
        }
        match msg {
            HostMsg::Find(key, reply) => {
                let found = self.find(&key, cx);
                if found.is_err() {
                    self.shared.refused.fetch_add(1, Relaxed);
                }
                reply.send(found);
            }
            HostMsg::Yield(start, reply) => {
                self.askers.insert(start.node, (start, reply));
            }
            HostMsg::State(key, epoch, state) => self.keeps(key.into(), epoch, state),
            HostMsg::Look => self.forgets(),
            HostMsg::Yielded(node, number, answer) => self.claims.answered(node, number, answer),
            HostMsg::Late(late) => late.iter().for_each(Local::kill),
        }
        self.yields();
        Next::Continue
    }

    async fn event(&mut self, event: Event<HostMsg>, cx: &mut Cx<HostMsg>) -> Next {
        if let Event::Down { pid, .. } = event
            && let Some(key) = self.keys.remove(&pid.id())
        {
            let gone = self.seats.remove(&key);
            self.leaving -= usize::from(gone.is_some_and(|seat| seat.leaves));
            self.shared.keys.store(self.seats.len(), Relaxed);
            if self.look(cx) {
                self.asks(cx);
            }
            self.yields();
        }
        Next::Continue
    }

    fn describe(msg: &HostMsg) -> Cow<'static, str> {
        match msg {
            HostMsg::Find(..) => "find".into(),
            HostMsg::Yield(start, _) => format!("yield to {}", start.node).into(),
            HostMsg::State(..) => "state".into(),
            HostMsg::Look => "look".into(),
            HostMsg::Yielded(node, ..) => format!("{node} has yielded").into(),
            HostMsg::Late(_) => "late".into(),
        }
    }

    fn state(&self) -> Option<Value> {
        let waits = self.askers.keys().map(ToString::to_string).collect::<Vec<_>>();
        Some(json!({ "keys": self.seats.len(), "leaving": self.leaving, "yields_to": waits }))
    }
}

impl<P: Placed> Host<P> {
    /// The nodes as they are at this moment: whatever is decided is decided by them. Whether they are others than before.
    fn look(&mut self, cx: &mut Cx<HostMsg>) -> bool {
        let view = &self.shared.view;
        let (me, acts, others) = (view.me(), self.shared.acts(), view.others());
        let up = view.standing() == Standing::Up;
        let before = self.claims.me();
        let changed = self.claims.look((me, up), &others);
        let over = !acts || me != before;
        if over || changed {
            let claims = &self.claims;
            let mut told = Vec::new();
            for (key, seat) in self.seats.iter_mut().filter(|(_, seat)| !seat.leaves) {
                let why = match claims.owner(key) {
                    _ if over => Leaving::Lease,
                    Some(owner) if owner == me.node => continue,
                    owner => Leaving::Moves(owner),
                };
                seat.leaves(why);
                told.push(seat.pid.clone());
            }
            if !told.is_empty() {
                self.leaving += told.len();
                cx.send_after(self.shared.spec.leave, HostMsg::Late(told));
            }
        }
        changed
    }

    /// Asks those to yield that may have what is this node's.
    fn asks(&mut self, cx: &mut Cx<HostMsg>) {
        if !self.shared.acts() || !self.claims.is_up() {
            return;
        }
        let (me, system) = (self.claims.me(), &self.shared.system);
        for (node, number) in self.claims.asks() {
            let host = system.far_named::<HostMsg>(node, &Shared::<P>::host());
            let answered = move |answer: Result<_, _>| HostMsg::Yielded(node, number, answer.ok());
            host.send_request(cx.me(), |reply| HostMsg::Yield(me, reply), answered);
        }
    }

    /// Answers those that are yielded to by now. Whatever is left is this node's by its own view, which has them in it.
    fn yields(&mut self) {
        if self.leaving > 0 {
            return;
        }
        let me = (self.shared.view.me(), self.claims.is_up());
        let ready = |_: &Node, (start, _): &mut (Start, _)| self.claims.admits(*start);
        for (_, (_, reply)) in self.askers.extract_if(.., ready) {
            reply.send(me);
        }
    }

    fn find(&mut self, key: &str, cx: &mut Cx<HostMsg>) -> Result<Id, Refused> {
        if !self.shared.acts() {
            return Err(Refused::NoLease);
        }
        if let Some(seat) = self.seats.get(key) {
            return if seat.leaves { Err(Refused::Leaving) } else { Ok(seat.pid.id()) };
        }
        match self.claims.may_start(key) {
            May::Start => self.start(key.into(), cx),
            May::Wait(node) => Err(Refused::NotYet(node)),
            May::Elsewhere(node) => Err(Refused::Elsewhere(node)),
            May::Nobody => Err(Refused::Nobody),
        }
    }

    fn start(&mut self, key: Arc<str>, cx: &mut Cx<HostMsg>) -> Result<Id, Refused> {
        let pool = PoolRef::<Seat<P>>::find(cx.system(), &Shared::<P>::seats());
        let order = Order::default();
        let state = self.states.remove(&key).map(|moved| {
            self.bytes -= moved.state.len();
            (moved.epoch, moved.state)
        });
        let job = Job {
            key: Arc::clone(&key),
            shared: Arc::clone(&self.shared),
            start: self.claims.me(),
            order: Arc::clone(&order),
            state,
        };
        let started = pool.ok_or(Refused::Leaving)?.spawn(job).map_err(|error| match error {
            StartError::Full => Refused::Full,
            _ => Refused::Leaving,
        })?;
        let pid = started.pid().clone();
        let id = pid.id();
        cx.monitor(&pid);
        self.keys.insert(id, Arc::clone(&key));
        self.seats.insert(key, Seated { pid, order, leaves: false });
        self.shared.keys.store(self.seats.len(), Relaxed);
        self.shared.starts.fetch_add(1, Relaxed);
        Ok(id)
    }

    fn keeps(&mut self, key: Arc<str>, epoch: u64, state: Bytes) {
        let before = self.states.get(&key).map_or(0, |moved| moved.state.len());
        if self.bytes - before + state.len() <= self.shared.spec.states {
            self.bytes += state.len();
            let moved = Moved { epoch, state, came: Instant::now() };
            let replaced = self.states.insert(key, moved);
            self.bytes -= replaced.map_or(0, |moved| moved.state.len());
        }
    }

    /// What nobody has wanted for long.
    fn forgets(&mut self) {
        let bytes = &mut self.bytes;
        self.states.retain(|_, moved| {
            let keeps = moved.came.elapsed() < KEPT;
            *bytes -= if keeps { 0 } else { moved.state.len() };
            keeps
        });
    }
}
