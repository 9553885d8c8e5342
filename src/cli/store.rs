//! `mangrove store check|migrate`.

use super::{
    Done, Failure, NodeArgs,
    output::{self, Output, Table, count, value},
};
use config::Config;
use mangrove::{
    admin::protocol::{Request, Row, StoreRow},
    stores::{Migration, Opened, Place},
};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};
use storage::{
    StoreError,
    transfer::{self, Transfer, Walk},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often progress is shown.
const SHOWN: Duration = Duration::from_millis(200);
/// How long a store may be away. A MongoDB keeps the transactions of a program that was killed for a minute, and nobody else
/// changes these users meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it is left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The width of the bar.
const BAR: usize = 30;
/// Digits of a checksum that people see.
const SUM: usize = 16;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show how the store of the running node is
    Status,
    /// Read all that is kept of every user, of the running node or while none runs, and say what cannot be read
    Check,
    /// Copy everything from one store into another, while no node runs, and compare them
    ///
    /// A store is `sqlite` (in server.data), `sqlite:DIR`, or `mongodb` (that of [mongodb]). What was interrupted goes on
    /// where it was.
    Migrate {
        /// From where
        from: String,
        /// Where to: it has to be empty
        to: String,
    },
}

pub async fn store(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    match command {
        Command::Status => status(node, out).await,
        Command::Check => Box::pin(check(node, out)).await,
        Command::Migrate { from, to } => {
            let config = node.setup()?.config;
            let place = |text: &str| {
                let fix = "write sqlite, sqlite:DIR or mongodb";
                let wrong = || Failure::usage(format!("{text}: there is no such store; {fix}"));
                Place::parse(text, &config).ok_or_else(wrong)
            };
            let (from, to) = (place(&from)?, place(&to)?);
            if from == to {
                return Err(Failure::usage(format!("{from} is to be copied to itself")));
            }
            migrate(&config, &from, &to, out).await
        }
    }
}

async fn status(node: &NodeArgs, out: &mut Output) -> Done {
    let (rows, _) = node.connect().await?.rows(Request::StoreStatus {}).await?;
    if out.json {
        out.json(&rows.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    let mut table = Table::new(&["store", "value"]);
    for row in rows {
        if let Row::Store(StoreRow { name, value }) = row {
            table.row(vec![name, value]);
        }
    }
    out.text(&table.lines().join("\n"));
    Ok(())
}

async fn check(node: &NodeArgs, out: &mut Output) -> Done {
    let mut client = node.connect_or_open().await?;
    let mut walk = Walk::default();
    let mut progress = Progress::new(out, "checked", None);
    loop {
        let (rows, _) = client.rows(Request::StoreCheck { walk: walk.clone() }).await?;
        let Some(Row::Walk(next)) = rows.into_iter().next() else { break };
        let ended = next.after == walk.after;
        walk = *next;
        progress.show(&walk, false);
        if ended {
            break;
        }
    }
    progress.show(&walk, true);
    report(&[("store", &walk)], out);
    unreadable(&walk, "cannot be read", out)
}

async fn migrate(config: &Config, from: &Place, to: &Place, out: &mut Output) -> Done {
    let path = Migration::path(config);
    let source = Opened::open(from, config, false).await.map_err(Failure::new)?;
    let target = Opened::open(to, config, true).await.map_err(Failure::new)?;
    let (a, b) = (&*source.stores().transfer, &*target.stores().transfer);
    let done = copy(&path, (from, a), (to, b), out).await;
    source.close().await;
    target.close().await;
    done
}

async fn copy(
    path: &Path,
    (from, a): (&Place, &dyn Transfer),
    (to, b): (&Place, &dyn Transfer),
    out: &mut Output,
) -> Done {
    let store = |error: StoreError| Failure::new(format!("{error}; run it again to go on"));
    let is_empty = b.users("", 1).await.map_err(store)?.is_empty();
    let mut walk = match Migration::load(path, from, to) {
        _ if is_empty => Walk::default(),
        Some(walk) => {
            out.note(&format!("going on after {}", count_users(walk.tally.accounts)));
            walk
        }
        None => {
            let why = "is not empty, and no copying from";
            let fix = "was interrupted: nothing was copied; empty it, or name another one";
            return Err(Failure::new(format!("{to} {why} {from} {fix}")));
        }
    };
    let all = transfer::count(a).await.map_err(store)?;
    if all == 0 {
        return Err(Failure::new(format!("{from} has no accounts: nothing was copied")));
    }
    // before anything is there
    Migration::save(path, from, to, &walk).map_err(Failure::new)?;
    let mut progress = Progress::new(out, "copied", Some(all));
    let mut interrupt = Interrupt::new().map_err(Failure::new)?;
    let mut away = Away::default();
    loop {
        let before = walk.after.clone();
        // what is broken off leaves transactions behind, which are in the way of the next run
        let stepped = interrupt.after(walk.copy(a, b)).await?;
        Migration::save(path, from, to, &walk).map_err(Failure::new)?;
        match stepped {
            Ok(false) => break,
            Ok(true) => away.over(),
            Err(error) => {
                if walk.after != before {
                    away.over();
                }
                if !away.may_pass(&error) {
                    progress.show(&walk, true);
                    return Err(store(error));
                }
                progress.note(&format!("{error}: it is tried again"), out);
                interrupt.after(tokio::time::sleep(AGAIN)).await?;
            }
        }
        if interrupt.came {
            progress.show(&walk, true);
            let done = count_users(walk.tally.accounts);
            return Err(Failure::new(format!("interrupted after {done}; run it again to go on")));
        }
        progress.show(&walk, false);
    }
    progress.show(&walk, true);
    let mut there = Walk::default();
    let mut progress = Progress::new(out, "compared", Some(walk.tally.accounts));
    while there.read(b).await.map_err(store)? {
        progress.show(&there, false);
    }
    progress.show(&there, true);
    report(&[("copied", &walk), ("there", &there)], out);
    // it is at its end: a later one begins anew
    let removed = std::fs::remove_file(path);
    removed.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    if there.tally != walk.tally {
        let why = "they differ: did a node run meanwhile? Empty the new store, and copy again";
        return Err(Failure::new(why));
    }
    unreadable(&walk, "not copied", out)
}

/// SIGINT: what is at work is finished first. A second one waits for nothing.
struct Interrupt {
    signal: Signal,
    came: bool,
}

impl Interrupt {
    fn new() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::interrupt())?, came: false })
    }

    async fn after<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                _ = self.signal.recv() => {
                    if self.came {
                        return Err(Failure::new("stopped at once; run it again to go on"));
                    }
                    self.came = true;
                }
            }
        }
    }
}

/// Since when a store is away.
#[derive(Default)]
struct Away {
    since: Option<Instant>,
}

impl Away {
    fn over(&mut self) {
        self.since = None;
    }

    /// Whether it may be there again.
    fn may_pass(&mut self, error: &StoreError) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let passing = matches!(error, StoreError::Unavailable { .. } | StoreError::Timeout);
        passing && since.elapsed() < PATIENCE
    }
}

fn count_users(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "user")
}

fn unreadable(walk: &Walk, what: &str, out: &mut Output) -> Done {
    if walk.failed == 0 {
        return Ok(());
    }
    if !out.json {
        for (user, why) in &walk.bad {
            out.note(&format!("{user}: {why}"));
        }
    }
    Err(Failure::new(format!("{} {what}", count_users(walk.failed))))
}

/// What was found, a column for each.
fn report(walks: &[(&'static str, &Walk)], out: &mut Output) {
    let row = |name: &str, of: fn(&transfer::Tally) -> u64| {
        let numbers = walks.iter().map(|(_, walk)| of(&walk.tally).to_string());
        std::iter::once(name.to_owned()).chain(numbers).collect::<Vec<_>>()
    };
    if out.json {
        let all = walks.iter().map(|(name, walk)| ((*name).to_owned(), as_json(walk)));
        return out.json(&all.collect::<serde_json::Map<_, _>>());
    }
    let head: Vec<&'static str> =
        std::iter::once("of").chain(walks.iter().map(|(name, _)| *name)).collect();
    let mut table = Table::new(&head);
    table.row(row("accounts", |t| t.accounts));
    table.row(row("contacts", |t| t.contacts));
    table.row(row("messages", |t| t.messages));
    table.row(row("sessions", |t| t.sessions));
    table.row(row("in quarantine", |t| t.quarantined));
    table.row(row("vCards", |t| t.vcards));
    table.row(row("private elements", |t| t.private));
    table.row(row("blocked addresses", |t| t.blocked));
    // two of them, whole, are wider than a terminal: JSON has them so
    let sums = walks.iter().map(|(_, walk)| sum(walk).chars().take(SUM).collect());
    table.row(std::iter::once("checksum".to_owned()).chain(sums).collect());
    out.text(&table.lines().join("\n"));
}

fn sum(walk: &Walk) -> String {
    format!("{:032x}", walk.tally.sum)
}

fn as_json(walk: &Walk) -> serde_json::Value {
    let t = &walk.tally;
    serde_json::json!({
        "accounts": t.accounts, "contacts": t.contacts, "messages": t.messages, "sessions": t.sessions,
        "quarantined": t.quarantined, "vcards": t.vcards, "private": t.private, "blocked": t.blocked,
        "checksum": sum(walk), "failed": walk.failed, "bad": walk.bad,
    })
}

/// A bar on a terminal; elsewhere nothing.
struct Progress {
    what: &'static str,
    of: Option<u64>,
    before: Option<u64>,
    since: Instant,
    shown: Instant,
    live: bool,
}

impl Progress {
    fn new(out: &Output, what: &'static str, of: Option<u64>) -> Self {
        let live = !out.json && io::stderr().is_terminal();
        let now = Instant::now();
        Self { what, of, before: None, since: now, shown: now, live }
    }

    /// A line of its own, above the bar.
    fn note(&self, text: &str, out: &mut Output) {
        if self.live {
            drop(write!(io::stderr().lock(), "\r\u{1b}[K"));
        }
        out.note(text);
    }

    fn show(&mut self, walk: &Walk, last: bool) {
        let done = walk.tally.accounts + walk.failed;
        // what was done in another run took no time in this one
        let before = *self.before.get_or_insert(done);
        if !self.live || (!last && self.shown.elapsed() < SHOWN) {
            return;
        }
        self.shown = Instant::now();
        let line = bar(self.what, done, self.of, done - before, self.since.elapsed());
        let end = if last { "\n" } else { "" };
        let mut err = io::stderr().lock();
        drop(write!(err, "\r\u{1b}[K{line}{end}").and_then(|()| err.flush()));
    }
}

fn bar(what: &str, done: u64, of: Option<u64>, here: u64, time: Duration) -> String {
    let rate = here as f64 / time.as_secs_f64().max(0.001);
    let Some(of) = of.filter(|of| *of > 0) else {
        return format!("{} {what}, {rate:.0}/s", count_users(done));
    };
    let part = (done as f64 / of as f64).min(1.0);
    let full = (part * BAR as f64) as usize;
    let time = match of.saturating_sub(done) {
        0 => format!("in {}", output::time(time.as_secs_f64())),
        left => format!("{} left", output::time(left as f64 / rate.max(0.001))),
    };
    let (full, empty) = ("=".repeat(full), " ".repeat(BAR - full));
    // 100 % is the end
    let percent = (part * 100.0).floor();
    format!("[{full}{empty}] {percent:3} % {done} of {of} {what}, {rate:.0}/s, {time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_waited_for_and_one_that_fails_is_not() {
        let mut away = Away::default();
        assert!(away.may_pass(&StoreError::Timeout));
        assert!(!away.may_pass(&StoreError::Failed("x".to_owned())));
        away.since = Instant::now().checked_sub(PATIENCE);
        assert!(!away.may_pass(&StoreError::Timeout), "not for ever");
        away.over();
        assert!(away.may_pass(&StoreError::Timeout), "it was there meanwhile");
    }

    #[test]
    fn a_bar_says_how_far_it_is() {
        let time = Duration::from_secs(2);
        let half = bar("copied", 50, Some(100), 40, time);
        assert_eq!(
            half,
            "[===============               ]  50 % 50 of 100 copied, 20/s, 2.5s left"
        );
        let more = bar("copied", 120, Some(100), 120, time);
        assert!(more.ends_with("] 100 % 120 of 100 copied, 60/s, in 2.0s"), "more came: {more}");
        assert!(bar("copied", 999, Some(1_000), 9, time).contains(" 99 %"), "it is not done");
        assert_eq!(bar("checked", 3, None, 3, time), "3 users checked, 2/s");
        assert!(bar("copied", 0, Some(0), 0, time).starts_with("0 users"));
    }
}
