//! `mangrove config check|reference`.

use super::{Done, Failure, NodeArgs, output::Output};
use actors::hosts::Hosts;
use config::{Report, Sections};
use mangrove::{certificates::Sources, cluster, elsewhere};
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say everything that is wrong with a configuration
    Check {
        /// The file, instead of --config
        file: Option<PathBuf>,
    },
    /// Print every option with its documentation and default
    Reference,
}

pub async fn config(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    match command {
        Command::Check { file } => check(node, file, out).await,
        Command::Reference => {
            let mut sections = Sections::default();
            actors::modules::all(&mut sections);
            out.text(config::reference::toml(&sections).trim_end());
            Ok(())
        }
    }
}

async fn check(node: &NodeArgs, file: Option<PathBuf>, out: &mut Output) -> Done {
    let mut node = node.clone();
    node.config = file.or(node.config);
    let setup = match node.read() {
        Ok(setup) => setup,
        Err(report) => return Err(wrong(&report, out)),
    };
    // what the configuration names has to be there too
    Sources::new(&setup.config)
        .configured()
        .map_err(|e| Failure::usage(format!("certificate: {e}")))?;
    cluster::check(&setup.config).map_err(Failure::usage)?;
    elsewhere::check(&setup.config).await.map_err(Failure::usage)?;
    let hosts = setup.config.server.hosts.iter();
    let hosts = Hosts::new(hosts.map(|host| Arc::from(host.as_str())));
    setup.modules.build(&hosts).map_err(|wrong| Failure::usage(wrong.join("\n")))?;
    let name = node.config.as_ref().map(|f| f.display().to_string());
    if out.json {
        out.json(&serde_json::json!({ "file": name, "mistakes": [] }));
    } else {
        out.text(&format!("{}: good", name.as_deref().unwrap_or("no file, defaults only")));
    }
    Ok(())
}

fn wrong(report: &Report, out: &mut Output) -> Failure {
    let count = match report.rows().len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    if out.json {
        out.json(&serde_json::json!({ "mistakes": report }));
        return Failure::usage(count);
    }
    Failure::usage(format!("{count} in the configuration\n{report}"))
}
