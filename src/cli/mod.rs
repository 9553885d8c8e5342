//! The command line: what can be said ([`Args`]) and where it goes. One file a group of commands.
//!
//! Exit codes: 0 it was done, 1 it failed, 2 the command line or the configuration is wrong.

mod account;
mod ask;
mod check;
mod cluster;
mod crash;
mod import;
mod node;
mod nodes;
mod output;
mod password;
mod processes;
mod quarantine;
mod registry;
mod run;
mod sessions;
mod stop;
mod store;

use ask::NodeArgs;
use clap::{Parser, Subcommand};
use mangrove::{NodeError, admin::client::AskError};
use output::Output;
use std::{fmt::Display, process::ExitCode};

/// Mangrove, an XMPP server
#[derive(Debug, Parser)]
#[command(name = "mangrove", version, about)]
struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// Answer in JSON, one document on one line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Default, Subcommand)]
enum Command {
    /// Run a node until it is told to stop; what happens without a command
    #[default]
    Run,
    /// Make, list, change and remove accounts, also while no node runs
    #[command(subcommand)]
    Account(account::Command),
    /// Show the supervision tree
    Tree(processes::Tree),
    /// List processes
    Ps(processes::Ps),
    /// Look at crashes
    #[command(subcommand)]
    Crash(crash::Command),
    /// List who is logged on, or end sessions
    Sessions(sessions::Sessions),
    /// Look at messages over which clients ended their streams, give them back or forget them, also while no node runs
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// See how the store is, check it, or copy it into another one
    #[command(subcommand)]
    Store(store::Command),
    /// List the nodes of the cluster, as one sees them
    Nodes,
    /// Look at one node, or have it give up its sessions
    #[command(subcommand)]
    Node(node::Command),
    /// Look at who is where, and set it right
    #[command(subcommand)]
    Registry(registry::Command),
    /// Say where a stanza for an address would go now, and why
    Route {
        /// The address: user@host, user@host/resource, or a domain
        jid: String,
    },
    /// Make what the nodes of a cluster have to show one another
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Stop the node and wait until it has stopped
    Stop,
    /// Check the configuration, or print its reference
    #[command(subcommand)]
    Config(check::Command),
}

/// Why a command was not done.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

type Done = Result<(), Failure>;

impl Failure {
    /// It failed.
    fn new(text: impl Display) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// The command line or the configuration is wrong.
    fn usage(text: impl Display) -> Self {
        Self { code: 2, text: text.to_string() }
    }
}

impl From<config::Report> for Failure {
    fn from(report: config::Report) -> Self {
        Self::usage(format!("the configuration is wrong\n{report}"))
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::new(error)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::new(error)
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Args { node, json, command } = Args::parse();
    let mut out = Output::new(json);
    let done = match command.unwrap_or_default() {
        Command::Run => run::run(&node, &mut out),
        Command::Config(command) => ask::block_on(check::config(&node, command, &mut out)),
        Command::Account(command) => ask::block_on(account::account(&node, command, &mut out)),
        Command::Tree(args) => ask::block_on(processes::tree(&node, args, &mut out)),
        Command::Ps(args) => ask::block_on(processes::ps(&node, args, &mut out)),
        Command::Crash(command) => ask::block_on(crash::crash(&node, command, &mut out)),
        Command::Sessions(args) => ask::block_on(sessions::sessions(&node, args, &mut out)),
        Command::Quarantine(command) => {
            ask::block_on(quarantine::quarantine(&node, command, &mut out))
        }
        Command::Store(command) => ask::block_on(store::store(&node, command, &mut out)),
        Command::Nodes => ask::block_on(nodes::nodes(&node, &mut out)),
        Command::Node(command) => ask::block_on(node::node(&node, command, &mut out)),
        Command::Registry(command) => ask::block_on(registry::registry(&node, command, &mut out)),
        Command::Route { jid } => ask::block_on(registry::route(&node, &jid, &mut out)),
        Command::Cluster(command) => cluster::cluster(command, &mut out),
        Command::Stop => ask::block_on(stop::stop(&node, &mut out)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, text }) => {
            out.failure(&text);
            ExitCode::from(code)
        }
    }
}
