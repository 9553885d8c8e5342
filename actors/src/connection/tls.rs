//! TLS of client connections: certificates by host name, tickets, and what SASL binds to.

use crate::session::state::Tls;
use arc_swap::ArcSwap;
use ring::{
    aead::{self, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hkdf,
    rand::{SecureRandom, SystemRandom},
};
use rustls::{
    ServerConfig, ServerConnection,
    client::verify_server_name,
    crypto::ring as provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{ClientHello, ParsedCertificate, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{fmt, sync::Arc};
use thiserror::Error;
use xmpp::jid::ascii_domain;

/// How long a ticket is good for, in seconds (RFC 8446 section 4.6.1 allows 7 days).
const TICKET_LIFE: u32 = 12 * 3600;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// A key does not fit its certificate, or is of an unknown kind.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// The settings make no sense to the library.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// A certificate chain with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The certificates in force.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// The first that is good for `name`, else for `host`; the first of all when none is.
    fn find(&self, name: Option<&str>, host: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        match self.0.as_slice() {
            [only] => Some(only),
            all => [name, host].into_iter().flatten().find_map(|n| self.good(n)).or(all.first()),
        }
    }

    fn good(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        self.0.iter().find(|key| {
            let parsed = key.cert.first().and_then(|c| ParsedCertificate::try_from(c).ok());
            parsed.is_some_and(|c| verify_server_name(&c, &name).is_ok())
        })
    }
}

/// The certificates for a client that has said which host it wants before TLS began: when it does
/// not say it there again, it gets that host's (RFC 6120 section 13.7.2.1 has it check for that one).
#[derive(Debug)]
struct ForHost(Arc<Certificates>, String);

impl ResolvesServerCert for ForHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.find(hello.server_name(), Some(&self.1)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), None).cloned()
    }
}

/// Accepts TLS connections; the certificates can be replaced while it runs.
pub struct TlsAcceptor {
    current: ArcSwap<(Arc<ServerConfig>, Arc<Certificates>)>,
    /// What the keys of tickets are made from.
    tickets: hkdf::Prk,
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsAcceptor({} certificates)", self.current.load().1.0.len())
    }
}

impl TlsAcceptor {
    /// An acceptor with these certificates, the default one first. Tickets are sealed with a key
    /// derived from `secret` and the certificates, so that all nodes (and the next process) with both
    /// take them, and nobody else: a client that resumes sees no certificate, and binds its
    /// authentication to the one it knows (RFC 5929 section 4).
    ///
    /// # Errors
    /// When there is no certificate or a key cannot be used.
    pub fn new(identities: Vec<Identity>, secret: &[u8]) -> Result<Arc<Self>, TlsError> {
        let tickets = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mangrove").extract(secret);
        let current = ArcSwap::from_pointee(build(identities, &tickets)?);
        Ok(Arc::new(Self { current, tickets }))
    }

    /// One that has no certificate: connections in a test are not encrypted.
    ///
    /// # Errors
    /// When the library cannot be set up.
    #[cfg(feature = "testkit")]
    pub fn without() -> Result<Arc<Self>, TlsError> {
        let tickets = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mangrove").extract(b"");
        let current = ArcSwap::from_pointee(set_up(Vec::new(), &tickets)?);
        Ok(Arc::new(Self { current, tickets }))
    }

    /// Replaces the certificates for connections to come.
    ///
    /// # Errors
    /// As for a new one; then the old ones stay in force.
    pub fn replace(&self, identities: Vec<Identity>) -> Result<(), TlsError> {
        self.current.store(Arc::new(build(identities, &self.tickets)?));
        Ok(())
    }

    /// For a client that wants `host`, if it has said so.
    pub(super) fn config(&self, host: Option<&str>) -> Arc<ServerConfig> {
        let current = self.current.load();
        let (config, certificates) = &**current;
        let several = certificates.0.len() > 1;
        let Some(host) = host.filter(|_| several).and_then(ascii_domain) else {
            return Arc::clone(config);
        };
        let resolver = ForHost(Arc::clone(certificates), host);
        let mut config = ServerConfig::clone(config);
        config.cert_resolver = Arc::new(resolver);
        Arc::new(config)
    }
}

/// The library's cipher suites, those with SHA-256 first: processors have instructions for it, and
/// hashing is a good part of a short session's handshake.
fn suites() -> rustls::crypto::CryptoProvider {
    let mut all = provider::default_provider();
    all.cipher_suites.sort_by_key(|s| s.suite().as_str().is_none_or(|n| n.ends_with("SHA384")));
    all
}

type Built = (Arc<ServerConfig>, Arc<Certificates>);

fn build(identities: Vec<Identity>, tickets: &hkdf::Prk) -> Result<Built, TlsError> {
    if identities.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    set_up(identities, tickets)
}

fn set_up(identities: Vec<Identity>, tickets: &hkdf::Prk) -> Result<Built, TlsError> {
    let tickets = Tickets::new(tickets, &identities)?;
    let provider = Arc::new(suites());
    let certified = identities.into_iter().map(|identity| {
        let key = provider.key_provider.load_private_key(identity.key).map_err(TlsError::Key)?;
        let key = CertifiedKey::new(identity.chain, key);
        match key.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) | Ok(()) => {
                Ok(Arc::new(key))
            }
            Err(error) => Err(TlsError::Key(error)),
        }
    });
    let certificates = Arc::new(Certificates(certified.collect::<Result<_, TlsError>>()?));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates) as _);
    // XEP-0368 section 3
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    config.ticketer = Arc::new(tickets);
    config.ignore_client_order = true;
    // a client that comes back has one ticket to use
    config.send_tls13_tickets = 1;
    Ok((Arc::new(config), certificates))
}

/// What SASL has to know of a connection whose handshake is done.
pub(super) fn facts(tls: &ServerConnection, acceptor: &TlsAcceptor, host: Option<&str>) -> Tls {
    // RFC 9266 section 2: only TLS 1.3 binds without further conditions
    let modern = tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    let exporter = modern
        .then(|| {
            let label = b"EXPORTER-Channel-Binding";
            tls.export_keying_material([0_u8; 32], label, Some(&[])).ok()
        })
        .flatten();
    let sni = tls.server_name();
    let current = acceptor.current.load();
    let host = host.and_then(ascii_domain);
    let certificate = current.1.find(sni, host.as_deref()).and_then(|key| key.cert.first());
    Tls {
        exporter: exporter.map(|e| e.to_vec()),
        end_point: certificate.and_then(|c| end_point(c)),
        sni: sni.map(str::to_owned),
    }
}

/// RFC 5929 section 4.1: the certificate's hash, by the hash function of its signature; SHA-256 for
/// MD5 and SHA-1. `None` where the signature has none of its own.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let (_, inside, _) = der(certificate)?;
    let (_, _, after_tbs) = der(inside)?;
    let (_, algorithm, _) = der(after_tbs)?;
    let (_, oid, _) = der(algorithm)?;
    let hash = if let Some(kind) = oid.strip_prefix(RSA) {
        match kind {
            [12] => &digest::SHA384,
            [13] => &digest::SHA512,
            _ => &digest::SHA256,
        }
    } else {
        match oid.strip_prefix(ECDSA)? {
            [3, 3] => &digest::SHA384,
            [3, 4] => &digest::SHA512,
            _ => &digest::SHA256,
        }
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The first DER element: tag, content, and what follows it.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// Session tickets under a key of ours (RFC 5077 section 4, with an AEAD).
struct Tickets {
    key: LessSafeKey,
    random: SystemRandom,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    fn new(from: &hkdf::Prk, identities: &[Identity]) -> Result<Self, TlsError> {
        let general = |_| TlsError::Setup(rustls::Error::General("no ticket key".to_owned()));
        let mut certificates = digest::Context::new(&digest::SHA256);
        for certificate in identities.iter().filter_map(|i| i.chain.first()) {
            certificates.update(certificate);
        }
        let certificates = certificates.finish();
        let info = [b"tls tickets", certificates.as_ref()];
        let okm = from.expand(&info, &aead::CHACHA20_POLY1305).map_err(general)?;
        let key = LessSafeKey::new(UnboundKey::from(okm));
        Ok(Self { key, random: SystemRandom::new() })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_LIFE
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0_u8; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut out = nonce.to_vec();
        let mut sealed = plain.to_vec();
        let aad = aead::Aad::empty();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .ok()?;
        out.append(&mut sealed);
        Some(out)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = cipher.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.key.open_in_place(nonce, aead::Aad::empty(), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Identity {
            chain: vec![made.cert.der().clone()],
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        }
    }

    #[test]
    fn tickets_are_taken_by_whoever_has_the_secret_and_the_certificates() {
        let secret = |s: &[u8]| hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(s);
        let (one, two) = (secret(b"one"), secret(b"two"));
        let (before, after) = ([identity("a.example")], [identity("a.example")]);
        let a = Tickets::new(&one, &before).unwrap();
        let sealed = a.encrypt(b"state").unwrap();
        let opened =
            |by: &hkdf::Prk, with: &[Identity]| Tickets::new(by, with).unwrap().decrypt(&sealed);
        assert_eq!(opened(&one, &before).unwrap(), b"state");
        assert_eq!(opened(&two, &before), None);
        assert_eq!(opened(&one, &after), None);
        assert_eq!(a.decrypt(b"short"), None);
    }

    #[test]
    fn the_end_point_is_hashed_as_the_certificate_is_signed() {
        let made = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        let der = made.cert.der();
        // rcgen signs with ECDSA and SHA-256
        assert_eq!(end_point(der).unwrap(), digest::digest(&digest::SHA256, der).as_ref());
        assert_eq!(end_point(&[0x30, 0x80]), None);
        assert_eq!(end_point(b""), None);
    }

    #[test]
    fn a_certificate_is_chosen_by_the_name_it_is_for() {
        let (a, b) = (identity("a.example"), identity("b.example"));
        let (first, second) = (a.chain[0].clone(), b.chain[0].clone());
        let acceptor = TlsAcceptor::new(vec![a, b], b"s").unwrap();
        let chosen =
            |name, host| acceptor.current.load().1.find(name, host).unwrap().cert[0].clone();
        assert_eq!(chosen(Some("b.example"), None), second);
        assert_eq!(chosen(Some("c.example"), None), first);
        assert_eq!(chosen(None, None), first);
        assert_eq!(chosen(None, Some("b.example")), second);
        assert_eq!(chosen(Some("a.example"), Some("b.example")), first);
        assert!(TlsAcceptor::new(Vec::new(), b"s").is_err());
        let mut mixed = identity("x.example");
        mixed.chain = vec![second];
        assert!(matches!(acceptor.replace(vec![mixed]), Err(TlsError::Key(_))));
    }
}
