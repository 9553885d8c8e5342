//! `mangrove tree`, `mangrove ps`.

use super::{
    Done, NodeArgs,
    nodes::Of,
    output::{Output, Table, count, count_of, shown, time},
};
use mangrove::admin::protocol::{FiguresRow, Order, Request, Row, TreeRow};
use supervision::{Intensity, restarts::Supervision};

/// The most children of a supervisor of whose restarts its line tells.
const SHOWN: usize = 3;

/// Whose tree.
#[derive(Debug, clap::Args)]
pub struct Tree {
    #[command(flatten)]
    of: Of,
}

pub async fn tree(node: &NodeArgs, Tree { of }: Tree, out: &mut Output) -> Done {
    of.ask(node, Request::Tree {}, out, |rows, of| {
        let mut lines = Vec::new();
        for row in rows {
            match row {
                Row::Tree(root) => draw(root, "", "", &mut lines),
                Row::Figures(figures) => lines.extend(ended(figures)),
                _ => {}
            }
        }
        lines.push(count(of.unwrap_or_default(), "process"));
        lines
    })
    .await
}

/// What is to be said of processes that are not there any more; nothing if all is well.
fn ended(FiguresRow { crashes, restarts, unhandled }: &FiguresRow) -> Option<String> {
    let figures =
        [(crashes, "crash"), (restarts, "restart"), (unhandled, "message nobody has handled")];
    let some = figures.into_iter().filter(|(n, _)| **n > 0);
    let some = some.map(|(n, what)| match (n, what.split_once(' ')) {
        (n, Some((one, more))) => {
            format!("{} {more}", count(usize::try_from(*n).unwrap_or(usize::MAX), one))
        }
        (n, None) => count(usize::try_from(*n).unwrap_or(usize::MAX), what),
    });
    Some(some.collect::<Vec<_>>().join(", ")).filter(|line| !line.is_empty())
}

/// What a supervisor knows of restarts; nothing if there were none.
fn restarts(seen: &Supervision) -> String {
    let (left, Intensity { restarts, period }) = (seen.left, seen.intensity);
    let mut text = String::new();
    if seen.restarts > 0 {
        let period = time(period.as_secs_f64());
        text.push_str(&format!(", {left} of {restarts} restarts in {period} left"));
    }
    for child in seen.children.iter().take(SHOWN) {
        text.push_str(&format!(", {} restarted {} times", child.id, child.restarts));
        if let Some(last) = child.history.last() {
            let ago = time(last.ago.as_secs_f64());
            text.push_str(&format!(" (last {ago} ago: {})", shown(&last.reason)));
        }
        if let Some(wait) = child.waits {
            text.push_str(&format!(", starts in {}", time(wait.as_secs_f64())));
        }
    }
    text
}

/// A process, then those below it; `first` stands before its own line, `rest` before theirs.
fn draw(node: &TreeRow, first: &str, rest: &str, lines: &mut Vec<String>) {
    let mut line = format!("{first}{} ({}) {}", node.name, node.kind, time(node.uptime));
    if node.pooled > 0 || node.kind == "pool" {
        line.push_str(&format!(", {} pooled", node.pooled));
    }
    line.push_str(&node.supervision.as_ref().map(restarts).unwrap_or_default());
    if let Some(status) = &node.status {
        line.push_str(&format!(", {}", shown(status)));
    }
    lines.push(line);
    let last = node.children.len().saturating_sub(1);
    for (n, child) in node.children.iter().enumerate() {
        let (branch, below) =
            if n == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        draw(child, &format!("{rest}{branch}"), &format!("{rest}{below}"), lines);
    }
}

/// What `ps` shows.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Which come first
    #[arg(long, value_enum, default_value_t = By::Queue)]
    by: By,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How long processes are metered first, to show their shares of the node's CPU; 1 with --by cpu
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    #[command(flatten)]
    of: Of,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum By {
    /// Messages that wait
    Queue,
    /// Time in the present handler
    Busy,
    /// Messages handled
    Handled,
    /// Time alive
    Uptime,
    /// Share of the node's CPU, see --seconds
    Cpu,
}

pub async fn ps(node: &NodeArgs, Ps { by, limit, seconds, of }: Ps, out: &mut Output) -> Done {
    let seconds = seconds.unwrap_or(if matches!(by, By::Cpu) { 1.0 } else { 0.0 });
    let by = match by {
        By::Queue => Order::Queue,
        By::Busy => Order::Busy,
        By::Handled => Order::Handled,
        By::Uptime => Order::Uptime,
        By::Cpu => Order::Cpu,
    };
    let metered = seconds > 0.0;
    of.ask(node, Request::Ps { by, limit, seconds }, out, |rows, of| {
        let mut lines = processes(rows, metered);
        lines.push(count_of(rows.len(), of, "process"));
        lines
    })
    .await
}

fn processes(rows: &[Row], metered: bool) -> Vec<String> {
    let mut head = vec!["id>", "kind", "queued>", "handled>", "busy>", "uptime>", "path", "status"];
    if metered {
        head.insert(0, "cpu>");
    }
    let mut table = Table::new(&head);
    for row in rows {
        let Row::Process(p) = row else { continue };
        let mut cells = vec![
            p.id.to_string(),
            p.kind.clone(),
            p.queued.to_string(),
            p.handled.to_string(),
            p.busy.map_or_else(|| "-".to_owned(), time),
            time(p.uptime),
            p.path.clone(),
            p.status.clone().unwrap_or_default(),
        ];
        if metered {
            // "-": it has started since
            cells
                .insert(0, p.cpu.map_or_else(|| "-".to_owned(), |c| format!("{:.1} %", c * 100.0)));
        }
        table.row(cells);
    }
    table.lines()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use supervision::{
        Restart, Strategy,
        restarts::{ChildRestarts, Restarted},
    };

    #[test]
    fn a_tree_has_branches() {
        let leaf = |name: &str, children: Vec<TreeRow>| TreeRow {
            name: name.into(),
            kind: "server".into(),
            id: 1,
            uptime: 5.0,
            status: None,
            supervision: None,
            pooled: 0,
            children,
        };
        let pool = TreeRow { kind: "pool".into(), pooled: 7, ..leaf("pool", vec![]) };
        let a = leaf("a", vec![leaf("b", vec![]), pool]);
        let root = leaf("/", vec![a, TreeRow { status: Some("busy".into()), ..leaf("c", vec![]) }]);
        let mut lines = Vec::new();
        draw(&root, "", "", &mut lines);
        let wanted = "\
/ (server) 5.0s
├── a (server) 5.0s
│   ├── b (server) 5.0s
│   └── pool (pool) 5.0s, 7 pooled
└── c (server) 5.0s, busy";
        assert_eq!(lines.join("\n"), wanted);
    }

    #[test]
    fn a_supervisor_tells_of_restarts_and_nobody_of_what_was_not() {
        let seconds = Duration::from_secs;
        let last = Restarted { ago: seconds(9), reason: "out\npaper".into() };
        let child = ChildRestarts {
            id: "printer".into(),
            restart: Restart::Permanent,
            restarts: 2,
            history: vec![last],
            failures: 1,
            waits: Some(seconds(4)),
        };
        let seen = |restarts, children| Supervision {
            strategy: Strategy::OneForOne,
            intensity: Intensity { restarts: 3, period: seconds(10) },
            restarts,
            left: 3 - restarts,
            children,
        };
        let text = restarts(&seen(2, vec![child; 9]));
        let one = ", printer restarted 2 times (last 9.0s ago: out\u{fffd}paper), starts in 4.0s";
        assert_eq!(text, format!(", 1 of 3 restarts in 10s left{one}{one}{one}"));
        assert_eq!(restarts(&seen(0, vec![])), "");
        let figures = FiguresRow { crashes: 1, restarts: 0, unhandled: 7 };
        assert_eq!(ended(&figures).unwrap(), "1 crash, 7 messages nobody has handled");
        assert_eq!(ended(&FiguresRow { crashes: 0, unhandled: 0, ..figures }), None);
    }
}
