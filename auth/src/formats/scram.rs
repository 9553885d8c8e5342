//! Keys of SCRAM: as one text (RFC 5803, PostgreSQL), or each value by itself, as documents and columns have them.

use super::{FormatError, Stored, limits, text};
use xmpp::sasl::{Hash, Mechanism, ScramKeys};

const MALFORMED: FormatError = FormatError::Malformed("SCRAM");

/// A value of a document or a column.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// Base64 (ejabberd, MongooseIM, PostgreSQL).
    Base64(&'a str),
    /// Hexadecimal (Prosody's keys).
    Hex(&'a str),
    /// As it is (binary columns; Prosody's salt).
    Bytes(&'a [u8]),
}

impl Part<'_> {
    /// The bytes.
    pub(crate) fn read(self) -> Result<Vec<u8>, FormatError> {
        let read = match self {
            Self::Base64(text) => text::base64(text),
            Self::Hex(text) => text::hex(text),
            Self::Bytes(bytes) => Some(bytes.to_vec()),
        };
        read.ok_or(MALFORMED)
    }
}

/// Keys from values that are stored apart.
///
/// # Errors
/// When a value is not in its writing, a key has not the length that the hash function gives, or salt or iterations are beyond
/// [`limits`].
///
/// ```
/// use auth::formats::scram::{Part, keys};
/// use xmpp::sasl::Hash;
/// // RFC 5802 section 5
/// let salt = Part::Base64("QSXCR+Q6sek8bf92");
/// let stored = Part::Hex("e9d94660c39d65c38fbad91c358f14da0eef2bd6");
/// let server = Part::Hex("0fe09258b3ac852ba502cc62ba903eaacdbf7d31");
/// assert!(keys(Hash::Sha1, 4096, salt, stored, server).unwrap().verify("pencil"));
/// ```
pub fn keys(
    hash: Hash,
    iterations: u32,
    salt: Part<'_>,
    stored_key: Part<'_>,
    server_key: Part<'_>,
) -> Result<ScramKeys, FormatError> {
    limits::at_least("iterations", iterations.into(), 1)?;
    limits::at_most("iterations", iterations.into(), limits::ITERATIONS.into())?;
    let (salt, stored_key, server_key) = (salt.read()?, stored_key.read()?, server_key.read()?);
    limits::at_least("bytes of salt", salt.len() as u64, 1)?;
    limits::lengths(&salt, &stored_key)?;
    let length = match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha512 => 64,
    };
    if stored_key.len() != length || server_key.len() != length {
        return Err(MALFORMED);
    }
    Ok(ScramKeys { hash, salt, iterations, stored_key, server_key })
}

/// `SCRAM-SHA-256$4096:salt$stored key:server key`
pub(super) fn text(text: &str) -> Result<Stored, FormatError> {
    let [name, parameters, keys] = text::fields(text, '$').ok_or(MALFORMED)?;
    let Some(Mechanism::Scram { hash, plus: false }) = Mechanism::parse(name) else {
        return Err(MALFORMED);
    };
    let [iterations, salt] = text::fields(parameters, ':').ok_or(MALFORMED)?;
    let [stored, server] = text::fields(keys, ':').ok_or(MALFORMED)?;
    let iterations = text::number(iterations).ok_or(MALFORMED)?;
    let part = Part::Base64;
    self::keys(hash, iterations, part(salt), part(stored), part(server)).map(Stored::from)
}
