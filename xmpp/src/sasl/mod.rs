//! SASL, server side (RFC 6120 section 6): mechanisms, stored keys, failures.
//!
//! Pure data: an exchange under way can be serialised. Passwords are never kept.

pub mod bearer;
mod lanes;
pub mod plain;
pub mod scram;

pub use scram::{Bindings, Exchange, First, ScramKeys};

use crate::ns;
use pbkdf2::pbkdf2_hmac;
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// The hash functions of SCRAM (RFC 5802, RFC 7677, draft-melnikov-scram-sha-512).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hash {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

impl Hash {
    /// Strongest first: the order in which mechanisms are offered.
    pub const ALL: [Self; 3] = [Self::Sha512, Self::Sha256, Self::Sha1];

    pub(crate) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub(crate) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// `Hi(password, salt, iterations)` of RFC 5802 section 2.2. Not ring's: it hashes SHA-1 in plain
    /// code where processors have instructions for it, and takes four times as long.
    pub(crate) fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut out = vec![0; self.digest().output_len()];
        match self {
            Self::Sha1 => pbkdf2_hmac::<sha1::Sha1>(password, salt, iterations, &mut out),
            Self::Sha256 => pbkdf2_hmac::<sha2::Sha256>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2_hmac::<sha2::Sha512>(password, salt, iterations, &mut out),
        }
        out
    }

    /// Salts many passwords, in their order: several at once where that is faster.
    pub(crate) fn salted_all(self, of: &[(&[u8], &[u8])], iterations: u32) -> Vec<Vec<u8>> {
        let alone = |(password, salt): &(&[u8], &[u8])| self.salted(password, salt, iterations);
        if self != Self::Sha512 {
            return of.iter().map(alone).collect();
        }
        let mut out = Vec::with_capacity(of.len());
        let (fours, rest) = of.as_chunks();
        for four in fours {
            match lanes::salted(four, iterations) {
                Some(salted) => out.extend(salted),
                None => out.extend(four.iter().map(alone)),
            }
        }
        out.extend(rest.iter().map(alone));
        out
    }
}

/// A mechanism the server can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mechanism {
    /// RFC 4616; under TLS only.
    Plain,
    /// RFC 7628; under TLS only.
    OAuthBearer,
    /// RFC 5802 and its successors.
    Scram {
        /// The hash function.
        hash: Hash,
        /// With channel binding.
        plus: bool,
    },
}

impl Mechanism {
    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Scram { hash: Hash::Sha1, plus: false } => "SCRAM-SHA-1",
            Self::Scram { hash: Hash::Sha1, plus: true } => "SCRAM-SHA-1-PLUS",
            Self::Scram { hash: Hash::Sha256, plus: false } => "SCRAM-SHA-256",
            Self::Scram { hash: Hash::Sha256, plus: true } => "SCRAM-SHA-256-PLUS",
            Self::Scram { hash: Hash::Sha512, plus: false } => "SCRAM-SHA-512",
            Self::Scram { hash: Hash::Sha512, plus: true } => "SCRAM-SHA-512-PLUS",
        }
    }

    /// The mechanism of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let scram = |plus| Hash::ALL.map(|hash| Self::Scram { hash, plus });
        let others = [Self::Plain, Self::OAuthBearer];
        let all = scram(true).into_iter().chain(scram(false)).chain(others);
        all.into_iter().find(|m| m.name() == name)
    }
}

macro_rules! failures {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why authentication failed (RFC 6120 section 6.5).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Failure { $($(#[doc = $doc])+ $name,)+ }
        impl Failure {
            /// The element's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

failures! {
    /// The client sent `<abort/>`.
    Aborted = "aborted",
    /// The account is disabled.
    AccountDisabled = "account-disabled",
    /// The password has expired.
    CredentialsExpired = "credentials-expired",
    /// The mechanism needs TLS.
    EncryptionRequired = "encryption-required",
    /// Not base64.
    IncorrectEncoding = "incorrect-encoding",
    /// The client may not act as that user.
    InvalidAuthzid = "invalid-authzid",
    /// The mechanism is not offered.
    InvalidMechanism = "invalid-mechanism",
    /// The message is not what the mechanism says.
    MalformedRequest = "malformed-request",
    /// The mechanism is weaker than policy allows.
    MechanismTooWeak = "mechanism-too-weak",
    /// Wrong user or password.
    NotAuthorized = "not-authorized",
    /// Something on the server's side; later it may work.
    TemporaryAuthFailure = "temporary-auth-failure",
}

impl Failure {
    /// The element.
    pub fn to_xml(self) -> String {
        format!("<failure xmlns='{}'><{}/></failure>", ns::SASL, self.as_str())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Failure {}

/// Longest password after preparation, in bytes: whoever sets one and whoever tries one is held to
/// it.
pub const MAX_PASSWORD: usize = 1024;

/// Longest password as it is written, in bytes: preparation makes up to four bytes one, and drops
/// some altogether.
pub const MAX_PASSWORD_WRITTEN: usize = 4 * MAX_PASSWORD;

/// Longest message of an exchange after decoding, in bytes: PLAIN's with the longest addresses and
/// the longest password (RFC 4616 section 2). In base64 it fits into what may come before log-on.
pub const MAX_MESSAGE: usize = (1023 + 1 + 1023) + 1 + 1023 + 1 + MAX_PASSWORD_WRITTEN;

/// What a password has to be, in words.
pub const PASSWORD_RULE: &str =
    "a password has 1 to 1024 bytes, without control or unassigned characters (RFC 4013)";

/// SASLprep (RFC 4013), which RFC 5802 and RFC 4616 ask for. `None`: it cannot be a password.
pub fn prepare(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > MAX_PASSWORD_WRITTEN {
        return None;
    }
    let prepared = stringprep::saslprep(text).ok()?;
    (1..=MAX_PASSWORD).contains(&prepared.len()).then_some(prepared)
}

/// Compares without saying by its time where the first difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_found_by_their_names() {
        for name in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "OAUTHBEARER"] {
            assert_eq!(Mechanism::parse(name).unwrap().name(), name);
        }
        assert_eq!(Mechanism::parse("DIGEST-MD5"), None);
        assert_eq!(Mechanism::parse("plain"), None);
    }

    #[test]
    fn a_password_has_so_many_bytes_once_it_is_prepared() {
        let longest = "x".repeat(MAX_PASSWORD);
        assert_eq!(prepare(&longest).as_deref(), Some(&*longest));
        assert_eq!(prepare(&format!("{longest}y")), None);
        // NFKC: four bytes become one, a soft hyphen nothing
        let wide = "\u{1d400}".repeat(MAX_PASSWORD);
        assert_eq!(prepare(&wide).as_deref(), Some(&*"A".repeat(MAX_PASSWORD)));
        assert_eq!(prepare(&format!("{wide}\u{ad}")), None, "bounded as it is written too");
        // one letter becomes eighteen (U+FDFA)
        assert_eq!(prepare(&"\u{fdfa}".repeat(32)), None);
        assert!(PASSWORD_RULE.contains(&MAX_PASSWORD.to_string()));
    }

    #[test]
    fn comparing_needs_the_same_length_and_bytes() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }
}
