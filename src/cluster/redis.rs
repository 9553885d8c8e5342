//! `[redis]` as the registry wants it.

use super::uri::{Kind, Uri, UriError};
use crate::files::{self, FileError};
use cluster::registry::redis::{Options, Servers, Tls};
use config::Config;
use thiserror::Error;

/// The options of Redis cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The line is none.
    #[error("redis.uri: {0}")]
    Uri(#[from] UriError),
    /// The certificates cannot be read.
    #[error("redis.ca: {0}")]
    Ca(#[from] FileError),
    /// There is no such file.
    #[error("redis.ca: there is no file {0}")]
    NoCa(String),
    /// Certificates where there is no TLS.
    #[error(
        "redis.ca: redis.uri says no TLS: write rediss://, rediss-sentinel:// or rediss-cluster://"
    )]
    NoTls,
}

/// What the registry is to know; `None`: it is this node's memory.
///
/// # Errors
/// When an option cannot be used.
pub(crate) fn options(config: &Config) -> Result<Option<Options>, RedisError> {
    let redis = &config.redis;
    let Some(uri) = &redis.uri else { return Ok(None) };
    let uri = Uri::parse(uri)?;
    let ca = match &redis.ca {
        Some(_) if !uri.tls => return Err(RedisError::NoTls),
        Some(file) => {
            let none = || RedisError::NoCa(file.display().to_string());
            Some(files::read(file)?.ok_or_else(none)?)
        }
        None => None,
    };
    let user = redis.user.clone().or(uri.user);
    let password = redis.password.clone().or(uri.password);
    let mut hosts = uri.hosts;
    let servers = match uri.kind {
        Kind::One => {
            let (host, port) = hosts.pop().ok_or(UriError::Host)?;
            Servers::One(host, port)
        }
        Kind::Sentinel(service) => {
            Servers::Sentinel { sentinels: hosts, service, user: None, password: None }
        }
        Kind::Cluster => Servers::Cluster(hosts),
    };
    Ok(Some(Options {
        servers,
        user,
        password,
        tls: uri.tls.then_some(Tls { ca, server_name: None }),
        database: uri.database,
        prefix: config.cluster.name.clone().unwrap_or_else(|| config.server.node.clone()),
        deadline: redis.timeout,
        grace: config.cluster.lease,
        ..Options::default()
    }))
}
