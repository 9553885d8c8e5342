//! `mangrove node show|drain|undrain`.

use super::{
    Done, Failure, NodeArgs,
    nodes::{among, show},
    output::{Output, count},
    stop,
};
use mangrove::admin::{
    client::Client,
    protocol::{NodeRow, Request, Stands},
};
use std::time::Duration;

/// How often it is asked how far it is.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say all that is known of a node
    Show {
        /// Which; that which is asked, if none is named
        name: Option<String>,
    },
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
    let mut client = args.connect().await?;
    let row = match command {
        Command::Show { name } => one(&mut client, Request::Nodes { node: name }).await?,
        Command::Undrain => one(&mut client, Request::Drain { drains: false }).await?,
        Command::Drain { stop } => {
            let row = drained(&mut client, out).await?;
            if stop {
                return stop::stop(args, out).await;
            }
            row
        }
    };
    show(&row, out);
    Ok(())
}

/// The first of what is answered: the one that is asked, if none is named.
async fn one(client: &mut Client, request: Request) -> Result<NodeRow, Failure> {
    let (rows, _) = client.rows(request).await?;
    among(rows).into_iter().next().ok_or_else(|| Failure::new("the node does not say"))
}

/// Waits until the node has no sessions, and says how far it is.
async fn drained(client: &mut Client, out: &mut Output) -> Result<NodeRow, Failure> {
    let mut row = one(client, Request::Drain { drains: true }).await?;
    let mut before = None;
    while row.sessions > 0 {
        if row.standing == Stands::Up {
            return Err(Failure::new("it takes sessions again"));
        }
        if before.replace(row.sessions) != Some(row.sessions) {
            let left = usize::try_from(row.sessions).unwrap_or(usize::MAX);
            out.note(&format!("{} left", count(left, "session")));
        }
        tokio::time::sleep(AGAIN).await;
        row = one(client, Request::Nodes { node: None }).await?;
    }
    Ok(row)
}
