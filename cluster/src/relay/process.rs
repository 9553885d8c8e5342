//! The process of a share of the lanes: deals with what comes, says what is done, and asks connections again that had no credit.

use super::{
    Lane, NotSent, PATIENCE, Parcel, Returned, Share, Shared, Start, Way,
    intake::{Comes, Intake},
};
use crate::BoxFuture;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use supervision::{Cx, Event, Exit, InitError, Node, Process};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Msg {
    /// That came from the node.
    Parcel(Node, Parcel),
    /// Something came back.
    Look,
    /// Connections may have credit again.
    Again,
}

/// What is dealt with in order: of one lane from one start, or back from one.
type Row = (Start, bool, Lane);

/// One that has not been dealt with.
#[derive(Debug)]
struct Waits {
    /// Its number, of one that came; 0: it came back, or to the start before this.
    seq: u64,
    way: Way,
    item: Bytes,
    /// Dropped with it.
    _receipt: Option<oneshot::Sender<()>>,
}

/// All that has come and has not been dealt with: outlives the process.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    intakes: BTreeMap<Start, Intake>,
    /// The first of each row is being dealt with.
    rows: HashMap<Row, VecDeque<Waits>>,
    /// Rows whose first nobody deals with yet.
    ready: VecDeque<Row>,
    /// Of each node the last start that is dead.
    dead: HashMap<Node, u64>,
    /// The one that is looked at: should that crash, it is the poison.
    in_hand: Option<Row>,
}

impl Shelf {
    fn comes(&mut self, row: Row, waits: Waits) {
        let line = self.rows.entry(row).or_default();
        line.push_back(waits);
        if line.len() == 1 {
            self.ready.push_back(row);
        }
    }

    pub(super) fn comes_back(&mut self, start: Start, all: Vec<Returned>) {
        // what it sent is of a dead node now: nothing of that comes again
        self.intakes.remove(&start);
        let dead = self.dead.entry(start.node).or_default();
        *dead = start.incarnation.max(*dead);
        for Returned { way, item, receipt } in all {
            self.comes((start, true, way.lane), Waits { seq: 0, way, item, _receipt: receipt });
        }
    }

    /// The first of a row is dealt with. Of which pair it was.
    fn done(&mut self, row: Row) -> u64 {
        let Some(line) = self.rows.get_mut(&row) else { return 0 };
        let first = line.pop_front();
        if line.is_empty() {
            self.rows.remove(&row);
        } else {
            self.ready.push_back(row);
        }
        let pair = first.as_ref().map_or(0, |first| first.way.pair);
        if let Some(Waits { seq, .. }) = first
            && let Some(intake) = self.intakes.get_mut(&row.0)
            && !row.1
        {
            intake.done(seq);
        }
        pair
    }

    /// What others sent has come back to them: nothing of it is begun, and what was begun is ended.
    pub(super) fn forgets(&mut self) {
        self.intakes.clear();
        for (_, line) in self.rows.iter_mut().filter(|((_, back, _), _)| !back) {
            line.truncate(1);
            // its number is another item's from now on
            line.iter_mut().for_each(|begun| begun.seq = 0);
        }
        let ready = std::mem::take(&mut self.ready);
        for row in ready {
            if row.1 {
                self.ready.push_back(row);
            } else {
                self.rows.remove(&row);
            }
        }
    }

    /// After a crash: all is dealt with anew, but what crashed. If that had come back: its pair.
    fn begins_anew(&mut self) -> Option<u64> {
        self.ready = self.rows.keys().copied().collect();
        let poison = self.in_hand.take()?;
        self.ready.retain(|row| *row != poison);
        let pair = self.done(poison);
        poison.1.then_some(pair)
    }
}

/// How long what is on its way is waited for when the process stops.
pub(super) const LAST: Duration = Duration::from_secs(5);

/// So many things that came are looked at together at most.
const BATCH: usize = 64;

type Work = BoxFuture<'static, Row>;

/// The process.
pub struct Carrier {
    shared: Arc<Shared>,
    number: usize,
    at_work: FuturesUnordered<Work>,
    /// [`Msg::Again`] is on its way.
    asks: bool,
}

impl Process for Carrier {
    type Args = (Arc<Shared>, usize);
    type Msg = Msg;
    const NAME: &'static str = "relay";
    // as much as others may have sent: that is bounded in bytes, by them
    const INBOX: usize = 1 << 20;

    async fn init((shared, number): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(&super::name_of(number))?;
        cx.trap_exit(true);
        let carrier = Self { shared, number, at_work: FuturesUnordered::new(), asks: false };
        if let Some(share) = carrier.share() {
            let poison = share.shelf.lock().begins_anew();
            poison.into_iter().for_each(|pair| share.came_back(pair));
            *share.address.lock() = Some(cx.me().clone());
        }
        carrier.asks_for_all();
        Ok(carrier)
    }

    async fn run(&mut self, cx: &mut Cx<Msg>) -> Exit {
        self.go_on(cx);
        let mut handled = 0;
        loop {
            tokio::select! {
                // what has ended makes room first; a test's order is that of its seed
                biased;
                Some(row) = self.at_work.next(), if !self.at_work.is_empty() => self.is_done(row),
                event = cx.next() => match event {
                    Event::Msg(msg) => self.handle(msg),
                    Event::Exit { from, reason } if cx.is_parent(&from) => {
                        self.leave(cx).await;
                        return reason;
                    }
                    Event::Exit { .. } | Event::Down { .. } => {}
                },
            }
            handled += 1;
            if cx.me().depth() == 0 || handled >= BATCH {
                handled = 0;
                self.go_on(cx);
            }
        }
    }

    fn describe(msg: &Msg) -> Cow<'static, str> {
        match msg {
            Msg::Parcel(_, Parcel::Item { .. }) => "item".into(),
            Msg::Parcel(_, Parcel::Done { .. }) => "done".into(),
            Msg::Parcel(_, Parcel::Again { .. }) => "send again".into(),
            Msg::Look => "look".into(),
            Msg::Again => "again".into(),
        }
    }

    fn state(&self) -> Option<Value> {
        let shelf = self.share()?.shelf.lock();
        Some(json!({ "lanes": shelf.rows.len(), "at_work": self.at_work.len() }))
    }
}

impl Share {
    /// Something of a pair that came back from a dead node is dealt with.
    fn came_back(&self, pair: u64) {
        let mut out = self.out.lock();
        if let Some(count) = out.returning.get_mut(&pair) {
            *count -= 1;
            if *count == 0 {
                out.returning.remove(&pair);
            }
        }
        drop(out);
        self.settled.notify_waiters();
    }
}

impl Carrier {
    fn share(&self) -> Option<&Share> {
        self.shared.shares.get(self.number)
    }

    /// What came before this process was there is lost: whoever has sent it is asked for it.
    fn asks_for_all(&self) {
        let me = self.shared.incarnation();
        for (node, other) in self.shared.me.others().iter() {
            let parcel = Parcel::Again { from: me, to: other.member.incarnation };
            // without a connection it comes anyway when there is one
            let _asked = self.shared.wire.send(*node, self.number, parcel);
        }
    }

    fn has_handed(&self) -> bool {
        self.share().is_some_and(|share| {
            share.out.lock().boxes.values().any(|outbox| outbox.waiting().items > 0)
        })
    }

    /// Waits for what is on its way, and for what was begun: it would be done twice. A while; gives up what is left then.
    async fn leave(&mut self, cx: &mut Cx<Msg>) {
        let deadline = Instant::now() + LAST;
        self.go_on(cx);
        while self.has_handed() || !self.at_work.is_empty() {
            let next = async {
                tokio::select! {
                    biased;
                    Some(row) = self.at_work.next(), if !self.at_work.is_empty() => self.is_done(row),
                    event = cx.next() => if let Event::Msg(msg) = event {
                        self.handle(msg);
                    },
                }
            };
            if timeout_at(deadline, next).await.is_err() {
                break;
            }
            match self.has_handed() {
                true => self.go_on(cx),
                // what is begun by others now they begin anew when this node is gone
                false => self.say(),
            }
        }
        let Some(share) = self.share() else { return };
        let boxes = std::mem::take(&mut share.out.lock().boxes);
        for (start, outbox) in boxes {
            for Returned { way, item, .. } in outbox.give_back() {
                if let Some(later) = self.shared.handler.given_up(start, way, item) {
                    later.await;
                }
            }
        }
    }

    fn handle(&mut self, msg: Msg) {
        let Some(share) = self.shared.shares.get(self.number) else { return };
        match msg {
            Msg::Parcel(node, Parcel::Item { from, to, seq, lane, item }) => {
                // one for the start before this comes back to its sender
                if to != self.shared.incarnation() {
                    return;
                }
                let start = Start { node, incarnation: from };
                let mut shelf = share.shelf.lock();
                if shelf.dead.get(&node).is_some_and(|dead| from <= *dead) {
                    return;
                }
                let intake = shelf.intakes.entry(start).or_default();
                match intake.comes(seq) {
                    Comes::New => {
                        shelf.comes(
                            (start, false, lane),
                            Waits {
                                seq,
                                way: Way { lane, ..Way::default() },
                                item,
                                _receipt: None,
                            },
                        );
                    }
                    Comes::TooEarly(true) => {
                        let parcel = Parcel::Again { from: to, to: from };
                        if self.shared.wire.send(node, self.number, parcel).is_err() {
                            intake.untold();
                        }
                    }
                    Comes::Old | Comes::TooEarly(false) => {}
                }
            }
            Msg::Parcel(node, Parcel::Again { from, to }) => {
                if to == self.shared.incarnation() {
                    let start = Start { node, incarnation: from };
                    self.shared.send_again(&mut share.out.lock(), start, self.number);
                }
            }
            Msg::Parcel(node, Parcel::Done { from, to, upto, others }) => {
                if to == self.shared.incarnation() {
                    let mut out = share.out.lock();
                    let start = Start { node, incarnation: from };
                    if let Some(outbox) = out.boxes.get_mut(&start) {
                        outbox.done(upto, &others);
                    }
                    drop(out);
                    share.settled.notify_waiters();
                }
            }
            Msg::Look => {}
            Msg::Again => self.asks = false,
        }
    }

    /// Deals with what is ready, says what is done, sends what could not be sent.
    fn go_on(&mut self, cx: &mut Cx<Msg>) {
        self.deal();
        self.flush();
        // what could not be said is noted after that was cleared
        self.say();
        let stalled = self.share().is_some_and(|share| share.out.lock().stalled);
        if stalled && !self.asks {
            self.asks = true;
            cx.send_after(PATIENCE, Msg::Again);
        }
    }

    fn deal(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(share) = shared.shares.get(self.number) else { return };
        loop {
            let mut shelf = share.shelf.lock();
            let Some(row) = shelf.ready.pop_front() else { return };
            let first = shelf.rows.get(&row).and_then(VecDeque::front);
            let Some((way, item)) = first.map(|waits| (waits.way, waits.item.clone())) else {
                continue;
            };
            shelf.in_hand = Some(row);
            drop(shelf);
            let (start, back, lane) = row;
            let work = match back {
                false => shared.handler.take(start, lane, item),
                true => shared.handler.returned(start, way, item),
            };
            share.shelf.lock().in_hand = None;
            match work {
                None => self.is_done(row),
                Some(work) => {
                    self.at_work.push(in_hand(Arc::clone(&shared), self.number, row, work));
                }
            }
        }
    }

    fn is_done(&mut self, row: Row) {
        let Some(share) = self.share() else { return };
        let pair = share.shelf.lock().done(row);
        if row.1 {
            share.came_back(pair);
        }
    }

    fn say(&self) {
        let Some(share) = self.share() else { return };
        let me = self.shared.incarnation();
        let mut shelf = share.shelf.lock();
        for (start, intake) in &mut shelf.intakes {
            let Some(done) = intake.say() else { continue };
            let (upto, others) = (done.upto, done.others);
            let parcel = Parcel::Done { from: me, to: start.incarnation, upto, others };
            if self.shared.wire.send(start.node, self.number, parcel) == Err(NotSent::Full) {
                intake.unsaid();
                share.out.lock().stalled = true;
            }
        }
    }

    fn flush(&self) {
        let Some(share) = self.share() else { return };
        let mut out = share.out.lock();
        if std::mem::take(&mut out.stalled) {
            let starts: Vec<_> = out.boxes.keys().copied().collect();
            for start in starts {
                self.shared.flush(&mut out, start, self.number);
            }
        }
    }
}

/// The work, by which a crash knows what it was at.
fn in_hand(shared: Arc<Shared>, number: usize, row: Row, mut work: BoxFuture<'static, ()>) -> Work {
    Box::pin(std::future::poll_fn(move |cx| {
        let Some(share) = shared.shares.get(number) else { return Poll::Ready(row) };
        share.shelf.lock().in_hand = Some(row);
        let polled = work.as_mut().poll(cx);
        share.shelf.lock().in_hand = None;
        polled.map(|()| row)
    }))
}
