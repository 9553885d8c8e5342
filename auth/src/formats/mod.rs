//! Passwords as applications store them, told apart by their look.
//!
//! | format | notations |
//! |---|---|
//! | bcrypt | `$2a$`, `$2b$`, `$2y$`; Django's `bcrypt$`, `bcrypt_sha256$` |
//! | argon2i, argon2d, argon2id | PHC strings; Django's `argon2$`, OpenLDAP's `{ARGON2}` |
//! | scrypt | `$scrypt$` (PHC, passlib), Werkzeug's `scrypt:N:r:p$`, Django's `scrypt$` |
//! | PBKDF2 | Django's `pbkdf2_sha256$`, Werkzeug's `pbkdf2:sha256:`, passlib's `$pbkdf2-sha256$`, LDAP's `{PBKDF2-SHA256}` |
//! | salted SHA | LDAP's `{SHA}`, `{SSHA}`, `{SSHA256}`, `{SSHA512}`; Django's `sha1$`; Werkzeug's `sha256$`, `sha512$` |
//! | crypt | `$5$`, `$6$`, with `{CRYPT}` before it or without |
//! | SCRAM | `SCRAM-SHA-256$` (PostgreSQL, RFC 5803), [`scram::keys`] |
//! | plain text | where the configuration says so: [`Stored::parse_or_plain`] |
//!
//! What is asked of the server is bounded before any work is done: [`limits`].

mod argon2;
mod bcrypt;
mod crypt;
mod digests;
mod error;
pub mod limits;
mod pbkdf2;
mod renew;
pub mod scram;
mod scrypt;
#[cfg(test)]
mod tests;
mod text;

pub use error::FormatError;
pub use renew::renewed;

use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use xmpp::sasl::{MAX_PASSWORD_WRITTEN, ScramKeys, prepare, same};
use zeroize::Zeroizing;

/// What is derived of a password, and compared.
type Secret = Zeroizing<Vec<u8>>;

/// One way to derive bytes of a password, with its parameters and salt.
trait Scheme: Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &'static str;
    /// What a verification costs.
    fn cost(&self) -> Cost;
    /// The work. `None`: the library refuses what it is given, and no password fits.
    fn derive(&self, password: &[u8]) -> Option<Secret>;
}

/// What a verification costs: an estimate, good for a factor of two or three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Microseconds of one core, as measured by `examples/cost.rs` (release build).
    pub micros: u64,
    /// Bytes that are occupied meanwhile.
    pub memory: usize,
}

/// A stored password.
///
/// ```
/// let stored = "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h";
/// let stored = auth::Stored::parse(stored).unwrap();
/// assert_eq!(stored.name(), "salted SHA-1");
/// assert!(stored.verify("pencil") && !stored.verify("Pencil"));
/// ```
#[derive(Clone)]
pub struct Stored {
    kind: Kind,
    fingerprint: [u8; 32],
}

#[derive(Clone)]
enum Kind {
    OneWay { scheme: Arc<dyn Scheme>, expected: Arc<Secret> },
    Scram(ScramKeys),
    Plain(Arc<Zeroizing<String>>),
    Unusable,
}

type Parser = fn(&str) -> Result<Stored, FormatError>;

/// How a stored password begins, what reads the rest, and whether that is to see the beginning too.
const FORMATS: &[(&str, bool, Parser)] = &[
    ("$2a$", true, bcrypt::plain),
    ("$2b$", true, bcrypt::plain),
    ("$2y$", true, bcrypt::plain),
    ("bcrypt$", false, bcrypt::plain),
    ("bcrypt_sha256$", false, bcrypt::prehashed),
    ("$argon2", true, argon2::phc),
    ("argon2$", false, argon2::django),
    ("{ARGON2}", false, argon2::phc),
    ("$scrypt$", false, scrypt::phc),
    ("scrypt:", false, scrypt::werkzeug),
    ("scrypt$", false, scrypt::django),
    ("pbkdf2_", false, pbkdf2::django),
    ("pbkdf2:", false, pbkdf2::werkzeug),
    ("$pbkdf2", false, pbkdf2::passlib),
    ("{PBKDF2", false, pbkdf2::ldap),
    ("{SHA}", false, digests::sha1),
    ("{SHA256}", false, digests::sha256),
    ("{SHA512}", false, digests::sha512),
    ("{SSHA}", false, digests::ssha1),
    ("{SSHA256}", false, digests::ssha256),
    ("{SSHA512}", false, digests::ssha512),
    ("sha1$", false, digests::django),
    ("sha256$", false, digests::werkzeug256),
    ("sha512$", false, digests::werkzeug512),
    ("$5$", false, crypt::sha256),
    ("$6$", false, crypt::sha512),
    ("SCRAM-SHA-", true, scram::text),
];

/// How weak formats begin, and what they are.
const WEAK: &[(&str, &str)] = &[
    ("md5$", "MD5"),
    ("{MD5}", "MD5"),
    ("{SMD5}", "MD5"),
    ("$1$", "MD5-crypt"),
    ("$apr1$", "MD5-crypt"),
    ("$P$", "phpass with MD5"),
    ("$H$", "phpass with MD5"),
    ("$2x$", "bcrypt with the sign bug of 2011"),
    ("$2$", "bcrypt without the terminating zero"),
];

/// What comes after `prefix`. LDAP's schemes have no case (RFC 2307).
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    let same = match prefix.starts_with('{') {
        true => head.eq_ignore_ascii_case(prefix),
        false => head == prefix,
    };
    same.then(|| text.get(prefix.len()..))?
}

impl Stored {
    /// Reads a stored password; which format it has is told by how it begins. Plain text is none. What nobody can log on with
    /// is a value, not an error: empty, `*`, and what begins with `!` (Django, shadow).
    ///
    /// # Errors
    /// When it has no format that is known, is damaged, of a format that is refused, or asks for more than [`limits`] allow.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        limits::at_most("bytes", text.len() as u64, limits::STORED as u64)?;
        let stored = Self::read(text)?;
        Ok(Self { fingerprint: Sha256::digest(text).into(), ..stored })
    }

    fn read(text: &str) -> Result<Self, FormatError> {
        if text.is_empty() || text == "*" || text.starts_with('!') {
            return Ok(Self::of(Kind::Unusable));
        }
        if let Some(rest) = after(text, "{CRYPT}") {
            return if rest.starts_with('$') {
                Self::known(rest)
            } else {
                Err(FormatError::Unknown)
            };
        }
        Self::known(text)
    }

    /// As [`Stored::parse`], for a database that keeps passwords as they are: what looks like no format is the password itself.
    /// Where hashes are stored this must not be used: one of a format that is unknown would be a password.
    ///
    /// # Errors
    /// As [`Stored::parse`], but that the format is unknown.
    pub fn parse_or_plain(text: &str) -> Result<Self, FormatError> {
        match Self::parse(text) {
            Err(FormatError::Unknown) => {
                let plain = Self::of(Kind::Plain(Arc::new(Zeroizing::new(text.to_owned()))));
                Ok(Self { fingerprint: Sha256::digest(text).into(), ..plain })
            }
            other => other,
        }
    }

    fn known(text: &str) -> Result<Self, FormatError> {
        if let Some((_, what)) = WEAK.iter().find(|(prefix, _)| after(text, prefix).is_some()) {
            return Err(FormatError::Weak(what));
        }
        for (prefix, whole, parse) in FORMATS {
            if let Some(rest) = after(text, prefix) {
                return parse(if *whole { text } else { rest });
            }
        }
        Err(FormatError::Unknown)
    }

    fn one_way(scheme: impl Scheme + 'static, expected: Vec<u8>) -> Self {
        let expected = Arc::new(Zeroizing::new(expected));
        Self::of(Kind::OneWay { scheme: Arc::new(scheme), expected })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, fingerprint: [0; 32] }
    }

    /// Tells one stored password from another: SHA-256 of its text, so no less secret than that.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether it is the password: as it was typed, or else as SASLprep has it (RFC 4013), which is what SCRAM's clients would
    /// have stored. Takes its [`Stored::cost`], twice when the two differ. An empty password, one with a NUL, and one longer
    /// than [`MAX_PASSWORD_WRITTEN`] fit nothing.
    pub fn verify(&self, password: &str) -> bool {
        if password.is_empty() || password.len() > MAX_PASSWORD_WRITTEN || password.contains('\0') {
            return false;
        }
        if self.fits(password) {
            return true;
        }
        let Some(prepared) = prepare(password) else { return false };
        let prepared = Zeroizing::new(prepared.into_owned());
        *prepared != password && self.fits(&prepared)
    }

    fn fits(&self, password: &str) -> bool {
        match &self.kind {
            Kind::OneWay { scheme, expected } => {
                scheme.derive(password.as_bytes()).is_some_and(|derived| same(&derived, expected))
            }
            Kind::Scram(keys) => keys.verify(password),
            Kind::Plain(plain) => same(plain.as_bytes(), password.as_bytes()),
            Kind::Unusable => false,
        }
    }

    /// What one verification costs.
    pub fn cost(&self) -> Cost {
        match &self.kind {
            Kind::OneWay { scheme, .. } => scheme.cost(),
            Kind::Scram(keys) => pbkdf2::cost(keys.hash, keys.iterations),
            Kind::Plain(_) | Kind::Unusable => Cost::default(),
        }
    }

    /// What it is, in a word or two.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::OneWay { scheme, .. } => scheme.name(),
            Kind::Scram(_) => "SCRAM",
            Kind::Plain(_) => "plain text",
            Kind::Unusable => "unusable",
        }
    }

    /// Whether no password fits it.
    pub fn is_unusable(&self) -> bool {
        matches!(self.kind, Kind::Unusable)
    }

    /// Whether a client may log on with SCRAM: [`Stored::scram`] has keys.
    pub fn is_scram_capable(&self) -> bool {
        matches!(self.kind, Kind::Scram(_) | Kind::Plain(_))
    }

    /// Keys of SCRAM: those that are stored, or fresh ones of a password in plain text, which have another salt every time (some
    /// ms of work). None for what is one-way.
    pub fn scram(&self) -> Option<Vec<ScramKeys>> {
        match &self.kind {
            Kind::Scram(keys) => Some(vec![keys.clone()]),
            Kind::Plain(plain) => ScramKeys::fresh(plain),
            Kind::OneWay { .. } | Kind::Unusable => None,
        }
    }

    /// One that costs the same and fits no password: for a user who does not exist, so that nobody learns it by the time that
    /// an answer takes.
    pub fn decoy(&self) -> Self {
        let kind = match &self.kind {
            Kind::OneWay { scheme, .. } => {
                Kind::OneWay { scheme: Arc::clone(scheme), expected: Arc::default() }
            }
            Kind::Scram(keys) => Kind::Scram(ScramKeys {
                stored_key: Vec::new(),
                server_key: Vec::new(),
                ..keys.clone()
            }),
            Kind::Plain(_) | Kind::Unusable => Kind::Unusable,
        };
        let fingerprint = Sha256::new_with_prefix("decoy").chain_update(self.fingerprint);
        Self { kind, fingerprint: fingerprint.finalize().into() }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stored").field(&self.name()).finish()
    }
}

impl From<ScramKeys> for Stored {
    fn from(keys: ScramKeys) -> Self {
        let fingerprint = Sha256::new_with_prefix(keys.iterations.to_be_bytes())
            .chain_update(&keys.salt)
            .chain_update(&keys.stored_key)
            .chain_update(&keys.server_key);
        Self { fingerprint: fingerprint.finalize().into(), ..Self::of(Kind::Scram(keys)) }
    }
}

#[cfg(test)]
impl Stored {
    /// One that fits whatever `fits` says, for tests of who verifies.
    pub(crate) fn fitting(
        name: &'static str,
        micros: u64,
        fits: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        struct Fitting<F>(&'static str, u64, F);
        impl<F: Fn(&str) -> bool + Send + Sync> Scheme for Fitting<F> {
            fn name(&self) -> &'static str {
                self.0
            }
            fn cost(&self) -> Cost {
                Cost { micros: self.1, memory: 0 }
            }
            fn derive(&self, password: &[u8]) -> Option<Secret> {
                let fits = std::str::from_utf8(password).is_ok_and(&self.2);
                fits.then(|| Zeroizing::new(vec![1]))
            }
        }
        let fingerprint = Sha256::digest(name).into();
        Self { fingerprint, ..Self::one_way(Fitting(name, micros, fits), vec![1]) }
    }
}
