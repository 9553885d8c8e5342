//! What a session is, as data: nothing here decides anything.

use super::out::Dialect;
use crate::{sessions::claim::Attached, throttle::Attempt};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};
use storage::Account;
use xmpp::{
    jid::BareJid,
    sasl::{self, Mechanism},
};

/// The session of one connection.
#[derive(Debug)]
pub struct Session {
    pub(crate) stream: Stream,
    /// Once a resource is bound.
    pub(crate) attached: Option<Attached>,
}

/// What a session knows of its stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    pub(crate) conn: Conn,
    pub(crate) phase: Phase,
    /// The host of the stream header's `to`.
    pub(crate) host: Option<Arc<str>>,
    /// Our header of the present stream is sent.
    pub(crate) opened: bool,
    /// Who authenticated.
    pub(crate) user: Option<BareJid>,
    /// Which account was looked up last ([`Account::mark`](storage::Account::mark)): another one of that name is somebody else's.
    #[serde(default)]
    pub(crate) account: Option<u64>,
    pub(crate) failures: u8,
    /// What the client has sent before it was bound: see `session::negotiation`.
    #[serde(default)]
    pub(crate) before: Count,
    /// The queue waits for the client's acknowledgements, and a timer runs.
    #[serde(default)]
    pub(crate) starved: bool,
}

/// Facts of the connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conn {
    /// The client's address (behind a proxy: the one the proxy told).
    pub peer: IpAddr,
    /// STARTTLS can be offered.
    pub starttls: bool,
    /// Authentication is refused without TLS.
    pub tls_required: bool,
    /// The TLS layer, once it is up.
    pub tls: Option<Tls>,
    /// How the stream is written down.
    #[serde(default)]
    pub dialect: Dialect,
}

/// What SASL has to know of the TLS layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// RFC 9266 tls-exporter (32 bytes); TLS 1.3 only.
    pub exporter: Option<Vec<u8>>,
    /// RFC 5929 tls-server-end-point: the hash of our certificate.
    pub end_point: Option<Vec<u8>>,
    /// The host name the client asked for (SNI).
    pub sni: Option<String>,
}

/// How far the stream is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// A stream header has to come.
    Header,
    /// Features are sent: STARTTLS or SASL have to come.
    Features,
    /// A SASL exchange is under way.
    Sasl(Exchange),
    /// Authenticated; after the restart: resource binding or resumption.
    Authenticated,
    /// Bound: stanzas are exchanged.
    Established,
    /// Our closing tag is sent.
    Closed,
}

/// What a client has sent so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(super) all: u8,
    pub(super) refused: u8,
}

/// Where an exchange is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Exchange {
    /// Chosen without an initial response: the client's first message has to come.
    First(Mechanism),
    /// The client's proof has to come.
    Proof(Box<Challenged>),
    /// The client was told why its token is not good (RFC 7628 section 3.2.2), and is to say that it heard it.
    Told,
    /// A store is asked.
    Busy,
}

/// What the client's proof is checked by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Challenged {
    pub(super) exchange: sasl::Exchange,
    pub(super) user: BareJid,
    pub(super) access: Access,
    pub(super) attempt: Attempt,
    /// The account as it is to be kept here once the proof was right, where it belongs to another application.
    #[serde(default)]
    pub(super) admit: Option<Account>,
}

/// What a right proof is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Access {
    /// There is no such account: no proof is right.
    Unknown,
    /// The account is disabled. Only who has its password is told (RFC 6120 section 6.5.2).
    Disabled,
    /// The client is who it says it is.
    Good,
}
