//! A node: the crates below put together, and what operators see of it.
//!
//! In reading order: [`settings`] (from the configuration to what the crates want) · [`node`] (the
//! application tree, on one page, and its start and stop) · [`certificates`] and [`secret`] (what a
//! node keeps besides its stores) · [`cluster`] (one of several nodes) · [`elsewhere`] (accounts of somebody else) · [`telemetry`] (logs, metrics, health) · [`admin`] (the socket of
//! the command line tools) · [`stores`] (without a node). The command line itself belongs to the program, not to this library.
//!
//! There are no rules of XMPP here. Tests and examples run a whole node in their own process, or
//! several: nothing is global but the log.

pub mod admin;
pub mod certificates;
pub mod cluster;
pub mod elsewhere;
mod files;
pub mod node;
pub mod secret;
pub mod settings;
pub mod stores;
pub mod telemetry;
pub mod tickets;

pub use node::{Addresses, Node, NodeError};
pub use settings::Setup;
