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
mod configuration;
mod crashes;
mod documents;
mod examples;
mod http;
mod interop;
mod node;
mod scripts;
mod signals;
mod support;
mod tls;
