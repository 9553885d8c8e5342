//! Users, TLS, Sentinels.

use super::{Running, at, conforms};
use crate::{
    SessionRegistry, Taking,
    members::Leases,
    registry::{
        conformance::{TERM, entry, eventually, member, record, token},
        redis::{OpenError, Options, RedisRegistry, Servers, Tls},
    },
    testkit::RedisServer,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, time::Duration};
use tempfile::TempDir;

#[tokio::test]
async fn a_user_of_its_own_with_few_rights_is_enough() {
    let rights = "user mangrove on >secret ~*:{c:* ~*:{c} -@all +@read +@write +@scripting +@connection +info +time";
    let mut words = vec!["--user"];
    words.extend(rights.trim_start_matches("user ").split(' '));
    words.extend(["--user", "default", "off"]);
    let server = RedisServer::start(&words).await.unwrap();
    let as_user = |password: &str| Options {
        user: Some("mangrove".to_owned()),
        password: Some(password.to_owned()),
        prefix: "c".to_owned(),
        ..at(&server)
    };
    conforms(as_user("secret")).await;
    let wrong = RedisRegistry::open(as_user("wrong")).await.unwrap_err();
    assert!(matches!(wrong, OpenError::Refused { .. }), "{wrong:?}");
    let none = RedisRegistry::open(at(&server)).await.unwrap_err();
    assert!(matches!(none, OpenError::Refused { .. }), "{none:?}");
    let elsewhere = Options { prefix: "d".to_owned(), ..as_user("secret") };
    let error = RedisRegistry::open(elsewhere).await.unwrap_err();
    assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_alone_is_that_of_default() {
    let server = RedisServer::start(&["--requirepass", "secret"]).await.unwrap();
    let with = |password: Option<&str>| Options {
        password: password.map(str::to_owned),
        database: 3,
        ..at(&server)
    };
    let running = Running::start(with(Some("secret"))).await;
    assert!(running.registry.lookup("a@x").await.unwrap().is_empty());
    for wrong in [Some("wrong"), None] {
        let error = RedisRegistry::open(with(wrong)).await.unwrap_err();
        assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("check user and password"), "{error}");
    }
}

/// A CA, and a server's certificate of it for `redis.test`.
struct Secrets {
    dir: TempDir,
    ca: Vec<u8>,
}

impl Secrets {
    fn new() -> Self {
        let dir = TempDir::with_prefix("redis-tls-").unwrap();
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let params = CertificateParams::new(vec!["redis.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        for (name, text) in [("ca", &ca), ("cert", &certificate), ("key", &key.serialize_pem())] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir, ca: ca.into_bytes() }
    }

    async fn server(&self) -> RedisServer {
        let file = |name| self.dir.path().join(name).display().to_string();
        let (ca, certificate, key) = (file("ca"), file("cert"), file("key"));
        let words = [
            "--tls-port",
            "PORT",
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
        ];
        RedisServer::start(&words).await.unwrap()
    }
}

fn named(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_ca_vouches_for() {
    let (secrets, others) = (Secrets::new(), Secrets::new());
    let server = secrets.server().await;
    let by = |ca: &Secrets, server_name| {
        let tls = Tls { ca: Some(ca.ca.clone()), server_name };
        Options { tls: Some(tls), ..at(&server) }
    };
    let running = Running::start(by(&secrets, named("redis.test"))).await;
    assert!(running.registry.lookup("a@x").await.unwrap().is_empty());
    for (ca, name) in
        [(&others, named("redis.test")), (&secrets, named("other.test")), (&secrets, None)]
    {
        let error = RedisRegistry::open(by(ca, name)).await.unwrap_err();
        assert!(matches!(error, OpenError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let none = Tls { ca: Some(b"nothing".to_vec()), server_name: None };
    let error = RedisRegistry::open(Options { tls: Some(none), ..at(&server) }).await.unwrap_err();
    assert!(error.to_string().contains("no certificate in it"), "{error}");
    // each waits for the other to say something
    let plain = RedisServer::start(&[]).await.unwrap();
    let to_plain =
        Running::start_hasty(Options { tls: by(&secrets, None).tls, ..at(&plain) }).await;
    assert!(to_plain.registry.shown().last_error.is_some());
}

#[tokio::test]
async fn when_sentinels_name_another_primary_it_is_used() {
    let primary = RedisServer::start(&[]).await.unwrap();
    let port = primary.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await.unwrap();
    let replicates = async || {
        replica.say("INFO replication").is_ok_and(|info| info.contains("master_link_status:up"))
    };
    eventually("it replicates", replicates).await;
    let sentinel = RedisServer::sentinel("registry", primary.port()).await.unwrap();
    let knows = async || {
        sentinel
            .say("INFO sentinel")
            .is_ok_and(|info| info.contains("status=ok,") && info.contains("slaves=1"))
    };
    eventually("the Sentinel knows the replica", knows).await;
    let servers = Servers::Sentinel {
        sentinels: vec![("127.0.0.1".to_owned(), sentinel.port())],
        service: "registry".to_owned(),
        user: None,
        password: None,
    };
    let options = Options { servers, grace: Duration::ZERO, ..Options::default() };
    let running = Running::start(options).await;
    let (registry, mut me) = (&running.registry, member("a", 5));
    registry.renew(&me, TERM).await.unwrap();
    let mine = record("r", token("a", 5, 1));
    registry.bind("a@x", mine.clone(), 5, Taking::Keep).await.unwrap();
    me.sessions = 1;
    let epoch = registry.shown().epoch;
    primary.kill().unwrap();
    eventually("it is noticed", async || registry.lookup("b@x").await.is_err()).await;
    // what the replica lacks may be anything: there is another epoch
    let back = async || {
        let roll = registry.renew(&me, TERM).await;
        roll.is_ok_and(|roll| roll.epoch != epoch)
    };
    eventually("the replica is used", back).await;
    assert!(registry.lookup("b@x").await.is_err(), "nothing was published again");
    let published = async || registry.confirm(vec![entry("a@x", mine.clone())]).await.is_ok();
    eventually("it is published", published).await;
    me.confirmed = registry.shown().epoch;
    registry.renew(&me, TERM).await.unwrap();
    let found = async || registry.lookup("a@x").await.is_ok_and(|found| *found == [mine.clone()]);
    eventually("it is found", found).await;
    assert!(registry.lookup("b@x").await.unwrap().is_empty());
}
