//! A digest of password and salt, once: LDAP's schemes (RFC 2307 and what came after it), Django's `sha1$`. Whoever has the
//! database tries millions of passwords a second against these; they are read so that an application can go on.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use xmpp::sasl::Hash;
use zeroize::Zeroizing;

struct Salted {
    hash: Hash,
    salt: Vec<u8>,
    /// Django has it before the password, LDAP behind it.
    salt_first: bool,
}

pub(super) fn sha1(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha1, 20, false, text)
}

pub(super) fn sha256(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha256, 32, false, text)
}

pub(super) fn sha512(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha512, 64, false, text)
}

pub(super) fn ssha1(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha1, 20, true, text)
}

pub(super) fn ssha256(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha256, 32, true, text)
}

pub(super) fn ssha512(text: &str) -> Result<Stored, FormatError> {
    ldap(Hash::Sha512, 64, true, text)
}

/// Base64 of digest and salt.
fn ldap(hash: Hash, length: usize, salted: bool, text: &str) -> Result<Stored, FormatError> {
    let malformed = FormatError::Malformed("a salted digest");
    let mut digest = text::base64(text).filter(|all| all.len() >= length).ok_or(malformed)?;
    let salt = digest.split_off(length);
    if salt.is_empty() == salted {
        return Err(malformed);
    }
    limits::lengths(&salt, &digest)?;
    Ok(Stored::one_way(Salted { hash, salt, salt_first: false }, digest))
}

/// `salt$digest` in hexadecimal; the salt is text.
pub(super) fn django(text: &str) -> Result<Stored, FormatError> {
    let parts = text::fields(text, '$').and_then(|[salt, digest]| Some((salt, text::hex(digest)?)));
    let parts = parts.filter(|(_, digest)| digest.len() == 20);
    let (salt, digest) = parts.ok_or(FormatError::Malformed("a salted digest"))?;
    let salt = salt.as_bytes().to_vec();
    limits::lengths(&salt, &digest)?;
    Ok(Stored::one_way(Salted { hash: Hash::Sha1, salt, salt_first: true }, digest))
}

fn digest<D: Digest>(first: &[u8], second: &[u8]) -> Vec<u8> {
    D::new().chain_update(first).chain_update(second).finalize().to_vec()
}

impl Scheme for Salted {
    fn name(&self) -> &'static str {
        match (self.hash, self.salt.is_empty()) {
            (Hash::Sha1, false) => "salted SHA-1",
            (Hash::Sha256, false) => "salted SHA-256",
            (Hash::Sha512, false) => "salted SHA-512",
            (Hash::Sha1, true) => "SHA-1",
            (Hash::Sha256, true) => "SHA-256",
            (Hash::Sha512, true) => "SHA-512",
        }
    }

    fn cost(&self) -> Cost {
        Cost { micros: 1, memory: 0 }
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        let salt = self.salt.as_slice();
        let (first, second) = if self.salt_first { (salt, password) } else { (password, salt) };
        Some(Zeroizing::new(match self.hash {
            Hash::Sha1 => digest::<Sha1>(first, second),
            Hash::Sha256 => digest::<Sha256>(first, second),
            Hash::Sha512 => digest::<Sha512>(first, second),
        }))
    }
}
