//! Tokens that are checked here, without asking anybody: JWT (RFC 7519) with a signature (RFC 7515), as RFC 8725 says that it is
//! to be done.
//!
//! - A key has one algorithm, and the token's must be that one (section 3.1): there is no `none`, and no public key is a secret.
//! - The signature comes first, and covers the bytes that are read (3.2). What a header says of keys (`jku`, `x5u`, `jwk`) is
//!   not looked at (3.10); an extension that must be understood (`crit`) is refused.
//! - `exp` must be there; `iss`, `aud` and `typ` are compared when they are configured (3.8, 3.9, 3.11), and a token for
//!   somebody is refused when nobody is configured (RFC 7519 section 4.1.3).
//! - Nothing is decrypted or decompressed (3.6).
//!
//! ring verifies. The crate `jsonwebtoken` is not used: up to 9, which has ring, it takes a claim of another type for one that is
//! not there (CVE-2026-25537), and after that it would bring another cryptographic library.

mod claims;
mod jwks;
mod key;
mod source;
#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use key::{Algorithm, Key, KeyError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;

/// Longest token, in bytes: what fits into a message of SASL.
pub const TOKEN: usize = 6 << 10;

/// Most keys of a verifier: each may be tried for a token that names none.
pub const KEYS: usize = 32;

/// By how much clocks may differ, in seconds.
pub const LEEWAY: u64 = 60;

/// What a token must be, besides signed.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose accounts they are: the domain of users' addresses.
    pub host: String,
    /// Who must have made it (`iss`); `None`: whoever has a key.
    pub issuer: Option<String>,
    /// For whom it must be (`aud`), one of these; none: it must be for nobody in particular.
    pub audience: Vec<String>,
    /// What it must say that it is (`typ`, without `application/`), as `at+jwt` of RFC 9068; `None`: anything.
    pub typ: Option<String>,
    /// The claim that has the user: a localpart, or a bare JID of the host.
    pub user: String,
}

impl Policy {
    /// Anything that is signed, for users of `host`, who are in `sub`.
    pub fn new(host: &str) -> Self {
        let (host, user) = (host.to_owned(), "sub".to_owned());
        Self { host, issuer: None, audience: Vec::new(), typ: None, user }
    }
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Longer than [`TOKEN`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url with JSON objects in the first two, or a claim has another type than RFC 7519 says.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// No key of that algorithm and name.
    #[error("there is no key for it")]
    NoKey,
    /// No such key made the signature.
    #[error("its signature is wrong")]
    Signature,
    /// It has expired, or does not say when it will.
    #[error("the token has expired, or does not say when it does (exp)")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// A claim or `typ` is missing, or is not what is configured.
    #[error("its {0} is another")]
    Other(&'static str),
    /// It names no user of the host.
    #[error("it names no user of this host")]
    User,
}

/// Why there is no verifier.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// None at all.
    #[error("there are no keys")]
    NoKeys,
    /// More than [`KEYS`].
    #[error("there are more than {KEYS} keys")]
    TooMany,
}

/// Checks tokens.
///
/// ```
/// use auth::jwt::{Algorithm, Key, Policy, TokenError, Verifier};
/// let secret = [7; 32];
/// let key = Key::secret(&secret, Algorithm::HS256).unwrap();
/// let verifier = Verifier::new(vec![key], Policy::new("example.org")).unwrap();
/// // who made {"alg":"none"} has no key
/// let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb21lbyIsImV4cCI6MTd9.";
/// assert_eq!(verifier.check(token, 16), Err(TokenError::NoKey));
/// ```
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    policy: Policy,
}

/// What is read of a token's header.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Verifier {
    /// One with these keys.
    ///
    /// # Errors
    /// When there are none, or too many.
    pub fn new(keys: Vec<Key>, policy: Policy) -> Result<Self, SetupError> {
        match keys.len() {
            0 => Err(SetupError::NoKeys),
            1..=KEYS => Ok(Self { keys, policy }),
            _ => Err(SetupError::TooMany),
        }
    }

    /// Checks a token; `now` in seconds since 1970.
    ///
    /// # Errors
    /// Whatever is wrong with it. A client should hear no more of it than "invalid token".
    pub fn check(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN {
            return Err(TokenError::TooLong);
        }
        let parts = TokenError::Malformed("not three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or(parts.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(parts.clone())?;
        if payload.contains('.') {
            return Err(parts);
        }
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| TokenError::Malformed("its header"))?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed("it has extensions"));
        }
        self.verify(&header, signed.as_bytes(), &decode(signature)?)?;
        if let Some(wanted) = &self.policy.typ {
            let typ = header.typ.as_deref().unwrap_or_default();
            let typ = typ.strip_prefix("application/").unwrap_or(typ);
            if !typ.eq_ignore_ascii_case(wanted) {
                return Err(TokenError::Other("typ"));
            }
        }
        Claims::read(&decode(payload)?, &self.policy, now)
    }

    /// A key that has a name is asked for tokens that name it or none; one without, for all of its algorithm.
    fn verify(&self, header: &Header, signed: &[u8], mac: &[u8]) -> Result<(), TokenError> {
        let named = |key: &&Key| match (key.id(), &header.kid) {
            (Some(id), Some(kid)) => id == kid,
            _ => true,
        };
        let of_its_algorithm = |key: &&Key| key.algorithm().name() == header.alg;
        let mut keys = self.keys.iter().filter(of_its_algorithm).filter(named).peekable();
        if keys.peek().is_none() {
            return Err(TokenError::NoKey);
        }
        if keys.any(|key| key.verify(signed, mac)) { Ok(()) } else { Err(TokenError::Signature) }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("not base64url"))
}
