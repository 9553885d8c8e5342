//! SASL OAUTHBEARER, server side (RFC 7628): a token of an authority instead of a password.
//!
//! The client sends its token; a wrong one is answered with a challenge that says why, in JSON, to which the client
//! answers [`ANSWER`], and only then it has failed (section 3.2.3).

use super::{Failure, scram::unescape};
use serde::Serialize;
use std::fmt;

/// What stands between the values of a message, and is all of the client's answer to a challenge.
const SEPARATOR: char = '\u{1}';

/// The client's answer to a [`Challenge`].
pub const ANSWER: &[u8] = b"\x01";

/// A client's first message.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer {
    /// As whom it wants to act; without one, as whom the token is for.
    pub authzid: Option<String>,
    /// The token, not checked (RFC 6750 section 2.1: letters, digits, `-._~+/`, then `=`).
    pub token: String,
    /// The host that the client believes to talk to.
    pub host: Option<String>,
    /// And the port.
    pub port: Option<u16>,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("authzid", &self.authzid).finish_non_exhaustive()
    }
}

impl Bearer {
    /// Parses `gs2-header ^A *(key=value ^A) ^A` (section 3.1). Keys that are unknown are ignored, as the section demands.
    ///
    /// # Errors
    /// `malformed-request`: without a token, with a value twice, of another scheme than `Bearer`, or when the client wants to
    /// bind the channel, which this mechanism does not.
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        Self::read(message).ok_or(Failure::MalformedRequest)
    }

    fn read(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (header, values) = text.split_once(SEPARATOR)?;
        let (flag, authzid) = header.strip_suffix(',')?.split_once(',')?;
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let authzid = match authzid {
            "" => None,
            name => Some(unescape(name.strip_prefix("a=")?)?),
        };
        let (mut auth, mut host, mut port) = (None, None, None);
        // each value ends with a separator, and then there is one more
        let values = values.strip_suffix(SEPARATOR)?;
        for pair in values.split_terminator(SEPARATOR) {
            let (key, value) = pair.split_once('=')?;
            let place = match key {
                "auth" => &mut auth,
                "host" => &mut host,
                "port" => &mut port,
                key if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic()) => continue,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        if !values.ends_with(SEPARATOR) {
            return None;
        }
        let (scheme, token) = auth?.split_once(' ')?;
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("Bearer") || !is_token(token) {
            return None;
        }
        let port = port.map(str::parse).transpose().ok()?;
        Some(Self { authzid, token: token.to_owned(), host: host.map(str::to_owned), port })
    }
}

/// `b64token` of RFC 6750 section 2.1.
fn is_token(text: &str) -> bool {
    let letters = text.trim_end_matches('=');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !letters.is_empty() && letters.bytes().all(allowed)
}

/// Why a token was refused (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is malformed.
    InvalidRequest,
    /// It has expired, was withdrawn, or is not of an authority that is trusted.
    InvalidToken,
    /// It is for something else.
    InsufficientScope,
}

/// The challenge that says why a token was refused (section 3.2.2).
#[derive(Clone, Debug, Serialize)]
pub struct Challenge<'a> {
    /// Why.
    pub status: Status,
    /// What a token has to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'a str>,
    /// Where the client finds who makes tokens (OpenID Connect Discovery), a URL.
    #[serde(rename = "openid-configuration", skip_serializing_if = "Option::is_none")]
    pub openid_configuration: Option<&'a str>,
}

impl Challenge<'_> {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        // texts and an enum: there is nothing that serialising could refuse
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

    #[test]
    fn the_example_of_section_4_1() {
        let message = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let bearer = Bearer::parse(message.as_bytes()).unwrap();
        assert_eq!(bearer.authzid.as_deref(), Some("user@example.com"));
        assert_eq!(bearer.token, TOKEN);
        assert_eq!((bearer.host.as_deref(), bearer.port), (Some("server.example.com"), Some(143)));
        assert!(!format!("{bearer:?}").contains("vF9"));
    }

    #[test]
    fn only_the_token_is_needed() {
        let parse = |text: &str| Bearer::parse(text.as_bytes());
        let bearer = parse("n,,\x01auth=Bearer a.b-c_d~e+f/g==\x01\x01").unwrap();
        assert_eq!((bearer.authzid, bearer.host, bearer.port), (None, None, None));
        assert_eq!(bearer.token, "a.b-c_d~e+f/g==");
        assert!(
            parse("y,a=a=2Cb=3D,\x01x=1\x01auth=BEARER  a\x01\x01").unwrap().authzid.unwrap()
                == "a,b="
        );
    }

    #[test]
    fn anything_else_is_malformed() {
        for bad in [
            "",
            "n,,",
            "\x01",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer a",
            "n,,\x01auth=Bearer a\x01",
            "n,,\x01auth=Bearer a\x01\x01\x01",
            "n,,\x01auth=Bearer a\x01\x01x",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer ==\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer a=b\x01\x01",
            "n,,\x01auth=Bearer é\x01\x01",
            "n,,\x01auth=Basic YTpi\x01\x01",
            "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            "n,,\x01auth=Bearer a\x01port=x\x01\x01",
            "n,,\x01auth=Bearer a\x01port=65536\x01\x01",
            "n,,\x01auth=Bearer a\x01novalue\x01\x01",
            "n,,\x01auth=Bearer a\x01=x\x01\x01",
            "n,,\x01auth=Bearer a\x01k1=x\x01\x01",
            "n,auth=Bearer a\x01\x01",
            "n,b=x,\x01auth=Bearer a\x01\x01",
            "n,a=,\x01auth=Bearer a\x01\x01",
            "n,a=x\x01auth=Bearer a\x01\x01",
            "p=tls-exporter,,\x01auth=Bearer a\x01\x01",
        ] {
            assert_eq!(Bearer::parse(bad.as_bytes()), Err(Failure::MalformedRequest), "{bad:?}");
        }
        assert!(Bearer::parse(b"n,,\x01auth=Bearer a\xff\x01\x01").is_err());
    }

    #[test]
    fn the_challenge_of_section_4_3() {
        let url = "https://example.com/.well-known/openid-configuration";
        let challenge = Challenge {
            status: Status::InvalidToken,
            scope: Some("example_scope"),
            openid_configuration: Some(url),
        };
        assert_eq!(
            challenge.to_json(),
            r#"{"status":"invalid_token","scope":"example_scope","openid-configuration":"https://example.com/.well-known/openid-configuration"}"#
        );
        let plain = Challenge {
            status: Status::InsufficientScope,
            scope: None,
            openid_configuration: None,
        };
        assert_eq!(plain.to_json(), r#"{"status":"insufficient_scope"}"#);
        assert_eq!(ANSWER, [1]);
    }
}
