//! What is looked up for the page of `/metrics` when somebody asks for it, and in which format they get it.

use super::{logs, nodes};
use crate::node::shared::Shared;
use actors::metrics::{
    Unit,
    page::{self, Format, Looked},
};
use auth::Figures;
use procfs::{
    ProcResult, WithCurrentSystemInfo,
    process::{LimitValue, Process},
};
use storage::Gauge;
use supervision::{Local, Node, TreeNode};

/// The format that a client wants: OpenMetrics if its `Accept` prefers that, the text format otherwise, which
/// is what every program reads that says nothing (RFC 9110 section 12.5.1).
pub(super) fn format(accept: &str) -> Format {
    let ranges = || accept.split(',').filter_map(Range::parse);
    let openmetrics = ranges().filter(|range| {
        range.name == "application/openmetrics-text"
            && matches!(range.version, None | Some("1.0.0"))
    });
    let text = ranges().filter(|range| {
        matches!(range.name.as_str(), "text/plain" | "text/*" | "*/*")
            && matches!(range.version, None | Some("0.0.4"))
    });
    let most = |qualities: &mut dyn Iterator<Item = f32>| qualities.fold(0.0, f32::max);
    match most(&mut openmetrics.map(|r| r.quality)) > most(&mut text.map(|r| r.quality)) {
        true => Format::OpenMetrics,
        false => Format::Text,
    }
}

/// One of those an `Accept` lists.
struct Range<'a> {
    name: String,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> Range<'a> {
    /// `None`: its quality is no number.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let mut range = Self { name, version: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = value.trim().parse().ok()?,
                "version" => range.version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        Some(range)
    }
}

/// Everything that is measured, at this moment.
pub(crate) fn page(node: &Shared, format: Format) -> String {
    let mut looked = Looked::default();
    look(&mut looked, node);
    queues(&mut looked, node);
    nodes::look(&mut looked, node);
    process(&mut looked);
    page::page(&node.env.metrics, &node.env.hooks().metrics, &looked, format).unwrap_or_else(|_| {
        tracing::error!("the page of the metrics could not be written");
        String::new()
    })
}

fn look(looked: &mut Looked, node: &Shared) {
    let Shared { env, system, .. } = node;
    let pressure = &env.pressure;
    let in_tree: usize = system.tree().iter().map(TreeNode::count).sum();
    let size = |bytes: usize| (Unit::Bytes, bytes as f64);
    let sessions = env.table.len() as f64;
    let help = "Sessions, those that wait to be resumed too";
    looked.gauge("mangrove_sessions", help, sessions);
    let help = "Sessions that have ended and are not gone yet";
    looked.gauge("mangrove_session_ends", help, env.managers.ending() as f64);
    let throttled = env.throttle.entries() as f64;
    let help = "Accounts and addresses whose failed log-ons are remembered";
    looked.gauge("mangrove_throttle_entries", help, throttled);
    looked.gauge("mangrove_processes", "Processes that are alive", system.alive() as f64);
    looked.gauge("mangrove_processes_in_tree", "Processes that the trees hold", in_tree as f64);
    looked.counter("mangrove_crashes", "Crashes of processes", system.crashes().count());
    looked.counter("mangrove_restarts", "Restarts by supervisors", system.restarts());
    let help = "Messages left in the inboxes of processes that ended";
    looked.counter("mangrove_messages_unhandled", help, system.unhandled());
    looked.gauge("mangrove_node_names", "Names of nodes that are known", Node::known() as f64);
    looked.counter("mangrove_log_lines_left_out", "Log lines not written", logs::left_out());
    let (unit, used) = size(pressure.used());
    looked.measure("mangrove_memory", "Memory in use, as its limit counts it", unit, used);
    let (unit, limit) = size(pressure.limit());
    looked.measure("mangrove_memory_limit", "Memory that may be in use; 0: any", unit, limit);
    let level = f64::from(pressure.level() as u8);
    let help = "1: new log-ons wait, 2: queues are moved";
    looked.gauge("mangrove_memory_pressure", help, level);
    let version = env!("CARGO_PKG_VERSION");
    if let Some(figures) = env.accounts.figures() {
        hashes(looked, &figures);
    }
    looked.info("mangrove_build", "The program's version", "version", version);
}

/// Passwords of accounts that belong to another application.
fn hashes(looked: &mut Looked, figures: &Figures) {
    let Figures { queued, running, done, took, failed, shared, refused } = *figures;
    let help = "Passwords that wait to be verified";
    looked.gauge("mangrove_hashes_waiting", help, queued as f64);
    let help = "Passwords that are being verified";
    looked.gauge("mangrove_hashes_running", help, running as f64);
    looked.counter("mangrove_hashes", "Passwords that were verified", done);
    let help = "Who had the result of a password that was verified for another, at the same time";
    looked.counter("mangrove_hashes_shared", help, shared);
    let help = "Log-ons that were refused, since too many passwords waited";
    looked.counter("mangrove_hashes_refused", help, refused);
    let help = "Passwords over which whoever verified them crashed";
    looked.counter("mangrove_hashes_failed", help, failed);
    let help = "Time spent with verifying passwords";
    looked.seconds("mangrove_hashing", help, took.as_secs_f64());
}

fn queues(looked: &mut Looked, node: &Shared) {
    let pids = node.system.pids();
    let deepest = pids.iter().map(Local::depth).max().unwrap_or_default();
    let help = "Messages in the fullest mailbox";
    looked.gauge("mangrove_mailbox_depth_max", help, deepest as f64);
    let busy = pids.iter().filter_map(Local::busy).max().unwrap_or_default();
    let mut rows = vec![Gauge::queue_age("handler", busy)];
    rows.extend(node.backend.gauges());
    // stable: each name's rows together, in the order in which they came
    rows.sort_by_key(|row| row.name);
    for rows in rows.chunk_by(|a, b| a.name == b.name) {
        looked.measures(rows);
    }
}

/// What Prometheus's own clients say of every program. Nothing where there is no `/proc`.
fn process(looked: &mut Looked) {
    if let Err(error) = look_at_process(looked) {
        tracing::debug!(%error, "there is no /proc");
    }
}

fn look_at_process(looked: &mut Looked) -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let bytes = |bytes: u64| (Unit::Bytes, bytes as f64);
    let cpu = (stat.utime + stat.stime) as f64 / ticks;
    looked.seconds("process_cpu", "User and system CPU time spent", cpu);
    let (unit, resident) = bytes(stat.rss_bytes().get());
    looked.measure("process_resident_memory", "Resident memory", unit, resident);
    let (unit, virtual_memory) = bytes(stat.vsize);
    looked.measure("process_virtual_memory", "Virtual memory", unit, virtual_memory);
    let start = procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks;
    let help = "Start of the process, of the epoch";
    looked.measure("process_start_time", help, Unit::Seconds, start);
    let threads = stat.num_threads as f64;
    looked.gauge("process_threads", "Threads of the operating system", threads);
    let open = process.fd_count()? as f64;
    looked.gauge("process_open_fds", "Open file descriptors", open);
    if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
        looked.gauge("process_max_fds", "The most open file descriptors", most as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        // of Prometheus 2.5, 2.43 and 3.0: their scrapes' headers
        let (old, new, three) = (
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        );
        for (accept, wanted) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            (old, Format::Text),
            (new, Format::OpenMetrics),
            (three, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=0.5,text/plain", Format::Text),
            ("application/openmetrics-text;q=x,text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0.5,text/plain;version=1.0.0", Format::OpenMetrics),
        ] {
            assert_eq!(format(accept), wanted, "{accept}");
        }
    }
}
