//! XMPP addresses (RFC 7622). One shared string and two offsets: a clone is a reference count.
//!
//! Parts are prepared when an address is parsed, so comparing addresses is comparing strings.

use precis_profiles::{
    OpaqueString, UsernameCaseMapped, precis_core::profile::PrecisFastInvocation,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    borrow::{Borrow, Cow},
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};
use thiserror::Error;

/// The most bytes one part of an address may have (RFC 7622 section 3.1).
pub const MAX_PART: usize = 1023;

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JidError {
    /// RFC 7622 section 3.2.
    #[error("the domainpart is empty, too long or has a character that is not allowed")]
    Domain,
    /// RFC 7622 section 3.3.
    #[error("the localpart is empty, too long or has a character that is not allowed")]
    Local,
    /// RFC 7622 section 3.4.
    #[error("the resourcepart is empty, too long or has a character that is not allowed")]
    Resource,
    /// A bare JID was needed.
    #[error("an address without a resourcepart is needed")]
    NotBare,
    /// A full JID was needed.
    #[error("an address with a resourcepart is needed")]
    NotFull,
}

/// Any address: a domain, an account or a resource.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Length of the localpart; 0 when there is none.
    local: u16,
    /// Where the domainpart ends.
    domain: u16,
    /// Where this address ends: before the resourcepart for one made by [`Jid::bare_jid`].
    end: u16,
}

impl Jid {
    /// Prepares and joins the parts.
    ///
    /// # Errors
    /// When a part is not allowed by RFC 7622.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// What it occupies, in bytes: its text, and what an allocation costs besides.
    pub fn weight(&self) -> usize {
        self.text.len() + size_of::<Self>() + 16
    }

    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let mut text = String::with_capacity(
            local.map_or(0, |l| l.len() + 1) + domain.len() + resource.map_or(0, |r| r.len() + 1),
        );
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        // three parts of at most 1023 bytes: every offset fits
        let offset = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let domain = offset(text.len());
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        let end = offset(text.len());
        Self { text: text.into(), local: offset(local.map_or(0, str::len)), domain, end }
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.text.get(..usize::from(self.end)).unwrap_or_default()
    }

    /// The localpart.
    pub fn node(&self) -> Option<&str> {
        (self.local > 0).then(|| self.text.get(..usize::from(self.local)).unwrap_or_default())
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        let start = if self.local > 0 { usize::from(self.local) + 1 } else { 0 };
        self.text.get(start..usize::from(self.domain)).unwrap_or_default()
    }

    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.domain) + 1..usize::from(self.end)).filter(|r| !r.is_empty())
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        self.end == self.domain
    }

    /// Without the resourcepart; shares the text.
    pub fn bare_jid(&self) -> Self {
        Self { end: self.domain, ..self.clone() }
    }

    /// Without the resourcepart.
    pub fn bare(&self) -> BareJid {
        BareJid(self.bare_jid())
    }
}

impl FromStr for Jid {
    type Err = JidError;

    /// RFC 7622 section 3.1: the first `/` ends the domainpart, the first `@` before it the
    /// localpart.
    fn from_str(text: &str) -> Result<Self, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        Self::from_parts(local, domain, resource)
    }
}

/// A common trait body for the three address types.
macro_rules! as_text {
    ($t:ty) => {
        impl PartialEq for $t {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }
        impl Eq for $t {}
        impl PartialOrd for $t {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $t {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }
        impl Hash for $t {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }
        impl Borrow<str> for $t {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<'_, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Jid);
as_text!(BareJid);
as_text!(FullJid);

/// An address without a resourcepart.
#[derive(Clone)]
pub struct BareJid(Jid);

/// An address with a resourcepart.
#[derive(Clone)]
pub struct FullJid(Jid);

impl BareJid {
    /// The account `local` at `domain`.
    ///
    /// # Errors
    /// When a part is not allowed.
    pub fn new(local: &str, domain: &str) -> Result<Self, JidError> {
        Ok(Self(Jid::from_parts(Some(local), domain, None)?))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The localpart.
    pub fn node(&self) -> Option<&str> {
        self.0.node()
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// Adds a resourcepart.
    ///
    /// # Errors
    /// When it is not allowed.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prepare_resource(resource)?;
        Ok(FullJid(Jid::join(self.node(), self.domain(), Some(&resource))))
    }
}

impl FullJid {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The localpart.
    pub fn node(&self) -> Option<&str> {
        self.0.node()
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// The resourcepart.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }

    /// Without the resourcepart; shares the text.
    pub fn bare(&self) -> BareJid {
        self.0.bare()
    }
}

impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Self {
        jid.0
    }
}

impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Self {
        jid.0
    }
}

impl TryFrom<Jid> for FullJid {
    type Error = JidError;
    fn try_from(jid: Jid) -> Result<Self, JidError> {
        if jid.is_bare() { Err(JidError::NotFull) } else { Ok(Self(jid)) }
    }
}

impl TryFrom<Jid> for BareJid {
    type Error = JidError;
    fn try_from(jid: Jid) -> Result<Self, JidError> {
        if jid.is_bare() { Ok(Self(jid)) } else { Err(JidError::NotBare) }
    }
}

impl FromStr for BareJid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<Self, JidError> {
        text.parse::<Jid>()?.try_into()
    }
}

impl FromStr for FullJid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<Self, JidError> {
        text.parse::<Jid>()?.try_into()
    }
}

fn sized(text: Cow<'_, str>, error: JidError) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() || text.len() > MAX_PART { Err(error) } else { Ok(text) }
}

/// RFC 7622 section 3.3: UsernameCaseMapped, and eight characters more that are not allowed.
fn prepare_local(text: &str) -> Result<Cow<'_, str>, JidError> {
    const EXCLUDED: &[char] = &['"', '&', '\'', '/', ':', '<', '>', '@'];
    if text.len() > MAX_PART || text.contains(EXCLUDED) {
        return Err(JidError::Local);
    }
    let plain = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
    let prepared = if text.bytes().all(plain) {
        Cow::Borrowed(text)
    } else {
        UsernameCaseMapped::enforce(text).map_err(|_| JidError::Local)?
    };
    if prepared.contains(EXCLUDED) {
        return Err(JidError::Local);
    }
    sized(prepared, JidError::Local)
}

/// RFC 7622 section 3.4: OpaqueString.
fn prepare_resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.len() > MAX_PART {
        return Err(JidError::Resource);
    }
    let prepared = if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        Cow::Borrowed(text)
    } else {
        OpaqueString::enforce(text).map_err(|_| JidError::Resource)?
    };
    sized(prepared, JidError::Resource)
}

/// RFC 7622 section 3.2: an IP literal or an internationalised domain name, as U-labels.
pub fn prepare_domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    // a final dot is dropped (section 3.2)
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > MAX_PART {
        return Err(JidError::Domain);
    }
    if let Some(literal) = text.strip_prefix('[') {
        let address = literal.strip_suffix(']').and_then(|a| a.parse::<std::net::Ipv6Addr>().ok());
        return address.map(|a| Cow::Owned(format!("[{a}]"))).ok_or(JidError::Domain);
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let simple = text.bytes().all(plain) && !text.split('.').any(|l| l.starts_with("xn--"));
    let domain = if simple {
        Cow::Borrowed(text)
    } else {
        let (unicode, result) = idna::domain_to_unicode(text);
        result.map_err(|_| JidError::Domain)?;
        Cow::Owned(unicode)
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-' || !c.is_ascii())
            && idna::domain_to_ascii(l).is_ok_and(|a| a.len() <= 63)
    };
    if !domain.split('.').all(label) {
        return Err(JidError::Domain);
    }
    sized(domain, JidError::Domain)
}

/// A domain as certificates have it: A-labels (RFC 5890 section 2.3.2.1).
pub fn ascii_domain(domain: &str) -> Option<String> {
    idna::domain_to_ascii(domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, JidError> {
        text.parse::<Jid>().map(|j| j.to_string())
    }

    #[test]
    fn the_examples_of_rfc_7622_section_3_5() {
        for (text, local, domain, resource) in [
            ("juliet@example.com", Some("juliet"), "example.com", None),
            ("juliet@example.com/foo", Some("juliet"), "example.com", Some("foo")),
            ("juliet@example.com/foo bar", Some("juliet"), "example.com", Some("foo bar")),
            ("juliet@example.com/foo@bar", Some("juliet"), "example.com", Some("foo@bar")),
            ("foo\\20bar@example.com", Some("foo\\20bar"), "example.com", None),
            ("fussball@example.com", Some("fussball"), "example.com", None),
            ("fu\u{df}ball@example.com", Some("fu\u{df}ball"), "example.com", None),
            ("\u{3c0}@example.com", Some("\u{3c0}"), "example.com", None),
            ("\u{3a3}@example.com/foo", Some("\u{3c3}"), "example.com", Some("foo")),
            ("king@example.com/\u{265a}", Some("king"), "example.com", Some("\u{265a}")),
            ("example.com", None, "example.com", None),
            ("example.com/foobar", None, "example.com", Some("foobar")),
            ("a.example.com/b@example.net", None, "a.example.com", Some("b@example.net")),
        ] {
            let jid: Jid = text.parse().unwrap();
            assert_eq!((jid.node(), jid.domain(), jid.resource()), (local, domain, resource));
        }
        for text in [
            "\"juliet\"@example.com",
            "foo bar@example.com",
            "juliet@example.com/ foo\u{0}",
            "@example.com",
            "@example.com/",
            "user@example.com/",
            "henry\u{2163}@example.com",
            "\u{265a}@example.com",
            "juliet@",
            "/foobar",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_compared_after_preparation() {
        assert_eq!(parse("Juliet@EXAMPLE.com/Balcony").unwrap(), "juliet@example.com/Balcony");
        assert_eq!(parse("a@B\u{fc}cher.example.").unwrap(), "a@b\u{fc}cher.example");
        assert_eq!(parse("a@xn--bcher-kva.example").unwrap(), "a@b\u{fc}cher.example");
        assert_eq!(parse("a@[::0:1]").unwrap(), "a@[::1]");
        assert_eq!(parse("a@-b.example"), Err(JidError::Domain));
        assert_eq!(parse("a@b..example"), Err(JidError::Domain));
        assert_eq!(parse("a@b c"), Err(JidError::Domain));
    }

    #[test]
    fn parts_have_a_limit() {
        let ok = format!("a@b/{}", "r".repeat(MAX_PART));
        assert!(parse(&ok).is_ok());
        assert_eq!(parse(&format!("{ok}r")), Err(JidError::Resource));
        assert_eq!(parse(&format!("{}@b", "l".repeat(1024))), Err(JidError::Local));
        assert_eq!(parse(&"d".repeat(1024)), Err(JidError::Domain));
    }

    #[test]
    fn a_bare_jid_hashes_and_compares_like_its_text() {
        use std::collections::HashMap;
        let full: FullJid = "juliet@example.com/balcony".parse().unwrap();
        let map = HashMap::from([(full.bare(), 1)]);
        assert_eq!(map.get("juliet@example.com"), Some(&1));
        assert_eq!(full.bare(), "juliet@example.com".parse().unwrap());
        assert_eq!(full.bare().with_resource("balcony").unwrap(), full);
        assert!("juliet@example.com".parse::<FullJid>().is_err());
        assert!("juliet@example.com/x".parse::<BareJid>().is_err());
    }
}
