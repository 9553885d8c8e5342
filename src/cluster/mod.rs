//! A node as one of several: what it has to show the others ([`credentials`], [`secret`]).

pub mod credentials;
pub mod secret;
mod tls;
pub mod uri;
