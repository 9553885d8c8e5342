//! From the configuration to hosts whose accounts belong to somebody else.

use crate::settings;
use auth::{
    Accounts, ForeignOptions, HashPool, HttpAuth, HttpOptions, MongoOptions, MongoSource, Naming,
    PoolLimits, Source, Verifier,
    jwt::{Algorithm, Key, Policy},
};
use config::{
    Config, Loaded,
    schema::{self, HttpAccounts, JwtAccounts, MongodbAccounts, Scram, UserIs},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use storage::{
    AccountStore, Backend,
    mongo::{self, Existing, ExistingOptions},
};
use supervision::System;
use thiserror::Error;
use xmpp::jid::prepare_domain;
use zeroize::Zeroizing;

/// Why accounts that are elsewhere cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ElsewhereError {
    /// The store's options cannot be used.
    #[error("[mongodb]: {0}")]
    Store(String),
    /// A file cannot be read.
    #[error("the accounts of {host}: {}: {error}", path.display())]
    File {
        /// Whose.
        host: String,
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is configured cannot be used.
    #[error("the accounts of {host}: {why}")]
    Options {
        /// Whose.
        host: String,
        /// Why.
        why: String,
    },
}

/// `[[..._accounts]]` with hosts that are prepared.
pub(crate) struct Prepared {
    mongodb: Vec<MongodbAccounts>,
    http: Vec<HttpAccounts>,
    jwt: Vec<JwtAccounts>,
}

impl Prepared {
    pub(crate) fn apply(self, config: &mut Config) {
        let Self { mongodb, http, jwt } = self;
        config.mongodb_accounts = mongodb;
        config.http_accounts = http;
        config.jwt_accounts = jwt;
    }
}

/// Checks which hosts they are of: each is served, and has one place for its accounts.
pub(crate) fn prepare(loaded: &mut Loaded, hosts: &[String]) -> Prepared {
    let Config { mongodb_accounts, http_accounts, jwt_accounts, .. } = loaded.draft().clone();
    let (mut mongodb, mut http, mut jwt) = (mongodb_accounts, http_accounts, jwt_accounts);
    let mut seen = Vec::new();
    let mut prepare = |section: &str, n: usize, name: &mut String| {
        let host = prepare_domain(name).map_or_else(|_| name.clone(), |host| host.into_owned());
        if !hosts.contains(&host) {
            let message = format!("{name:?} is not served here");
            loaded.modules.reject(section, Some(n), &message, "write one of server.hosts");
        } else if seen.contains(&host) {
            let message = format!("the accounts of {host} are in two places");
            loaded.modules.reject(section, Some(n), &message, "write each host once");
        }
        seen.push(host.clone());
        *name = host;
    };
    for (n, of) in mongodb.iter_mut().enumerate() {
        prepare("mongodb_accounts", n, &mut of.host);
    }
    for (n, of) in http.iter_mut().enumerate() {
        prepare("http_accounts", n, &mut of.host);
    }
    for (n, of) in jwt.iter_mut().enumerate() {
        prepare("jwt_accounts", n, &mut of.host);
    }
    for (n, of) in mongodb.iter().enumerate() {
        if let Err(why) = mongo::filter(&of.filter) {
            let fix = "write it as for find, in JSON: '{\"active\": true}'";
            loaded.modules.reject("mongodb_accounts", Some(n), &why.to_string(), fix);
        }
    }
    for (n, of) in jwt.iter().enumerate() {
        if let Some(name) = &of.algorithm
            && Algorithm::parse(name).is_none()
        {
            let names: Vec<&str> = Algorithm::ALL.iter().map(|of| of.name()).collect();
            let message = format!("there is no algorithm {name:?}");
            let fix = format!("write one of {}", names.join(", "));
            loaded.modules.reject("jwt_accounts", Some(n), &message, &fix);
        }
    }
    Prepared { mongodb, http, jwt }
}

/// Whether what the configuration names outside of the node can be used: files are read, and nobody is asked.
///
/// # Errors
/// The first that cannot.
pub async fn check(config: &Config) -> Result<(), ElsewhereError> {
    if config.storage.backend == schema::Backend::Mongodb {
        let unusable = |why: mongo::OpenError| ElsewhereError::Store(why.to_string());
        settings::mongodb(config).check().await.map_err(unusable)?;
    }
    let own = Backend::memory();
    let own = Arc::clone(&own.stores().accounts);
    accounts(config, own, &System::new("check")).await.map(drop)
}

/// All accounts of a node, given those of its store.
///
/// # Errors
/// When something that is configured cannot be used.
pub(crate) async fn accounts(
    config: &Config,
    own: Arc<dyn AccountStore>,
    system: &System,
) -> Result<Accounts, ElsewhereError> {
    let mut accounts = Accounts::new(own);
    let Config { mongodb_accounts, http_accounts, jwt_accounts, .. } = config;
    if mongodb_accounts.is_empty() && http_accounts.is_empty() && jwt_accounts.is_empty() {
        return Ok(accounts);
    }
    let no_pool = |_| ElsewhereError::Options {
        host: config.server.hosts.join(", "),
        why: "the system has no randomness".to_owned(),
    };
    let pool = HashPool::new(PoolLimits::default()).map_err(no_pool)?;
    let options = |scram: Scram, bearer, refuse_after| ForeignOptions {
        scram: scram == Scram::WhenKnown,
        bearer,
        refuse_after,
        pool: pool.clone(),
    };
    for of in mongodb_accounts {
        let source = mongodb(config, of).await?;
        accounts = accounts.with(&of.host, source, options(of.scram, false, of.refuse_after));
    }
    for of in http_accounts {
        let source = http(of, system)?;
        accounts = accounts.with(&of.host, source, options(of.scram, false, of.refuse_after));
    }
    for of in jwt_accounts {
        let source = Arc::new(jwt(of)?);
        accounts = accounts.with(&of.host, source, options(Scram::Never, true, of.refuse_after));
    }
    Ok(accounts)
}

/// The server that the collection is on. Without a URI it is that of `[mongodb]`, with whatever of it is not set here.
fn server(config: &Config, of: &MongodbAccounts) -> mongo::Options {
    let shared = settings::mongodb(config);
    let with = |uri: &str, user: &Option<String>, password: &Option<String>, ca| mongo::Options {
        uri: uri.to_owned(),
        database: Some(of.database.clone()),
        user: user.clone(),
        password: password.clone(),
        ca,
        ..shared.clone()
    };
    if let Some(uri) = &of.uri {
        return with(uri, &of.user, &of.password, of.ca.clone());
    }
    // a password belongs to its user
    let (user, password) = match &of.user {
        Some(_) => (&of.user, &of.password),
        None => (&shared.user, &shared.password),
    };
    with(&shared.uri, user, password, of.ca.clone().or_else(|| shared.ca.clone()))
}

async fn mongodb(config: &Config, of: &MongodbAccounts) -> Result<Arc<dyn Source>, ElsewhereError> {
    let server = server(config, of);
    let options = ExistingOptions {
        server,
        collection: of.collection.clone(),
        user_field: of.user_field.clone(),
        ignore_case: of.ignore_case,
        password_field: of.password_field.clone(),
        disabled_field: of.disabled_field.clone(),
        filter: of.filter.clone(),
        poll: of.poll,
    };
    let unusable = |why: mongo::OpenError| refuse(&of.host, why);
    let users = Existing::open(options).await.map_err(unusable)?;
    let naming = match of.user_is {
        UserIs::Localpart => Naming::Localpart,
        UserIs::Jid => Naming::Jid,
    };
    let (host, plain, write) = (of.host.clone(), of.plain, of.write);
    Ok(Arc::new(MongoSource::new(users, MongoOptions { host, naming, plain, write })))
}

fn http(of: &HttpAccounts, system: &System) -> Result<Arc<dyn Source>, ElsewhereError> {
    let authorities = of.ca.as_deref().map(|ca| text(&of.host, ca)).transpose()?;
    let options = HttpOptions {
        secret: of.secret.clone().map(Zeroizing::new),
        authorities,
        may_set: of.write,
        concurrency: of.parallel,
        deadline: of.deadline,
        ..HttpOptions::new(&of.host, &of.url)
    };
    let client = HttpAuth::new(options, system);
    Ok(Arc::new(client.map_err(|why| refuse(&of.host, why))?))
}

fn jwt(of: &JwtAccounts) -> Result<Verifier, ElsewhereError> {
    let refuse = |why: &dyn std::fmt::Display| refuse(&of.host, why);
    let bytes = Zeroizing::new(read(&of.host, &of.key)?);
    let policy = Policy {
        issuer: of.issuer.clone(),
        audience: of.audience.clone().into_iter().collect(),
        user: of.user_claim.clone(),
        ..Policy::new(&of.host)
    };
    // it was checked
    let algorithm = of.algorithm.as_deref().and_then(Algorithm::parse);
    let file = of.key.display();
    let keys = Key::any(&bytes, algorithm);
    let keys = keys.map_err(|error| refuse(&format!("{file}: {error}")))?;
    Verifier::new(keys, policy).map_err(|e| refuse(&e))
}

fn refuse(host: &str, why: impl std::fmt::Display) -> ElsewhereError {
    ElsewhereError::Options { host: host.to_owned(), why: why.to_string() }
}

fn read(host: &str, path: &Path) -> Result<Vec<u8>, ElsewhereError> {
    let file = |error| ElsewhereError::File { host: host.to_owned(), path: path.to_owned(), error };
    fs::read(path).map_err(file)
}

fn text(host: &str, path: &Path) -> Result<String, ElsewhereError> {
    let bytes = read(host, path)?;
    String::from_utf8(bytes).map_err(|_| refuse(host, format!("{} is no text", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who logs on, with what, and who vouches, given what a collection says besides.
    fn of(text: &str) -> (String, [Option<String>; 3]) {
        let all = format!(
            "[mongodb]\nuri = 'mongodb://a'\nuser = 'u'\npassword = 'p'\nca = 'ca'\n\
             [[mongodb_accounts]]\nhost = 'localhost'\ndatabase = 'd'\ncollection = 'c'\n{text}"
        );
        let config = settings::Setup::of(config::load(&all, "m.toml", [], &[])).unwrap().config;
        let server = server(&config, config.mongodb_accounts.first().unwrap());
        let ca = server.ca.map(|ca| ca.display().to_string());
        (server.uri, [server.user, server.password, ca])
    }

    #[test]
    fn what_a_collection_does_not_say_is_that_of_the_store() {
        let some =
            |all: [&str; 3]| all.map(|one| Some(one.to_owned()).filter(|one| !one.is_empty()));
        let here = "mongodb://a".to_owned();
        assert_eq!(of(""), (here.clone(), some(["u", "p", "ca"])));
        assert_eq!(of("user = 'r'\npassword = 'q'\n"), (here.clone(), some(["r", "q", "ca"])));
        assert_eq!(of("user = 'r'\n"), (here, some(["r", "", "ca"])), "not another's password");
        let there = "mongodb://b".to_owned();
        assert_eq!(
            of("uri = 'mongodb://b'\n"),
            (there, some(["", "", ""])),
            "nor to another server"
        );
    }
}
