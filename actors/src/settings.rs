//! What sessions go by, of the configuration.

use crate::{connection::shaping::Rate, resource::QueueLimits};
use std::time::Duration;
use xmpp::{
    framer::Limits,
    sasl::{Hash, Mechanism},
};

/// What sessions go by; replaced as a whole when the configuration is reloaded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest stanza of an authenticated client, in bytes.
    pub max_stanza: usize,
    /// Largest stanza before authentication, in bytes.
    pub max_stanza_unauthenticated: usize,
    /// Deepest nesting of elements.
    pub max_depth: usize,
    /// From accept to a bound resource.
    pub negotiation_timeout: Duration,
    /// Authentication attempts on one stream (RFC 6120 section 6.4.4: 2 to 5).
    pub max_sasl_failures: u8,
    /// Resources a user may have bound.
    pub max_resources: usize,
    /// Longest XEP-0198 resume window; zero: resumption is not offered.
    pub resume_window: Duration,
    /// A silent client is pinged after this (XEP-0199); what XEP-0478 announces.
    pub idle: Duration,
    /// SASL mechanisms in the order of preference. PLAIN is offered under TLS only, -PLUS where
    /// there is a channel to bind to.
    pub mechanisms: Vec<Mechanism>,
    /// Queue limits of a resource.
    pub queues: QueueLimits,
    /// How fast one client may send.
    pub session_rate: Rate,
    /// How fast all clients of one address may send together.
    pub address_rate: Rate,
    /// Connections one address may have.
    pub max_per_address: usize,
    /// Memory the node may use, in bytes; 0: any.
    pub memory: usize,
    /// Where clients come to this node (HOST[:PORT]), for those that another one sends away.
    pub location: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_stanza: 256 << 10,
            max_stanza_unauthenticated: 10_000,
            max_depth: 64,
            negotiation_timeout: Duration::from_secs(30),
            max_sasl_failures: 5,
            max_resources: 16,
            resume_window: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            mechanisms: Hash::ALL
                .into_iter()
                .flat_map(|hash| [true, false].map(|plus| Mechanism::Scram { hash, plus }))
                // who knows no other -PLUS can bind to tls-unique alone, which is not there
                .filter(|m| *m != Mechanism::Scram { hash: Hash::Sha1, plus: true })
                .chain([Mechanism::Plain])
                .collect(),
            queues: QueueLimits::default(),
            session_rate: Rate { bytes: 128 << 10, burst: 512 << 10 },
            address_rate: Rate { bytes: 0, burst: 0 },
            max_per_address: 1_000,
            memory: 0,
            location: None,
        }
    }
}

impl Settings {
    /// The framer's limits before and after authentication.
    pub fn framer_limits(&self, authenticated: bool) -> Limits {
        let max_stanza =
            if authenticated { self.max_stanza } else { self.max_stanza_unauthenticated };
        Limits { max_stanza, max_depth: self.max_depth, ..Limits::default() }
    }

    /// The idle time that XEP-0478 announces, in seconds.
    pub fn idle_seconds(&self) -> u64 {
        self.idle.as_secs()
    }
}
