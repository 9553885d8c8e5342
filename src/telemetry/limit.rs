//! What anybody outside can cause to be logged has a limit: of the lines of one place in the program so many
//! are written in a while, the rest is counted, and the count is a line too.
//!
//! It is a layer below what writes, so it holds for every line there is, of libraries too. As large as the
//! program has places that log.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Lines of one place that are written between two counts.
pub const LINES: u64 = 10;
/// How often it is said what was left out.
pub const EVERY: Duration = Duration::from_secs(10);
/// Whose lines are all written: what operators do, and the counts.
const ALWAYS: &[&str] = &["mangrove::admin::operator", TARGET];
/// Whose lines the counts are: no filter stops them (see [`filter`](super::logs::filter)).
pub(super) const TARGET: &str = module_path!();
/// How much of a line stands for those that were left out, in bytes.
const TEXT: usize = 200;

/// The layer; its clones count together.
#[derive(Clone, Debug)]
pub(super) struct Limit(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    places: Mutex<HashMap<Identifier, Place>>,
    since: Mutex<Instant>,
    left_out: AtomicU64,
}

/// One place in the program that logs.
#[derive(Debug)]
struct Place {
    metadata: &'static Metadata<'static>,
    lines: u64,
    /// The first line that was left out.
    text: String,
}

impl Place {
    fn left_out(&self) -> u64 {
        self.lines.saturating_sub(LINES)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(Counts {
            places: Mutex::default(),
            since: Mutex::new(Instant::now()),
            left_out: AtomicU64::new(0),
        }))
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // whoever wants to see everything has said so
        let wanted = *metadata.level() > Level::INFO;
        wanted || ALWAYS.contains(&metadata.target()) || self.admits(event)
    }
}

impl Limit {
    fn admits(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let mut places = self.0.places.lock();
        let new = || Place { metadata, lines: 0, text: String::new() };
        let place = places.entry(metadata.callsite()).or_insert_with(new);
        place.lines += 1;
        if place.lines <= LINES {
            return true;
        }
        self.0.left_out.fetch_add(1, Ordering::Relaxed);
        if place.left_out() == 1 {
            let mut text = Text::default();
            event.record(&mut text);
            place.text = text.0;
        }
        false
    }

    /// How many lines were left out so far.
    pub(super) fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// Says what was left out since the last time, and begins anew.
    pub(super) fn tell(&self) {
        let since = std::mem::replace(&mut *self.0.since.lock(), Instant::now());
        let seconds = since.elapsed().as_secs().max(1);
        let places = std::mem::take(&mut *self.0.places.lock());
        for place in places.into_values().filter(|p| p.left_out() > 0) {
            let (count, text) = (place.left_out(), place.text);
            let told =
                format!("{text}: and {} more like it in the last {seconds} s", Thousands(count));
            match *place.metadata.level() {
                Level::ERROR => tracing::error!(count, "{told}"),
                Level::WARN => tracing::warn!(count, "{told}"),
                _ => tracing::info!(count, "{told}"),
            }
        }
    }
}

/// The message of a line, as much as is kept of it.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
            let end = self.0.floor_char_boundary(TEXT);
            self.0.truncate(end);
        }
    }
}

/// A number as people read it: 4,711.
struct Thousands(u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (n, digit) in digits.char_indices() {
            if n > 0 && (digits.len() - n).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::filter;
    use std::io::{self, Write};
    use tracing_subscriber::{fmt as lines, layer::SubscriberExt};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of what `log` logs.
    fn written(limit: &Limit, log: impl FnOnce()) -> Vec<String> {
        written_at("trace", limit, log)
    }

    /// What is written of what `log` logs, with `level` as `log.level`.
    fn written_at(level: &str, limit: &Limit, log: impl FnOnce()) -> Vec<String> {
        let (written, limit) = (Written::default(), limit.clone());
        let to = written.clone();
        let layer = lines::layer().with_ansi(false).without_time().with_writer(move || to.clone());
        let all = tracing_subscriber::registry().with(filter(level)).with(limit).with(layer);
        tracing::subscriber::with_default(all, log);
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn of_a_flood_a_few_lines_are_written_and_the_rest_is_counted() {
        let limit = Limit::default();
        let refused = |n: u32| tracing::warn!(target: "any", user = n, "login refused");
        let lines = written(&limit, || {
            (0..4_721).for_each(refused);
            tracing::error!(target: "any", "something else");
            limit.tell();
        });
        assert_eq!(lines.len(), 12, "{lines:?}");
        assert_eq!(lines[9], " WARN any: login refused user=9");
        assert_eq!(lines[10], "ERROR any: something else");
        let told = " WARN mangrove::telemetry::limit: login refused: and 4,711 more like it in the last 1 s count=4711";
        assert_eq!(lines[11], told);
        assert_eq!(limit.left_out(), 4_711);
        // and anew
        let again = written(&limit, || (0..11).for_each(refused));
        assert_eq!(again.len(), 10);
        assert_eq!(limit.left_out(), 4_712);
        let told = written(&limit, || limit.tell());
        assert!(told.len() == 1 && told[0].contains("and 1 more like it"), "{told:?}");
        assert_eq!(written(&limit, || limit.tell()), [""; 0], "nothing was left out");
    }

    #[test]
    fn a_filter_that_lets_lines_pass_lets_their_count_pass() {
        for level in ["error,any=info", "off,any=warn", "warn", "any=trace"] {
            let limit = Limit::default();
            let lines = written_at(level, &limit, || {
                for n in 0..100 {
                    tracing::warn!(target: "any", n, "login refused");
                    tracing::info!(target: "other", n, "nobody asked for this");
                }
                limit.tell();
            });
            assert_eq!(lines.len(), 11, "{level}: {lines:?}");
            assert!(lines[10].contains("login refused: and 90 more like it"), "{level}: {lines:?}");
        }
        let limit = Limit::default();
        let refused = |n: u32| tracing::warn!(target: "any", n, "login refused");
        let none = written_at("error", &limit, || {
            (0..100).for_each(refused);
            limit.tell();
        });
        assert_eq!((none, limit.left_out()), (vec![], 0), "nobody counts what nobody wants");
    }

    #[test]
    fn operators_and_whoever_debugs_see_everything() {
        let limit = Limit::default();
        let lines = written(&limit, || {
            for n in 0..100 {
                tracing::info!(target: "mangrove::admin::operator", n, "kick");
                tracing::debug!(target: "any", n, "a connection is lost");
            }
            limit.tell();
        });
        assert_eq!((lines.len(), limit.left_out()), (200, 0));
    }

    #[test]
    fn a_long_line_is_not_kept_as_a_whole() {
        let limit = Limit::default();
        let long = "\u{e4}".repeat(1 << 20);
        let told = written(&limit, || {
            (0..11).for_each(|_| tracing::info!(target: "any", "{long}"));
            limit.tell();
        });
        assert!(told[10].len() < TEXT + 100, "{}", told[10].len());
        assert_eq!(Thousands(1_234_567).to_string(), "1,234,567");
        assert_eq!([1, 12, 123].map(|n| Thousands(n).to_string()), ["1", "12", "123"]);
    }
}
