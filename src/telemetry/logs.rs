//! Log lines, on standard error: for people on a terminal, one JSON object a line elsewhere. How many there
//! are has a limit (see `limit`); whoever begins to log calls [`tell_left_out`] now and then.

use super::limit::Limit;
use config::schema::{Format, Log};
use parking_lot::Mutex;
use std::{
    io::{self, IsTerminal},
    str::FromStr,
};
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::{Directive, LevelFilter},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

type Handle = reload::Handle<EnvFilter, Registry>;

pub use super::limit::EVERY;

/// The filter and the limit of the program's log; there is one log in a program, whatever nodes run in it.
static LOG: Mutex<Option<(Handle, Limit)>> = Mutex::new(None);

/// Begins to log. The first call counts; `false`: somebody else logs already.
pub fn start(log: &Log) -> bool {
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let json = match log.format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Human => false,
        Format::Json => true,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let limit = Limit::default();
    let registry = tracing_subscriber::registry().with(filter).with(limit.clone());
    let begun = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init()
    };
    if begun.is_ok() {
        *LOG.lock() = Some((handle, limit));
    }
    begun.is_ok()
}

/// Changes what is logged. `false`: this program's log is not ours.
pub(crate) fn set_level(level: &str) -> bool {
    let log = LOG.lock();
    log.as_ref().is_some_and(|(handle, _)| handle.reload(filter(level)).is_ok())
}

/// Says how many lines were left out since the last time.
pub fn tell_left_out() {
    let limit = LOG.lock().as_ref().map(|(_, limit)| limit.clone());
    if let Some(limit) = limit {
        limit.tell();
    }
}

/// How many lines were left out so far.
pub(crate) fn left_out() -> u64 {
    LOG.lock().as_ref().map_or(0, |(_, limit)| limit.left_out())
}

/// A level was checked when the configuration was read; what cannot be read is `info`. Whatever
/// it lets pass, the counts of what was left out of that pass too.
pub(super) fn filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let counts = Directive::from_str(&format!("{}=info", super::limit::TARGET));
    // what becomes of links we say ourselves: the library warns of each that ends
    let links = match level.parse::<LevelFilter>() {
        Ok(level) if level <= LevelFilter::INFO => Directive::from_str("ractor_cluster=error").ok(),
        _ => None,
    };
    counts.into_iter().chain(links).fold(filter, EnvFilter::add_directive)
}
