//! Processes on other nodes: what a message, a call, a link, a monitor and a group are there, and what becomes of them when the
//! connection is lost.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod calls;
mod nodes;
mod signals;
mod two;
