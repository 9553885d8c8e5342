//! The server's side of a handshake, made by rustls and fed a record at a time, so that nothing of what follows is
//! swallowed; what it leaves is a record layer of ours.
//!
//! rustls gives the traffic secrets of TLS 1.3 to its key log only. Ours writes nothing: it puts them where the handshake
//! that is fed on this thread takes them at once. There is no other: what reads `SSLKEYLOGFILE` is not part of this program.

use crate::{
    acceptor::Acceptor,
    certificates::{Certificates, end_point},
    record::{RecordError, Records, Secrets12, Secrets13, Suite},
};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, KeyLog, ProtocolVersion, ServerConnection,
    SupportedCipherSuite,
};
use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, LazyLock},
    time::Instant,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a connection ends.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no handshake with this client.
    #[error("no TLS handshake: {0}")]
    Handshake(rustls::Error),
    /// What came after it is not what the client's keys make.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The handshake's library was asked for what it does not have.
    #[error("the library's TLS: {0}")]
    Library(rustls::Error),
}

/// What is known of a connection whose handshake is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// RFC 9266 tls-exporter; TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
    /// RFC 5929 tls-server-end-point: the hash of our certificate.
    pub end_point: Option<Vec<u8>>,
    /// The host name the client asked for (SNI).
    pub sni: Option<String>,
    /// The cipher suite, as IANA names it.
    pub suite: String,
    /// Whether it can move to another process: its records are ours. Otherwise the library goes on with it.
    pub movable: bool,
}

/// Both ends' application traffic secrets of TLS 1.3 (RFC 8446 section 7.1).
#[derive(Default)]
struct Secrets {
    client: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

thread_local! {
    static CAUGHT: RefCell<Secrets> = RefCell::default();
}

/// Hands secrets to the handshake that is fed on this thread.
#[derive(Debug)]
pub(crate) struct Catch;

pub(crate) static CATCH: LazyLock<Arc<Catch>> = LazyLock::new(|| Arc::new(Catch));

impl KeyLog for Catch {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        CAUGHT.with_borrow_mut(|caught| match label {
            "CLIENT_TRAFFIC_SECRET_0" => caught.client = secret.to_vec().into(),
            "SERVER_TRAFFIC_SECRET_0" => caught.server = secret.to_vec().into(),
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, "CLIENT_TRAFFIC_SECRET_0" | "SERVER_TRAFFIC_SECRET_0")
    }
}

/// A handshake that is under way.
pub(crate) struct Handshake {
    tls: ServerConnection,
    acceptor: Arc<Acceptor>,
    /// Those it was begun with: others may be in force by its end.
    certificates: Arc<Certificates>,
    /// The host that the client has named before.
    host: Option<String>,
    secrets: Secrets,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake")
    }
}

/// What goes on after the handshake.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Rest {
    /// Ours.
    Own(Records),
    /// The library: its suite is none of ours.
    Library(Box<ServerConnection>),
}

impl Handshake {
    pub(crate) fn new(acceptor: Arc<Acceptor>, host: Option<String>) -> Result<Self, TlsError> {
        let (config, certificates) = acceptor.config(host.as_deref());
        let tls = ServerConnection::new(config).map_err(TlsError::Handshake)?;
        Ok(Self { tls, acceptor, certificates, host, secrets: Secrets::default() })
    }

    /// Takes one record, and appends what is to be answered, an alert too. Whether the handshake is done.
    pub(crate) fn feed(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<bool, TlsError> {
        let fed = feed(&mut self.tls, record);
        let caught = CAUGHT.take();
        if !caught.client.is_empty() {
            self.secrets = caught;
        }
        drain(&mut self.tls, out);
        fed.map(|_| !self.tls.is_handshaking()).map_err(TlsError::Handshake)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        self.tls.send_close_notify();
        drain(&mut self.tls, out);
    }

    /// What was agreed on, and what goes on with it.
    pub(crate) fn finish(self, now: Instant) -> Result<(Facts, Rest), TlsError> {
        let suite = self.tls.negotiated_cipher_suite();
        let own = suite.and_then(own);
        let facts = self.facts(suite, own.is_some());
        let Some(own) = own else {
            return Ok((facts, Rest::Library(Box::new(self.tls))));
        };
        let padding = self.acceptor.padding();
        let modern = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let extracted = self.tls.dangerous_extract_secrets().map_err(TlsError::Library)?;
        let ((sent, sending), (received, receiving)) = (extracted.tx, extracted.rx);
        let mut records = if modern {
            let of = |secret, seq| Secrets13 { secret, seq };
            let Secrets { client, server } = &self.secrets;
            Records::tls13(own, of(server, sent), of(client, received), now)?
        } else {
            let (sending, receiving) = (traffic(&sending, sent)?, traffic(&receiving, received)?);
            Records::tls12(own, sending, receiving, now)?
        };
        records.set_padding(padding);
        Ok((facts, Rest::Own(records)))
    }

    fn facts(&self, suite: Option<SupportedCipherSuite>, movable: bool) -> Facts {
        // RFC 9266 section 2: only TLS 1.3 binds without further conditions
        let modern = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let label = b"EXPORTER-Channel-Binding";
        let export = || self.tls.export_keying_material([0; 32], label, Some(&[])).ok();
        let sni = self.tls.server_name();
        let certificate = self.certificates.find(sni, self.host.as_deref());
        Facts {
            exporter: modern.then(export).flatten(),
            end_point: certificate.and_then(|key| end_point(key.cert.first()?)),
            sni: sni.map(str::to_owned),
            suite: suite.map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
            movable,
        }
    }
}

/// Gives the library one record; how many bytes it has opened.
pub(crate) fn feed(tls: &mut ServerConnection, record: &[u8]) -> Result<usize, rustls::Error> {
    let mut wire = record;
    let mut plain = 0;
    while !wire.is_empty() {
        let general = |e: std::io::Error| rustls::Error::General(e.to_string());
        if tls.read_tls(&mut wire).map_err(general)? == 0 {
            // it takes nothing after the other end's `close_notify`
            break;
        }
        plain = tls.process_new_packets()?.plaintext_bytes_to_read();
    }
    Ok(plain)
}

/// Appends what the library has to send.
pub(crate) fn drain(tls: &mut ServerConnection, out: &mut Vec<u8>) {
    // a vector takes everything
    while tls.wants_write() && tls.write_tls(out).is_ok_and(|n| n > 0) {}
}

/// Which of our suites it is; none: a suite that the record layer does not know. None of the extensions that the library
/// agrees to (RFC 8449, say, it does not) changes records.
fn own(suite: SupportedCipherSuite) -> Option<Suite> {
    Some(match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Suite::Aes128Gcm,
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Suite::Aes256Gcm,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Suite::ChaCha20Poly1305,
        _ => return None,
    })
}

/// Key and implicit nonce of TLS 1.2 (RFC 5288 section 3, RFC 7905 section 2).
fn traffic(secrets: &ConnectionTrafficSecrets, seq: u64) -> Result<Secrets12<'_>, TlsError> {
    Ok(match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            Secrets12 { key: key.as_ref(), iv: iv.as_ref(), seq }
        }
        _ => return Err(TlsError::Library(rustls::Error::General("no such secrets".to_owned()))),
    })
}
