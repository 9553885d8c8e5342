//! `mangrove sessions`, `mangrove sessions kick`.

use super::{
    Done, Failure, NodeArgs, account,
    output::{Output, Table, count, count_of, value},
};
use mangrove::admin::protocol::{Request, Row};
use xmpp::jid::Jid;

/// Whose sessions.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sessions {
    /// Of this host only
    #[arg(long)]
    host: Option<String>,
    /// Of this user only
    #[arg(long, value_name = "JID")]
    user: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// End the session of user@host/resource, or all sessions of user@host
    Kick {
        /// Whose
        jid: String,
    },
}

pub async fn sessions(node: &NodeArgs, args: Sessions, out: &mut Output) -> Done {
    let bad = |jid: &str, e| Failure::usage(format!("{jid}: {e}"));
    let kick = args.command.is_some();
    let request = match args.command {
        Some(Command::Kick { jid }) => {
            let whose = jid.parse::<Jid>().map_err(|e| bad(&jid, e))?;
            // of an account, whichever of its sessions
            account::address(whose.bare().as_str())?;
            Request::Kick { jid: whose }
        }
        None => {
            let user = args.user.as_deref().map(account::address);
            let host = args.host.map(|h| {
                xmpp::jid::prepare_domain(&h).map(|h| h.into_owned()).map_err(|e| bad(&h, e))
            });
            Request::Sessions {
                host: host.transpose()?,
                user: user.transpose()?,
                limit: args.limit,
            }
        }
    };
    let (rows, done) = node.connect().await?.rows(request).await?;
    if out.json {
        out.json(&rows.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    let mut table = Table::new(&["session", "state", "priority>", "queued>", "unacked>"]);
    for row in &rows {
        let Row::Session(s) = row else { continue };
        table.row(vec![
            s.jid.clone(),
            match (s.connected, s.stored) {
                (true, _) => "connected",
                (false, false) => "resumable",
                (false, true) => "stored",
            }
            .to_owned(),
            s.priority.map_or_else(|| "-".to_owned(), |p| p.to_string()),
            s.queued.to_string(),
            s.unacked.to_string(),
        ]);
    }
    let mut lines = table.lines();
    lines.push(if kick {
        format!("{} ended", count(rows.len(), "session"))
    } else {
        count_of(rows.len(), done.of, "session")
    });
    out.text(&lines.join("\n"));
    Ok(())
}
