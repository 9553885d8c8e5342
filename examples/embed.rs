//! A node inside of a program of yours, with a module of yours: the word filter, a crate that the server does not know.
//!
//! `cargo run --example embed` runs it until Ctrl-C, with two accounts and everything else in memory.

use actors::registrar::Module;
use mangrove::{Node, Setup};
use std::{
    error::Error,
    io::{Write, stdout},
};
use storage::Account;
use word_filter::WordFilter;
use xmpp::sasl::ScramKeys;

/// As in a file; the module has its section like any other.
const OPTIONS: &str = "
storage.backend = 'memory'

[modules.word_filter]
words = ['Montague']
action = 'mask'
";

/// Starts a node with these options besides.
///
/// # Errors
/// A wrong option, or whatever keeps a node from starting.
pub async fn start(options: &str) -> Result<Node, Box<dyn Error>> {
    let mut loaded = config::load(&format!("{options}{OPTIONS}"), "embed", [], &[]);
    // before the setup is made, which would wonder about a section that nobody took
    let filter = loaded.modules.take(WordFilter::NAME);
    let mut setup = Setup::of(loaded)?;
    if let Some(filter) = filter {
        setup.modules.add_with::<WordFilter>(filter);
    }
    let node = Node::start(setup).await?;
    let mut accounts = Vec::new();
    for jid in ["juliet@localhost", "romeo@localhost"] {
        let keys = ScramKeys::fresh("pencil").ok_or("a password that SASLprep does not allow")?;
        accounts.push((jid.parse()?, Account { keys, ..Account::default() }));
    }
    node.env().stores.accounts.create(accounts).await?;
    Ok(node)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let node = start(&format!("server.data = {:?}\n", data.path())).await?;
    writeln!(
        stdout(),
        "ready: {}\n\
         Log on as juliet@localhost and as romeo@localhost, both with the password pencil, and\n\
         write a message with the name Montague in it. Ctrl-C ends it.",
        node.addresses()
    )?;
    tokio::signal::ctrl_c().await?;
    node.stop().await;
    Ok(())
}
