//! `redis.uri`: where Redis is, in one line.
//!
//! `redis[s][-sentinel|-cluster]://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE][?sentinelServiceName=NAME]`

use std::num::ParseIntError;
use thiserror::Error;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Something is no such line.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// It begins otherwise.
    #[error(
        "it begins with redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://"
    )]
    Scheme,
    /// There is no host.
    #[error("it names no host")]
    Host,
    /// A port or the number of the database is no number.
    #[error("{0:?} is no number")]
    Number(String),
    /// One server has one address.
    #[error("only Sentinels and the members of a Redis Cluster are several")]
    Several,
    /// The service's name is missing.
    #[error("add ?sentinelServiceName=NAME, as the Sentinels call the primary")]
    Service,
    /// A percent sign is followed by no two hexadecimal digits.
    #[error("a % in a user or password is written %25")]
    Percent,
    /// There is an option besides.
    #[error("there is no option {0:?}")]
    Option(String),
}

/// What kind of Redis it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One server.
    One,
    /// A primary that Sentinels name, which they call so.
    Sentinel(String),
    /// A Redis Cluster.
    Cluster,
}

/// Such a line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// What is there.
    pub kind: Kind,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// `(host, port)`; of [`Kind::One`] one.
    pub hosts: Vec<(String, u16)>,
    /// Who logs on.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u8,
}

impl Uri {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        let (tls, kind) = match scheme {
            "redis" => (false, Kind::One),
            "rediss" => (true, Kind::One),
            "redis-sentinel" => (false, Kind::Sentinel(String::new())),
            "rediss-sentinel" => (true, Kind::Sentinel(String::new())),
            "redis-cluster" => (false, Kind::Cluster),
            "rediss-cluster" => (true, Kind::Cluster),
            _ => return Err(UriError::Scheme),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // a password may have an @
        let (who, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let said = |text: &str| -> Result<Option<String>, UriError> {
            Ok(Some(decoded(text)?).filter(|text| !text.is_empty()))
        };
        let port = if matches!(kind, Kind::Sentinel(_)) { SENTINEL_PORT } else { PORT };
        let hosts: Vec<_> =
            hosts.split(',').map(|host| address(host, port)).collect::<Result<_, _>>()?;
        if hosts.len() > 1 && kind == Kind::One {
            return Err(UriError::Several);
        }
        let mut uri = Self {
            kind,
            tls,
            hosts,
            user: said(user)?,
            password: said(password)?,
            database: if database.is_empty() { 0 } else { number(database)? },
        };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match (option.split_once('='), &mut uri.kind) {
                (Some(("sentinelServiceName", name)), Kind::Sentinel(service)) => {
                    *service = decoded(name)?;
                }
                _ => return Err(UriError::Option(option.to_owned())),
            }
        }
        match &uri.kind {
            Kind::Sentinel(service) if service.is_empty() => Err(UriError::Service),
            _ => Ok(uri),
        }
    }
}

fn number<N: std::str::FromStr<Err = ParseIntError>>(text: &str) -> Result<N, UriError> {
    text.parse().map_err(|_| UriError::Number(text.to_owned()))
}

/// `HOST`, `HOST:PORT`, `[::1]`, `[::1]:PORT`.
fn address(text: &str, port: u16) -> Result<(String, u16), UriError> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, port),
        Some((host, rest)) => (host, number(rest.strip_prefix(':').unwrap_or(rest))?),
        None => match text.split_once(':') {
            Some((host, rest)) => (host, number(rest)?),
            None => (text, port),
        },
    };
    if host.is_empty() { Err(UriError::Host) } else { Ok((host.to_owned(), port)) }
}

/// RFC 3986 section 2.1.
fn decoded(text: &str) -> Result<String, UriError> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(UriError::Percent) };
        out.push(u8::try_from(16 * high + low).map_err(|_| UriError::Percent)?);
    }
    String::from_utf8(out).map_err(|_| UriError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(all: &[(&str, u16)]) -> Vec<(String, u16)> {
        all.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect()
    }

    #[test]
    fn all_kinds_are_one_line() {
        let plain = Uri::parse("redis://localhost").unwrap();
        let expected = Uri {
            kind: Kind::One,
            tls: false,
            hosts: hosts(&[("localhost", 6379)]),
            user: None,
            password: None,
            database: 0,
        };
        assert_eq!(plain, expected);
        let all = Uri::parse("rediss://mangrove:p%40s:s@[::1]:7000/3").unwrap();
        let who = (all.user.as_deref(), all.password.as_deref());
        assert_eq!((all.tls, who), (true, (Some("mangrove"), Some("p@s:s"))));
        assert_eq!((all.hosts, all.database), (hosts(&[("::1", 7000)]), 3));
        let password = Uri::parse("redis://:secret@host").unwrap();
        assert_eq!((password.user, password.password.as_deref()), (None, Some("secret")));
        let sentinel = "redis-sentinel://a,b:1,[::2]/?sentinelServiceName=my%20primary";
        let sentinel = Uri::parse(sentinel).unwrap();
        assert_eq!(sentinel.kind, Kind::Sentinel("my primary".to_owned()));
        assert_eq!(sentinel.hosts, hosts(&[("a", 26379), ("b", 1), ("::2", 26379)]));
        let cluster = Uri::parse("rediss-cluster://a,b").unwrap();
        assert_eq!((cluster.kind, cluster.tls, cluster.hosts.len()), (Kind::Cluster, true, 2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, error) in [
            ("localhost", UriError::Scheme),
            ("http://a", UriError::Scheme),
            ("redis://", UriError::Host),
            ("redis://:7", UriError::Host),
            ("redis://a:b", UriError::Number("b".to_owned())),
            ("redis://a:70000", UriError::Number("70000".to_owned())),
            ("redis://a/b", UriError::Number("b".to_owned())),
            ("redis://a,b", UriError::Several),
            ("redis-sentinel://a", UriError::Service),
            ("redis://u:%zz@a", UriError::Percent),
            ("redis://a?x=1", UriError::Option("x=1".to_owned())),
            (
                "redis://a?sentinelServiceName=b",
                UriError::Option("sentinelServiceName=b".to_owned()),
            ),
        ] {
            assert_eq!(Uri::parse(text), Err(error), "{text}");
        }
    }
}
