//! Who is where in the cluster.
//!
//! Today one node: the [`SessionRegistry`] trait and its in-memory backend. The registry in Redis,
//! membership and the links between nodes join this crate later without changing the trait's users.
//! It holds no rules of XMPP: which of a user's sessions gets a stanza is decided in `actors`.

pub mod registry;

pub use registry::{
    Binding, Record, RegistryError, SessionRegistry, Token, memory::MemoryRegistry,
};

use std::{fmt, sync::Arc};

/// The name of a node, unique in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// A node called `name`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
