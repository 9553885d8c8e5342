//! From the configuration to what the crates below want.
//!
//! [`Setup::read`] is the whole way from a file to a configuration that has been checked, with its
//! modules; the functions after it translate. What can change while the node runs is in
//! `node::reload`.

use crate::{elsewhere, node::memory};
use actors::{
    connection::shaping::Rate,
    hosts::Hosts,
    registrar::Modules,
    relief::Gauge,
    resource::{Durability, QueueLimits},
    settings::Settings,
    throttle::{Throttle, ThrottleLimits},
};
use config::{Config, Loaded, Override, Report, schema};
use std::{path::Path, sync::Arc};
use storage::{Backend, BackendError, mongo};
use tracing_subscriber::EnvFilter;
use xmpp::{
    jid::prepare_domain,
    sasl::{Hash, Mechanism},
};

/// A configuration without a mistake, and its modules.
#[derive(Debug)]
pub struct Setup {
    /// The node's own options; the hosts are prepared domainparts.
    pub config: Config,
    /// The modules that are on. More can be added before the start.
    pub modules: Modules,
    /// How those of the configuration are configured, for comparing it with other nodes'.
    pub chosen: Vec<String>,
    /// Says how much memory is in use.
    pub gauge: Gauge,
}

impl Setup {
    /// Reads a file (none: everything has its default), the environment, and what was given on the
    /// command line.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn read(file: Option<&Path>, overrides: &[Override]) -> Result<Self, Report> {
        Self::of(config::read(file, config::environment(), overrides)?)
    }

    /// Checks what the configuration alone cannot know, and configures the modules.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn of(mut loaded: Loaded) -> Result<Self, Report> {
        let modules = actors::modules::all(&mut loaded.modules);
        let chosen = loaded.modules.chosen().to_vec();
        let hosts = prepare_hosts(&mut loaded);
        if EnvFilter::try_new(&loaded.draft().log.level).is_err() {
            let fix =
                "write error, warn, info, debug or trace; or by part, as in info,actors=debug";
            loaded.modules.reject("log.level", None, "it is no log level", fix);
        }
        check_mongodb(&mut loaded);
        let elsewhere = elsewhere::prepare(&mut loaded, &hosts);
        let mut config = loaded.finish()?;
        config.server.hosts = hosts;
        elsewhere.apply(&mut config);
        Ok(Self { config, modules, chosen, gauge: Gauge::new(memory::resident) })
    }
}

fn prepare_hosts(loaded: &mut Loaded) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for (n, name) in loaded.draft().server.hosts.clone().iter().enumerate() {
        let mut reject = |message: &str, fix| {
            loaded.modules.reject("server.hosts", Some(n), message, fix);
        };
        match prepare_domain(name) {
            Err(_) => {
                let fix = "write a domain such as example.org, without user, port or slash";
                reject(&format!("{name:?} is no domain"), fix);
            }
            Ok(host) if hosts.iter().any(|h| *h == host) => {
                reject(&format!("{host} is there twice"), "write each host once");
            }
            Ok(host) => hosts.push(host.into_owned()),
        }
    }
    hosts
}

fn check_mongodb(loaded: &mut Loaded) {
    let concern_of = loaded.draft().mongodb.write_concern.clone();
    if concern(&concern_of).is_none() {
        let fix = "write \"majority\", or how many members";
        loaded.modules.reject("mongodb.write_concern", None, "it is no write concern", fix);
    }
}

/// The hosts, in order.
pub(crate) fn hosts(config: &Config) -> Hosts {
    Hosts::new(config.server.hosts.iter().map(|h| Arc::from(h.as_str())))
}

/// The MongoDB of `[mongodb]`.
pub(crate) fn mongodb(config: &Config) -> mongo::Options {
    let schema::Mongodb { uri, database, user, password, ca, write_concern, deadline } =
        config.mongodb.clone();
    mongo::Options {
        uri,
        database: Some(database),
        user,
        password,
        ca,
        // it was checked
        write_concern: concern(&write_concern).unwrap_or_default(),
        deadline,
        node: config.server.node.clone(),
    }
}

fn concern(text: &str) -> Option<mongo::WriteConcern> {
    match text {
        "majority" => Some(mongo::WriteConcern::Majority),
        members => members.parse().ok().filter(|n| *n > 0).map(mongo::WriteConcern::Members),
    }
}

/// Where data is kept, opened.
pub(crate) async fn backend(config: &Config) -> Result<Backend, BackendError> {
    match config.storage.backend {
        schema::Backend::Mongodb => {
            let config::schema::Storage { journal, .. } = config.storage;
            Backend::mongo(mongodb(config), &config.server.data, journal.0).await
        }
        schema::Backend::Memory => Ok(Backend::memory()),
        schema::Backend::Sqlite => Backend::sqlite(&config.server.data),
    }
}

/// What sessions go by.
pub(crate) fn sessions(config: &Config) -> Settings {
    let Config { c2s, cluster, limits, sasl, stream_management, delivery, .. } = config;
    let mechanisms = sasl.mechanisms.iter().copied().map(mechanism);
    Settings {
        max_stanza: limits.max_stanza.0,
        max_stanza_unauthenticated: limits.max_stanza_unauthenticated.0,
        max_depth: limits.max_depth,
        negotiation_timeout: c2s.negotiation_timeout,
        max_sasl_failures: u8::try_from(sasl.max_failures).unwrap_or(u8::MAX),
        max_resources: limits.max_resources,
        resume_window: stream_management.window,
        idle: c2s.idle,
        mechanisms: mechanisms.chain(sasl.plain.then_some(Mechanism::Plain)).collect(),
        queues: QueueLimits {
            node: None,
            durability: match delivery.durability {
                Some(schema::Durability::Always) => Durability::Always,
                Some(schema::Durability::WriteBehind) => Durability::Behind,
                Some(schema::Durability::Detached) => Durability::Detached,
                Some(schema::Durability::Memory) => Durability::Memory,
                // others are to go on with its sessions
                None if cluster.name.is_some() => Durability::Behind,
                None => Durability::Detached,
            },
            queued: limits.queued,
            queued_bytes: limits.queued_bytes.0,
            unacked: limits.unacked,
            directed: limits.directed,
        },
        session_rate: Rate { bytes: limits.session_rate.0, burst: limits.session_burst.0 },
        address_rate: Rate { bytes: limits.address_rate.0, burst: limits.address_burst.0 },
        max_per_address: c2s.max_connections_per_address,
        location: c2s.location.clone(),
        memory: limits.memory.map_or_else(memory::default_limit, |limit| limit.0),
    }
}

fn mechanism(of: schema::Mechanism) -> Mechanism {
    use schema::Mechanism as M;
    let (hash, plus) = match of {
        M::ScramSha512Plus => (Hash::Sha512, true),
        M::ScramSha512 => (Hash::Sha512, false),
        M::ScramSha256Plus => (Hash::Sha256, true),
        M::ScramSha256 => (Hash::Sha256, false),
        M::ScramSha1Plus => (Hash::Sha1, true),
        M::ScramSha1 => (Hash::Sha1, false),
    };
    Mechanism::Scram { hash, plus }
}

/// The login throttle.
pub(crate) fn throttle(config: &Config) -> Throttle {
    let per_pair = config.sasl.throttle_failures;
    let defaults = ThrottleLimits::default();
    Throttle::new(ThrottleLimits {
        per_pair,
        // whoever tries many accounts has ten times as many tries as for one
        per_address: per_pair.saturating_mul(10),
        window: config.sasl.throttle_window,
        ..defaults
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(text: &str) -> Result<Setup, Report> {
        Setup::of(config::load(text, "m.toml", [], &[]))
    }

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_sessions() {
        let config = setup("").unwrap().config;
        let (ours, theirs) = (sessions(&config), Settings::default());
        assert_eq!(ours.mechanisms, theirs.mechanisms);
        assert_eq!(ours.max_stanza_unauthenticated, theirs.max_stanza_unauthenticated);
        assert_eq!(ours.queues.queued_bytes, theirs.queues.queued_bytes);
        assert_eq!(ours.max_per_address, theirs.max_per_address);
    }

    #[test]
    fn hosts_are_prepared_and_checked() {
        let good = setup("server.hosts = ['EXAMPLE.org', 'xn--bcher-kva.example', '[0::1]']");
        assert_eq!(good.unwrap().config.server.hosts, ["example.org", "bücher.example", "[::1]"]);
        let bad = setup("server.hosts = ['a.b', 'A.b', 'x@y']\nlog.level = 'info,=x=y'");
        let bad = bad.unwrap_err().to_string();
        for part in ["server.hosts: a.b is there twice", "\"x@y\" is no domain", "log.level"] {
            assert!(bad.contains(part), "{bad}");
        }
    }

    #[test]
    fn each_host_has_one_place_for_its_accounts_and_a_cluster_one_store() {
        let accounts = |section: &str, host: &str, rest: &str| {
            format!("[[{section}]]\nhost = '{host}'\n{rest}\n")
        };
        let jwt = |host: &str| accounts("jwt_accounts", host, "key = 'k.pem'");
        let collection = "database = 'd'\ncollection = 'c'";
        let mongodb = |host: &str| accounts("mongodb_accounts", host, collection);
        let two = "server.hosts = ['a.b', 'bücher.example']\n";
        let good = setup(&format!("{two}{}{}", jwt("A.b"), mongodb("xn--bcher-kva.example")));
        let config = good.unwrap().config;
        assert_eq!(config.jwt_accounts[0].host, "a.b");
        assert_eq!(config.mongodb_accounts[0].host, "bücher.example");
        let bad = format!("{two}{}{}{}", mongodb("a.b"), jwt("a.b"), jwt("c.d"));
        let bad = format!("{bad}[mongodb]\nwrite_concern = 'all'\n");
        let bad = bad.replace("collection = 'c'", "collection = 'c'\nfilter = '{active}'");
        let bad = bad.replace("key = 'k.pem'", "key = 'k.pem'\nalgorithm = 'none'");
        let bad = setup(&bad).unwrap_err().to_string();
        for part in [
            "the accounts of a.b are in two places",
            "\"c.d\" is not served here",
            "mongodb.write_concern: it is no write concern",
            "the filter is no JSON",
            "there is no algorithm \"none\"; write one of HS256, ",
            "m.toml:2:1",
        ] {
            assert!(bad.contains(part), "{part}: {bad}");
        }
        let cluster = "cluster.name = 'one'";
        let bad = setup(cluster).unwrap_err().to_string();
        assert!(bad.contains("cluster.name: the nodes of a cluster share one store"), "{bad}");
        let bad = setup(&format!("{cluster}\nstorage.backend = 'sqlite'")).unwrap_err().to_string();
        assert!(bad.contains("storage.backend = \"mongodb\""), "{bad}");
        let shared = format!("{cluster}\nstorage.backend = 'mongodb'");
        let bad = setup(&shared).unwrap_err().to_string();
        assert!(bad.contains("set redis.uri"), "{bad}");
        let shared = format!("{shared}\nredis.uri = 'redis://r'");
        let bad = setup(&shared).unwrap_err().to_string();
        assert!(bad.contains("every node of a cluster has another name"), "{bad}");
        let shared = format!("{shared}\nserver.node = ");
        let bad = setup(&format!("{shared}'n@h'")).unwrap_err().to_string();
        assert!(bad.contains("letters, digits"), "{bad}");
        assert!(setup(&format!("{shared}'n1'")).is_ok());
    }

    #[test]
    fn plain_goes_last_and_can_be_left_out() {
        let text = "[sasl]\nmechanisms = ['SCRAM-SHA-1', 'SCRAM-SHA-256-PLUS']\nplain = ";
        let names = |plain: &str| -> Vec<_> {
            let config = setup(&format!("{text}{plain}")).unwrap().config;
            sessions(&config).mechanisms.into_iter().map(Mechanism::name).collect()
        };
        assert_eq!(names("true"), ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "PLAIN"]);
        assert_eq!(names("false"), ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"]);
    }

    #[test]
    fn every_option_gets_to_what_it_is_for() {
        let text = "
            [c2s]
            negotiation_timeout = '1s'
            idle = '2s'
            max_connections_per_address = 3
            [sasl]
            max_failures = 100
            throttle_failures = 2
            [stream_management]
            window = '4s'
            [delivery]
            durability = 'memory'
            [limits]
            memory = '65MiB'
            max_stanza = '66KiB'
            max_stanza_unauthenticated = '12KiB'
            max_depth = 13
            max_resources = 14
            queued = 15
            queued_bytes = '67KiB'
            unacked = 16
            session_rate = '17KiB'
            session_burst = '18KiB'
            address_rate = '19KiB'
            address_burst = '20KiB'
            directed = 21";
        let config = setup(text).unwrap().config;
        let s = sessions(&config);
        let times = [s.negotiation_timeout, s.idle, s.resume_window].map(|t| t.as_secs());
        assert_eq!(times, [1, 2, 4]);
        let sizes = [s.memory, s.max_stanza, s.max_stanza_unauthenticated, s.queues.queued_bytes];
        assert_eq!(sizes, [65 << 20, 66 << 10, 12 << 10, 67 << 10]);
        let counts =
            [s.max_depth, s.max_resources, s.queues.queued, s.queues.unacked, s.queues.directed];
        assert_eq!(counts, [13, 14, 15, 16, 21]);
        let rates = [s.session_rate, s.address_rate].map(|r| (r.bytes >> 10, r.burst >> 10));
        assert_eq!(rates, [(17, 18), (19, 20)]);
        assert_eq!((s.max_per_address, s.max_sasl_failures), (3, 100));
        assert_eq!(s.queues.durability, Durability::Memory);
    }

    /// docs/operating.md: so often for an account, ten times as often over all accounts of an address.
    #[tokio::test(start_paused = true)]
    async fn failures_count_for_an_account_and_for_an_address() {
        let text = "sasl.throttle_failures = 2\nsasl.throttle_window = '60s'";
        let throttle = Arc::new(throttle(&setup(text).unwrap().config));
        let (near, far) = ("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        // nobody says that the proof was right
        let fails = |user: &str, at| {
            throttle.begin(user, at).and_then(|mut attempt| attempt.prove().map(drop)).is_ok()
        };
        for user in 0..10 {
            let tries = [(); 3].map(|()| fails(&format!("{user}@x"), near));
            assert_eq!(tries, [true, true, false], "{user}");
        }
        assert!(!fails("another@x", near), "20 of one address");
        assert!(fails("another@x", far) && fails("0@x", far), "their users are elsewhere");
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        assert!(fails("another@x", near) && fails("0@x", near));
    }
}
