//! One direction of a connection: its secret, the key and nonces made of it, and the sequence number it has come to.

use super::{
    RecordError, Suite, Version,
    crypto::{Key, NONCE, expand_label},
    secret::Secret,
};
use zeroize::Zeroizing;

/// The salt of AES-GCM in TLS 1.2 (RFC 5288 3).
const SALT: usize = 4;

/// One direction.
pub struct Direction {
    pub version: Version,
    pub suite: Suite,
    /// The traffic secret; in TLS 1.2 the key and the IV after it.
    pub secret: Secret,
    pub key: Key,
    iv: Zeroizing<[u8; NONCE]>,
    /// Of the next record, under this key.
    pub seq: u64,
}

impl Direction {
    /// What a handshake, or another process, has left of TLS 1.3 or 1.2: see [`Direction::secret`].
    ///
    /// # Errors
    /// When the secret's length is not that of version and suite.
    pub fn new(
        version: Version,
        suite: Suite,
        secret: Secret,
        seq: u64,
    ) -> Result<Self, RecordError> {
        let (key, iv) = match version {
            Version::Tls13 => keys(suite, &secret)?,
            Version::Tls12 => split(suite, &secret)?,
        };
        Ok(Self { version, suite, secret, key, iv, seq })
    }

    /// A direction of TLS 1.2. An IV of 4 bytes is the salt of AES-GCM. Of one with 12 bytes the others go into the explicit
    /// part of the nonces, as [`Direction::nonce`] says: so does rustls, and whoever goes on after it must not use another
    /// series of nonces, in which those could come again that it has used for the end of the handshake.
    ///
    /// # Errors
    /// When a length is not that of the suite.
    pub fn tls12(suite: Suite, key: &[u8], iv: &[u8], seq: u64) -> Result<Self, RecordError> {
        let rest: &[u8] = match iv.len() {
            SALT if suite.is_gcm() => &[0; NONCE - SALT],
            _ => &[],
        };
        let secret = Secret::of(&[key, iv, rest]).ok_or(RecordError::Secrets)?;
        Self::new(Version::Tls12, suite, secret, seq)
    }

    /// The next traffic secret with its key; sequence numbers begin anew (RFC 8446 5.3, 7.2).
    ///
    /// # Errors
    /// None that is known: when the crypto library refuses.
    pub fn update(&mut self) -> Result<(), RecordError> {
        let secret = Secret::filled(self.suite.hash_len(), |next| {
            expand_label(self.suite, self.secret.get(), b"traffic upd", next)
        })?;
        *self = Self::new(self.version, self.suite, secret, 0)?;
        Ok(())
    }

    /// The IV and the sequence number, one over the other (RFC 8446 5.3, RFC 7905 2). AES-GCM in TLS 1.2 has the last 8 bytes
    /// in the record (RFC 5288 3): the sequence number itself, if the IV is nothing but a salt.
    pub fn nonce(&self) -> [u8; NONCE] {
        let mut nonce = *self.iv;
        for (byte, seq) in nonce.iter_mut().skip(SALT).zip(self.seq.to_be_bytes()) {
            *byte ^= seq;
        }
        nonce
    }

    /// The nonce of a record that brings its last 8 bytes along.
    pub fn nonce_with(&self, explicit: &[u8]) -> [u8; NONCE] {
        let mut nonce = *self.iv;
        for (byte, explicit) in nonce.iter_mut().skip(SALT).zip(explicit) {
            *byte = *explicit;
        }
        nonce
    }

    /// The number after this one. The last of all is never used, so that none can come again (RFC 8446 5.3).
    ///
    /// # Errors
    /// When there is none.
    pub fn following(&self) -> Result<u64, RecordError> {
        self.seq.checked_add(1).ok_or(RecordError::Sequence)
    }
}

/// Key and IV of a traffic secret (RFC 8446 7.3).
fn keys(suite: Suite, secret: &Secret) -> Result<(Key, Zeroizing<[u8; NONCE]>), RecordError> {
    if secret.get().len() != suite.hash_len() {
        return Err(RecordError::Secrets);
    }
    let key =
        Secret::filled(suite.key_len(), |key| expand_label(suite, secret.get(), b"key", key))?;
    let mut iv = Zeroizing::new([0; NONCE]);
    expand_label(suite, secret.get(), b"iv", iv.as_mut_slice())?;
    Ok((Key::new(suite, key.get())?, iv))
}

fn split(suite: Suite, secret: &Secret) -> Result<(Key, Zeroizing<[u8; NONCE]>), RecordError> {
    let (key, iv) = secret.get().split_at_checked(suite.key_len()).ok_or(RecordError::Secrets)?;
    let iv: &[u8; NONCE] = iv.try_into().map_err(|_| RecordError::Secrets)?;
    Ok((Key::new(suite, key)?, Zeroizing::new(*iv)))
}

#[cfg(test)]
#[path = "direction_tests.rs"]
mod tests;
