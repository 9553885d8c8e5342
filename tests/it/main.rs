//! A whole node, from outside: over sockets, in this process or as the program.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod accounts;
mod admin;
mod agree;
mod applications;
mod cluster;
mod configuration;
mod crashes;
mod cut;
mod database;
mod deadlines;
mod documents;
mod examples;
mod fair;
mod ghosts;
mod gone;
mod http;
mod interop;
mod kill;
mod limit_table;
mod limits;
mod load;
mod logs;
mod node;
mod nodes;
mod outage;
mod places;
mod poison;
mod pressure;
mod proxy;
mod ready;
mod resuming;
mod room;
mod scripts;
mod shaping;
mod signals;
mod slow;
mod soak;
mod support;
mod tls;
