//! PBKDF2 (RFC 8018), as Django, Werkzeug, passlib, and LDAP servers write it.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use ::pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use xmpp::sasl::Hash;
use zeroize::Zeroizing;

const MALFORMED: FormatError = FormatError::Malformed("PBKDF2");

struct Hashed {
    hash: Hash,
    iterations: u32,
    salt: Vec<u8>,
}

/// What the iterations cost that many make: SHA-1 and SHA-256 with the processor's instructions for them.
pub(super) fn cost(hash: Hash, iterations: u32) -> Cost {
    let nanos = match hash {
        Hash::Sha1 => 150,
        Hash::Sha256 => 125,
        Hash::Sha512 => 450,
    };
    Cost { micros: u64::from(iterations) * nanos / 1000, memory: 0 }
}

fn named(hash: &str) -> Option<Hash> {
    match hash {
        "sha1" => Some(Hash::Sha1),
        "sha256" => Some(Hash::Sha256),
        "sha512" => Some(Hash::Sha512),
        _ => None,
    }
}

fn length(hash: Hash) -> usize {
    match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha512 => 64,
    }
}

type Parts = (Hash, u32, Vec<u8>, Vec<u8>);

fn stored(parts: Option<Parts>) -> Result<Stored, FormatError> {
    let (hash, iterations, salt, expected) = parts.ok_or(MALFORMED)?;
    limits::at_least("iterations", iterations.into(), 1)?;
    limits::at_most("iterations", iterations.into(), limits::ITERATIONS.into())?;
    limits::lengths(&salt, &expected)?;
    // one block: an attacker needs no more to compare, whatever follows
    if expected.len() != length(hash) {
        return Err(MALFORMED);
    }
    Ok(Stored::one_way(Hashed { hash, iterations, salt }, expected))
}

/// `sha256$iterations$salt$hash`; the salt is text.
pub(super) fn django(text: &str) -> Result<Stored, FormatError> {
    stored(text::fields(text, '$').and_then(|[hash, iterations, salt, expected]| {
        let salt = salt.as_bytes().to_vec();
        Some((named(hash)?, text::number(iterations)?, salt, text::base64(expected)?))
    }))
}

/// `sha256:iterations$salt$hash` in hexadecimal; the salt is text.
pub(super) fn werkzeug(text: &str) -> Result<Stored, FormatError> {
    stored(text::fields(text, '$').and_then(|[method, salt, expected]| {
        let [hash, iterations] = text::fields(method, ':')?;
        let salt = salt.as_bytes().to_vec();
        Some((named(hash)?, text::number(iterations)?, salt, text::hex(expected)?))
    }))
}

/// `-sha256$iterations$salt$hash`; without a name it is SHA-1.
pub(super) fn passlib(text: &str) -> Result<Stored, FormatError> {
    stored(text::fields(text, '$').and_then(|[hash, iterations, salt, expected]| {
        let hash = if hash.is_empty() { "sha1" } else { hash.strip_prefix('-')? };
        Some((named(hash)?, text::number(iterations)?, text::ab64(salt)?, text::ab64(expected)?))
    }))
}

/// `-SHA256}iterations$salt$hash`; without a name it is SHA-1.
pub(super) fn ldap(text: &str) -> Result<Stored, FormatError> {
    let (hash, rest) = text.split_once('}').ok_or(MALFORMED)?;
    passlib(&format!("{}${rest}", hash.to_ascii_lowercase()))
}

impl Scheme for Hashed {
    fn name(&self) -> &'static str {
        match self.hash {
            Hash::Sha1 => "PBKDF2 with SHA-1",
            Hash::Sha256 => "PBKDF2 with SHA-256",
            Hash::Sha512 => "PBKDF2 with SHA-512",
        }
    }

    fn cost(&self) -> Cost {
        cost(self.hash, self.iterations)
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        let mut out = Zeroizing::new(vec![0; length(self.hash)]);
        let (salt, iterations) = (&self.salt, self.iterations);
        match self.hash {
            Hash::Sha1 => pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out),
            Hash::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            Hash::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
        }
        Some(out)
    }
}
