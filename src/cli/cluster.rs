//! `mangrove cluster init|rotate-secret`: what the nodes of a cluster have to show one another.

use super::{Done, Failure, output::Output};
use mangrove::cluster::credentials::{self, CredentialsError};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a certificate authority, a secret and a cookie for a cluster, and what each of its nodes needs of them. Done again, it
    /// adds nodes, and renews the certificates of those it is told
    Init {
        /// Where: keep it, off the nodes
        #[arg(long, default_value = "cluster")]
        dir: PathBuf,
        /// The names of the nodes, as each has it as server.node
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Put another version of the secret in force, beside those before
    RotateSecret {
        /// Where `cluster init` made it
        #[arg(long, default_value = "cluster")]
        dir: PathBuf,
    },
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::Name(_) => Self::usage(error),
            _ => Self::new(error),
        }
    }
}

pub fn cluster(command: Command, out: &mut Output) -> Done {
    match command {
        Command::Init { dir, nodes } => {
            let made = credentials::init(&dir, &nodes)?;
            if out.json {
                out.json(&json!({ "cluster": made.cluster, "nodes": made.nodes }));
                return Ok(());
            }
            if made.cluster {
                out.text(&format!("made an authority, a secret and a cookie in {}", dir.display()));
                out.text("its ca.key makes nodes: keep it where no node is");
            }
            for node in made.nodes {
                let node = node.display();
                out.text(&format!(
                    "copy {node}/ to that node, as data/cluster (cluster.credentials)"
                ));
            }
        }
        Command::RotateSecret { dir } => {
            let version = credentials::rotate(&dir)?;
            if out.json {
                out.json(&json!({ "version": version }));
                return Ok(());
            }
            out.text(&format!("version {version}: copy the file secret to each node; it is read while the node runs"));
        }
    }
    Ok(())
}
