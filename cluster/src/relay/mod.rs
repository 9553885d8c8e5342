//! What is handed to another node: kept until that node has dealt with it, or is dead; then it comes back.
//!
//! A connection between two nodes loses what was on its way when it is lost. What goes through here does not get lost by that: it is sent
//! again over the next one, and taken once. Only a node that dies while another deals with something of it, or the other way round, may
//! have it done twice. The items of one [`Lane`] are dealt with one after the other, in the order of [`Relay::send`]; a pair that is to
//! take another way waits for [`Relay::settled`] first.
//!
//! Memory is bounded: [`Refused`] says that a node was handed as much as it may have. Lanes are spread over a few processes
//! ([`Relay::children`]); sending runs in the process of whoever sends.

mod intake;
mod outbox;
mod process;
#[cfg(test)]
mod tests;

pub use outbox::{Lane, Returned, Waiting, Way};
pub use process::Msg;

use crate::{BoxFuture, View};
use bytes::Bytes;
use outbox::Outbox;
use parking_lot::Mutex;
use process::Shelf;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use supervision::{ChildSpec, Node, Ref, Restart, Shutdown, System};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

/// One start of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Start {
    /// The node.
    pub node: Node,
    /// Which start of it: [`crate::Member::incarnation`].
    pub incarnation: u64,
}

/// What goes over the connection between the relays of two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parcel {
    /// Something to be dealt with.
    Item {
        /// Incarnation of the node that sends it.
        from: u64,
        /// Incarnation of the node that it is for.
        to: u64,
        /// From 1, in the order of sending, between these two and in this share of the lanes.
        seq: u64,
        /// What it belongs to.
        lane: Lane,
        /// What it is.
        item: Bytes,
    },
    /// What was dealt with.
    Done {
        /// Incarnation of the node that says so.
        from: u64,
        /// Incarnation of the node that had sent it.
        to: u64,
        /// All up to this one,
        upto: u64,
        /// and these.
        others: Vec<u64>,
    },
    /// Something is missing: all that is not done is to be sent again.
    Again {
        /// Incarnation of the node that says so.
        from: u64,
        /// Incarnation of the node that had sent it.
        to: u64,
    },
}

/// Why a connection did not take a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// It has no credit at the moment.
    Full,
    /// There is none.
    NoConnection,
}

/// The connections to other nodes: what they take they deliver in order, to [`Relay::received`] of that node, or are lost.
pub trait Wire: Send + Sync + 'static {
    /// Sends a parcel to the relay of a node. Never waits.
    ///
    /// # Errors
    /// When it was not sent.
    fn send(&self, to: Node, share: usize, parcel: Parcel) -> Result<(), NotSent>;
}

/// What is done with items.
pub trait Handler: Send + Sync + 'static {
    /// One from another node. `None`: it is dealt with; else when the future ends. The next of its lane waits for that.
    fn take(&self, from: Start, lane: Lane, item: Bytes) -> Option<BoxFuture<'static, ()>>;

    /// One that was for a node which is dead: it may have dealt with it or not.
    fn returned(&self, from: Start, way: Way, item: Bytes) -> Option<BoxFuture<'static, ()>>;

    /// One that was for a node which does not answer, and this one stops: nobody waits for it any longer. As one that was returned, if
    /// nothing else is said.
    fn given_up(&self, to: Start, way: Way, item: Bytes) -> Option<BoxFuture<'static, ()>> {
        self.returned(to, way, item)
    }
}

/// The node was handed as much as it may have and has not dealt with: the item comes back.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("too much is on its way to the node")]
pub struct Refused(pub Bytes);

/// How an item is handed over.
#[derive(Debug, Default)]
pub struct Handing {
    /// It takes the place of one with the same number that has not been sent: of that only the last counts.
    pub replaces: Option<u64>,
    /// Dropped when it was dealt with, by whomever.
    pub receipt: Option<oneshot::Sender<()>>,
}

/// What the processes of a relay share.
pub struct Shared {
    me: Arc<View>,
    wire: Arc<dyn Wire>,
    handler: Arc<dyn Handler>,
    /// Bytes that one start of a node may have been handed, for each share.
    limit: usize,
    shares: Box<[Share]>,
}

/// What one of the processes is for: a share of the lanes.
#[derive(Default)]
pub(super) struct Share {
    out: Mutex<Out>,
    shelf: Mutex<Shelf>,
    /// Something was dealt with.
    settled: Notify,
    address: Mutex<Option<Ref<Msg>>>,
}

#[derive(Default)]
pub(super) struct Out {
    boxes: BTreeMap<Start, Outbox>,
    /// Of dead nodes, not dealt with yet: how many of a pair.
    returning: HashMap<u64, usize>,
    /// Since a connection took the last item it has taken all, or will be asked again when there is a new one.
    stalled: bool,
}

/// All that is on its way between this node and the others.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({:?})", self.0.me.me())
    }
}

/// How many processes deal with items.
pub const SHARES: usize = 4;

impl Relay {
    /// Of the node of that view. Another node may have `limit` bytes that it has not dealt with.
    pub fn new(
        me: Arc<View>,
        wire: Arc<dyn Wire>,
        handler: Arc<dyn Handler>,
        limit: usize,
    ) -> Self {
        let shares = (0..SHARES).map(|_| Share::default()).collect();
        Self(Arc::new(Shared { me, wire, handler, limit: limit / SHARES, shares }))
    }

    /// The processes that deal with items. When they stop, what is on its way is waited for, a while; what is left then is
    /// [given up](Handler::given_up).
    pub fn children(&self) -> Vec<ChildSpec> {
        let child = |share| {
            let shared = Arc::clone(&self.0);
            let args = move || (Arc::clone(&shared), share);
            let name = format!("relay-{share}");
            let spec = ChildSpec::process::<process::Carrier>(&name, args);
            spec.restart(Restart::Permanent).shutdown(Shutdown::Timeout(3 * process::LAST))
        };
        (0..SHARES).map(child).collect()
    }

    fn share(&self, way: Way) -> Option<&Share> {
        self.0.shares.get(number_of(way))
    }

    /// Hands an item to a start of a node. Never waits. It is dealt with there, or here by [`Handler::returned`].
    ///
    /// # Errors
    /// It comes back when the node has too much already.
    pub fn send(&self, to: Start, way: Way, item: Bytes, how: Handing) -> Result<(), Refused> {
        let number = number_of(way);
        let Some(share) = self.0.shares.get(number) else { return Err(Refused(item)) };
        let mut out = share.out.lock();
        let stalled = out.stalled;
        let outbox = out.boxes.entry(to).or_default();
        let Handing { replaces, receipt } = how;
        outbox.push(way, item, replaces, receipt, self.0.limit).map_err(Refused)?;
        self.0.flush(&mut out, to, number);
        let stalls = out.stalled && !stalled;
        drop(out);
        if stalls {
            self.tell(number, Msg::Look);
        }
        Ok(())
    }

    /// Whether something of a pair is on its way to another than this one that was passed on as often ([`Way::hops`]) or more, or comes back
    /// from a dead one.
    pub fn is_on_way(&self, way: Way, but: Option<Start>) -> bool {
        let Some(share) = self.share(way) else { return false };
        let out = share.out.lock();
        out.returning.contains_key(&way.pair)
            || out.boxes.iter().any(|(to, outbox)| Some(*to) != but && outbox.has(way))
    }

    /// Resolves when [`Relay::is_on_way`] is not so any more.
    pub async fn settled(&self, way: Way, but: Option<Start>) {
        let Some(share) = self.share(way) else { return };
        loop {
            let mut settled = pin!(share.settled.notified());
            // listens before it looks
            settled.as_mut().enable();
            if !self.is_on_way(way, but) {
                return;
            }
            settled.await;
        }
    }

    /// A parcel came from that node.
    pub fn received(&self, from: Node, share: usize, parcel: Parcel) {
        self.tell(share, Msg::Parcel(from, parcel));
    }

    /// There is a new connection to that node: what it has not dealt with is sent again.
    pub fn connected(&self, to: Node) {
        for (number, share) in self.0.shares.iter().enumerate() {
            let mut out = share.out.lock();
            let starts: Vec<_> =
                out.boxes.keys().filter(|start| start.node == to).copied().collect();
            starts.into_iter().for_each(|start| self.0.send_again(&mut out, start, number));
            drop(out);
            self.tell(number, Msg::Look);
        }
    }

    /// That start of a node is dead: what it was handed comes back.
    pub fn dead(&self, start: Start) {
        for (number, share) in self.0.shares.iter().enumerate() {
            let mut out = share.out.lock();
            let back = out.boxes.remove(&start).map(Outbox::give_back).unwrap_or_default();
            for Returned { way, .. } in back.iter().filter(|back| back.way.pair != 0) {
                *out.returning.entry(way.pair).or_default() += 1;
            }
            drop(out);
            share.shelf.lock().comes_back(start, back);
            self.tell(number, Msg::Look);
        }
    }

    /// This node was declared dead, and has [another incarnation](View::begins_anew): others have forgotten what it sent and had what they
    /// sent come back to them. What they have not dealt with is sent as from the new one, and nothing more of theirs is begun.
    pub fn begins_anew(&self) {
        for (number, share) in self.0.shares.iter().enumerate() {
            share.shelf.lock().forgets();
            let mut out = share.out.lock();
            let starts: Vec<_> = out.boxes.keys().copied().collect();
            for start in starts {
                if let Some(outbox) = out.boxes.get_mut(&start) {
                    outbox.renumber();
                }
                self.0.flush(&mut out, start, number);
            }
            drop(out);
            self.tell(number, Msg::Look);
        }
    }

    fn tell(&self, share: usize, msg: Msg) {
        let Some(place) = self.0.shares.get(share) else { return };
        let address = place.address.lock().clone();
        // one that is being started looks itself
        if let Some(address) = address
            && address.cast(msg).is_err()
        {
            tracing::warn!(
                share,
                "a relay does not take what came: it is sent again over the next connection"
            );
        }
    }

    /// What is on its way to each start of a node.
    pub fn waiting(&self) -> BTreeMap<Start, Waiting> {
        let mut all: BTreeMap<Start, Waiting> = BTreeMap::new();
        for share in &self.0.shares {
            for (start, outbox) in &share.out.lock().boxes {
                let (sum, one) = (all.entry(*start).or_default(), outbox.waiting());
                sum.items += one.items;
                sum.bytes += one.bytes;
                sum.unsent += one.unsent;
                sum.age = sum.age.max(one.age);
            }
        }
        all
    }
}

impl Shared {
    fn incarnation(&self) -> u64 {
        self.me.me().incarnation
    }

    /// Sends all that is not done, from the first on.
    fn send_again(&self, out: &mut Out, to: Start, share: usize) {
        if let Some(outbox) = out.boxes.get_mut(&to) {
            outbox.begins_anew();
        }
        self.flush(out, to, share);
    }

    /// Sends what the connection takes.
    fn flush(&self, out: &mut Out, to: Start, share: usize) {
        let Some(outbox) = out.boxes.get_mut(&to) else { return };
        while let Some((seq, lane, item)) = outbox.next() {
            let (from, incarnation) = (self.incarnation(), to.incarnation);
            let parcel = Parcel::Item { from, to: incarnation, seq, lane, item };
            match self.wire.send(to.node, share, parcel) {
                Ok(()) => outbox.took(seq),
                Err(NotSent::Full) => {
                    out.stalled = true;
                    return;
                }
                // when there is one, it begins anew
                Err(NotSent::NoConnection) => return,
            }
        }
    }
}

fn number_of(way: Way) -> usize {
    usize::try_from(way.lane % SHARES as u64).unwrap_or_default()
}

/// How long until a connection is asked again that had no credit.
const PATIENCE: Duration = Duration::from_millis(2);

/// The name under which the process of a share is found.
pub fn name_of(share: usize) -> String {
    format!("relay-{share}")
}

/// The process of a share, if it runs.
pub fn find(system: &System, share: usize) -> Option<Ref<Msg>> {
    system.lookup(&name_of(share))
}
