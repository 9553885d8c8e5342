//! The record layer of an established connection: all that is left of TLS after its handshake.
//!
//! TLS 1.3 (RFC 8446 5) and the AEAD suites of TLS 1.2 (RFC 5246 6.2.3.3 with RFC 5288 and RFC 7905). No I/O and no clock: whole
//! records go in, bytes to send come out, and whoever calls says what time it is.
//!
//! - [`crypto`] is the library: the AEADs and the derivation of keys; [`secret`] is what is zeroised.
//! - [`direction`] is one direction: secret, key, nonces; [`protect`] one record of it.
//! - [`incoming`] is what comes of a record of the peer; [`message`] are messages in it that may be in several.
//! - [`outgoing`] is what is sent; [`frozen`] is all of it as data.

mod crypto;
mod direction;
mod error;
mod frozen;
mod incoming;
mod message;
mod outgoing;
mod protect;
mod secret;

pub use error::RecordError;
pub use frozen::FrozenRecords;

use direction::Direction;
use incoming::Incoming;
use message::Part;
use outgoing::{Owed, UPDATE_EVERY, due};
use secret::Secret;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range, time::Instant};

/// The version that was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// The AEAD that was negotiated. In TLS 1.3 the hash goes with it: SHA-384 with AES-256, else SHA-256 (RFC 8446 B.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// AES-128-GCM.
    #[serde(rename = "aes128")]
    Aes128Gcm,
    /// AES-256-GCM.
    #[serde(rename = "aes256")]
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    #[serde(rename = "chacha20")]
    ChaCha20Poly1305,
}

impl Suite {
    fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of a traffic secret of TLS 1.3.
    fn hash_len(self) -> usize {
        match self {
            Self::Aes256Gcm => 48,
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    fn is_gcm(self) -> bool {
        self != Self::ChaCha20Poly1305
    }
}

/// What a handshake of TLS 1.3 leaves of one direction. Without `Debug`: it is secret.
#[derive(Clone, Copy)]
pub struct Secrets13<'a> {
    /// The application traffic secret in use (RFC 8446 7.1): as long as the hash.
    pub secret: &'a [u8],
    /// Records that were sealed under it so far.
    pub seq: u64,
}

/// What a handshake of TLS 1.2 leaves of one direction. Without `Debug`: it is secret.
#[derive(Clone, Copy)]
pub struct Secrets12<'a> {
    /// The AEAD's key.
    pub key: &'a [u8],
    /// 12 bytes; of AES-GCM it may be the salt alone, 4 bytes. What rustls had has to be given whole: nonces go on as it made them.
    pub iv: &'a [u8],
    /// Records that were sealed under it so far: the handshake's last message was one.
    pub seq: u64,
}

/// What was in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Data: where it is in the record. Never empty.
    Data(Range<usize>),
    /// Nothing for whoever reads: [`Records::owes`] may have changed.
    Nothing,
    /// The peer sends nothing more (RFC 8446 6.1). In TLS 1.2 it expects our `close_notify` and nothing else (RFC 5246 7.2.1).
    Closed,
}

/// Both directions of an established connection.
pub struct Records {
    sending: Direction,
    receiving: Direction,
    /// When the sending key is to be changed (1.3).
    due: Instant,
    /// What has come of a message that goes on in the next record.
    part: Part,
    /// What is sent is padded to a multiple of that, unless it is 0.
    padding: u16,
    /// Records in a row that brought no data.
    idle: u8,
    owed: Owed,
    incoming: Incoming,
    /// Our end was sent.
    closed: bool,
}

impl Records {
    /// After a handshake of TLS 1.3.
    ///
    /// # Errors
    /// When a secret is not as long as the suite's hash.
    pub fn tls13(
        suite: Suite,
        sending: Secrets13<'_>,
        receiving: Secrets13<'_>,
        now: Instant,
    ) -> Result<Self, RecordError> {
        let direction = |traffic: Secrets13<'_>| {
            let secret = Secret::of(&[traffic.secret]).ok_or(RecordError::Secrets)?;
            Direction::new(Version::Tls13, suite, secret, traffic.seq)
        };
        Ok(Self::of(direction(sending)?, direction(receiving)?, now))
    }

    /// After a handshake of TLS 1.2.
    ///
    /// # Errors
    /// When a key or an IV is not as long as the suite's.
    pub fn tls12(
        suite: Suite,
        sending: Secrets12<'_>,
        receiving: Secrets12<'_>,
        now: Instant,
    ) -> Result<Self, RecordError> {
        let direction = |by: Secrets12<'_>| Direction::tls12(suite, by.key, by.iv, by.seq);
        Ok(Self::of(direction(sending)?, direction(receiving)?, now))
    }

    fn of(sending: Direction, receiving: Direction, now: Instant) -> Self {
        Self {
            sending,
            receiving,
            due: due(now, UPDATE_EVERY),
            part: Part::default(),
            padding: 0,
            idle: 0,
            owed: Owed::default(),
            incoming: Incoming::default(),
            closed: false,
        }
    }

    /// The version that was negotiated.
    pub fn version(&self) -> Version {
        self.sending.version
    }

    /// The AEAD that was negotiated.
    pub fn suite(&self) -> Suite {
        self.sending.suite
    }

    /// Length of the first record in `wire`, with its header; `None` when more bytes are needed. No record is longer than 18437
    /// bytes.
    ///
    /// # Errors
    /// As soon as the header shows that it cannot be one: a type that may not come, another major version than 3, or more than
    /// 2^14 + 256 bytes (1.2: 2^14 + 2048).
    pub fn whole(&self, wire: &[u8]) -> Result<Option<usize>, RecordError> {
        protect::whole(self.version(), wire)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({:?}, {:?})", self.version(), self.suite())
    }
}
