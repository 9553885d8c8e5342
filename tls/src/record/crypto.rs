//! The one file that names the crypto library: AEADs and HKDF-Expand-Label.
//!
//! aws-lc-rs has the same names: to exchange the library, exchange the line with `use`.
//!
//! Not zeroised by ring 0.17, and so left in freed memory until that is used again: the key schedule and hash key in a
//! [`LessSafeKey`] that is dropped, and what HKDF and HMAC keep on the stack. All that is ours is ([`super::secret`]).

use super::{RecordError, Suite};
use ring::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};

/// Bytes of a nonce, of every suite (RFC 8446 5.3).
pub const NONCE: usize = 12;
/// Bytes that a sealed record is longer by, of every suite.
pub const TAG: usize = 16;

/// A key of an AEAD, with what the library has computed from it.
pub struct Key(LessSafeKey);

impl Key {
    /// # Errors
    /// When the key's length is not the suite's.
    pub fn new(suite: Suite, key: &[u8]) -> Result<Self, RecordError> {
        let algorithm = match suite {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
            Suite::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| RecordError::Secrets)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts in place; the tag. No nonce may come a second time.
    ///
    /// # Errors
    /// When there is more than the AEAD takes.
    pub fn seal(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG], RecordError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = tag.map_err(|_| RecordError::Crypto)?;
        tag.as_ref().try_into().map_err(|_| RecordError::Crypto)
    }

    /// Decrypts in place what ends with its tag; the length of what was inside. What does not authenticate is overwritten.
    ///
    /// # Errors
    /// When it does not authenticate.
    pub fn open(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        sealed: &mut [u8],
    ) -> Result<usize, RecordError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(aad), sealed);
        plain.map(|plain| plain.len()).map_err(|_| RecordError::BadMac)
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 7.1), with the hash of the suite (RFC 8446 B.4); fills `out`.
///
/// # Errors
/// When the library refuses, which it does for no length that is asked for here.
pub fn expand_label(
    suite: Suite,
    secret: &[u8],
    label: &[u8],
    out: &mut [u8],
) -> Result<(), RecordError> {
    const PREFIX: &[u8] = b"tls13 ";
    let hash = match suite {
        Suite::Aes256Gcm => hkdf::HKDF_SHA384,
        Suite::Aes128Gcm | Suite::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
    };
    let len = u16::try_from(out.len()).map_err(|_| RecordError::Crypto)?.to_be_bytes();
    let named = u8::try_from(PREFIX.len() + label.len()).map_err(|_| RecordError::Crypto)?;
    let info: [&[u8]; 5] = [&len, &[named], PREFIX, label, &[0]];
    let prk = hkdf::Prk::new_less_safe(hash, secret);
    let okm = prk.expand(&info, Len(out.len())).map_err(|_| RecordError::Crypto)?;
    okm.fill(out).map_err(|_| RecordError::Crypto)
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
