//! The other nodes of a cluster, as far as XMPP goes: what is said between them ([`wire`]), what this one hands to them
//! ([`outbound`]), what it does for them ([`inbound`]), and messages of which nobody knows where they belong ([`custody`],
//! [`keeper`]).
//!
//! Which way a stanza goes is decided in `routing`, on the node of its sender; the node that gets it looks again. Everything that one
//! sender hands to one node stays in its order (a [`Lane`](cluster::relay::Lane)), and who takes another way than before waits for
//! what is still on that one (a pair).

pub mod custody;
pub mod heirs;
pub mod inbound;
pub mod keeper;
pub(crate) mod outbound;
pub(crate) mod wire;

use crate::resource::{PATIENCE, Resource};
use arc_swap::ArcSwap;
use bytes::Bytes;
use cluster::{
    Exchange, Record, Relay, Start, View,
    relay::{Handing, Refused, Way},
};
use custody::Custody;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};
use xmpp::{
    error::{StreamError, StreamErrorCondition},
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// How long what another node is told is waited for; it gets it in any case.
const TOLD: Duration = Duration::from_secs(1);

/// What a node that is not alone has besides.
pub struct Cluster {
    /// The others.
    pub view: Arc<View>,
    /// What is on its way to them.
    pub relay: Relay,
    /// Asks them.
    pub exchange: Arc<dyn Exchange>,
    /// Messages of which nobody knows where they belong.
    pub custody: Custody,
    /// What the process that publishes this node's sessions is told.
    pub confirms: Confirms,
    /// Rung when this node is to give up its sessions.
    pub(crate) drains: Notify,
    /// Where clients are sent then (HOST[:PORT]), of nodes that tell.
    places: ArcSwap<Vec<String>>,
    sent: AtomicU64,
    /// Users whose sessions elsewhere end for one of theirs here, which have to go first.
    comes: Mutex<HashMap<BareJid, usize>>,
    came: Notify,
    /// Sessions of this node while those that have their names on other nodes are being ended.
    binding: Mutex<HashSet<u64>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({:?})", self.view.me())
    }
}

/// Between who knows of the registry's state and the process that publishes this node's sessions there.
#[derive(Debug, Default)]
pub struct Confirms {
    epoch: AtomicU64,
    confirmed: AtomicU64,
    missed: AtomicBool,
    /// Sessions whose places the registry says other nodes have, which have not said whether they do.
    open: Mutex<HashMap<u64, Weak<Resource>>>,
    /// Sessions of which it was not told something.
    unheard: Mutex<HashMap<u64, Weak<Resource>>>,
    pub(crate) bell: Notify,
}

impl Confirms {
    /// The registry was found empty, and this is the number of its beginning: all sessions are published again.
    pub fn emptied(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// After which emptying all sessions of this node were published: see [`cluster::Member::confirmed`].
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// The registry did not take something of a session: all are published again soon.
    pub fn missed(&self) {
        self.missed.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// The registry was not told of that session when it was bound, or became available.
    pub(crate) fn is_unheard_of(&self, session: &Arc<Resource>) {
        self.unheard.lock().insert(session.id(), Arc::downgrade(session));
        self.missed();
    }

    /// Whether that is so of one.
    pub(crate) fn was_unheard_of(&self, session: u64) -> bool {
        self.unheard.lock().contains_key(&session)
    }

    /// All of them that are still there.
    pub(crate) fn unheard(&self) -> Vec<Arc<Resource>> {
        self.unheard.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// It has ended.
    pub(crate) fn ended(&self, session: u64) {
        self.unheard.lock().remove(&session);
    }

    /// It is not known yet whose that session is: it is asked again soon.
    pub(crate) fn is_open(&self, session: &Arc<Resource>) {
        self.open.lock().insert(session.id(), Arc::downgrade(session));
        self.bell.notify_one();
    }

    /// Whether there are such.
    pub(crate) fn has_open(&self) -> bool {
        !self.open.lock().is_empty()
    }

    /// Those of them that are still there.
    pub(crate) fn take_open(&self) -> Vec<Arc<Resource>> {
        std::mem::take(&mut *self.open.lock()).values().filter_map(Weak::upgrade).collect()
    }

    /// Whether all have to be published now, and for which emptying.
    pub(crate) fn wanted(&self) -> Option<u64> {
        let (epoch, missed) =
            (self.epoch.load(Ordering::SeqCst), self.missed.swap(false, Ordering::SeqCst));
        (missed || epoch != self.confirmed()).then_some(epoch)
    }

    pub(crate) fn done(&self, epoch: u64) {
        self.confirmed.store(epoch, Ordering::SeqCst);
    }
}

/// The same on every node and in every version.
fn hash(of: &[&str]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

/// The way of what `from` sends to `to`.
pub(crate) fn way(from: Option<&Jid>, to: &BareJid, hops: u8) -> Way {
    let sender = from.map(Jid::bare_jid);
    let sender = sender.as_ref().map_or(to.as_str(), Jid::as_str);
    // 0 is of no pair
    Way { lane: hash(&[sender]), pair: hash(&[sender, to.as_str()]).max(1), hops }
}

/// The way of what is no stanza between two: in the order of what a user does.
pub(crate) fn way_of(user: &BareJid) -> Way {
    Way { lane: hash(&[user.as_str()]), ..Way::default() }
}

/// Of presence on its way between two only the last counts.
pub(crate) fn replaces(presence: &Stanza, to: &[Jid]) -> Option<u64> {
    use xmpp::stanza::{Kind, Type};
    let replaceable = presence.head.kind == Kind::Presence
        && matches!(presence.head.ty, Type::Available | Type::Unavailable);
    let from = presence.head.from.as_ref().filter(|_| replaceable)?;
    let all: Vec<&str> = [from].into_iter().chain(to).map(Jid::as_str).collect();
    Some(hash(&all))
}

/// The start of the node that holds a session.
pub(crate) fn start_of(record: &Record) -> Start {
    Start { node: record.token.node, incarnation: record.token.incarnation }
}

impl Cluster {
    /// Of a node that knows the others by `view`, and has `relay` and `exchange` to them. `custody`: bytes of messages that may wait
    /// here while nobody knows where they belong.
    pub fn new(view: Arc<View>, relay: Relay, exchange: Arc<dyn Exchange>, custody: usize) -> Self {
        let (confirms, drains, places, sent, comes, came) = Default::default();
        let custody = Custody::new(custody);
        let binding = Mutex::default();
        Self {
            view,
            relay,
            exchange,
            custody,
            confirms,
            drains,
            places,
            sent,
            comes,
            came,
            binding,
        }
    }

    /// This node gives up its sessions from now on, and takes no new ones; or it does not any more.
    pub fn drain(&self, drains: bool) {
        self.view.drain(drains);
        self.drains.notify_one();
    }

    /// Of a node that gives up its sessions: where a client is to go, of several nodes to each in its turn.
    pub(crate) fn place(&self) -> Option<String> {
        let places = self.places.load();
        let turn = self.sent.fetch_add(1, Ordering::Relaxed);
        let of = u64::try_from(places.len()).ok().filter(|of| *of > 0)?;
        places.get(usize::try_from(turn % of).ok()?).cloned()
    }

    /// What a client hears that comes to a node that gives up its sessions; `None`: this one does not.
    pub(crate) fn sends_away(&self) -> Option<StreamError> {
        self.view.is_draining().then(|| match self.place() {
            Some(place) => StreamError::see_other_host(&place),
            None => {
                let error = StreamError::new(StreamErrorCondition::SystemShutdown);
                error.with_text("this node takes no sessions: try another one")
            }
        })
    }

    /// Hands something to a node; whether it takes it is waited for with what is returned, if it `waits`.
    ///
    /// # Errors
    /// When the node has too much already.
    pub(crate) fn hand(
        &self,
        to: Start,
        way: Way,
        item: Vec<u8>,
        replaces: Option<u64>,
        waits: bool,
    ) -> Result<Option<oneshot::Receiver<()>>, Refused> {
        let (tell, told) = oneshot::channel();
        let (receipt, told) = if waits { (Some(tell), Some(told)) } else { (None, None) };
        self.relay.send(to, way, Bytes::from(item), Handing { replaces, receipt })?;
        Ok(told)
    }

    /// While what is returned lives, what has the name of that session on other nodes is being ended.
    pub(crate) fn binds(self: &Arc<Self>, session: u64) -> Binding {
        self.binding.lock().insert(session);
        Binding { cluster: Arc::clone(self), session }
    }

    /// Whether that is so.
    pub(crate) fn is_binding(&self, session: u64) -> bool {
        self.binding.lock().contains(&session)
    }

    /// While what is returned lives, messages for the user wait for what sessions elsewhere leave behind.
    pub(crate) fn awaits(self: &Arc<Self>, user: &BareJid) -> Coming {
        *self.comes.lock().entry(user.clone()).or_default() += 1;
        Coming { cluster: Arc::clone(self), user: user.clone() }
    }

    /// Whether that is so.
    pub(crate) fn is_awaited(&self, user: &BareJid) -> bool {
        self.comes.lock().contains_key(user)
    }

    /// Resolves when it is not so any more, or after [`PATIENCE`].
    pub(crate) async fn has_come(&self, user: &BareJid) {
        let come = async {
            loop {
                let came = self.came.notified();
                if !self.is_awaited(user) {
                    return;
                }
                came.await;
            }
        };
        drop(timeout(PATIENCE, come).await);
    }
}

/// Which session of another node has the name of one that was bound here, and is to end.
#[derive(Debug)]
pub enum Elsewhere {
    /// There is none.
    Nobody,
    /// This one.
    One(Record, Binding),
    /// The registry is away: the nodes have to be asked.
    Unknown(Binding),
}

/// See [`Cluster::binds`].
#[derive(Debug)]
pub struct Binding {
    cluster: Arc<Cluster>,
    session: u64,
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.cluster.binding.lock().remove(&self.session);
    }
}

/// See [`Cluster::awaits`].
#[derive(Debug)]
pub(crate) struct Coming {
    cluster: Arc<Cluster>,
    user: BareJid,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut comes = self.cluster.comes.lock();
        if let Some(count) = comes.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                comes.remove(&self.user);
            }
        }
        drop(comes);
        self.cluster.came.notify_waiters();
    }
}

/// Waits until the others have done what they were told, for a while: a node that has not does it when it can.
pub(crate) async fn done(told: Vec<oneshot::Receiver<()>>, patience: Duration) {
    let all = async {
        for one in told {
            // dropped when it is done
            drop(one.await);
        }
    };
    if timeout(patience, all).await.is_err() {
        tracing::debug!("another node is slow to do what it was told");
    }
}
