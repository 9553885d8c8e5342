//! TLS between nodes: each shows the certificate of its credentials, and takes those that their authority has signed. A node's certificate
//! is read again when its file changes; links that are up go on.

use super::credentials::{Credentials, CredentialsError};
use cluster::LinkTls;
use parking_lot::RwLock;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    client::{ResolvesClientCert, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use std::{fmt::Display, path::Path, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, InitError, Next, Server};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// The certificate that a node shows now.
#[derive(Debug)]
pub(crate) struct Shown {
    credentials: Credentials,
    now: RwLock<Arc<CertifiedKey>>,
}

fn wrong(path: &Path, error: &dyn Display) -> CredentialsError {
    CredentialsError::Wrong { path: path.to_owned(), message: error.to_string() }
}

fn read(credentials: &Credentials) -> Result<CertifiedKey, CredentialsError> {
    let (file, key) = (credentials.certificate(), credentials.key());
    for path in [&file, &key] {
        if !path.exists() {
            return Err(CredentialsError::Missing(path.clone()));
        }
    }
    let chain = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|e| wrong(&file, &e))?;
    if chain.is_empty() {
        return Err(wrong(&file, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|e| wrong(&key, &e))?;
    CertifiedKey::from_der(chain, private, &default_provider()).map_err(|e| wrong(&key, &e))
}

fn roots(credentials: &Credentials) -> Result<Arc<RootCertStore>, CredentialsError> {
    let ca = credentials.ca();
    if !ca.exists() {
        return Err(CredentialsError::Missing(ca));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&ca).map_err(|e| wrong(&ca, &e))? {
        let certificate = certificate.map_err(|e| wrong(&ca, &e))?;
        roots.add(certificate).map_err(|e| wrong(&ca, &e))?;
    }
    Ok(Arc::new(roots))
}

/// Whether the certificate is that of a node of this name, by the word of the authority, and good now.
///
/// # Errors
/// When it is not.
pub(super) fn check(credentials: &Credentials, node: &str) -> Result<(), CredentialsError> {
    let (shown, file) = (read(credentials)?, credentials.certificate());
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(credentials)?, provider);
    let verifier = verifier.build().map_err(|e| wrong(&credentials.ca(), &e))?;
    let name = ServerName::try_from(node.to_owned()).map_err(|e| wrong(&file, &e))?;
    let (first, rest) = shown.cert.split_first().ok_or_else(|| wrong(&file, &"it is empty"))?;
    let judged = verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now());
    judged.map(drop).map_err(|e| wrong(&file, &format!("as that of the node {node}: {e}")))
}

impl Shown {
    /// What the links of a node of that name need, and what reads its certificate again.
    ///
    /// # Errors
    /// When a file is missing, or cannot be used, or no other node would take the certificate for this one's.
    pub(crate) fn load(
        credentials: &Credentials,
        node: &str,
    ) -> Result<(Arc<Self>, LinkTls), CredentialsError> {
        let now = RwLock::new(Arc::new(read(credentials)?));
        let shown = Arc::new(Self { credentials: credentials.clone(), now });
        let (roots, provider) = (roots(credentials)?, Arc::new(default_provider()));
        let ca = credentials.ca();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let clients = clients.build().map_err(|e| wrong(&ca, &e))?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let servers = servers.build().map_err(|e| wrong(&ca, &e))?;
        shown.is_for(node, servers.as_ref())?;
        let tls13 = [&rustls::version::TLS13];
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_protocol_versions(&tls13).map_err(|e| wrong(&ca, &e))?;
        let server = server.with_client_cert_verifier(clients);
        let mut server = server.with_cert_resolver(Arc::<Self>::clone(&shown));
        // each link is authenticated anew
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_protocol_versions(&tls13).map_err(|e| wrong(&ca, &e))?;
        let client = client.with_webpki_verifier(servers);
        let client = client.with_client_cert_resolver(Arc::<Self>::clone(&shown));
        Ok((shown, LinkTls { server: Arc::new(server), client: Arc::new(client) }))
    }

    /// Looks at the certificate as another node would.
    fn is_for(&self, node: &str, judge: &dyn ServerCertVerifier) -> Result<(), CredentialsError> {
        let path = self.credentials.certificate();
        let name = ServerName::try_from(node).map_err(|e| wrong(&path, &e))?;
        let key = self.current();
        let Some((own, issuers)) = key.cert.split_first() else { return Ok(()) };
        let judged = judge.verify_server_cert(own, issuers, &name, &[], UnixTime::now());
        let refused = |e| wrong(&path, &format!("no other node takes it for that of {node}: {e}"));
        judged.map(|_| ()).map_err(refused)
    }

    /// Reads it again. Whether it is another one.
    fn reload(&self) -> Result<bool, CredentialsError> {
        let new = read(&self.credentials)?;
        let mut now = self.now.write();
        let differs = new.cert != now.cert;
        if differs {
            *now = Arc::new(new);
        }
        Ok(differs)
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.now.read())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Reads a node's certificate again when it was renewed.
pub(crate) struct Watcher(Arc<Shown>);

/// It is time to look.
#[derive(Debug)]
pub(crate) struct Look;

impl Watcher {
    pub(crate) fn child(shown: &Arc<Shown>) -> ChildSpec {
        let shown = Arc::clone(shown);
        ChildSpec::server::<Self>("credentials", move || Arc::clone(&shown))
    }
}

impl Server for Watcher {
    type Args = Arc<Shown>;
    type Msg = Look;
    const NAME: &'static str = "credentials";
    const INBOX: usize = 4;

    async fn init(shown: Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        cx.send_every(EVERY, || Look);
        Ok(Self(shown))
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        match self.0.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("other nodes are shown the renewed certificate"),
            Err(error) => tracing::error!(%error, "the certificate of this node stays as it was"),
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::credentials::init;

    #[test]
    fn a_certificate_is_of_one_node_and_one_authority() {
        let temp = tempfile::tempdir().unwrap();
        let (one, two) = (temp.path().join("one"), temp.path().join("two"));
        for dir in [&one, &two] {
            init(dir, &["n1".to_owned()]).unwrap();
        }
        let credentials = Credentials::at(&one.join("n1"));
        check(&credentials, "n1").unwrap();
        let error = check(&credentials, "n2").unwrap_err().to_string();
        assert!(error.contains("node.crt: as that of the node n2"), "{error}");
        std::fs::copy(two.join("ca.crt"), credentials.ca()).unwrap();
        assert!(check(&credentials, "n1").is_err(), "another authority");
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_damaged_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let nodes = ["n1".to_owned()];
        init(temp.path(), &nodes).unwrap();
        let credentials = Credentials::at(&temp.path().join("n1"));
        let (shown, tls) = Shown::load(&credentials, "n1").unwrap();
        assert_eq!(tls.server.send_tls13_tickets, 0);
        let first = shown.current();
        assert!(!shown.reload().unwrap());
        init(temp.path(), &nodes).unwrap();
        assert!(shown.reload().unwrap());
        assert_ne!(shown.current().cert, first.cert);
        let second = shown.current();
        std::fs::write(credentials.certificate(), "nothing").unwrap();
        assert!(shown.reload().is_err());
        assert_eq!(shown.current().cert, second.cert);
        init(temp.path(), &nodes).unwrap();
        for (name, why) in [("n2", "n2"), ("n_2!", "name")] {
            let error = Shown::load(&credentials, name).unwrap_err().to_string();
            assert!(error.contains("node.crt") && error.contains(why), "{error}");
        }
        std::fs::remove_file(credentials.ca()).unwrap();
        let error = Shown::load(&credentials, "n1").unwrap_err().to_string();
        assert!(error.contains("mangrove cluster init"), "{error}");
    }
}
