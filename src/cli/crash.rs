//! `mangrove crash list|show`.

use super::{
    Done, NodeArgs,
    output::{Output, Table, count_of, date, shown, time, value},
};
use mangrove::admin::protocol::{Request, Row};
use std::fmt::Write;
use supervision::{CrashReport, Restart, SupervisorReport, crash::Did};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the last crashes, the newest first
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Show everything that is known of a crash
    Show {
        /// Its number
        id: u64,
    },
}

pub async fn crash(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    let request = match command {
        Command::List { limit } => Request::CrashList { limit },
        Command::Show { id } => Request::CrashShow { id },
    };
    let (rows, done) = node.connect().await?.rows(request).await?;
    match (&command, rows.as_slice()) {
        (Command::Show { .. }, [row]) if out.json => out.json(&value(row)),
        (Command::Show { .. }, [Row::Report(report)]) => out.text(&page(report)),
        _ if out.json => out.json(&rows.iter().map(value).collect::<Vec<_>>()),
        _ => {
            let mut lines = table(&rows).lines();
            lines.push(count_of(rows.len(), done.of, "crash"));
            out.text(&lines.join("\n"));
        }
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["id>", "time (UTC)", "path", "location", "reason"]);
    for row in rows {
        let Row::Crash(c) = row else { continue };
        let more = match c.suppressed {
            0 => String::new(),
            n => format!(" ({n} more before it)"),
        };
        table.row(vec![
            c.id.to_string(),
            date(c.at),
            c.path.clone(),
            c.location.clone(),
            format!("{}{more}", c.reason),
        ]);
    }
    table
}

/// What a supervisor did.
fn answer(report: &SupervisorReport) -> String {
    let SupervisorReport { supervisor, child, restarts, intensity, did, .. } = report;
    let restart = match report.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let did = match did {
        Did::Restarted => "restarted it".to_owned(),
        Did::TriesAgain => "tries again".to_owned(),
        Did::Waits(wait) => format!("restarts it after {}", time(wait.as_secs_f64())),
        Did::GaveUp => "gave up".to_owned(),
        Did::LeftIt => "left it".to_owned(),
    };
    let (most, period) = (intensity.restarts, time(intensity.period.as_secs_f64()));
    format!("{supervisor} {did} ({child}, {restart}; {restarts} of {most} restarts in {period})")
}

/// A report as a page of text.
fn page(report: &CrashReport) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11}{}", shown(value));
    };
    field("crash", &report.id.to_string());
    field("time", &format!("{} UTC", date(report.at)));
    field("process", &format!("{} ({})", report.path, report.process));
    field("ancestors", &report.ancestors.join(", "));
    let place = if report.in_terminate { " (while it was ending)" } else { "" };
    field("reason", &format!("{}{place}", report.reason));
    field("location", &report.location);
    field("status", report.status.as_deref().unwrap_or("-"));
    let waiting = report.waiting.join(", ");
    match waiting.is_empty() {
        true => field("queue", &report.queued.to_string()),
        false => field("queue", &format!("{}: {waiting}", report.queued)),
    }
    if let Some(message) = &report.message {
        field("message", message);
    }
    let lists = [("links", &report.links), ("names", &report.names), ("groups", &report.groups)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        field(name, &list.join(", "));
    }
    if let Some(supervisor) = &report.supervisor {
        field("supervisor", &answer(supervisor));
    }
    if let Some(state) = &report.state {
        field("state", &state.to_string());
    }
    field("uptime", &time(report.uptime.as_secs_f64()));
    field("build", &report.build);
    if report.suppressed > 0 {
        field("suppressed", &format!("{} more like it before", report.suppressed));
    }
    let _ = writeln!(text, "\ninputs, the one that crashed it last:");
    if report.inputs.is_empty() {
        let _ = writeln!(text, "  none were noted");
    }
    for input in &report.inputs {
        let _ = writeln!(text, "  {}", shown(input));
    }
    let _ = writeln!(text, "\nbacktrace:");
    for line in report.stack().lines() {
        let _ = writeln!(text, "{}", shown(line));
    }
    text.trim_end().to_owned()
}
