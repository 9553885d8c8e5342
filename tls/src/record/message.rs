//! Messages of the handshake that come after it: how much of one has come in the records so far.

use super::RecordError;
use serde::{Deserialize, Serialize};

/// Bytes of an unfinished message that are kept: the header, which is all of a KeyUpdate but its last byte.
pub const MAX_HELD: usize = 4;
/// Its type (RFC 8446 4).
pub const KEY_UPDATE: u8 = 24;
/// Its type (RFC 5246 7.4).
const CLIENT_HELLO: u8 = 1;

/// What has come of a message that goes on in the next record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its first bytes, and how many.
    held: [u8; MAX_HELD],
    len: u8,
    /// What is to come of the rest, which nobody looks at (TLS 1.2).
    skip: u32,
}

impl Part {
    /// Whether a message has begun that is not complete.
    pub fn is_open(&self) -> bool {
        *self != Self::default()
    }

    fn held(&self) -> &[u8] {
        self.held.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Keeps one more byte, if there is room.
    fn hold(&mut self, byte: u8) {
        if let Some(room) = self.held.get_mut(usize::from(self.len)) {
            *room = byte;
            self.len += 1;
        }
    }

    /// The content of a record of TLS 1.3, which has nothing but a KeyUpdate, or a part of one: whether it is complete,
    /// and if so, whether the peer wants one in return. It has to end with its record, for the key changes
    /// behind it (RFC 8446 5.1).
    ///
    /// # Errors
    /// For anything else: no client sends it (RFC 8446 4.6), since none is asked for a certificate.
    pub fn key_update(&mut self, content: &[u8]) -> Result<Option<bool>, RecordError> {
        for (at, byte) in content.iter().enumerate() {
            let place = usize::from(self.len);
            match (place, *byte) {
                (0, KEY_UPDATE) | (1 | 2, 0) | (3, 1) => self.hold(*byte),
                (0, _) => return Err(RecordError::Unexpected("a message of the handshake")),
                (1..=3, _) => return Err(RecordError::Malformed("a KeyUpdate")),
                (_, request) => {
                    if at + 1 != content.len() {
                        return Err(RecordError::Unexpected("what follows a KeyUpdate"));
                    }
                    if request > 1 {
                        return Err(RecordError::Illegal("a KeyUpdate"));
                    }
                    *self = Self::default();
                    return Ok(Some(request == 1));
                }
            }
        }
        Ok(None)
    }

    /// The content of a record of TLS 1.2, which has nothing but ClientHellos, or parts of them: whether the first byte of
    /// one was in it.
    ///
    /// # Errors
    /// For anything else: no client sends it before it has the answer to that.
    pub fn hello(&mut self, mut content: &[u8]) -> Result<bool, RecordError> {
        let mut begun = false;
        while let Some((first, rest)) = content.split_first() {
            if self.skip > 0 {
                let skipped = content.len().min(self.skip as usize);
                self.skip = self.skip.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
                content = content.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.len == 0 {
                if *first != CLIENT_HELLO {
                    return Err(RecordError::Unexpected("a message of the handshake"));
                }
                begun = true;
            }
            self.hold(*first);
            content = rest;
            if let [_, a, b, c] = *self.held() {
                *self = Self { skip: u32::from_be_bytes([0, a, b, c]), ..Self::default() };
            }
        }
        Ok(begun)
    }

    /// Whether a layer can have had it: of TLS 1.3 or 1.2.
    pub fn is_possible(&self, tls13: bool) -> bool {
        let mut again = Self::default();
        let whole = self.held().len() == usize::from(self.len) && self.skip < 1 << 24;
        whole
            && match tls13 {
                true => again.key_update(self.held()) == Ok(None) && again == *self,
                false if self.skip > 0 => self.len == 0 && self.held == [0; MAX_HELD],
                false => again.hello(self.held()).is_ok() && again == *self,
            }
    }
}
