//! What handshakes are made with: certificates and ticket keys, both replaced while connections come in.

use crate::{
    certificates::{Certificates, ForHost, Identity},
    handshake::CATCH,
    tickets::{Keys, TicketError, TicketKeys, Tickets},
};
use arc_swap::ArcSwap;
use ring::{digest, rand::SystemRandom};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring as provider},
    server::NoServerSessionStorage,
    sign::CertifiedKey,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};
use thiserror::Error;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// A key does not fit its certificate, or is of an unknown kind.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// The settings make no sense to the library.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
    /// The ticket keys cannot be used.
    #[error(transparent)]
    Tickets(#[from] TicketError),
}

/// Accepts TLS connections.
pub struct Acceptor {
    current: ArcSwap<Current>,
    tickets: Arc<Keys>,
    provider: Arc<CryptoProvider>,
    /// What records of TLS 1.3 are padded to a multiple of.
    padding: AtomicU16,
}

/// What is in force.
struct Current {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor({} certificates)", self.current.load().certificates.0.len())
    }
}

impl Acceptor {
    /// An acceptor with these certificates, the default one first, and these keys for tickets. All nodes (and the
    /// next process) that have both take one another's tickets.
    ///
    /// # Errors
    /// When there is no certificate or a key cannot be used.
    pub fn new(identities: Vec<Identity>, tickets: &TicketKeys) -> Result<Arc<Self>, SetupError> {
        Self::with_provider(identities, tickets, suites())
    }

    /// [`Acceptor::new`] with other cipher suites than the usual.
    ///
    /// # Errors
    /// As there.
    pub fn with_provider(
        identities: Vec<Identity>,
        tickets: &TicketKeys,
        provider: CryptoProvider,
    ) -> Result<Arc<Self>, SetupError> {
        let (tickets, provider) = (Arc::new(Keys::new(tickets)?), Arc::new(provider));
        let current = ArcSwap::from_pointee(set_up(identities, &tickets, &provider)?);
        Ok(Arc::new(Self { current, tickets, provider, padding: AtomicU16::new(0) }))
    }

    /// Replaces the certificates for connections to come.
    ///
    /// # Errors
    /// As for a new one; then the old ones stay in force.
    pub fn replace(&self, identities: Vec<Identity>) -> Result<(), SetupError> {
        self.current.store(Arc::new(set_up(identities, &self.tickets, &self.provider)?));
        Ok(())
    }

    /// Replaces the keys of tickets.
    ///
    /// # Errors
    /// When they are none; then the old ones stay in force.
    pub fn replace_tickets(&self, keys: &TicketKeys) -> Result<(), TicketError> {
        self.tickets.replace(keys)
    }

    /// What is sent over TLS 1.3 is padded to a multiple of so many bytes (RFC 8446 section 5.4), on connections to come; 0: it is
    /// not.
    pub fn pad(&self, block: u16) {
        self.padding.store(block, Ordering::Relaxed);
    }

    pub(crate) fn padding(&self) -> u16 {
        self.padding.load(Ordering::Relaxed)
    }

    /// For a client that wants `host`, an ASCII domain, if it has said so; with the certificates that it chooses from.
    pub(crate) fn config(&self, host: Option<&str>) -> (Arc<ServerConfig>, Arc<Certificates>) {
        let current = self.current.load();
        let certificates = Arc::clone(&current.certificates);
        let Some(host) = host.filter(|_| certificates.0.len() > 1) else {
            return (Arc::clone(&current.config), certificates);
        };
        let mut config = ServerConfig::clone(&current.config);
        config.cert_resolver = Arc::new(ForHost(Arc::clone(&certificates), host.to_owned()));
        // one that sends no SNI may have a ticket of another host, whose certificate it knows; where it is the default
        // one all the same, its tickets are good for direct TLS too
        let default = certificates.0.first();
        let other = certificates
            .find(None, Some(host))
            .filter(|c| default.is_none_or(|d| !Arc::ptr_eq(c, d)));
        if let Some(certificate) = other.and_then(|key| key.cert.first()) {
            config.ticketer = Arc::new(current.tickets.of(certificate));
        }
        (Arc::new(config), certificates)
    }
}

/// The library's cipher suites, those with SHA-256 first: processors have instructions for it, and
/// hashing is a good part of a short session's handshake.
fn suites() -> CryptoProvider {
    let mut all = provider::default_provider();
    all.cipher_suites.sort_by_key(|s| s.suite().as_str().is_none_or(|n| n.ends_with("SHA384")));
    all
}

fn set_up(
    identities: Vec<Identity>,
    tickets: &Arc<Keys>,
    provider: &Arc<CryptoProvider>,
) -> Result<Current, SetupError> {
    if identities.is_empty() {
        return Err(SetupError::NoCertificate);
    }
    let tickets = Arc::new(Tickets {
        keys: Arc::clone(tickets),
        certificates: hash(&identities),
        random: SystemRandom::new(),
    });
    let certified = identities.into_iter().map(|identity| certified(identity, provider));
    let certificates = Arc::new(Certificates(certified.collect::<Result<_, SetupError>>()?));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates) as _);
    // XEP-0368 section 3
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    config.ticketer = Arc::clone(&tickets) as _;
    // what is remembered here knows of no host, and nothing of keys that rotate
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ignore_client_order = true;
    // a client that comes back has one ticket to use
    config.send_tls13_tickets = 1;
    // what comes after the handshake is ours
    config.enable_secret_extraction = true;
    config.key_log = Arc::clone(&*CATCH) as _;
    Ok(Current { config: Arc::new(config), certificates, tickets })
}

fn certified(
    identity: Identity,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, SetupError> {
    let key = provider.key_provider.load_private_key(identity.key).map_err(SetupError::Key)?;
    let key = CertifiedKey::new(identity.chain, key);
    match key.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) | Ok(()) => {
            Ok(Arc::new(key))
        }
        Err(error) => Err(SetupError::Key(error)),
    }
}

/// Of the certificates themselves, those of each host.
fn hash(identities: &[Identity]) -> [u8; 32] {
    let mut certificates = digest::Context::new(&digest::SHA256);
    for certificate in identities.iter().filter_map(|i| i.chain.first()) {
        certificates.update(certificate);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(certificates.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use std::time::Duration;

    fn identity(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Identity {
            chain: vec![made.cert.der().clone()],
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        }
    }

    #[test]
    fn a_certificate_is_chosen_by_the_name_it_is_for() {
        let (a, b) = (identity("a.example"), identity("b.example"));
        let (first, second) = (a.chain[0].clone(), b.chain[0].clone());
        let tickets = TicketKeys::new(Duration::ZERO).unwrap();
        let acceptor = Acceptor::new(vec![a, b], &tickets).unwrap();
        let (_, certificates) = acceptor.config(None);
        let chosen = |name, host| certificates.find(name, host).unwrap().cert[0].clone();
        assert_eq!(chosen(Some("b.example"), None), second);
        assert_eq!(chosen(Some("c.example"), None), first);
        assert_eq!(chosen(None, None), first);
        assert_eq!(chosen(None, Some("b.example")), second);
        assert_eq!(chosen(Some("a.example"), Some("b.example")), first);
        assert!(Acceptor::new(Vec::new(), &tickets).is_err());
        let mut mixed = identity("x.example");
        mixed.chain = vec![second];
        assert!(matches!(acceptor.replace(vec![mixed]), Err(SetupError::Key(_))));
    }
}
