//! What ends a connection in its record layer, and which alert says so.

use thiserror::Error;

/// Why a record was not opened or sealed. After one of [`Records::open`] nothing is opened any more.
///
/// [`Records::open`]: super::Records::open
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The record's major version is not 3.
    #[error("a record of another protocol")]
    Version,
    /// A record, or what is in it, is longer than it may be (RFC 8446 5.1, 5.2; RFC 5246 6.2).
    #[error("a record that is too long")]
    Overflow,
    /// The record was not sealed by the peer, is not the next one, or is too short for any.
    #[error("a record that does not authenticate")]
    BadMac,
    /// Something that may not come now; what it was.
    #[error("unexpected: {0}")]
    Unexpected(&'static str),
    /// A field with a value that it cannot have.
    #[error("illegal: {0}")]
    Illegal(&'static str),
    /// A message of another length than its type has.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Too many records in a row brought no data.
    #[error("too many records without data")]
    Idle,
    /// The peer's fatal alert, by its number (RFC 8446 6).
    #[error("the peer's alert {0}")]
    Alert(u8),
    /// The sending key has sealed what it may and cannot be changed: the connection is to be closed.
    #[error("the key has sealed all it may")]
    WornOut,
    /// Sequence numbers have come to their end.
    #[error("no sequence number is left")]
    Sequence,
    /// TLS 1.2 cannot change its keys.
    #[error("this version has no KeyUpdate")]
    NoUpdate,
    /// Nothing is sealed after a `close_notify` or a fatal alert.
    #[error("closed for sending")]
    Closed,
    /// An error came before.
    #[error("ended by an error before")]
    Dead,
    /// [`Records::open`](super::Records::open) was given something else than one whole record.
    #[error("not one whole record")]
    NotOne,
    /// Keys or secrets that cannot be those of this version and suite.
    #[error("secrets of another length than the suite's")]
    Secrets,
    /// A frozen state that no layer can have had; what is wrong with it.
    #[error("a frozen state that cannot be: {0}")]
    Frozen(&'static str),
    /// The crypto library refused.
    #[error("the crypto library refused")]
    Crypto,
}

impl RecordError {
    /// The number of the fatal alert that tells the peer (RFC 8446 6.2, RFC 5246 7.2.2). `None` where there is nothing to tell
    /// (it said so itself, or was told before), and where the connection is to be closed in order.
    pub fn alert(&self) -> Option<u8> {
        match self {
            Self::Unexpected(_) | Self::Idle => Some(10),
            Self::BadMac => Some(20),
            Self::Overflow => Some(22),
            Self::Illegal(_) => Some(47),
            Self::Malformed(_) => Some(50),
            Self::Version => Some(70),
            Self::NotOne | Self::Crypto | Self::Secrets => Some(80),
            Self::Alert(_) | Self::WornOut | Self::Sequence | Self::NoUpdate => None,
            Self::Closed | Self::Dead | Self::Frozen(_) => None,
        }
    }
}
