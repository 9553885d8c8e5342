//! What all connections of a run share: where the server is, how to log on, which processes are the server, and the
//! errors so far.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsConnector;

use crate::R;
use crate::args::Args;
use crate::sasl::{Cache, Mech};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tls {
    None,
    Starttls,
    Direct,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sasl2 {
    Off,
    Auto,
    Require,
}

pub struct Ctx {
    /// Where the server is; of a cluster each node, by turns.
    addrs: Vec<SocketAddr>,
    pub domain: String,
    pub tls: Tls,
    pub mech: Mech,
    pub sasl2: Sasl2,
    pub prefix: String,
    pub password: String,
    pub users: usize,
    pub first: usize,
    pub src: u32,
    pub timeout: Duration,
    pub sm: bool,
    pub session: bool,
    pub self_presence: bool,
    pub cache: Cache,
    pub connector: TlsConnector,
    pub pids: Vec<i32>,
    /// The database of the server, where it is a process of its own.
    pub database: Vec<i32>,
    /// What to run to learn how often it was asked so far.
    pub database_calls: Option<String>,
    pub label: String,
    seq: Cell<u64>,
    rng: Cell<u64>,
    pub errors: RefCell<BTreeMap<String, u64>>,
    shown: Cell<u32>,
}

impl Ctx {
    pub fn from_args(a: &Args) -> R<Rc<Ctx>> {
        let tls = match a.str("tls", "starttls").as_str() {
            "none" => Tls::None,
            "starttls" => Tls::Starttls,
            "direct" => Tls::Direct,
            x => return Err(format!("unknown --tls {x}")),
        };
        let sasl2 = match a.str("sasl2", "off").as_str() {
            "off" => Sasl2::Off,
            "auto" => Sasl2::Auto,
            "require" => Sasl2::Require,
            x => return Err(format!("unknown --sasl2 {x}")),
        };
        let mut tc = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCert))
        .with_no_client_auth();
        if !a.flag("tls-resume") {
            tc.resumption = rustls::client::Resumption::disabled();
        }
        if tls == Tls::Direct {
            tc.alpn_protocols = vec![b"xmpp-client".to_vec()];
        }
        let cache = match a.opt("scram-cache") {
            Some(p) => Cache::load(&p),
            None => Cache::default(),
        };
        let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64);
        let seed = a.num("seed", now) | 1;
        Ok(Rc::new(Ctx {
            addrs: addresses(a)?,
            domain: a.str("domain", "localhost"),
            tls,
            mech: Mech::parse(&a.str("mech", "scram-sha-1"))?,
            sasl2,
            prefix: a.str("user-prefix", "user"),
            password: a.str("password", "secret"),
            users: a.num("users", 1000),
            first: a.num("first", 0),
            src: a.num("src", 8).max(1),
            timeout: Duration::from_secs_f64(a.num("timeout", 30.0)),
            sm: a.flag("sm"),
            session: a.str("session", "auto") == "always",
            self_presence: !a.flag("no-self-presence"),
            cache,
            connector: TlsConnector::from(Arc::new(tc)),
            pids: pids(a, "pid"),
            database: pids(a, "database-pid"),
            database_calls: a.opt("database-calls"),
            label: a.str("label", ""),
            seq: Cell::new(0),
            rng: Cell::new(seed),
            errors: Default::default(),
            shown: Cell::new(0),
        }))
    }
    /// Where that client connects to.
    pub fn addr(&self, client: usize) -> SocketAddr {
        let any = SocketAddr::from(([127, 0, 0, 1], 5222));
        self.addrs.get(client % self.nodes()).copied().unwrap_or(any)
    }
    /// How many addresses there are.
    pub fn nodes(&self) -> usize {
        self.addrs.len()
    }
    pub fn next_seq(&self) -> u64 {
        let n = self.seq.get();
        self.seq.set(n + 1);
        n
    }
    pub fn rnd(&self) -> u64 {
        let mut x = self.rng.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.rng.set(x);
        x
    }
    pub fn user(&self, i: usize) -> String {
        format!("{}{}", self.prefix, self.first + i)
    }
    pub fn bare(&self, i: usize) -> String {
        format!("{}@{}", self.user(i), self.domain)
    }
    pub fn err(&self, kind: &str, msg: &str) {
        *self.errors.borrow_mut().entry(kind.to_string()).or_insert(0) += 1;
        if self.shown.get() < 8 {
            self.shown.set(self.shown.get() + 1);
            eprintln!("xload: {kind}: {msg}");
        }
    }
    pub fn nerr(&self) -> u64 {
        self.errors.borrow().values().sum()
    }
}

/// `--nodes ADDR:PORT,...`, or `--host` and `--port`: of this machine, or of a network that is nobody else's.
fn addresses(a: &Args) -> R<Vec<SocketAddr>> {
    let one = format!("{}:{}", a.str("host", "127.0.0.1"), a.num("port", 5222_u16));
    let parse = |text: &str| {
        let addr: SocketAddr = text.parse().map_err(|e| format!("{text}: {e}"))?;
        match addr.ip() {
            ip if ip.is_loopback() => Ok(addr),
            IpAddr::V4(ip) if ip.is_private() => Ok(addr),
            _ => Err(format!("{addr} is no loopback address, nor a private one")),
        }
    };
    a.str("nodes", &one).split(',').map(parse).collect()
}

fn pids(a: &Args, k: &str) -> Vec<i32> {
    a.str(k, "").split(',').filter_map(|pid| pid.parse().ok()).collect()
}

#[derive(Debug)]
struct AnyCert;
impl rustls::client::danger::ServerCertVerifier for AnyCert {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
