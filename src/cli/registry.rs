//! `mangrove registry`, `mangrove route`.

use super::{
    Done, Failure, NodeArgs,
    output::{Output, Table, count, date, facts, shown, value},
};
use mangrove::admin::{
    client::Client,
    protocol::{Difference, DifferenceRow, Place, RecordRow, RegistryRow, Request, RouteRow, Row},
};
use serde_json::json;
use xmpp::jid::Jid;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say how the registry is
    Stats,
    /// Say who has the sessions of user@host, or that of user@host/resource
    Get {
        /// Whose
        jid: String,
    },
    /// Compare this node's sessions with the registry, which may take a while
    Check {
        /// Set right what differs: what is missing is entered, what is left over is removed, and sessions of which others have the
        /// place end
        #[arg(long)]
        fix: bool,
    },
    /// Publish all sessions of this node again
    Rebuild,
}

fn address(jid: &str) -> Result<Jid, Failure> {
    jid.parse().map_err(|error| Failure::usage(format!("{jid}: {error}")))
}

pub async fn registry(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    let mut client = node.connect().await?;
    match command {
        Command::Stats => {
            let (rows, _) = client.rows(Request::RegistryStats {}).await?;
            for row in rows {
                let Row::Registry(row) = row else { continue };
                if out.json {
                    out.json(&row);
                } else {
                    out.text(&facts(figures(&row)).join("\n"));
                }
            }
        }
        Command::Get { jid } => {
            let jid = address(&jid)?;
            let (rows, _) = client.rows(Request::RegistryGet { jid }).await?;
            match out.json {
                true => out.json(&rows.iter().map(value).collect::<Vec<_>>()),
                false => out.text(&records(&rows).join("\n")),
            }
        }
        Command::Check { fix } => check(&mut client, fix, out).await?,
        Command::Rebuild => {
            let (_, done) = client.rows(Request::RegistryRebuild {}).await?;
            let sessions = done.of.unwrap_or_default();
            match out.json {
                true => out.json(&json!({ "sessions": sessions })),
                false => {
                    out.text(&format!("{} will be published again", count(sessions, "session")));
                }
            }
        }
    }
    Ok(())
}

fn figures(row: &RegistryRow) -> Vec<(String, String)> {
    let (connected, connections) = row.connected;
    let (users, bytes) = row.cached;
    let complete = if row.complete { "yes" } else { "no: it is not known who is where" };
    let mut all = vec![
        ("at", row.at.clone()),
        ("complete", complete.to_owned()),
        ("connections", format!("{connected} of {connections}")),
        ("epoch", format!("{}, {} others before", row.epoch, row.epochs)),
        ("calls on their way", row.in_flight.to_string()),
        ("errors", row.errors.to_string()),
        ("timeouts", row.timeouts.to_string()),
        ("not asked", row.refused.to_string()),
        ("cache", format!("{}, {bytes} bytes", count(users, "user"))),
        ("cache hits", row.hits.to_string()),
        ("cache misses", row.misses.to_string()),
        ("invalidations", row.invalidations.to_string()),
        ("cache emptied", row.flushes.to_string()),
    ];
    all.extend(row.last_error.iter().map(|error| ("last error", error.clone())));
    let mut all: Vec<_> = all.into_iter().map(|(what, is)| (what.to_owned(), is)).collect();
    let calls = row.calls.iter().filter(|(_, calls)| *calls > 0);
    all.extend(calls.map(|(kind, calls)| (format!("calls: {kind}"), calls.to_string())));
    all
}

fn records(rows: &[Row]) -> Vec<String> {
    let mut table = Table::new(&["session", "node", "started", "number>", "priority>", "known by"]);
    for row in rows {
        let Row::Record(RecordRow {
            jid, node, incarnation, session, priority, cached, fresh, ..
        }) = row
        else {
            continue;
        };
        let by = match (cached, fresh) {
            (true, true) => "registry and cache",
            (false, _) => "registry",
            (true, false) => "cache only: it was old",
        };
        table.row(vec![
            jid.clone(),
            node.clone(),
            date(*incarnation),
            session.to_string(),
            priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string()),
            by.to_owned(),
        ]);
    }
    let mut lines = table.lines();
    lines.push(count(rows.len(), "record"));
    lines
}

/// Part by part, so that none takes long.
async fn check(client: &mut Client, fix: bool, out: &mut Output) -> Done {
    let (mut found, mut seen, mut next) = (Vec::new(), [0, 0], Some(Place::default()));
    while let Some(at) = next.take() {
        for row in client.rows(Request::RegistryCheck { at, fix }).await?.0 {
            match row {
                Row::Difference(row) => found.push(row),
                Row::Checked(row) => {
                    let [sessions, records] = &mut seen;
                    let sum = if matches!(at, Place::Sessions(_)) { sessions } else { records };
                    *sum += row.seen;
                    next = row.next;
                }
                _ => {}
            }
        }
    }
    let [sessions, records] = seen;
    if out.json {
        let done =
            json!({ "sessions": sessions, "records": records, "differences": found, "fixed": fix });
        out.json(&done);
    } else {
        out.text(&differences(&found, seen, fix).join("\n"));
    }
    match found.is_empty() || fix {
        true => Ok(()),
        false => Err(Failure::new("the registry differs: `mangrove registry check --fix`")),
    }
}

fn differences(found: &[DifferenceRow], [sessions, records]: [usize; 2], fix: bool) -> Vec<String> {
    let line = |row: &DifferenceRow| {
        let node = row.node.as_deref().unwrap_or_default();
        let what = match row.what {
            Difference::Missing => "is here, and the registry does not know".to_owned(),
            Difference::Foreign => format!("is here, and the registry has it at {}", shown(node)),
            Difference::LeftOver => "is not here, and the registry says so".to_owned(),
        };
        format!("{} {what}", shown(&row.jid))
    };
    let mut lines: Vec<_> = found.iter().map(line).collect();
    let (sessions, records) = (count(sessions, "session"), count(records, "record"));
    let differ = count(found.len(), "difference");
    let fixed = if fix && !found.is_empty() { ", set right" } else { "" };
    lines.push(format!("{sessions} and {records} compared: {differ}{fixed}"));
    lines
}

pub async fn route(node: &NodeArgs, jid: &str, out: &mut Output) -> Done {
    let jid = address(jid)?;
    let (rows, _) = node.connect().await?.rows(Request::Route { jid }).await?;
    for row in rows {
        let Row::Route(row) = row else { continue };
        match out.json {
            true => out.json(&row),
            false => out.text(&way(&row).join("\n")),
        }
    }
    Ok(())
}

fn way(row: &RouteRow) -> Vec<String> {
    let mut table = Table::new(&["resource", "node", "state", "priority>"]);
    for session in &row.sessions {
        let state = match session.connected {
            Some(true) => "connected",
            Some(false) => "resumable",
            None => "-",
        };
        table.row(vec![
            session.resource.clone(),
            session.node.clone(),
            state.to_owned(),
            session.priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string()),
        ]);
    }
    let mut lines = table.lines();
    lines.push(format!("known by: {}", row.by));
    lines.push(format!("a message goes {}", shown(&row.message)));
    lines.push(format!("a request goes {}", shown(&row.iq)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_said_in_words() {
        let row = |jid: &str, what, node: Option<&str>| DifferenceRow {
            jid: jid.to_owned(),
            what,
            node: node.map(str::to_owned),
        };
        let found = [
            row("a@x/1", Difference::Missing, None),
            row("b@x/2", Difference::Foreign, Some("n2")),
            row("c@x/3", Difference::LeftOver, Some("n1")),
        ];
        let wanted = "\
a@x/1 is here, and the registry does not know
b@x/2 is here, and the registry has it at n2
c@x/3 is not here, and the registry says so
2 sessions and 1 record compared: 3 differences, set right";
        assert_eq!(differences(&found, [2, 1], true).join("\n"), wanted);
        assert_eq!(
            differences(&[], [2, 2], true),
            ["2 sessions and 2 records compared: 0 differences"]
        );
    }
}
