//! Sets of keys (JWKS, RFC 7517), as identity providers publish them.

use super::{
    KEYS,
    key::{Algorithm, Key, KeyError},
};
use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// What is read of a key.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl Key {
    /// The keys of a set that verify signatures. What is for something else, or of a kind or algorithm that is unknown, is left
    /// out (section 5). An RSA key that names no algorithm is for RS256.
    ///
    /// # Errors
    /// When it is no set, a key of a known kind is damaged or too short, or there are more than [`KEYS`].
    pub fn jwks(text: &str) -> Result<Vec<Self>, KeyError> {
        let malformed = KeyError::Malformed("JWKS");
        let set: Set = serde_json::from_str(text).map_err(|_| malformed.clone())?;
        if set.keys.len() > KEYS {
            return Err(malformed);
        }
        let mut keys = Vec::with_capacity(set.keys.len());
        for key in set.keys {
            let key: Jwk = serde_json::from_value(key).map_err(|_| malformed.clone())?;
            if key.usage.as_deref().unwrap_or("sig") == "sig" {
                keys.extend(key.read()?);
            }
        }
        Ok(keys)
    }
}

impl Jwk {
    fn read(&self) -> Result<Option<Key>, KeyError> {
        let named = match &self.alg {
            None => None,
            Some(name) => match Algorithm::parse(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        let own = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Algorithm::ES256,
            ("EC", Some("P-384")) => Algorithm::ES384,
            ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
            ("RSA", _) => named.unwrap_or(Algorithm::RS256),
            ("oct", _) => named.unwrap_or(Algorithm::HS256),
            _ => return Ok(None),
        };
        if named.is_some_and(|named| named != own) {
            return Err(KeyError::Algorithm);
        }
        let key = match own {
            Algorithm::EdDSA => Key::point(own, bytes(self.x.as_ref())?),
            Algorithm::ES256 => Key::point(own, self.uncompressed(32)?),
            Algorithm::ES384 => Key::point(own, self.uncompressed(48)?),
            _ if self.kty == "RSA" => Key::rsa(own, self.modulus()?, bytes(self.e.as_ref())?),
            _ => Key::secret(&bytes(self.k.as_ref())?, own),
        };
        key.map(|key| Some(key.named(self.kid.clone())))
    }

    /// Some libraries write a leading zero (RFC 7518 section 6.3.1.1).
    fn modulus(&self) -> Result<Vec<u8>, KeyError> {
        let n = bytes(self.n.as_ref())?;
        Ok(n.strip_prefix(&[0]).map_or(n.clone(), <[u8]>::to_vec))
    }

    fn uncompressed(&self, length: usize) -> Result<Vec<u8>, KeyError> {
        let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
        if x.len() != length || y.len() != length {
            return Err(KeyError::Malformed("point of its curve"));
        }
        Ok([&[4], x.as_slice(), y.as_slice()].concat())
    }
}

fn bytes(text: Option<&String>) -> Result<Vec<u8>, KeyError> {
    let text = text.ok_or(KeyError::Malformed("whole key"))?;
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|_| KeyError::Malformed("base64url"))
}
