//! `crypt(3)` with SHA-256 and SHA-512, as glibc has it (Drepper 2007).

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use sha_crypt::{
    ROUNDS_DEFAULT, ROUNDS_MIN, Sha256Params, Sha512Params, sha256_crypt_b64, sha512_crypt_b64,
};
use zeroize::Zeroizing;

/// Longest salt, in bytes: the rest is cut off by libraries.
const SALT: usize = 16;

struct Crypt {
    wide: bool,
    rounds: u32,
    salt: String,
}

/// What stands behind `$5$`.
pub(super) fn sha256(text: &str) -> Result<Stored, FormatError> {
    parse(text, false)
}

/// What stands behind `$6$`.
pub(super) fn sha512(text: &str) -> Result<Stored, FormatError> {
    parse(text, true)
}

/// `rounds=656000$salt$hash`, or without rounds, which are 5000 then.
fn parse(text: &str, wide: bool) -> Result<Stored, FormatError> {
    let malformed = FormatError::Malformed("crypt with SHA-2");
    let (rounds, rest) = match text.strip_prefix("rounds=") {
        Some(rest) => rest.split_once('$').ok_or(malformed)?,
        None => ("5000", text),
    };
    debug_assert_eq!(ROUNDS_DEFAULT, 5000);
    let rounds = text::number(rounds).ok_or(malformed)?;
    limits::at_least("rounds", rounds.into(), ROUNDS_MIN as u64)?;
    limits::at_most("rounds", rounds.into(), limits::ROUNDS.into())?;
    let [salt, hash] = text::fields(rest, '$').ok_or(malformed)?;
    let itoa64 = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
    let length = if wide { 86 } else { 43 };
    if hash.len() != length || !itoa64(hash) {
        return Err(malformed);
    }
    limits::at_most("bytes of salt", salt.len() as u64, SALT as u64)?;
    Ok(Stored::one_way(Crypt { wide, rounds, salt: salt.to_owned() }, hash.as_bytes().to_vec()))
}

impl Scheme for Crypt {
    fn name(&self) -> &'static str {
        if self.wide { "SHA-512-crypt" } else { "SHA-256-crypt" }
    }

    fn cost(&self) -> Cost {
        let nanos = if self.wide { 250 } else { 80 };
        Cost { micros: u64::from(self.rounds) * nanos / 1000, memory: 0 }
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        if password.len() > limits::CRYPT_PASSWORD {
            return None;
        }
        let (salt, rounds) = (self.salt.as_bytes(), self.rounds as usize);
        let text = if self.wide {
            sha512_crypt_b64(password, salt, &Sha512Params::new(rounds).ok()?).ok()?
        } else {
            sha256_crypt_b64(password, salt, &Sha256Params::new(rounds).ok()?).ok()?
        };
        Some(Zeroizing::new(text.into_bytes()))
    }
}
