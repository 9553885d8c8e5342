//! What can be set, and why Redis cannot be used.

use std::{fmt, time::Duration};
use thiserror::Error;

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server, `(host, port)`.
    One(String, u16),
    /// A primary that Sentinels name.
    Sentinel {
        /// The Sentinels, `(host, port)`.
        sentinels: Vec<(String, u16)>,
        /// What they call the primary.
        service: String,
        /// Who logs on to them, if anybody has to.
        user: Option<String>,
        /// Their password.
        password: Option<String>,
    },
    /// Some of the members of a Redis Cluster, `(host, port)`.
    Cluster(Vec<(String, u16)>),
}

/// TLS to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that vouch for them, PEM; none: those of the system.
    pub ca: Option<Vec<u8>>,
    /// The name in their certificates, in place of where they are: the members of a Sentinel's or a Cluster's set are known by address.
    pub server_name: Option<String>,
}

/// How much is remembered of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimit {
    /// Users at most.
    pub entries: usize,
    /// Bytes at most.
    pub bytes: usize,
}

/// What can be set.
#[derive(Clone)]
pub struct Options {
    /// Where Redis is.
    pub servers: Servers,
    /// Who logs on (ACL), if not Redis's `default`.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// TLS, if the servers speak it.
    pub tls: Option<Tls>,
    /// The number of the database; 0 in a Redis Cluster.
    pub database: u8,
    /// The name of the cluster: part of every key. Not empty, no braces.
    pub prefix: String,
    /// How long a call takes at most.
    pub deadline: Duration,
    /// How long connecting may take.
    pub connect: Duration,
    /// Connections for calls, besides the one that reads and hears of changes.
    pub connections: usize,
    /// Calls at the same time; more are refused.
    pub calls: usize,
    /// How much is remembered.
    pub cache: CacheLimit,
    /// As long as a node's lease, or longer. After Redis was found empty, a node that was not there before does not believe it for so
    /// long: those that were there may not have been back.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Servers::One("127.0.0.1".to_owned(), 6379),
            user: None,
            password: None,
            tls: None,
            database: 0,
            prefix: "mangrove".to_owned(),
            deadline: Duration::from_millis(500),
            connect: Duration::from_secs(2),
            connections: 2,
            calls: 4096,
            cache: CacheLimit { entries: 100_000, bytes: 64 << 20 },
            grace: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("at", &format_args!("{}", self.place()))
            .field("user", &self.user)
            .field("tls", &self.tls.is_some())
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        let list = |all: &[(String, u16)]| {
            let all: Vec<_> = all.iter().map(|(host, port)| format!("{host}:{port}")).collect();
            all.join(",")
        };
        match &self.servers {
            Servers::One(host, port) => format!("{host}:{port}"),
            Servers::Sentinel { sentinels, service, .. } => {
                format!("{service} by the Sentinels {}", list(sentinels))
            }
            Servers::Cluster(members) => format!("the cluster of {}", list(members)),
        }
    }

    /// Whether they make sense.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let none = match &self.servers {
            Servers::One(..) => false,
            Servers::Sentinel { sentinels: all, .. } | Servers::Cluster(all) => all.is_empty(),
        };
        let clustered = matches!(self.servers, Servers::Cluster(_));
        let why = match () {
            () if none => "no server is named",
            () if self.prefix.is_empty() || self.prefix.contains(['{', '}']) => {
                "the cluster's name is part of keys: it has at least one character, and no { or }"
            }
            () if clustered && self.database != 0 => "a Redis Cluster has the database 0 only",
            () if self.user.is_some() && self.password.is_none() => "a user needs a password",
            () if self.connections == 0 || self.calls == 0 => {
                "there is at least one connection and one call"
            }
            () if self.deadline.is_zero() || self.connect.is_zero() => "a deadline is not 0",
            () => return Ok(()),
        };
        Err(OpenError::Options { why: why.to_owned() })
    }
}

/// Why Redis cannot be used, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options make no sense.
    #[error("the options of Redis cannot be used: {why}")]
    Options {
        /// Why.
        why: String,
    },
    /// It does not let this user in, or lets it do too little.
    #[error(
        "Redis refuses: {why}; check user and password, and that the user may run scripts, read and write the keys, and use \
         INFO and CLIENT TRACKING"
    )]
    Refused {
        /// What it says.
        why: String,
    },
    /// Who it is cannot be told.
    #[error(
        "no TLS with Redis: {why}; check that it speaks TLS there, its certificate, its name in that, and the CA"
    )]
    Tls {
        /// Why.
        why: String,
    },
    /// It cannot be reached.
    #[error("Redis cannot be reached: {why}")]
    Away {
        /// Why.
        why: String,
    },
    /// Anything else.
    #[error("Redis cannot be used: {why}")]
    Failed {
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let options = Options { password: Some("secret".to_owned()), ..Options::default() };
        let shown = format!("{options:?}");
        assert!(shown.contains("127.0.0.1:6379") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let wrong = [
            Options { prefix: "a{b}".to_owned(), ..Options::default() },
            Options { prefix: String::new(), ..Options::default() },
            Options { servers: Servers::Cluster(Vec::new()), ..Options::default() },
            Options {
                servers: Servers::Cluster(vec![("a".to_owned(), 1)]),
                database: 1,
                ..Options::default()
            },
            Options { user: Some("a".to_owned()), ..Options::default() },
        ];
        assert!(Options::default().check().is_ok());
        assert!(wrong.iter().all(|options| options.check().is_err()));
    }
}
