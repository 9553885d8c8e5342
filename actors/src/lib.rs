//! XMPP behaviour: connections, sessions, routing, hooks, modules.
//!
//! In the order of a stanza's life: [`listener`] (with [`gate`] and [`accept`]) · [`connection`] (socket, TLS) · [`driver`] (turns,
//! jobs, deadlines) · [`session`] (the protocol, sans I/O) · [`hooks`] and [`registrar`] (what modules see), [`iq`] (what the
//! server is asked), [`service`] (domains of modules) ·
//! [`modules`] · [`routing`] (who gets it) · [`resource`] (the receiver's queue) · the other
//! connection. [`remote`] is the other nodes of a cluster. [`sessions`] is who is there at all: bound, resumed, lost, ended. [`env`] is what they share; [`handover`] moves all of it to another process.

pub mod accept;
pub mod account;
pub mod clock;
pub mod connection;
pub mod cx;
pub mod driver;
pub mod env;
pub mod future;
pub mod gate;
pub mod handover;
mod hasher;
pub mod hooks;
pub mod hosts;
pub mod iq;
pub mod listener;
pub mod metrics;
pub mod modules;
pub mod pressure;
pub mod registrar;
pub mod relief;
pub mod remote;
pub mod resource;
pub mod routing;
mod serial;
pub mod service;
pub mod session;
pub mod sessions;
pub mod settings;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod throttle;
pub mod tree;
