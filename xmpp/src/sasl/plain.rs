//! SASL PLAIN (RFC 4616).

use super::{Failure, MAX_PASSWORD_WRITTEN, prepare};
use std::borrow::Cow;

/// A client's message.
pub struct Plain {
    /// As whom it wants to act; empty: as itself.
    pub authzid: String,
    /// Who it is.
    pub authcid: String,
    /// The password as it was written; those who keep it hashed by themselves may not have prepared it.
    pub password: String,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

impl Plain {
    /// Parses `[authzid] NUL authcid NUL passwd`.
    ///
    /// # Errors
    /// `malformed-request` (RFC 6120 section 6.5.8) for anything else.
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(message).map_err(|_| Failure::MalformedRequest)?;
        let parts: Vec<&str> = text.split('\0').collect();
        let [authzid, authcid, password] = parts.as_slice() else {
            return Err(Failure::MalformedRequest);
        };
        if authcid.is_empty() || password.is_empty() {
            return Err(Failure::MalformedRequest);
        }
        if password.len() > MAX_PASSWORD_WRITTEN {
            return Err(Failure::NotAuthorized);
        }
        let [authzid, authcid, password] = [authzid, authcid, password].map(|t| (**t).to_owned());
        Ok(Self { authzid, authcid, password })
    }

    /// The password as it has to be prepared (section 2). `None`: what SASLprep does not allow, or is too long, is no password that
    /// was set here.
    pub fn prepared(&self) -> Option<Cow<'_, str>> {
        prepare(&self.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_needed() {
        let p = Plain::parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((p.authzid.as_str(), p.authcid.as_str()), ("", "tim"));
        assert_eq!(Plain::parse(b"Ursel\0Kurt\0xipj3plmq").unwrap().authzid, "Ursel");
        for bad in [&b"tim\0x"[..], b"", b"\0\0", b"\0tim\0", b"\0a\0b\0c", b"\0\xff\0x"] {
            assert_eq!(Plain::parse(bad).unwrap_err(), Failure::MalformedRequest, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_password_is_one_that_can_be_set() {
        let parse = |password: &str| Plain::parse(format!("\0tim\0{password}").as_bytes());
        let longest = "x".repeat(super::super::MAX_PASSWORD);
        assert_eq!(parse(&longest).unwrap().prepared().as_deref(), Some(&*longest));
        assert_eq!(parse(&format!("{longest}x")).unwrap().prepared(), None);
        let longest = "x".repeat(MAX_PASSWORD_WRITTEN);
        assert_eq!(parse(&longest).unwrap().password, longest);
        assert_eq!(parse(&format!("{longest}x")).unwrap_err(), Failure::NotAuthorized);
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", Plain::parse(b"\0tim\0secret").unwrap()).contains("secret"));
    }
}
