//! A whole node, from outside: over sockets, in this process or as the program.

mod accounts;
mod admin;
mod configuration;
mod crashes;
mod http;
mod node;
mod scripts;
mod signals;
mod support;
