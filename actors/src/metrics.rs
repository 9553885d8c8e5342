//! Counters of a node, without a library: the exposition is the node's business.

use std::sync::atomic::{AtomicU64, Ordering};
use xmpp::{stanza::Kind, work::Work};

/// One monotonic counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add_all(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

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

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    stanzas_in: [Counter; 3],
    stanzas_out: [Counter; 3],
    logins: [Counter; 5],
    connections: Counter,
    disconnections: Counter,
    refused_connections: Counter,
    evicted_connections: Counter,
    accept_failures: Counter,
    bounced: Counter,
    queue_full: Counter,
    resumed: Counter,
    given_up: Counter,
    yields: Counter,
    offline_stored: Counter,
    logins_waited: Counter,
    relieved: Counter,
    relieved_bytes: Counter,
    parsed: Counter,
    serialised: Counter,
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Message => 0,
        Kind::Presence => 1,
        Kind::Iq => 2,
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+) => {
        $($(#[doc = $doc])+ pub fn $name(&self) { self.$name.add(); })+
    };
}

impl Metrics {
    /// A stanza came from a client.
    pub fn stanza_in(&self, kind: Kind) {
        if let Some(c) = self.stanzas_in.get(index(kind)) {
            c.add();
        }
    }

    /// A stanza was written to a client.
    pub fn stanza_out(&self, kind: Kind) {
        if let Some(c) = self.stanzas_out.get(index(kind)) {
            c.add();
        }
    }

    /// Content was parsed after its framing, or elements written.
    pub fn work(&self, work: Work) {
        // forwarding does neither: no shared counter is touched for it
        if work.parsed > 0 {
            self.parsed.add_all(work.parsed);
        }
        if work.serialised > 0 {
            self.serialised.add_all(work.serialised);
        }
    }

    /// A login ended.
    pub fn login(&self, result: Login) {
        if let Some(c) = self.logins.get(result as usize) {
            c.add();
        }
    }

    counters! {
        /// A connection was accepted.
        connections,
        /// A connection is gone.
        disconnections,
        /// A connection was refused: too many.
        refused_connections,
        /// A connection that only sat there made room for another.
        evicted_connections,
        /// The system had no connection to give.
        accept_failures,
        /// An error went back to a sender.
        bounced,
        /// A delivery was refused because a queue was full.
        queue_full,
        /// A session was resumed (XEP-0198).
        resumed,
        /// A stream ended since its client sent too much before it was bound.
        given_up,
        /// A connection had more to do than fits into one turn: others came first.
        yields,
        /// A message was stored for later.
        offline_stored,
        /// A log-on waits for memory.
        logins_waited
    }

    /// Sessions were ended, which held so many bytes, since memory was short.
    pub fn relieved(&self, sessions: u64, bytes: u64) {
        self.relieved.add_all(sessions);
        self.relieved_bytes.add_all(bytes);
    }

    /// Every counter as (name, help, labels, value) in the form of Prometheus.
    pub fn rows(&self) -> Vec<(&'static str, &'static str, String, u64)> {
        const KINDS: [&str; 3] = ["message", "presence", "iq"];
        const LOGINS: [&str; 5] = ["ok", "refused", "throttled", "failed", "no_memory"];
        let mut rows = Vec::new();
        for (kind, (i, o)) in KINDS.iter().zip(self.stanzas_in.iter().zip(&self.stanzas_out)) {
            let label = |d: &str| format!("direction=\"{d}\",kind=\"{kind}\"");
            let help = "Stanzas from and to clients.";
            rows.push(("mangrove_stanzas_total", help, label("in"), i.get()));
            rows.push(("mangrove_stanzas_total", help, label("out"), o.get()));
        }
        for (result, c) in LOGINS.iter().zip(&self.logins) {
            let label = format!("result=\"{result}\"");
            rows.push(("mangrove_logins_total", "Logins by result.", label, c.get()));
        }
        let plain = [
            ("mangrove_connections_total", "Connections accepted.", &self.connections),
            ("mangrove_disconnections_total", "Connections gone.", &self.disconnections),
            (
                "mangrove_refused_connections_total",
                "Connections refused: too many.",
                &self.refused_connections,
            ),
            (
                "mangrove_evicted_connections_total",
                "Idle connections ended to make room.",
                &self.evicted_connections,
            ),
            (
                "mangrove_accept_failures_total",
                "Accepts that failed: no file descriptors.",
                &self.accept_failures,
            ),
            ("mangrove_bounced_total", "Errors sent back to senders.", &self.bounced),
            ("mangrove_queue_full_total", "Deliveries refused: queue full.", &self.queue_full),
            ("mangrove_given_up_total", "Streams ended: too much before binding.", &self.given_up),
            ("mangrove_yields_total", "Turns that ended for others to have theirs.", &self.yields),
            ("mangrove_resumed_total", "Sessions resumed.", &self.resumed),
            ("mangrove_offline_stored_total", "Messages kept for later.", &self.offline_stored),
            (
                "mangrove_logins_waited_total",
                "Log-ons that waited for memory.",
                &self.logins_waited,
            ),
            (
                "mangrove_relieved_sessions_total",
                "Sessions ended since memory was short.",
                &self.relieved,
            ),
            (
                "mangrove_relieved_bytes_total",
                "What those sessions held, in bytes.",
                &self.relieved_bytes,
            ),
            (
                "mangrove_content_parsed_total",
                "Contents of stanzas parsed after framing.",
                &self.parsed,
            ),
            ("mangrove_content_serialised_total", "Elements written as XML.", &self.serialised),
        ];
        rows.extend(plain.map(|(name, help, c)| (name, help, String::new(), c.get())));
        rows.sort_by_key(|r| r.0);
        rows
    }
}
