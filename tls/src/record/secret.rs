//! A secret in place: zeroised when it is dropped, without `Debug`, and base64 where it is serialised. Where one is moved, the
//! compiler may leave a copy on the stack; none is on the heap by itself.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserializer, Serializer, de};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest: a traffic secret of SHA-384.
pub const LONGEST: usize = 48;
/// Base64 of the longest.
const ENCODED: usize = LONGEST.div_ceil(3) * 4;

/// A traffic secret (TLS 1.3), or a key with its IV (TLS 1.2).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Secret {
    /// What is in `parts`, one after the other; `None` when that is more than any secret.
    pub fn of(parts: &[&[u8]]) -> Option<Self> {
        let mut secret = Self { bytes: [0; LONGEST], len: 0 };
        let mut at = 0;
        for part in parts {
            let end = at + part.len();
            secret.bytes.get_mut(at..end)?.copy_from_slice(part);
            at = end;
        }
        secret.len = u8::try_from(at).ok()?;
        Some(secret)
    }

    /// `len` bytes that `fill` writes.
    pub fn filled<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let len = len.min(LONGEST);
        let mut secret = Self { bytes: [0; LONGEST], len: u8::try_from(len).unwrap_or_default() };
        fill(secret.bytes.get_mut(..len).unwrap_or_default())?;
        Ok(secret)
    }

    pub fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new([0; ENCODED]);
        let len = STANDARD.encode_slice(self.get(), text.as_mut_slice());
        let text = len.ok().and_then(|len| std::str::from_utf8(text.get(..len)?).ok());
        to.serialize_str(text.ok_or_else(|| serde::ser::Error::custom("a secret"))?)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Decode)
    }
}

struct Decode;

impl de::Visitor<'_> for Decode {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {LONGEST} bytes in base64")
    }

    // what was wrong is not said: it would be the secret
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        let mut bytes = Zeroizing::new([0; LONGEST + 2]);
        let len = STANDARD.decode_slice(text, bytes.as_mut_slice());
        let secret = len.ok().and_then(|len| Secret::of(&[bytes.get(..len)?]));
        secret.ok_or_else(|| E::custom("no secret in base64"))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        self.visit_str(&Zeroizing::new(text))
    }
}
