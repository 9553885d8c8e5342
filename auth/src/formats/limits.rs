//! What a stored password may ask for. Whoever can write into the database could otherwise have the server work for hours, or
//! take all of its memory, for one log-on. Each limit is several times what libraries do by default in 2026, and each
//! verification takes three seconds of one core at most.
//!
//! | what | limit | defaults |
//! |---|---|---|
//! | iterations of PBKDF2 and SCRAM | [`ITERATIONS`] | Django 1 000 000, Werkzeug 1 000 000, passlib 29 000 |
//! | rounds of `$5$` and `$6$` | [`ROUNDS`] | glibc 5 000, passlib 656 000 |
//! | cost of bcrypt | [`BCRYPT_COST`] | 12 |
//! | memory of argon2 and scrypt | [`MEMORY`] | Django 100 MiB, argon2-cffi 64 MiB, Werkzeug 32 MiB |
//! | memory times passes (argon2), times p (scrypt) | [`FILLED`] | Django 200 MiB, argon2-cffi 192 MiB |
//! | lanes of argon2, p of scrypt | [`LANES`] | Django 8, argon2-cffi 4 |
//! | r of scrypt | [`BLOCK`] | 8 |
//! | bytes of a salt | [`SALT`] | 16 to 22 |
//! | bytes of what is compared | [`LEAST_HASH`] to [`MOST_HASH`] | 16 to 64 |
//! | bytes of all of it | [`STORED`] | 60 to 250 |

use super::FormatError;

/// Most bytes of a stored password.
pub const STORED: usize = 1024;

/// Most bytes of a salt.
pub const SALT: usize = 128;

/// Fewest bytes of what is compared.
pub const LEAST_HASH: usize = 16;

/// Most bytes of what is compared.
pub const MOST_HASH: usize = 64;

/// Most iterations of PBKDF2, thus of SCRAM.
pub const ITERATIONS: u32 = 4_000_000;

/// Most rounds of `$5$` and `$6$`.
pub const ROUNDS: u32 = 1_000_000;

/// Longest password that is tried with `$5$` and `$6$`, in bytes: each round hashes it twice.
pub const CRYPT_PASSWORD: usize = 256;

/// Highest cost of bcrypt: 2^15 rounds.
pub const BCRYPT_COST: u32 = 15;

/// Most memory of argon2 and scrypt, in bytes.
pub const MEMORY: u64 = 256 << 20;

/// Most memory of argon2 and scrypt in bytes, times how often it is filled.
pub const FILLED: u64 = 1 << 30;

/// Most lanes of argon2, highest p of scrypt. They are computed one after the other.
pub const LANES: u32 = 16;

/// Highest r of scrypt.
pub const BLOCK: u32 = 64;

/// Refuses more than `most`.
pub(super) fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), FormatError> {
    if found > most { Err(FormatError::TooMuch { what, found, most }) } else { Ok(()) }
}

/// Refuses less than `least`.
pub(super) fn at_least(what: &'static str, found: u64, least: u64) -> Result<(), FormatError> {
    if found < least { Err(FormatError::TooLittle { what, found, least }) } else { Ok(()) }
}

/// Holds a salt and what is compared to their lengths.
pub(super) fn lengths(salt: &[u8], hash: &[u8]) -> Result<(), FormatError> {
    at_most("bytes of salt", salt.len() as u64, SALT as u64)?;
    at_least("bytes of hash", hash.len() as u64, LEAST_HASH as u64)?;
    at_most("bytes of hash", hash.len() as u64, MOST_HASH as u64)
}
