//! `mangrove node show|drain|undrain`.

use super::{
    Done, Failure, NodeArgs,
    output::{Output, Table, count, value},
    stop,
};
use mangrove::admin::protocol::{NodeRow, Request, Row};
use std::time::Duration;

/// How often it is asked how far it is.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the nodes of the cluster as this one sees them
    Show,
    /// Have the node take no more sessions and give up those it has, and wait until it has none
    Drain {
        /// Then stop it
        #[arg(long)]
        stop: bool,
    },
    /// Have it take sessions again
    Undrain,
}

pub async fn node(args: &NodeArgs, command: Command, out: &mut Output) -> Done {
    let drain = match command {
        Command::Show => None,
        Command::Drain { .. } => Some(true),
        Command::Undrain => Some(false),
    };
    let mut client = args.connect().await?;
    let (mut rows, _) = client.rows(Request::Node { drain }).await?;
    let mut before = None;
    while drain == Some(true)
        && let Some(NodeRow { sessions, draining, .. }) = first(&rows)
        && *sessions > 0
    {
        if !draining {
            return Err(Failure::new("it takes sessions again"));
        }
        if before.replace(*sessions) != Some(*sessions) {
            let left = usize::try_from(*sessions).unwrap_or(usize::MAX);
            out.note(&format!("{} left", count(left, "session")));
        }
        tokio::time::sleep(AGAIN).await;
        (rows, _) = client.rows(Request::Node { drain: None }).await?;
    }
    if let Command::Drain { stop: true } = command {
        return stop::stop(args, out).await;
    }
    if out.json {
        out.json(&rows.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    let mut table = Table::new(&["node", "state", "sessions>", "link"]);
    for row in &rows {
        let Row::Node(n) = row else { continue };
        table.row(vec![
            n.node.clone(),
            if n.draining { "draining" } else { "up" }.to_owned(),
            n.sessions.to_string(),
            if n.connected { "connected" } else { "-" }.to_owned(),
        ]);
    }
    out.text(&table.lines().join("\n"));
    Ok(())
}

fn first(rows: &[Row]) -> Option<&NodeRow> {
    rows.iter().find_map(|row| match row {
        Row::Node(node) => Some(node),
        _ => None,
    })
}
