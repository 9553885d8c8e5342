//! What comes of a record that was opened.

use super::{
    Opened, Owed, RecordError, Records, Version,
    protect::{ALERT, DATA, HANDSHAKE, open},
};
use serde::{Deserialize, Serialize};

/// Records in a row that bring no data: empty ones, KeyUpdates, warnings, parts of messages. A peer that goes on like that has
/// us compute and never says anything. The protocol has no alert of its own for it: it is `unexpected_message`.
pub const MAX_IDLE: u8 = 32;

const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// How far it is with what the peer sends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Incoming {
    #[default]
    #[serde(rename = "open")]
    Open,
    /// It has sent its `close_notify`.
    #[serde(rename = "closed")]
    Closed,
    /// An error came of it.
    #[serde(rename = "dead")]
    Dead,
}

impl Records {
    /// Opens exactly one record in place: one that [`Records::whole`] has found, with its header. What is owed afterwards, see
    /// [`Records::owes`]. After the peer's `close_notify` nothing is looked at any more: it is [`Opened::Closed`] again
    /// (RFC 8446 6.1).
    ///
    /// # Errors
    /// When it cannot be opened or may not come: then the connection is over, and so are all records after it.
    pub fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        match self.incoming {
            Incoming::Open => {}
            Incoming::Closed => return Ok(Opened::Closed),
            Incoming::Dead => return Err(RecordError::Dead),
        }
        let opened = self.open_next(record).and_then(|opened| self.count(opened));
        match opened {
            Ok(Opened::Closed) => self.incoming = Incoming::Closed,
            Err(_) => {
                self.incoming = Incoming::Dead;
                self.owed = Owed::default();
            }
            Ok(_) => {}
        }
        opened
    }

    /// Whether the peer has sent its `close_notify`: what comes after it is no records that anybody looks at.
    pub fn has_ended(&self) -> bool {
        self.incoming == Incoming::Closed
    }

    fn count(&mut self, opened: Opened) -> Result<Opened, RecordError> {
        self.idle = match opened {
            Opened::Nothing => self.idle.saturating_add(1),
            Opened::Data(_) | Opened::Closed => 0,
        };
        if self.idle > MAX_IDLE { Err(RecordError::Idle) } else { Ok(opened) }
    }

    fn open_next(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        let (kind, range) = open(&mut self.receiving, record)?;
        let content = record.get(range.clone()).unwrap_or_default();
        let tls13 = self.version() == Version::Tls13;
        // nothing comes between the parts of a message (RFC 8446 5.1); 1.2 does not forbid it
        if tls13 && self.part.is_open() && kind != HANDSHAKE {
            return Err(RecordError::Unexpected("a record between parts of a message"));
        }
        match kind {
            DATA if content.is_empty() => Ok(Opened::Nothing),
            DATA => Ok(Opened::Data(range)),
            ALERT => self.alerted(content),
            HANDSHAKE if content.is_empty() => Err(RecordError::Unexpected("an empty message")),
            HANDSHAKE if tls13 => self.key_update(content),
            HANDSHAKE => {
                self.owed.refusal |= self.part.hello(content)? && !self.closed;
                Ok(Opened::Nothing)
            }
            _ => Err(RecordError::Unexpected("a record of this type")),
        }
    }

    /// In 1.3 the level says nothing, and all but two end the connection (RFC 8446 6); in 1.2 warnings do not (RFC 5246 7.2).
    fn alerted(&self, content: &[u8]) -> Result<Opened, RecordError> {
        let &[level, alert] = content else {
            return Err(RecordError::Unexpected("a part of an alert"));
        };
        match (self.version(), level, alert) {
            (_, _, CLOSE_NOTIFY) => Ok(Opened::Closed),
            (Version::Tls13, _, USER_CANCELED) => Ok(Opened::Nothing),
            (Version::Tls12, WARNING, _) => Ok(Opened::Nothing),
            (Version::Tls13, ..) | (_, FATAL, _) => Err(RecordError::Alert(alert)),
            _ => Err(RecordError::Illegal("an alert of this level")),
        }
    }

    /// The peer's key changes with the next record (RFC 8446 4.6.3).
    fn key_update(&mut self, content: &[u8]) -> Result<Opened, RecordError> {
        if let Some(requested) = self.part.key_update(content)? {
            self.receiving.update()?;
            // after our end there is nothing to answer
            self.owed.update |= requested && !self.closed;
        }
        Ok(Opened::Nothing)
    }
}
