//! What a node counts and measures: each metric is declared here, once, with its name, help, unit and labels;
//! those of modules where they register ([`modules`]), those that are looked up when somebody asks by
//! whoever asks ([`page`]).
//!
//! Names, labels and types are what people's alerts are made of: they stay. No label has a value from outside, so
//! there are as many series as there are when the node starts. What happens for each stanza holds its counter and
//! adds to an atomic; a histogram takes a lock of its own, and is for what happens less often.

pub mod modules;
pub mod page;
#[cfg(test)]
mod tests;

pub use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Unit,
};

use prometheus_client::{
    metrics::family::{Family, MetricConstructor},
    registry::Registry,
};
use std::time::Duration;
use xmpp::{stanza::Kind, work::Work};

/// The result of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Authenticated.
    Ok,
    /// Wrong user or password.
    Refused,
    /// Too many failures before.
    Throttled,
    /// A store did not answer, or the exchange was malformed or aborted.
    Failed,
    /// It waited for memory, and there was none in time.
    NoMemory,
}

/// How the way from a connection to a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOn {
    /// A resource was bound.
    Bound,
    /// A session was resumed.
    Resumed,
    /// The connection ended before.
    Ended,
}

/// Seconds from a connection to its session: a phone on a bad network takes some, and none has more than
/// the negotiation time-out.
const LOG_ON: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0];
/// Seconds of a session: from a script's to those that are resumed for days.
const SESSION: [f64; 9] = [1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 604_800.0];
/// Seconds without a connection: a change of the network, a tunnel, and the resume window.
const RESUME: [f64; 9] = [0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Seconds until the store answers: a cached page, an `fsync`, a slow disk, and the deadline.
const STORE: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// A histogram of how long a store takes to answer, in seconds, for whoever has it shown ([`page::Looked::took`]).
pub fn answer_times() -> Histogram {
    Histogram::new(STORE)
}

/// Label and value, of each label.
type Labels = Vec<(&'static str, &'static str)>;

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn histogram(registry: &mut Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let histogram = Histogram::new(buckets.iter().copied());
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// The metric of each of these labels, taken out of its family once.
fn each<M: Clone, C: MetricConstructor<M>, const N: usize>(
    family: &Family<Labels, M, C>,
    labels: [Labels; N],
) -> [M; N] {
    labels.map(|labels| family.get_or_create_owned(&labels))
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $counter:ident = $name:literal, $help:literal;)+) => {
        /// What is counted one at a time and has no labels.
        #[derive(Debug)]
        struct Counters { $($counter: Counter),+ }

        impl Counters {
            fn declare(registry: &mut Registry) -> Self {
                Self { $($counter: counter(registry, $name, $help)),+ }
            }
        }

        impl Metrics {
            $($(#[doc = $doc])+ pub fn $counter(&self) { self.counters.$counter.inc(); })+
        }
    };
}

counters! {
    /// A connection was accepted.
    connections = "connections", "Connections accepted";
    /// A connection is gone.
    disconnections = "disconnections", "Connections gone";
    /// A connection was refused: too many.
    refused_connections = "refused_connections", "Connections refused: too many";
    /// A connection that only sat there made room for another.
    evicted_connections = "evicted_connections", "Idle connections ended to make room";
    /// The system had no connection to give.
    accept_failures = "accept_failures", "Accepts that failed: no file descriptors";
    /// An error went back to a sender.
    bounced = "bounced", "Errors sent back to senders";
    /// A delivery was refused because a queue was full.
    queue_full = "queue_full", "Deliveries refused: queue full";
    /// A stream ended since its client sent too much before it was bound.
    given_up = "given_up", "Streams ended: too much before binding";
    /// A connection had more to do than fits into one turn: others came first.
    yields = "yields", "Turns that ended for others to have theirs";
    /// A session was resumed (XEP-0198).
    resumed = "resumed", "Sessions resumed";
    /// A session went on waiting that had waited before the start.
    restored = "sessions_restored", "Sessions that waited before the start and go on waiting";
    /// A session is kept in the store while it waits to be resumed.
    slept = "sessions_stored", "Sessions put into the store to be resumed";
    /// A message was stored for sessions before it was delivered to them.
    held = "messages_held", "Messages stored for sessions";
    /// A session that waited to be resumed made room for another of its user.
    displaced = "displaced_sessions", "Sessions that waited to be resumed and made room";
    /// A TLS handshake begins.
    tls_begun = "tls_handshakes", "TLS handshakes begun";
    /// A TLS handshake is done.
    tls_secured = "tls_secured", "TLS handshakes done";
    /// A cipher suite was agreed on that the record layer does not know: the connection cannot move.
    tls_immovable = "tls_immovable", "TLS connections that cannot move: a suite of the library's";
    /// A stanza was handed to another node.
    remote_handed = "remote_handed", "Stanzas handed to other nodes";
    /// Something came back that was for a node that died.
    remote_returned = "remote_returned", "What was for a node that died before it had dealt with it";
    /// Another node took nothing more of what it was to get.
    remote_full = "remote_full", "Stanzas and orders that another node had no room for";
    /// Another node said something that this one does not know.
    remote_unknown = "remote_unknown", "What nodes of another version said and this one does not know";
    /// A message waits since nobody knows where it belongs.
    kept_in_custody = "messages_unplaced", "Messages that waited since it was not known where their users are";
    /// A log-on waits for memory.
    logins_waited = "logins_waited", "Log-ons that waited for memory";
}

/// The metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counters: Counters,
    stanzas_in: [Counter; 3],
    stanzas_out: [Counter; 3],
    logins: [Counter; 5],
    relieved: Counter,
    relieved_bytes: Counter,
    parsed: Counter,
    serialised: Counter,
    log_ons: [Histogram; 3],
    sessions: Histogram,
    resumes: Histogram,
    /// Writes, and reads.
    store: [Histogram; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mangrove");
        let all = &mut registry;
        let stanzas = Family::<Labels, Counter>::default();
        all.register("stanzas", "Stanzas from and to clients", stanzas.clone());
        let of = |direction| {
            let kinds = ["message", "presence", "iq"];
            each(&stanzas, kinds.map(|kind| vec![("direction", direction), ("kind", kind)]))
        };
        let logins = Family::<Labels, Counter>::default();
        all.register("logins", "Logins by result", logins.clone());
        let results = ["ok", "refused", "throttled", "failed", "no_memory"];
        let log_ons: Family<Labels, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(LOG_ON));
        let help = "From a connection to its session, or to its end without one";
        all.register_with_unit("log_on", help, Unit::Seconds, log_ons.clone());
        let ends = ["bound", "resumed", "ended"];
        let store: Family<Labels, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(STORE));
        let help = "Until the embedded store has answered, waiting and work together";
        all.register_with_unit("store_answer", help, Unit::Seconds, store.clone());
        let relieved_bytes = Counter::default();
        let help = "What those sessions held, in bytes";
        all.register_with_unit("relieved", help, Unit::Bytes, relieved_bytes.clone());
        let help = "Sessions ended since memory was short";
        let relieved = counter(all, "relieved_sessions", help);
        let help = "Contents of stanzas parsed after framing";
        let parsed = counter(all, "content_parsed", help);
        let serialised = counter(all, "content_serialised", "Elements written as XML");
        let help = "From binding to the end of a session, resumptions included";
        let sessions = histogram(all, "session", help, &SESSION);
        let help = "How long sessions that were resumed had waited for it";
        let resumes = histogram(all, "resume_wait", help, &RESUME);
        Self {
            counters: Counters::declare(all),
            stanzas_in: of("in"),
            stanzas_out: of("out"),
            logins: each(&logins, results.map(|result| vec![("result", result)])),
            log_ons: each(&log_ons, ends.map(|end| vec![("result", end)])),
            store: each(&store, ["writes", "reads"].map(|queue| vec![("queue", queue)])),
            relieved,
            relieved_bytes,
            parsed,
            serialised,
            sessions,
            resumes,
            registry,
        }
    }
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Message => 0,
        Kind::Presence => 1,
        Kind::Iq => 2,
    }
}

impl Metrics {
    /// A stanza came from a client.
    pub fn stanza_in(&self, kind: Kind) {
        if let Some(counter) = self.stanzas_in.get(index(kind)) {
            counter.inc();
        }
    }

    /// A stanza was written to a client.
    pub fn stanza_out(&self, kind: Kind) {
        if let Some(counter) = self.stanzas_out.get(index(kind)) {
            counter.inc();
        }
    }

    /// Content was parsed after its framing, or elements written.
    pub fn work(&self, work: Work) {
        // forwarding does neither: no shared counter is touched for it
        if work.parsed > 0 {
            self.parsed.inc_by(work.parsed);
        }
        if work.serialised > 0 {
            self.serialised.inc_by(work.serialised);
        }
    }

    /// A login ended.
    pub fn login(&self, result: Login) {
        if let Some(counter) = self.logins.get(result as usize) {
            counter.inc();
        }
    }

    /// Sessions were ended, which held so many bytes, since memory was short.
    pub fn relieved(&self, sessions: u64, bytes: u64) {
        self.relieved.inc_by(sessions);
        self.relieved_bytes.inc_by(bytes);
    }

    /// A connection has a session, or ended without one, after that long.
    pub fn log_on(&self, end: LogOn, took: Duration) {
        if let Some(histogram) = self.log_ons.get(end as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A session ended that lasted that long.
    pub fn session(&self, lasted: Duration) {
        self.sessions.observe(lasted.as_secs_f64());
    }

    /// A session was resumed after that long without a connection.
    pub fn resumed_after(&self, waited: Duration) {
        self.resumes.observe(waited.as_secs_f64());
    }

    /// For whoever asks the embedded store: its answers to writes and to reads, in seconds.
    pub fn store_answers(&self) -> [Histogram; 2] {
        self.store.clone()
    }
}
