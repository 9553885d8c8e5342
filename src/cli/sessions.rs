//! `mangrove sessions`, `mangrove sessions kick`.

use super::{
    Done, Failure, NodeArgs, account,
    nodes::Of,
    output::{Output, Table, count, count_of},
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
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// End the session of user@host/resource, or all sessions of user@host
    Kick {
        /// Whose
        jid: String,
        #[command(flatten)]
        of: Of,
    },
}

pub async fn sessions(node: &NodeArgs, args: Sessions, out: &mut Output) -> Done {
    let bad = |jid: &str, e| Failure::usage(format!("{jid}: {e}"));
    let kick = args.command.is_some();
    let (request, of) = match args.command {
        Some(Command::Kick { jid, of }) => {
            let whose = jid.parse::<Jid>().map_err(|e| bad(&jid, e))?;
            // of an account, whichever of its sessions
            account::address(whose.bare().as_str())?;
            (Request::Kick { jid: whose }, of)
        }
        None => {
            let user = args.user.as_deref().map(account::address);
            let host = args.host.map(|h| {
                xmpp::jid::prepare_domain(&h).map(|h| h.into_owned()).map_err(|e| bad(&h, e))
            });
            let (host, user) = (host.transpose()?, user.transpose()?);
            (Request::Sessions { host, user, limit: args.limit }, args.of)
        }
    };
    of.ask(node, request, out, |rows, of| {
        let mut lines = table(rows);
        lines.push(match kick {
            true => format!("{} ended", count(rows.len(), "session")),
            false => count_of(rows.len(), of, "session"),
        });
        lines
    })
    .await
}

fn table(rows: &[Row]) -> Vec<String> {
    let mut table = Table::new(&["session", "state", "priority>", "queued>", "unacked>"]);
    for row in rows {
        let Row::Session(s) = row else { continue };
        let state = match (s.connected, s.stored) {
            (true, _) => "connected",
            (false, false) => "resumable",
            (false, true) => "stored",
        };
        table.row(vec![
            s.jid.clone(),
            state.to_owned(),
            s.priority.map_or_else(|| "-".to_owned(), |p| p.to_string()),
            s.queued.to_string(),
            s.unacked.to_string(),
        ]);
    }
    table.lines()
}
