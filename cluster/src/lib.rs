//! Nodes that share nothing: who is where, who is alive, and what goes from one to another.
//!
//! It knows no XMPP: a user is an opaque text here, a stanza is bytes. Which of a user's sessions gets a stanza is decided in
//! `actors`.
//!
//! In reading order: [`registry`] (who is where) · [`members`] (which nodes there are, and until when each may act) · [`relay`] (what is
//! handed to another node, until that has dealt with it) · [`exchange`] (questions) · [`net`] (both over connections) ·
//! [`link`] (the connections) · [`placement`] (one process for each key, on whichever node).

pub mod exchange;
pub mod link;
pub mod members;
pub mod net;
pub mod placement;
pub mod registry;
pub mod relay;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use exchange::{Answering, AskError, Exchange};
pub use link::{Credit, LinkError, LinkInfo, LinkOptions, LinkTls, Links};
pub use members::{Leases, Member, Other, Standing, View};
pub use net::Net;
pub use placement::{NoAuthority, PlaceError, Placed, Placement};
pub use registry::{
    Binding, Entry, Held, Record, Records, RegistryError, SessionRegistry, Taking, Token,
    memory::MemoryRegistry, redis::RedisRegistry,
};
pub use relay::{Relay, Start};

use std::{future::Future, pin::Pin};

/// A boxed future, so that traits can be used as `Arc<dyn ...>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
