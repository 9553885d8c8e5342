//! The command line: what can be said ([`Args`]) and where it goes. One file a group of commands.
//!
//! Exit codes: 0 it was done, 1 it failed, 2 the command line or the configuration is wrong.

mod output;
mod run;

use clap::{Parser, Subcommand};
use config::Override;
use mangrove::{NodeError, Setup};
use output::Output;
use std::{fmt::Display, path::PathBuf, process::ExitCode};

/// Mangrove, an XMPP server.
#[derive(Debug, Parser)]
#[command(name = "mangrove", version, about, propagate_version = true)]
struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// Answer in JSON: one document on one line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Which node.
#[derive(Clone, Debug, clap::Args)]
struct NodeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true, env = "MANGROVE_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory; stronger than server.data in the configuration
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until it is told to stop
    Run,
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
        Self::usage(report)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::new(error)
    }
}

impl NodeArgs {
    /// The configuration with its modules.
    fn setup(&self) -> Result<Setup, Failure> {
        let data = self.data.as_ref().map(|dir| Override {
            flag: "--data".into(),
            option: "server.data".into(),
            value: dir.display().to_string(),
        });
        Ok(Setup::read(self.config.as_deref(), data.as_slice())?)
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = Output::new(args.json);
    let done = match args.command {
        Command::Run => run::run(&args.node, &mut out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}
