//! Connecting, and what the server has to be.

use super::{
    MongoStore,
    breaker::Breaker,
    failure::{is_away, is_refused, why},
    health::Health,
    known::Known,
    numbers::Numbers,
    options::{OpenError, Options, WIRE_5_0, WriteConcern},
    room::Room,
};
use crate::turns::Turns;
use mongodb::{
    Client,
    bson::{Document, doc},
    error::Error,
    options::{
        Acknowledgment, ClientOptions, Credential, ReadConcern, ReadPreference, SelectionCriteria,
        Tls, TlsOptions, WriteConcern as Concern,
    },
};
use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

/// How often the driver looks at each server.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Connections to a server.
const CONNECTIONS: u32 = 32;
/// What MongoDB knows a node as, before its name.
pub(super) const APP: &str = "mangrove ";
/// Calls at the same time, and what they hold in bytes; more are refused.
const CALLS: usize = 4096;
const CALLS_BYTES: usize = 64 << 20;
/// The database, if nobody names one.
const DATABASE: &str = "mangrove";
/// What else to write in place of a name that only DNS knows the members of.
const SRV: &str = "mongodb+srv is not supported: name the members, \
                   mongodb://HOST:PORT,HOST:PORT/?replicaSet=NAME&tls=true";

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let why = why(&error);
        match error {
            error if is_refused(&error) => Self::Refused { why },
            error if is_away(&error) => Self::Away { why },
            _ => Self::Failed { why },
        }
    }
}

/// A name of a field: other characters as their codes.
fn field(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let escape = |c| if plain(c) { String::from(c) } else { format!("_{:x}_", u32::from(c)) };
    name.chars().map(escape).collect()
}

/// Whether there are certificates in a file: the driver would only find that nobody can be trusted.
fn certificates(file: &Path) -> Result<(), OpenError> {
    let path = file.display();
    let unusable = |why: String| OpenError::Options { why: format!("{path}: {why}") };
    let pem = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    if pem.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(unusable("no certificate in it, as PEM".to_owned()))
}

/// Whether each `%` begins two hexadecimal digits: at some that do not the driver panics.
fn is_encoded(uri: &str) -> bool {
    let mut after = uri.as_bytes().split(|b| *b == b'%').skip(1);
    after.all(|rest| rest.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)))
}

/// The database that knows the user, as a URI says it.
fn auth_source(uri: &str) -> Option<String> {
    let (_, options) = uri.split_once('?')?;
    let mut options = options.split('&').filter_map(|option| option.split_once('='));
    let (_, source) = options.find(|(name, _)| name.eq_ignore_ascii_case("authSource"))?;
    Some(source.to_owned())
}

/// What MongoDB knows this process as: a later one of the node has another name.
pub(super) fn app(options: &Options) -> String {
    format!("{APP}{} {:016x}", options.node, RandomState::new().hash_one(std::process::id()))
}

/// A client of the driver that has not asked anything yet, and the name of the database.
pub(super) async fn client(options: &Options, app: String) -> Result<(Client, String), OpenError> {
    let unusable = |error: Error| OpenError::Options { why: why(&error) };
    let refused = |why: &str| Err(OpenError::Options { why: why.to_owned() });
    if options.uri.starts_with("mongodb+srv:") {
        return refused(SRV);
    }
    if !is_encoded(&options.uri) {
        return refused("a % in the URI has to be written as %25");
    }
    let mut client = ClientOptions::parse(&options.uri).await.map_err(unusable)?;
    client.app_name = Some(app).filter(|name| name.len() <= 128);
    // a server is looked for, and a connection waited for, so that the call can still be answered
    let patience = options.deadline * 2 / 3;
    client.server_selection_timeout = Some(patience);
    client.connect_timeout = Some(patience);
    client.heartbeat_freq = Some(HEARTBEAT);
    client.max_pool_size = Some(CONNECTIONS);
    client.retry_reads = Some(true);
    client.retry_writes = Some(true);
    client.read_concern = Some(ReadConcern::majority());
    client.write_concern = Some(concern(options));
    client.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    if let Some(user) = &options.user {
        let before = client.credential.take().unwrap_or_default();
        // the driver forgets it where the URI names no user
        let source = before.source.or_else(|| auth_source(&options.uri));
        let source = source.unwrap_or_else(|| "admin".to_owned());
        let with = Credential::builder().username(user.clone()).source(source);
        client.credential = Some(with.password(options.password.clone()).build());
    }
    if let Some(ca) = &options.ca {
        certificates(ca)?;
        let mut tls = TlsOptions::builder().ca_file_path(ca.clone()).build();
        // who we are, if the URI says so; nothing else that it says of TLS
        if let Some(Tls::Enabled(before)) = client.tls.take() {
            tls.cert_key_file_path = before.cert_key_file_path;
        }
        client.tls = Some(Tls::Enabled(tls));
    }
    let database = options.database.clone().or_else(|| client.default_database.clone());
    let client = Client::with_options(client).map_err(unusable)?;
    Ok((client, database.unwrap_or_else(|| DATABASE.to_owned())))
}

/// Who has a write when it is acknowledged.
fn concern(options: &Options) -> Concern {
    let acknowledgment = match options.write_concern {
        WriteConcern::Majority => Acknowledgment::Majority,
        WriteConcern::Members(members) => Acknowledgment::Nodes(members),
    };
    Concern::builder().w(acknowledgment).journal(true).build()
}

impl Options {
    /// Whether they make sense; nobody is asked, but a name server for `mongodb+srv`.
    ///
    /// # Errors
    /// `Options` when they do not.
    pub async fn check(&self) -> Result<(), OpenError> {
        client(self, app(self)).await.map(drop)
    }
}

/// A store that has not asked anything yet.
pub(super) async fn store(options: Options) -> Result<MongoStore, OpenError> {
    if options.node.is_empty() {
        return Err(OpenError::Options { why: "the node has no name".to_owned() });
    }
    let app = app(&options);
    let (client, database) = client(&options, app.clone()).await?;
    Ok(MongoStore {
        told: OnceLock::new(),
        db: client.database(&database),
        client,
        concern: concern(&options),
        node: field(&options.node),
        ready: AtomicBool::new(false),
        kept: AtomicBool::new(false),
        breaker: Breaker::default(),
        turns: Turns::default(),
        room: Room::new(CALLS, CALLS_BYTES),
        numbers: Numbers::new(),
        health: Health::default(),
        known: Known::new(),
        retries: AtomicU64::new(0),
        abandoned: AtomicU64::new(0),
        looks: tokio::sync::Mutex::default(),
        app,
        options,
    })
}

/// Whether the server can do what is needed, as it says in answer to `hello`.
fn check(hello: &Document) -> Result<(), OpenError> {
    let found = hello.get_i32("maxWireVersion").unwrap_or_default();
    if found < WIRE_5_0 {
        return Err(OpenError::TooOld { found });
    }
    let sharded = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !sharded && hello.get_str("setName").is_err() {
        let host = hello.get_str("me").unwrap_or("the server").to_owned();
        return Err(OpenError::NoReplicaSet { host });
    }
    Ok(())
}

impl MongoStore {
    /// Connects, checks the server and brings the schema up to date. One that cannot be reached is warned of, and tried
    /// again by the store's process.
    ///
    /// # Errors
    /// See [`OpenError`]: what trying again does not mend.
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let store = Arc::new(store(options).await?);
        match store.prepare().await {
            Err(OpenError::Away { why }) => {
                tracing::warn!(
                    why,
                    "the database cannot be reached: going on without it until it can"
                );
                store.breaker.note(why);
            }
            prepared => prepared?,
        }
        Ok(store)
    }

    /// Whether the server is one that can be used.
    pub(super) async fn look(&self) -> Result<(), OpenError> {
        check(&self.db.run_command(doc! { "hello": 1 }).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_with_a_uri_is_said_without_its_password() {
        for uri in [
            "mongodb+srv://u:secret@host/db",
            "mongodb://u:secret/secret@host/db",
            "mongodb://u:secret@secret@host/db",
            "mongodb://u:%aésecret@host/db",
            "mongodb://u:secret@host:port/db",
            "mongodb://u:secret@host/db?tls=true&tlsCertificateKeyFilePassword=secret",
            "u:secret@host/db",
        ] {
            let options = Options { uri: uri.to_owned(), ..Options::default() };
            let error = client(&options, app(&options)).await.unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(!uri.contains("srv") || error.contains("replicaSet=NAME"), "{error}");
        }
    }

    #[test]
    fn names_of_nodes_are_names_of_fields() {
        for name in ["a.b", "$a", "a_b", "a b", "ä", "a-b"] {
            assert!(!field(name).contains(['.', '$', ' ']), "{name}");
        }
        assert_ne!(field("a.b"), field("a_2e_b"), "none is another's");
    }

    #[test]
    fn a_server_has_to_be_new_enough_and_in_a_set() {
        assert!(matches!(
            check(&doc! { "maxWireVersion": 9 }),
            Err(OpenError::TooOld { found: 9 })
        ));
        let alone = check(&doc! { "maxWireVersion": 17 }).unwrap_err().to_string();
        assert!(alone.contains("--replSet") && alone.contains("rs.initiate()"), "{alone}");
        assert!(check(&doc! { "maxWireVersion": 17, "setName": "rs0" }).is_ok());
        assert!(check(&doc! { "maxWireVersion": 17, "msg": "isdbgrid" }).is_ok());
    }
}
