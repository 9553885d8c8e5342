//! bcrypt (Provos and Mazières 1999), in the notation of OpenBSD.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Most bytes of a key. Libraries cut off what is beyond, newer ones refuse to hash it; what older ones stored still fits.
const KEY: usize = 72;

/// Bytes of the result that are kept.
const KEPT: usize = 23;

struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    /// Django's way around the limit of 72 bytes: what is hashed is SHA-256 of the password, in hexadecimal.
    prehashed: bool,
}

/// `$2b$12$` and 22 + 31 characters.
pub(super) fn plain(text: &str) -> Result<Stored, FormatError> {
    parse(text, false)
}

/// Django's `bcrypt_sha256$`, without that.
pub(super) fn prehashed(text: &str) -> Result<Stored, FormatError> {
    parse(text, true)
}

fn parse(text: &str, prehashed: bool) -> Result<Stored, FormatError> {
    let (cost, salt, hash) = parts(text).ok_or(FormatError::Malformed("bcrypt"))?;
    limits::at_least("as bcrypt's cost", cost.into(), 4)?;
    limits::at_most("as bcrypt's cost", cost.into(), limits::BCRYPT_COST.into())?;
    Ok(Stored::one_way(Bcrypt { cost, salt, prehashed }, hash))
}

fn parts(text: &str) -> Option<(u32, [u8; 16], Vec<u8>)> {
    let [first, version, cost, rest] = text::fields(text, '$')?;
    if !first.is_empty() || !["2a", "2b", "2y"].contains(&version) || cost.len() != 2 {
        return None;
    }
    let salt = text::bcrypt64(rest.get(..22)?)?.try_into().ok()?;
    let hash = text::bcrypt64(rest.get(22..)?).filter(|hash| hash.len() == KEPT)?;
    Some((text::number(cost)?, salt, hash))
}

impl Scheme for Bcrypt {
    fn name(&self) -> &'static str {
        if self.prehashed { "bcrypt of SHA-256" } else { "bcrypt" }
    }

    fn cost(&self) -> Cost {
        Cost { micros: 60 << self.cost, memory: 5 << 10 }
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        let mut key = Zeroizing::new(Vec::with_capacity(KEY + 1));
        if self.prehashed {
            let digits = Sha256::digest(password);
            digits.iter().for_each(|b| key.extend_from_slice(format!("{b:02x}").as_bytes()));
        } else {
            key.extend_from_slice(password.get(..KEY).unwrap_or(password));
        }
        // the terminating zero of C is part of the key
        key.push(0);
        key.truncate(KEY);
        let derived = Zeroizing::new(::bcrypt::bcrypt(self.cost, self.salt, &key));
        derived.get(..KEPT).map(|kept| Zeroizing::new(kept.to_vec()))
    }
}
