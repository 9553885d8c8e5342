//! A node as one of several: what it has to show the others ([`credentials`], [`secret`]).

pub mod credentials;
pub(crate) mod join;
mod later;
pub(crate) mod redis;
pub mod secret;
mod tls;
pub mod uri;

pub use join::{JoinError, check};
