//! Processes on other nodes (`net_kernel`, `erpc`, `pg` over nodes): links, monitors, exit signals, messages, calls and groups over a
//! connection that somebody else makes.
//!
//! A [`Transport`] carries frames to one other node, in order, all of them until it is lost; [`System::connect`] makes the node known, and
//! [`Connection::receive`] takes what comes from it. Everything else follows: a [`crate::Pid`] of that node can be linked and monitored like any, a
//! [`Far`] cast to and called, its members are in the groups. When the connection is lost, every monitor, link and call to that node ends
//! with `noconnection`, once, its members leave, and who monitors nodes hears of it.
//!
//! What a message is on its way says [`Remote`]; a node takes from others only messages that it [accepts](System::accept).
//!
//! ```
//! use bytes::Bytes;
//! use parking_lot::Mutex;
//! use serde::{Deserialize, Serialize};
//! use std::{sync::Arc, time::Duration};
//! use supervision::dist::{Class, ConnectError, Connection, Far, FrameError, Remote, SendError, Transport};
//! use supervision::{CallError, CastError, Event, Exit, Node, Reply, System, schedule::Schedule, testkit::Probe};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Ask { Note(String), Double(u32, Reply<u32>) }
//!
//! impl Remote for Ask {
//!     const TAG: &'static str = "demo.ask";
//!     const VERSION: u16 = 2;
//!     fn decode_old(version: u16, bytes: &[u8]) -> Option<Self> {
//!         // version 1 was a text
//!         let note = String::from_utf8(bytes.to_vec()).ok().filter(|_| version == 1)?;
//!         Some(Self::Note(note))
//!     }
//! }
//!
//! /// Frames that wait for the other node.
//! #[derive(Default)]
//! struct Wire(Mutex<Vec<Bytes>>);
//!
//! impl Transport for Wire {
//!     fn send(&self, frame: Bytes, class: Class) -> Result<(), SendError> {
//!         let mut frames = self.0.lock();
//!         if class == Class::Message && frames.len() >= 2 {
//!             return Err(SendError::Full);               // no more credit; signals take none
//!         }
//!         frames.push(frame);
//!         Ok(())
//!     }
//!     fn close(&self, why: &str) { println!("closed: {why}"); }
//!     fn frame_limit(&self) -> usize { 1 << 16 }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let system = |name| System::scheduled_on(Node::new(name).unwrap(), name, Schedule::new(7));
//! let (a, b) = (system("a@demo"), system("b@demo"));
//! b.accept::<Ask>();
//! let mut probe: Probe<Ask> = Probe::start(&b).await;
//! b.register("probe", probe.me()).unwrap();
//! b.join("probes", probe.pid());
//!
//! // a connection has two ends
//! let (to_b, to_a) = (Arc::new(Wire::default()), Arc::new(Wire::default()));
//! let mut at_a: Connection = a.connect(b.node(), b.creation(), to_b.clone()).unwrap();
//! let mut at_b = b.connect(a.node(), a.creation(), to_a.clone()).unwrap();
//! let again = a.connect(b.node(), b.creation(), to_b.clone());
//! assert_eq!(again.err(), Some(ConnectError::Connected));
//! assert_eq!((a.nodes(), at_a.node(), at_a.is_lost()), (vec![b.node()], b.node(), false));
//! let mut carry = || {
//!     for frame in std::mem::take(&mut *to_b.0.lock()) { at_b.receive(&frame).unwrap(); }
//!     for frame in std::mem::take(&mut *to_a.0.lock()) { at_a.receive(&frame).unwrap(); }
//! };
//!
//! // by its name, and by what the group says
//! let far: Far<Ask> = a.far_named(b.node(), "probe");
//! far.cast(Ask::Note("one".to_owned())).unwrap();
//! far.cast(Ask::Note("two".to_owned())).unwrap();
//! assert!(matches!(far.cast(Ask::Note("three".to_owned())), Err(CastError::Full(_))));
//! carry();
//! assert!(matches!(probe.message().await, Ask::Note(note) if note == "one"));
//! assert!(matches!(probe.message().await, Ask::Note(note) if note == "two"));
//! let member: Far<Ask> = a.far_members("probes").remove(0);
//! let pid = member.pid().unwrap().clone();
//! assert_eq!((&pid, member.node(), far.pid()), (&probe.pid().into(), b.node(), None));
//!
//! // a call, and one to several nodes
//! let second = Duration::from_secs(1);
//! let nodes = [b.node(), Node::new("c@demo").unwrap()];
//! let (one, all) = (a.far::<Ask>(&pid), a.clone());
//! let calls = async {
//!     tokio::join!(one.call(|reply| Ask::Double(21, reply), second),
//!         all.multicall(&nodes, "probe", |reply| Ask::Double(4, reply), second))
//! };
//! let answers = async {
//!     tokio::task::yield_now().await;
//!     carry();
//!     for _ in 0..2 {
//!         let Ask::Double(n, reply) = probe.message().await else { panic!() };
//!         reply.send(2 * n);
//!     }
//!     carry();
//! };
//! let ((one, all), ()) = tokio::join!(calls, answers);
//! assert_eq!(one, Ok(42));
//! assert_eq!(all, [(nodes[0], Ok(8)), (nodes[1], Err(CallError::Gone(Some(Exit::NoConnection))))]);
//!
//! // what is lost is known at once
//! let mut watcher: Probe<u32> = Probe::start(&a).await;
//! let monitor = far.monitor(watcher.pid());
//! far.send_request(watcher.me(), |reply| Ask::Double(1, reply), |answer| answer.unwrap_or(0));
//! pid.link(watcher.pid());
//! assert_eq!(at_a.receive(&[200, 1, 2]), Ok(()));            // of a later version
//! assert_eq!(a.refused(), [("frames of kind 200".into(), 1)]);
//! assert_eq!(at_a.receive(&[3]), Err(FrameError::Malformed));
//! at_a.lost("malformed");
//! assert!(matches!(watcher.exit().await, (from, Exit::NoConnection) if from == pid));
//! let Event::Down { monitor: of, reason: Exit::NoConnection, .. } = watcher.event().await else { panic!() };
//! assert_eq!(of, monitor);
//! assert_eq!(watcher.message().await, 0);
//! assert!(a.nodes().is_empty() && a.group("probes").is_empty());
//! # });
//! ```

mod context;
mod far;
mod message;
mod node;
mod peer;
mod receive;
mod wire;

pub use far::Far;
pub use message::Remote;
pub use wire::FrameError;

use crate::{
    id::Node,
    pid::{Local, Monitor},
    system::System,
};
use bytes::Bytes;
use node::Dist;
use peer::Peer;
use std::sync::Arc;
use thiserror::Error;

/// The most bytes of a frame, unless the transport says otherwise.
pub const FRAME_BYTES: usize = 4 << 20;

/// What a frame is to its transport.
///
/// Example: [`crate::dist`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A message to a process: it takes credit, and is refused when there is none.
    Message,
    /// A signal, or an answer: there are as many as links, monitors, members of groups and requests, and it is never refused.
    Signal,
}

/// Why a frame was not sent.
///
/// Example: [`crate::dist`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// There is no credit for a message; later there may be.
    #[error("the connection has no credit")]
    Full,
    /// The connection is lost.
    #[error("the connection is lost")]
    Closed,
}

/// The way to one other node, which hands on what is sent there, in order, and all of it until it is lost.
///
/// Example: [`crate::dist`].
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame. It does not wait, and calls nothing of this crate.
    ///
    /// # Errors
    /// [`SendError::Full`] for a [`Class::Message`] only.
    fn send(&self, frame: Bytes, class: Class) -> Result<(), SendError>;

    /// No more is sent or received: a frame could not be sent, or the connection was lost. It only notes that: who has the [`Connection`]
    /// drops it.
    fn close(&self, why: &str);

    /// The most bytes of a frame, in both directions.
    fn frame_limit(&self) -> usize {
        FRAME_BYTES
    }
}

/// Why a node was not connected.
///
/// Example: [`crate::dist`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConnectError {
    /// There is a connection to it.
    #[error("there is a connection to that node")]
    Connected,
    /// It has the name of this node.
    #[error("the node has the name of this one")]
    Itself,
}

/// The connection to another node, for who receives from it. Dropped, it is lost.
///
/// Example: [`crate::dist`].
#[derive(Debug)]
pub struct Connection {
    system: System,
    peer: Arc<Peer>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:08x}", self.node, self.creation)
    }
}

impl Connection {
    /// Takes a frame, in the order in which they were sent. It does not wait. What decodes a message runs here: if that panics, it is a
    /// panic of who calls this.
    ///
    /// # Errors
    /// When the frame is malformed or too long: then the connection is no good any more. Or when it is lost already.
    pub fn receive(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        receive::receive(&self.system, &self.peer, frame)
    }

    /// The other node.
    pub fn node(&self) -> Node {
        self.peer.node
    }

    /// Whether it is lost: another start of that node has connected.
    pub fn is_lost(&self) -> bool {
        self.peer.is_lost()
    }

    /// It is lost: whoever waits for something of that node is told.
    pub fn lost(self, reason: &str) {
        Dist::of(&self.system).lose(&self.peer, reason);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        Dist::of(&self.system).lose(&self.peer, "the connection was dropped");
    }
}

impl System {
    /// There is a connection to that node, in that start of it ([`System::creation`]): links, monitors and messages to it go over `transport`.
    /// A connection to another start of it is lost with this.
    ///
    /// # Errors
    /// When there is one to the same start, or it has the name of this node.
    ///
    /// Example: [`crate::dist`].
    pub fn connect(
        &self,
        node: Node,
        creation: u32,
        transport: Arc<dyn Transport>,
    ) -> Result<Connection, ConnectError> {
        let peer = Dist::of(self).connect(self, node, creation, transport)?;
        Ok(Connection { system: self.clone(), peer })
    }

    /// The nodes to which there is a connection (`nodes/0`).
    pub fn nodes(&self) -> Vec<Node> {
        Dist::of(self).nodes()
    }

    /// What came from other nodes that this one could not take, since its start: of what kind, and how often. Of each kind the log has one
    /// line.
    pub fn refused(&self) -> Vec<(Arc<str>, u64)> {
        Dist::of(self).refused()
    }

    pub(crate) fn watch_nodes(&self, watcher: &Local) -> (Monitor, Vec<Node>) {
        let (monitor, nodes) = Dist::of(self).watch_nodes(watcher);
        (Monitor(monitor), nodes)
    }

    pub(crate) fn unwatch_nodes(&self, monitor: Monitor, watcher: &Local) {
        Dist::of(self).forget_watcher(monitor.0, watcher);
    }
}
