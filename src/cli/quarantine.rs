//! `mangrove quarantine list|show|release|drop`.

use super::{
    Done, NodeArgs, account,
    output::{Output, Table, count, date, shown, value},
};
use mangrove::admin::protocol::{QuarantineRow, Request, Row};
use serde_json::json;
use std::fmt::Write;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List messages over which clients ended their streams again and again, without their content
    List {
        /// For this user only
        #[arg(long, value_name = "JID")]
        user: Option<String>,
        /// Those after this number
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: u64,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// Show one, with its content
    Show {
        /// Its number
        id: u64,
    },
    /// Give one back: its user gets it after what waits already
    Release {
        /// Its number
        id: u64,
    },
    /// Forget one
    Drop {
        /// Its number
        id: u64,
    },
}

pub async fn quarantine(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    let request = match &command {
        Command::List { user, after, limit } => {
            let user = user.as_deref().map(account::address);
            Request::QuarantineList { user: user.transpose()?, after: *after, limit: *limit }
        }
        Command::Show { id } => Request::QuarantineShow { id: *id },
        Command::Release { id } => Request::QuarantineRelease { id: *id },
        Command::Drop { id } => Request::QuarantineDrop { id: *id },
    };
    let mut client = node.connect_or_open().await?;
    let answer = client.rows(request).await;
    client.close().await;
    let (rows, _) = answer?;
    match (&command, rows.as_slice()) {
        (Command::List { .. }, _) if out.json => {
            out.json(&rows.iter().map(value).collect::<Vec<_>>());
        }
        (_, [row]) if out.json => out.json(&value(row)),
        (Command::Drop { id }, _) if out.json => out.json(&json!({ "id": id })),
        (Command::Show { .. }, [Row::Quarantined(message)]) => out.text(&page(message)),
        (Command::Release { id }, _) => out.text(&format!("message {id} is released")),
        (Command::Drop { id }, _) => out.text(&format!("message {id} is dropped")),
        _ => {
            let mut lines = table(&rows).lines();
            lines.push(count(rows.len(), "message"));
            out.text(&lines.join("\n"));
        }
    }
    Ok(())
}

fn from(message: &QuarantineRow) -> &str {
    message.from.as_deref().unwrap_or("-")
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["id>", "user", "from", "arrived (UTC)", "since (UTC)", "bytes>"]);
    for row in rows {
        let Row::Quarantined(m) = row else { continue };
        table.row(vec![
            m.id.to_string(),
            m.user.clone(),
            from(m).to_owned(),
            date(m.at),
            date(m.since),
            m.bytes.to_string(),
        ]);
    }
    table
}

/// A message as a page of text.
fn page(message: &QuarantineRow) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11}{}", shown(value));
    };
    field("message", &message.id.to_string());
    field("user", &message.user);
    field("from", from(message));
    field("arrived", &format!("{} UTC", date(message.at)));
    field("since", &format!("{} UTC", date(message.since)));
    field("bytes", &message.bytes.to_string());
    let _ = write!(text, "\n{}", shown(message.stanza.as_deref().unwrap_or_default()));
    text
}
