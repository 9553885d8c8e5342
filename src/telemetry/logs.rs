//! Log lines, on standard error: for people on a terminal, one JSON object a line elsewhere.

use config::schema::{Format, Log};
use parking_lot::Mutex;
use std::io::{self, IsTerminal};
use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

type Handle = reload::Handle<EnvFilter, Registry>;

/// The filter of the program's log; there is one log in a program, whatever nodes run in it.
static FILTER: Mutex<Option<Handle>> = Mutex::new(None);

/// Begins to log. The first call counts; `false`: somebody else logs already.
pub fn start(log: &Log) -> bool {
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let json = match log.format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Human => false,
        Format::Json => true,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init()
    };
    if begun.is_ok() {
        *FILTER.lock() = Some(handle);
    }
    begun.is_ok()
}

/// Changes what is logged. `false`: this program's log is not ours.
pub(crate) fn set_level(level: &str) -> bool {
    let handle = FILTER.lock();
    handle.as_ref().is_some_and(|h| h.reload(filter(level)).is_ok())
}

/// A level was checked when the configuration was read; what cannot be read is `info`.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))
}
