//! rustls as the other end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets as Secrets, KeyLog,
    ServerConfig, ServerConnection, SupportedCipherSuite,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring as provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    io::{Read, Write},
    sync::{Arc, OnceLock},
    time::Instant,
};
use tls::record::{Records, Secrets12, Secrets13, Suite};

/// Both directions' secrets: the client's, the server's.
#[derive(Debug, Default)]
struct Sink([OnceLock<Vec<u8>>; 2]);

impl KeyLog for Sink {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let whose = match label {
            "CLIENT_TRAFFIC_SECRET_0" => &self.0[0],
            "SERVER_TRAFFIC_SECRET_0" => &self.0[1],
            _ => return,
        };
        whose.set(secret.to_vec()).unwrap();
    }
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Every suite that rustls has with ring.
pub fn suites() -> &'static [SupportedCipherSuite] {
    provider::ALL_CIPHER_SUITES
}

pub fn is_tls13(suite: SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

/// A certificate that the suite can be used with.
fn identity(suite: SupportedCipherSuite) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let ecdsa = !format!("{:?}", suite.suite()).contains("_RSA_");
    let names = ["localhost".to_owned()];
    // ring makes no RSA keys
    let key = match ecdsa {
        true => rcgen::KeyPair::generate(),
        false => rcgen::KeyPair::from_pem(include_str!("../data/rsa.pem")),
    };
    let key = key.unwrap();
    let made = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    (made.der().clone(), key)
}

/// A connection after its handshake: the server is ours, and the client is rustls's, or the other way round.
pub fn pair(suite: SupportedCipherSuite, ours_is_server: bool) -> (Records, Peer) {
    let provider = CryptoProvider { cipher_suites: vec![suite], ..provider::default_provider() };
    let provider = Arc::new(provider);
    let version = match is_tls13(suite) {
        true => &[&rustls::version::TLS13],
        false => &[&rustls::version::TLS12],
    };
    let (certificate, key) = identity(suite);
    let sink = Arc::new(Sink::default());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(version)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    server.enable_secret_extraction = true;
    server.key_log = Arc::clone(&sink) as _;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(version)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    let server = ServerConnection::new(Arc::new(server)).unwrap();
    let client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    let (mut server, mut client) = (Peer(server.into()), Peer(client.into()));
    loop {
        let (to_server, to_client) = (client.take(), server.take());
        if to_server.is_empty() && to_client.is_empty() {
            break;
        }
        server.give(&to_server).unwrap();
        client.give(&to_client).unwrap();
    }
    assert_eq!(server.0.negotiated_cipher_suite(), Some(suite));
    let [of_client, of_server] = [0, 1].map(|of| sink.0[of].get().map(Vec::as_slice));
    let (ours, peer, sent, received) = match ours_is_server {
        true => (server, client, of_server, of_client),
        false => (client, server, of_client, of_server),
    };
    (records(ours.0, sent, received), peer)
}

/// What rustls has of a connection, given up for a layer.
fn records(ours: Connection, sent: Option<&[u8]>, received: Option<&[u8]>) -> Records {
    let secrets = ours.dangerous_extract_secrets().unwrap();
    let now = Instant::now();
    let parts = |secrets: Secrets| match secrets {
        Secrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        Secrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        Secrets::Chacha20Poly1305 { key, iv } => (Suite::ChaCha20Poly1305, key, iv),
        _ => panic!("a suite that is not known"),
    };
    let ((suite, tx_key, tx_iv), (_, rx_key, rx_iv)) = (parts(secrets.tx.1), parts(secrets.rx.1));
    let (tx_seq, rx_seq) = (secrets.tx.0, secrets.rx.0);
    match (sent, received) {
        (Some(tx), Some(rx)) => {
            let tx = Secrets13 { secret: tx, seq: tx_seq };
            Records::tls13(suite, tx, Secrets13 { secret: rx, seq: rx_seq }, now)
        }
        _ => {
            let tx = Secrets12 { key: tx_key.as_ref(), iv: tx_iv.as_ref(), seq: tx_seq };
            let rx = Secrets12 { key: rx_key.as_ref(), iv: rx_iv.as_ref(), seq: rx_seq };
            Records::tls12(suite, tx, rx, now)
        }
    }
    .unwrap()
}

/// rustls, in memory.
pub struct Peer(Connection);

impl Peer {
    /// What it has to send.
    pub fn take(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut wire).unwrap();
        }
        wire
    }

    /// What it reads of the bytes that it is sent.
    pub fn give(&mut self, mut wire: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut data = Vec::new();
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).unwrap();
            let state = self.0.process_new_packets()?;
            let before = data.len();
            data.resize(before + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut data[before..]).unwrap();
        }
        Ok(data)
    }

    /// What it sends when it is to send this.
    pub fn say(&mut self, mut data: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        while !data.is_empty() {
            // its buffer has an end
            let taken = self.0.writer().write(data).unwrap();
            data = &data[taken..];
            wire.append(&mut self.take());
        }
        wire
    }

    /// Has it send a KeyUpdate that asks for ours.
    pub fn refresh(&mut self) {
        self.0.refresh_traffic_keys().unwrap();
    }

    /// Has it send its `close_notify`.
    pub fn close(&mut self) -> Vec<u8> {
        self.0.send_close_notify();
        self.take()
    }

    /// Whether ours has come.
    pub fn is_closed(&mut self) -> bool {
        self.0.process_new_packets().unwrap().peer_has_closed()
    }
}
