//! A new configuration for a running node: what can change does, what cannot is named.

use super::Node;
use crate::{
    certificates::{Msg, Sources, WATCHER},
    settings,
    telemetry::logs,
};
use config::Config;
use std::{sync::Arc, time::Duration};

/// How long certificates may take to be read.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Sections with options that are in force now.
    pub changed: Vec<&'static str>,
    /// Options that differ from those in force, and take a restart.
    pub restart: Vec<&'static str>,
    /// How many certificates were read, or why the old ones stay.
    pub certificates: Result<usize, String>,
}

impl Node {
    /// Takes over a new configuration, and reads the certificates again. Modules keep their
    /// options until the next start.
    pub async fn reload(&self, new: Config) -> Reloaded {
        let old = Arc::clone(&self.shared.config.lock());
        let restart = restart(&old, &new);
        let changed = live(&old, &new);
        self.shared.env.set_settings(settings::sessions(&new));
        if old.log.level != new.log.level && !logs::set_level(&new.log.level) {
            tracing::warn!("the log of this program is not the node's to change");
        }
        let certificates = self.reload_certificates(&old, &new).await;
        let mut now = Config::clone(&old);
        now.limits = new.limits;
        now.stream_management = new.stream_management;
        now.delivery = new.delivery;
        now.log.level = new.log.level;
        now.c2s = config::schema::C2s {
            max_connections_per_address: new.c2s.max_connections_per_address,
            negotiation_timeout: new.c2s.negotiation_timeout,
            idle: new.c2s.idle,
            ..now.c2s
        };
        now.sasl = config::schema::Sasl {
            plain: new.sasl.plain,
            mechanisms: new.sasl.mechanisms,
            max_failures: new.sasl.max_failures,
            ..now.sasl
        };
        if certificates.is_ok() {
            now.certificate = new.certificate;
        }
        *self.shared.config.lock() = Arc::new(now);
        Reloaded { changed, restart, certificates }
    }

    /// For the hosts that are served now, from the files that are configured anew.
    async fn reload_certificates(&self, old: &Config, new: &Config) -> Result<usize, String> {
        let mut sources = Config::clone(old);
        sources.certificate.clone_from(&new.certificate);
        let watcher = self.shared.system.lookup::<Msg>(WATCHER);
        let watcher = watcher.ok_or("the process that reads certificates does not run")?;
        let sources = Sources::new(&sources);
        let answer = watcher.call(|reply| Msg::Reload(sources, reply), DEADLINE).await;
        answer.map_err(|e| e.to_string())?
    }
}

/// Names of what differs.
fn differing<const N: usize>(all: [(&'static str, bool); N]) -> Vec<&'static str> {
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Options that are used at the start only.
fn restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.c2s, &new.c2s);
    differing([
        ("server.hosts", old.server.hosts != new.server.hosts),
        ("server.data", old.server.data != new.server.data),
        ("server.node", old.server.node != new.server.node),
        ("server.core_dumps", old.server.core_dumps != new.server.core_dumps),
        ("c2s.starttls", a.starttls != b.starttls),
        ("c2s.direct_tls", a.direct_tls != b.direct_tls),
        ("c2s.require_tls", a.require_tls != b.require_tls),
        ("c2s.padding", a.padding != b.padding),
        ("c2s.proxy_protocol", a.proxy_protocol != b.proxy_protocol),
        ("c2s.proxy_from", a.proxy_from != b.proxy_from),
        ("c2s.max_connections", a.max_connections != b.max_connections),
        ("sasl.throttle_failures", old.sasl.throttle_failures != new.sasl.throttle_failures),
        ("sasl.throttle_window", old.sasl.throttle_window != new.sasl.throttle_window),
        ("cluster", old.cluster != new.cluster),
        ("redis", old.redis != new.redis),
        ("storage", old.storage != new.storage),
        ("mongodb", old.mongodb != new.mongodb),
        ("mongodb_accounts", old.mongodb_accounts != new.mongodb_accounts),
        ("http_accounts", old.http_accounts != new.http_accounts),
        ("jwt_accounts", old.jwt_accounts != new.jwt_accounts),
        ("http", old.http != new.http),
        ("admin", old.admin != new.admin),
        ("log.format", old.log.format != new.log.format),
    ])
}

/// Sections with options that change while the node runs.
fn live(old: &Config, new: &Config) -> Vec<&'static str> {
    let c2s = |c: &Config| {
        let c = &c.c2s;
        (c.max_connections_per_address, c.negotiation_timeout, c.idle, c.location.clone())
    };
    let sasl = |c: &Config| (c.sasl.plain, c.sasl.max_failures, c.sasl.mechanisms.clone());
    differing([
        ("c2s", c2s(old) != c2s(new)),
        ("limits", old.limits != new.limits),
        ("sasl", sasl(old) != sasl(new)),
        ("stream_management", old.stream_management != new.stream_management),
        ("delivery", old.delivery != new.delivery),
        ("certificate", old.certificate != new.certificate),
        ("log.level", old.log.level != new.log.level),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Setup;

    fn config(text: &str) -> Config {
        Setup::of(config::load(text, "m.toml", [], &[])).unwrap().config
    }

    #[test]
    fn what_differs_is_either_live_or_named() {
        let old = config("");
        let new = config("c2s.idle = '1m'\nc2s.require_tls = false\nlog.level = 'debug'");
        assert_eq!(live(&old, &new), ["c2s", "log.level"]);
        assert_eq!(restart(&old, &new), ["c2s.require_tls"]);
        assert_eq!((live(&old, &old), restart(&old, &old)), (vec![], vec![]));
    }

    /// An option of each section, as somebody else would set it, and whether that is in force at once
    /// (docs/operating.md).
    const OTHERS: &[(&str, &str, bool)] = &[
        ("server.hosts", "['example.org']", false),
        ("server.data", "'elsewhere'", false),
        ("server.node", "'two'", false),
        ("server.core_dumps", "true", false),
        ("c2s.starttls", "['127.0.0.1:1']", false),
        ("c2s.direct_tls", "['127.0.0.1:1']", false),
        ("c2s.require_tls", "false", false),
        ("c2s.padding", "'1KiB'", false),
        ("c2s.location", "'other:5222'", true),
        ("c2s.proxy_protocol", "true", false),
        ("c2s.proxy_from", "['10.0.0.0/8']", false),
        ("c2s.max_connections", "7", false),
        ("c2s.max_connections_per_address", "7", true),
        ("c2s.negotiation_timeout", "'7s'", true),
        ("c2s.idle", "'7s'", true),
        ("limits.memory", "'1GiB'", true),
        ("limits.max_stanza", "'70KiB'", true),
        ("limits.max_stanza_unauthenticated", "'11KiB'", true),
        ("limits.max_depth", "9", true),
        ("limits.max_resources", "9", true),
        ("limits.queued", "99", true),
        ("limits.queued_bytes", "'3MiB'", true),
        ("limits.unacked", "98", true),
        ("limits.session_rate", "'1KiB'", true),
        ("limits.session_burst", "'17KiB'", true),
        ("limits.address_rate", "'2KiB'", true),
        ("limits.address_burst", "'18KiB'", true),
        ("limits.directed", "97", true),
        ("sasl.plain", "false", true),
        ("sasl.mechanisms", "['SCRAM-SHA-1']", true),
        ("sasl.max_failures", "3", true),
        ("sasl.throttle_failures", "3", false),
        ("sasl.throttle_window", "'7s'", false),
        ("stream_management.window", "'7s'", true),
        ("delivery.durability", "'always'", true),
        ("cluster.name", "'one'", false),
        ("cluster.listen", "'127.0.0.1:7'", false),
        ("cluster.address", "'n1:7'", false),
        ("cluster.credentials", "'other'", false),
        ("cluster.peers", "['n2=n2:7']", false),
        ("cluster.lease", "'7s'", false),
        ("cluster.silence", "'7s'", false),
        ("cluster.queue", "'7MiB'", false),
        ("redis.uri", "'redis://other'", false),
        ("redis.user", "'other'", false),
        ("redis.password", "'other'", false),
        ("redis.ca", "'other.pem'", false),
        ("redis.timeout", "'1s'", false),
        ("storage.backend", "'memory'", false),
        ("storage.journal", "'2MiB'", false),
        ("mongodb.uri", "'mongodb://other'", false),
        ("mongodb.database", "'other'", false),
        ("mongodb.user", "'other'", false),
        ("mongodb.password", "'other'", false),
        ("mongodb.ca", "'other.pem'", false),
        ("mongodb.write_concern", "'2'", false),
        ("mongodb.deadline", "'7s'", false),
        ("http.listen", "[]", false),
        ("admin.socket", "'other.sock'", false),
        ("log.format", "'json'", false),
        ("log.level", "'debug'", true),
    ];

    #[test]
    fn every_option_is_in_force_at_once_or_named() {
        let loaded = config::load("", "m.toml", [], &[]);
        let sections = loaded.modules.declared().iter();
        let sections = sections.filter(|d| d.shape == config::sections::Shape::Table);
        let names = sections
            .flat_map(|d| d.options.iter().map(|option| format!("{}.{}", d.path, option.name)));
        let mut names: Vec<String> = names.collect();
        let mut tried: Vec<&str> = OTHERS.iter().map(|(name, ..)| *name).collect();
        names.sort();
        tried.sort_unstable();
        assert_eq!(tried, names, "options that the configuration has");

        for (name, value, at_once) in OTHERS {
            // what it makes sense with
            let shared = match *name {
                "cluster.name" => {
                    "storage.backend = 'mongodb'\nredis.uri = 'redis://r'\nserver.node = 'n1'\n"
                }
                "redis.password" => "redis.uri = 'redis://r'\n",
                "mongodb.password" => "mongodb.user = 'me'\n",
                _ => "",
            };
            let old = config(shared);
            let new = config(&format!("{shared}{name} = {value}"));
            assert_ne!(new, old, "{name}");
            let named = |all: Vec<&str>| {
                all.iter().any(|of| name == of || name.starts_with(&format!("{of}.")))
            };
            let (live, restart) = (live(&old, &new), restart(&old, &new));
            assert_eq!(live.len() + restart.len(), 1, "{name}: {live:?} {restart:?}");
            assert_eq!((named(live), named(restart)), (*at_once, !*at_once), "{name}");
        }
        let old = config("");
        for (section, rest) in [
            ("mongodb_accounts", "database = 'd'\ncollection = 'c'"),
            ("http_accounts", "url = 'http://localhost/'"),
            ("jwt_accounts", "key = 'k.pem'"),
        ] {
            let new = config(&format!("[[{section}]]\nhost = 'localhost'\n{rest}"));
            assert_eq!((live(&old, &new), restart(&old, &new)), (vec![], vec![section]));
        }
        let certificate = config("[[certificate]]\nfile = 'c.pem'\nkey = 'k.pem'");
        assert_eq!(
            (live(&old, &certificate), restart(&old, &certificate)),
            (vec!["certificate"], vec![])
        );
    }
}
