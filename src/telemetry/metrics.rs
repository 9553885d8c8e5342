//! The page of `/metrics`: Prometheus's text format, version 0.0.4.

use super::logs;
use crate::node::shared::Shared;
use rustix::param::{clock_ticks_per_second, page_size};
use std::{fmt::Write, fs};
use storage::Gauge;
use supervision::{Pid, TreeNode};

/// What a value is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// The page under construction. Values of one name come one after the other.
#[derive(Default)]
struct Page {
    text: String,
    last: &'static str,
}

impl Page {
    fn add(
        &mut self,
        kind: Kind,
        (name, help): (&'static str, &'static str),
        labels: &str,
        value: f64,
    ) {
        if name != self.last {
            self.last = name;
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(Kind::Gauge, (name, help), "", value);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(Kind::Counter, (name, help), "", value);
    }
}

/// Everything that is measured, at this moment.
pub(super) fn page(node: &Shared) -> String {
    let mut page = Page::default();
    for (name, help, labels, value) in node.env.metrics.rows() {
        page.add(Kind::Counter, (name, help), &labels, value as f64);
    }
    let Shared { env, system, .. } = node;
    page.gauge(
        "mangrove_sessions",
        "Sessions, those that wait to be resumed too.",
        env.table.len() as f64,
    );
    let help = "Sessions that have ended and are not gone yet.";
    page.gauge("mangrove_session_ends", help, env.managers.ending() as f64);
    let throttled = env.throttle.entries() as f64;
    let help = "Accounts and addresses whose failed log-ons are remembered.";
    page.gauge("mangrove_throttle_entries", help, throttled);
    page.gauge("mangrove_processes", "Processes that are alive.", system.alive() as f64);
    let in_tree: usize = system.tree().iter().map(TreeNode::count).sum();
    page.gauge("mangrove_processes_in_tree", "Processes that the trees hold.", in_tree as f64);
    let crashes = system.crashes().count();
    page.counter("mangrove_crashes_total", "Crashes of processes.", crashes as f64);
    let restarts = system.restarts();
    page.counter("mangrove_restarts_total", "Restarts by supervisors.", restarts as f64);
    let left_out = logs::left_out();
    page.counter("mangrove_log_lines_left_out_total", "Log lines not written.", left_out as f64);
    let pressure = &env.pressure;
    let used = pressure.used() as f64;
    page.gauge("mangrove_memory_bytes", "Memory in use, as its limit counts it.", used);
    let limit = pressure.limit() as f64;
    page.gauge("mangrove_memory_limit_bytes", "Memory that may be in use; 0: any.", limit);
    let level = f64::from(pressure.level() as u8);
    page.gauge("mangrove_memory_pressure", "1: new log-ons wait, 2: queues are moved.", level);
    queues(&mut page, node);
    process(&mut page);
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    let build = ("mangrove_build_info", "The program's version.");
    page.add(Kind::Gauge, build, version, 1.0);
    page.text
}

fn queues(page: &mut Page, node: &Shared) {
    let pids = node.system.pids();
    let deepest = pids.iter().map(Pid::depth).max().unwrap_or_default();
    page.gauge("mangrove_mailbox_depth_max", "Messages in the fullest mailbox.", deepest as f64);
    let busy = pids.iter().filter_map(Pid::busy).max().unwrap_or_default();
    let mut rows = vec![Gauge::queue_age("handler", busy)];
    rows.extend(node.backend.gauges());
    // stable: each name's rows together, in the order in which they came
    rows.sort_by_key(|row| row.name);
    for Gauge { name, help, label: (key, which), value } in rows {
        page.add(Kind::Gauge, (name, help), &format!("{key}=\"{which}\""), value);
    }
}

/// What Prometheus's own clients say of every program. Nothing where there is no `/proc`.
fn process(page: &mut Page) {
    let Some(stat) = Stat::read() else { return };
    let ticks = clock_ticks_per_second() as f64;
    page.counter(
        "process_cpu_seconds_total",
        "User and system CPU time spent, in seconds.",
        stat.cpu / ticks,
    );
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory, in bytes.",
        stat.pages * page_size() as f64,
    );
    page.gauge(
        "process_start_time_seconds",
        "Start of the process, in seconds of the epoch.",
        stat.boot + stat.start / ticks,
    );
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors.", files.count() as f64);
    }
}

/// Of `/proc/self/stat` (see proc(5)): times in ticks, memory in pages, boot in seconds.
struct Stat {
    cpu: f64,
    start: f64,
    pages: f64,
    boot: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        Self::parse(&stat, &boot)
    }

    fn parse(stat: &str, boot: &str) -> Option<Self> {
        // the program's name may hold anything, spaces and brackets too
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<f64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
        let boot = boot.lines().find_map(|l| l.strip_prefix("btime "))?;
        // the first field after the name is number 3 of the manual
        let field = |n: usize| fields.get(n - 3).copied();
        Some(Self {
            cpu: field(14)? + field(15)?,
            start: field(22)?,
            pages: field(24)?,
            boot: boot.trim().parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_have_one_head() {
        let mut page = Page::default();
        let name = ("a_total", "A.");
        page.add(Kind::Counter, name, "k=\"x\"", 1.0);
        page.add(Kind::Counter, name, "k=\"y\"", 2.0);
        page.gauge("b", "B.", 0.25);
        let wanted = "# HELP a_total A.\n# TYPE a_total counter\na_total{k=\"x\"} 1\na_total{k=\"y\"} 2\n\
                      # HELP b B.\n# TYPE b gauge\nb 0.25\n";
        assert_eq!(page.text, wanted);
    }

    #[test]
    fn stat_is_read_as_the_manual_says() {
        let numbers: Vec<String> = (4..=52).map(|n| (n * 10).to_string()).collect();
        let stat = format!("1 (a) b) S {}", numbers.join(" "));
        let read = Stat::parse(&stat, "cpu 1 2\nbtime 1700000000\nprocesses 3").unwrap();
        assert_eq!((read.cpu, read.start, read.pages), (290.0, 220.0, 240.0));
        assert_eq!(read.boot, 1_700_000_000.0);
        let own = Stat::read().unwrap();
        assert!(own.pages > 0.0 && own.boot > 1.0e9);
    }
}
