//! The socket of the command line tools: who may connect, what can be asked, what is answered.
//!
//! A Unix socket (0600) for the user the node runs as, and root. A line of JSON asks
//! ([`protocol::Request`]); lines of JSON answer: rows, then one that says that this was all, or what
//! went wrong. One process an operator; a command has a deadline. [`commands`] has one file a group
//! of commands, and knows nothing of sockets: a node that is down is worked on with the same code.

pub mod client;
pub(crate) mod commands;
mod operator;
pub mod protocol;
mod socket;

pub(crate) use commands::peers::Desk;
pub(crate) use socket::Socket;
pub use socket::SocketError;

use crate::node::shared::Shared;
use actors::{gate::Guests, listener};
use operator::Operator;
use std::sync::Arc;
use supervision::SupervisorSpec;

/// Operators at a time; one who asks nothing makes room for another.
pub(crate) const OPERATORS: usize = 32;

/// The supervisor of the socket and its connections.
pub(crate) fn spec(socket: &Arc<Socket>, shared: &Arc<Shared>) -> SupervisorSpec {
    let (node, gate) = (Arc::clone(shared), Guests::new(&shared.env, OPERATORS, |program| program));
    listener::guests::<_, Operator>("operators", gate, &[Arc::clone(socket)], move |operator| {
        (operator.stream, Arc::clone(&node), operator.progress)
    })
}
