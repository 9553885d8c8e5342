//! Users in a collection of another application, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "mongodb/app.rs"]
mod app;
#[path = "mongodb/changes.rs"]
mod changes;
#[path = "mongodb/hostile.rs"]
mod hostile;
#[path = "mongodb/reads.rs"]
mod reads;
#[path = "mongodb/writes.rs"]
mod writes;
