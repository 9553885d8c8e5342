//! The crate as its users see it: a node's options and those of two modules.

mod any_input;
mod edges;
mod layers;
mod mistakes;
mod reference;

use config::{Config, Override, Report, hours, secs};
use std::time::Duration;

config::section! {
    /// Answers pings.
    pub struct Ping {
        /// Silence after which a client is pinged.
        pub idle: Duration = secs(60), in secs(1)..=hours(1),
        /// What to say.
        pub words: Vec<String> = Vec::new(), in ..=3,
        /// At most that often a minute.
        pub rate: Option<u8> = None, in 1..100,
    }
}

config::section! {
    /// Lets anybody make an account.
    #[off]
    pub struct Register {}
}

/// What a node with these two modules gets.
#[derive(Debug, PartialEq)]
struct Node {
    config: Config,
    ping: Option<Ping>,
    register: Option<Register>,
}

fn node(text: &str, env: &[(&str, &str)], overrides: &[Override]) -> Result<Node, Report> {
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let mut loaded = config::load(text, "mangrove.toml", env, overrides);
    let ping = loaded.modules.take("ping");
    let register = loaded.modules.take("register");
    Ok(Node { config: loaded.finish()?, ping, register })
}

fn file(text: &str) -> Result<Node, Report> {
    node(text, &[], &[])
}

/// The first line of what is said about each mistake.
fn rows(result: Result<Node, Report>) -> Vec<String> {
    let Err(report) = result else { return Vec::new() };
    let first = |row: &config::Row| row.to_string().lines().next().map(String::from);
    report.rows().iter().filter_map(first).collect()
}
