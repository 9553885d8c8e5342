//! The process of a key: has its epoch, handles requests while its node may act, and refuses what waits when it leaves.

use super::{
    message::{HostMsg, LEFT, No, Order, SeatMsg},
    placed::{Begun, Failed, Leaving, Placed},
    shared::Shared,
};
use crate::relay::Start;
use bytes::Bytes;
use futures_util::FutureExt;
use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use supervision::{Cx, Event, Exit, InitError, Process};
use tokio::time::timeout;

/// What it is started with.
pub(super) struct Job<P: Placed> {
    pub(super) key: Arc<str>,
    pub(super) shared: Arc<Shared<P>>,
    /// The start of this node that it belongs to.
    pub(super) start: Start,
    pub(super) order: Order,
    /// What the one before has left, and its epoch.
    pub(super) state: Option<(u64, Bytes)>,
}

/// The process.
pub(super) struct Seat<P: Placed> {
    job: Job<P>,
    epoch: u64,
    /// What is said to those that wait when it ends.
    no: No,
}

impl<P: Placed> Process for Seat<P> {
    type Args = Job<P>;
    type Msg = SeatMsg<P>;
    const NAME: &'static str = P::KIND;
    const INBOX: usize = P::INBOX;

    async fn init(job: Job<P>, cx: &mut Cx<SeatMsg<P>>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.publish(&job.key);
        Ok(Self { job, epoch: 0, no: No::Leaving })
    }

    async fn run(&mut self, cx: &mut Cx<SeatMsg<P>>) -> Exit {
        // not in `init`: whoever has started it does not wait for the store
        let (shared, start) = (Arc::clone(&self.job.shared), self.job.start);
        let begun = tokio::select! {
            biased;
            begun = self.begins() => begun,
            () = shared.stops_acting(start) => Err(No::Leaving),
        };
        match begun {
            Ok(mut placed) => self.serves(&mut placed, cx).await,
            Err(no) => self.no = no,
        }
        self.refuses(cx);
        Exit::shutdown(LEFT)
    }

    fn describe(msg: &SeatMsg<P>) -> Cow<'static, str> {
        match msg {
            SeatMsg::Call(..) => "call".into(),
            SeatMsg::Cast(_) => "cast".into(),
            SeatMsg::Idle => "idle".into(),
        }
    }

    /// After a crash: what waited was not done.
    async fn terminate(&mut self, _: &Exit, cx: &mut Cx<SeatMsg<P>>) {
        self.refuses(cx);
    }
}

impl<P: Placed> Seat<P> {
    async fn begins(&mut self) -> Result<P, No> {
        let (shared, key) = (&self.job.shared, &self.job.key);
        let failed = |why: &dyn std::fmt::Display| No::Start(why.to_string().into());
        let epoch = shared.epochs.begin(P::KIND, key).await.map_err(|error| failed(&error))?;
        if !shared.acts_as(self.job.start) {
            return Err(No::Leaving);
        }
        self.epoch = epoch;
        // of an older one something may have been stored since
        let state = self.job.state.take().filter(|(before, _)| before + 1 == epoch);
        let state = state.map(|(_, state)| state);
        if state.is_some() {
            shared.states.fetch_add(1, Relaxed);
        }
        let begun = Begun { key: Arc::clone(key), epoch, state };
        P::start(shared.args.clone(), begun).await.map_err(|error| failed(&error))
    }

    async fn serves(&mut self, placed: &mut P, cx: &mut Cx<SeatMsg<P>>) {
        let (shared, start) = (Arc::clone(&self.job.shared), self.job.start);
        let why = loop {
            if let Some(order) = *self.job.order.lock() {
                break order;
            }
            cx.idle_after(shared.spec.idle, SeatMsg::Idle);
            let (ask, reply) = match cx.next().await {
                Event::Msg(SeatMsg::Call(ask, reply)) => (ask, Some(reply)),
                Event::Msg(SeatMsg::Cast(ask)) => (ask, None),
                Event::Msg(SeatMsg::Idle) => break Leaving::Idle,
                Event::Exit { from, .. } if cx.is_parent(&from) => break Leaving::Stops,
                // its host's: the order is looked at
                Event::Exit { .. } | Event::Down { .. } => continue,
            };
            let says = |answer| {
                if let Some(reply) = reply {
                    reply.send(answer);
                }
            };
            if self.job.order.lock().is_some() || !shared.acts_as(start) {
                shared.refused.fetch_add(1, Relaxed);
                says(Err(No::Leaving));
                let order = *self.job.order.lock();
                break order.unwrap_or(Leaving::Lease);
            }
            let answer = tokio::select! {
                biased;
                answer = placed.handle(ask) => answer,
                () = shared.stops_acting(start) => {
                    says(Err(No::Lease));
                    break Leaving::Lease;
                }
            };
            match answer {
                // what it knows may be old by now
                Ok(_) if !shared.acts_as(start) => {
                    says(Err(No::Lease));
                    break Leaving::Lease;
                }
                Ok(answer) => says(Ok(answer)),
                Err(Failed::Fenced) => return says(Err(No::Leaving)),
                Err(Failed::Ends(exit)) => return says(Err(No::Ended(exit))),
            }
        };
        self.leaves(placed, why).await;
    }

    async fn leaves(&self, placed: &mut P, why: Leaving) {
        let shared = &self.job.shared;
        // one that hangs has nothing to say
        let state = timeout(shared.spec.leave, placed.leave(&why)).await.ok().flatten();
        let Leaving::Moves(to) = why else { return };
        shared.moved.fetch_add(1, Relaxed);
        if let (Some(to), Some(state)) = (to, state)
            && state.len() <= shared.spec.state
        {
            let host = shared.system.far_named::<HostMsg>(to, &Shared::<P>::host());
            // what does not arrive is read from the store
            let _sent = host.cast(HostMsg::State(self.job.key.to_string(), self.epoch, state));
        }
    }

    /// What has come is not done here.
    fn refuses(&self, cx: &mut Cx<SeatMsg<P>>) {
        // what is left is told that it has left, by its end
        while let Some(event) = cx.next().now_or_never() {
            if let Event::Msg(SeatMsg::Call(_, reply)) = event {
                self.job.shared.refused.fetch_add(1, Relaxed);
                reply.send(Err(self.no.clone()));
            }
        }
    }
}
