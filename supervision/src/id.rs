//! What a process is called everywhere: the node it lives on, that node's start, and a number. Data only; who has one may know
//! nothing of the process.

use parking_lot::RwLock;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use thiserror::Error;

/// The longest name of a node, in bytes (OTP's atoms have 255 characters).
pub const NODE_BYTES: usize = 255;
/// The most nodes a program knows by name: with the longest, 1 MiB. Names are never forgotten, as OTP's atoms, but those of others
/// come from outside.
pub const NODES: usize = 4096;

/// Why something is no node's name.
///
/// Example: [`Node`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NodeError {
    /// It is empty, or longer than [`NODE_BYTES`].
    #[error("the name of a node has 1 to {NODE_BYTES} bytes")]
    Length,
    /// The program knows [`NODES`] others already.
    #[error("too many nodes")]
    TooMany,
}

/// A node: a name, as a number in the program, so that it is cheap to copy and to compare. Serialises as the name. In the order of
/// their first use.
///
/// ```
/// use supervision::{Node, id::NodeError};
///
/// let node = Node::new("a@example.org").unwrap();
/// assert_eq!((node, &*node.name()), (Node::new("a@example.org").unwrap(), "a@example.org"));
/// assert_eq!(&*Node::default().name(), "nonode@nohost");
/// assert!(Node::known() >= 2);
/// assert_eq!(Node::new(""), Err(NodeError::Length));
/// assert_eq!(serde_json::to_string(&node).unwrap(), "\"a@example.org\"");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(NonZeroU32);

struct Names {
    all: Vec<Arc<str>>,
    nodes: HashMap<Arc<str>, Node>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(|| {
    let name: Arc<str> = "nonode@nohost".into();
    let nodes = HashMap::from([(Arc::clone(&name), Node::default())]);
    RwLock::new(Names { all: vec![name], nodes })
});

impl Node {
    /// The node of that name.
    ///
    /// # Errors
    /// When that is no name, or there are too many.
    pub fn new(name: &str) -> Result<Self, NodeError> {
        if name.is_empty() || name.len() > NODE_BYTES {
            return Err(NodeError::Length);
        }
        if let Some(node) = NAMES.read().nodes.get(name) {
            return Ok(*node);
        }
        let mut names = NAMES.write();
        if let Some(node) = names.nodes.get(name) {
            return Ok(*node);
        }
        if names.all.len() >= NODES {
            return Err(NodeError::TooMany);
        }
        let name: Arc<str> = name.into();
        names.all.push(Arc::clone(&name));
        let number = u32::try_from(names.all.len()).ok().and_then(NonZeroU32::new);
        let node = Self(number.ok_or(NodeError::TooMany)?);
        names.nodes.insert(name, node);
        Ok(node)
    }

    /// How many this program knows, of at most [`NODES`].
    pub fn known() -> usize {
        NAMES.read().all.len()
    }

    /// Its name.
    pub fn name(self) -> Arc<str> {
        let index = usize::try_from(self.0.get() - 1).unwrap_or_default();
        NAMES.read().all.get(index).map(Arc::clone).unwrap_or_default()
    }
}

impl Default for Node {
    /// A node that is part of nothing.
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(de::Error::custom)
    }
}

/// What tells the starts of programs apart: as good as never the same twice.
static STARTED: LazyLock<u32> =
    LazyLock::new(|| u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or_default());
static SYSTEMS: AtomicU32 = AtomicU32::new(0);

/// Another one for each system of the program.
pub(crate) fn creation() -> u32 {
    STARTED.wrapping_add(SYSTEMS.fetch_add(1, Ordering::Relaxed))
}

/// A process, wherever it lives; never used twice. What lived in one system is in the order of its start.
///
/// ```
/// use supervision::{Id, Node, System, testkit::Probe};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let probe: Probe<()> = Probe::start(&system).await;
/// let id: Id = probe.pid().id();
/// assert_eq!((id.node, id.number), (Node::default(), 1));
/// assert!(id.creation != System::new("other").creation());
/// let text = serde_json::to_string(&id).unwrap();
/// assert_eq!(serde_json::from_str::<Id>(&text).unwrap(), id);
/// assert_eq!(system.pid(id), *probe.pid());
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    /// The node.
    pub node: Node,
    /// Which start of it.
    pub creation: u32,
    /// From 1, in the order of the starts of processes.
    pub number: u64,
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {} {:08x}>", self.number, self.node, self.creation)
    }
}

/// What is found by a process's id.
pub(crate) type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Ids are numbers that a system gives: nobody can choose some that collide, so that a product is
/// enough.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(id.into());
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_are_bounded() {
        let long = "n".repeat(NODE_BYTES);
        let node = Node::new(&long).unwrap();
        assert_eq!(Node::new(&(long + "n")), Err(NodeError::Length));
        let more = (0..NODES).map(|n| Node::new(&format!("node{n}@many")));
        assert!(more.filter(|node| *node == Err(NodeError::TooMany)).count() > 0);
        // those that are known go on being known, from outside too
        assert_eq!(serde_json::from_value::<Node>((&*node.name()).into()).unwrap(), node);
        assert_eq!(serde_json::from_str::<Node>("\"nonode@nohost\"").unwrap(), Node::default());
        assert!(serde_json::from_str::<Node>("\"another@many\"").is_err());
    }
}
