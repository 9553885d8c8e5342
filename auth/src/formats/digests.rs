//! A digest of password and salt, once: LDAP's schemes (RFC 2307 and what came after it), Django's `sha1$`, Werkzeug's `sha256$`
//! and `sha512$`. Whoever has the database tries millions of passwords a second against these; they are read so that an
//! application can go on.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use ring::hmac;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use xmpp::sasl::Hash;
use zeroize::Zeroizing;

struct Salted {
    hash: Hash,
    salt: Vec<u8>,
    place: Place,
}

/// Where the salt is.
enum Place {
    /// Before the password: Django.
    First,
    /// Behind it: LDAP.
    Last,
    /// The key of an HMAC: Werkzeug before 3.0.
    Key,
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
    Ok(Stored::one_way(Salted { hash, salt, place: Place::Last }, digest))
}

pub(super) fn django(text: &str) -> Result<Stored, FormatError> {
    hexadecimal(Hash::Sha1, 20, Place::First, text)
}

pub(super) fn werkzeug256(text: &str) -> Result<Stored, FormatError> {
    hexadecimal(Hash::Sha256, 32, Place::Key, text)
}

pub(super) fn werkzeug512(text: &str) -> Result<Stored, FormatError> {
    hexadecimal(Hash::Sha512, 64, Place::Key, text)
}

/// `salt$digest` in hexadecimal; the salt is text.
fn hexadecimal(hash: Hash, length: usize, place: Place, text: &str) -> Result<Stored, FormatError> {
    let parts = text::fields(text, '$').and_then(|[salt, digest]| Some((salt, text::hex(digest)?)));
    let parts = parts.filter(|(_, digest)| digest.len() == length);
    let (salt, digest) = parts.ok_or(FormatError::Malformed("a salted digest"))?;
    let salt = salt.as_bytes().to_vec();
    limits::lengths(&salt, &digest)?;
    Ok(Stored::one_way(Salted { hash, salt, place }, digest))
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
        let (first, second) = match self.place {
            Place::First => (salt, password),
            Place::Last => (password, salt),
            Place::Key => return Some(keyed(self.hash, salt, password)),
        };
        Some(Zeroizing::new(match self.hash {
            Hash::Sha1 => digest::<Sha1>(first, second),
            Hash::Sha256 => digest::<Sha256>(first, second),
            Hash::Sha512 => digest::<Sha512>(first, second),
        }))
    }
}

fn keyed(hash: Hash, key: &[u8], password: &[u8]) -> Secret {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    Zeroizing::new(hmac::sign(&hmac::Key::new(algorithm, key), password).as_ref().to_vec())
}
