//! What passwords are checked with, as values of documents: a text, or SCRAM keys under the names and in the writings that
//! applications have.

use crate::{
    formats::{
        FormatError, Stored,
        scram::{Part, keys},
    },
    source::Secret,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use xmpp::sasl::{Hash, ScramKeys};

type Fields = Map<String, Value>;

/// Tells a value from another one of the same user. Who has it can try passwords where the value is the password itself.
pub(crate) fn fingerprint(id: &str, password: &Value) -> String {
    let digest = Sha256::new().chain_update(id).chain_update([0]);
    BASE64.encode(digest.chain_update(password.to_string()).finalize())
}

/// What a password is checked with; `plain` as for [`Stored::parse_or_plain`].
pub(crate) fn secret(password: &Value, plain: bool) -> Secret {
    let stored = match password {
        Value::String(text) if plain => Stored::parse_or_plain(text),
        Value::String(text) => Stored::parse(text),
        Value::Object(fields) => {
            return scram(fields).map_or_else(Secret::Unusable, Secret::Keys);
        }
        Value::Null => return Secret::Unusable("there is none".to_owned()),
        _ => return Secret::Unusable("it is no text and no document".to_owned()),
    };
    match stored {
        Ok(stored) if stored.is_unusable() => {
            Secret::Unusable("nobody can log on with it".to_owned())
        }
        Ok(stored) => Secret::Stored(Arc::new(stored)),
        Err(error) => Secret::Unusable(error.to_string()),
    }
}

/// The names that fields have in various applications.
const SALT: &[&str] = &["salt", "s"];
const ITERATIONS: &[&str] = &["iterations", "iterationCount", "iteration_count", "i", "it"];
const STORED: &[&str] = &["stored_key", "storedKey", "StoredKey", "stored"];
const SERVER: &[&str] = &["server_key", "serverKey", "ServerKey", "server"];
const HASH: &[&str] = &["hash", "algorithm", "mechanism", "type"];

/// The keys of a document, one's, or those of several mechanisms by their names; or why there are none.
fn scram(fields: &Fields) -> Result<Vec<ScramKeys>, String> {
    if named(fields, SALT).is_ok() {
        return one(fields, None).map(|keys| vec![keys]);
    }
    let each = fields.iter().filter_map(|(name, value)| Some((hash(name)?, value.as_object()?)));
    let (mut good, mut why) = (Vec::new(), "there are no SCRAM keys in it".to_owned());
    for (of, fields) in each {
        match one(fields, Some(of)) {
            Ok(keys) => good.push(keys),
            Err(error) => why = error,
        }
    }
    if good.is_empty() { Err(why) } else { Ok(good) }
}

fn named<'a>(fields: &'a Fields, names: &[&str]) -> Result<&'a Value, String> {
    let found = names.iter().find_map(|name| fields.get(*name));
    found.ok_or_else(|| format!("the SCRAM keys have no {}", names.first().unwrap_or(&"")))
}

fn one(fields: &Fields, of: Option<Hash>) -> Result<ScramKeys, String> {
    let stored = key(named(fields, STORED)?);
    let server = key(named(fields, SERVER)?);
    let ((stored, is_hex), (server, _)) =
        stored.zip(server).ok_or("a SCRAM key has no known writing")?;
    let said = || hash(named(fields, HASH).ok()?.as_str()?);
    let by_length = || match stored.len() {
        20 => Some(Hash::Sha1),
        32 => Some(Hash::Sha256),
        64 => Some(Hash::Sha512),
        _ => None,
    };
    let of = of.or_else(said).or_else(by_length).ok_or("nothing says which hash it is")?;
    let iterations =
        iterations(named(fields, ITERATIONS)?).ok_or("the iterations are no number")?;
    let salt = salt(named(fields, SALT)?, is_hex).ok_or("the salt has no known writing")?;
    let part = Part::Bytes;
    keys(of, iterations, part(&salt), part(&stored), part(&server))
        .map_err(|error: FormatError| error.to_string())
}

/// Shells of JavaScript write each number as one with a fraction. What is too large is the largest, so that a limit refuses it.
fn iterations(value: &Value) -> Option<u32> {
    let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
    let number = value.as_u64().or_else(|| value.as_f64().and_then(whole))?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// `SCRAM-SHA-256`, `sha256`, `SHA-256` ...
fn hash(name: &str) -> Option<Hash> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().trim_start_matches("scram") {
        "sha1" | "sha" => Some(Hash::Sha1),
        "sha256" => Some(Hash::Sha256),
        "sha512" => Some(Hash::Sha512),
        _ => None,
    }
}

/// A key: binary, hexadecimal, which its length tells, or base64; whether it was hexadecimal.
fn key(value: &Value) -> Option<(Vec<u8>, bool)> {
    match value.as_str() {
        Some(text) if matches!(text.len(), 40 | 64 | 128) && hex(text).is_some() => {
            Some((hex(text)?, true))
        }
        Some(text) => Some((base64(text)?, false)),
        None => Some((binary(value)?, false)),
    }
}

/// A salt, which has no length of its own: it is written as the keys are. Beside keys in hexadecimal it may be any text, which
/// is the salt itself (Prosody).
fn salt(value: &Value, is_hex: bool) -> Option<Vec<u8>> {
    match value.as_str() {
        Some(text) if is_hex => {
            hex(text).or_else(|| base64(text)).or_else(|| Some(text.as_bytes().to_vec()))
        }
        Some(text) => base64(text),
        None => binary(value),
    }
}

fn binary(value: &Value) -> Option<Vec<u8>> {
    base64(value.get("$binary")?.get("base64")?.as_str()?)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    Part::Base64(text).read().ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    Part::Hex(text).read().ok()
}
