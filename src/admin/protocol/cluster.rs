//! What operators are answered about the nodes of a cluster and the registry.

use super::{Refusal, Row};
use serde::{Deserialize, Serialize};

/// A node, as the one sees it that was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its name.
    pub node: String,
    /// It is the one that was asked.
    pub me: bool,
    /// What it is doing.
    pub standing: Stands,
    /// Its start, in milliseconds of the epoch; 0: not known.
    pub incarnation: u64,
    /// Where its links are accepted.
    pub address: Option<String>,
    /// The version of its program.
    pub version: String,
    /// How many sessions it has.
    pub sessions: u64,
    /// How much longer its lease is good, in seconds; `None`: it needs none, or nothing is known of one.
    pub lease: Option<f64>,
    /// By how many milliseconds its clock is ahead of that of the node that was asked.
    pub skew: i64,
    /// What its configuration has to have in common with the others' as one number, in hex.
    pub digest: String,
    /// After which emptying of the registry it has published its sessions.
    pub confirmed: u64,
    /// The link to it.
    pub link: Option<LinkRow>,
    /// What was handed to it and is not dealt with, by start of it.
    pub relay: Vec<RelayRow>,
    /// What only the node that was asked knows of itself.
    pub own: Option<OwnRow>,
    /// What is wrong, for people.
    pub alarms: Vec<String>,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It serves.
    Up,
    /// It gives up its sessions.
    Draining,
    /// It is alive, and there is no link to it.
    Unreachable,
    /// Its lease is over.
    DeadSoon,
    /// It has no lease.
    #[default]
    Absent,
}

impl Stands {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Unreachable => "unreachable",
            Self::DeadSoon => "dead soon",
            Self::Absent => "absent",
        }
    }
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkRow {
    /// For how long it has been up, in seconds; `None`: it is not.
    pub up: Option<f64>,
    /// How often it was.
    pub ups: u64,
    /// Why there was none last.
    pub error: Option<String>,
    /// There and back, in seconds, as measured last.
    pub round_trip: Option<f64>,
    /// What it may still be sent before it has taken some: messages, and their bytes.
    pub credit: VolumeRow,
    /// What waits to be sent.
    pub queued: VolumeRow,
    /// For how long the oldest of that has, in seconds.
    pub oldest: Option<f64>,
    /// What was sent.
    pub sent: VolumeRow,
    /// What was received.
    pub received: VolumeRow,
}

/// So many frames, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What was handed to a start of a node and is not dealt with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RelayRow {
    /// Which start of it.
    pub incarnation: u64,
    /// How many items.
    pub items: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How many of them no link has taken yet.
    pub unsent: usize,
    /// For how long the oldest has waited, in seconds.
    pub age: f64,
}

/// What a node knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRow {
    /// Whether it may act: it has a lease, or needs none.
    pub may_act: bool,
    /// Bytes of messages of which it is not known where they belong.
    pub custody: usize,
    /// How many messages between processes were refused since nobody had said that they may come, by kind.
    pub refused: Vec<(String, u64)>,
}

/// How the registry is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegistryRow {
    /// Where it is.
    pub at: String,
    /// Whether it is known who is where.
    pub complete: bool,
    /// Connections that are there, and that there should be.
    pub connected: (usize, usize),
    /// Which of its beginnings this is; 0: none is known.
    pub epoch: u64,
    /// How often another one was seen after the first.
    pub epochs: u64,
    /// Calls by kind.
    pub calls: Vec<(String, u64)>,
    /// Calls on their way.
    pub in_flight: usize,
    /// Calls that failed otherwise than by their deadline.
    pub errors: u64,
    /// Calls that were not answered in time.
    pub timeouts: u64,
    /// Calls that were not made: it was away, or too many were on their way.
    pub refused: u64,
    /// Look-ups that the cache answered.
    pub hits: u64,
    /// Look-ups that it did not.
    pub misses: u64,
    /// Users of whom it was said that they changed.
    pub invalidations: u64,
    /// How often the cache was emptied.
    pub flushes: u64,
    /// Users in the cache, and their bytes.
    pub cached: (usize, u64),
    /// What failed last.
    pub last_error: Option<String>,
}

/// A record of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRow {
    /// Whose, with resource.
    pub jid: String,
    /// Who has the session.
    pub node: String,
    /// Which start of that node, in milliseconds of the epoch.
    pub incarnation: u64,
    /// The session's number there.
    pub session: u64,
    /// Of its presence.
    pub priority: Option<i8>,
    /// Of the record's changes.
    pub seq: u64,
    /// Whether this node's cache had it so.
    pub cached: bool,
    /// Whether the registry has it so.
    pub fresh: bool,
}

/// Where the registry differs from a node's sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceRow {
    /// Whose session, with resource.
    pub jid: String,
    /// What is so.
    pub what: Difference,
    /// Whose the record is, if there is one.
    pub node: Option<String>,
}

/// In what the registry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The session is here, and there is no record of it.
    Missing,
    /// The session is here, and the record is another's.
    Foreign,
    /// The record says that the session is here, and it is not.
    LeftOver,
}

/// How far the registry was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRow {
    /// Sessions or records that were looked at for this answer.
    pub seen: usize,
    /// Where to go on; `None`: that was all.
    pub next: Option<Place>,
}

/// Where a comparison is: first the sessions, then what the registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At a shard of the sessions.
    Sessions(usize),
    /// At a group of the registry's buckets.
    Records(u16),
}

impl Default for Place {
    fn default() -> Self {
        Self::Sessions(0)
    }
}

/// Where a stanza for an address would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRow {
    /// Sessions of the user, on this node and on others.
    pub sessions: Vec<RouteSession>,
    /// How those on other nodes are known.
    pub by: String,
    /// Where a message goes.
    pub message: String,
    /// Where a request goes.
    pub iq: String,
}

/// A session that a stanza may go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSession {
    /// Its resource.
    pub resource: String,
    /// Who has it.
    pub node: String,
    /// Whether it has a connection, where that is known.
    pub connected: Option<bool>,
    /// Of its presence.
    pub priority: Option<i8>,
}

/// What a node has answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Who.
    pub node: String,
    /// What.
    pub rows: Vec<Row>,
    /// Of how many they are the first, where that is known.
    pub of: Option<usize>,
    /// Why it has not, or not all of it.
    pub error: Option<Refusal>,
}
